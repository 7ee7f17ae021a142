# The local API: every request of it and its answers.  What it refuses is in
# bad_input.bats.

# shellcheck disable=SC2030,SC2031,SC2153
# (every test is a subshell of its own, and lib.bash sets the names in capitals)

load lib

NOBODY=33333333-3333-4333-8333-333333333333

setup_file() {
	load lib
	stack_up
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
}

teardown() {
	agent '[]'
	stack_reset
	[[ -z ${UNINSTALLED-} ]] ||
	    sql/followup-trigger install --grant-to followup >/dev/null
}

# post PATH JSON [CURL-OPTION]...
post() {
	api POST "$1" -H 'Content-Type: application/json' -d "$2" "${@:3}"
}

# make_dead_letters N: bookings whose calls are refused; sets ids.
make_dead_letters() {
	local i
	agent "{\"status\": 400, \"count\": $1, \"method\": \"POST\"}"
	for ((i = 0; i < $1; i++)); do
		ids+=("$(book '-1 second')")
	done
	for i in "${ids[@]}"; do
		becomes "$i" failed
	done
}

@test "POST /webhooks/booking-followup schedules, and says so a second time" {
	stack stop listener
	id=$(book)
	webhook "{\"booking_id\":\"$id\"}"
	name=$(column "$id" task_name)
	expect 200 .success .scheduled '.alreadyExists == false' \
	    ".bookingId == \"$id\"" ".taskName == \"$name\"" \
	    ".scheduleTime == \"$(column "$id" "to_char(scheduled_at
	    AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")\""
	header Content-Type: application/json
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .success '.scheduled == false' \
	    '.reason == "already scheduled"'
}

@test "a task that is there although the row does not say so is taken over" {
	stack stop listener
	id=$(book)
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 '.alreadyExists == false'

	# As if we had been killed between the task and the row.
	sql "SET session_replication_role = replica; UPDATE lad_dev.lead_bookings
	    SET task_status = 'pending', task_name = NULL WHERE id = '$id'"
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .scheduled .alreadyExists
	has_tasks "$id" 1
}

@test "the whole payload of the trigger is taken, and that of another schema is not" {
	stack stop listener
	id=$(book)
	payload="{\"booking_id\":\"$id\",\"tenant_id\":\"$TENANT\",
	    \"lead_id\":null,\"assigned_user_id\":null,\"timezone\":\"UTC\",
	    \"scheduled_at\":\"2026-11-23T11:00:00Z\",\"created_at\":\"now\",
	    \"booking_type\":\"auto_followup\",\"more\":[1,{}],"
	webhook "$payload\"schema\":\"other\"}"
	expect 200 .success '.scheduled == false' '.reason | test("schema")'
	webhook "$payload\"schema\":\"lad_dev\"}"
	expect 200 .scheduled
}

@test "what there is nothing to schedule of is 200 with the reason" {
	stack stop listener
	id=$(book)
	change "$id" "task_status = 'cancelled'"
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .success '.scheduled == false' '.reason == "already cancelled"'
	sql "SET followup.daemon = 'on'; UPDATE lad_dev.lead_bookings
	    SET task_status = 'executed' WHERE id = '$id'"
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .success '.scheduled == false' '.reason == "already executed"'
	id=$(book '10 minutes' meeting)
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .success '.scheduled == false' '.reason | test("meeting")'
	webhook "{\"booking_id\":\"$NOBODY\"}"
	problem 404 no-such-booking
}

@test "GET /followups/{id} shows the state and explains it" {
	id=$(book)
	becomes "$id" scheduled
	api GET "/followups/$id"
	expect 200 ".bookingId == \"$id\"" '.taskStatus == "scheduled"' \
	    ".taskName == \"$(column "$id" task_name)\"" \
	    '.scheduledAt == .taskScheduledAt' '.executedAt == null' \
	    '.executionAttempts == 0' '.lastError == null' \
	    '.explanation | test("task is in the queue")'
	id=$(book '-1 second')
	becomes "$id" executed
	api GET "/followups/$id"
	expect 200 '.taskStatus == "executed"' '.executionAttempts == 1' \
	    '.executedAt | test("Z$")' '.explanation | test("was started at")'
	api GET "/followups/$NOBODY"
	problem 404 no-such-booking
}

@test "ids: upper case is a UUID, and answered in lower case" {
	id=$(book)
	becomes "$id" scheduled
	api GET "/followups/${id^^}"
	expect 200 ".bookingId == \"$id\""
	webhook "{\"booking_id\":\"${id^^}\"}"
	expect 200 ".bookingId == \"$id\"" '.reason == "already scheduled"'
}

@test "DELETE /followups/{id} cancels, and not what was called" {
	id=$(book)
	becomes "$id" scheduled
	api DELETE "/followups/$id"
	expect 200 .success .cancelled .taskDeleted ".bookingId == \"$id\""
	has_status "$id" cancelled
	has_tasks "$id" 0
	api GET "/followups/$id"
	expect 200 '.taskStatus == "cancelled"' '.taskName == null'
	api DELETE "/followups/$id"
	expect 200 .cancelled '.taskDeleted == false'

	id=$(book '-1 second')
	becomes "$id" executed
	api DELETE "/followups/$id"
	problem 409 conflict
	has_status "$id" executed
	api DELETE "/followups/$NOBODY"
	problem 404 no-such-booking
}

@test "dead letters: listed newest first, paged, and tried again" {
	make_dead_letters 3
	api GET /dead-letters
	expect 200 '.deadLetters | length == 3' '.next == null' \
	    '[.deadLetters[].diedAt] | . == (sort | reverse)' \
	    'all(.deadLetters[]; .stage == "execute" and .attempts == 1 and
	    .httpStatus == 400 and (.error | test("400")))' \
	    "all(.deadLetters[]; .tenantId == \"$TENANT\")"
	all=$(jq -c '[.deadLetters[].bookingId]' <<<"$BODY")
	for id in "${ids[@]}"; do
		[[ $all == *$id* ]]
	done

	# Page by page they are the same.
	path='/dead-letters?limit=2'
	pages=()
	while [[ $path != null ]]; do
		api GET "$path"
		expect 200
		pages+=("$(jq -c '[.deadLetters[].bookingId]' <<<"$BODY")")
		path=$(jq -r .next <<<"$BODY")
	done
	[[ ${#pages[@]} == 2 ]]
	[[ $(jq -sc add <<<"${pages[*]}") == "$all" ]]

	# Once its cause is fixed, it is called with the same key.
	api GET "/followups/${ids[0]}"
	expect 200 '.taskStatus == "failed"' \
	    '.explanation | test("dead letter.*/retry")'
	api POST "/followups/${ids[0]}/retry"
	expect 200 .success '.taskStatus == "pending"'
	becomes "${ids[0]}" executed
	called "${ids[0]}" 2
	[[ $(calls "${ids[0]}" '[.[].idempotencyKey] | unique | length') == 1 ]]
	api POST "/followups/${ids[0]}/retry"
	problem 409 conflict
	api GET /dead-letters
	expect 200 '.deadLetters | length == 2'
	# The trigger announces it with a NOTICE, which is for the application.
	not grep -qvE '^20[0-9-]+T[0-9:.]+Z ' "$STACK/log/schedule.log"
	api POST "/followups/$NOBODY/retry"
	problem 404 no-such-booking
}

@test "calls are paused and resumed, also those whose tasks fire now" {
	post /pauses '{"scope":"all","reason":"the agent is moved"}' \
	    -H 'X-Operator: ann@example.org'
	expect 200 .success '.until == null'
	id=$(book '-1 second')
	api GET /pauses
	expect 200 '.pauses | length == 1' '.pauses[0].scope == "all"' \
	    '.pauses[0].pausedBy == "ann@example.org"' \
	    '.pauses[0].reason == "the agent is moved"'

	# Its tenant is called all the same.
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 '.scheduled == false' '.reason | test("^paused: the agent")'
	api DELETE "/pauses/tenant%3A$TENANT"
	expect 200 ".scope == \"tenant:$TENANT\""
	becomes "$id" executed
	api DELETE /pauses/all
	expect 200 .success
	api DELETE /pauses/all
	problem 404 not-found
	api GET /pauses
	expect 200 '.pauses == []'

	# A task that is in the queue already finds the pause.
	id=$(book '3 seconds')
	becomes "$id" scheduled
	post /pauses "{\"scope\":\"tenant:$TENANT\",\"reason\":\"x\"}"
	expect 200 .success
	becomes "$id" pending
	[[ $(calls "$id" length) == 0 ]]
	api DELETE "/pauses/tenant:$TENANT"
	becomes "$id" executed

	for body in '{}' '{"scope":"all"}' '{"scope":"all","reason":" "}' \
	    '{"scope":"all","reason":"x","until":"2001-01-01T00:00:00Z"}' \
	    '{"scope":"all","reason":"x","until":"soon"}' \
	    '{"scope":"all","reason":"x","untill":null}' \
	    '{"scope":"tenant:x","reason":"x"}'; do
		post /pauses "$body"
		problem 400 invalid
	done
	post /pauses '{"scope":"all","reason":"x"}' -H 'X-Operator: Anné'
	problem 400 invalid
	api GET /pauses
	expect 200 '.pauses == []'
}

@test "a dead letter that nobody wants any more can be cancelled" {
	make_dead_letters 1
	api DELETE "/followups/${ids[0]}"
	expect 200 .cancelled
	has_status "${ids[0]}" cancelled
	sql_is 0 "SELECT count(*) FROM lad_dev.followup_dead_letters
	    WHERE booking_id = '${ids[0]}'"
}

@test "/readyz names what is missing, /healthz stays" {
	api GET /readyz
	expect 200 '.status == "ready"'
	UNINSTALLED=yes
	sql 'DROP TRIGGER trigger_schedule_followup_cloud_task
	    ON lad_dev.lead_bookings'
	api GET /readyz
	problem 503 out-of-service
	header Retry-After: 10
	[[ $BODY == *'followup-trigger install'* ]]
	api GET /healthz
	expect 200 '.status == "alive"'

	# Nothing of ours there at all.
	sql/followup-trigger uninstall
	api GET /readyz
	expect 503
	grep -qi '^retry-after: [1-9]' <<<"$HEAD"
	sql/followup-trigger install --grant-to followup
	wait_for 15 eval 'api GET /readyz; expect 200'
}

@test "without a database everything that needs it is 503 with Retry-After" {
	stack kill postgres
	webhook "{\"booking_id\":\"$NOBODY\"}"
	problem 503 out-of-service
	header Retry-After: 1
	for request in "GET /followups/$NOBODY" "DELETE /followups/$NOBODY" \
	    "POST /followups/$NOBODY/retry" 'GET /dead-letters' 'GET /readyz'; do
		# shellcheck disable=SC2086 # method and path
		api $request
		problem 503 out-of-service
		header Retry-After: 1
		[[ $BODY == *database* ]]
	done
	api GET /healthz
	expect 200

	# What is wrong anyway is told without asking the database.
	webhook '{"booking_id":"test-123"}'
	problem 400 not-a-uuid
	stack start postgres
	wait_for 15 eval 'api GET /readyz; expect 200'
}
