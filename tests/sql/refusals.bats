#!/usr/bin/env bats
# What install refuses: it says why and what to do, and has changed nothing.

# shellcheck disable=SC2154 # deployment.bash sets trigger, t and states

load deployment

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
	    CREATE TABLE lad_dev.followup_history (x int);
	    CREATE TABLE lad_dev.followup_settings (x int);
	    CREATE VIEW lad_dev.followup_dead_letters AS SELECT 1 AS x;
	    CREATE INDEX followup_bookings_due_idx
	    ON lad_dev.followup_failures (x);
	    CREATE FUNCTION lad_dev.followup_resume(scope text, by text)
	    RETURNS boolean LANGUAGE sql AS '\''SELECT true'\''' \
	    'another lad_dev.followup_failures already' \
	    'another lad_dev.followup_history already' \
	    'another lad_dev.followup_settings already' \
	    'another lad_dev.followup_dead_letters already' \
	    'another lad_dev.followup_bookings_due_idx already' \
	    'another function lad_dev.followup_resume(text,text) already'
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

@test "bookings of the same id are refused, and what may become such is named" {
	local id=00000000-0000-4000-8000-00000000000b
	local told="several follow-up bookings of $t have the same id ($id)"
	local note='nothing keeps two bookings from having the same'
	local add="ALTER TABLE $t ADD UNIQUE (id)"
	local twice="INSERT INTO $t (id, timezone)
	    VALUES ('$id', 'a'), ('$id', 'b')"
	refused "ALTER TABLE $t DROP CONSTRAINT lead_bookings_pkey; $twice" \
	    "$told" "$add"
	refused "ALTER TABLE $t DROP CONSTRAINT lead_bookings_pkey,
	    ADD PRIMARY KEY (id, timezone); $twice" "$told" "$add"
	finds "ALTER TABLE $t DROP CONSTRAINT lead_bookings_pkey; $twice" \
	    "$told"

	# Of another type, or not yet the same.
	fresh "ALTER TABLE $t DROP CONSTRAINT lead_bookings_pkey;
	    CREATE UNIQUE INDEX ON $t (id) WHERE is_deleted;
	    CREATE UNIQUE INDEX ON $t (id, timezone); $twice;
	    UPDATE $t SET booking_type = 'meeting' WHERE timezone = 'a'"
	run "$trigger" install
	[ "$status" -eq 0 ]
	[[ $output == *"note: $note"*"$add"* ]]
	run "$trigger" verify
	[ "$status" -eq 0 ]
	[[ $output == *"ok ids: $note"*"$add"* ]]

	# What keeps them apart need not be a primary key.
	q -c "DELETE FROM $t WHERE timezone = 'a'" -c "$add"
	run "$trigger" install
	[[ $output != *'note: '* ]]
	run "$trigger" verify
	[ "$status" -eq 0 ]
	[[ $output == *'ok ids: each names one booking'* ]]
}
