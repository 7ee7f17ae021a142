#!/usr/bin/env bats
# The verbs of sql/followup-trigger, and what its verify finds.
# shellcheck disable=SC2030,SC2031 # each test runs in a subshell of its own

load session-lib

setup() {
	trigger=$BATS_TEST_DIRNAME/../../sql/followup-trigger
	q -c 'DROP SCHEMA IF EXISTS lad_dev CASCADE' \
	    -c 'CREATE SCHEMA lad_dev' \
	    -c 'CREATE TABLE lad_dev.lead_bookings (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		tenant_id uuid, lead_id uuid,
		booking_type varchar(50) DEFAULT '\''follow_up'\'',
		scheduled_at timestamp, timezone text,
		is_deleted boolean NOT NULL DEFAULT false)'
	q -c 'DROP ROLE IF EXISTS test_daemon' -c 'CREATE ROLE test_daemon'
}

teardown() {
	q -c 'DROP SCHEMA IF EXISTS lad_dev CASCADE' \
	    -c 'DROP ROLE IF EXISTS test_daemon'
}

# psql without anybody's own setup.
q() {
	PGOPTIONS='-c client_min_messages=error' \
	    psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# After the damage ${1}, verify exits 1 and has a "not ok" line with each of the
# texts that follow.
finds() {
	q -c "$1"
	shift
	run "$trigger" verify --grant-to test_daemon
	[ "$status" -eq 1 ] || { echo "verify exits $status"; return 1; }
	local text
	for text; do
		grep '^not ok' <<<"$output" | grep -qF -- "$text" || {
			echo "no 'not ok' line with: $text"
			grep '^not ok' <<<"$output"
			return 1
		}
	done
}

# install makes verify content.
repairs() {
	run "$trigger" install --grant-to test_daemon
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
	run "$trigger" verify --grant-to test_daemon
	[ "$status" -eq 0 ] || { grep -v '^ok' <<<"$output"; return 1; }
}

# Output has a line that matches each of the patterns.
has() {
	local pattern
	for pattern; do
		grep -qE -- "$pattern" <<<"$output" || {
			echo "no line with: $pattern"
			echo "$output"
			return 1
		}
	done
}

@test "install, verify, uninstall, each twice" {
	run "$trigger" verify
	[ "$status" -eq 1 ]
	for _ in 1 2; do
		run "$trigger" install --grant-to test_daemon
		[ "$status" -eq 0 ]
		[ "$output" = 'follow-up scheduling is installed on "lad_dev"."lead_bookings"' ]
	done
	run "$trigger" verify --grant-to test_daemon
	[ "$status" -eq 0 ]
	[[ $output != *'not ok'* ]]
	[[ $output == *'ok information_schema.triggers lists'* ]]
	[[ $output == *'timestamp, read in the row'* ]]
	for _ in 1 2; do
		run "$trigger" uninstall
		[ "$status" -eq 0 ]
	done
	run "$trigger" verify
	[ "$status" -eq 1 ]
}

@test "whatever a client's settings make of backslashes and names" {
	export PGOPTIONS='-c standard_conforming_strings=off
	    -c quote_all_identifiers=on -c escape_string_warning=off'
	sql=$BATS_TEST_DIRNAME/../../sql/create-booking-cloud-task-trigger.sql
	psql -X -f "$sql"
	"$trigger" verify
	for hours in 'mon-fri 09:00-20:00' $' sat\t7:00 - 24:00 ;sun 22:00-2:00'; do
		run "$trigger" set calling_hours "$hours"
		[ "$output" = "calling_hours $hours" ]
	done
	run "$trigger" pause --reason $'a\n b, as it is'
	[[ ${lines[0]} == *': a b, as it is' ]]
	run psql -X -At -c "SELECT z, lad_dev.followup_zone(z)
	    FROM unnest('{Etc/GMT+4,GMT+4,CET,nowhere}'::text[]) z"
	[ "$output" = 'Etc/GMT+4|Etc/GMT+4
GMT+4|UTC-4:00
CET|Europe/Brussels
nowhere|' ]
	"$trigger" uninstall
}

@test "plain psql -f and \\i install it, too" {
	sql=$BATS_TEST_DIRNAME/../../sql/create-booking-cloud-task-trigger.sql
	psql -X -f "$sql"
	echo "\\i $sql" | psql -X
	"$trigger" install --print-sql | psql -X
	"$trigger" verify
}

@test "disable, enable" {
	"$trigger" install
	run "$trigger" disable
	[ "$status" -eq 0 ]
	run q -c 'INSERT INTO lad_dev.lead_bookings DEFAULT VALUES'
	[ -z "$output" ]
	run "$trigger" verify
	[ "$status" -eq 1 ]
	[[ $output == *'not ok trigger trigger_schedule_followup_cloud_task ON'*': disabled: run followup-trigger enable'* ]]
	run "$trigger" status
	[[ $output == *': disabled'* ]]
	run "$trigger" enable
	[ "$status" -eq 0 ]
	[[ $output == *'nothing is lost'* ]]
	"$trigger" verify
	run psql -X -c 'INSERT INTO lad_dev.lead_bookings DEFAULT VALUES'
	[[ $output == *'Notification sent for follow-up booking:'* ]]
}

@test "status counts what is open" {
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (id, scheduled_at, timezone,
	    task_status, booking_type) VALUES
	    ('00000000-0000-4000-8000-00000000000b', '2001-01-01', NULL,
	    'pending', 'follow_up'),
	    ('00000000-0000-4000-8000-00000000000c', '2001-01-01', 'nowhere',
	    'pending', 'follow_up'),
	    (gen_random_uuid(), '2001-01-01', NULL, 'failed', 'follow_up'),
	    (gen_random_uuid(), '2001-01-01', NULL, 'scheduled', 'folow_up'),
	    (gen_random_uuid(), '2001-01-01', NULL, 'pending', 'meeting')" \
	    -c "INSERT INTO lad_dev.followup_failures (booking_id, stage,
	    attempts, error, dead_at) VALUES (gen_random_uuid(), 'execute', 8,
	    'x', now()), (gen_random_uuid(), 'schedule', 8, 'x', NULL)" \
	    -c "INSERT INTO lad_dev.followup_obsolete_tasks VALUES
	    ('t', gen_random_uuid())"
	run "$trigger" status
	[ "$status" -eq 0 ]
	echo "$output"
	[ "${lines[0]}" = 'scheduling on lad_dev.lead_bookings: enabled' ]
	[ "${lines[1]}" = 'pending    2' ]
	[ "${lines[2]}" = 'scheduled  0' ]
	[ "${lines[3]}" = 'dead letters of stage schedule: 0' ]
	[ "${lines[4]}" = 'dead letters of stage execute: 1' ]
	[[ ${lines[5]} == 'obsolete tasks to delete: 1 (oldest since '* ]]
	[ "${lines[6]}" = 'overdue pending bookings: 1' ]
	[[ ${lines[7]} == 'oldest overdue pending booking: 00000000-0000-4000-8000-00000000000b, due 2001-01-01 '* ]]
	[ "${lines[8]}" = 'overdue scheduled bookings: 0' ]
	[ "${lines[9]}" = 'oldest overdue scheduled booking: none' ]
	[[ ${lines[10]} == 'no followup-listener is connected '* ]]
	[ "${lines[11]}" = '1 bookings of the type "folow_up" are left alone: did you mean "follow_up"?' ]
	[[ ${lines[12]} == 'left alone, overdue at the first install '*': 0' ]]
	[ "${lines[13]}" = 'pending bookings without a due time (unknown time zone): 1 00000000-0000-4000-8000-00000000000c=nowhere' ]
}

@test "status counts what is overdue in any time zone of the client" {
	q -c 'ALTER TABLE lad_dev.lead_bookings
	    ALTER scheduled_at TYPE timestamptz'
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at, task_status,
	    booking_type) VALUES (now() - interval '1 h', 'pending',
	    'follow_up')"
	PGTZ=Asia/Tokyo run "$trigger" status
	[[ $output == *'overdue pending bookings: 1'* ]]
}

# status_beside KEY: while a session has a listener's lock with that key.
status_beside() {
	hold "SELECT pg_advisory_lock(1181707340, $1)"
	run "$trigger" status
	let_go
}

@test "status says that the table has no listener, though another one has" {
	"$trigger" install
	status_beside 1
	has '^no followup-listener is connected for this table'
	status_beside 83082231	# lad_dev, lead_bookings
	[[ $output != *'no followup-listener'* ]]
}

@test "deleted bookings are not counted, whatever their status" {
	past="now() AT TIME ZONE 'UTC' - interval '1 h'"
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at, timezone,
	    task_status, booking_type, is_deleted)
	    SELECT $past, z, 'pending', 'follow_up', true
	    FROM unnest('{UTC,nowhere}'::text[]) z"
	q -c "SET followup.daemon = 'on'" -c "UPDATE lad_dev.lead_bookings
	    SET task_status = 'scheduled' WHERE timezone = 'UTC'" \
	    -c "INSERT INTO lad_dev.lead_bookings (scheduled_at, timezone,
	    task_status, booking_type, is_deleted)
	    VALUES ($past, 'UTC', 'pending', 'follow_up', true)"
	run "$trigger" status
	has '^pending    0$' '^scheduled  0$' '^overdue pending bookings: 0$' \
	    '^overdue scheduled bookings: 0$' 'without a due time .*: 0$'
	run "$trigger" pause --reason x
	has '^bookings that wait: 0, of them overdue: 0$'
}

@test "what has failed is neither overdue nor called before its turn" {
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at, booking_type)
	    SELECT now() AT TIME ZONE 'UTC' - interval '1 h', 'follow_up'
	    FROM generate_series(1, 2)" \
	    -c "INSERT INTO lad_dev.followup_failures (booking_id, stage,
	    attempts, error, dead_at, next_attempt_at)
	    SELECT id, 'schedule', row_number() OVER () - 1, 'x',
	    CASE WHEN row_number() OVER () = 2 THEN now() END,
	    '2100-01-01 00:00+00' FROM lad_dev.lead_bookings"
	PGTZ=UTC run "$trigger" preview
	has '^call at 2100-01-01 00:00:00[+]00, due since ' \
	    '^would be called: 1; ' \
	    '^would not be called: 1, such as .*: it is a dead letter,'
	run "$trigger" status
	has '^overdue pending bookings: 1$'
}

@test "open bookings are read through the index, and no history" {
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at, task_status,
	    booking_type) SELECT now() AT TIME ZONE 'UTC' - n * interval '1 min',
	    CASE WHEN n < 9 THEN 'pending' ELSE 'executed' END, 'follow_up'
	    FROM generate_series(1, 30000) n" -c 'ANALYZE lad_dev.lead_bookings'
	export PGOPTIONS='-c session_preload_libraries=auto_explain
	    -c auto_explain.log_min_duration=0 -c client_min_messages=log'
	for verb in status preview 'pause --reason x'; do
		# shellcheck disable=SC2086 # a verb with its options
		run "$trigger" $verb
		has '(overdue pending bookings|of them overdue): 8' \
		    'followup_bookings_due_idx'
		[[ $output != *'Seq Scan on lead_bookings'* ]]
	done
	unset PGOPTIONS
}

@test "a pause stands, and ends, even if what waits cannot be counted" {
	"$trigger" install
	some_bookings a
	replace_gate "RAISE query_canceled USING MESSAGE = 'no gate';"
	run "$trigger" pause --reason x
	[ "$status" -eq 0 ]
	has '^paused: everything since' 'no gate' 'could not be counted$'
	run "$trigger" resume
	[ "$status" -eq 0 ]
	has '^calls are resumed; bookings that waited could not be counted$'
	[[ $output != *paused:* ]]
}

@test "preview looks as far back as the gate lets through" {
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at)
	    VALUES (now() AT TIME ZONE 'UTC' - interval '3 days')"
	"$trigger" set call_within 5d
	run "$trigger" preview
	has '^call at once' '^would be called: 1;'
	[[ $output != *FOLLOWUP_SWEEP_WINDOW* ]]
}

@test "a booking for which the gate fails hides no other" {
	"$trigger" install
	some_bookings a
	replace_gate "IF booking.tenant_id::text LIKE '2%' THEN
	    RAISE 'no gate'; END IF;
	    SELECT g.verdict, g.until, g.reason INTO verdict, until, reason
	    FROM lad_dev.followup_gate_at(booking, now()) AS g;"
	run "$trigger" preview
	[ "$status" -eq 0 ]
	has '^would be called: 2;' \
	    '^would not be called: 1, .*: followup_gate fails for it: no gate$'
	run "$trigger" pause --reason x
	has '^bookings that wait: 2, of them overdue: 1$'
	run "$trigger" resume
	has '^calls are resumed; bookings that waited: 2, '
}

@test "verify finds damaged functions" {
	repairs
	finds 'CREATE OR REPLACE FUNCTION lad_dev.schedule_followup_cloud_task()
	    RETURNS trigger LANGUAGE plpgsql AS '\''BEGIN RETURN NULL; END'\''' \
	    'function lad_dev.schedule_followup_cloud_task(): changed'
	repairs
	finds 'ALTER FUNCTION lad_dev.followup_booking_changed()
	    SECURITY INVOKER' 'lad_dev.followup_booking_changed(): changed'
	repairs
	finds 'ALTER FUNCTION lad_dev.followup_retry
	    SET search_path = pg_catalog' 'lad_dev.followup_retry(uuid,boolean,text,timestamp with time zone): changed'
	repairs
	finds 'DROP FUNCTION lad_dev.followup_retry_all' \
	    'lad_dev.followup_retry_all(jsonb,boolean,text,integer,integer): missing'
	repairs
	finds 'DROP FUNCTION lad_dev.followup_call_request' \
	    'lad_dev.followup_call_request(uuid): missing'
	repairs
	finds 'GRANT EXECUTE ON FUNCTION lad_dev.followup_call_request TO PUBLIC' \
	    'privacy of lad_dev.followup_call_request(uuid): PUBLIC may call it'
	repairs
	finds 'REVOKE ALL ON FUNCTION lad_dev.followup_is_followup_type
	    FROM PUBLIC' 'lad_dev.followup_is_followup_type(text): not everybody'
	repairs
}

@test "verify takes functions of the deployment's own" {
	repairs
	q -c "CREATE OR REPLACE FUNCTION lad_dev.followup_call_request(
	    booking_id uuid) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'" \
	    -c "CREATE OR REPLACE FUNCTION lad_dev.followup_gate(
	    booking lad_dev.lead_bookings, OUT verdict text,
	    OUT until timestamptz, OUT reason text) LANGUAGE sql
	    AS 'SELECT ''call'', NULL::timestamptz, NULL::text'" \
	    -c "CREATE OR REPLACE FUNCTION lad_dev.followup_queue(
	    booking lad_dev.lead_bookings) RETURNS text LANGUAGE sql
	    AS 'SELECT ''own''::text'"
	run "$trigger" verify
	[ "$status" -eq 0 ]
	has 'ok function lad_dev.followup_queue\(lad_dev.lead_bookings\) \(repl' \
	    'ok function lad_dev.followup_call_request\(uuid\) \(replaced by' \
	    'ok function lad_dev.followup_gate\(lad_dev.lead_bookings\) \(replaced by'
	for verb in install uninstall; do
		run "$trigger" $verb
		has 'kept .*followup_call_request' 'kept .*followup_gate' \
		    'kept .*followup_queue'
	done
}

@test "verify finds damaged triggers" {
	repairs
	finds 'DROP TRIGGER trigger_schedule_followup_cloud_task
	    ON lad_dev.lead_bookings' 'information_schema.triggers does not list' \
	    'trigger_schedule_followup_cloud_task ON lad_dev.lead_bookings: missing'
	repairs
	finds 'DROP TRIGGER trigger_followup_cloud_task_changed
	    ON lad_dev.lead_bookings; CREATE TRIGGER
	    trigger_followup_cloud_task_changed BEFORE UPDATE
	    ON lad_dev.lead_bookings FOR EACH ROW
	    EXECUTE FUNCTION lad_dev.followup_booking_changed()' \
	    'trigger_followup_cloud_task_changed ON lad_dev.lead_bookings: not made by'
	repairs
	finds 'ALTER TABLE lad_dev.lead_bookings DISABLE TRIGGER
	    trigger_followup_cloud_task_reschedule' \
	    'trigger_followup_cloud_task_reschedule ON lad_dev.lead_bookings: disabled'
	repairs
	finds 'ALTER TABLE lad_dev.lead_bookings ENABLE REPLICA TRIGGER
	    trigger_followup_cloud_task_release' \
	    'trigger_followup_cloud_task_release ON lad_dev.lead_bookings: disabled'
	repairs
}

@test "verify finds another version's functions" {
	cp -r "$BATS_TEST_DIRNAME/../../sql" "$BATS_TEST_TMPDIR/other"
	sed -i "s/,scheduled_call}/,scheduled_call,callback}/" \
	    "$BATS_TEST_TMPDIR/other/part-bodies.sql"
	"$BATS_TEST_TMPDIR/other/followup-trigger" install --grant-to test_daemon
	finds 'SELECT' \
	    'lad_dev.followup_is_followup_type(text): made by another version' \
	    'index lad_dev.followup_bookings_due_idx: made by another version'
	repairs
}

@test "verify finds a place with another list of types" {
	repairs
	finds "CREATE OR REPLACE FUNCTION lad_dev.followup_is_followup_type(
	    booking_type text) RETURNS boolean LANGUAGE sql IMMUTABLE
	    AS 'SELECT booking_type = ''x'''" \
	    'follow-up types: lad_dev.followup_is_followup_type(text) has another list'
	repairs
	finds "DROP INDEX lad_dev.followup_bookings_due_idx; CREATE INDEX
	    followup_bookings_due_idx ON lad_dev.lead_bookings (scheduled_at)
	    WHERE booking_type = 'follow_up'" \
	    'follow-up types: lad_dev.followup_bookings_due_idx has another list'
	repairs
}

@test "the version before is brought up to date" {
	repairs
	# What is new is taken away; what differs is put there as it was.
	q <<-'EOF'
	DROP TABLE lad_dev.followup_attempts;
	DROP INDEX lad_dev.followup_bookings_due_idx;
	CREATE INDEX followup_bookings_due_idx
	    ON lad_dev.lead_bookings (task_status, scheduled_at)
	    WHERE task_status IN ('pending', 'scheduled')
	    AND lad_dev.followup_is_followup_type(booking_type);
	DROP TRIGGER trigger_schedule_followup_cloud_task
	    ON lad_dev.lead_bookings;
	CREATE CONSTRAINT TRIGGER trigger_schedule_followup_cloud_task
	    AFTER INSERT ON lad_dev.lead_bookings
	    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	    WHEN (NEW.task_status = 'pending'
	    AND lad_dev.followup_is_followup_type(NEW.booking_type::text))
	    EXECUTE FUNCTION lad_dev.schedule_followup_cloud_task();
	SELECT format('COMMENT ON INDEX lad_dev.followup_bookings_due_idx IS %L',
	    'followup-scheduler ' || md5('') || ' ' || md5(pg_get_indexdef(
	    'lad_dev.followup_bookings_due_idx'::regclass))) \gexec
	SELECT format('COMMENT ON TRIGGER trigger_schedule_followup_cloud_task '
	    'ON lad_dev.lead_bookings IS %L', 'followup-scheduler ' || md5('')
	    || ' ' || md5(pg_get_triggerdef(oid))) FROM pg_trigger
	    WHERE tgname = 'trigger_schedule_followup_cloud_task' \gexec
	INSERT INTO lad_dev.lead_bookings (timezone, task_status, booking_type,
	    last_execution_error) SELECT right(s, 1), s, t, e
	    FROM unnest(ARRAY['pending', 'scheduled', 'failed', 'executed']) AS s,
	    unnest(ARRAY['follow_up', 'meeting']) AS t, unnest(ARRAY['an attempt '
	    'to start the call was begun, and its outcome is not known',
	    'another error', NULL]) AS e;
	EOF
	finds '' 'made by another version' 'followup_attempts.booking_id: missing'
	repairs
	begun="SELECT string_agg(concat_ws(' ', b.task_status, b.booking_type,
	    b.last_execution_error), ';' ORDER BY b.task_status)
	    FROM lad_dev.followup_attempts a
	    JOIN lad_dev.lead_bookings b ON b.id = a.booking_id"
	what='follow_up an attempt to start the call was begun, and its outcome is not known'
	[ "$(q -c "$begun")" = "pending $what;scheduled $what" ]

	# Only once: the next install does not bring back what has ended.
	q -c 'DELETE FROM lad_dev.followup_attempts'
	repairs
	[ -z "$(q -c "$begun")" ]
}

@test "verify finds damaged tables, columns and keys" {
	repairs
	finds 'ALTER TABLE lad_dev.lead_bookings DROP COLUMN idempotency_key' \
	    'column lad_dev.lead_bookings.idempotency_key: missing'
	repairs
	finds 'ALTER TABLE lad_dev.lead_bookings
	    ALTER idempotency_key TYPE varchar(20)' \
	    'column lad_dev.lead_bookings.idempotency_key: is character varying(20) and too short'
	q -c 'ALTER TABLE lad_dev.lead_bookings ALTER idempotency_key TYPE text'
	repairs
	finds 'ALTER TABLE lad_dev.lead_bookings ALTER executed_at TYPE text' \
	    'column lad_dev.lead_bookings.executed_at: is text and must be timestamp with time zone'
	q -c 'ALTER TABLE lad_dev.lead_bookings DROP executed_at'
	repairs
	finds 'DROP TABLE lad_dev.followup_obsolete_tasks' \
	    'lad_dev.followup_obsolete_tasks.task_name: missing' \
	    'primary key of lad_dev.followup_obsolete_tasks'
	repairs
	finds 'DROP VIEW lad_dev.followup_dead_letters' \
	    'view lad_dev.followup_dead_letters: missing'
	repairs
	finds 'CREATE OR REPLACE VIEW lad_dev.followup_dead_letters AS
	    SELECT booking_id, tenant_id, stage, attempts, first_failed_at,
	    last_failed_at, http_status, error, dead_at
	    FROM lad_dev.followup_failures' \
	    'view lad_dev.followup_dead_letters: changed'
	repairs
	finds 'GRANT SELECT ON lad_dev.followup_failures TO PUBLIC' \
	    'privacy of lad_dev.followup_failures'
	repairs
}

@test "verify finds a damaged index, install builds it again" {
	repairs
	finds 'DROP INDEX lad_dev.followup_bookings_due_idx' \
	    'index lad_dev.followup_bookings_due_idx: missing'
	repairs
	finds 'DROP INDEX lad_dev.followup_bookings_due_idx;
	    CREATE INDEX followup_bookings_due_idx
	    ON lad_dev.lead_bookings (scheduled_at)' \
	    'index lad_dev.followup_bookings_due_idx: not made by'
	repairs
	finds "UPDATE pg_index SET indisvalid = false WHERE indexrelid
	    = 'lad_dev.followup_bookings_due_idx'::regclass" \
	    'index lad_dev.followup_bookings_due_idx: invalid'
	repairs
}

@test "verify finds a table that has changed its shape" {
	repairs
	finds 'ALTER TABLE lad_dev.lead_bookings DROP timezone CASCADE' \
	    'time zones: followup_due_at does not fit' \
	    'followup_due_at(lad_dev.lead_bookings): made by another version or for another shape'
	repairs
}

@test "verify finds missing grants" {
	repairs
	finds 'REVOKE UPDATE (task_name) ON lad_dev.lead_bookings FROM test_daemon' \
	    'test_daemon lacks UPDATE on lad_dev.lead_bookings.task_name'
	finds 'REVOKE ALL ON SCHEMA lad_dev FROM test_daemon' \
	    'test_daemon lacks USAGE on schema lad_dev'
	finds 'REVOKE ALL ON lad_dev.followup_failures FROM test_daemon' \
	    'test_daemon lacks DELETE on lad_dev.followup_failures'
	finds 'REVOKE ALL ON FUNCTION lad_dev.followup_call_request
	    FROM test_daemon' \
	    'test_daemon lacks EXECUTE on lad_dev.followup_call_request(uuid)'
	repairs
}

@test "a backslash in a name or a folder is printed as it is" {
	local dir="$BATS_TEST_TMPDIR/a\\new"
	mkdir "$dir"
	cp "$BATS_TEST_DIRNAME"/../../sql/* "$dir"
	q -c 'ALTER TABLE lad_dev.lead_bookings RENAME TO "a\nd \c"'
	"$dir/followup-trigger" install --table 'a\nd \c'
	for verb in disable enable; do
		run "$dir/followup-trigger" $verb --table 'a\nd \c'
		[ "$status" -eq 0 ]
		[[ $output == 'the follow-up triggers of lad_dev.a\nd \c are '*d[:\;]' '* ]]
	done
	run "$trigger" verify --table 'no\c'
	[ "${lines[-1]}" = "followup-trigger: could not verify lad_dev.no\\c: \
see psql's message above" ]
}

@test "a reader that leaves is no failure" {
	"$trigger" install
	run bash -c '{ "$1" pause --reason x | true; } 2>&1' - "$trigger"
	[ -z "$output" ]
	[ "$(q -c 'SELECT reason FROM lad_dev.followup_pauses')" = x ]
}

@test "--print-sql prints what would be run, and runs nothing" {
	run "$trigger" install --print-sql --schema 'a "b" '\''c'\'' \d' \
	    --grant-to test_daemon
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "\\set schema 'a \"b\" ''c'' \\\\d'" ]
	[[ $output != *$'\n\\ir '* ]]
	run q -c "SELECT count(*) FROM pg_trigger WHERE tgrelid
	    = 'lad_dev.lead_bookings'::regclass"
	[ "$output" = 0 ]

	# What it prints is what makes it, and what takes it away.
	"$trigger" install --print-sql --grant-to test_daemon | psql -X -q
	"$trigger" verify --grant-to test_daemon
	"$trigger" uninstall --print-sql >/dev/null
	"$trigger" verify --grant-to test_daemon
	"$trigger" uninstall --print-sql | psql -X -q
	run "$trigger" verify
	[ "$status" -eq 1 ]
}

@test "names that need quoting" {
	odd='My "odd" '\''Schema'\'' \1'
	printf 'CREATE SCHEMA :"s"; CREATE TABLE :"s"."Book ings" (id uuid PRIMARY KEY,
	    tenant_id text, booking_type text, scheduled_at timestamptz);' | q -v s="$odd"
	for verb in install verify disable enable status preview \
	    'pause --reason x' 'resume --tenant=x' settings 'set call_within 5h' \
	    uninstall install \
	    'uninstall --purge --yes'; do
		# shellcheck disable=SC2086 # several words are meant
		"$trigger" $verb --schema "$odd" --table='Book ings'
	done
	printf 'DROP SCHEMA :"s" CASCADE' | q -v s="$odd"
}

@test "it finds its files through links, and as installed" {
	ln -s "$trigger" "$BATS_TEST_TMPDIR/link"
	ln -s link "$BATS_TEST_TMPDIR/link2"
	cd /
	"$BATS_TEST_TMPDIR/link2" install --print-sql >/dev/null
	mkdir -p "$BATS_TEST_TMPDIR/bin" \
	    "$BATS_TEST_TMPDIR/share/followup-scheduler/sql"
	cp "$trigger" "$BATS_TEST_TMPDIR/bin"
	run "$BATS_TEST_TMPDIR/bin/followup-trigger" install --print-sql
	[ "$status" -eq 1 ]
	cp "$BATS_TEST_DIRNAME"/../../sql/create-*.sql \
	    "$BATS_TEST_TMPDIR/share/followup-scheduler/sql"
	run "$BATS_TEST_TMPDIR/bin/followup-trigger" install
	[ "$status" -eq 1 ]
	[[ $output == *'a part of '*' is missing'* ]]
	cp "$BATS_TEST_DIRNAME"/../../sql/*.sql \
	    "$BATS_TEST_TMPDIR/share/followup-scheduler/sql"
	"$BATS_TEST_TMPDIR/bin/followup-trigger" install
	"$BATS_TEST_TMPDIR/bin/followup-trigger" verify
}

@test "what is wrong is said in a sentence, with exit code 1" {
	run "$trigger" install --dbname 'host=/nowhere'
	[ "$status" -eq 1 ]
	[[ $output == *'followup-trigger: cannot connect to the database'* ]]
	run "$trigger" install --table nothing
	[ "$status" -eq 1 ]
	[[ $output == *'there is no table lad_dev.nothing'* ]]
	run "$trigger" install --grant-to nobody_here
	[ "$status" -eq 1 ]
	[[ $output == *'role "nobody_here" does not exist'* ]]
	run q -c "SELECT count(*) FROM pg_proc
	    WHERE pronamespace = 'lad_dev'::regnamespace"
	[ "$output" = 0 ]
	for verb in status preview resume 'pause --reason=x' settings \
	    'set call_within 4h' disable enable; do
		# shellcheck disable=SC2086 # several words are meant
		run "$trigger" $verb
		[ "$status" -eq 1 ]
		[[ $output == *'run followup-trigger install'* ]]
	done
	for wrong in 'nothing' '' 'install --no-such' 'install --schema' \
	    'status --grant-to x' 'verify --print-sql' 'install --schema=' \
	    'pause' 'resume --reason x' 'status --tenant x' 'verify --paused' \
	    'install --purge' 'uninstall --yes' 'resume --until x'; do
		# shellcheck disable=SC2086 # several words are meant
		run "$trigger" $wrong
		[ "$status" -eq 1 ]
	done
	run "$trigger" -h
	[ "$status" -eq 0 ]
	run "$trigger" verify --help
	[ "$status" -eq 0 ]
}

@test "install refuses a table that it does not understand" {
	q -c 'CREATE TABLE lad_dev.a (id int, booking_type text,
	    scheduled_at timestamptz)' \
	    -c 'CREATE TABLE lad_dev.b (id uuid, booking_type text,
	    scheduled_at date)' \
	    -c 'CREATE TABLE lad_dev.c (id uuid, booking_type int,
	    scheduled_at timestamptz)' \
	    -c 'CREATE VIEW lad_dev.d AS SELECT * FROM lad_dev.lead_bookings'
	for t in a:'no column id of type uuid' b:'no column scheduled_at' \
	    c:'no column booking_type' d:'not an ordinary table'; do
		run "$trigger" install --table "${t%%:*}"
		[ "$status" -eq 1 ]
		[[ $output == *"${t#*:}"* ]]
	done
}

@test "an owner without further rights installs" {
	q -c 'ALTER TABLE lad_dev.lead_bookings OWNER TO test_daemon' \
	    -c 'GRANT USAGE, CREATE ON SCHEMA lad_dev TO test_daemon' \
	    -c "INSERT INTO lad_dev.lead_bookings (scheduled_at)
	    VALUES ('2001-01-01')" \
	    -c "DO \$\$BEGIN EXECUTE format('REVOKE TEMP ON DATABASE %I FROM
	    PUBLIC', current_database()); END\$\$"
	PGOPTIONS='-c role=test_daemon' run "$trigger" install
	q -c "DO \$\$BEGIN EXECUTE format('GRANT TEMP ON DATABASE %I TO PUBLIC',
	    current_database()); END\$\$"
	[ "$status" -eq 0 ]
	run q -c 'SELECT count(*) FROM lad_dev.followup_backlog'
	[ "$output" = 1 ]
	"$trigger" verify
}

@test "a second install at the same time is refused, not awaited" {
	hold 'SELECT pg_advisory_lock(7382912092064737639)'
	run "$trigger" install
	let_go
	[ "$status" -eq 1 ]
	[[ $output == *'another install is running'* ]]
	"$trigger" install
}

@test "writers do not wait while install looks through history" {
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at)
	    VALUES ('2001-01-01')"
	mkfifo "$BATS_TEST_TMPDIR/in"
	q <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>&1 &
	holder=$!
	exec 7>"$BATS_TEST_TMPDIR/in"

	# A reader keeps it from the lock that a new column takes.
	echo "BEGIN; SELECT count(*) FROM lad_dev.lead_bookings;" >&7
	"$trigger" install >/dev/null 2>&1 7>&- &
	installing=$!
	waiting="SELECT a.pid FROM pg_stat_activity a
	    WHERE a.wait_event_type = 'Lock' AND a.query LIKE 'ALTER TABLE%'"
	for _ in $(seq 1000); do
		pid=$(q -c "$waiting")
		[ -z "$pid" ] || break
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done

	# By then it has written the backlog, and kept no writer waiting.
	run q -c "SELECT string_agg(DISTINCT mode, ' ') FROM pg_locks
	    WHERE pid = $pid AND granted
	    AND relation = 'lad_dev.lead_bookings'::regclass"
	[ "$output" = AccessShareLock ]
	echo "COMMIT;" >&7
	exec 7>&-
	wait "$holder" "$installing"
	run q -c 'SELECT count(*) FROM lad_dev.followup_backlog'
	[ "$output" = 1 ]
}

@test "a first install reads history before writers wait, and for the index" {
	"$trigger" uninstall --purge --yes
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at)
	    SELECT now() - interval '1 year' FROM generate_series(1, 10000)" \
	    -c 'ANALYZE lad_dev.lead_bookings'
	read_so_far="SELECT seq_tup_read FROM pg_stat_user_tables
	    WHERE relid = 'lad_dev.lead_bookings'::regclass"
	before=$(q -c "$read_so_far")
	"$trigger" install
	read_now=$(($(q -c "$read_so_far") - before))
	echo "$read_now"

	# The index is built in two passes.
	[ "$read_now" -lt 50000 ]
	"$trigger" verify
}

# replace_gate STATEMENTS: by one of the deployment's own.
replace_gate() {
	q -c "CREATE OR REPLACE FUNCTION lad_dev.followup_gate(
	    booking lad_dev.lead_bookings, OUT verdict text,
	    OUT until timestamptz, OUT reason text) LANGUAGE plpgsql STABLE
	    AS \$\$BEGIN $1 END\$\$"
}

# The bookings: one overdue, one to come in two hours, one of another tenant in
# two days.
some_bookings() {
	q -c "INSERT INTO lad_dev.lead_bookings (id, tenant_id, scheduled_at)
	    VALUES ('00000000-0000-4000-8000-00000000000$1',
	    '10000000-0000-4000-8000-000000000001',
	    now() AT TIME ZONE 'UTC' - interval '1 hour'),
	    ('00000000-0000-4000-8000-00000000001$1',
	    '10000000-0000-4000-8000-000000000001',
	    now() AT TIME ZONE 'UTC' + interval '2 hours'),
	    ('00000000-0000-4000-8000-00000000002$1',
	    '20000000-0000-4000-8000-000000000002',
	    now() AT TIME ZONE 'UTC' + interval '2 days')"
}

@test "on a live system: install paused, preview, one tenant, all" {
	some_bookings a
	run "$trigger" install --paused --grant-to test_daemon
	has 'calls are paused'
	some_bookings b
	"$trigger" verify --grant-to test_daemon
	run "$trigger" status
	[[ ${lines[0]} == 'paused: everything since '*': installed with --paused' ]]
	has '^oldest overdue pending booking: 00000000-0000-4000-8000-00000000000b' \
	    '^left alone, overdue at the first install .*: 1$'
	run "$trigger" preview
	has '^paused: everything' \
	    '^call at once, due since .*: 0.*00b \(tenant 1.*, pending\); waits: paused: installed' \
	    '^call at 20.*: 0.*01a ' '^call at 20.*: 0.*02b ' \
	    '^would be called: 5; of them overdue: 1; within an hour: 0; waiting now: 5$' \
	    '^would not be called: 1, such as 0.*00a: was already overdue'
	run "$trigger" preview --tenant=20000000-0000-4000-8000-000000000002
	has '^would be called: 2; of them overdue: 0;'

	run "$trigger" resume --tenant 10000000-0000-4000-8000-000000000001
	has ' resumed; bookings that waited: 3, of them overdue .*: 1$' \
	    '^paused: everything .*\(not paused: tenant 1'
	run "$trigger" preview
	has '^would be called: 5;.* waiting now: 2$'
	run "$trigger" resume
	has '^calls are resumed; bookings that waited: 2, of them .*: 0$'
	run "$trigger" resume
	[ "$output" = 'calls were not paused' ]

	# Once it is installed, --paused does the same.
	"$trigger" install --paused
	run "$trigger" preview
	has '^would be called: 5;.* waiting now: 5$'
}

@test "resume tells who is called from who is too late" {
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at)
	    SELECT now() AT TIME ZONE 'UTC' + h * interval '1 hour'
	    FROM unnest('{-9,-8,-1,1}'::int[]) AS h"
	run "$trigger" pause --reason x
	has '^bookings that wait: 4, of them overdue: 3$'
	run "$trigger" preview
	has '^would be called: 2; of them overdue: 1; .* waiting now: 2$' \
	    '^would not be called: 2, such as .*: paused: x; when that ends: more than 4h late$'
	run "$trigger" resume
	has '^calls are resumed; bookings that waited: 4, of them overdue and called as fast as the queue allows: 1; too late, which become dead letters: 2$'

	# A pause that is over sooner is too late for fewer.
	q -c 'DELETE FROM lad_dev.lead_bookings' \
	    -c 'ALTER TABLE lad_dev.lead_bookings ADD call_before timestamptz'
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at, call_before)
	    VALUES (now() AT TIME ZONE 'UTC', now() + interval '1 hour')"
	"$trigger" pause --reason x --until '2999-01-01 10:00+02'
	run "$trigger" preview
	has '^would not be called: 1, .*; when that ends: its call_before comes before '
	run "$trigger" resume
	has '^calls are resumed; bookings that waited: 1, .* allows: 1$'
}

@test "pause, resume" {
	"$trigger" install
	some_bookings a
	tenant=10000000-0000-4000-8000-00000000000A
	run "$trigger" pause --reason "the agent's $ \"maintenance\"" \
	    --until '2999-01-01 10:00+02'
	has "^paused: everything since .* by postgres, until 2999-01-01 .*: the agent's \\$ \"maintenance\"$" \
	    '^bookings that wait: 3, of them overdue: 1$'
	run "$trigger" pause --reason 'holidays' --tenant "$tenant"
	has '^paused: everything' '^paused: tenant 1.*00a since .*: holidays$'
	run "$trigger" resume
	has '^calls are resumed; bookings that waited: 3,' '^paused: tenant 1.*00a since'
	run "$trigger" resume --tenant "$tenant"
	has "^calls of tenant ${tenant/%A/a} are resumed"
	[[ $output != *paused:* ]]

	# Changed, a pause goes on; after it has ended, it is another one.
	began="SELECT paused_at FROM lad_dev.followup_pauses WHERE scope = 'all'"
	"$trigger" pause --reason again
	before=$(q -c "$began")
	"$trigger" pause --reason longer
	[ "$(q -c "$began")" = "$before" ]
	"$trigger" resume
	ended=$(q -c "SELECT until FROM lad_dev.followup_pauses
	    WHERE scope = 'all'")
	"$trigger" pause --reason 'another one'
	[[ $(q -c "$began") > $ended ]]
	[ "$(q -c "SELECT until FROM lad_dev.followup_past_pauses
	    WHERE paused_at = '$before'")" = "$ended" ]

	run "$trigger" pause --reason x --until yesterday
	[ "$status" -eq 1 ]
	[[ $output == *'the end of the pause, '*' must be a finite time to come'* ]]
	run "$trigger" pause --reason x --tenant nonsense
	[ "$status" -eq 1 ]
	[[ $output == *'"tenant:nonsense" is no scope'* ]]
	run "$trigger" resume --tenant nonsense
	[ "$status" -eq 1 ]
	[[ $output == *'invalid input syntax for type uuid: "nonsense"'* ]]
}

# answers STATUS TEXT JSON: status --check exits with STATUS and prints TEXT
# where followup-schedule answers with JSON, and ~/.curlrc is not looked at.
answers() {
	# shellcheck disable=SC2016 # $1 is that of curl
	printf '#!/bin/sh\n[ "$1" = -q ] || exit 1\ncat <<"EOT"\n%s\nEOT\n' \
	    "$3" >"$BATS_TEST_TMPDIR/curl"
	chmod +x "$BATS_TEST_TMPDIR/curl"
	PATH=$BATS_TEST_TMPDIR:$PATH run "$trigger" status --check
	[[ $status == "$1" && $output == "$2" ]] || {
		echo "$status: $output"
		return 1
	}
}

@test "status --check prints the sentence whatever it quotes" {
	local rest='"at":"x","troubles":[{"sentence":"no","command":"no"}]}'
	answers 0 'ok: All is well.' \
	    '{"state":"ok","sentence":"All is well.","since":"x","code":"ok","command":null,'"$rest"
	answers 1 'stopped: It said {"a":"b\n"}, "sentence":"c".
run: a \ b' '{"state":"stopped","sentence":"It said {\"a\":\"b\\n\"}, \"sentence\":\"c\".","since":"x","code":"voice-agent","command":"a \\ b",'"$rest"
	answers 1 'degraded: Why.' \
	    '{"state":"degraded","sentence":"Why.","since":"x","code":"queue-paused","command":null,'"$rest"
	answers 2 "followup-trigger: cannot ask how follow-ups stand: \
/run/followup-scheduler/local.sock is no followup-schedule of this version" \
	    '{"status":"alive"}'
}

@test "settings are checked, and are in force at once" {
	"$trigger" install --grant-to test_daemon
	run "$trigger" settings
	[ "$output" = 'call_within 4h (default)
calling_hours none (default)
calling_zone UTC (default)
canary_every none (default)
history_days 90 (default)' ]
	some_bookings a
	q -c "UPDATE lad_dev.lead_bookings
	    SET scheduled_at = '2100-01-03 12:00'	-- a Sunday
	    WHERE id::text LIKE '%1a'"
	PGTZ=UTC run "$trigger" preview
	has '^call at 2100-01-03 12:00:00\+00: 0.*01a \(tenant 1'
	run "$trigger" set calling_hours 'mon-fri 09:00-20:00; sat 10:00-16:00'
	[ "$output" = 'calling_hours mon-fri 09:00-20:00; sat 10:00-16:00' ]
	"$trigger" set calling_zone Europe/Berlin
	PGTZ=UTC run "$trigger" preview
	has '^call at 2100-01-04 08:00:00\+00, due since 2100-01-03 12:.*01a .*; waits: outside of calling hours$'
	"$trigger" verify --grant-to test_daemon

	# Nothing that is wrong is written, by whatever way.
	rows='SELECT name, value FROM lad_dev.followup_settings ORDER BY name'
	before=$(q -c "$rows")
	for wrong in 'call_within 4' 'call_within soon' 'call_within 0h' \
	    'calling_zone Mars/Olympus' 'calling_zone IST' 'history_days 0' \
	    'canary_every 30s' 'canary_every 2d' 'canary_every 5' \
	    'calling_hours 9-17' 'call_witin 4h' 'call_witin' \
	    'installed_at now'; do
		# shellcheck disable=SC2086 # several words are meant
		run "$trigger" set $wrong
		[ "$status" -eq 1 ] || { echo "$wrong"; return 1; }
	done
	run q -c "UPDATE lad_dev.followup_settings SET value = 'mon 25:00-26:00'
	    WHERE name = 'calling_hours'"
	[[ $output == *'are not days and hours'* ]]
	[ "$(q -c "$rows")" = "$before" ]
	run "$trigger" set calling_hours ''
	[ "$output" = 'calling_hours none' ]
	for none in '' 0 0s; do
		[ "$("$trigger" set canary_every 5min)" = 'canary_every 5min' ]
		[ "$("$trigger" set canary_every "$none")" = \
		    'canary_every none' ]
	done

	# What an uninstalled system has taken is found by the next install.
	"$trigger" uninstall
	q -c "UPDATE lad_dev.followup_settings SET value = 'mon 08:00-07:00'
	    WHERE name = 'calling_hours'"
	"$trigger" install
	[ "$(q -c "SELECT week FROM lad_dev.followup_settings
	    WHERE name = 'calling_hours'")" = '{[480,1860)}' ]
	"$trigger" uninstall
	q -c "UPDATE lad_dev.followup_settings SET value = 'mon'
	    WHERE name = 'calling_hours'"
	run "$trigger" install
	[ "$status" -eq 1 ]
	[[ $output == *'calling hours "mon" are not days and hours'* ]]
}

# The schema as pg_dump has it.
shape() {
	pg_dump -s -n lad_dev | sed '/^\\/d; /^$/d'
}

@test "a purge leaves the table as it was, asked for by name" {
	for had in '' 'ADD task_status varchar(20) DEFAULT '\''pending'\'',
	    ADD executed_at timestamptz'; do
		[ -z "$had" ] || q -c "ALTER TABLE lad_dev.lead_bookings $had" \
		    -c 'GRANT SELECT ON lad_dev.lead_bookings TO test_daemon'
		before=$(shape)
		"$trigger" install --grant-to test_daemon
		"$trigger" uninstall
		[ "$(shape)" != "$before" ]
		"$trigger" install
		"$trigger" verify --grant-to test_daemon
		run "$trigger" uninstall --purge </dev/null
		[ "$status" -eq 1 ]
		[[ $output == *'say --yes where nobody can be asked'* ]]
		"$trigger" verify --grant-to test_daemon
		run script -qec "$trigger uninstall --purge" /dev/null <<<'other'
		[[ $output == *"nothing was done"* ]]
		"$trigger" verify --grant-to test_daemon
		run script -qec "$trigger uninstall --purge" /dev/null \
		    <<<'lead_bookings'
		diff <(echo "$before") <(shape)
	done
	"$trigger" install --grant-to test_daemon
	"$trigger" uninstall
	"$trigger" uninstall --purge --print-sql </dev/null | psql -X -q
	diff <(echo "$before") <(shape)
	"$trigger" install
	"$trigger" uninstall --purge --yes </dev/null
	diff <(echo "$before") <(shape)
}

@test "the index waits for others longer than its role's timeouts" {
	hold 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1'
	PGOPTIONS='-c lock_timeout=50ms' psql -X -q \
	    -f "${trigger%/*}/create-booking-cloud-task-trigger.sql" \
	    -c 'SHOW lock_timeout' >"$BATS_TEST_TMPDIR/installed" 2>&1 7>&- &
	installing=$!
	for _ in $(seq 1000); do
		[ -z "$(q -c "SELECT 1 FROM pg_stat_activity
		    WHERE wait_event_type = 'Lock'
		    AND query LIKE 'CREATE INDEX%'
		    AND now() - state_change > interval '200 ms'")" ] || break
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done
	let_go
	wait "$installing" || { cat "$BATS_TEST_TMPDIR/installed"; return 1; }
	grep -q 50ms "$BATS_TEST_TMPDIR/installed"
	"$trigger" verify
}
