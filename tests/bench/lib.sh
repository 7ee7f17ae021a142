# shellcheck shell=sh
#
# What the benchmarks share: a stack of their own, real bookings that go their
# way while something else goes on, and how long that took them.  For a script
# that has set ${name} to its own.

root=$(cd "$(dirname "$0")/../.." && pwd)
stack=$root/tests/stack
work=$(mktemp -d "${TMPDIR:-/tmp}/followup-bench.XXXXXX")
dir=$work/stack
tenant=11111111-1111-4111-8111-111111111111
lead=b1111111-1111-4111-8111-111111111111
up=

# Whatever the caller's environment is set up for, nothing real is called.
for var in $("$stack" settings); do
	unset "$var"
done

# shellcheck disable=SC2154 # name is the script's
say() { printf '%s: %s\n' "$name" "$*" >&2; }
die() { say "$@"; exit 1; }

finish() {
	status=$?
	trap - EXIT
	[ -z "$up" ] || "$stack" down "$dir" || status=1
	if [ -n "${KEEP:-}" ]; then
		say "logs: $dir/log"
	else
		rm -rf "$work"
	fi
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# stack_up [VARIABLE=VALUE]...
stack_up() {
	env "$@" "$stack" up "$dir" || die 'the stack does not start'
	up=yes
	eval "$("$stack" env "$dir")"
}

# compile PROGRAM [FLAG]...: tests/bench/PROGRAM.c to ${work}/PROGRAM.
compile() {
	program=$1
	shift
	"${CC:-cc}" -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra \
	    -o "$work/$program" "$root/tests/bench/$program.c" "$@" ||
	    die "$program.c cannot be built: run tests/deps demo"
}

# Run $2... until it succeeds, at most $1 seconds.
wait_for() {
	until=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt "$until" ] || return 1
		sleep 0.1
	done
}

sql() { psql -XAtq -v ON_ERROR_STOP=1 -c "$1" 2>/dev/null; }

# is VALUE STATEMENT
is() { [ "$(sql "$2")" = "$1" ]; }

# insert PHASE DUE [N]: the statement that inserts N bookings (1), each due at
# now() and the interval DUE, in which n counts them from 1.
insert() {
	printf "INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
	    booking_type, booking_source, scheduled_at) SELECT '%s', '%s',
	    'auto_followup', '%s', now() + %s FROM generate_series(1, %d) n;\n" \
	    "$tenant" "$lead" "$1" "$2" "${3:-1}"
}

# book PHASE N: N bookings, due one a second from three seconds from now on.
book() {
	sql "$(insert "$1" "(2 + n) * interval '1 second'" "$2")" ||
	    die 'the bookings could not be inserted'
	wait_for 30 all_scheduled ||
	    die 'the bookings are not scheduled: is the listener at work?'
}

all_scheduled() {
	is 0 "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status = 'pending'"
}

# executed PHASE: are all of its bookings?
executed() {
	is 0 "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE booking_source = '$1' AND task_status <> 'executed'"
}

# called_once PHASE...: has each of their bookings got exactly one call?
called_once() {
	for phase; do
		sql "SELECT id FROM lad_dev.lead_bookings
		    WHERE booking_source = '$phase'"
	done >"$work/ids"
	while read -r id; do
		curl -sf --noproxy '*' "$VOICE_AGENT_URL/calls?bookingId=$id" |
		    grep -o '"callId"' | wc -l
	done <"$work/ids" | sort -u >"$work/calls"
	[ "$(tr -d ' ' <"$work/calls")" = 1 ]
}

# callbacks PHASE: how long nginx took for each callback of these bookings, in
# ms, whatever its answer was.
callbacks() {
	sql "SELECT id FROM lad_dev.lead_bookings
	    WHERE booking_source = '$1'" >"$work/ids"
	grep -Ff "$work/ids" "$dir/log/followup-public.access.log" |
	    sed 's/.* time=\([0-9.]*\) .*/\1/' |
	    awk '{ printf "%.0f\n", $1 * 1000 }'
}

# lateness PHASE: from the due time until the row was executed, in ms.
lateness() {
	sql "SELECT round(extract(epoch FROM executed_at - scheduled_at) * 1000)
	    FROM lad_dev.lead_bookings WHERE booking_source = '$1'
	    AND executed_at IS NOT NULL"
}

# quantiles: of the numbers on stdin, one a line: n, median, 99 %, maximum.
quantiles() {
	sort -n | awk '{ v[NR] = $1 } END {
		if (NR == 0) { print "0 - - -"; exit }
		print NR, v[int((NR - 1) / 2) + 1],
		    v[int((NR - 1) * 99 / 100) + 1], v[NR] }'
}

# heading TEXT, and then row NAME [IDLE]: a line of the table, from the numbers
# on stdin; and how many times those of the file IDLE they are.
heading() {
	printf '  %-36s %5s %8s %8s %8s\n' "$1" n median '99 %' max
}
row() {
	{
		if [ -n "${2:-}" ]; then quantiles <"$2"; else echo; fi
		quantiles
	} | awk -v name="$1" 'function times(x, y) {
		return sprintf(" x %.1f", x / (y > 0 ? y : 1)) }
	    NR == 1 { n = $1; median = $2; most = $3; max = $4 }
	    NR == 2 { printf "  %-36s %5s %8s %8s %8s%s\n", name, $1, $2, $3,
	    $4, n * $1 == 0 ? "" : "  " times($2, median) times($3, most) \
	    times($4, max) }'
}

# fail TEXT: something that must be so is not.  verdict: the last line, and
# the exit status.
failed=
fail() {
	echo "  not so: $*"
	failed=yes
}
verdict() {
	[ -z "$failed" ] || { echo FAIL; exit 1; }
	echo PASS
}
