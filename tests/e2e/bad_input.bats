# Bad input: every request of bad-input.table to every endpoint, through nginx
# and to the programs' own sockets; and clients that are slow, silent, deaf or
# speak no HTTP.  Each program has one worker here: one that is lost or held
# is noticed by the next good request.

# shellcheck disable=SC2030,SC2031,SC2153
# (every test is a subshell of its own, and lib.bash sets the names in capitals)

load lib

setup_file() {
	load lib
	stack_up FOLLOWUP_SCHEDULE_WORKERS=1 FOLLOWUP_EXECUTE_WORKERS=1
	stack_env
	queue_keys
	SCHEDULE_PID=$(cat "$STACK/run/schedule.pid")
	EXECUTE_PID=$(cat "$STACK/run/execute.pid")
	WORKERS=$(workers)

	# A booking that waits, one that is cancelled, one that was called.
	BAD_ID=$(book) BAD_GONE=$(book) BAD_DONE=$(book '-1 second')
	BAD_NOBODY=33333333-3333-4333-8333-333333333333
	becomes "$BAD_ID" scheduled
	becomes "$BAD_DONE" executed
	change "$BAD_GONE" "task_status = 'cancelled'"
	BAD_BODY=$(task_body "$BAD_DONE")
	BAD_DUE=$(jq -r .scheduledAt <<<"$BAD_BODY")
	BAD_TOKEN=$(token)
	export SCHEDULE_PID EXECUTE_PID WORKERS BAD_ID BAD_GONE BAD_DONE \
	    BAD_NOBODY BAD_BODY BAD_DUE BAD_TOKEN
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
}

# The numbers of all workers.
workers() {
	pgrep -P "$SCHEDULE_PID,$EXECUTE_PID" | sort | xargs
}

# bad SECTION
bad() {
	perl "$BATS_TEST_DIRNAME/bad-input.pl" "$1"
}

# After each test: nobody died, and nothing came of it all.
teardown() {
	[[ $(workers) == "$WORKERS" ]]
	not grep -E 'killed by signal|ended with status|could not be accepted|was not answered' \
	    "$STACK/log/schedule.log" "$STACK/log/execute.log"
	has_status "$BAD_ID" scheduled
	has_status "$BAD_GONE" cancelled
	called "$BAD_DONE" 1
}

@test "methods: each endpoint says which it has" {
	bad methods
}

@test "paths: what is no endpoint is 404, whatever it resolves to" {
	bad paths
}

@test "ids: nothing but a UUID as RFC 9562 writes it" {
	bad ids
}

@test "query strings: numbers, times and escapes that are none" {
	bad queries
}

@test "content types: JSON, or 415" {
	bad types
}

@test "bodies: truncated, nested, doubled, NUL, no UTF-8, no JSON, too large" {
	bad bodies
}

@test "values: numbers, lists and objects where texts belong, and wrong texts" {
	bad values
}

@test "lengths: garbage, lies, and chunks that are none" {
	bad lengths
}

@test "headers: too many, too long, malformed, and what is not HTTP" {
	bad headers
}

@test "FastCGI records: odd, in the wrong order, broken, or no such thing" {
	bad records
}

@test "requests that are aborted or break off" {
	bad aborts
}

@test "a peer that stops in the middle does not have the worker for ever" {
	bad stalls
}

@test "slow, silent, deaf and garbled clients keep nobody from the work" {
	"${CC:-cc}" -std=c11 -D_GNU_SOURCE -o "$BATS_TEST_TMPDIR/hostile" \
	    "$ROOT/tests/bench/hostile.c"
	kinds=(silent slow-header slow-body slow-refused deaf headers garbage)
	path=/bookings/$BAD_NOBODY/execute-followup
	for url in "$LOCAL_URL" "$PUBLIC_URL"; do
		"$BATS_TEST_TMPDIR/hostile" "${url##*:}" "$path" 20 5 \
		    "${kinds[@]/%/=20}" >"$BATS_TEST_TMPDIR/${url##*:}" 3>&- &
		crowds+=("$!")
	done
	wait_for 10 grep -q '127.0.1.* 400 ' \
	    "$STACK/log/followup-local.access.log"
	wait_for 10 grep -q '127.0.1.* 400 ' \
	    "$STACK/log/followup-public.access.log"

	for _ in 1 2 3; do
		id=$(book '-1 second')
		becomes "$id" executed
		called "$id" 1
		api GET /healthz
		expect 200
	done

	# All have been there, and all were refused or cut off.
	for pid in "${crowds[@]}"; do
		wait "$pid"
	done
	for url in "$LOCAL_URL" "$PUBLIC_URL"; do
		cat "$BATS_TEST_TMPDIR/${url##*:}"
		[[ $(grep -c '^most [a-z-]* 20$' \
		    "$BATS_TEST_TMPDIR/${url##*:}") == "${#kinds[@]}" ]]
		[[ $(grep -c '^left [a-z-]* 0$' \
		    "$BATS_TEST_TMPDIR/${url##*:}") == "${#kinds[@]}" ]]
		not grep -E '^end [a-z-]* [1235]' \
		    "$BATS_TEST_TMPDIR/${url##*:}"
	done
}
