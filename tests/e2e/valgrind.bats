# The three daemons under valgrind, from start to stop, with calls that go well
# and calls that do not: no invalid access, no leak.

# shellcheck disable=SC2030,SC2031,SC2153
# (every test is a subshell of its own, and lib.bash sets the names in capitals)

# bats file_tags=shipped

load lib

setup_file() {
	load lib
	# Where there is nothing to run, the test says why.
	command -v valgrind >/dev/null && not sanitized || return 0
	export REPORTS="$BATS_FILE_TMPDIR/valgrind"
	mkdir "$REPORTS"
	valgrind='valgrind -q --leak-check=full --errors-for-leak-kinds=definite'
	valgrind+=' --show-leak-kinds=definite --error-exitcode=99'
	valgrind+=' --trace-children=yes'
	stack_up FOLLOWUP_SCHEDULE_WORKERS=2 FOLLOWUP_EXECUTE_WORKERS=2 \
	    STACK_WRAPPER_listener="$valgrind --log-file=$REPORTS/listener.%p" \
	    STACK_WRAPPER_schedule="$valgrind --log-file=$REPORTS/schedule.%p" \
	    STACK_WRAPPER_execute="$valgrind --log-file=$REPORTS/execute.%p"
}

teardown_file() {
	load lib
	[[ -z ${STACK-} ]] || stack_down
}

setup() {
	command -v valgrind >/dev/null || skip 'valgrind is not installed'
	not sanitized || skip 'a sanitizer build does not run under valgrind'
	stack_env
}

# executed N: so many bookings are.
executed() {
	sql_is "$1" "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status = 'executed'"
}

@test "twenty bookings, some retries and refusals: nothing to report" {
	agent '[{"status": 503, "count": 2}, {"reset": "before", "count": 2}]'
	faults '[{"operation": "createTask", "status": 503, "count": 2},
	    {"operation": "createTask", "reset": "after", "count": 1}]'
	book_many 20 '-1 second'

	# Beside the straight way: moved, cancelled, refused.
	moved=$(book '1 hour')
	cancelled=$(book '1 hour')
	becomes "$moved" scheduled 60
	becomes "$cancelled" scheduled 60
	change "$moved" "scheduled_at = now()"
	api DELETE "/followups/$cancelled"
	expect 200
	webhook nonsense
	problem 400 not-json
	request POST "$PUBLIC_URL/bookings/$moved/execute-followup" -d '{}' \
	    -H 'Authorization: Bearer a.b.c'
	problem 401 unauthorized
	sql "SELECT pg_notify('booking_followup_created', 'junk')" >/dev/null
	wait_for 60 executed 21
	agent '{"status": 400}'
	id=$(book '-1 second')
	becomes "$id" failed 30
	api GET /dead-letters
	expect 200 '.deadLetters | length == 1'

	for name in listener execute schedule; do
		stack stop "$name"
	done
	[[ $(find "$REPORTS" -type f | wc -l) -ge 7 ]]
	find "$REPORTS" -type f -size +0 -exec cat {} + >&2
	[[ -z $(find "$REPORTS" -type f -size +0) ]]
}
