#!/usr/bin/env bats
#
# Queues by tenant: what is wrong with one of them, is wrong with that one.

load lib

PARENT=${QUEUE%/queues/*}

setup_file() {
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s FOLLOWUP_MAX_SCHEDULE_ATTEMPTS=2
	stack_env
	make_queue tenant-b
	sql "CREATE OR REPLACE FUNCTION
	    lad_dev.followup_queue(booking lad_dev.lead_bookings) RETURNS text
	    LANGUAGE sql STABLE AS \$\$SELECT CASE booking.tenant_id
	    WHEN '$(tenant b)' THEN 'tenant-b' WHEN '$(tenant c)' THEN 'tenant-c'
	    WHEN '$(tenant d)' THEN 'no/queue' END\$\$" 2>/dev/null
}

teardown_file() {
	stack_down
}

setup() {
	stack_env
}

teardown() {
	stack_reset
}

# tenant LETTER: its id.
tenant() {
	echo "$1$1$1$1$1$1$1$1-1111-4111-8111-111111111111"
}

make_queue() {
	curl -sf -m 20 --noproxy '*' -o /dev/null \
	    -H 'Content-Type: application/json' \
	    -d "{\"name\": \"$PARENT/queues/$1\"}" \
	    "$EMULATOR_URL/v2/$PARENT/queues"
}

# queue NAME VERB: pause or resume it.
queue() {
	curl -sf -m 20 --noproxy '*' -o /dev/null -d '{}' \
	    -H 'Content-Type: application/json' \
	    "$EMULATOR_URL/v2/$PARENT/queues/$1:$2"
}

# book_for LETTER [DUE]: likewise, for this tenant.
book_for() {
	TENANT=$(tenant "$1") book "${2:-10 minutes}"
}

# has_trouble CODE PATTERN: /readyz names it.
has_trouble() {
	api GET /readyz
	jq -e --arg code "$1" --arg re "$2" 'any(.troubles[]?;
	    .code == $code and (.sentence | test($re)))' <<<"$BODY"
}

is_ready() {
	api GET /readyz
	expect 200 '.status == "ready"'
}

# explained ID PATTERN: GET /followups/ID says so.
explained() {
	api GET "/followups/$1"
	expect 200
	jq -e --arg re "$2" '.explanation | test($re)' <<<"$BODY"
}

@test "one is paused: the calls of the others go on" {
	queue tenant-b pause
	held=$(book_for b '1 second')
	becomes "$held" scheduled
	[[ $(column "$held" task_name) == "$PARENT/queues/tenant-b/tasks/"* ]]
	id=$(book_for a '1 second')
	becomes "$id" executed
	called "$id" 1
	called "$held" 0
	wait_for 10 has_trouble queue-paused \
	    'the queue tenant-b is paused.*gcloud tasks queues resume tenant-b'
	wait_for 10 explained "$held" 'in the queue tenant-b, which is paused'
	queue tenant-b resume
	becomes "$held" executed
	called "$held" 1
	wait_for 15 is_ready
}

@test "one is missing: its bookings wait, the others are scheduled" {
	id=$(book_for c)
	wait_for 10 logged schedule 'breaker open, no booking of that queue.*404'
	wait_for 10 has_trouble queue-missing \
	    'does the queue tenant-c that followup_queue names exist'
	for letter in a b; do
		other=$(book_for "$letter")
		becomes "$other" scheduled 5
	done
	[[ $(column "$id" task_status) == pending ]]
	sql_is 0 'SELECT count(*) FROM lad_dev.followup_failures'
	make_queue tenant-c
	becomes "$id" scheduled 30
	[[ $(column "$id" task_name) == "$PARENT/queues/tenant-c/tasks/"* ]]
	wait_for 20 is_ready

	# What is in no queue of the configuration's is deleted there.
	api DELETE "/followups/$id"
	expect 200 .cancelled
	wait_for 10 logged schedule "obsolete task deleted.*tenant-c/.*$id"
}

@test "one cannot be: a dead letter that names it" {
	id=$(book_for d)
	becomes "$id" failed 20
	api GET /dead-letters
	expect 200 '.deadLetters[0].error | test(
	    "followup_queue names \"no/queue\", which cannot be a queue")'
	wait_for 15 is_ready
}
