# A booking becomes one call at the right minute, whatever happens to it on
# the way.

# shellcheck disable=SC2030,SC2031,SC2153
# (every test is a subshell of its own, and lib.bash sets the names in capitals)

load lib

setup_file() {
	load lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s FOLLOWUP_CALL_TOKEN=call-token
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
}

teardown() {
	stack_reset
}

# epoch_of ID: when it is due, in whole seconds.
epoch_of() {
	column "$1" 'floor(extract(epoch FROM scheduled_at))::bigint'
}

# called_at ID: when its first call came, in ms since 1970.
called_at() {
	calls "$1" '.[0].time | (.[:19] + "Z" | fromdate) * 1000 +
	    (.[20:23] | tonumber)'
}

# called_once_due ID: exactly one call, not before the booking is due and not
# long after.
called_once_due() {
	local due at
	called "$1" 1
	due=$(column "$1" 'ceil(extract(epoch FROM scheduled_at) * 1000)::bigint')
	at=$(called_at "$1")
	echo "due $due, called $at"
	((at >= due && at < due + 5000))
}

# A booking due together with others: once it is executed, theirs would be.
fence() {
	local id
	id=$(book "$1")
	becomes "$id" executed
}

@test "a pause holds what fires, and each is called once after it" {
	id=$(book '3 seconds')
	becomes "$id" scheduled
	sql/followup-trigger pause --reason 'the agent is moved'
	overdue=$(book '-1 second')
	becomes "$id" pending
	[ "$(column "$id" execution_attempts)" = 0 ]
	api GET "/followups/$overdue"
	expect 200 '.explanation | contains("paused: the agent is moved")'
	sql/followup-trigger resume
	for each in "$id" "$overdue"; do
		becomes "$each" executed
		called "$each" 1
	done
}

# waits_until ID TIME: it has one task, which is for TIME (SQL), while key and
# body stay those of the time when it is due.
waits_until() {
	wait_for 15 sql_is "scheduled|t" "SELECT task_status,
	    task_scheduled_at = $2 FROM lad_dev.lead_bookings WHERE id = '$1'"
	[ "$(column "$1" "task_name ~ ('/followup-' || id || '-' ||
	    floor(extract(epoch FROM task_scheduled_at)) || '(-2)?$')")" = t ]
	[ "$(column "$1" "idempotency_key LIKE '%:' || to_char(scheduled_at
	    AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")" = t ]
	wait_for 5 has_tasks "$1" 1
	[ "$(tasks "$1" '.[0].scheduleTime[:19]')" = "$(sql "SELECT
	    to_char($2 AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')")" ]
	[ "$(tasks "$1" '.[0].httpRequest.body | @base64d | fromjson |
	    .scheduledAt')" = "$(column "$1" "to_char(scheduled_at AT TIME
	    ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")" ]
}

@test "what waits has a task for the end of that, and is called sooner if it may" {
	# Hours that begin in two to three hours, in the zone of none.
	opens="timestamptz '$(sql "SELECT date_trunc('hour', now())
	    + interval '3 hours'")'"
	hours=$(sql "SELECT to_char($opens AT TIME ZONE 'UTC', 'HH24:MI') ||
	    '-' || to_char($opens AT TIME ZONE 'UTC' + interval '30 min',
	    'HH24:MI')")
	sql/followup-trigger set calling_zone UTC
	sql/followup-trigger set calling_hours "mon-sun $hours"
	now=$(book '-1 second')
	soon=$(book '2 minutes')
	waits_until "$now" "$opens"
	waits_until "$soon" "$opens"
	api GET "/followups/$now"
	expect 200 '.explanation | test("^It waits \\(outside of calling " +
	    "hours, until .*\\): its task is in the queue")'

	# One that is moved meanwhile has another key, and one task.
	change "$soon" "scheduled_at = now() + interval '1 minute'"
	waits_until "$soon" "$opens"

	# A task that was there already fires, and waits for the same.
	sql/followup-trigger set calling_hours ''
	becomes "$now" executed
	called "$now" 1
	wait_for 15 sql_is t "SELECT task_scheduled_at = scheduled_at
	    FROM lad_dev.lead_bookings WHERE id = '$soon'"
	has_tasks "$soon" 1
	id=$(book '3 seconds')
	becomes "$id" scheduled
	until=$(sql "SELECT date_trunc('second', now()) + interval '1 hour'")
	sql/followup-trigger pause --reason 'the agent is moved' --until "$until"
	waits_until "$id" "timestamptz '$until'"
	[ "$(column "$id" "concat(execution_attempts, last_execution_error)")" \
	    = 0 ]
	logged execute "not called now: paused: the agent is moved.*$id"

	# The end of a pause may come sooner, though there is one.
	sql/followup-trigger pause --reason 'nearly done' \
	    --until "$(sql "SELECT now() + interval '4 seconds'")"
	becomes "$id" executed
	called "$id" 1

	sql/followup-trigger pause --reason 'once more' --until "$until"
	id=$(book '-1 second')
	waits_until "$id" "timestamptz '$until'"
	sql/followup-trigger resume
	becomes "$id" executed 10
	called "$id" 1
	sql_is 0 "SELECT count(*) FROM lad_dev.followup_failures"
}

@test "an INSERT by psql makes a task within two seconds" {
	run psql -XAtq -c "INSERT INTO lad_dev.lead_bookings
	    (tenant_id, lead_id, assigned_user_id, booking_type, booking_source,
	    scheduled_at, timezone, created_by) VALUES (
	    (SELECT id FROM lad_dev.tenants ORDER BY name LIMIT 1),
	    (SELECT id FROM lad_dev.leads ORDER BY phone LIMIT 1),
	    (SELECT id FROM lad_dev.users ORDER BY name LIMIT 1),
	    'auto_followup', 'system', now() + interval '10 minutes',
	    'Asia/Dubai', gen_random_uuid()) RETURNING id"
	[[ $output == *'Notification sent for follow-up booking: '* ]]
	id=$(tail -n 1 <<<"$output")
	becomes "$id" scheduled 2

	[[ $(column "$id" task_name) == \
	    "$QUEUE/tasks/followup-$id-$(epoch_of "$id")" ]]
	[[ $(column "$id" 'task_scheduled_at = scheduled_at') == t ]]
	has_tasks "$id" 1
	logged listener "Received booking notification booking_id=$id tenant_id=$TENANT"
	logged listener "Successfully scheduled Cloud Task booking_id=$id"
	logged schedule "\[FollowUpScheduler\] task created.*booking_id=$id"

	# The task says when, where, what, and who signs.
	iso=$(column "$id" "to_char(scheduled_at AT TIME ZONE 'UTC',
	    'YYYY-MM-DD\"T\"HH24:MI:SS.')")
	us=$(column "$id" "to_char(scheduled_at, 'US')")
	[[ $(tasks "$id" '.[0].scheduleTime') == "$iso$us"Z ]]
	[[ $(tasks "$id" '.[0].httpRequest.url') == \
	    "$PUBLIC_URL/bookings/$id/execute-followup" ]]
	[[ $(tasks "$id" '.[0].httpRequest.httpMethod') == POST ]]
	[[ $(tasks "$id" '.[0].httpRequest.headers["Content-Type"]') == \
	    application/json ]]
	[[ $(tasks "$id" '.[0].httpRequest.oidcToken') == \
	    "{\"audience\":\"$PUBLIC_URL/bookings\",\"serviceAccountEmail\":\"$ACCOUNT\"}" ]]
	body=$(tasks "$id" '.[0].httpRequest.body | @base64d | fromjson')
	[[ $(jq -c keys <<<"$body") == '["assignedUserId","bookingId","idempotencyKey","leadId","scheduledAt","tenantId"]' ]]
	[[ $(jq -r .bookingId <<<"$body") == "$id" ]]
	[[ $(jq -r .tenantId <<<"$body") == "$TENANT" ]]
	[[ $(jq -r .leadId <<<"$body") == "$LEAD" ]]
	[[ $(jq -r .assignedUserId <<<"$body") == "$(column "$id" assigned_user_id)" ]]
	[[ $(jq -r .scheduledAt <<<"$body") == "$iso${us:0:3}Z" ]]
	key=followup:$TENANT:$id:$iso${us:0:3}Z
	[[ $(jq -r .idempotencyKey <<<"$body") == "$key" ]]
	[[ $(column "$id" idempotency_key) == "$key" ]]
}

@test "another role, which may only INSERT, is noticed as well" {
	sql "CREATE ROLE application LOGIN;
	    GRANT USAGE ON SCHEMA lad_dev TO application;
	    GRANT INSERT, SELECT ON lad_dev.lead_bookings TO application"
	id=$(PGUSER=application book)
	[[ -n $id ]]
	becomes "$id" scheduled 2
	has_tasks "$id" 1
}

@test "what is due in the past is called at once" {
	id=$(book '-1 hour')
	becomes "$id" executed 5
	called "$id" 1
}

@test "what is due in seconds is called then, once, with a signed request" {
	id=$(book '2 seconds')
	becomes "$id" scheduled 2
	name=$(column "$id" task_name)
	becomes "$id" executed
	called_once_due "$id"

	call=$(calls "$id" '.[0]')
	[[ $(jq -r .method,.path <<<"$call") == $'POST\n/calls' ]]
	value() { jq -r --arg name "$1" '.headers[$name]' <<<"$call"; }
	[[ $(value idempotency-key) == "$(column "$id" idempotency_key)" ]]
	[[ $(value x-tenant-id) == "$TENANT" ]]
	[[ $(value content-type) == application/json* ]]
	[[ $(value authorization) == 'Bearer call-token' ]]
	[[ $(value traceparent) =~ ^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$ ]]
	[[ $(jq -r '.body | fromjson | .bookingId, .tenantId, .leadId,
	    .phoneNumber, .leadName' <<<"$call") == \
	    "$id"$'\n'"$TENANT"$'\n'"$LEAD"$'\n+15550100001\nSam Student' ]]

	# Standard Webhooks: HMAC-SHA256 over id.timestamp.body.
	key=$(printf %s "$CALL_KEY" | od -An -v -tx1 | tr -d ' \n')
	want=$({
		printf '%s.%s.' "$(value webhook-id)" "$(value webhook-timestamp)"
		jq -j .body <<<"$call"
	} | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
	[[ $(value webhook-signature) == "v1,$want" ]]
	[[ $(value webhook-id) == "followup-$id-$(epoch_of "$id")" ]]

	# The row tells the story, and the task is spent.
	[[ $(column "$id" 'execution_attempts, last_execution_error IS NULL,
	    executed_at >= scheduled_at') == '1|t|t' ]]
	[[ $(column "$id" task_name) == "$name" ]]
	wait_for 5 has_tasks "$id" 0
	for line in 'callback verified' 'call started' executed; do
		logged execute "\[FollowUpExecution\] $line booking_id=$id"
	done

	# One trace goes all the way, and history has each step of it.
	trace=$(value traceparent | cut -c 4-35)
	for line in 'listener Successfully scheduled' 'schedule task created' \
	    'execute callback verified' 'execute call started'; do
		logged "${line%% *}" "${line#* }.*booking_id=$id.*trace_id=$trace"
	done
	api GET "/followups/$id"
	story=$(jq -r '.history[] | [.what, .by, .httpStatus, .traceId] |
	    map(tostring) | join(" ")' <<<"$BODY")
	echo "$story"
	[[ $story == "executed followup-execute 200 $trace
attempt followup-execute null $trace
scheduled followup-schedule 200 $trace" ]]
}

@test "what is due in 45 days stays pending and says why" {
	id=$(book '45 days')
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .success '.scheduled == false' \
	    '.reason | test("horizon of 30 days")'
	api GET "/followups/$id"
	expect 200 '.taskStatus == "pending"' '.taskName == null' \
	    '.explanation | test("30 days")'
	has_tasks "$id" 0
}

@test "all follow-up types are scheduled, in any case, and others are left alone" {
	other=$(book '10 minutes' site_visit)
	for type in follow_up follow-up auto-follow-up followup auto_follow_up \
	    auto_followup manual_followup manual_follow_up scheduled_call \
	    Auto-Follow-Up SCHEDULED_CALL; do
		ids+=("$(book '10 minutes' "$type")")
	done
	for id in "${ids[@]}"; do
		becomes "$id" scheduled
		has_tasks "$id" 1
	done
	has_status "$other" pending
	has_tasks "$other" 0
	not logged listener "$other"
	webhook "{\"booking_id\":\"$other\"}"
	expect 200 .success '.scheduled == false' \
	    '.reason | test("not a follow-up type")'
}

@test "cancelled, soft-deleted or deleted: the task goes and nobody is called" {
	for _ in cancel soft delete; do
		ids+=("$(book '4 seconds')")
	done
	for id in "${ids[@]}"; do
		becomes "$id" scheduled
	done
	change "${ids[0]}" "task_status = 'cancelled'"
	change "${ids[1]}" 'is_deleted = true'
	sql "DELETE FROM lad_dev.lead_bookings WHERE id = '${ids[2]}'" 2>/dev/null
	for id in "${ids[@]}"; do
		wait_for 3 has_tasks "$id" 0
	done
	fence '4 seconds'
	for id in "${ids[@]}"; do
		called "$id" 0
	done
	has_status "${ids[0]}" cancelled
	has_status "${ids[1]}" cancelled
	sql_is 0 'SELECT count(*) FROM lad_dev.followup_obsolete_tasks'
}

@test "moved: called once, at the new time" {
	id=$(book)
	becomes "$id" scheduled
	old=$(column "$id" task_name)
	change "$id" "scheduled_at = now() + interval '2 seconds'"
	becomes "$id" executed
	called_once_due "$id"
	[[ $(column "$id" task_name) != "$old" ]]
	wait_for 5 has_tasks "$id" 0
}

@test "moved away and back: the burnt name is passed over, one call" {
	id=$(book '8 seconds')
	due=$(column "$id" scheduled_at)
	becomes "$id" scheduled
	first=$(column "$id" task_name)
	change "$id" "scheduled_at = now() + interval '1 hour'"
	becomes "$id" scheduled
	[[ $(column "$id" task_name) != "$first" ]]
	change "$id" "scheduled_at = '$due'"
	becomes "$id" executed
	[[ $(column "$id" task_name) == "$first-2" ]]
	called_once_due "$id"
	wait_for 5 has_tasks "$id" 0
}

@test "moved to and fro faster than it is scheduled: one call" {
	id=$(book '4 seconds')
	due=$(column "$id" scheduled_at)
	for round in 1 2 3 4 5; do
		change "$id" "scheduled_at = now() + interval '$round hours'"
		change "$id" "scheduled_at = '$due'"
	done
	becomes "$id" executed
	called_once_due "$id"
	wait_for 5 has_tasks "$id" 0
}

@test "moved while the triggers are disabled: superseded, called at the new time" {
	sql/followup-trigger disable
	id=$(book '3 seconds')
	becomes "$id" scheduled
	# No sweep comes before the task.
	stack stop listener
	change "$id" "scheduled_at = now() + interval '8 seconds'"
	wait_for 15 logged execute "superseded.*back to pending.*booking_id=$id"
	stack start listener
	sql/followup-trigger enable
	becomes "$id" executed
	called_once_due "$id"
}

@test "given to another tenant: superseded, called once, for that one" {
	id=$(book '3 seconds')
	becomes "$id" scheduled
	change "$id" "tenant_id = '22222222-2222-4222-8222-222222222222'"
	becomes "$id" executed
	called "$id" 1
	[[ $(calls "$id" '.[0].idempotencyKey') == followup:22222222-* ]]
	logged execute "superseded.*back to pending.*booking_id=$id"
}

# A trigger holds up followup-schedule where it writes the task down: at the
# statement (the row is free), until the test lets go.
hold_schedule() {
	sql "CREATE FUNCTION lad_dev.hold_schedule() RETURNS trigger
	    LANGUAGE plpgsql AS \$\$BEGIN
	    IF current_setting('application_name') = 'followup-schedule' THEN
		PERFORM pg_advisory_xact_lock_shared(4242);
	    END IF; RETURN NEW; END\$\$;
	    CREATE TRIGGER hold_schedule BEFORE UPDATE OF task_name
	    ON lad_dev.lead_bookings FOR EACH $1
	    EXECUTE FUNCTION lad_dev.hold_schedule()"
	hold 4242
}

release_schedule() {
	release
	sql 'DROP FUNCTION lad_dev.hold_schedule CASCADE' 2>/dev/null
}

@test "a task that fires before it is written down is executed, once" {
	hold_schedule STATEMENT
	id=$(book '-1 second')
	becomes "$id" executed
	[[ -z $(column "$id" task_name) ]]
	release_schedule

	# The name is added.
	wait_for 10 logged listener "Successfully scheduled Cloud Task booking_id=$id"
	[[ $(column "$id" task_name) == "$QUEUE/tasks/followup-$id-$(epoch_of "$id")" ]]
	has_status "$id" executed
	called "$id" 1
}

@test "a task that fires before it is written down, and dies: nobody knows" {
	restart execute FOLLOWUP_UNKNOWN_OUTCOME=dead-letter
	agent '{"delayMs": 10000}'
	hold_schedule STATEMENT
	id=$(book '-1 second')
	wait_for 10 called "$id" 1
	becomes "$id" pending 0
	release_schedule
	becomes "$id" scheduled
	stack kill execute
	FOLLOWUP_UNKNOWN_OUTCOME=dead-letter stack start execute
	becomes "$id" failed 20
	called "$id" 1
	logged execute "its outcome is not known.*$id"
}

# The same while making the task seems to fail.
@test "a task that fires although it seems not to be made: nobody knows" {
	restart execute FOLLOWUP_UNKNOWN_OUTCOME=dead-letter
	agent '{"delayMs": 25000}'
	faults '{"operation": "createTask", "reset": "after", "count": -1}'
	id=$(book '-1 second')
	wait_for 10 called "$id" 1
	# The second failure comes while the call is being started.
	wait_for 20 sql_is t "SELECT coalesce(max(attempts), 0) >= 2
	    FROM lad_dev.followup_failures
	    WHERE booking_id = '$id' AND stage = 'schedule'"
	stack kill execute
	faults '[]'
	sql_is 1 "SELECT count(*) FROM lad_dev.followup_attempts
	    WHERE booking_id = '$id'"
	FOLLOWUP_UNKNOWN_OUTCOME=dead-letter stack start execute
	becomes "$id" failed 30
	called "$id" 1
}

@test "a task that fires while its row is locked by that is executed, once" {
	hold_schedule ROW
	id=$(book '-1 second')
	wait_for 10 logged execute "callback verified booking_id=$id"
	release_schedule
	becomes "$id" executed
	[[ $(column "$id" task_name) == "$QUEUE/tasks/followup-$id-$(epoch_of "$id")" ]]
	called "$id" 1
	wait_for 5 has_tasks "$id" 0
}

@test "a booking that is posted many times at once gets one task" {
	stack stop listener
	id=$(book)
	for _ in {1..20}; do
		urls+=("$LOCAL_URL/webhooks/booking-followup")
	done
	answers=$(curl -sZ --parallel-immediate -m 30 --noproxy '*' -w '\n' \
	    -H 'Content-Type: application/json' \
	    -d "{\"booking_id\":\"$id\"}" "${urls[@]}")
	stack start listener
	echo "$answers"
	[[ $(jq -s 'map(select(.success or
	    .type == "urn:followup-scheduler:unavailable")) | length' \
	    <<<"$answers") == 20 ]]
	[[ $(jq -s 'map(select(.scheduled)) | length' <<<"$answers") == 1 ]]
	[[ $(log_lines schedule "task created.*booking_id=$id") == 1 ]]
	has_tasks "$id" 1
}

@test "a quoted schema and table, local times, and a time zone that is none" {
	schema='Odd "Schema"' table="Lead's Bookings"
	sql 'CREATE SCHEMA "Odd ""Schema""";
	    CREATE TABLE "Odd ""Schema""".leads AS TABLE lad_dev.leads;
	    CREATE TABLE "Odd ""Schema"""."Lead'"'"'s Bookings" (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		tenant_id uuid NOT NULL, lead_id uuid,
		booking_type varchar(50) NOT NULL,
		scheduled_at timestamp NOT NULL, timezone varchar(64))'
	sql/followup-trigger install --schema "$schema" --table "$table" \
	    --grant-to followup
	sql/followup-trigger verify --schema "$schema" --table "$table" \
	    --grant-to followup
	for name in schedule execute listener; do
		restart "$name" "POSTGRES_SCHEMA=$schema" "FOLLOWUP_TABLE=$table"
	done

	odd='"Odd ""Schema"""."Lead'"'"'s Bookings"'
	book_odd() {
		sql "INSERT INTO $odd (tenant_id, lead_id, booking_type,
		    scheduled_at, timezone) VALUES ('$TENANT', '$LEAD', 'followup',
		    now() AT TIME ZONE '$1' + interval '2 seconds', '$2')
		    RETURNING id" 2>/dev/null
	}
	bad=$(book_odd UTC Moon/Tranquility)
	good=$(book_odd Asia/Dubai Asia/Dubai)
	wait_for 15 sql_is executed "SELECT task_status FROM $odd WHERE id = '$good'"
	called "$good" 1
	sql_is t "SELECT executed_at >= scheduled_at AT TIME ZONE timezone
	    FROM $odd WHERE id = '$good'"
	wait_for 15 sql_is failed "SELECT task_status FROM $odd WHERE id = '$bad'"
	called "$bad" 0
	api GET /dead-letters
	expect 200 '.deadLetters | length == 1' \
	    ".deadLetters[0].bookingId == \"$bad\"" \
	    '.deadLetters[0].error | test("Moon/Tranquility")'

	# Corrected, it is called as well.
	sql "UPDATE $odd SET timezone = 'Europe/Berlin', scheduled_at =
	    now() AT TIME ZONE 'Europe/Berlin' WHERE id = '$bad'" 2>/dev/null
	wait_for 15 sql_is executed "SELECT task_status FROM $odd WHERE id = '$bad'"
	called "$bad" 1
	api GET /readyz
	expect 200
}

@test "a shared secret does instead of signed tokens" {
	for name in schedule execute; do
		restart "$name" CLOUD_TASKS_SECRET=canary-tasks-secret \
		    GCP_CLOUD_TASKS_SERVICE_ACCOUNT=
	done
	id=$(book '2 seconds')
	becomes "$id" scheduled
	[[ $(tasks "$id" '.[0].httpRequest.oidcToken') == null ]]
	becomes "$id" executed
	called "$id" 1

	request POST "$PUBLIC_URL/bookings/$id/execute-followup" \
	    -H 'X-CloudTasks-Secret: another' -d '{}'
	problem 401 unauthorized
	request POST "$PUBLIC_URL/bookings/$id/execute-followup" -d '{}'
	problem 401 unauthorized
	not in_any_log canary-tasks-secret
}

@test "a key that everybody can read stops the program, which says the way out" {
	make_credentials
	chmod 644 "$CREDENTIALS"
	google() {
		run in_stack env CLOUD_TASKS_EMULATOR_HOST= \
		    CLOUD_TASKS_ENDPOINT="$EMULATOR_URL" \
		    GOOGLE_APPLICATION_CREDENTIALS="$CREDENTIALS" \
		    timeout 10 "$BUILD/followup-schedule" -t
		echo "$output"
	}
	google
	[[ $status == 1 && ${#lines[@]} == 1 ]]
	[[ $output =~ (chmod o-rwx .*credentials.json), ]]
	eval "${BASH_REMATCH[1]}"
	google
	[[ $status == 0 ]]
}

@test "with CLOUD_TASKS_ENDPOINT and a service account it works end to end" {
	make_credentials
	restart schedule CLOUD_TASKS_ENDPOINT="$EMULATOR_URL" \
	    GOOGLE_APPLICATION_CREDENTIALS="$CREDENTIALS"
	id=$(book '2 seconds')
	becomes "$id" executed
	called_once_due "$id"
}

@test "the API is called with a bearer that the account's key has signed" {
	make_credentials
	restart schedule CLOUD_TASKS_ENDPOINT="$VOICE_AGENT_URL/api" \
	    GOOGLE_APPLICATION_CREDENTIALS="$CREDENTIALS"
	stack stop listener
	id=$(book)
	agent "$(task_created "$id")"
	stack start listener
	becomes "$id" scheduled

	# The voice agent stands in for the API here, and records the request.
	call=$(curl -s --noproxy '*' "$VOICE_AGENT_URL/calls" | jq -c --arg id "$id" \
	    '[.calls[] | select((.path | startswith("/api/")) and
	    (.body | contains($id)))][0]')
	[[ $(jq -r .path <<<"$call") == "/api/v2/$QUEUE/tasks" ]]
	token=$(jq -r '.headers.authorization' <<<"$call")
	[[ $token == 'Bearer '* ]]
	IFS=. read -r head claims signature <<<"${token#Bearer }"
	[[ $(decode "$head" | jq -r '.alg, .kid') == $'RS256\nkey-1' ]]
	account=scheduler@demo-project.iam.gserviceaccount.com
	decode "$claims" | jq -e --arg account "$account" '.iss == $account and
	    .sub == $account and .exp - .iat <= 3600 and .exp > now and
	    .scope == "https://www.googleapis.com/auth/cloud-platform"'
	openssl pkey -in "$BATS_TEST_TMPDIR/account.pem" -pubout \
	    -out "$BATS_TEST_TMPDIR/account.pub"
	decode "$signature" >"$BATS_TEST_TMPDIR/signature"
	printf '%s.%s' "$head" "$claims" | openssl dgst -sha256 \
	    -verify "$BATS_TEST_TMPDIR/account.pub" \
	    -signature "$BATS_TEST_TMPDIR/signature"
	not in_any_log "$signature"
}
