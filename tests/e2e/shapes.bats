# Twelve shapes of a bookings table, each through the whole life of a booking:
# scheduled, moved, cancelled, executed, failed, retried, uninstalled and
# installed again.  A shape works, or install refuses it with a sentence that
# says what to do, before anything has changed.

# shellcheck disable=SC2030,SC2031,SC2153
# (every test is a subshell of its own, and lib.bash sets the names in capitals)

load lib

setup_file() {
	load lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
	agent '[]'
	SCHEMA=shape
	TABLE=bookings
	sql 'DROP SCHEMA IF EXISTS shape CASCADE' 2>/dev/null
}

# shape SQL: make the schema, with leads, and the table in it by ${SQL}.
shape() {
	T="\"$SCHEMA\".\"$TABLE\""
	sql "CREATE SCHEMA \"$SCHEMA\"; CREATE TABLE \"$SCHEMA\".leads (
	    id uuid PRIMARY KEY, phone text); INSERT INTO \"$SCHEMA\".leads
	    VALUES ('$LEAD', '+15550100001'); SET search_path = \"$SCHEMA\",
	    public; $1"
}

# trigger VERB [OPTION]...
trigger() {
	run "$ROOT/sql/followup-trigger" "$1" --schema "$SCHEMA" \
	    --table "$TABLE" "${@:2}"
	[[ $status == 0 ]] || echo "$output" >&2
	return "$status"
}

# Everything that an install may change.
snapshot() {
	pg_dump -s -n "\"$SCHEMA\"" | grep -v '^\\\(un\)\?restrict'
	sql "SELECT xmin, * FROM $T ORDER BY id"
}

# refused TEXT: install says TEXT, and changes nothing.
refused() {
	local before after
	before=$(snapshot)
	run "$ROOT/sql/followup-trigger" install --schema "$SCHEMA" \
	    --table "$TABLE" --grant-to followup
	echo "$output"
	[[ $status == 1 && $output == *"$1"* ]]
	after=$(snapshot)
	diff <(echo "$before") <(echo "$after")
}

# Let the daemons work on this table.
daemons() {
	local name
	for name in listener schedule execute; do
		stack stop "$name"
	done
	for name in schedule execute listener; do
		env POSTGRES_SCHEMA="$SCHEMA" FOLLOWUP_TABLE="$TABLE" \
		    POSTGRES_DB="$PGDATABASE" "$ROOT/tests/stack" start "$name" \
		    "$STACK"
	done
}

# The columns and values of a new booking; DUE stands for its time.
COLUMNS='tenant_id, lead_id, booking_type, scheduled_at'
VALUES="'$TENANT', '$LEAD', 'auto_followup', DUE"

# add DUE: insert a booking, due in an interval from now, and print its id.
add() {
	sql "INSERT INTO $T ($COLUMNS) VALUES (${VALUES//DUE/$(due "$1")})
	    RETURNING id" 2>/dev/null
}

# The SQL of a time in the column's own form.
due() {
	local zone="AT TIME ZONE '${LOCAL:-}'"
	echo "(now() + interval '$1') ${LOCAL:+$zone}"
}

# is ID CONDITION
is() {
	sql_is t "SELECT $2 FROM $T WHERE id = '$1'"
}

# soon ID CONDITION
soon() {
	wait_for 15 is "$1" "$2" || {
		sql "SELECT * FROM $T WHERE id = '$1'" -x >&2
		return 1
	}
}

# The whole life, on the table as it is.
lives() {
	local moved cancelled executed failed waits old

	trigger install --grant-to followup
	trigger verify --grant-to followup
	daemons

	# Scheduled, and then moved: another task, for the new time.
	moved=$(add '1 hour')
	cancelled=$(add '1 hour')
	soon "$moved" "task_status = 'scheduled'"
	old=$(sql "SELECT task_name FROM $T WHERE id = '$moved'")
	sql "UPDATE $T SET scheduled_at = $(due '2 hours')
	    WHERE id = '$moved'" 2>/dev/null
	soon "$moved" "task_status = 'scheduled' AND task_name <> '$old'"
	wait_for 10 has_tasks "$moved" 1

	# Cancelled: its task goes.
	soon "$cancelled" "task_status = 'scheduled'"
	sql "UPDATE $T SET ${CANCEL:-task_status = 'cancelled'}
	    WHERE id = '$cancelled'" 2>/dev/null
	wait_for 10 has_tasks "$cancelled" 0
	is "$cancelled" "task_status = 'cancelled'"

	# Executed, once.
	executed=$(add '1 second')
	soon "$executed" "task_status = 'executed'"
	called "$executed" 1

	# Refused by the voice agent, at length; and then retried.
	agent "$(jq -nc '{status: 400, body: ("no such number: ärger " * 40)}')"
	failed=$(add '0 seconds')
	soon "$failed" "task_status = 'failed'"
	called "$failed" 1
	agent '[]'
	api POST "/followups/$failed/retry"
	expect 200
	soon "$failed" "task_status = 'executed'"
	called "$failed" 2

	# Without the triggers nothing of this is lost.
	trigger uninstall
	waits=$(add '1 hour')
	trigger install --grant-to followup
	trigger verify --grant-to followup
	soon "$waits" "task_status = 'scheduled'"
	is "$moved" "task_status = 'scheduled'"
	is "$cancelled" "task_status = 'cancelled'"
	is "$executed" "task_status = 'executed'"
	is "$failed" "task_status = 'executed'"
	called "$executed" 1
	called "$failed" 2
	called "$cancelled" 0
}

@test "three columns only" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT
	    gen_random_uuid(), booking_type text, scheduled_at timestamptz)"
	COLUMNS='booking_type, scheduled_at'
	VALUES="'follow-up', DUE"

	# Without leads the deployment says itself whom to call.
	trigger install --grant-to followup
	sql "CREATE OR REPLACE FUNCTION shape.followup_call_request(booking_id uuid)
	    RETURNS jsonb LANGUAGE sql STABLE AS \$\$
	    SELECT jsonb_build_object('bookingId', booking_id,
	    'phoneNumber', '+15550100009') \$\$"
	lives
}

@test "integer ids are refused" {
	shape "CREATE TABLE bookings (id bigint PRIMARY KEY GENERATED ALWAYS AS
	    IDENTITY, booking_type text, scheduled_at timestamptz)"
	refused 'no column id of type uuid'
}

@test "domains and enums" {
	shape "CREATE DOMAIN kind AS varchar(40) CHECK (VALUE <> '');
	    CREATE TYPE state AS ENUM ('pending', 'scheduled', 'executed',
	    'cancelled', 'failed');
	    CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type kind,
	    scheduled_at timestamptz,
	    task_status state NOT NULL DEFAULT 'pending')"
	lives
}

@test "an enum without a state is refused" {
	shape "CREATE TYPE state AS ENUM ('pending', 'scheduled', 'executed');
	    CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type text,
	    scheduled_at timestamptz,
	    task_status state NOT NULL DEFAULT 'pending')"
	refused cancelled
}

@test "citext" {
	shape "CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
	    CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type citext,
	    scheduled_at timestamptz)"
	VALUES="'$TENANT', '$LEAD', 'Auto_FollowUp', DUE"
	lives
}

@test "generated and identity columns" {
	shape "CREATE TABLE bookings (number bigint GENERATED ALWAYS AS IDENTITY,
	    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid,
	    lead_id uuid, booking_type text, scheduled_at timestamptz,
	    is_done boolean GENERATED ALWAYS AS (booking_type IS NULL) STORED)"
	lives
}

@test "a generated time or deletion is refused" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    booking_type text, day timestamp,
	    scheduled_at timestamp GENERATED ALWAYS AS (day) STORED)"
	refused scheduled_at
}

@test "row level security hides nothing from a role that bypasses it" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type text,
	    scheduled_at timestamptz);
	    ALTER TABLE bookings ENABLE ROW LEVEL SECURITY;
	    CREATE POLICY nobody ON bookings USING (false)"
	refused 'row'
	sql 'ALTER ROLE followup BYPASSRLS'
	lives
	sql 'ALTER ROLE followup NOBYPASSRLS'
}

@test "audit triggers with a search_path of their own" {
	shape "CREATE TABLE audit (at timestamptz DEFAULT now(), what text);
	    CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type text,
	    scheduled_at timestamptz, updated_at timestamptz DEFAULT now());
	    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
	    INSERT INTO audit (what) VALUES (TG_OP); NEW.updated_at := now();
	    RAISE NOTICE 'audited'; RETURN NEW; END \$\$;
	    CREATE TRIGGER note BEFORE INSERT OR UPDATE ON bookings
	    FOR EACH ROW EXECUTE FUNCTION note();
	    GRANT INSERT ON audit TO followup;
	    ALTER ROLE followup SET search_path = shape;
	    ALTER ROLE postgres SET search_path = shape, public"
	lives
	sql 'ALTER ROLE followup RESET search_path;
	    ALTER ROLE postgres RESET search_path'
	not grep -q '^NOTICE' "$STACK"/log/*.log
}

@test "short columns: errors are cut to fit" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id varchar(36), lead_id varchar(36), booking_type varchar(14),
	    scheduled_at timestamptz, task_status varchar(9) NOT NULL
	    DEFAULT 'pending' CHECK (task_status IN ('pending', 'scheduled',
	    'executed', 'cancelled', 'failed')),
	    last_execution_error varchar(40))"
	lives
}

@test "a column that cannot hold the name of a task is refused" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    booking_type text, scheduled_at timestamptz, task_name varchar(40))"
	refused task_name
}

@test "a database in LATIN1" {
	sql 'DROP DATABASE IF EXISTS latin1'
	sql "CREATE DATABASE latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'
	    TEMPLATE template0"
	export PGDATABASE=latin1
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type text,
	    scheduled_at timestamptz)"
	lives
}

@test "names with capitals and blanks" {
	SCHEMA='Lad Dev'
	TABLE='Lead "Bookings"'
	sql 'DROP SCHEMA IF EXISTS "Lad Dev" CASCADE' 2>/dev/null
	T='"Lad Dev"."Lead ""Bookings"""'
	sql "CREATE SCHEMA \"Lad Dev\"; CREATE TABLE \"Lad Dev\".leads (
	    id uuid PRIMARY KEY, phone text); INSERT INTO \"Lad Dev\".leads
	    VALUES ('$LEAD', '+15550100001'); CREATE TABLE $T (id uuid
	    PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid,
	    lead_id uuid, booking_type text, scheduled_at timestamptz)"
	lives
}

@test "soft deletion by time" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type text,
	    scheduled_at timestamptz, deleted_at timestamptz)"
	CANCEL='deleted_at = now()'
	lives
}

@test "a time without a zone, in the zone of the row" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type text,
	    scheduled_at timestamp, timezone text DEFAULT 'Asia/Dubai')"
	LOCAL=Asia/Dubai
	lives
}

@test "a time without a zone is UTC where there is none" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id text, lead_id text, booking_type text,
	    scheduled_at timestamp)"
	LOCAL=UTC
	lives
}

@test "a status that may be null and has no default" {
	shape "CREATE TABLE bookings (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	    tenant_id uuid, lead_id uuid, booking_type text,
	    scheduled_at timestamptz, task_status text)"
	lives
}
