#!/usr/bin/env bats
#
# The metrics as a real Prometheus reads them from the running stack, and that
# each of them moves when it should.

# shellcheck disable=SC2016,SC2030,SC2031,SC2153
# (every test is a subshell of its own, lib.bash sets the names in capitals, and
# the backquotes are those of the README)

bats_require_minimum_version 1.5.0
load lib
load prometheus-lib

setup_file() {
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s FOLLOWUP_CALL_TIMEOUT=2s
}

teardown_file() {
	stack_down
}

setup() {
	stack_env
	queue_keys
}

teardown() {
	prometheus_down
	stack_reset
	agent '[]'
	faults '[]'
}

# metrics [CURL-OPTION]...: as a scraper gets them, in BODY.
metrics() {
	api GET /metrics "$@"
	[[ $STATUS == 200 ]]
}

# metric SERIES: print its value, nothing where there is none.
metric() {
	metrics && awk -v series="$1" '$1 == series { print $2 }' <<<"$BODY"
}

# metric_is VALUE SERIES
metric_is() {
	[[ $(metric "$2") == "$1" ]]
}

# moves SERIES: until it has counted something.
moves() {
	wait_for 20 counted "$1"
}
counted() {
	local n
	n=$(metric "$1") && [[ -n $n && ${n%.*} -gt 0 ]]
}

# callback ID TOKEN [BODY [CURL-OPTION]...]: as Cloud Tasks does.
callback() {
	local body=${3:-}
	[[ -n $body ]] || body=$(task_body "$1")
	request POST "$PUBLIC_URL/bookings/$1/execute-followup" \
	    -H 'Content-Type: application/json' -H "Authorization: Bearer $2" \
	    -d "$body" "${@:4}"
}

# The names and types in README's table of metrics.
documented() {
	sed -n 's/^| `\(followup_[a-z_]*\)` | \([a-z]*\) |.*/\1 \2/p' README.md
}

@test "promtool finds nothing wrong, in a stack that has done nothing yet" {
	need_prometheus
	metrics
	header 'Content-Type: text/plain; version=0.0.4; charset=utf-8'
	run -0 promtool check metrics <<<"$BODY"
	[[ -z $output ]]

	# Every value of every label is there from the start, and no tenant is.
	[[ $(grep -c '^followup_task_requests_total' <<<"$BODY") == 21 ]]
	[[ $(grep -c '^followup_callbacks_refused_total' <<<"$BODY") == 11 ]]
	not grep -q "$TENANT" <<<"$BODY"

	# A probe has no token.
	restart schedule FOLLOWUP_WEBHOOK_TOKEN=secret-of-the-webhook
	metrics
	api GET '/stats?by=tenant'
	problem 401 unauthorized
}

@test "one call, as Prometheus sees it; workers and programs come and go" {
	need_prometheus
	prometheus_up 1s
	id=$(book '1 second')
	becomes "$id" executed
	wait_for 10 prometheus_is 1 \
	    'followup_callbacks_total{outcome="executed"}'
	prometheus_is 1 'followup_call_lateness_seconds_count'
	prometheus_is 1 \
	    'followup_call_lateness_seconds_bucket{le="60.0"} or
	    followup_call_lateness_seconds_bucket{le="60"}'
	prometheus_is 1 'followup_schedules_total{outcome="scheduled"}'
	prometheus_is 1 'followup_scheduling_duration_seconds_count'
	prometheus_is 1 'sum(followup_breaker_state{target="voice_agent"})'
	prometheus_is 8 'followup_workers{program="execute"}'
	prometheus_is 3 'sum(followup_up)'

	# The call that a bucket has for an example is the one of the trace.
	trace=4bf92f3577b34da6a3ce929d0e0e4736
	id=$(book) && becomes "$id" scheduled
	callback "$id" "$(token)" '' \
	    -H "traceparent: 00-$trace-00f067aa0ba902b7-01"
	wait_for 10 prometheus_is 2 \
	    'followup_callbacks_total{outcome="executed"}'
	metrics -H 'Accept: application/openmetrics-text; version=1.0.0'
	header 'Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8'
	grep -Eq "^followup_call_lateness_seconds_bucket.* # \{trace_id=\"$trace\"\}" \
	    <<<"$BODY"
	[[ $(tail -n 1 <<<"$BODY") == '# EOF' ]]

	# A worker that is killed takes nothing with it.
	worker=$(pgrep -P "$(cat "$STACK/run/execute.pid")" | head -n 1)
	kill -9 "$worker"
	wait_for 5 metric_is 1 'followup_worker_exits_total{program="execute"}'
	metric_is 8 'followup_workers{program="execute"}'
	metric_is 2 'followup_callbacks_total{outcome="executed"}'

	# Nor does the program, whose gauges are not shown while it is away.
	for name in execute listener; do
		stack kill "$name"
		wait_for 12 prometheus_is 0 "followup_up{program=\"$name\"}"
		metric_is '' "followup_workers{program=\"$name\"}"
	done
	metric_is 2 'followup_callbacks_total{outcome="executed"}'
	stack kill schedule
	wait_for 12 prometheus_is 0 up
	stack_reset
	wait_for 10 prometheus_is 3 'sum(followup_up)'
	metric_is 2 'followup_callbacks_total{outcome="executed"}'
	wait_for 10 prometheus_is 1 'followup_listener_leader'
}

@test "what the database knows is there, or absent, never stale" {
	sql "INSERT INTO lad_dev.followup_pauses (scope, reason)
	    VALUES ('all', 'test')"
	change "$(book '3 days')" "scheduled_at = now() - interval '1 hour'"
	far=$(book '40 days')
	wait_for 15 metric_is 1 'followup_paused{scope="all"}'
	metric_is 1 'followup_overdue_bookings{state="pending"}'
	metric_is 2 'followup_open_bookings{state="pending"}'
	metric_is 1 followup_triggers_enabled
	[[ $(metric 'followup_oldest_overdue_seconds{state="pending"}') == 36* ]]
	due=$(column "$far" 'extract(epoch FROM scheduled_at)::bigint')
	[[ $(metric followup_next_due_timestamp_seconds) == "$due".* ||
	    $(metric followup_next_due_timestamp_seconds) == "$((due - 1))".* ]]
	api GET '/stats?by=tenant&limit=5'
	expect 200 ".tenants[0].tenantId == \"$TENANT\"" \
	    '.tenants[0].open == 2' '.tenants[0].overdue == 1'
	api GET '/stats?by=tenant&limit=0'
	problem 400 invalid

	# A dead letter waits for nothing, even if its row takes no 'failed'.
	sql "INSERT INTO lad_dev.followup_failures (booking_id, stage, attempts,
	    error, dead_at) SELECT id, 'schedule', 1, 'x', now()
	    FROM lad_dev.lead_bookings WHERE scheduled_at < now()
	    AND task_status = 'pending'"
	wait_for 15 metric_is 0 'followup_overdue_bookings{state="pending"}'
	metric_is 0.000 'followup_oldest_overdue_seconds{state="pending"}'
	metric_is 1 'followup_open_bookings{state="pending"}'
	metric_is 1 'followup_open_bookings{state="failed"}'

	# It says nothing of a database that it cannot ask.
	stack stop postgres
	wait_for 15 metric_is '' followup_triggers_enabled
	counted followup_collect_errors
	metric_is 0 'followup_database_connected{program="schedule"}'
	wait_for 15 metric_is 0 'followup_database_connected{program="listener"}'
	metric_is 0 followup_listener_leader
	stack start postgres
	wait_for 25 metric_is 1 followup_triggers_enabled
	sql "DELETE FROM lad_dev.followup_pauses"
	sql "DELETE FROM lad_dev.lead_bookings"
}

@test "every counter moves" {
	# Callbacks that are refused, by every rule.
	id=$(book)
	becomes "$id" scheduled
	body=$(task_body "$id")
	request POST "$PUBLIC_URL/bookings/$id/execute-followup" -d "$body"
	callback "$id" x.y "$body"
	callback "$id" "$(sign "$(claims)" "$KEY" "$KID" '.alg = "HS256"')"
	callback "$id" "$(sign "$(claims)" "$KEY" foreign)"
	good=$(token)
	callback "$id" "${good%.*}.$(head -c 256 /dev/zero | base64url)"
	for claim in '.iss = "x"' '.aud = "x"' '.email = "x"' '.exp = 1'; do
		callback "$id" "$(token "$claim")"
	done
	callback "$id" "$(token)" '{"bookingId": 1}'
	restart execute CLOUD_TASKS_SECRET=another-secret-of-tasks \
	    GCP_CLOUD_TASKS_SERVICE_ACCOUNT=
	wait_for 10 metric_is 1 'followup_up{program="execute"}'
	callback "$id" "$(token)"
	restart execute
	for rule in missing malformed algorithm key signature issuer audience \
	    email time body secret; do
		moves "followup_callbacks_refused_total{rule=\"$rule\"}"
	done
	moves 'followup_callbacks_total{outcome="refused"}'

	# The same booking once more; cancelled; moved; a year ahead.
	callback "$id" "$(token)"
	callback "$id" "$(token)" "$body"
	moves 'followup_callbacks_total{outcome="executed"}'
	moves 'followup_callbacks_total{outcome="already"}'
	moves followup_call_lateness_seconds_count
	moves 'followup_call_attempts_total{outcome="started"}'
	id=$(book) && becomes "$id" scheduled
	body=$(task_body "$id")
	change "$id" "scheduled_at = scheduled_at + interval '1 hour'"
	callback "$id" "$(token)" "$body"
	moves 'followup_callbacks_total{outcome="skipped"}'
	moves 'followup_calls_not_made_total{reason="superseded"}'
	becomes "$id" scheduled
	moves 'followup_task_requests_total{method="delete",code="2xx"}'
	api DELETE "/followups/$id"
	moves 'followup_calls_not_made_total{reason="cancelled"}'
	(book '1 year')
	moves 'followup_schedules_total{outcome="deferred"}'
	moves 'followup_posts_total{outcome="nothing"}'

	# Paused while its task fires.
	id=$(book) && becomes "$id" scheduled
	sql "INSERT INTO lad_dev.followup_pauses (scope, reason)
	    VALUES ('all', 'test')"
	callback "$id" "$(token)"
	moves 'followup_callbacks_total{outcome="deferred"}'
	moves 'followup_calls_not_made_total{reason="gate"}'
	sql "DELETE FROM lad_dev.followup_pauses"

	# The voice agent has trouble.
	for answer in '429 limited retry' '503 unavailable retry' \
	    '500 unknown retry' '400 refused dead'; do
		read -r status attempt outcome <<<"$answer"
		id=$(book) && becomes "$id" scheduled
		agent "{\"status\": $status, \"count\": -1}"
		wait_for 30 attempted "$id" "$attempt"
		moves "followup_callbacks_total{outcome=\"$outcome\"}"
	done
	agent '[]'
	moves 'followup_breaker_opened_total{target="voice_agent"}'
	moves 'followup_calls_not_made_total{reason="dead"}'

	# Cloud Tasks has trouble.
	for status in 404 429 500; do
		faults "{\"operation\": \"createTask\", \"status\": $status}"
		id=$(book)
		code=${status/500/5xx}
		moves "followup_task_requests_total{method=\"create\",code=\"$code\"}"
		becomes "$id" scheduled 40
	done
	faults '{"operation": "createTask", "status": 504, "performed": true}'
	becomes "$(book)" scheduled 40
	moves 'followup_schedules_total{outcome="adopted"}'
	moves 'followup_task_requests_total{method="create",code="409"}'
	moves 'followup_task_requests_total{method="get",code="2xx"}'
	moves 'followup_breaker_opened_total{target="cloud_tasks"}'
	moves 'followup_schedules_total{outcome="retry"}'
	moves 'followup_posts_total{outcome="retry"}'

	# A time that nobody can determine; and what no notification announced.
	sql "UPDATE lad_dev.lead_bookings SET timezone = 'Mars/Phobos'
	    WHERE id = '$(book)'" 2>/dev/null || true
	sql "BEGIN; SET LOCAL session_replication_role = replica;
	    INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
	    booking_type, scheduled_at) VALUES ('$TENANT', '$LEAD',
	    'auto_followup', now() + interval '1 hour'); COMMIT"
	moves 'followup_sweep_found_total{kind="pending"}'
	for counter in followup_notifications_total followup_sweeps_total \
	    followup_sweep_duration_seconds_count \
	    followup_call_request_duration_seconds_count \
	    'followup_task_request_duration_seconds_count{method="create"}' \
	    'followup_log_messages_total{program="execute",level="warning"}' \
	    'followup_log_messages_total{program="schedule",level="error"}' \
	    'followup_posts_total{outcome="scheduled"}'; do
		moves "$counter"
	done
	sql "DELETE FROM lad_dev.lead_bookings"
}

# attempted ID OUTCOME: the call has been asked for, and that came of it; while
# the breaker is open it is not.
attempted() {
	callback "$1" "$(token)"
	counted "followup_call_attempts_total{outcome=\"$2\"}"
}

@test "README has the whole table" {
	metrics
	sed -n 's/^# TYPE \(.*\)/\1/p' <<<"$BODY" | sort \
	    >"$BATS_TEST_TMPDIR/shown"
	documented | sort >"$BATS_TEST_TMPDIR/documented"
	# Those that have no value in this stack.
	comm -23 "$BATS_TEST_TMPDIR/documented" "$BATS_TEST_TMPDIR/shown" |
	    grep -v 'credentials_expiry\|canary\|next_due\|keys_fetched' |
	    diff /dev/null -
	comm -13 "$BATS_TEST_TMPDIR/documented" "$BATS_TEST_TMPDIR/shown" |
	    diff /dev/null -
}
