#!/usr/bin/env bats
# Many bookings come due while nobody may be called, for a month: that costs
# nothing, and when it ends they are called at the pace of the queue, each once.
# HELD=10000 has as many wait; RATE is how many calls a second the queue allows.

# shellcheck disable=SC2030,SC2031,SC2153

load lib

HELD=${HELD:-500}
RATE=${RATE:-100}
IDLE=${IDLE:-5}

setup_file() {
	load lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s
	stack_env
	curl -sf -m 20 --noproxy '*' -o /dev/null -X PATCH \
	    -H 'Content-Type: application/json' -d "{\"rateLimits\":
	    {\"maxDispatchesPerSecond\": ${RATE:-100}}}" "$EMULATOR_URL/v2/$QUEUE?\
updateMask=rateLimits.maxDispatchesPerSecond"
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
	sql 'DELETE FROM lad_dev.lead_bookings' 2>/dev/null

	# What a pause of another test has held is not late.
	sql 'DELETE FROM lad_dev.followup_pauses;
	    DELETE FROM lad_dev.followup_past_pauses'
	curl -sf -m 20 --noproxy '*' -o /dev/null -X DELETE \
	    "$VOICE_AGENT_URL/calls"
}

# All come due within a second, and one was too late before.
insert_held() {
	sql "INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
	    booking_type, scheduled_at) SELECT '$TENANT', '$LEAD',
	    'auto_followup', now() + i * interval '1 s' / $HELD
	    FROM generate_series(1, $HELD) AS i" 2>/dev/null
	late=$(book '-5 hours')
}

# counted CONDITION: how many bookings are so.
counted() {
	sql "SELECT count(*) FROM lad_dev.lead_bookings b WHERE $1"
}

# none CONDITION: no booking is so.
none() {
	[[ $(counted "$1") == 0 ]]
}

# A month goes by for the pause, and for all that it holds.
pass_a_month() {
	local month="interval '30 days'"
	sql "BEGIN; SET LOCAL session_replication_role = replica;
	    UPDATE lad_dev.followup_pauses SET paused_at = paused_at - $month,
	    changed_at = changed_at - $month;
	    UPDATE lad_dev.followup_waits SET due_at = due_at - $month;
	    UPDATE lad_dev.lead_bookings SET created_at = created_at - $month,
	    scheduled_at = scheduled_at - $month; COMMIT"
}

# How much has been done so far: requests to the queue, to the programs
# and to the voice agent; and the processor time of the programs and of
# PostgreSQL, in ticks.
requests() {
	cat "$STACK"/log/*.access.log "$STACK/log/emulator.log" |
	    wc -l
}
ticks() {
	local name pid
	for name in listener schedule execute postgres; do
		pid=$(cat "$STACK/run/$name.pid")
		for pid in "$pid" $(pgrep -P "$pid"); do
			awk '{ sub(/.*\) /, ""); print $12 + $13 }' \
			    "/proc/$pid/stat" 2>/dev/null || true
		done
	done | awk '{ n += $1 } END { print n }'
}

# is_idle: while they wait no request is made for them, and what is done does
# not take 3 % of a core.
is_idle() {
	local sent used
	sent=$(requests) used=$(ticks)
	sleep "$IDLE"
	used=$(($(ticks) - used)) sent=$(($(requests) - sent))
	echo "# $HELD wait: $sent requests, $((used * 1000 / IDLE /
	    $(getconf CLK_TCK))) ms of processor time a second" >&3
	((sent == 0 && used * 100 <= 3 * IDLE * $(getconf CLK_TCK)))
}

# quick SECONDS COMMAND...
quick() {
	timeout "$1" "${@:2}" >"$BATS_TEST_TMPDIR/out" || {
		echo "not within $1 seconds: ${*:2}"
		cat "$BATS_TEST_TMPDIR/out"
		return 1
	}
}

# operators_see N: the commands of somebody who looks answer at once, and count
# all N.
operators_see() {
	quick $((10 + HELD / 1000)) sql/followup-trigger preview
	tail -n 3 "$BATS_TEST_TMPDIR/out"
	grep -q "waiting now: $1$" "$BATS_TEST_TMPDIR/out"
	quick 10 sql/followup-trigger status
	quick 10 sql/followup-trigger verify
	request GET "$LOCAL_URL/status.json" -m 10
	expect 200
}

# epoch TIME: that time (SQL), in seconds.
epoch() {
	sql "SELECT extract(epoch FROM $1)"
}

# all_called_once SINCE: those that were held, and not the one that was too late
# before.  Ever since then, no more calls than the queue's rate and burst allow.
all_called_once() {
	wait_for $((60 + 3 * HELD / RATE)) none \
	    "task_status IN ('pending', 'scheduled') AND b.id <> '$late'"
	called "$late" 0
	[[ $(counted "task_status = 'executed'") == "$HELD" ]]
	curl -s -m 20 --noproxy '*' "$VOICE_AGENT_URL/calls" | jq --argjson \
	    since "$1" '[.calls[] | {idempotencyKey, at: ((.time[:19] + "Z" |
	    fromdate) + (.time[20:23] | tonumber) / 1000 - $since)}]' \
	    >"$BATS_TEST_TMPDIR/calls"
	echo "# $(jq -r '"\(length) called within \(map(.at) | max) s"' \
	    "$BATS_TEST_TMPDIR/calls")" >&3
	jq -e --argjson n "$HELD" --argjson rate "$RATE" 'length == $n and
	    (map(.idempotencyKey) | unique | length) == $n and
	    ([map(.at) | sort | to_entries[] |
	    .key < $rate / 5 + $rate * (.value + 0.1)] | all)' \
	    "$BATS_TEST_TMPDIR/calls"
}

@test "a month's pause without an end costs nothing, and its end does not flood" {
	sql/followup-trigger pause --reason 'a month off'
	insert_held
	pass_a_month
	wait_for 10 none "b.scheduled_at > now()"
	wait_for 20 is_idle
	not sql_is 0 "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status = 'pending'"
	operators_see "$HELD"
	sql/followup-trigger preview |
	    grep -q "$late: paused: a month off; when that ends: more than 4h late"

	# It is over: the tasks come page by page, and the calls as fast as
	# the queue allows.
	since=$(epoch 'now()')
	sql/followup-trigger resume
	all_called_once "$since"
	becomes "$late" failed
}

# all_have_tasks CONDITION: for the end of their wait.
all_have_tasks() {
	wait_for $((30 + HELD / 100)) none "b.id <> '$late'
	    AND (b.task_status <> 'scheduled' OR NOT $1)"
}

@test "a pause that ends by itself: the tasks wait, and come at the queue's pace" {
	sql/followup-trigger pause --reason 'a while off' \
	    --until "$(sql "SELECT now() + interval '$((25 + HELD / 200)) s'")"
	insert_held
	all_have_tasks "task_scheduled_at > scheduled_at + interval '10 s'"
	ends=$(sql 'SELECT until FROM lad_dev.followup_pauses')
	all_called_once "$(epoch "timestamptz '$ends'")"
	becomes "$late" failed
	none "executed_at < '$ends'"
}

@test "closed hours that open: those with a task for later get another one" {
	sql/followup-trigger set calling_zone UTC
	sql/followup-trigger set calling_hours "mon-sun $(sql "SELECT
	    to_char(t + interval '3 h', 'HH24:MI-') ||
	    to_char(t + interval '4 h', 'HH24:MI')
	    FROM (SELECT now() AT TIME ZONE 'UTC' AS t) AS n")"
	insert_held
	all_have_tasks "task_scheduled_at > now() + interval '2 h'"
	wait_for 60 is_idle
	# The late one was so before there were hours.
	becomes "$late" failed
	operators_see "$HELD"
	since=$(epoch 'now()')
	sql/followup-trigger set calling_hours ''
	all_called_once "$since"
}
