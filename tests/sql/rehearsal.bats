#!/usr/bin/env bats
# What deployments have: install works with it, or refuses before anything is
# changed; and what verify calls good has been tried.

setup() {
	trigger=$BATS_TEST_DIRNAME/../../sql/followup-trigger
	t=lad_dev.lead_bookings
	fresh
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

# The schema as text, without the key that each dump has of its own.
dump() {
	pg_dump "$@" -n lad_dev | sed '/^\\\(un\)\?restrict /d'
}

# The table before follow-up scheduling; ${1} is what this deployment adds.
fresh() {
	q -c 'DROP SCHEMA IF EXISTS lad_dev CASCADE' \
	    -c 'CREATE SCHEMA lad_dev' \
	    -c "CREATE TABLE $t (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		tenant_id uuid, lead_id uuid,
		booking_type varchar(50) DEFAULT 'follow_up',
		scheduled_at timestamp, timezone text,
		is_deleted boolean NOT NULL DEFAULT false)" \
	    -c 'DROP ROLE IF EXISTS test_daemon' -c 'CREATE ROLE test_daemon' \
	    -c "${1:-SELECT}" >/dev/null
}

# With ${1} in place install says each of the texts that follow, and leaves
# everything as it was.
refused() {
	fresh "$1"
	dump -s >"$BATS_TEST_TMPDIR/before"
	run "$trigger" install --grant-to test_daemon
	[ "$status" -eq 1 ] || { echo "installed with: $1"; return 1; }
	local text
	for text in "${@:2}"; do
		[[ $output == *"$text"* ]] || {
			echo "no word of: $text"
			echo "$output"
			return 1
		}
	done
	dump -s | diff "$BATS_TEST_TMPDIR/before" - || {
		echo "changed, although refused: $1"
		return 1
	}
}

# With ${1} in place install works, and a booking goes through all that the
# daemons do to it; also after ${2}.
works() {
	fresh "$1"
	run "$trigger" install --grant-to test_daemon
	[ "$status" -eq 0 ] || { echo "$1: $output"; return 1; }
	[[ $output != *rehears* ]] || { echo "$1: $output"; return 1; }
	q -c "${2:-SELECT}"
	# It knows the role that was granted the rights.
	run "$trigger" verify
	if [ "$status" -ne 0 ] ||
	    [ "$(grep -c '^ok rehearsal as test_daemon: a ' <<<"$output")" -lt 6 ]
	then
		echo "$1; $2:"
		grep -e rehears -e '^not' <<<"$output"
		return 1
	fi
}

# With ${1} done after the install, verify exits 1 and has a "not ok" line with
# each of the texts that follow.
finds() {
	fresh
	"$trigger" install --grant-to test_daemon >/dev/null
	q -c "$1"
	run "$trigger" verify --grant-to test_daemon
	[ "$status" -eq 1 ] || { echo "verify is content with: $1"; return 1; }
	local text
	for text in "${@:2}"; do
		grep '^not ok' <<<"$output" | grep -qF -- "$text" || {
			echo "no 'not ok' line with: $text"
			grep '^not ok' <<<"$output"
			return 1
		}
	done
}

# SQL for a trigger of the application's: ${1} such as BEFORE UPDATE, ${2} its
# body.
audit() {
	echo "CREATE TABLE lad_dev.audit (id uuid);
	    CREATE FUNCTION lad_dev.audit() RETURNS trigger LANGUAGE plpgsql
	    SECURITY DEFINER AS \$\$BEGIN $2 END\$\$;
	    CREATE TRIGGER z_audit $1 ON $t FOR EACH ROW
	    EXECUTE FUNCTION lad_dev.audit()"
}

states="'pending', 'scheduled', 'executed', 'cancelled'"

@test "a status that cannot have all five values is refused" {
	local five='let task_status be each of pending, scheduled, executed, cancelled and failed'
	refused "ALTER TABLE $t ADD task_status varchar(30) DEFAULT 'pending'
	    CHECK (task_status IN ($states))" \
	    'a call fails, and is tried again: the statement "failed"' "$five"
	refused "ALTER TABLE $t ADD task_status varchar(30) DEFAULT 'pending'
	    CHECK (task_status NOT IN ('cancelled', 'executed'))" \
	    'a booking is cancelled: the statement "cancel"' \
	    'a booking is executed: the statement "executed"' "$five"
	refused "ALTER TABLE $t ADD task_status varchar(30) DEFAULT 'pending'
	    CHECK (task_status <> 'pending')" \
	    'no booking could be made up' 'task_status be each of pending'
	refused "CREATE DOMAIN lad_dev.status AS text
	    CHECK (VALUE IN ($states)); ALTER TABLE $t ADD task_status
	    lad_dev.status DEFAULT 'pending'" "$five"
	refused "CREATE TYPE lad_dev.status AS ENUM ($states); ALTER TABLE $t
	    ADD task_status lad_dev.status DEFAULT 'pending'" \
	    "lad_dev.status, which lacks 'failed': ALTER TYPE"
	refused "ALTER TABLE $t ADD task_status text NOT NULL DEFAULT 'new'" \
	    "a new booking has the task_status 'new'" 'SET DEFAULT'
}

@test "columns that cannot keep what is written are refused" {
	refused "ALTER TABLE $t ADD task_status int, ADD task_scheduled_at text" \
	    'column task_status of lad_dev.lead_bookings is integer and must be text' \
	    'column task_scheduled_at of lad_dev.lead_bookings is text and must be'
	refused "ALTER TABLE $t ADD task_name varchar(100)" \
	    'character varying(100) and too short, it takes 255'
	refused "CREATE DOMAIN lad_dev.name AS varchar(100);
	    ALTER TABLE $t ADD task_name lad_dev.name" \
	    'lad_dev.name and too short'
	refused "ALTER TABLE $t ADD task_status text DEFAULT 'pending',
	    ADD task_scheduled_at timestamptz(0)" \
	    '.123456+00 and is ' 'timestamp(0) with time zone'
	refused "ALTER TABLE $t ADD task_status text DEFAULT 'pending',
	    ADD task_name text NOT NULL DEFAULT ''" \
	    '"task_name"' 'let the column be NULL'
	refused "ALTER TABLE $t ALTER tenant_id TYPE text,
	    ADD task_status text DEFAULT 'pending',
	    ADD idempotency_key varchar(200)" 'character varying(200)'
	for column in 'task_status text' 'scheduled_at timestamp' \
	    'is_deleted boolean' 'booking_type text'; do
		refused "ALTER TABLE $t DROP COLUMN IF EXISTS ${column% *},
		    ADD was ${column#* }, ADD $column
		    GENERATED ALWAYS AS (was) STORED" \
		    "column ${column% *} of $t is generated" 'DROP EXPRESSION'
	done
}

@test "tables that cannot be served are refused" {
	refused "DROP TABLE $t; CREATE TABLE $t (id bigint,
	    booking_type text, scheduled_at timestamptz)" \
	    'no column id of type uuid (it is bigint)'
	refused "DROP TABLE $t; CREATE TABLE $t (id uuid, booking_type text,
	    scheduled_at timestamptz) PARTITION BY RANGE (scheduled_at)" \
	    'not an ordinary table, but partitioned'
	refused "CREATE TABLE lad_dev.kid () INHERITS ($t)" \
	    'has children (lad_dev.kid)'
	refused "ALTER TABLE $t ADD task_status text DEFAULT 'pending';
	    CREATE RULE r AS ON UPDATE TO $t DO INSTEAD NOTHING" \
	    'the statement "scheduled one" fails: cannot perform UPDATE'
}

@test "what is not ours is not overwritten" {
	refused 'CREATE TABLE lad_dev.followup_failures (x int);
	    CREATE VIEW lad_dev.followup_dead_letters AS SELECT 1 AS x;
	    CREATE INDEX followup_bookings_due_idx
	    ON lad_dev.followup_failures (x);
	    CREATE FUNCTION lad_dev.followup_retry(booking_id uuid)
	    RETURNS boolean LANGUAGE sql AS '\''SELECT true'\''' \
	    'another lad_dev.followup_failures already' \
	    'another lad_dev.followup_dead_letters already' \
	    'another lad_dev.followup_bookings_due_idx already' \
	    'another function lad_dev.followup_retry(uuid) already'
	# But for what another service did before us, under the same name.
	works "CREATE FUNCTION lad_dev.schedule_followup_cloud_task()
	    RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
}

@test "who may not install is told, before anything is changed" {
	fresh
	run "$trigger" install --grant-to nobody_here
	[ "$status" -eq 1 ]
	[[ $output == *'role "nobody_here" does not exist: CREATE ROLE'* ]]
	q -c 'CREATE ROLE test_installer' \
	    -c 'GRANT USAGE ON SCHEMA lad_dev TO test_installer'
	PGOPTIONS='-c role=test_installer' run "$trigger" install \
	    --grant-to test_daemon
	q -c 'DROP OWNED BY test_installer' -c 'DROP ROLE test_installer'
	[ "$status" -eq 1 ]
	[[ $output == *"only the owner of $t can install: run install as postgres"* ]]
	[[ $output == *'GRANT CREATE ON SCHEMA lad_dev TO test_installer'* ]]
	[[ $output == *'GRANT USAGE ON SCHEMA lad_dev TO test_daemon'* ]]
	PGOPTIONS='-c default_transaction_read_only=on' run "$trigger" install
	[[ $output == *'read-only: run install on the primary'* ]]
	[ "$(q -c "SELECT count(*) FROM pg_proc
	    WHERE pronamespace = 'lad_dev'::regnamespace")" = 0 ]
}

@test "row level security is an error, not silence" {
	refused "ALTER TABLE $t ADD task_status text DEFAULT 'pending';
	    ALTER TABLE $t ENABLE ROW LEVEL SECURITY;
	    CREATE POLICY all_of_it ON $t USING (true)" \
	    "row level security of $t hides rows from test_daemon: ALTER ROLE test_daemon BYPASSRLS"
	works "ALTER TABLE $t ENABLE ROW LEVEL SECURITY;
	    ALTER TABLE $t FORCE ROW LEVEL SECURITY;
	    ALTER ROLE test_daemon BYPASSRLS"

	# Whoever owns our functions must see the rows, too, and the leads.
	fresh "ALTER TABLE $t ENABLE ROW LEVEL SECURITY;
	    ALTER TABLE $t FORCE ROW LEVEL SECURITY; CREATE ROLE test_owner;
	    GRANT ALL ON SCHEMA lad_dev TO test_owner;
	    ALTER TABLE $t OWNER TO test_owner"
	PGOPTIONS='-c role=test_owner' run "$trigger" install
	q -c 'DROP OWNED BY test_owner CASCADE' -c 'DROP ROLE test_owner'
	[ "$status" -eq 1 ]
	[[ $output == *"row level security of $t hides rows from test_owner, who owns"* ]]
	works 'CREATE TABLE lad_dev.leads (id uuid PRIMARY KEY, phone text)'
	q -c 'CREATE ROLE test_owner' \
	    -c 'GRANT ALL ON SCHEMA lad_dev TO test_owner' \
	    -c "GRANT SELECT ON $t, lad_dev.leads TO test_owner" \
	    -c 'ALTER FUNCTION lad_dev.followup_call_request OWNER TO test_owner' \
	    -c 'ALTER TABLE lad_dev.leads ENABLE ROW LEVEL SECURITY'
	run "$trigger" verify --grant-to test_daemon
	q -c 'DROP OWNED BY test_owner CASCADE' -c 'DROP ROLE test_owner'
	[[ $output == *'not ok rehearsal as test_daemon: row level security of lad_dev.leads hides rows from test_owner, who owns lad_dev.followup_call_request(uuid): ALTER ROLE test_owner BYPASSRLS'* ]]
}

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
	finds "CREATE FUNCTION lad_dev.late() RETURNS trigger LANGUAGE plpgsql
	    AS 'BEGIN RAISE ''only at commit''; END'; CREATE CONSTRAINT TRIGGER late
	    AFTER UPDATE ON $t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	    EXECUTE FUNCTION lad_dev.late()" \
	    'the statement "scheduled one" fails: only at commit'
	finds "$(audit 'AFTER UPDATE' 'INSERT INTO audit VALUES (NEW.id);
	    RETURN NULL;')" 'relation "audit" does not exist' \
	    'ALTER ROLE test_daemon SET search_path'
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
	works "SELECT" "$(audit 'AFTER INSERT OR UPDATE OR DELETE' \
	    'INSERT INTO lad_dev.audit VALUES (NEW.id); RETURN NULL;')"
	[ "$(q -c "SELECT count(*) FROM lad_dev.audit")" = 0 ]
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
