# The lines of the README's table of failures, as far as making a task goes:
# each fault is brought about, and mended, and then no booking is without its
# task and none has two.
# shellcheck disable=SC2030,SC2031,SC2153

load lib
load faults-lib

setup_file() {
	load lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s FOLLOWUP_OVERDUE_GRACE=1s
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

# all_have_tasks [SECONDS]: every booking is scheduled, and has one task.
all_have_tasks() {
	all_scheduled "${1:-20}"
	wait_for 5 queue_agrees
}

# executed_once ID: it was called once, and nothing is left in the queue.
executed_once() {
	becomes "$1" executed
	called "$1" 1
	wait_for 5 has_tasks "$1" 0
}

# not_before ID: it was not called before it was due.
not_before() {
	[[ $(column "$1" 'executed_at >= scheduled_at') == t ]]
}

# out_of_service PATTERN: /readyz and the webhook say that nothing goes
# through, and why; for an id that nobody else is busy with.
out_of_service() {
	api GET /readyz
	problem 503 out-of-service
	grep -qiE '^retry-after: [1-9]' <<<"$HEAD"
	[[ $BODY =~ $1 ]]
	webhook "{\"booking_id\":\"$2\"}"
	problem 503 out-of-service
	grep -qiE '^retry-after: [1-9]' <<<"$HEAD"
	[[ $BODY =~ $1 ]]
}

@test "created, but the answer was lost: killed before the row was written" {
	stack stop listener
	id=$(book)
	hold_row "$id"
	post_aside "$id"
	wait_for 10 has_tasks "$id" 1
	waits="SELECT count(*) FROM pg_stat_activity WHERE wait_event_type =
	    'Lock' AND application_name = 'followup-schedule'"
	wait_for 10 sql_is 1 "$waits"
	stack kill schedule
	wait "$ASIDE"

	# The server ends what the dead worker had asked for.
	wait_for 10 sql_is 0 "$waits"
	release
	has_status "$id" pending
	stack start schedule
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .scheduled .alreadyExists
	logged schedule "task found already created.*booking_id=$id"
	has_status "$id" scheduled
	has_tasks "$id" 1
	queue_agrees
}

@test "created, but the answer was lost: reset, replaced or cut off" {
	# On a connection that is reused curl repeats what was reset by itself:
	# the workers begin without one.
	stack stop schedule
	stack start schedule
	faults '[{"operation": "createTask", "reset": "after"},
	    {"operation": "createTask", "performed": true, "status": 504},
	    {"operation": "createTask", "performed": true, "status": 200,
	    "body": "<html>Sign in to the network</html>"}]'
	mark schedule
	book_many 3
	all_have_tasks
	[[ $(logged_since schedule 'task found already created' | wc -l) == 3 ]]

	start_cutter 2
	restart schedule "CLOUD_TASKS_EMULATOR_HOST=127.0.0.1:$PORT"
	mark schedule
	book_many 2
	all_have_tasks
	logged_since schedule 'could not be reached: .*(remaining|partial|closed)'
	[[ $(logged_since schedule 'task found already created' | wc -l) == 2 ]]
	no_failures
}

@test "one task cannot be created: 429, 499 to 504, HTML, resets" {
	# So that none of its lines is one too many like the last test's.
	restart schedule
	for batch in '429 500 503 504' '502 html reset' '499 front'; do
		rules=
		for fault in $batch; do
			case $fault in
			front) rule='"status": 400, "body": "<html>Error 400</html>"' ;;
			html) rule='"status": 503, "body": "<html>Error 503</html>"' ;;
			reset) rule='"reset": "before"' ;;
			*) rule="\"status\": $fault" ;;
			esac
			rules+=${rules:+,}"{\"operation\": \"createTask\", $rule}"
		done
		faults "[$rules]"
		mark schedule
		n=$(wc -w <<<"$batch")
		book_many "$n"
		all_have_tasks
		[[ $(fault_hits) == "$n" ]]
		for fault in $batch; do
			case $fault in
			front) text="answered 400 no status.*not in the API's format" ;;
			html) text="answered 503 no status.*not in the API's format" ;;
			reset) continue ;;
			*) text="answered $fault [A-Z_]+:" ;;
			esac
			logged_since schedule \
			    "attempt [12] of 10 .*failed, next in .*$text"
		done
		not logged_since schedule 'breaker open'
	done
	no_failures
}

@test "one task cannot be created: Retry-After is honoured, number or date" {
	stack stop listener
	for n in 1 2; do
		case $n in
		1) after=3 ;;
		2) after=$(LC_ALL=C date -u -d '4 seconds' \
		    '+%a, %d %b %Y %H:%M:%S GMT') ;;
		esac
		faults "{\"operation\": \"createTask\", \"status\": 429,
		    \"headers\": {\"Retry-After\": \"$after\"}}"
		id=$(book)
		webhook "{\"booking_id\":\"$id\"}"
		problem 503 unavailable
		grep -qiE '^retry-after: [3-5]' <<<"$HEAD"
		failed_times "$id" 1
		[[ $(failure "$id" "next_attempt_at - last_failed_at BETWEEN
		    '2.9 s' AND '5 s'") == t ]]
		ids+=("$id")
		next+=("$(failure "$id" next_attempt_at)")
	done
	api GET "/followups/$id"
	expect 200 '.explanation | test("Attempt 1 of 10 .*the next one waits.*no followup-listener")'

	stack start listener
	for n in 0 1; do
		becomes "${ids[n]}" scheduled
		created=$(grep "task created.*booking_id=${ids[n]}" \
		    "$STACK/log/schedule.log" | cut -d " " -f 1)
		sql_is t "SELECT '$created'::timestamptz >= '${next[n]}'"
	done
	queue_agrees
}

@test "Cloud Tasks refuses everybody: 401, and the token is renewed, once" {
	# The voice agent stands in for the token endpoint and for the API here.
	token() {
		echo "{\"method\": \"POST\", \"status\": 200, \"body\":
		    \"{\\\"access_token\\\":\\\"canary-$1\\\",\\\"expires_in\\\":3600}\"}"
	}
	stack stop listener
	id=$(book)
	agent "[$(token one), {\"method\": \"POST\", \"status\": 401},
	    $(token two), $(task_created "$id")]"
	jq -n --arg uri "$VOICE_AGENT_URL/token" '{type: "authorized_user",
	    client_id: "client", client_secret: "canary-client-secret",
	    refresh_token: "canary-refresh", token_uri: $uri}' \
	    >"$BATS_TEST_TMPDIR/credentials.json"
	chmod 400 "$BATS_TEST_TMPDIR/credentials.json"
	restart schedule CLOUD_TASKS_ENDPOINT="$VOICE_AGENT_URL/api" \
	    GOOGLE_APPLICATION_CREDENTIALS="$BATS_TEST_TMPDIR/credentials.json"
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .scheduled '.alreadyExists == false'

	seen=$(curl -s --noproxy '*' "$VOICE_AGENT_URL/calls" | jq -r '.calls[] |
	    select(.path | test("^/(api|token)")) |
	    "\(.path | split("/")[1]) \(.headers.authorization // "-")"')
	[[ $seen == "token -
api Bearer canary-one
token -
api Bearer canary-two" ]]
	not logged schedule 'breaker open'
	not in_any_log canary-
	no_failures

	# Its task is in no queue.
	change "$id" "task_status = 'cancelled'"
}

@test "Cloud Tasks refuses everybody: 401, 403: open at once, nothing counted" {
	for status in 401 403; do
		case $status in
		401) hint='are the credentials still valid' ;;
		403) hint='roles/cloudtasks.enqueuer.*roles/iam.serviceAccountUser' ;;
		esac
		faults "{\"operation\": \"createTask\", \"status\": $status,
		    \"count\": -1}"
		mark schedule
		book_many 10
		wait_for 10 logged_since schedule "breaker open.* $status .*$hint"
		id=$(book)
		out_of_service "$status" "$id"
		no_failures
		faults '[]'
		all_have_tasks
		logged_since schedule 'breaker closed'
		no_failures
	done
	api GET /readyz
	expect 200 '.breaker == "closed"'
}

@test "Cloud Tasks refuses everybody: no such queue, and then there is" {
	parent=${QUEUE%/queues/*}
	restart schedule FOLLOWUP_QUEUE_NAME=made-later
	mark schedule
	book_many 5
	wait_for 10 logged_since schedule 'breaker open.*404.*[Qq]ueue'
	id=$(book)
	out_of_service 404 "$id"
	no_failures
	curl -sf --noproxy '*' -o /dev/null -H 'Content-Type: application/json' \
	    -d "{\"name\": \"$parent/queues/made-later\"}" \
	    "$EMULATOR_URL/v2/$parent/queues"
	all_scheduled
	no_failures
	sql_is 6 "SELECT count(*) FROM lad_dev.lead_bookings WHERE
	    task_status = 'scheduled' AND task_name ~ '/queues/made-later/'"

	# What is in the other queue is not of use to the other tests.
	sql "UPDATE lad_dev.lead_bookings SET task_status = 'cancelled'
	    WHERE task_name ~ '/queues/made-later/'" 2>/dev/null
}

@test "Cloud Tasks does not answer: bookings wait and lose no attempts" {
	attempts() {
		sql 'SELECT coalesce(sum(attempts), 0) FROM lad_dev.followup_failures'
	}
	probed() { (($(fault_hits) > $(attempts))); }

	faults '{"operation": "createTask", "status": 503, "count": -1}'
	mark schedule
	book_many 20
	wait_for 10 logged_since schedule 'breaker open.* 503 '
	wait_for 10 probed

	# While one probe is on its way, nobody else asks.
	faults '{"operation": "createTask", "status": 503, "count": -1,
	    "delayMs": 8000}'
	wait_for 20 fault_hit 1

	# Four; the fifth opened the breaker, and those behind it found it open.
	counted=$(attempts)
	((counted == 4))
	for n in 1 2 3; do
		out_of_service 503 "$(book)"
	done
	[[ $(fault_hits) == 1 ]]
	[[ $(attempts) == "$counted" ]]

	faults '[]'
	all_have_tasks 45
	logged_since schedule 'breaker closed'
	[[ $(logged_since schedule 'to create the task failed, next in' |
	    wc -l) == "$counted" ]]
	no_failures
	api GET /readyz
	expect 200 '.breaker == "closed"'
}

@test "one task cannot be created: refused (400), a dead letter at once" {
	faults "$(jq -nc '{operation: "createTask", status: 400, body: ({error:
	    {code: 400, status: "INVALID_ARGUMENT",
	    message: "HttpRequest.url is not to our taste."}} | tojson)}')"
	id=$(book)
	other=$(book)
	becomes "$id" failed
	becomes "$other" scheduled
	dead_letter "$id" '.stage == "schedule"' '.attempts == 1' \
	    '.httpStatus == 400' '.error | test("not to our taste")' \
	    ".tenantId == \"$TENANT\"" '.firstFailedAt == .lastFailedAt' \
	    '.diedAt | test("^20[0-9-]+T[0-9:.]+Z$")'
	[[ $(column "$id" last_execution_error) == *'not to our taste'* ]]
	logged schedule "dead letter.*not to our taste.*/followups/$id/retry"
	api GET "/followups/$id"
	expect 200 '.taskStatus == "failed"' '.explanation | test("dead letter")'

	retry "$id"
	becomes "$id" scheduled
	queue_agrees
	no_failures
}

@test "one task cannot be created: attempts outlive restarts, then a dead letter" {
	restart schedule FOLLOWUP_MAX_SCHEDULE_ATTEMPTS=2
	faults '[{"operation": "createTask", "status": 503,
	    "headers": {"Retry-After": "6"}},
	    {"operation": "createTask", "status": 503}]'
	id=$(book)
	wait_for 10 failed_times "$id" 1
	has_status "$id" pending
	stack stop listener
	restart schedule FOLLOWUP_MAX_SCHEDULE_ATTEMPTS=2
	stack start listener
	failed_times "$id" 1
	becomes "$id" failed
	dead_letter "$id" '.attempts == 2' '.httpStatus == 503' \
	    '.firstFailedAt < .lastFailedAt'
	has_tasks "$id" 0
	retry "$id"
	becomes "$id" scheduled
	queue_agrees
}

@test "dead letters are replayed all at once, by the API and by SQL" {
	# died: one more booking that was refused.
	died() {
		faults '{"operation": "createTask", "status": 400}'
		ids+=("$(book)")
		becomes "${ids[-1]}" failed
	}
	# replay BODY N: N of them are pending again.
	replay() {
		api POST /dead-letters/retry \
		    -H 'Content-Type: application/json' -d "$1"
		expect 200 .success ".retried == $2"
	}
	now() {
		sql "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC',
		    'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
	}

	start=$(now)
	died
	middle=$(now)
	died
	replay '{"stage": "execute"}' 0
	replay "{\"until\": \"$start\"}" 0
	replay "{\"stage\": \"schedule\", \"since\": \"$middle\"}" 1
	becomes "${ids[1]}" scheduled
	has_status "${ids[0]}" failed
	replay "{\"since\": \"$start\", \"until\": \"$middle\"}" 1
	becomes "${ids[0]}" scheduled

	died
	died
	sql_is 0 "SELECT retried FROM
	    lad_dev.followup_retry_all('{\"stage\": \"execute\"}')"
	sql_is 2 "SELECT retried FROM lad_dev.followup_retry_all(
	    jsonb_build_object('stage', 'schedule', 'since', '$start'))"
	all_have_tasks
	no_failures
}

@test "PostgreSQL: killed while tasks are made, and started again" {
	faults '{"operation": "createTask", "delayMs": 700, "count": 4}'
	mark listener
	book_many 12
	wait_for 10 fault_hit 4
	stack kill postgres
	api GET /readyz
	problem 503 out-of-service
	stack start postgres
	all_have_tasks 30
	logged_since listener 'no database connection'
	no_failures
}

@test "PostgreSQL: processes that froze are noticed and replaced" {
	backend() {
		sql "SELECT pid FROM pg_stat_activity
		    WHERE application_name = 'followup-$1' LIMIT 1"
	}
	has_backend() {
		[[ -n $(backend "$1") ]]
	}
	mark listener
	wait_for 30 has_backend listener

	# Workers that have lost theirs connect when there is work.
	becomes "$(book)" scheduled 30
	wait_for 30 has_backend schedule
	listener=$(backend listener)
	freeze "$(backend schedule)"
	book_many 8
	wait_for 5 sql_is t "SELECT count(*) <= 1 FROM lad_dev.lead_bookings
	    WHERE task_status = 'pending'"
	freeze "$listener"
	wait_for 20 logged_since listener 'the server does not answer'

	# The worker at the other one gives up, and another has its booking.
	kill -CONT "$listener"
	all_have_tasks 30
}

@test "the task is gone: purged; the sweep has another one made" {
	id=$(book '2 seconds')
	becomes "$id" scheduled
	first=$(column "$id" task_name)
	others=$(sql "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status = 'scheduled' AND id <> '$id'")
	queue purge
	has_tasks "$id" 0
	executed_once "$id"
	not_before "$id"
	logged schedule "its task is gone: making another one.*$id"
	[[ $(column "$id" task_name) == "$first-2" ]]

	# Those that are not due yet will be found when they are.
	sql_is "$others" "WITH c AS (UPDATE lad_dev.lead_bookings
	    SET task_status = 'cancelled' WHERE task_status = 'scheduled'
	    RETURNING 1) SELECT count(*) FROM c" 2>/dev/null
	wait_for 10 queue_agrees
}

@test "the queue is paused: what is overdue is reported, and called later" {
	queue pause
	id=$(book '1 second')
	becomes "$id" scheduled
	name=$(column "$id" task_name)
	wait_for 15 logged schedule \
	    "overdue by .*still in the queue, which is paused: 0 disp.*$id"
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 .success '.scheduled == false' \
	    '.reason | test("overdue by .*in the queue, which is paused")'
	has_tasks "$id" 1
	called "$id" 0
	queue resume
	executed_once "$id"
	[[ $(column "$id" task_name) == "$name" ]]
}

@test "NOTIFY not sent: moved while the triggers were disabled" {
	id=$(book)
	becomes "$id" scheduled
	old=$(column "$id" task_name)
	sql/followup-trigger disable
	change "$id" "scheduled_at = date_trunc('milliseconds', now())
	    + interval '4 seconds'"
	sql/followup-trigger enable
	moved() { [[ $(column "$id" task_name) != "$old" ]] &&
	    has_status "$id" scheduled; }
	wait_for 5 moved
	[[ $(column "$id" 'scheduled_at > now()') == t ]]
	wait_for 5 queue_agrees
	executed_once "$id"
	not_before "$id"
}

@test "NOTIFY not sent: moved while it waited as long as Retry-After asked" {
	faults '{"operation": "createTask", "status": 429,
	    "headers": {"Retry-After": "60"}}'
	id=$(book)
	wait_for 10 logged listener "answered 503.*next in 60.*booking_id=$id"
	spare=trigger_followup_cloud_task_reschedule
	sql "ALTER TABLE lad_dev.lead_bookings DISABLE TRIGGER $spare"
	change "$id" "scheduled_at = scheduled_at + interval '10 minutes'"
	sql "ALTER TABLE lad_dev.lead_bookings ENABLE TRIGGER $spare"
	becomes "$id" scheduled
	queue_agrees
	no_failures
}

@test "NOTIFY not sent: it was beyond the horizon, and time has passed" {
	id=$(book '45 days')
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 '.scheduled == false' '.reason | test("horizon")'
	before=$(log_lines listener "Received booking notification.*$id")
	sql "SET session_replication_role = replica; UPDATE lad_dev.lead_bookings
	    SET scheduled_at = now() + interval '29 days' WHERE id = '$id'"
	becomes "$id" scheduled 10
	[[ $(log_lines listener "Received booking notification.*$id") == "$before" ]]
	has_tasks "$id" 1
	[[ $(column "$id" 'task_scheduled_at = scheduled_at') == t ]]
}

@test "moved while the old task cannot be deleted: nobody waits for that" {
	id=$(book)
	becomes "$id" scheduled
	old=$(column "$id" task_name)
	faults '{"operation": "deleteTask", "status": 503, "count": -1}'
	mark schedule
	change "$id" "scheduled_at = scheduled_at + interval '10 minutes'"
	becomes "$id" scheduled
	logged_since schedule "could not delete an obsolete task, trying.*$id"
	[[ $(column "$id" task_name) != "$old" ]]
	has_tasks "$id" 2
	faults '[]'
	wait_for 10 sql_is 0 'SELECT count(*) FROM lad_dev.followup_obsolete_tasks'
	has_tasks "$id" 1
	wait_for 5 queue_agrees
}

@test "a task of another project in the row is left alone" {
	other=projects/another-project/locations/us-central1/queues/q/tasks/t
	faults '{"operation": "deleteTask", "status": 403, "count": -1}'
	id=$(book)
	becomes "$id" scheduled
	old=$(column "$id" task_name)
	change "$id" "task_name = '$other'"
	change "$id" "scheduled_at = scheduled_at + interval '10 minutes'"
	wait_for 10 logged schedule "could not delete an obsolete task; it will.*another-project.*$id"
	becomes "$id" scheduled
	[[ $(fault_hits) == 0 ]]
	faults '[]'
	curl -sf -m 20 --noproxy '*' -X DELETE "$EMULATOR_URL/v2/$old"
	wait_for 5 queue_agrees
}

@test "moved away and back while the old task could not be deleted: one call" {
	id=$(book '4 seconds')
	due=$(column "$id" scheduled_at)
	becomes "$id" scheduled
	faults '{"operation": "deleteTask", "status": 503, "count": 2}'
	change "$id" "scheduled_at = now() + interval '1 hour'"
	wait_for 5 fault_hit 1
	change "$id" "scheduled_at = '$due'"
	becomes "$id" scheduled
	executed_once "$id"
	not_before "$id"
	sql_is 0 'SELECT count(*) FROM lad_dev.followup_obsolete_tasks'
}

@test "the queue is gone for a while: it keeps its tasks, and they fire" {
	for n in 1 2 3; do
		ids+=("$(book '3 seconds')")
	done
	for id in "${ids[@]}"; do
		becomes "$id" scheduled
	done
	stack kill emulator
	stack start emulator
	queue_agrees
	for id in "${ids[@]}"; do
		executed_once "$id"
		not_before "$id"
	done
}

@test "followup-schedule: a worker that froze keeps one booking to itself" {
	stack stop listener
	faults '{"operation": "createTask", "delayMs": 1000}'
	id=$(book)
	post_aside "$id"
	wait_for 10 fault_hit 1
	freeze "$(schedule_worker)"
	wait_for 10 has_tasks "$id" 1
	webhook "{\"booking_id\":\"$id\"}"
	problem 503 unavailable
	grep -qiE '^retry-after: [1-9]' <<<"$HEAD"
	[[ $BODY == *'another worker is busy with this booking'* ]]
	has_status "$id" pending

	thaw
	wait "$ASIDE"
	has_status "$id" scheduled
	webhook "{\"booking_id\":\"$id\"}"
	expect 200 '.reason == "already scheduled"'
	has_tasks "$id" 1
	[[ $(log_lines schedule "task (created|found).*$id") == 1 ]]
	queue_agrees
}

@test "followup-schedule leaves at once, though many more are waiting" {
	perl -MIO::Socket::UNIX -e '
		my @held = map { IO::Socket::UNIX->new($ARGV[0]) or die } 1 .. 64;
		$| = 1;
		print("connected\n");
		sleep(60);' "${LOCAL_SOCKET%/*}/schedule.sock" \
	    >"$BATS_TEST_TMPDIR/said" 3>&- &
	crowd=$!
	wait_for 5 grep -q connected "$BATS_TEST_TMPDIR/said"
	# Each that brings no request takes a worker five seconds.
	timeout 20 "$ROOT/tests/stack" stop schedule "$STACK"
	kill "$crowd"
	stack start schedule
}
