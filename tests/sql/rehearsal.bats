#!/usr/bin/env bats
# What verify calls good has been tried: deployments that work, and what breaks
# them.

# shellcheck disable=SC2154 # deployment.bash sets trigger, t and states

load deployment

@test "triggers of the application that undo what is written are found" {
	finds "$(audit 'BEFORE UPDATE' "IF NEW.task_status = 'failed' THEN
	    RAISE 'no failures here'; END IF; RETURN NEW;")" \
	    'the statement "failed" fails: no failures here (PL/pgSQL function lad_dev.audit() line'
	finds "$(audit 'BEFORE UPDATE' 'NEW.task_status := OLD.task_status;
	    RETURN NEW;')" 'task_status was written as scheduled and is pending' \
	    'triggers z_audit'
	finds "$(audit 'BEFORE UPDATE' 'NEW.idempotency_key := OLD.idempotency_key;
	    RETURN NEW;')" 'idempotency_key was written as followup:'
	finds "$(audit 'BEFORE UPDATE' 'RETURN NULL;')" \
	    'the statement "scheduled one" does nothing to the row'
	finds "$(audit 'BEFORE INSERT' "NEW.task_status := 'cancelled';
	    RETURN NEW;")" "a new booking has the task_status 'cancelled'" \
	    'see to the triggers z_audit'
	finds "$(audit 'BEFORE INSERT' 'RETURN NULL;')" \
	    'an INSERT leaves no row that can be seen: see to the trigger'
	finds "CREATE FUNCTION lad_dev.late() RETURNS trigger LANGUAGE plpgsql
	    AS 'BEGIN RAISE ''only at commit''; END'; CREATE CONSTRAINT TRIGGER late
	    AFTER UPDATE ON $t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	    EXECUTE FUNCTION lad_dev.late()" \
	    'the statement "scheduled one" fails: only at commit'
	finds "$(audit 'AFTER UPDATE' 'INSERT INTO audit VALUES (NEW.id);
	    RETURN NULL;')" 'relation "audit" does not exist' \
	    'ALTER ROLE test_daemon SET search_path'
}

@test "what does not let a booking be written when it is due is found" {
	local at
	for at in 'now()' CURRENT_TIMESTAMP 'CURRENT_TIMESTAMP(3)' \
	    'clock_timestamp()' 'statement_timestamp()' \
	    'transaction_timestamp()' LOCALTIMESTAMP CURRENT_DATE \
	    "(now() AT TIME ZONE 'UTC')" "now() - interval '1 h'"; do
		finds "ALTER TABLE $t ADD CONSTRAINT ahead
		    CHECK (scheduled_at >= $at)" \
		    "the CHECK ahead of $t does not let a booking be written" \
		    'any more once it is due'
	done
	finds "ALTER TABLE $t ADD CONSTRAINT ahead CHECK (task_status
	    IN ('executed', 'failed', 'cancelled') OR scheduled_at > now())" \
	    'the CHECK ahead of'
	finds "$(audit 'BEFORE UPDATE' "IF NEW.scheduled_at < now() THEN
	    RAISE 'it is over'; END IF; RETURN NEW;")" \
	    'fails: it is over (PL/pgSQL function lad_dev.audit() line'
	finds "$(audit 'BEFORE INSERT OR UPDATE' \
	    'IF NEW.scheduled_at < now() THEN RETURN NULL; END IF;
	    RETURN NEW;')" \
	    'the statement "scheduled one" does nothing to the row'

	# What looks at the time, and lets it be written all the same.
	works "ALTER TABLE $t ADD created_at timestamptz DEFAULT now(),
	    ADD executed_at timestamptz CHECK (executed_at <= now()),
	    ADD CHECK (scheduled_at > created_at AND created_at <= now()),
	    ADD CHECK (scheduled_at < now() + interval '1 year'),
	    ADD CHECK (scheduled_at > now() - interval '1 day')"
	works "$(audit 'BEFORE INSERT OR UPDATE OF scheduled_at' \
	    "IF NEW.scheduled_at < now() THEN RAISE 'not back'; END IF;
	    RETURN NEW;")"
	works "ALTER TABLE $t ADD CHECK (scheduled_at > now()
	    OR booking_type = 'follow_up'),
	    ADD CHECK (coalesce(timezone, '') <> 'now()')"
}

@test "what the daemons' role lacks is found, whatever it is" {
	finds 'REVOKE USAGE ON SCHEMA lad_dev FROM test_daemon' \
	    'a new booking is found: ' 'permission denied for schema lad_dev'
	finds 'REVOKE DELETE ON lad_dev.followup_attempts FROM test_daemon' \
	    'permission denied for table followup_attempts'
	finds 'ALTER ROLE test_daemon SET default_transaction_read_only = on' \
	    'sessions of test_daemon are read-only'
	finds 'CREATE TABLE lad_dev.leads (id uuid);
	    CREATE ROLE test_owner; GRANT ALL ON SCHEMA lad_dev TO test_owner;
	    GRANT SELECT ON lad_dev.lead_bookings TO test_owner;
	    ALTER FUNCTION lad_dev.followup_call_request OWNER TO test_owner;
	    ALTER TABLE lad_dev.lead_bookings ALTER lead_id SET NOT NULL' \
	    'the statement "begun" fails: permission denied'
	q -c 'DROP OWNED BY test_owner CASCADE' -c 'DROP ROLE test_owner'
}

@test "what a deployment may have works" {
	works "ALTER TABLE $t DROP tenant_id, DROP lead_id, DROP timezone,
	    DROP is_deleted"
	works "CREATE TYPE lad_dev.status AS ENUM ($states, 'failed');
	    ALTER TABLE $t ADD task_status lad_dev.status DEFAULT 'pending'"
	works "CREATE DOMAIN lad_dev.kind AS varchar(20)
	    CHECK (VALUE IN ('auto_followup', 'meeting')); ALTER TABLE $t
	    ALTER booking_type DROP DEFAULT, ALTER booking_type TYPE lad_dev.kind"
	works "ALTER TABLE $t ADD task_scheduled_at timestamp,
	    ADD executed_at timestamp, ADD execution_attempts smallint
	    NOT NULL DEFAULT 0, ADD idempotency_key varchar(128)"
	works "ALTER TABLE $t ADD execution_attempts int"
	works "SELECT" "$(audit 'AFTER INSERT OR UPDATE OR DELETE' \
	    'INSERT INTO lad_dev.audit VALUES (NEW.id); RETURN NULL;')"
	[ "$(q -c "SELECT count(*) FROM lad_dev.audit")" = 0 ]
	# Triggers find their tables by the search_path that the role has.
	works 'ALTER ROLE test_daemon SET search_path = lad_dev' \
	    "$(audit 'AFTER UPDATE' 'INSERT INTO audit VALUES (NEW.id);
	    RETURN NULL;')"
}

@test "a lead that is no lead makes no call, and no error" {
	works "CREATE TABLE lad_dev.leads (id int PRIMARY KEY, phone text);
	    INSERT INTO lad_dev.leads VALUES (1, '+15550100001')"
	works "CREATE TABLE lad_dev.leads (id uuid PRIMARY KEY, phone text);
	    ALTER TABLE $t ALTER lead_id TYPE text, ALTER lead_id SET NOT NULL,
	    ALTER lead_id SET DEFAULT ''"
}

@test "a booking is made up for whatever a table requires" {
	works "CREATE TYPE lad_dev.e AS ENUM ('a', 'b');
	    CREATE DOMAIN lad_dev.d AS int NOT NULL; ALTER TABLE $t
	    ADD c1 lad_dev.e NOT NULL, ADD c2 lad_dev.d, ADD c3 jsonb NOT NULL,
	    ADD c4 text[] NOT NULL, ADD c5 inet NOT NULL, ADD c6 bit(3) NOT NULL,
	    ADD c7 tstzrange NOT NULL, ADD c8 char(3) NOT NULL,
	    ADD c9 bytea NOT NULL, ADD c10 interval NOT NULL,
	    ADD c11 date NOT NULL, ADD c12 time NOT NULL, ADD c13 point NOT NULL,
	    ADD c14 bigint GENERATED ALWAYS AS IDENTITY,
	    ADD c15 int GENERATED ALWAYS AS (1) STORED, ADD c16 uuid NOT NULL"
	works "CREATE TABLE lad_dev.tenants (id uuid PRIMARY KEY);
	    INSERT INTO lad_dev.tenants VALUES (gen_random_uuid());
	    ALTER TABLE $t ADD FOREIGN KEY (tenant_id)
	    REFERENCES lad_dev.tenants, ALTER tenant_id SET NOT NULL"
	# Like one that is there, though that one is deleted.
	works "ALTER TABLE $t ADD code text NOT NULL CHECK (code ~ '^C-')
	    ; INSERT INTO $t (code, is_deleted) VALUES ('C-1', true)"
	# One that is there, where there can be no other like it.
	works "ALTER TABLE $t ADD code text NOT NULL UNIQUE CHECK (code ~ '^C-')
	    ; INSERT INTO $t (code) VALUES ('C-1')"
	[ "$(q -c "SELECT task_status FROM $t")" != executed ]
	# Triggers that need the application's search_path to insert.
	works "$(audit 'AFTER INSERT' 'INSERT INTO audit VALUES (NEW.id);
	    RETURN NULL;')"
}

@test "the table's columns may be called what we call something of ours" {
	works "ALTER TABLE $t ADD called text, ADD late text, ADD who text,
	    ADD tenant text, ADD whose text, ADD said text, ADD due text,
	    ADD zone text, ADD phone text, ADD name text, ADD lead text,
	    ADD fields text, ADD booking text, ADD change text,
	    ADD because text, ADD moved text, ADD meant text, ADD wanted text,
	    ADD verdicts text, ADD b text, ADD t text, ADD o text;
	    INSERT INTO $t (scheduled_at) VALUES ('2030-01-01'), ('2020-01-01')" \
	    "SET followup.daemon = 'on'; UPDATE $t SET task_status = 'failed'"
	q -c "INSERT INTO lad_dev.followup_failures (booking_id, stage, attempts,
	    error, dead_at) SELECT id, 'execute', 10, 'busy', now() FROM $t"
	[ "$(q -c "SELECT matching FROM lad_dev.followup_retry_preview('{}',
	    true)")" = 2 ]
	[ "$(q -c "SELECT count(*) FROM $t
	    WHERE lad_dev.followup_retry(id, true, 'ann')" \
	    -c "SELECT count(*) FROM lad_dev.followup_late
	    WHERE asked_by = 'ann'" -c "SELECT DISTINCT task_status FROM $t")" = \
	    $'2\n2\npending' ]
	[ "$(q -c "SELECT count(lad_dev.followup_call_request(id)) FROM $t")" = 2 ]
	q -c "UPDATE $t SET scheduled_at = scheduled_at + interval '1 h'" \
	    -c "DELETE FROM $t WHERE scheduled_at < now()"
	local verb
	for verb in status preview 'pause --reason x' resume \
	    'alter --column scheduled_at --type timestamptz'; do
		# shellcheck disable=SC2086 # an option is a word of its own
		"$trigger" $verb >/dev/null
	done
}

@test "times without an end keep nothing from working" {
	rows="INSERT INTO $t (scheduled_at) VALUES ('infinity'), ('-infinity')"
	tasks="SET followup.daemon = 'on'; $rows; UPDATE $t
	    SET task_status = 'scheduled', task_name = 't',
	    task_scheduled_at = scheduled_at, scheduled_at = now()"
	for type in timestamp timestamptz; do
		works "ALTER TABLE $t ALTER scheduled_at TYPE $type; $rows" "$rows"
		"$trigger" status >/dev/null
		works "ALTER TABLE $t ALTER scheduled_at TYPE $type" "$tasks"
		"$trigger" status >/dev/null
	done
}

@test "where no booking can be made up, install and verify say so" {
	fresh "CREATE TABLE lad_dev.tenants (id uuid PRIMARY KEY);
	    ALTER TABLE $t ADD FOREIGN KEY (tenant_id)
	    REFERENCES lad_dev.tenants, ALTER tenant_id SET NOT NULL"
	for verb in install verify; do
		run "$trigger" $verb --grant-to test_daemon
		[ "$status" -eq 0 ]
		[[ $output == *'nothing was rehearsed: '*'verify again when there are bookings'* ]]
	done
	PGOPTIONS='-c default_transaction_read_only=on' run "$trigger" verify
	[ "$status" -eq 1 ]
	[[ $output == *'run this on the primary'* ]]
}

@test "a rehearsal does not wait for whoever holds the table" {
	"$trigger" install >/dev/null
	mkfifo "$BATS_TEST_TMPDIR/in"
	q <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>&1 &
	exec 7>"$BATS_TEST_TMPDIR/in"
	echo "BEGIN; LOCK TABLE $t IN SHARE MODE; SELECT 'held';" >&7
	for _ in $(seq 1000); do
		! grep -q held "$BATS_TEST_TMPDIR/out" || break
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done
	run psql -X -v lock_timeout=50ms \
	    -f "${trigger%/*}/verify-booking-cloud-task-trigger.sql"
	exec 7>&-
	wait
	[[ $output == *'not ok rehearsal as postgres: '*'when nobody has locked the table'* ]]
}

@test "whoever may not become the daemons' role installs all the same" {
	fresh "CREATE ROLE test_installer LOGIN NOINHERIT IN ROLE postgres"
	PGUSER=test_installer PGOPTIONS='-c role=postgres' \
	    run "$trigger" install --grant-to test_daemon
	q -c 'DROP ROLE test_installer'
	echo "$output"
	[ "$status" -eq 0 ]
	"$trigger" verify --grant-to test_daemon
}

@test "a rehearsal leaves nothing behind" {
	works
	q -c "INSERT INTO $t (scheduled_at) VALUES ('2030-01-01')"
	dump -a >"$BATS_TEST_TMPDIR/before"
	run psql -X -v schema=lad_dev -v table=lead_bookings \
	    -v grant_to=test_daemon \
	    -f "${trigger%/*}/create-booking-cloud-task-trigger.sql" \
	    -c 'SELECT count(*) AS prepared FROM pg_prepared_statements' \
	    -c "SELECT current_user, current_setting('followup.daemon', true)" \
	    -c "SELECT count(*) AS locks FROM pg_locks
	    WHERE locktype = 'advisory'"
	[ "$status" -eq 0 ]
	[[ $output == *$'prepared \n----------\n        0'* ]]
	[[ $output == *'postgres     | '$'\n'* ]]
	[[ $output == *$'locks \n-------\n     0'* ]]
	dump -a | diff "$BATS_TEST_TMPDIR/before" -
}
