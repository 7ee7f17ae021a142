#!/usr/bin/env bats
# What a deployment does to its table while follow-up scheduling is installed on
# it.
# shellcheck disable=SC2030,SC2031 # each test runs in a subshell of its own

load session-lib

setup() {
	trigger=$BATS_TEST_DIRNAME/../../sql/followup-trigger
	q -c 'DROP SCHEMA IF EXISTS lad_dev CASCADE' \
	    -c 'CREATE SCHEMA lad_dev' \
	    -c 'CREATE TABLE lad_dev.lead_bookings (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		booking_type varchar(50) DEFAULT '\''follow_up'\'',
		scheduled_at timestamp, timezone text,
		is_deleted boolean NOT NULL DEFAULT false)'
	"$trigger" install
}

teardown() {
	q -c 'DROP PUBLICATION IF EXISTS everything' \
	    -c 'DROP SCHEMA IF EXISTS lad_dev CASCADE'
	settings 'RESET ALL'
	q -d postgres -c 'DROP DATABASE IF EXISTS restored'
}

q() {
	PGOPTIONS='-c client_min_messages=error' \
	    psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# ALTER DATABASE ... ${1}.
settings() {
	q -c "DO \$\$BEGIN EXECUTE format('ALTER DATABASE %I ',
	    current_database()) || \$sql\$$1\$sql\$; END\$\$"
}

# The definitions, without the random key that pg_dump writes.
schema() {
	pg_dump -s -n lad_dev | grep -v restrict
}

@test "types are altered by one verb, and no state is lost" {
	q -c "SET followup.daemon = 'on'" \
	    -c "INSERT INTO lad_dev.lead_bookings (scheduled_at, timezone,
	    task_status, task_name) VALUES ('2030-01-01 12:00', 'Asia/Dubai',
	    'scheduled', 't1'), ('2030-01-01 12:00', 'Asia/Dubai', 'executed',
	    't2')"

	# A session that has the plans of before.
	mkfifo "$BATS_TEST_TMPDIR/in"
	PGOPTIONS='' psql -X -q -At <"$BATS_TEST_TMPDIR/in" \
	    >"$BATS_TEST_TMPDIR/out" 2>&1 &
	exec 7>"$BATS_TEST_TMPDIR/in"
	insert="INSERT INTO lad_dev.lead_bookings (scheduled_at, timezone) VALUES
	    ('2030-02-02 12:00', 'Asia/Dubai');
	    UPDATE lad_dev.lead_bookings SET scheduled_at = '2030-03-03 12:00'
	    WHERE scheduled_at < '2030-02-03' AND scheduled_at > '2030-02-01';"
	echo "SET TimeZone = 'UTC'; $insert SELECT 'done 1';" >&7
	for _ in $(seq 1000); do
		grep -q 'done 1' "$BATS_TEST_TMPDIR/out" && break
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done

	"$trigger" alter --column booking_type --type text
	"$trigger" alter --column timezone --type 'varchar(60)'
	"$trigger" alter --column task_status --type uuid && return 1
	q -c "CREATE TYPE lad_dev.status AS ENUM ('pending', 'scheduled',
	    'executed', 'cancelled', 'failed')"
	"$trigger" alter --column task_status --type lad_dev.status \
	    --using task_status::lad_dev.status
	"$trigger" alter --column task_status --type text
	"$trigger" alter --column is_deleted --type int --using is_deleted::int
	"$trigger" alter --column scheduled_at --type timestamptz \
	    --using "scheduled_at AT TIME ZONE timezone"
	run "$trigger" verify
	echo "$output" | grep -v ^ok || true
	[ "$status" -eq 0 ]

	echo "$insert SELECT 'done 2';" >&7
	exec 7>&-
	wait
	cat "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c 'Notification sent' "$BATS_TEST_TMPDIR/out")" = 4 ]
	! grep -E 'WARNING|ERROR' "$BATS_TEST_TMPDIR/out" || return 1
	[ "$(q -c "SELECT string_agg(concat_ws(' ', task_status, task_name,
	    extract(epoch FROM lad_dev.followup_due_at(b))::bigint), ', '
	    ORDER BY task_status, scheduled_at) FROM lad_dev.lead_bookings b")" = \
	    "executed t2 1893484800, pending 1898755200, pending 1898769600, scheduled t1 1893484800" ]
	q -c "UPDATE lad_dev.lead_bookings SET is_deleted = 1
	    WHERE task_name = 't1'"
	[ "$(q -c "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE is_deleted = 1 AND task_status = 'cancelled'")" = 1 ]
}

@test "columns of the task are altered by hand, and sessions live on" {
	change="UPDATE lad_dev.lead_bookings SET scheduled_at = scheduled_at
	    + interval '1 day', task_status = task_status;
	    UPDATE lad_dev.lead_bookings SET task_status = 'cancelled';
	    UPDATE lad_dev.lead_bookings SET task_status = 'pending';"
	q -c "ALTER TABLE lad_dev.lead_bookings
	    ALTER last_execution_error TYPE varchar(900),
	    ALTER executed_at TYPE timestamp, ALTER execution_attempts TYPE bigint"
	PGOPTIONS='-c client_min_messages=warning' run psql -X -q -At \
	    -c 'INSERT INTO lad_dev.lead_bookings (scheduled_at)
	    VALUES (now())' -c "$change" \
	    -c 'ALTER TABLE lad_dev.lead_bookings
	    ALTER last_execution_error TYPE text,
	    ALTER executed_at TYPE timestamptz, ALTER execution_attempts TYPE int' \
	    -c "$change" -c "UPDATE lad_dev.lead_bookings SET is_deleted = true" \
	    -c "SELECT task_status, scheduled_at::date - current_date
	    FROM lad_dev.lead_bookings"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = 'cancelled|2' ]
	"$trigger" verify
}

# Of three bookings that were overdue at the first install the second was moved,
# and none is due any more when it was: the others are left alone all the same.
# What else our tables know of the first is true of it still.
still_left_alone() {
	[ "$(q -c "SELECT g.reason FROM lad_dev.lead_bookings b,
	    LATERAL lad_dev.followup_gate(b.*) AS g ORDER BY b.id" |
	    sed 's/more than .* late/late/')" = "\
was already overdue when follow-up scheduling was installed
late
was already overdue when follow-up scheduling was installed" ]
	[ "$(q -c "SELECT (SELECT string_agg(right(b.id::text, 1), '')
	    FROM lad_dev.lead_bookings b JOIN lad_dev.followup_waits w
	    ON (w.booking_id, w.due_at) = (b.id, lad_dev.followup_due_at(b))),
	    (SELECT string_agg(right(b.id::text, 1), '')
	    FROM lad_dev.lead_bookings b JOIN lad_dev.followup_late l
	    ON (l.booking_id, l.due_at) = (b.id, lad_dev.followup_due_at(b)))
	    ")" = '1|1' ]
}

# Make those three.
three_overdue() {
	q -c 'DROP SCHEMA lad_dev CASCADE' -c 'CREATE SCHEMA lad_dev' \
	    -c "CREATE TABLE lad_dev.lead_bookings (
		id uuid PRIMARY KEY, booking_type text DEFAULT 'follow_up',
		scheduled_at timestamp)" \
	    -c "INSERT INTO lad_dev.lead_bookings (id, scheduled_at)
	    SELECT format('00000000-0000-4000-8000-00000000000%s', n)::uuid,
	    now() AT TIME ZONE 'UTC' - interval '30 h'
	    FROM generate_series(1, 3) AS n"
	"$trigger" install
	q -c "UPDATE lad_dev.lead_bookings SET scheduled_at = scheduled_at
	    - interval '1 h' WHERE id::text ~ '2$'" \
	    -c "INSERT INTO lad_dev.followup_waits SELECT id,
	    lad_dev.followup_due_at(b) - CASE WHEN id::text ~ '1$'
	    THEN interval '0' ELSE interval '1 min' END, NULL, now(), now()
	    FROM lad_dev.lead_bookings b" \
	    -c "INSERT INTO lad_dev.followup_late (booking_id, due_at, asked_by)
	    SELECT booking_id, due_at, 'ann' FROM lad_dev.followup_waits"
	still_left_alone
}

@test "what our tables know of a time stays true of what becomes of it" {
	three_overdue
	"$trigger" alter --column scheduled_at --type timestamptz \
	    --using "scheduled_at AT TIME ZONE 'Asia/Dubai'"
	still_left_alone
	"$trigger" alter --column scheduled_at --type timestamp \
	    --using "scheduled_at AT TIME ZONE 'Asia/Kolkata'"
	still_left_alone
	"$trigger" alter --column booking_type --type 'varchar(50)'
	"$trigger" install
	still_left_alone
	"$trigger" verify >/dev/null

	# A column is added by which the time is read otherwise.
	three_overdue
	q -c "ALTER TABLE lad_dev.lead_bookings ADD timezone text" \
	    -c "UPDATE lad_dev.lead_bookings SET timezone = 'Asia/Dubai'"
	"$trigger" install
	still_left_alone
	[ "$(q -c "SELECT count(*) FROM lad_dev.lead_bookings b
	    WHERE lad_dev.followup_due_at(b) AT TIME ZONE 'UTC'
	    = scheduled_at - interval '4 h'")" = 3 ]
	"$trigger" verify >/dev/null

	# A zone that is unknown leaves such a booking without a due time.
	three_overdue
	q -c "ALTER TABLE lad_dev.lead_bookings ADD timezone text" \
	    -c "UPDATE lad_dev.lead_bookings SET timezone = 'Mars/Olympus'
	    WHERE id::text ~ '3$'"
	"$trigger" install
	still_left_alone
}

@test "alter changes nothing where it cannot do all of it" {
	before=$(schema)
	for wrong in 'scheduled_at date' 'booking_type int' 'nothing text' \
	    'scheduled_at no_such_type'; do
		run "$trigger" alter --column "${wrong% *}" --type "${wrong#* }"
		[ "$status" -eq 1 ]
	done
	[ "$(schema)" = "$before" ]
	"$trigger" uninstall
	run "$trigger" alter --column timezone --type text
	[ "$status" -eq 1 ]
	[[ $output == *'nothing of ours is in the way of ALTER TABLE'* ]]
}

@test "a second table of the schema is refused before anything changes" {
	q -c 'CREATE TABLE lad_dev.more (id uuid PRIMARY KEY, booking_type text,
	    scheduled_at timestamptz)' \
	    -c 'CREATE TABLE lad_dev.copy (LIKE lad_dev.lead_bookings
	    INCLUDING ALL)'
	before=$(schema)
	for table in more copy; do
		for verb in install verify status disable enable uninstall; do
			run "$trigger" $verb --table $table
			[ "$status" -eq 1 ]
			[[ $output == *"the follow-up scheduling of schema lad_dev belongs to its table lead_bookings, not to $table"* ]]
			[[ $output == *'a schema of its own'* ]]
		done
	done
	[ "$(schema)" = "$before" ]
	"$trigger" verify
	"$trigger" uninstall --purge --yes
	"$trigger" install --table more
	"$trigger" verify --table more
}

@test "a table that is renamed keeps what it has" {
	q -c 'ALTER TABLE lad_dev.lead_bookings RENAME TO "Book ings"' \
	    -c 'CREATE TABLE lad_dev.lead_bookings (id uuid PRIMARY KEY,
	    booking_type text, scheduled_at timestamptz)'
	run "$trigger" install
	[ "$status" -eq 1 ]
	[[ $output == *'belongs to its table "Book ings"'* ]]
	"$trigger" install --table 'Book ings'
	"$trigger" verify --table 'Book ings'
	run psql -X -c 'INSERT INTO lad_dev."Book ings" DEFAULT VALUES'
	[[ $output == *'Notification sent'* ]]
}

# The table is lost by ${1} and comes back empty by ${2}: install makes of it
# what it was, beside what our own tables have kept.
comes_back() {
	q -c "INSERT INTO lad_dev.followup_failures (booking_id, stage, attempts,
	    error, dead_at) VALUES ('00000000-0000-4000-8000-00000000000d',
	    'execute', 10, 'busy', now())"
	"$trigger" set call_within 3h
	q -c "$1" -c "${2:-SELECT}" >/dev/null
	"$trigger" install
	run "$trigger" verify
	echo "$output" | grep -v ^ok || true
	[ "$status" -eq 0 ]
	run psql -X -c 'INSERT INTO lad_dev.lead_bookings DEFAULT VALUES'
	[[ $output == *'Notification sent'* ]]
	[ "$(q -c "SELECT (SELECT error FROM lad_dev.followup_failures),
	    (SELECT value FROM lad_dev.followup_settings
	    WHERE name = 'call_within'), (SELECT count(*)
	    FROM lad_dev.followup_backlog)")" = 'busy|3h|0' ]
	"$trigger" uninstall --purge --yes
	"$trigger" install
}

@test "a table that is dropped and made anew is installed on again" {
	make="CREATE TABLE lad_dev.lead_bookings (id uuid PRIMARY KEY
	    DEFAULT gen_random_uuid(), booking_type text DEFAULT 'follow_up',
	    scheduled_at timestamptz)"
	comes_back 'DROP TABLE lad_dev.lead_bookings CASCADE' "$make"
	comes_back "ALTER TABLE lad_dev.lead_bookings RENAME TO old; $make" \
	    'DROP TABLE lad_dev.old CASCADE'
	comes_back "DROP TRIGGER trigger_schedule_followup_cloud_task
	    ON lad_dev.lead_bookings;
	    DROP TRIGGER trigger_followup_cloud_task_changed
	    ON lad_dev.lead_bookings;
	    DROP TRIGGER trigger_followup_cloud_task_reschedule
	    ON lad_dev.lead_bookings;
	    DROP TRIGGER trigger_followup_cloud_task_deleted
	    ON lad_dev.lead_bookings;
	    DROP TRIGGER trigger_followup_cloud_task_release
	    ON lad_dev.lead_bookings;
	    DROP TRIGGER trigger_followup_cloud_task_truncated
	    ON lad_dev.lead_bookings"
	q -c 'DROP TABLE lad_dev.lead_bookings CASCADE' -c "$make"
	"$trigger" uninstall --purge --yes
	[ "$(q -c "SELECT string_agg(relname, ' ') FROM pg_class
	    WHERE relnamespace = 'lad_dev'::regnamespace AND relkind = 'r'")" = \
	    lead_bookings ]
}

# known: how much is known of bookings: failures, attempts, waits, however late.
known() {
	q -c "SELECT concat_ws(' ', (SELECT count(*) FROM lad_dev.followup_failures),
	    (SELECT count(*) FROM lad_dev.followup_attempts),
	    (SELECT count(*) FROM lad_dev.followup_waits),
	    (SELECT count(*) FROM lad_dev.followup_late))"
}

@test "a table that is emptied leaves nothing that silences new bookings" {
	local id=00000000-0000-4000-8000-000000000001
	fill="INSERT INTO lad_dev.lead_bookings (id, scheduled_at)
	    VALUES ('$id', now() AT TIME ZONE 'UTC')"
	q -c "$fill" -c "INSERT INTO lad_dev.followup_backlog VALUES
	    (gen_random_uuid(), now())" \
	    -c "INSERT INTO lad_dev.followup_failures (booking_id, stage, attempts,
	    error, dead_at) VALUES ('$id', 'schedule', 10, 'x', now())" \
	    -c "INSERT INTO lad_dev.followup_attempts VALUES ('$id')" \
	    -c "INSERT INTO lad_dev.followup_waits VALUES
	    ('$id', now(), NULL, now(), now())" \
	    -c "INSERT INTO lad_dev.followup_late VALUES ('$id', now(), 'me')" \
	    -c "INSERT INTO lad_dev.followup_obsolete_tasks VALUES ('t', '$id')"
	q -c 'TRUNCATE lad_dev.lead_bookings' -c "$fill"
	[ "$(known)" = '0 0 0 0' ]
	[ "$(q -c 'SELECT count(*) FROM lad_dev.followup_obsolete_tasks')" = 1 ]
	[ "$(q -c 'SELECT count(*) FROM lad_dev.followup_backlog')" = 1 ]
	[ "$(q -c 'SELECT what FROM lad_dev.followup_acts')" = \
	    'truncated the table lead_bookings' ]

	# Where somebody has a lock, that stays, and the table is emptied.
	q -c "INSERT INTO lad_dev.followup_failures (booking_id, stage, attempts,
	    error) VALUES ('$id', 'schedule', 1, 'x'), ('$id', 'execute', 1, 'x')"
	hold "BEGIN; UPDATE lad_dev.followup_failures SET error = 'y'
	    WHERE stage = 'execute'"
	q -c "SET statement_timeout = '2s'" -c 'TRUNCATE lad_dev.lead_bookings'
	[ "$(known)" = '1 0 0 0' ]
	let_go
	hold 'BEGIN; LOCK TABLE lad_dev.followup_waits'
	run psql -X -q -c "SET statement_timeout = '2s'" \
	    -c 'TRUNCATE lad_dev.lead_bookings'
	[ "$status" -eq 0 ]
	[[ $output == *'what is known of follow-up bookings that are gone stays'* ]]
	let_go
	[ "$(known)" = '1 0 0 0' ]
}

@test "verify is content with a database that was dumped and restored" {
	q -d postgres -c 'CREATE DATABASE restored'
	pg_dump -n lad_dev | q -d restored >/dev/null
	run "$trigger" verify --dbname restored
	echo "$output" | grep -v ^ok || true
	[ "$status" -eq 0 ]
}

# The columns ${1} of a booking that is deleted by "SET ${2}", and undeleted by
# "SET ${3}".
soft() {
	q -c 'DROP SCHEMA lad_dev CASCADE' -c 'CREATE SCHEMA lad_dev' \
	    -c "CREATE TABLE lad_dev.lead_bookings (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		booking_type varchar(50) DEFAULT 'follow_up',
		scheduled_at timestamptz DEFAULT now(), $1)"
	"$trigger" install
	q -c 'INSERT INTO lad_dev.lead_bookings DEFAULT VALUES' \
	    -c 'INSERT INTO lad_dev.lead_bookings DEFAULT VALUES' \
	    -c "UPDATE lad_dev.lead_bookings SET $2 WHERE id = (
		SELECT id FROM lad_dev.lead_bookings LIMIT 1)"
	[ "$(q -c "SELECT string_agg(concat_ws(' ', task_status,
	    lad_dev.followup_is_deleted(b)), ', ' ORDER BY task_status)
	    FROM lad_dev.lead_bookings b")" = 'cancelled t, pending f' ]
	q -c "UPDATE lad_dev.lead_bookings SET $3, task_status = 'pending'"
	[ "$(q -c "SELECT string_agg(concat_ws(' ', task_status,
	    lad_dev.followup_is_deleted(b)), ', ' ORDER BY task_status)
	    FROM lad_dev.lead_bookings b")" = 'pending f, pending f' ]
	"$trigger" verify >/dev/null
}

@test "soft deletion by whatever is_deleted and deleted_at are" {
	soft 'is_deleted boolean' 'is_deleted = true' 'is_deleted = NULL'
	soft 'is_deleted smallint DEFAULT 0' 'is_deleted = 1' 'is_deleted = 0'
	soft 'is_deleted numeric' 'is_deleted = 1' 'is_deleted = 0.0'
	soft 'is_deleted text' "is_deleted = 'Yes'" "is_deleted = 'no'"
	soft 'is_deleted char(3)' "is_deleted = '1'" "is_deleted = ''"
	soft 'deleted_at timestamptz' 'deleted_at = now()' 'deleted_at = NULL'
	soft 'deleted_at date' 'deleted_at = now()' 'deleted_at = NULL'
	soft 'deleted_at bigint DEFAULT 0' 'deleted_at = 1700000000' \
	    'deleted_at = 0'
	soft 'deleted_at timestamp, is_deleted int' 'deleted_at = now()' \
	    'deleted_at = NULL, is_deleted = 0'
	soft 'deleted_at timestamp, is_deleted int' 'is_deleted = 1' \
	    'is_deleted = 0'
	soft 'deleted_at timestamp, is_deleted boolean
	    GENERATED ALWAYS AS (deleted_at IS NOT NULL) STORED' \
	    'deleted_at = now()' 'deleted_at = NULL'
}

@test "install names what does not count" {
	q -c 'ALTER TABLE lad_dev.lead_bookings ADD archived_at timestamptz,
	    ADD deleted boolean, ADD deleted_by uuid, ADD undeleted int'
	run "$trigger" install
	[ "$status" -eq 0 ]
	[ "$(grep -c '^note: ' <<<"$output")" = 2 ]
	[[ $output == *'note: column archived_at looks like soft deletion'* ]]
	[[ $output == *'note: column deleted looks like soft deletion'* ]]
}

@test "a publication of all tables lets pauses be ended" {
	q -c 'ALTER TABLE lad_dev.followup_past_pauses REPLICA IDENTITY DEFAULT'
	q -c 'CREATE PUBLICATION everything FOR ALL TABLES'
	"$trigger" install
	"$trigger" pause --reason holiday
	"$trigger" resume
	"$trigger" verify
}

@test "settings of the database do not change what install and verify read" {
	schema >"$BATS_TEST_TMPDIR/before"
	for setting in 'standard_conforming_strings = off' \
	    'quote_all_identifiers = on' "DateStyle = 'SQL, DMY'" \
	    "plpgsql.extra_errors = 'all'"; do
		"$trigger" uninstall --purge --yes
		settings "SET $setting"
		"$trigger" install
		"$trigger" verify
		run q -c "INSERT INTO lad_dev.lead_bookings
		    (scheduled_at, timezone) VALUES (now(), 'Etc/GMT+5')" \
		    -c 'UPDATE lad_dev.lead_bookings SET scheduled_at =
		    scheduled_at + interval '\''1 day'\'
		[ "$status" -eq 0 ]
		[[ $output != *WARNING* ]]
		run "$trigger" set calling_hours 'mon-fri 09:00-20:00'
		[ "$output" = 'calling_hours mon-fri 09:00-20:00' ]
		"$trigger" set calling_hours ''
		settings 'RESET ALL'
		"$trigger" install
		"$trigger" verify
		schema | diff "$BATS_TEST_TMPDIR/before" -
	done
}

@test "psql installs with AUTOCOMMIT off, too" {
	"$trigger" uninstall
	echo '\set AUTOCOMMIT off' >"$BATS_TEST_TMPDIR/psqlrc"
	PSQLRC=$BATS_TEST_TMPDIR/psqlrc run psql \
	    -f "${trigger%/*}/create-booking-cloud-task-trigger.sql" \
	    -c '\echo :AUTOCOMMIT'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = off ]
	"$trigger" verify
}

@test "what an earlier version made is not in the way of resume" {
	q -c 'CREATE FUNCTION lad_dev.followup_resume(scope text)
	    RETURNS boolean LANGUAGE sql AS '\''SELECT true'\' \
	    -c 'COMMENT ON FUNCTION lad_dev.followup_resume(text) IS
	    '\''followup-scheduler a b'\'
	"$trigger" install
	"$trigger" pause --reason holiday
	"$trigger" resume
}

@test "the daemons' role may connect where not everybody may" {
	q -c 'DROP ROLE IF EXISTS test_daemon' \
	    -c 'CREATE ROLE test_daemon LOGIN' -c "DO \$\$BEGIN
	    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC',
	    current_database()); END\$\$"
	connects="SELECT has_database_privilege('test_daemon',
	    current_database(), 'CONNECT')"
	run "$trigger" verify --grant-to test_daemon
	[ "$status" -eq 1 ]
	[[ $output == *'not ok test_daemon lacks CONNECT on database '* ]]

	# Nor may whoever owns the table let others in.
	q -c 'CREATE ROLE test_owner' \
	    -c 'GRANT ALL ON SCHEMA lad_dev TO test_owner WITH GRANT OPTION' \
	    -c 'ALTER TABLE lad_dev.lead_bookings OWNER TO test_owner'
	PGOPTIONS='-c role=test_owner' run "$trigger" install \
	    --grant-to test_daemon
	[[ $output == *'test_owner may not let test_daemon connect to the database '*': GRANT CONNECT ON DATABASE '* ]]
	q -c 'REASSIGN OWNED BY test_owner TO postgres' \
	    -c 'DROP OWNED BY test_owner' -c 'DROP ROLE test_owner'

	"$trigger" install --grant-to test_daemon
	[ "$(q -c "$connects")" = t ]
	"$trigger" verify --grant-to test_daemon
	"$trigger" uninstall --purge --yes
	[ "$(q -c "$connects")" = f ]
	q -c 'DROP ROLE test_daemon' -c "DO \$\$BEGIN
	    EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC',
	    current_database()); END\$\$"
}

@test "status and preview tell of a row whatever its json columns hold" {
	q -c "ALTER TABLE lad_dev.lead_bookings
	    ADD odd json DEFAULT '\"\\ud83d\"'" \
	    -c "INSERT INTO lad_dev.lead_bookings (scheduled_at, timezone)
	    VALUES (now(), 'nowhere')"
	"$trigger" status | grep 'unknown time zone): 1 .*=nowhere'
	"$trigger" preview | grep 'would not be called: 1,'
}
