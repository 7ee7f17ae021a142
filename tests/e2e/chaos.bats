#!/usr/bin/env bats
# The short run of make chaos: see tests/chaos/run.  CHAOS_SEED repeats another
# plan than the usual one.

load lib

setup_file() {
	# Not bats' own: what failed is looked at afterwards.
	export CHAOS="$BUILD/chaos-short"
	export SEED=${CHAOS_SEED:-20261123}
	FOLLOWUP_BUILD=$BUILD BOOKINGS=1000 SPAN=25 FAULTS=2 SETTLE=90 \
	    "$ROOT/tests/chaos/run" "$CHAOS" >"$BATS_FILE_TMPDIR/said" 2>&1 || true
}

# line_is TEXT NUMBER: the run's table has this line.
line_is() {
	grep -Eq "^$1 +$2( |\$)" "$BATS_FILE_TMPDIR/said" || {
		cat "$BATS_FILE_TMPDIR/said" >&2
		return 1
	}
}

@test "a thousand bookings survive two of every fault" {
	line_is bookings 1000
	line_is 'called twice' 0
	line_is 'called although cancelled before its due minute' 0
	line_is 'not called and no dead letter' 0
	line_is 'stuck pending or scheduled' 0
	line_is 'brought back by an old copy saved over it' 0
	line_is 'called while paused' 0
	line_is 'called outside of calling hours' 0
	grep -qx "chaos: PASS seed=$SEED" "$BATS_FILE_TMPDIR/said" || {
		cat "$BATS_FILE_TMPDIR/said" >&2
		return 1
	}
}

@test "every fault of the plan was injected" {
	diff <(awk '{ print $4, $5 }' "$CHAOS/chaos/trouble" | sort) \
	    <(cut -d ' ' -f 1-2 "$CHAOS"/chaos/injected.* | sort)
	[ "$(sort -u -k4,5 "$CHAOS/chaos/trouble" | wc -l)" -ge 50 ]
}

# plan SEED: print the bookings and the faults of its plan.
plan() {
	awk -v seed="$1" -v bookings=100 -v span=9000 -v faults=1 \
	    -v writers=4 -v load=/dev/stdout -v trouble=/dev/stdout \
	    -f "$ROOT/tests/chaos/plan.awk"
}

@test "a seed gives the same plan again, another seed another one" {
	[ "$(plan 7 | wc -l)" -ge 150 ]
	[ "$(plan 7)" = "$(plan 7)" ]
	[ "$(plan 7)" != "$(plan 8)" ]
}
