#!/usr/bin/env bats
# The stand-ins that all other tests rest on: cloud-tasks-emulator behaves as
# Cloud Tasks does, and voice-agent records what it is asked.
#
# Names in capitals come from emulator-lib.bash; $ in single quotes is jq's.
# shellcheck disable=SC2016,SC2153

load emulator-lib

setup() {
	PIDS=()
}

teardown() {
	stop_all
}

@test "options: help, version, and mistakes named" {
	run "$BUILD/cloud-tasks-emulator" -h
	[ "$status" -eq 0 ]
	[[ $output == *"--horizon DURATION"*"loopback"* ]]
	run "$BUILD/cloud-tasks-emulator" -V
	[ "$status" -eq 0 ]
	run "$BUILD/cloud-tasks-emulator" -q queues/q
	[ "$status" -eq 2 ]
	[[ $output == *"projects/P/locations/L/queues/Q"* ]]
	run "$BUILD/cloud-tasks-emulator" --horizon 720
	[ "$status" -eq 2 ]
	run "$BUILD/cloud-tasks-emulator" --bogus
	[ "$status" -eq 2 ]
	run "$BUILD/voice-agent" -h
	[ "$status" -eq 0 ]
	[[ $output == *"POST /script"* ]]
}

@test "defaults come from the environment" {
	export CLOUD_TASKS_EMULATOR_HOST=127.0.0.1:0 GCP_PROJECT_ID=other
	export GCP_LOCATION=europe-west1 FOLLOWUP_QUEUE_NAME=calls
	"$BUILD/cloud-tasks-emulator" >"$BATS_TEST_TMPDIR/out" 2>/dev/null 3>&- &
	PIDS+=($!)
	wait_for 10 grep -q ready "$BATS_TEST_TMPDIR/out"
	URL=$(sed 's/.* on //' "$BATS_TEST_TMPDIR/out")
	request GET "$URL/v2/projects/other/locations/europe-west1/queues/calls"
	expect 200 '.state == "RUNNING"'
}

@test "SIGTERM ends both with 0" {
	start_emulator
	start_agent
	stop_program TERM "$EMULATOR_PID"
	stop_program TERM "$AGENT_PID"
}

@test "a task is created, got, listed, and deleted" {
	start_emulator
	create a ".scheduleTime = \"$(in_seconds 3600)\" |
		.dispatchDeadline = \"30s\" | .httpRequest.body = \"eyJhIjoxfQ==\" |
		.httpRequest.headers = {\"X-Mixed-Case\": \"kept\", Host: \"no\"}"
	expect 200 ".name == \"$QUEUE/tasks/a\"" '.view == "BASIC"' \
		'.dispatchDeadline == "30s"' '.httpRequest.httpMethod == "POST"' \
		'.httpRequest.headers == {"X-Mixed-Case": "kept",
			"User-Agent": "Google-Cloud-Tasks"}' \
		'.httpRequest | has("body") | not' \
		'.createTime | test("^[^.]*Z$")'
	request GET "$API/tasks/a?responseView=FULL"
	expect 200 '.httpRequest.body == "eyJhIjoxfQ=="' '.view == "FULL"'
	request GET "$API/tasks/a?responseView=2"
	expect 200 '.view == "FULL"'
	request GET "$EMULATOR/v2beta3/$QUEUE/tasks/a?alt=json"
	expect 200 '.view == "BASIC"'
	request GET "$API/tasks"
	expect 200 '.tasks | length == 1'
	request DELETE "$API/tasks/a"
	expect 200 '. == {}'
	request GET "$API/tasks"
	expect 200 '. == {}'
}

@test "a task without a name gets one" {
	start_emulator
	create '' ".name = null | .scheduleTime = \"$(in_seconds 3600)\""
	expect 200 '.name | test("/tasks/[0-9]{20}$")'
}

@test "lists come in pages" {
	local i seen=0 token=
	start_emulator
	for i in 1 2 3 4 5 6 7; do create_later "t$i"; done
	for i in 1 2 3; do
		request GET "$API/tasks?pageSize=3&pageToken=$token"
		expect 200
		seen=$((seen + $(jq '.tasks | length' <<<"$BODY")))
		token=$(jq -r '.nextPageToken // ""' <<<"$BODY")
	done
	[ "$seen" -eq 7 ]
	[ -z "$token" ]
	request GET "$API/tasks?pageSize=-1"
	expect 400 '.error.status == "INVALID_ARGUMENT"'
	request GET "$API/tasks?pageToken=nonsense"
	expect 400
	request GET "$API/tasks?pageSize=100000"
	expect 200 '.tasks | length == 7'
}

@test "names: a duplicate, a burnt one, one that was never there" {
	start_emulator --burn 1s
	create_later a
	create_later a
	expect 409 '.error == {"code": 409, "status": "ALREADY_EXISTS",
		"message": "Requested entity already exists"}'
	request DELETE "$API/tasks/a"
	create_later a
	expect 409 '.error.status == "ALREADY_EXISTS"' \
		'.error.message | startswith("The task cannot be created because a task with this name existed too recently")'
	request GET "$API/tasks/a"
	expect 404 '.error.status == "NOT_FOUND"' \
		'.error.message | startswith("The task no longer exists, though a task with this name existed recently")'
	request GET "$API/tasks/never"
	expect 404 '.error.message == "Requested entity was not found."'
	request DELETE "$API/tasks/never"
	expect 404
	again() { create_later a; [[ $STATUS == 200 ]]; }
	wait_for 5 again
}

@test "an unknown queue" {
	start_emulator
	request POST "$API-none/tasks" '{"task":{"httpRequest":{"url":"https://example.com/"}}}'
	expect 404 '.error.status == "NOT_FOUND"' \
		'.error.message == "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."'
	request GET "$API-none"
	expect 404 '.error.message | startswith("Queue does not exist.")'
}

@test "what the service refuses, and how it says so" {
	local n=0
	start_emulator
	refused() {
		create "${4:-v$((++n))}" "$2"
		[[ $STATUS == "$1" && $(jq -r .error.message <<<"$BODY") == *"$3"* ]] || {
			echo "$2: $STATUS $BODY" >&2
			return 1
		}
	}
	refused 400 . 'Task ID "not valid" can contain only letters' 'not valid'
	jq -e '.error.details[0]["@type"] | endswith("Help")' <<<"$BODY"
	refused 400 . 'Task ID' "$(printf '%501s' '' | tr ' ' x)"
	refused 200 '.scheduleTime = "2026-01-01T00:00:00Z"' '' "$(printf '%500s' '' | tr ' ' x)"
	refused 400 ".name |= sub(\"voag\"; \"other\")" 'must be the same as the queue name in the named task'
	refused 400 '.name = "t"' 'Task name must be formatted'
	refused 400 ".scheduleTime = \"$(in_seconds 2592060)\"" 'is too far in the future. Schedule time must be no more than 720h in the future.'
	refused 400 '.scheduleTime = "tomorrow"' "Invalid value at 'task.schedule_time' (type.googleapis.com/google.protobuf.Timestamp), \"tomorrow\""
	refused 400 '.scheduleTime = "2026-02-30T00:00:00Z"' "Invalid value"
	refused 400 '.dispatchDeadline = "14s"' 'Task.dispatchDeadline must be between [15s, 30m].'
	refused 400 '.dispatchDeadline = "1801s"' 'Task.dispatchDeadline must be between'
	refused 400 '.dispatchDeadline = 30' "Invalid value at 'task.dispatch_deadline'"
	refused 400 'del(.httpRequest)' 'httpRequest is required'
	refused 400 'del(.httpRequest.url)' 'HttpRequest.url is required.'
	refused 400 '.httpRequest.url = "ftp://example.com/"' "must start with 'http://' or 'https://'"
	refused 400 '.httpRequest.url = "https:///x"' 'not a valid URL'
	refused 400 '.httpRequest.url += ("x" * 2083)' 'at most 2083'
	refused 400 '.httpRequest |= {url: "http://example.com/", oidcToken: {serviceAccountEmail: "a@example.com"}}' "must start with 'https://' for request with HttpRequest.authorization_header"
	refused 400 '.httpRequest |= {url: "http://127.0.0.1@example.com/", oidcToken: {serviceAccountEmail: "a@example.com"}}' "must start with 'https://'"
	refused 400 '.httpRequest.oidcToken = {audience: "x"}' 'serviceAccountEmail is required'
	refused 400 '.httpRequest += {httpMethod: "GET", body: "eA=="}' 'only allowed for'
	refused 400 '.httpRequest.httpMethod = "FETCH"' "Invalid value at 'task.http_request.http_method'"
	refused 400 '.httpRequest.httpMethod = 8' 'Invalid value'
	refused 400 '.httpRequest.body = "a b"' '(TYPE_BYTES)'
	refused 400 '.httpRequest.headers = {"X-A": 1}' '(TYPE_STRING)'
	refused 400 '.httpRequest.headers = {"X A": "1"}' 'invalid header'
	refused 400 '.httpRequest.headers = {"X-A": "1\r\nX-B: 2"}' 'invalid header'
	refused 400 '.httpRequest.headers = {"X-A": ("x" * 81920)}' 'less than 80KB'
	refused 400 '.httpRequest.body = ("AAAA" * 360000)' 'Task size too large'
	refused 400 '.colour = "red"' "Unknown name \"colour\" at 'task': Cannot find field."
	refused 400 '.httpRequest.color = "red"' "Unknown name \"color\" at 'task.http_request'"
	refused 501 '.appEngineHttpRequest = {} | del(.httpRequest)' 'no App Engine'
	request POST "$API/tasks" '{"task":'
	expect 400 '.error.message | startswith("Invalid JSON payload received.")'
	request POST "$API/tasks" '[]'
	expect 400
	request POST "$API/tasks" ''
	expect 400
	request POST "$API/tasks?colour=red" "$(task q)"
	expect 400 '.error.message | contains("Cannot bind query parameter")'
	request POST "$API/tasks?alt=proto" "$(task q)"
	expect 400
	request GET "$EMULATOR/v2/projects/p/locations/l/queues/under_score"
	expect 400
	request GET "$EMULATOR/v1/anything"
	expect 404
}

@test "what the service takes although it looks odd" {
	start_emulator
	create a ".scheduleTime = \"$(in_seconds 3600)\" | .view = 0 | .lastAttempt = null |
		.httpRequest += {httpMethod: 4, body: \"-_-_\",
		oidcToken: {serviceAccountEmail: \"a@example.com\"}}"
	expect 200 '.httpRequest.httpMethod == "PUT"'
	request GET "$API/tasks/a?responseView=FULL"
	expect 200 '.httpRequest.body == "+/+/"'
	request POST "$API/tasks?\$alt=json%3Benum-encoding%3Dint&prettyPrint=false" \
		"{\"response_view\":\"FULL\",\"task\":{\"schedule_time\":\"$(in_seconds 3600)\",\"http_request\":{\"url\":\"https://example.com/\",\"body\":\"eA\",\"oidc_token\":{\"service_account_email\":\"a@example.com\"}}}}"
	expect 200 '.httpRequest.body == "eA=="' '.view == "FULL"'
	[[ $BODY != *$'\n'* ]]
	# Google's client for Java has no PATCH of its own.
	curl -sf -H 'X-HTTP-Method-Override: PATCH' -d '{"retryConfig":{"maxAttempts":7}}' \
		"$API?updateMask=retryConfig.maxAttempts" | jq -e '.retryConfig.maxAttempts == 7'
	curl -sf -H 'x-goog-api-client: gl-c/11' -H 'x-goog-user-project: p' \
		-H 'authorization: Bearer x' "$API" >/dev/null
}

@test "the horizon can be shorter" {
	start_emulator --horizon 1h
	create a ".scheduleTime = \"$(in_seconds 3700)\""
	expect 400 '.error.message | endswith("no more than 1h in the future.")'
	create a ".scheduleTime = \"$(in_seconds 3500)\""
	expect 200
}

@test "hostile input does no harm" {
	start_emulator
	# Malformed, far too long, far too deep, not UTF-8, badly chunked.
	head -c 20000000 /dev/zero | curl -s -m 20 -o /dev/null \
		--data-binary @- "$API/tasks" || true
	head -c 20000000 /dev/zero | curl -s -m 20 -o /dev/null \
		-H 'Transfer-Encoding: chunked' --data-binary @- "$API/tasks" || true
	request POST "$API/tasks" "$(printf '%3000s' '' | tr ' ' '[')"
	expect 400
	printf '{"task":{"name":"\xff\xfe"}}' | curl -s -m 20 -o "$BATS_TEST_TMPDIR/o" \
		-w '%{http_code}' --data-binary @- "$API/tasks" | grep -qx 400
	printf 'POST /v2/%s/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n' \
		"$QUEUE" | timeout 5 curl -s "telnet://${EMULATOR#http://}" >/dev/null || true
	request GET "$EMULATOR/v2/projects/%00/locations/%ff/queues/%2e%2e/tasks/%0a"
	[[ $STATUS == 4?? ]]
	create_later "é$(printf '%3000s' '' | tr ' ' 'x')é"
	expect 400
	request GET "$API"
	expect 200
	[ "$(awk '/VmRSS/ { print $2 }' "/proc/$EMULATOR_PID/status")" -lt 400000 ]
}

@test "a task is dispatched when it is due, not before" {
	local due
	start_emulator
	start_agent
	due=$(in_seconds 4)
	create a ".scheduleTime = \"$due\""
	expect 200 ".scheduleTime == \"$due\""
	wait_for 10 called 1
	calls '.[0].time >= "'"$due"'"' | grep -qx true
	calls '.[0].headers["x-cloudtasks-tasketa"] | tonumber' |
		jq -e --arg due "${due%.*}Z" '. >= ($due | fromdate)'
	wait_for 5 is_gone a
}

@test "the request: the task's own headers and the service's" {
	start_emulator
	start_agent
	create a '.httpRequest += {httpMethod: "PUT", body: "eyJhIjoxfQ==", headers: {"X-Mine": "yes",
		"X-CloudTasks-TaskName": "forged", "X-Empty": ""}}'
	create b '.httpRequest += {httpMethod: "DELETE"}'
	wait_for 10 called 2
	calls '.[] | select(.method == "PUT") | .body == "{\"a\":1}" and (.headers |
		.["x-mine"] == "yes" and .["x-empty"] == "" and .["content-length"] == "7" and
		.["user-agent"] == "Google-Cloud-Tasks" and
		.["x-cloudtasks-queuename"] == "follow-up-voag-calls" and
		.["x-cloudtasks-taskname"] == "a" and
		.["x-cloudtasks-taskretrycount"] == "0" and
		.["x-cloudtasks-taskexecutioncount"] == "0" and
		(has("content-type") or has("accept") or has("authorization") or
		has("x-cloudtasks-taskretryreason") or
		has("x-cloudtasks-taskpreviousresponse") | not))' | grep -qx true
	calls 'any(.method == "DELETE" and .path == "/call")' | grep -qx true
}

@test "all but 2xx is tried again, with the headers of a retry" {
	start_emulator
	start_agent
	script '[{"status":503},{"status":404},{"status":302,"headers":{"Location":"/else"}},{"status":409}]'
	create a
	wait_for 15 called 5
	[ "$(calls 'map(.status)')" = '[503,404,302,409,200]' ]
	[ "$(calls 'map(.path) | unique')" = '["/call"]' ]
	[ "$(calls 'map(.headers["x-cloudtasks-taskretrycount"])')" = '["0","1","2","3","4"]' ]
	[ "$(calls 'map(.headers["x-cloudtasks-taskexecutioncount"])')" = '["0","0","1","2","3"]' ]
	[ "$(calls 'map(.headers["x-cloudtasks-taskpreviousresponse"])')" = '[null,"503","404","302","409"]' ]
	[ "$(calls 'map(.headers["x-cloudtasks-taskretryreason"])')" = '[null,"","","",""]' ]
	wait_for 5 is_gone a
}

@test "the state of a task that failed so far, and Retry-After" {
	start_emulator
	start_agent
	script '{"status":503,"headers":{"Retry-After":"600"}}'
	create a
	responded() {
		request GET "$API/tasks/a"
		expect 200 '.responseCount == 1' 2>/dev/null
	}
	wait_for 10 responded
	expect 200 '.dispatchCount == 1' '.firstAttempt | keys == ["dispatchTime"]' \
		'.lastAttempt.responseStatus == {"code": 14, "message": "UNAVAILABLE(14): HTTP status code 503"}' \
		'.lastAttempt | has("scheduleTime") and has("dispatchTime") and has("responseTime")' \
		'.scheduleTime > (now + 500 | todate)'
}

@test "backoff doubles, then grows evenly, up to maxBackoff; maxAttempts ends it" {
	start_emulator
	start_agent
	request PATCH "$API?updateMask=retryConfig" '{"retryConfig":{"maxAttempts":5,"minBackoff":"0.2s","maxBackoff":"0.5s","maxDoublings":1}}'
	expect 200 '.retryConfig.maxAttempts == 5' '.retryConfig.minBackoff == "0.200s"'
	script '{"status":500,"count":-1}'
	create a
	wait_for 15 is_gone a
	[ "$(calls length)" -eq 5 ]
	grep -q 'failed for good.*tasks/a' "$BATS_TEST_TMPDIR/emulator.err"
	# 0.2, 0.4, 0.5 (not 0.8), 0.5: never earlier than that.
	calls 'map(.headers["x-cloudtasks-tasketa"] | tonumber) as $t |
		[range(1; 5) | $t[.] - $t[. - 1]] | .[0] >= 0.2 and .[1] >= 0.4 and
		.[2] >= 0.5 and .[3] >= 0.5' | grep -qx true
	create_later a
	expect 409
}

@test "a target that does not answer in time is a 504 to the next attempt" {
	# Nothing below 15 s may be asked for, so this test takes 15 s.
	start_emulator
	start_agent
	script '{"delayMs":25000}'
	create a '.dispatchDeadline = "15s"'
	wait_for 25 called 2
	[ "$(calls '.[1].headers["x-cloudtasks-taskpreviousresponse"]')" = '"504"' ]
	[ "$(calls '.[1].headers["x-cloudtasks-taskexecutioncount"]')" = '"0"' ]
}

@test "a task can be deleted while it is under way" {
	start_emulator
	start_agent
	script '{"status":503,"delayMs":1500}'
	create a
	wait_for 10 called 1
	request DELETE "$API/tasks/a"
	expect 200
	ended() { grep -q 'deleted while under way' "$BATS_TEST_TMPDIR/emulator.err"; }
	wait_for 10 ended
	[ "$(calls length)" -eq 1 ]
}

@test "the token is signed by a key of the JWKS and says what it should" {
	local token jwks claims
	start_emulator --issuer https://issuer.example.com
	start_agent
	create a '.httpRequest += {headers: {authorization: "mine"}, oidcToken: {serviceAccountEmail: "sa@example.com", audience: "https://example.com"}}'
	create b '.httpRequest += {url: (.httpRequest.url + "?x=1"), oidcToken: {serviceAccountEmail: "sa@example.com"}}'
	wait_for 10 called 2
	curl -sfi "$EMULATOR/oauth2/v3/certs" | grep -qi '^cache-control: public, max-age='
	jwks=$(curl -sf "$EMULATOR/oauth2/v3/certs")
	token=$(calls '.[] | select(.headers["x-cloudtasks-taskname"] == "a").headers.authorization' | jq -r .)
	[[ $token == 'Bearer '* ]]
	token=${token#Bearer }
	verify "$token" "$jwks"
	run verify "${token%????}AAAA" "$jwks"
	[ "$status" -ne 0 ]
	claims=$(cut -d. -f2 <<<"$token" | decode)
	jq -e '.iss == "https://issuer.example.com" and .aud == "https://example.com" and
		.email == "sa@example.com" and .email_verified == true and
		.exp == .iat + 3600 and (.iat - now | fabs) < 60 and .azp and .sub' <<<"$claims"
	token=$(calls '.[] | select(.headers["x-cloudtasks-taskname"] == "b").headers.authorization' | jq -r .)
	cut -d. -f2 <<<"$token" | decode | jq -e ".aud == \"$AGENT/call?x=1\""
	curl -sf "$EMULATOR/.well-known/openid-configuration" |
		jq -e ".jwks_uri == \"$EMULATOR/oauth2/v3/certs\""
}

@test "the key is kept in its file" {
	local first
	start_emulator --key "$BATS_TEST_TMPDIR/key"
	[ "$(stat -c %a "$BATS_TEST_TMPDIR/key")" = 600 ]
	first=$(curl -sf "$EMULATOR/oauth2/v3/certs")
	stop_program TERM "$EMULATOR_PID"
	start_emulator --key "$BATS_TEST_TMPDIR/key"
	[ "$(curl -sf "$EMULATOR/oauth2/v3/certs")" = "$first" ]
	stop_program TERM "$EMULATOR_PID"
	echo nonsense >"$BATS_TEST_TMPDIR/key"
	run timeout 10 "$BUILD/cloud-tasks-emulator" -l 127.0.0.1:0 --key "$BATS_TEST_TMPDIR/key"
	[ "$status" -eq 1 ]
	[[ $output == *"holds no usable key"* ]]
}

@test "run dispatches now, also in a paused queue" {
	start_emulator
	start_agent
	create_later a
	request POST "$API:pause" '{}'
	expect 200 '.state == "PAUSED"'
	request POST "$API/tasks/a:run" '{"responseView":"FULL"}'
	expect 200 '.view == "FULL"'
	wait_for 10 called 1
	wait_for 5 is_gone a
	request POST "$API/tasks/a:run" '{}'
	expect 404
}

@test "a paused queue holds its tasks, resume lets them go" {
	start_emulator
	start_agent
	request POST "$API:pause"
	expect 200
	create a
	create b '.httpRequest.url += "/b"'
	request GET "$API"
	expect 200 '.state == "PAUSED"'
	[ "$(calls length)" -eq 0 ]
	request GET "$API/tasks"
	expect 200 '.tasks | length == 2'
	request POST "$API:resume" '{}'
	expect 200 '.state == "RUNNING"'
	wait_for 10 called 2
}

@test "purge removes all tasks and burns their names" {
	start_emulator
	create_later a
	create_later b
	request POST "$API:purge" '{}'
	expect 200 'has("purgeTime")'
	request GET "$API/tasks"
	expect 200 '. == {}'
	create_later a
	expect 409
}

@test "maxConcurrentDispatches and maxDispatchesPerSecond hold back" {
	local i
	start_emulator
	start_agent
	request PATCH "$API?updateMask=rateLimits.maxConcurrentDispatches" '{"rateLimits":{"maxConcurrentDispatches":1}}'
	expect 200 '.rateLimits.maxConcurrentDispatches == 1' '.rateLimits.maxDispatchesPerSecond == 500'
	script '{"delayMs":300,"count":3}'
	for i in 1 2 3; do create "c$i"; done
	wait_for 10 called 3
	calls 'map(.time[:-1] | split(".") | (.[0] + "Z" | fromdate) + (.[1] | tonumber / 1000)) |
		.[1] - .[0] >= 0.29 and .[2] - .[1] >= 0.29' | grep -qx true
	request PATCH "$API?update_mask=rate_limits" '{"rateLimits":{"maxDispatchesPerSecond":4}}'
	expect 200 '.rateLimits.maxConcurrentDispatches == 1000' '.rateLimits.maxBurstSize == 1'
	request DELETE "$AGENT/calls"
	for i in 1 2 3; do create "r$i"; done
	wait_for 10 called 3
	calls 'map(.time[:-1] | split(".") | (.[0] + "Z" | fromdate) + (.[1] | tonumber / 1000)) |
		.[2] - .[0] >= 0.4' | grep -qx true
}

@test "queues are made, listed, changed, deleted" {
	local url
	start_emulator
	url=$EMULATOR/v2/$LOCATION/queues
	request POST "$url" "{\"name\":\"$LOCATION/queues/other\",\"retryConfig\":{\"maxAttempts\":3}}"
	expect 200 '.retryConfig == {"maxAttempts": 3, "minBackoff": "0.100s", "maxBackoff": "3600s", "maxDoublings": 16}' \
		'.rateLimits == {"maxDispatchesPerSecond": 500, "maxBurstSize": 100, "maxConcurrentDispatches": 1000}'
	request POST "$url" "{\"name\":\"$LOCATION/queues/other\"}"
	expect 409 '.error.message == "Queue already exists"'
	request POST "$url" "{\"name\":\"$LOCATION/queues/not_valid\"}"
	expect 400 '.error.message | startswith("Queue name must be formatted")'
	request POST "$url" "{\"name\":\"$LOCATION/queues/x\",\"rateLimits\":{\"maxDispatchesPerSecond\":501}}"
	expect 400
	request GET "$url?pageSize=1"
	expect 200 '.queues | length == 1' 'has("nextPageToken")'
	request GET "$url?pageSize=1&pageToken=$(jq -r .nextPageToken <<<"$BODY")"
	expect 200 '.queues[0].name | endswith("/other")' 'has("nextPageToken") | not'
	request PATCH "$url/other?updateMask=retryConfig.maxAttempts" '{"retryConfig":{"maxAttempts":7,"maxDoublings":2}}'
	expect 200 '.retryConfig.maxAttempts == 7' '.retryConfig.maxDoublings == 16'
	request PATCH "$url/other" '{"retryConfig":{"minBackoff":"10s","maxBackoff":"5s"}}'
	expect 400 '.error.message == "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."'
	request PATCH "$url/other?updateMask=retry_config.max_attempts,colour" '{}'
	expect 400 '.error.message | startswith("Invalid value at '"'update_mask'"'")'
	request PATCH "$url/other?updateMask=rateLimits.maxDispatches" '{}'
	expect 400
	request PATCH "$url/other?updateMask=rateLimits,stackdriverLoggingConfig.samplingRatio,*" '{}'
	expect 200 '.retryConfig.maxAttempts == 100'

	# Without a mask what is not said goes back to the default.
	request PATCH "$url/other" '{"retryConfig":{"maxAttempts":7}}'
	request PATCH "$url/other" '{"rateLimits":{"maxConcurrentDispatches":2}}'
	expect 200 '.rateLimits.maxConcurrentDispatches == 2' '.retryConfig.maxAttempts == 100'
	request DELETE "$url/other"
	expect 200 '. == {}'
	request GET "$url/other"
	expect 404
	request POST "$url" "{\"name\":\"$LOCATION/queues/other\"}"
	expect 400 '.error.status == "FAILED_PRECONDITION"'
}

@test "the journal keeps everything over kill -9" {
	start_agent
	start_emulator --data "$BATS_TEST_TMPDIR/journal"
	script '{"status":503,"headers":{"Retry-After":"600"}}'
	create tried
	wait_for 10 called 1
	responded() {
		request GET "$API/tasks/tried"
		expect 200 '.responseCount == 1' 2>/dev/null
	}
	wait_for 10 responded
	local before=$BODY
	create due ".scheduleTime = \"$(in_seconds 1.5)\" | .httpRequest.body = \"eA==\""
	expect 200
	create_later deleted
	request DELETE "$API/tasks/deleted"
	request PATCH "$API?updateMask=retryConfig" '{"retryConfig":{"maxAttempts":9}}'

	# A journal has one user; half a line at its end is nobody's.
	run timeout 10 "$BUILD/cloud-tasks-emulator" -l 127.0.0.1:0 --data "$BATS_TEST_TMPDIR/journal"
	[ "$status" -eq 1 ]
	[[ $output == *"in use by another process"* ]]
	stop_program KILL "$EMULATOR_PID"
	printf '{"task":{"na' >>"$BATS_TEST_TMPDIR/journal"

	start_emulator --data "$BATS_TEST_TMPDIR/journal"
	request GET "$API/tasks/tried"
	[ "$(jq -S . <<<"$BODY")" = "$(jq -S . <<<"$before")" ]
	request GET "$API"
	expect 200 '.retryConfig.maxAttempts == 9'
	create_later deleted
	expect 409 '.error.message | contains("existed too recently")'
	wait_for 10 called 2
	[ "$(calls '.[1] | [.body, .headers["x-cloudtasks-taskname"]]')" = '["x","due"]' ]
	wait_for 5 is_gone due

	# That it ran is kept, too.
	stop_program KILL "$EMULATOR_PID"
	start_emulator --data "$BATS_TEST_TMPDIR/journal"
	is_gone due
	stop_program KILL "$EMULATOR_PID"
	printf 'nonsense\n' >>"$BATS_TEST_TMPDIR/journal"
	run timeout 10 "$BUILD/cloud-tasks-emulator" -l 127.0.0.1:0 --data "$BATS_TEST_TMPDIR/journal"
	[ "$status" -eq 1 ]
	[[ $output == *"is not a record"* ]]
}

@test "faults: statuses, delays, resets, answers that lie" {
	start_emulator
	request GET "$EMULATOR/admin/faults"
	expect 404
	stop_program TERM "$EMULATOR_PID"
	start_emulator --admin

	faults '{"operation":"createTask","status":503,"headers":{"Retry-After":"1"}}'
	create_later a
	expect 503 '.error.status == "UNAVAILABLE"'
	create_later a
	expect 200
	request GET "$EMULATOR/admin/faults"
	expect 200 '.rules[0].hits == 1' '.rules[0].left == 0'

	# The create succeeded although it was not said so.
	faults '[{"operation":"createTask","status":504,"performed":true},
		{"operation":"createTask","reset":"after"},
		{"operation":"createTask","reset":"before"}]'
	create_later b
	expect 504 '.error.status == "DEADLINE_EXCEEDED"'
	run create_later c
	[ "$status" -ne 0 ]
	run create_later d
	[ "$status" -ne 0 ]
	create_later b
	expect 409
	create_later c
	expect 409
	create_later d
	expect 200

	faults '{"method":"GET","delayMs":300,"status":429,"body":"<html>busy</html>","headers":{"Content-Type":"text/html"},"count":-1}'
	request DELETE "$API/tasks/d"
	expect 200
	run curl -s -m 20 -w ' %{http_code} %{content_type} %{time_total}' "$API"
	[[ $output == '<html>busy</html> 429 text/html 0.'[3-9]* || $output == '<html>busy</html> 429 text/html '[1-9]* ]]
	faults '{"probability":0,"status":500,"count":-1}'
	request GET "$API"
	expect 200
	request DELETE "$EMULATOR/admin/faults"
	expect 200 '.rules == []'
	request POST "$EMULATOR/admin/faults" '{"operation":"dance"}'
	expect 400
	request POST "$EMULATOR/admin/faults" '{"colour":"red"}'
	expect 400
}

@test "voice-agent records calls, over kill -9, and answers as scripted" {
	start_agent --data "$BATS_TEST_TMPDIR/calls"
	call() {
		curl -s -m 20 -w ' %{http_code}' -H "Idempotency-Key: $1" \
			-d "{\"bookingId\":\"$2\"}" "$AGENT/calls"
	}
	script '[{"status":503,"count":2,"headers":{"Retry-After":"3"},"body":"busy"},{"reset":"before"},{"reset":"after"}]'
	[ "$(call k1 b1)" = 'busy 503' ]
	[ "$(call k1 b1)" = 'busy 503' ]
	run call k1 b1
	[ "$status" -ne 0 ]
	run call k1 b1
	[ "$status" -ne 0 ]
	[[ $(call k1 b1) == '{"callId":"call-3","duplicate":true} 200' ]]
	[[ $(call k2 b2) == '{"callId":"call-5","duplicate":false} 200' ]]
	stop_program KILL "$AGENT_PID"
	start_agent --data "$BATS_TEST_TMPDIR/calls"
	[ "$(calls 'map([.idempotencyKey, .status, .started, .duplicate])')" = '[["k1",503,false,false],["k1",503,false,true],["k1",null,true,true],["k1",200,true,true],["k2",200,true,false]]' ]
	[[ $(call k2 b2) == '{"callId":"call-5","duplicate":true} 200' ]]
	curl -s "$AGENT/calls?bookingId=b2" | jq -e '.calls | length == 2 and all(.method == "POST" and .path == "/calls" and .headers["idempotency-key"] == "k2" and (.time | test("\\.[0-9]{3}Z$")))'
	request DELETE "$AGENT/calls"
	expect 200
	[ "$(calls length)" -eq 0 ]
	[ ! -s "$BATS_TEST_TMPDIR/calls" ]
	request GET "$AGENT/healthz"
	expect 200
	request POST "$AGENT/script" '{"operation":"createTask"}'
	expect 400
}

@test "gcloud works with it" {
	command -v gcloud >/dev/null || skip "gcloud is not installed"
	local queue=follow-up-voag-calls
	start_emulator
	on_emulator tasks create-http-task t1 --queue=$queue --url=https://example.com/h \
		--body-content='hello??>>' --schedule-time="$(in_seconds 3600)"
	on_emulator tasks list --queue=$queue | grep -q '^t1 '
	on_emulator tasks describe t1 --queue=$queue | grep -q '^name: .*/tasks/t1$'
	on_emulator tasks queues pause $queue
	on_emulator tasks queues describe $queue | grep -q '^state: PAUSED$'
	on_emulator tasks queues resume $queue
	on_emulator tasks queues purge $queue
	run on_emulator tasks describe t1 --queue=$queue
	[ "$status" -ne 0 ]
	[[ $output == *"no longer exists"* ]]
}
