# The local API: every request of it, its answers and its refusals.

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

# raw TEXT: send it as it is to the local server; STATUS and ANSWER (all of it,
# up to the end of the connection) are what comes back.  A server that does
# not like what it hears closes before it has heard all.
raw() {
	local port=${LOCAL_URL##*:} fd
	exec {fd}<>"/dev/tcp/127.0.0.1/$port"
	(trap '' PIPE; printf '%b' "$1" >&"$fd") 2>/dev/null || true
	ANSWER=$(timeout 15 cat <&"$fd" 2>/dev/null | tr -d '\r') || true
	exec {fd}>&-
	STATUS=$(sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p' <<<"$ANSWER")
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
	change "$id" "task_status = 'executed'"
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .success '.scheduled == false' '.reason == "already executed"'
	id=$(book '10 minutes' meeting)
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .success '.scheduled == false' '.reason | test("meeting")'
	webhook "{\"booking_id\":\"$NOBODY\"}"
	problem 404 no-such-booking
}

@test "bodies that are no JSON object are refused" {
	for body in nonsense '{' '{"booking_id":' '[]' '"text"' 42 null \
	    '{"booking_id":"a","booking_id":"b"}' \
	    '{"booking_id":"\u0000"}' '{"booking_id":"a"} trailing' \
	    $'{"booking_id":"\xff\xfe"}' $'{"booking_id":"\xed\xa0\x80"}' \
	    "$(printf '[%.0s' {1..5000})"; do
		webhook "$body"
		problem 400 not-json
	done
	printf '{"booking_id":"a\0b"}' >"$BATS_TEST_TMPDIR/nul"
	api POST /webhooks/booking-followup -H 'Content-Type: application/json' \
	    --data-binary "@$BATS_TEST_TMPDIR/nul"
	problem 400 not-json
	webhook ''
	problem 400 not-json
	not grep -q killed "$STACK/log/schedule.log"
}

@test "wrong values are refused by name" {
	for body in '{}' '{"booking_id":42}' '{"booking_id":null}' \
	    '{"booking_id":["a"]}'; do
		webhook "$body"
		problem 400 invalid
		[[ $BODY == *booking_id* ]]
	done
	webhook "{\"booking_id\":\"$NOBODY\",\"tenant_id\":42}"
	problem 400 invalid
	[[ $BODY == *tenant_id* ]]
	for text in '' test-123 "{$NOBODY}" "$NOBODY " "${NOBODY}0" \
	    "${NOBODY//-/}" "${NOBODY%3}g"; do
		webhook "{\"booking_id\":\"$text\"}"
		problem 400 not-a-uuid
	done
}

@test "sizes, types and lengths of bodies" {
	id=$(book)
	becomes "$id" scheduled
	json="{\"booking_id\":\"$id\"}"
	for type in text/plain application/jsonp ''; do
		api POST /webhooks/booking-followup -d "$json" \
		    -H "Content-Type: $type"
		problem 415 media-type
	done
	webhook "$json" -H 'Transfer-Encoding: chunked'
	expect 200
	api POST /webhooks/booking-followup -d "$json" \
	    -H 'Content-Type: Application/JSON; charset=utf-8'
	expect 200

	# 64 KiB is the limit, on both sides of nginx.
	pad=$((65536 - ${#json}))
	printf '%s%*s' "$json" "$pad" '' >"$BATS_TEST_TMPDIR/large"
	api POST /webhooks/booking-followup -H 'Content-Type: application/json' \
	    --data-binary "@$BATS_TEST_TMPDIR/large"
	expect 200
	printf ' ' >>"$BATS_TEST_TMPDIR/large"
	api POST /webhooks/booking-followup -H 'Content-Type: application/json' \
	    --data-binary "@$BATS_TEST_TMPDIR/large"
	problem 413 too-large

	# A length that lies.
	head='POST /webhooks/booking-followup HTTP/1.1\r\nHost: localhost\r\n'
	head+='Content-Type: application/json\r\nConnection: close\r\n'
	raw "${head}Content-Length: 10\r\n\r\n$json"
	[[ $STATUS == 400 ]]
	for length in -1 1e3 99999999999999999999 '10\r\nContent-Length: 20'; do
		raw "${head}Content-Length: $length\r\n\r\n$json"
		[[ $STATUS == 400 || $STATUS == 413 ]]
	done
	raw "${head}Transfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n"
	[[ $STATUS == 400 ]]
	webhook "$json"
	expect 200
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

@test "ids: upper case is a UUID, braces and others are not" {
	id=$(book)
	becomes "$id" scheduled
	api GET "/followups/${id^^}"
	expect 200 ".bookingId == \"$id\""
	webhook "{\"booking_id\":\"${id^^}\"}"
	expect 200 '.reason == "already scheduled"'
	for text in "%7B$id%7D" test-123 "${id}0" "${id%?}" "${id//-/}" \
	    "%27%20OR%201=1" 0; do
		api GET "/followups/$text"
		problem 400 not-a-uuid
		api DELETE "/followups/$text"
		problem 400 not-a-uuid
		api POST "/followups/$text/retry"
		problem 400 not-a-uuid
	done
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
	for query in limit=0 limit=501 limit=-1 limit=x limit= limit=+5 \
	    limit=5%00 limit=5% limit=%35%2 limit=5%+5 limit=5%0x before=x \
	    'before=2026-11-23T11:00:00.000000Z,x'; do
		api GET "/dead-letters?$query"
		problem 400 invalid
	done

	# Mended, it is called with the same key.
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
	api POST "/followups/$NOBODY/retry"
	problem 404 no-such-booking
}

@test "a dead letter that nobody wants any more can be cancelled" {
	make_dead_letters 1
	api DELETE "/followups/${ids[0]}"
	expect 200 .cancelled
	has_status "${ids[0]}" cancelled
	sql_is 0 "SELECT count(*) FROM lad_dev.followup_dead_letters
	    WHERE booking_id = '${ids[0]}'"
}

@test "wrong methods are told the right ones" {
	api PUT /webhooks/booking-followup
	problem 405 method-not-allowed
	header Allow: POST
	api GET /webhooks/booking-followup
	problem 405 method-not-allowed
	api POST "/followups/$NOBODY"
	problem 405 method-not-allowed
	header Allow: GET, DELETE
	api GET "/followups/$NOBODY/retry"
	problem 405 method-not-allowed
	header Allow: POST
	for path in /dead-letters /healthz /readyz; do
		api POST "$path"
		problem 405 method-not-allowed
		header Allow: GET
	done
}

@test "other paths are 404" {
	for path in / /webhooks /webhooks/booking-followup/ /followups \
	    /followups/ "/followups/$NOBODY/" "/followups/$NOBODY/retry/more" \
	    /DEAD-LETTERS /healthz2 "/bookings/$NOBODY/execute-followup"; do
		api GET "$path"
		problem 404 not-found
	done
}

@test "HEAD is GET without the body" {
	id=$(book)
	for path in /healthz /readyz /dead-letters "/followups/$id"; do
		raw "HEAD $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
		[[ $STATUS == 200 ]]
		grep -qix 'content-type: application/json' <<<"$ANSWER"
		[[ $ANSWER != *'{'* ]]
	done
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
	wait_for 5 eval 'api GET /readyz; expect 200'
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
	wait_for 5 eval 'api GET /readyz; expect 200'
}
