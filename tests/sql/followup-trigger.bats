#!/usr/bin/env bats
# The verbs of sql/followup-trigger, and what its verify finds.

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

@test "status counts what is there" {
	"$trigger" install
	q -c "INSERT INTO lad_dev.lead_bookings (id, scheduled_at, timezone,
	    task_status, booking_type) VALUES
	    ('00000000-0000-4000-8000-00000000000b', '2001-01-01', NULL,
	    'pending', 'follow_up'),
	    ('00000000-0000-4000-8000-00000000000c', '2001-01-01', 'nowhere',
	    'pending', 'follow_up'),
	    (gen_random_uuid(), '2001-01-01', NULL, 'failed', 'follow_up'),
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
	[ "${lines[5]}" = 'failed     1' ]
	[ "${lines[6]}" = 'dead letters of stage schedule: 0' ]
	[ "${lines[7]}" = 'dead letters of stage execute: 1' ]
	[[ ${lines[8]} == 'obsolete tasks to delete: 1 (oldest since '* ]]
	[[ ${lines[9]} == 'oldest overdue pending booking: 00000000-0000-4000-8000-00000000000b, due 2001-01-01 '* ]]
	[ "${lines[10]}" = 'pending bookings without a due time (unknown time zone): 1 00000000-0000-4000-8000-00000000000c=nowhere' ]
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
	finds 'ALTER FUNCTION lad_dev.followup_retry(uuid)
	    SET search_path = pg_catalog' 'lad_dev.followup_retry(uuid): changed'
	repairs
	finds 'DROP FUNCTION lad_dev.followup_retry_all' \
	    'lad_dev.followup_retry_all(text,timestamp with time zone,timestamp with time zone): missing'
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

@test "verify takes a followup_call_request of the deployment's own" {
	repairs
	q -c "CREATE OR REPLACE FUNCTION lad_dev.followup_call_request(
	    booking_id uuid) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'"
	run "$trigger" verify
	[ "$status" -eq 0 ]
	[[ $output == *'ok function lad_dev.followup_call_request(uuid) (replaced by this deployment)'* ]]
	run "$trigger" install
	[[ $output == *'kept "lad_dev".followup_call_request(uuid)'* ]]
	run "$trigger" uninstall
	[[ $output == *'kept "lad_dev".followup_call_request(uuid)'* ]]
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
	    booking_type text, scheduled_at timestamptz);' | q -v s="$odd"
	for verb in install verify disable enable status uninstall; do
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
	for verb in status disable enable; do
		run "$trigger" $verb
		[ "$status" -eq 1 ]
		[[ $output == *'run followup-trigger install'* ]]
	done
	for wrong in 'nothing' '' 'install --no-such' 'install --schema' \
	    'status --grant-to x' 'verify --print-sql' 'install --schema='; do
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
	run q -c 'SELECT task_status FROM lad_dev.lead_bookings'
	[ "$output" = cancelled ]
	run q -c "SELECT count(*) FROM pg_proc WHERE proname LIKE '%judge%'"
	[ "$output" = 0 ]
	"$trigger" verify
}

# Hold the advisory lock ${1} in a session of its own, until descriptor 7 is
# closed; it has the lock when this returns.
hold() {
	mkfifo "$BATS_TEST_TMPDIR/in"
	q <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>&1 &
	holder=$!
	exec 7>"$BATS_TEST_TMPDIR/in"
	echo "SELECT pg_advisory_lock($1); SELECT 'held';" >&7
	for _ in $(seq 1000); do
		grep -q held "$BATS_TEST_TMPDIR/out" && return
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done
	return 1
}

@test "a second install at the same time is refused, not awaited" {
	hold 7382912092064737639
	run "$trigger" install
	exec 7>&-
	wait "$holder"
	[ "$status" -eq 1 ]
	[[ $output == *'another install is running'* ]]
	"$trigger" install
}

# Wait until the judging of the history has come to the row that is held up.
held_up() {
	for _ in $(seq 1000); do
		[ "$(q -c "SELECT count(*) FROM pg_stat_activity
		    WHERE wait_event = 'advisory' AND query LIKE 'UPDATE%'")" = 1 ] &&
		    return
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done
	return 1
}

@test "writers do not wait for history to be judged, which may be interrupted" {
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at)
	    VALUES ('2001-01-01')" \
	    -c "CREATE FUNCTION lad_dev.slow() RETURNS trigger LANGUAGE plpgsql
	    AS 'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END'" \
	    -c 'CREATE TRIGGER slow BEFORE UPDATE ON lad_dev.lead_bookings
	    FOR EACH ROW EXECUTE FUNCTION lad_dev.slow()'
	hold 42
	"$trigger" install >/dev/null 2>&1 7>&- &
	installing=$!
	held_up
	q -c "SET lock_timeout = '5s'; INSERT INTO lad_dev.lead_bookings
	    (scheduled_at) VALUES ('2002-02-02')"

	# It ends there; the next install goes on, and judges as if nothing was.
	q -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	    WHERE wait_event = 'advisory' AND query LIKE 'UPDATE%'" >/dev/null
	wait "$installing" && return 1
	exec 7>&-
	wait "$holder"
	"$trigger" install
	run q -c 'SELECT DISTINCT task_status FROM lad_dev.lead_bookings'
	[ "$output" = cancelled ]
	"$trigger" verify

	# Once it has been judged it stays so.
	q -c "INSERT INTO lad_dev.lead_bookings (scheduled_at)
	    VALUES ('2003-03-03')"
	"$trigger" install
	run q -c "SELECT task_status FROM lad_dev.lead_bookings
	    WHERE scheduled_at = '2003-03-03'"
	[ "$output" = pending ]
}
