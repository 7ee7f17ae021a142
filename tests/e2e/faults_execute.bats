# The lines of the README's table of failures, as far as starting a call goes:
# each fault is brought about, and mended, and then everybody was called, with
# one key a booking.
# shellcheck disable=SC2016,SC2030,SC2031,SC2153

load lib
load faults-lib

setup_file() {
	load lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s FOLLOWUP_CALL_TIMEOUT=5s
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	faults_setup
}

teardown() {
	faults_reset
}

# executed_with ID N: after N calls with one key, and the task is spent.
executed_with() {
	becomes "$1" executed 20
	one_key "$1" "$2"
	wait_for 5 has_tasks "$1" 0
	[[ $(column "$1" 'last_execution_error IS NULL') == t ]]
}

# failed_with ID N: after N calls it is a dead letter, and the queue has heard
# that it need not come back.  If that took less time than to write the task's
# name into the row, the task is nobody's and was deleted before it heard.
failed_with() {
	local heard='attempt [1-9][0-9]*: .*200.*done'
	local too_late='a task deleted while under way ended: .*200'

	becomes "$1" failed 20
	called "$1" "$2"
	wait_for 5 has_tasks "$1" 0
	wait_for 5 logged emulator "($heard|$too_late).*$1"
	logged execute "dead letter: .*call .*started.*$1"
}

# answered ID STATUS: the public server has answered a callback so.
answered() {
	grep -q "/$1/execute-followup[^ ]* $2 " <(sed 's/" / /; s/ HTTP[^ ]*//' \
	    "$STACK/log/followup-public.access.log")
}

# being_called: a booking whose call is being started; sets id.  It takes as
# many milliseconds.
being_called() {
	agent "{\"delayMs\": $1}"
	id=$(book '-1 second')
	wait_for 10 called "$id" 1
	becomes "$id" scheduled
}

# fence DUE: one that is due then has been called.
fence() {
	local fence
	fence=$(book "$1")
	becomes "$fence" executed
}

@test "the voice agent: 503, 500, 429 with Retry-After, no answer in time" {
	restart execute FOLLOWUP_CALL_TIMEOUT=1s
	agent '[{"status": 503}, {"status": 500}, {"delayMs": 2500},
	    {"status": 429, "headers": {"Retry-After": "3"}}]'
	for _ in 1 2 3 4; do
		ids+=("$(book '-1 second')")
	done
	for id in "${ids[@]}"; do
		executed_with "$id" 2
		statuses+=" $(calls "$id" '.[0].status')"
		if [[ $statuses == *429 ]]; then
			gap=$(calls "$id" 'map(.time | (.[:19] + "Z" | fromdate) +
			    (.[20:23] | tonumber) / 1000) | .[1] - .[0]')
		fi
	done
	jq -e '. >= 3' <<<"$gap"
	[[ $(tr ' ' '\n' <<<"$statuses" | sort | xargs) == '200 429 500 503' ]]
	logged execute 'the voice agent did not answer: .*timed out'
	logged execute 'attempt 1 of 8 to start the call failed: .*answered 50'
}

@test "the voice agent: it does not run, then it does" {
	stack kill voice-agent
	id=$(book '-1 second')
	tried() { [[ $(column "$id" last_execution_error) == \
	    *'did not answer'* ]]; }
	wait_for 10 tried
	has_status "$id" scheduled
	api GET "/followups/$id"
	expect 200 '.explanation | test("Cloud Tasks tries again|without losing attempts")'
	stack start voice-agent
	executed_with "$id" 1
	[[ $(column "$id" execution_attempts) == 1 ]]
}

# calls_made: how often the voice agent was asked for a call.
calls_made() {
	curl -s -m 20 --noproxy '*' "$VOICE_AGENT_URL/calls" |
	    jq '.calls | length'
}

# due_since TIME CONDITION: how many of the bookings made since are so.
due_since() {
	sql "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE created_at >= '$1' AND $2"
}

# all_called TIME: all bookings that were made since.
all_called() {
	[[ $(due_since "$1" "task_status <> 'executed'") == 0 ]]
}

# held_back: /readyz says so.
held_back() {
	api GET /readyz
	jq -e 'any(.troubles[]?; .code == "voice-agent")' <<<"$BODY"
}

# How long nobody can be called, in seconds, and how many bookings come due
# meanwhile: OUTAGE=600 OUTAGE_BOOKINGS=1000 is what a bad day looks like.
OUTAGE=${OUTAGE:-20}
OUTAGE_BOOKINGS=${OUTAGE_BOOKINGS:-200}

# outage: an outage from its beginning to its end.  Sets since.
outage() {
	since=$(sql 'SELECT now()')
	mark execute
	access=$(wc -l <"$STACK/log/followup-public.access.log")
	sql/followup-trigger set calling_zone UTC
	sql/followup-trigger set calling_hours "mon-sun $(sql "SELECT
	    to_char(t - interval '1 hour', 'HH24:MI-') ||
	    to_char(t + interval '2 hours', 'HH24:MI')
	    FROM (SELECT now() AT TIME ZONE 'UTC' AS t) AS n")"
	sql/followup-trigger set call_within "$((OUTAGE + 1200))s"
	sql "INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
	    booking_type, scheduled_at) SELECT '$TENANT', '$LEAD',
	    'auto_followup', now() + interval '1 second' + i * interval '1 s'
	    * $OUTAGE / $OUTAGE_BOOKINGS
	    FROM generate_series(0, $OUTAGE_BOOKINGS - 1) AS i" 2>/dev/null
	wait_for 25 logged_since execute 'breaker open, no call is begun'
	wait_for 10 held_back
	over() { sql_is t "SELECT now() > '$since'::timestamptz
	    + interval '$OUTAGE s'"; }
	wait_for $((OUTAGE + 5)) over
	[[ $(due_since "$since" "task_status IN ('executed', 'failed')") == 0 ]]
}

# slowed_down_since: when the queue was first asked to slow down in this outage,
# and when the breaker opened, in seconds since 1970.
slowed_down_since() {
	date +%s -d "$(tail -n +$((access + 1)) \
	    "$STACK/log/followup-public.access.log" |
	    awk '/execute-followup[^"]*" 503 / { print $1; exit }')"
}
opened_at() {
	date +%s -d "$(logged_since execute 'breaker open, no call is begun' |
	    sed 's/ .*//;q')"
}

# outage_over: all are called, within the hours and not too late, no attempt was
# spent, and no failure of one booking slowed the queue down.
outage_over() {
	wait_for $((90 + OUTAGE)) all_called "$since"
	sql_is 0 'SELECT count(*) FROM lad_dev.followup_dead_letters'
	sql "SELECT count(*) || ' called, at the latest ' || max(executed_at)
	    - '$since' || ' after the beginning, and late by at most ' ||
	    max(executed_at - scheduled_at) FROM lad_dev.lead_bookings
	    WHERE created_at >= '$since'" >&3
	[[ $(due_since "$since" true) == "$OUTAGE_BOOKINGS" ]]
	[[ $(due_since "$since" "executed_at - scheduled_at >
	    interval '$((OUTAGE + 1200)) s'") == 0 ]]
	(($(slowed_down_since) >= $(opened_at)))
	sql "DELETE FROM lad_dev.followup_settings
	    WHERE name LIKE 'call%'"
	[[ $(due_since "$since" 'execution_attempts > 1') == 0 ]]
	logged_since execute 'the voice agent answers again: breaker closed'
	api GET /readyz
	expect 200
}

@test "the voice agent: an outage of 503 makes no dead letter" {
	sql 'DELETE FROM lad_dev.followup_failures'
	before=$(calls_made)
	agent '{"status": 503, "count": -1}'
	outage
	(($(calls_made) - before <= 40 + OUTAGE / 5))
	agent '[]'
	outage_over
}

@test "the voice agent: an outage without a connection costs no attempt" {
	sql 'DELETE FROM lad_dev.followup_failures'
	stack kill voice-agent
	outage
	stack start voice-agent
	outage_over
}

@test "the voice agent: 429 with Retry-After holds back all" {
	since=$(sql 'SELECT now()')
	agent '{"status": 429, "headers": {"Retry-After": "3"}}'
	book_many 30 '1 second'
	wait_for 40 all_called "$since"

	# Those that were on their way when it was said arrived at once.
	gap=$(curl -s -m 20 --noproxy '*' "$VOICE_AGENT_URL/calls" | jq '.calls
	    | map({status, at: ((.time | .[:19] + "Z" | fromdate) +
	    (.time[20:23] | tonumber) / 1000)})
	    | (map(select(.status == 429)) | last.at) as $said
	    | map(.at - $said | select(. > 0.5)) | min')
	jq -e '. >= 3' <<<"$gap"
}

@test "the voice agent: what fails for one booking does not slow the queue" {
	# So that no summary of what the last test logged comes after the mark.
	restart execute
	mark execute
	agent '{"status": 500, "count": 3}'
	id=$(book '-1 second')
	executed_with "$id" 4
	[[ $(column "$id" execution_attempts) == 4 ]]
	answered "$id" 500
	not answered "$id" 503
	not logged_since execute 'breaker'
}

@test "nobody knows: the answer was lost; retry: the same key again" {
	agent '{"reset": "after"}'
	id=$(book '-1 second')
	executed_with "$id" 2
	[[ $(calls "$id" 'map(.status, .duplicate)') == '[null,false,200,true]' ]]
	[[ $(calls "$id" 'map(.callId) | unique | length') == 1 ]]
	[[ $(column "$id" execution_attempts) == 2 ]]
}

@test "nobody knows: the answer was lost; dead-letter: a person decides" {
	restart execute FOLLOWUP_UNKNOWN_OUTCOME=dead-letter
	agent '{"reset": "after"}'
	id=$(book '-1 second')
	failed_with "$id" 1
	dead_letter "$id" '.stage == "execute"' '.attempts == 1' \
	    '.error | test("ask the voice agent.*did not answer")'
	for status in 500 502 504 408; do
		agent "{\"status\": $status}"
		id=$(book '-1 second')
		failed_with "$id" 1
		dead_letter "$id" ".httpStatus == $status" \
		    '.error | test("ask the voice agent")'
	done

	# It is at work on our key: it is asked again.
	agent '{"status": 409}'
	id=$(book '-1 second')
	executed_with "$id" 2

	# What is known not to have been started is tried again all the same.
	agent '{"status": 503}'
	id=$(book '-1 second')
	executed_with "$id" 2
	stack stop voice-agent
	id=$(book '-1 second')
	tried() { [[ -n $(column "$id" last_execution_error) ]]; }
	wait_for 10 tried
	has_status "$id" scheduled
	stack start voice-agent
	executed_with "$id" 1
}

@test "nobody knows: followup-execute was killed; retry: the same key again" {
	being_called 1500
	stack kill execute
	has_status "$id" scheduled
	[[ $(column "$id" last_execution_error) == *'outcome is not known'* ]]
	stack start execute
	executed_with "$id" 2
	[[ $(calls "$id" 'map(.duplicate)') == '[false,true]' ]]
}

@test "nobody knows: followup-execute was killed; dead-letter: a person decides" {
	restart execute FOLLOWUP_UNKNOWN_OUTCOME=dead-letter
	being_called 1500
	stack kill execute
	FOLLOWUP_UNKNOWN_OUTCOME=dead-letter stack start execute
	failed_with "$id" 1
	dead_letter "$id" '.stage == "execute"' \
	    '.error | test("its outcome is not known: ask the voice agent")'
	retry "$id"
	executed_with "$id" 2
}

@test "nobody knows, and the task is gone: dead-letter: a person decides" {
	restart execute FOLLOWUP_UNKNOWN_OUTCOME=dead-letter
	restart schedule FOLLOWUP_OVERDUE_GRACE=1s
	restart listener FOLLOWUP_OVERDUE_GRACE=1s
	being_called 15000
	stack kill execute
	queue purge
	FOLLOWUP_UNKNOWN_OUTCOME=dead-letter stack start execute
	becomes "$id" failed 30
	called "$id" 1
	logged schedule "its task is gone: making another one.*$id"
	[[ $(column "$id" execution_attempts) == 1 ]]
}

@test "dispatched twice at once: one 409, one call" {
	# The queue forgets that the first one is on its way.
	being_called 4500
	stack kill emulator
	stack start emulator
	wait_for 5 answered "$id" 409
	called "$id" 1
	has_status "$id" scheduled
	executed_with "$id" 1
	[[ $(column "$id" execution_attempts) == 1 ]]
	logged execute "another attempt at this call is running.*$id"
}

@test "moved while the call is being started: it stays executed" {
	# Far away: its new task is deleted.
	being_called 1500
	old=$(column "$id" task_name)
	change "$id" "scheduled_at = now() + interval '1 hour'"
	new_task() { [[ $(column "$id" task_name) == "$QUEUE"*[0-9] &&
	    $(column "$id" task_name) != "$old" ]]; }
	wait_for 3 new_task
	executed_with "$id" 1
	[[ $(column "$id" task_name) == "$old" ]]
	sql_is 0 'SELECT count(*) FROM lad_dev.followup_obsolete_tasks'

	# At once: its new task meets the call, and then finds that it was made.
	being_called 1500
	old=$(column "$id" task_name)
	change "$id" 'scheduled_at = now()'
	wait_for 3 answered "$id" 409
	executed_with "$id" 1
	[[ $(column "$id" task_name) == "$old" ]]
}

@test "cancelled while the call is being started: it ends executed" {
	being_called 1500
	change "$id" "task_status = 'cancelled'"
	becomes "$id" executed
	called "$id" 1
	wait_for 5 has_tasks "$id" 0
	fence '1 second'
	called "$id" 1
	has_status "$id" executed
	sql_is 0 'SELECT count(*) FROM lad_dev.followup_obsolete_tasks'
}

@test "cancelled by the API while the call is being started: told what comes of it" {
	being_called 1500
	api DELETE "/followups/$id"
	expect 202 '.cancelled == false' \
	    '.reason | test("cannot be stopped.*becomes executed")'
	api GET "/followups/$id"
	expect 200 '.taskStatus == "cancelled"' \
	    '.explanation | test("if the voice agent took it")'
	becomes "$id" executed
	api DELETE "/followups/$id"
	expect 409
	called "$id" 1

	# The agent does not take it.
	agent '{"delayMs": 1500, "status": 503}'
	id=$(book '-1 second')
	wait_for 10 called "$id" 1
	becomes "$id" scheduled
	api DELETE "/followups/$id"
	expect 202
	cancelled() {
		api GET "/followups/$id"
		jq -e '.explanation | test("cancelled, and not called")' \
		    <<<"$BODY" >/dev/null
	}
	wait_for 5 cancelled
	has_status "$id" cancelled
	fence '1 second'
	called "$id" 1
}

@test "started, but that could not be written: PostgreSQL is killed meanwhile" {
	being_called 1500
	stack kill postgres
	[[ $(calls "$id" length) == 1 ]]
	stack start postgres
	becomes "$id" executed 30
	[[ $(calls "$id" 'map(.idempotencyKey) | unique | length') == 1 ]]
	wait_for 10 has_tasks "$id" 0
	has_status "$id" executed
}

@test "the voice agent: attempts used up, a dead letter, retried by the API" {
	restart execute FOLLOWUP_MAX_EXECUTION_ATTEMPTS=2
	agent '{"status": 503, "count": 2, "body": "no line is free"}'
	id=$(book '-1 second')
	failed_with "$id" 2
	dead_letter "$id" '.stage == "execute"' '.attempts == 2' \
	    '.httpStatus == 503' '.error | test("no line is free")' \
	    '.firstFailedAt < .lastFailedAt'
	retry "$id"
	executed_with "$id" 3
	[[ $(column "$id" execution_attempts) == 1 ]]
	[[ -z $(failure "$id" attempts) ]]
}

@test "the voice agent refuses: 400, 302; or there is no phone number" {
	agent "[{\"status\": 400, \"body\": \"no such campaign\"},
	    {\"status\": 302, \"headers\": {\"Location\":
	    \"$VOICE_AGENT_URL/elsewhere\"}}]"
	lead=$(sql "INSERT INTO lad_dev.leads (tenant_id, first_name, phone)
	    VALUES ('$TENANT', 'Nameless', ' ') RETURNING id")
	mute=$(book '-1 second' auto_followup "$lead")
	failed_with "$mute" 0
	dead_letter "$mute" '.stage == "execute"' '.httpStatus == null' \
	    '.error | test("no phone number")'
	refused=$(book '-1 second')
	failed_with "$refused" 1
	dead_letter "$refused" '.attempts == 1' '.httpStatus == 400' \
	    '.error | test("no such campaign")'
	moved=$(book '-1 second')
	failed_with "$moved" 1
	dead_letter "$moved" '.attempts == 1' '.httpStatus == 302'
	[[ $(calls "$moved" 'map(.path)') == '["/calls"]' ]]

	# All are mended, and replayed together.
	sql "UPDATE lad_dev.leads SET phone = '+15550100009' WHERE id = '$lead'"
	api POST /dead-letters/retry -H 'Content-Type: application/json' \
	    -d '{"stage": "execute"}'
	expect 200 .success '.retried >= 3'
	for id in "$mute" "$refused" "$moved"; do
		becomes "$id" executed
	done
	[[ $(calls "$mute" '.[0].body | fromjson | .phoneNumber') == +15550100009 ]]
	called "$mute" 1
	called "$refused" 2
	called "$moved" 2
}

@test "the keys of the tokens are away when a task fires: 503, called later" {
	agent '{"method": "GET", "status": 503, "count": -1}'
	restart execute OIDC_JWKS_URL="$VOICE_AGENT_URL/certs"
	id=$(book '-1 second')
	wait_for 10 answered "$id" 503
	called "$id" 0
	[[ $(column "$id" 'task_status, execution_attempts') == 'scheduled|0' ]]
	logged execute 'keys of callback tokens could not be fetched'
	agent "$(curl -sf --noproxy '*' "$EMULATOR_URL/oauth2/v3/certs" |
	    jq -c '{method: "GET", status: 200, count: -1, body: tojson}')"
	executed_with "$id" 1
	[[ $(column "$id" execution_attempts) == 1 ]]
}

@test "nginx and followup-execute are down when a task fires: called later" {
	for name in nginx execute; do
		id=$(book '2 seconds')
		becomes "$id" scheduled
		stack stop "$name"
		wait_for 10 logged emulator "attempt 1: .*again in.*$id"
		called "$id" 0
		[[ $(column "$id" 'task_status, execution_attempts') == \
		    'scheduled|0' ]]
		stack start "$name"
		executed_with "$id" 1
		[[ $(column "$id" execution_attempts) == 1 ]]
	done
}

@test "PostgreSQL is down when a task fires: called once it is back" {
	id=$(book '2 seconds')
	becomes "$id" scheduled
	stack kill postgres
	wait_for 10 answered "$id" 503
	called "$id" 0
	stack start postgres
	executed_with "$id" 1
	[[ $(column "$id" execution_attempts) == 1 ]]
}

@test "started, but every attempt died: a dead letter when none is left" {
	# Everybody has noticed that PostgreSQL is back.
	becomes "$(book)" scheduled 30
	id=$(book '2 seconds')
	becomes "$id" scheduled
	# As the row is when the program has died in the middle of each attempt.
	most=$(in_stack printenv FOLLOWUP_MAX_EXECUTION_ATTEMPTS || echo 8)
	sql "INSERT INTO lad_dev.followup_attempts VALUES ('$id')"
	change "$id" "execution_attempts = $most"
	becomes "$id" failed 15
	called "$id" 0
	sql_is execute "SELECT stage FROM lad_dev.followup_dead_letters
	    WHERE booking_id = '$id'"
}

@test "cancelled while its call is being refused: no dead letter" {
	agent '{"status": 400, "delayMs": 1000, "count": 1}'
	id=$(book '-1 second')
	wait_for 10 called "$id" 1
	has_status "$id" scheduled
	change "$id" "task_status = 'cancelled'"
	wait_for 10 logged execute "changed while its call failed.*$id"
	has_status "$id" cancelled
	sql_is 0 "SELECT count(*) FROM lad_dev.followup_dead_letters
	    WHERE booking_id = '$id'"
	! logged execute "dead letter.*$id" || return 1
}
