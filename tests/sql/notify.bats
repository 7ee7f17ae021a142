#!/usr/bin/env bats
# What is heard of a booking, by real sessions against the server of
# tests/sql/run.

setup_file() {
	export SQL="$BATS_TEST_DIRNAME/../../sql"
}

setup() {
	q -c 'DROP SCHEMA IF EXISTS lad_dev CASCADE' \
	    -c 'CREATE SCHEMA lad_dev' \
	    -c 'CREATE TABLE lad_dev.lead_bookings (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		tenant_id uuid, lead_id uuid, assigned_user_id uuid,
		booking_type varchar(50), scheduled_at timestamptz,
		timezone text, created_at timestamptz)'
	q -f "$SQL/create-booking-cloud-task-trigger.sql"
	b=00000000-0000-4000-8000-00000000000b
	t=11111111-1111-4111-8111-111111111111
}

teardown() {
	nobody_hangs
	if [ -n "${holder:-}" ]; then
		kill "$holder" 2>/dev/null || true
		wait "$holder" 2>/dev/null || true
	fi
}

# psql without anybody's own setup.
q() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# Run the statements in a session that listens, each its own transaction; what
# it hears is in $output.
hear() {
	local statement args=()
	for statement; do
		args+=(-c "$statement")
	done
	run q -c 'SET client_min_messages = warning' \
	    -c 'LISTEN booking_followup_created' "${args[@]}"
	[ "$status" -eq 0 ]
}

# The payload in $output.
payload() {
	sed -n 's/^Asynchronous notification "booking_followup_created" with payload "\(.*\)" received from.*$/\1/p' <<<"$output"
}

@test "the payload has exactly the nine fields" {
	hear "INSERT INTO lad_dev.lead_bookings VALUES ('$b', '$t', '$t', '$t',
	    'Follow_Up', '2030-06-01 12:00:00.25+04', 'Asia/Dubai',
	    '2029-01-01 00:00+00')"
	payload | jq -e --arg b "$b" --arg t "$t" '. == {
		booking_id: $b, tenant_id: $t, lead_id: $t,
		assigned_user_id: $t, scheduled_at: "2030-06-01T08:00:00.250Z",
		timezone: "Asia/Dubai", booking_type: "Follow_Up",
		created_at: "2029-01-01T05:30:00+05:30", schema: "lad_dev"}'
}

@test "what a booking does not have is null" {
	hear "INSERT INTO lad_dev.lead_bookings (id, booking_type)
	    VALUES ('$b', 'follow_up')"
	payload | jq -e '(keys | length) == 9 and
	    ([.[] | select(. == null)] | length) == 6'
}

@test "a time that cannot be known is told as it stands in the row" {
	hear "INSERT INTO lad_dev.lead_bookings (booking_type, scheduled_at)
	    VALUES ('follow_up', 'infinity')"
	[ "$(payload | jq -r .scheduled_at)" = infinity ]
}

@test "all nine types are heard, in any case" {
	hear "INSERT INTO lad_dev.lead_bookings (booking_type)
	    SELECT unnest(ARRAY['Follow_Up', 'FOLLOW-UP', 'auto-Follow-up',
	    'followUP', 'AUTO_FOLLOW_UP', 'auto_followup', 'Manual_FollowUp',
	    'manual_follow_up', 'SCHEDULED_call', 'meeting', 'demo'])"
	[ "$(payload | wc -l)" -eq 9 ]
}

@test "an INSERT says so by a NOTICE" {
	run q -c "INSERT INTO lad_dev.lead_bookings (id, booking_type)
	    VALUES ('$b', 'follow_up')"
	[ "$status" -eq 0 ]
	[ "$output" = "NOTICE:  Notification sent for follow-up booking: $b" ]
}

@test "a rolled-back INSERT is not heard" {
	hear "BEGIN; INSERT INTO lad_dev.lead_bookings (booking_type)
	    VALUES ('follow_up'); ROLLBACK" 'SELECT 1'
	[ -z "$(payload)" ]
}

@test "a text too long for NOTIFY: the INSERT stands, the id is heard" {
	hear "INSERT INTO lad_dev.lead_bookings (id, booking_type, timezone)
	    VALUES ('$b', 'follow_up', repeat('x', 10240))"
	[ "$(payload | jq -cS .)" = "{\"booking_id\":\"$b\",\"schema\":\"lad_dev\"}" ]
	[ "$(q -c 'SELECT count(*) FROM lad_dev.lead_bookings')" = 1 ]
}

@test "payloads around the limit of NOTIFY are all heard" {
	local n statements=()
	for n in 7600 7700 7800; do
		statements+=("INSERT INTO lad_dev.lead_bookings (booking_type,
		    timezone) SELECT 'follow_up', repeat('x', n)
		    FROM generate_series($n, $n + 99) AS n")
	done
	hear "${statements[@]}"
	[ "$(payload | wc -l)" -eq 300 ]
	payload | awk 'length > 7999 { exit 1 }'
	payload | awk 'length > 7980 { found = 1 } END { exit !found }'
}

@test "a transaction is heard of by a hundred hints, and the next one anew" {
	hear "BEGIN" "INSERT INTO lad_dev.lead_bookings (booking_type)
	    SELECT 'follow_up' FROM generate_series(1, 70)" \
	    "INSERT INTO lad_dev.lead_bookings (booking_type)
	    SELECT 'follow_up' FROM generate_series(1, 70)" "COMMIT"
	[ "$(payload | sort -u | wc -l)" -eq 100 ]
	hear "INSERT INTO lad_dev.lead_bookings (booking_type)
	    VALUES ('follow_up')"
	[ "$(payload | wc -l)" -eq 1 ]
	[ "$(q -c 'SELECT count(*) FROM lad_dev.lead_bookings')" = 141 ]
}

@test "another session is committing: the INSERT stands and is not heard" {
	# The holder has the lock when it says so, and keeps it until its input
	# ends.
	mkfifo "$BATS_TEST_TMPDIR/in"
	q <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>&1 &
	holder=$!
	exec 7>"$BATS_TEST_TMPDIR/in"
	echo "BEGIN; INSERT INTO lad_dev.lead_bookings (booking_type)
	    VALUES ('follow_up'); SET CONSTRAINTS ALL IMMEDIATE;" >&7
	for _ in $(seq 1000); do
		grep -q 'Notification sent' "$BATS_TEST_TMPDIR/out" && break
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done
	grep -q 'Notification sent' "$BATS_TEST_TMPDIR/out"

	hear "INSERT INTO lad_dev.lead_bookings (id, booking_type)
	    VALUES ('$b', 'follow_up')"
	[ -z "$output" ]
	[ "$(q -c 'SELECT count(*) FROM lad_dev.lead_bookings')" = 1 ]
	exec 7>&-
	wait "$holder"
	holder=
}

# From here on a commit hangs whose session asks for synchronous_commit.
some_hang() {
	q -d postgres -c "ALTER SYSTEM SET synchronous_commit = local" \
	    -c "ALTER SYSTEM SET synchronous_standby_names = nobody" \
	    -c 'SELECT pg_reload_conf()' >/dev/null
	hanging=1
}

nobody_hangs() {
	[ -n "${hanging:-}" ] || return 0
	q -d postgres -c 'ALTER SYSTEM RESET synchronous_standby_names' \
	    -c 'ALTER SYSTEM RESET synchronous_commit' \
	    -c 'SELECT pg_reload_conf()' >/dev/null
	hanging=
}

# Wait until ${1}, a condition in SQL, is true.
await() {
	local _
	for _ in $(seq 1000); do
		[ "$(q -c "SELECT $1")" != t ] || return 0
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done
	echo "never: $1"
	return 1
}

@test "a commit with a NOTIFY that hangs in another database delays nobody" {
	some_hang
	await "current_setting('synchronous_standby_names') = 'nobody'"
	q -d postgres -c 'SET synchronous_commit = on' -c 'BEGIN' \
	    -c "SELECT pg_logical_emit_message(true, 'some', 'WAL')" \
	    -c 'NOTIFY elsewhere' -c 'COMMIT' \
	    >"$BATS_TEST_TMPDIR/out" 2>&1 &
	holder=$!
	await "EXISTS (SELECT FROM pg_locks WHERE locktype = 'object'
	    AND classid = 1262 AND objid = 0 AND granted)"

	# The tests' own connection is not among those that hang.
	run timeout 20 psql -X -q -At -v ON_ERROR_STOP=1 \
	    -c 'SET lock_timeout = 100' -c "INSERT INTO lad_dev.lead_bookings
	    (id, booking_type) VALUES ('$b', 'follow_up')" \
	    -c "UPDATE lad_dev.lead_bookings SET scheduled_at = now()" \
	    -c "SHOW lock_timeout"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = 100ms ]
	kill -0 "$holder"
	nobody_hangs
	wait "$holder"
	holder=

	# And then it is heard again, by the same session, too.
	hear "INSERT INTO lad_dev.lead_bookings (booking_type)
	    VALUES ('follow_up')"
	[ "$(payload | wc -l)" -eq 1 ]
}

@test "PREPARE TRANSACTION still works" {
	run q <<<"BEGIN;
	    INSERT INTO lad_dev.lead_bookings (id, booking_type)
	    VALUES ('$b', 'follow_up');
	    PREPARE TRANSACTION 'followup';
	    COMMIT PREPARED 'followup';"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ "$(q -c "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE id = '$b'")" = 1 ]
}

@test "a move, a cancellation and a deletion are heard" {
	q -c "SET followup.daemon = 'on'" \
	    -c "INSERT INTO lad_dev.lead_bookings (id, booking_type, scheduled_at,
	    task_status, task_name) VALUES ('$b', 'follow_up', '2030-01-01',
	    'scheduled', 'old')"
	hear "UPDATE lad_dev.lead_bookings SET scheduled_at = '2031-01-01 00:00+00'"
	[ "$(payload | jq -r .scheduled_at)" = 2031-01-01T00:00:00.000Z ]

	q -c "SET followup.daemon = 'on'" \
	    -c "UPDATE lad_dev.lead_bookings SET task_status = 'scheduled',
	    task_name = 'new'"
	hear "UPDATE lad_dev.lead_bookings SET task_status = 'cancelled'"
	[ "$(payload | jq -r .booking_id)" = "$b" ]

	q -c "UPDATE lad_dev.lead_bookings SET task_status = 'pending'" \
	    -c "SET followup.daemon = 'on'" \
	    -c "UPDATE lad_dev.lead_bookings SET task_status = 'scheduled',
	    task_name = 'newer'" 2>/dev/null
	hear 'DELETE FROM lad_dev.lead_bookings'
	[ "$(payload | jq -r .booking_id)" = "$b" ]
	[ "$(q -c "SELECT string_agg(task_name, ' ' ORDER BY obsolete_at)
	    FROM lad_dev.followup_obsolete_tasks")" = 'old new newer' ]
}

@test "a daemon's session is not heard, unless it retries a booking" {
	q -c "INSERT INTO lad_dev.lead_bookings (id, booking_type)
	    VALUES ('$b', 'follow_up')" 2>/dev/null
	hear "SET followup.daemon = 'on'" \
	    "UPDATE lad_dev.lead_bookings SET task_status = 'scheduled',
	    task_name = 'new', task_scheduled_at = now()" \
	    "UPDATE lad_dev.lead_bookings SET task_status = 'pending',
	    task_name = NULL" \
	    "UPDATE lad_dev.lead_bookings SET task_status = 'failed'" 'SELECT'
	[ -z "$(payload)" ]
	hear "SET followup.daemon = 'on'" "SELECT lad_dev.followup_retry('$b')"
	[ "$(payload | jq -r .booking_id)" = "$b" ]
}

@test "many bookings in one statement: one subtransaction, one warning" {
	local before after move='UPDATE lad_dev.lead_bookings
	    SET scheduled_at = scheduled_at + interval '\''1 day'\'
	q -c "SET followup.daemon = 'on'" \
	    -c "INSERT INTO lad_dev.lead_bookings (booking_type, scheduled_at,
	    task_status, task_name) SELECT 'follow_up', '2030-01-01', 'scheduled',
	    'old ' || n FROM generate_series(1, 1000) AS n"
	before=$(q -c 'SELECT pg_current_xact_id()')
	q -c "$move" -c 'DELETE FROM lad_dev.lead_bookings' 2>/dev/null
	after=$(q -c 'SELECT pg_current_xact_id()')
	[ $((after - before)) -lt 10 ]
	[ "$(q -c 'SELECT count(*) FROM lad_dev.followup_obsolete_tasks')" = 1000 ]

	# And 32 of them in a transaction of many statements.
	before=$(q -c 'SELECT pg_current_xact_id()')
	{
		echo "SET client_min_messages = warning; BEGIN;
		    INSERT INTO lad_dev.lead_bookings (booking_type) VALUES ('follow_up');"
		yes "UPDATE lad_dev.lead_bookings
		    SET scheduled_at = coalesce(scheduled_at, now()) + interval '1 h';" |
		    head -n 200
		echo 'COMMIT;'
	} | q
	after=$(q -c 'SELECT pg_current_xact_id()')
	[ $((after - before)) -lt 40 ]

	# Whatever anybody has put into our settings.
	q -c 'ALTER TABLE lad_dev.followup_attempts RENAME TO gone' \
	    -c "SET followup.daemon = 'on'" \
	    -c "UPDATE lad_dev.lead_bookings SET task_status = 'scheduled'" \
	    -c "INSERT INTO lad_dev.lead_bookings (booking_type, scheduled_at,
	    task_status, task_name) SELECT 'follow_up', '2030-01-01', 'scheduled',
	    'more ' || n FROM generate_series(1, 1000) AS n"
	for value in '' 'nonsense' '0 0 failed' "$(printf '%32s' . | tr ' ' .)"; do
		run q -c "SET followup.changes = '$value'" -c "$move" \
		    -c "SET followup.daemon = 'on'" \
		    -c "UPDATE lad_dev.lead_bookings SET task_status = 'scheduled'"
		[ "$status" -eq 0 ]
		[ "$(grep -c 'WARNING:.* is not deleted' <<<"$output")" = 1 ]
	done
	[ "$(q -c "SELECT count(*) FROM lad_dev.followup_obsolete_tasks
	    WHERE task_name LIKE 'more %'")" = 0 ]
}

@test "who tries to make a booking scheduled is told so, once a statement" {
	q -c "INSERT INTO lad_dev.lead_bookings (booking_type)
	    SELECT 'follow_up' FROM generate_series(1, 5)" 2>/dev/null
	run q -c "UPDATE lad_dev.lead_bookings SET task_status = 'scheduled'" \
	    -c "UPDATE lad_dev.lead_bookings SET task_status = 'executed'" \
	    -c "UPDATE lad_dev.lead_bookings SET task_status = task_status"
	[ "$(grep -c NOTICE <<<"$output")" = 2 ]
	[[ ${lines[0]} == *'stays pending, though saved as scheduled: to change it, set task_status alone'* ]]
	[[ ${lines[1]} == *'stays pending, though saved as executed: '* ]]
}

@test "a temporary table called record takes no booking's change away" {
	q -c "INSERT INTO lad_dev.lead_bookings (id, booking_type, scheduled_at)
	    VALUES ('$b', 'follow_up', '2030-01-01')" 2>/dev/null
	[ "$(q -c 'CREATE TEMPORARY TABLE record (a int, b text)' \
	    -c "UPDATE lad_dev.lead_bookings SET scheduled_at = '2031-01-01'
	    RETURNING 'moved'" 2>/dev/null)" = moved ]
}

# change STATEMENT, within a transaction whose snapshot is older than OTHER, the
# statement of another session.
change_behind() {
	echo "$2" >"$BATS_TEST_TMPDIR/other"
	q <<-EOF
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT FROM lad_dev.lead_bookings;
		\\! psql -X -q -f "$BATS_TEST_TMPDIR/other"
		$1;
		COMMIT;
	EOF
}

@test "a snapshot that others have written over fails no change of bookings" {
	local move="UPDATE lad_dev.lead_bookings SET scheduled_at = '2031-01-01'"
	q -c "SET followup.daemon = 'on'" \
	    -c "INSERT INTO lad_dev.lead_bookings (booking_type, scheduled_at,
	    task_status, task_name) SELECT 'follow_up', '2030-01-01', 'scheduled',
	    'old ' || n FROM generate_series(1, 40) AS n" \
	    -c "INSERT INTO lad_dev.followup_failures (booking_id, stage, attempts,
	    error)
	    SELECT id, 'execute', 1, 'e' FROM lad_dev.lead_bookings"
	change_behind "$move" "INSERT INTO lad_dev.followup_obsolete_tasks
	    (task_name, booking_id) SELECT task_name, id
	    FROM lad_dev.lead_bookings WHERE task_name <> 'old 1';
	    UPDATE lad_dev.followup_failures f SET attempts = 2
	    FROM lad_dev.followup_obsolete_tasks o
	    WHERE o.booking_id = f.booking_id"
	[ "$(q -c "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE scheduled_at = '2031-01-01'")" = 40 ]
}

@test "rows without an id are nobody's bookings, and are changed and deleted" {
	q -c 'ALTER TABLE lad_dev.lead_bookings DROP CONSTRAINT lead_bookings_pkey,
	    ALTER id DROP NOT NULL' \
	    -c "INSERT INTO lad_dev.lead_bookings (id, booking_type, scheduled_at)
	    VALUES ('$b', 'follow_up', '2030-01-01'),
	    (NULL, 'follow_up', '2030-01-01'), (NULL, 'follow_up', '2030-01-01')" \
	    -c "UPDATE lad_dev.lead_bookings SET scheduled_at = '2031-01-01'" \
	    -c 'DELETE FROM lad_dev.lead_bookings'
	[ "$(q -c 'SELECT count(*) FROM lad_dev.lead_bookings')" = 0 ]
}
