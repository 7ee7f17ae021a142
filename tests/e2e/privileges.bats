# What the daemons' sockets let in, and what their database role may do.

# shellcheck disable=SC2016,SC2030,SC2031,SC2153,SC2154
# (there is Perl in here, every test is a subshell of its own, and the libraries
# set the names in capitals)

load lib
load hardening-lib

setup_file() {
	load lib
	load hardening-lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s POSTGRES_PASSWORD="$PG_SECRET"
	stack_env
	ask_for_password
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
}

teardown() {
	stack_reset
}

@test "sockets are for the group only, and no daemon listens on TCP" {
	for name in schedule execute local; do
		[[ $(stat -c '%F %a' "$STACK/run/$name.sock") == 'socket 660' ]]
	done
	for name in "${DAEMONS[@]}"; do
		for pid in $(pgrep -g "$(cat "$STACK/run/$name.pid")"); do
			while read -r inode; do
				[[ -z $(find "/proc/$pid/fd" \
				    -lname "socket:\\[$inode\\]") ]]
			done < <(awk '$4 == "0A" { print $10 }' \
			    /proc/net/tcp /proc/net/tcp6)
		done
	done
	# nginx: the local server is on the loopback address.
	port=$(printf '%04X' "${LOCAL_URL##*:}")
	[[ $(awk -v port=":$port" '$4 == "0A" && $2 ~ port "$" { print $2 }' \
	    /proc/net/tcp) == "0100007F:$port" ]]
}

# as_role STATEMENT: psql's output, with errors as SQLSTATE, as the daemons.
as_role() {
	PGPASSWORD=$PG_SECRET psql -XAtq -U followup -v VERBOSITY=sqlstate \
	    -c "BEGIN; $1; ROLLBACK" 2>&1
}

@test "what the daemons' database role cannot do" {
	id=$(book)
	becomes "$id" scheduled
	bookings=lad_dev.lead_bookings
	while read -r statement; do
		run as_role "$statement"
		[[ $output == *'ERROR:  42501'* ]] || {
			echo "$statement: $output" >&2
			return 1
		}
	done <<-EOT
	INSERT INTO $bookings (tenant_id, booking_type, scheduled_at) VALUES (gen_random_uuid(), 'x', now())
	DELETE FROM $bookings WHERE id = '$id'
	TRUNCATE $bookings
	UPDATE $bookings SET scheduled_at = now()
	UPDATE $bookings SET tenant_id = gen_random_uuid()
	UPDATE $bookings SET lead_id = gen_random_uuid()
	UPDATE $bookings SET booking_type = 'x'
	UPDATE $bookings SET id = gen_random_uuid()
	DELETE FROM lad_dev.followup_pauses
	DELETE FROM lad_dev.followup_backlog
	SELECT * FROM lad_dev.leads
	UPDATE lad_dev.leads SET phone = '+15550100009'
	SELECT * FROM lad_dev.users
	SELECT * FROM lad_dev.tenants
	SELECT * FROM pg_authid
	DROP TRIGGER trigger_schedule_followup_cloud_task ON $bookings
	ALTER TABLE $bookings DISABLE TRIGGER USER
	ALTER TABLE $bookings ADD COLUMN mine int
	ALTER FUNCTION lad_dev.followup_call_request(uuid) OWNER TO followup
	DROP FUNCTION lad_dev.followup_call_request(uuid)
	CREATE TABLE lad_dev.mine (id int)
	CREATE TABLE public.mine (id int)
	CREATE FUNCTION lad_dev.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'
	CREATE SCHEMA mine
	CREATE ROLE mine
	CREATE EXTENSION dblink
	SET ROLE postgres
	SET session_replication_role = replica
	COPY (SELECT 1) TO PROGRAM 'true'
	SELECT pg_read_file('/etc/passwd')
	EOT
	run as_role "SELECT task_status FROM $bookings WHERE id = '$id'"
	[[ $output == scheduled ]]

	# It owns nothing, is a member of nothing, and reads nothing else.
	sql_is 0 "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND
	    refobjid = 'followup'::regrole"
	sql_is 'f|f|f|f|f' "SELECT rolsuper, rolcreaterole, rolcreatedb,
	    rolreplication, rolbypassrls FROM pg_roles
	    WHERE rolname = 'followup'"
	sql_is 0 "SELECT count(*) FROM pg_auth_members
	    WHERE member = 'followup'::regrole"
	[[ $(sql "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
	    WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND relnamespace NOT IN
	    ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
	    AND has_any_column_privilege('followup', oid, 'SELECT')") == \
	    'followup_acts followup_attempts followup_backlog followup_canary followup_dead_letters followup_events followup_failures followup_history followup_late followup_obsolete_tasks followup_past_hours followup_past_pauses followup_pauses followup_settings followup_waits lead_bookings' ]]
	[[ $(sql "SELECT string_agg(attname, ' ' ORDER BY attname)
	    FROM pg_attribute WHERE attrelid = '$bookings'::regclass AND
	    attnum > 0 AND has_column_privilege('followup', attrelid, attnum,
	    'UPDATE')") == 'executed_at execution_attempts idempotency_key last_execution_error task_name task_scheduled_at task_status' ]]
}
