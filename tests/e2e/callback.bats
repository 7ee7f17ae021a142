# The callback: who gets in, and what becomes of a booking when the call goes
# well, badly, slowly or not at all.

# shellcheck disable=SC2030,SC2031,SC2153
# (every test is a subshell of its own, and lib.bash sets the names in capitals)

load lib

setup_file() {
	load lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
	queue_keys
}

teardown() {
	stack_reset
	agent '[]'
}

# callback ID TOKEN [BODY [CURL-OPTION]...]: as Cloud Tasks does, though not
# waiting for the time.
callback() {
	local body=${3:-}
	[[ -n $body ]] || body=$(task_body "$1")
	request POST "$PUBLIC_URL/bookings/$1/execute-followup" \
	    -H 'Content-Type: application/json' -H "Authorization: Bearer $2" \
	    -d "$body" "${@:4}"
}

# A booking with its task in the queue, for later: sets id.
scheduled() {
	id=$(book)
	becomes "$id" scheduled
}

# refused TOKEN: for the booking of id, whose body is in ${body}.
refused() {
	callback "$id" "$1" "$body"
	[[ $STATUS == 401 ]]
}

# Nothing has become of the booking of id.
untouched() {
	problem 401 unauthorized
	called "$id" 0
	[[ $(column "$id" 'task_status, execution_attempts') == 'scheduled|0' ]]
}

@test "no token, or none that can be read: 401" {
	scheduled
	request POST "$PUBLIC_URL/bookings/$id/execute-followup" \
	    -H 'Content-Type: application/json' -d "$(task_body "$id")"
	problem 401 unauthorized
	header WWW-Authenticate: Bearer
	body=$(task_body "$id")
	good=$(token)
	for text in x a.b.c .. "${good%.*}" "${good%.*}." "$good.x" "$good=" \
	    "${good}A" "$(printf 'a%.0s' {1..7000})"; do
		refused "$text"
	done

	# The identity of a task is no proof.
	callback "$id" '' '' -H "X-CloudTasks-TaskName: followup-$id" \
	    -H 'User-Agent: Google-Cloud-Tasks'
	untouched
	[[ $(log_lines execute 'callback refused: ') -ge 10 ]]
	not in_any_log "${good##*.}"
}

@test "a token that is signed by another key, or not at all: 401" {
	scheduled
	body=$(task_body "$id")
	openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
	    -out "$BATS_TEST_TMPDIR/foreign.pem"
	refused "$(sign "$(claims)" "$BATS_TEST_TMPDIR/foreign.pem" "$KID")"
	refused "$(sign "$(claims)" "$BATS_TEST_TMPDIR/foreign.pem" foreign)"
	for head in '.alg = "none"' '.alg = "HS256"' '.alg = "rs256"' \
	    '.alg = "RS384"' '.crit = ["exp"]' 'del(.kid)' 'del(.alg)'; do
		refused "$(sign "$(claims)" "$KEY" "$KID" "$head")"
	done

	# What was signed is what counts.
	IFS=. read -r head _ signature <<<"$(token)"
	refused "$head.$(claims '.exp += 1' | base64url).$signature"
	refused "$(sign '{"iss":' "$KEY" "$KID")"
	untouched
}

@test "a token with another issuer, audience, account or time: 401" {
	scheduled
	body=$(task_body "$id")
	for change in '.iss = "https://accounts.example.com"' 'del(.iss)' \
	    '.aud = "https://example.com"' '.aud += "/"' 'del(.aud)' '.aud = []' \
	    '.email = "somebody@example.com"' 'del(.email)' \
	    '.email_verified = false' '.email_verified = "true"' \
	    'del(.email_verified)' '.exp = (now | floor) - 3600' 'del(.exp)' \
	    '.exp |= tostring' '.exp = 1e300' '.iat = (now | floor) + 3600' \
	    'del(.iat)' '.nbf = (now | floor) + 3600'; do
		echo "$change"
		refused "$(token "$change")"
	done
	untouched
}

@test "good tokens: the plain one, and all that OpenID Connect allows" {
	for change in . '.iss = "accounts.google.com"' '.aud = [.aud, "other"]' \
	    ".aud += \"/ID/execute-followup\"" '.nbf = .iat' '.exp += 0.5'; do
		scheduled
		callback "$id" "$(token "${change/ID/$id}")"
		expect 200 .success '.status == "executed"' ".bookingId == \"$id\""
		called "$id" 1
	done
}

@test "path, body and row must agree" {
	scheduled
	good=$(token)
	for change in '.bookingId = "33333333-3333-4333-8333-333333333333"' \
	    'del(.tenantId)' \
	    '.tenantId = "22222222-2222-4222-8222-222222222222"'; do
		echo "$change"
		callback "$id" "$good" "$(task_body "$id" "$change")"
		problem 400 invalid
	done
	called "$id" 0
	has_status "$id" scheduled
}

@test "a second dispatch while the first one runs: 409, and one call" {
	scheduled
	agent '{"delayMs": 1500}'
	good=$(token)
	callback "$id" "$good" 3>&- &
	first=$!
	wait_for 5 called "$id" 1
	callback "$id" "$good"
	problem 409 conflict
	wait "$first"
	becomes "$id" executed
	callback "$id" "$good"
	expect 200 .success '.status == "already_executed"'
	called "$id" 1
}

@test "cancelled, deleted or superseded: 200, skipped, nobody called" {
	good=$(token)
	scheduled
	change "$id" "task_status = 'cancelled'"
	callback "$id" "$good"
	expect 200 .success '.status == "skipped"' '.reason | test("cancelled")'
	called "$id" 0

	scheduled
	body=$(task_body "$id")
	change "$id" 'is_deleted = true'
	callback "$id" "$good" "$body"
	expect 200 '.status == "skipped"'
	called "$id" 0

	scheduled
	body=$(task_body "$id")
	sql "DELETE FROM lad_dev.lead_bookings WHERE id = '$id'" 2>/dev/null
	callback "$id" "$good" "$body"
	expect 200 '.status == "skipped"' '.reason | test("deleted")'
	called "$id" 0

	scheduled
	body=$(task_body "$id")
	change "$id" "scheduled_at = scheduled_at + interval '1 hour'"
	becomes "$id" scheduled
	callback "$id" "$good" "$body"
	expect 200 '.status == "skipped"' '.reason | test("superseded")'
	callback "$id" "$good" '' -H "X-CloudTasks-TaskName: followup-$id-1"
	expect 200 '.status == "skipped"' '.reason | test("superseded")'
	called "$id" 0
	becomes "$id" scheduled
}

@test "a voice agent in trouble is asked again, with the same key" {
	agent '{"status": 503, "count": 2}'
	id=$(book '-1 second')
	becomes "$id" executed 20
	called "$id" 3
	[[ $(calls "$id" '[.[].status]') == '[503,503,200]' ]]
	[[ $(calls "$id" '[.[].idempotencyKey] | unique | length') == 1 ]]
	[[ $(calls "$id" '[.[].headers["webhook-id"]] | unique | length') == 1 ]]
	[[ $(column "$id" 'execution_attempts, last_execution_error IS NULL') == \
	    '3|t' ]]
	has_tasks "$id" 0
}

@test "every transient failure is tried again: 408, 425, 429, 500, a reset" {
	for failure in '"status": 408' '"status": 425' \
	    '"status": 429, "headers": {"Retry-After": "1"}' '"status": 500' \
	    '"reset": "before"'; do
		scheduled
		agent "{$failure}"
		callback "$id" "$(token)"
		attempts=1
		if [[ $failure == *429* ]]; then
			attempts=0
			problem 503 out-of-service
		else
			problem 500 not-started
		fi
		grep -qi '^retry-after: [1-9]' <<<"$HEAD"
		has_status "$id" scheduled
		[[ $(column "$id" execution_attempts) == "$attempts" ]]
		[[ -n $(column "$id" last_execution_error) ]]

		# Many in a row, and it would not be its fault.
		executed() {
			callback "$id" "$(token)"
			expect 200 '.status == "executed"'
		}
		wait_for 5 executed
	done
}

@test "a permanent failure is a dead letter, and the queue hears 200" {
	agent '{"status": 400, "body": "no such number"}'
	id=$(book '-1 second')
	becomes "$id" failed
	called "$id" 1
	wait_for 5 has_tasks "$id" 0
	[[ $(column "$id" last_execution_error) == *400*no\ such\ number* ]]
	sql_is 'execute|1|400' "SELECT stage, attempts, http_status
	    FROM lad_dev.followup_dead_letters WHERE booking_id = '$id'"
	callback "$id" "$(token)"
	expect 200 '.success == false' '.status == "failed"'
	called "$id" 1
}

@test "when its attempts are used up it is a dead letter" {
	restart execute FOLLOWUP_MAX_EXECUTION_ATTEMPTS=3
	agent '{"status": 503, "count": -1}'
	id=$(book '-1 second')
	becomes "$id" failed 20
	called "$id" 3
	[[ $(column "$id" execution_attempts) == 3 ]]
	wait_for 5 has_tasks "$id" 0
	sql_is 3 "SELECT attempts FROM lad_dev.followup_dead_letters
	    WHERE booking_id = '$id'"
}

@test "a lead without a phone number: failed, nobody is asked to call" {
	lead=$(sql "INSERT INTO lad_dev.leads (tenant_id, first_name)
	    VALUES ('$TENANT', 'Nameless') RETURNING id")
	id=$(book '-1 second' auto_followup "$lead")
	becomes "$id" failed
	called "$id" 0
	[[ $(column "$id" last_execution_error) == *phone\ number* ]]
	wait_for 5 has_tasks "$id" 0
}

@test "a redirect is not followed" {
	agent "{\"status\": 307,
	    \"headers\": {\"Location\": \"$VOICE_AGENT_URL/elsewhere\"}}"
	id=$(book '-1 second')
	becomes "$id" failed
	called "$id" 1
	[[ $(calls "$id" '.[0].path') == /calls ]]
}

@test "a voice agent that does not answer in time is asked again" {
	restart execute FOLLOWUP_CALL_TIMEOUT=1s
	agent '{"delayMs": 3000}'
	id=$(book '-1 second')
	becomes "$id" executed
	called "$id" 2
	[[ $(calls "$id" '[.[].idempotencyKey] | unique | length') == 1 ]]
	[[ $(column "$id" execution_attempts) == 2 ]]
}

@test "a worker that is killed during the call: tried again with the same key" {
	agent '{"delayMs": 2000}'
	id=$(book '-1 second')
	wait_for 10 called "$id" 1
	main=$(cat "$STACK/run/execute.pid")
	pkill -KILL -P "$main"
	becomes "$id" executed 20
	called "$id" 2
	[[ $(calls "$id" '[.[].idempotencyKey] | unique | length') == 1 ]]
	[[ $(calls "$id" '.[1].duplicate') == true ]]
	logged execute 'was killed by signal 9'
}

@test "without the keys nobody is let in or turned away; they are fetched again" {
	scheduled
	good=$(token)
	stack stop emulator
	restart execute
	callback "$id" "$good"
	problem 503 out-of-service
	grep -qi '^retry-after: [1-9]' <<<"$HEAD"
	called "$id" 0
	stack start emulator
	accepted() { callback "$id" "$good" && [[ $STATUS == 200 ]]; }
	wait_for 15 accepted
	called "$id" 1
}

@test "a new key is accepted as soon as it is used" {
	restart execute
	scheduled
	callback "$id" "$(token)"
	expect 200 '.status == "executed"'
	stack stop emulator
	rm "$KEY"
	stack start emulator
	old=$KID KID=$(kid)
	[[ $KID != "$old" ]]
	scheduled
	callback "$id" "$(token)"
	expect 200 '.status == "executed"'
	id=$(book '-1 second')
	becomes "$id" executed
}
