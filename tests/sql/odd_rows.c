#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#define SCHEMA	"test_odd_rows"

#include "lib/as_daemon.h"

/*
 * Tables, roles and servers as deployments have them, whose rows refuse what
 * the daemons write: what each refusal means, and what is left of it.  The
 * daemons have a role of their own, with the rights of --grant-to.
 */

#define ROLE	"test_odd_rows_daemon"
#define LONG	"the voice agent refused: this number is not a number that " \
	"anybody could call, in more words than the column takes"

/* What the row says, and what our own tables say. */
static void
expect_row(const char *status)
{

	expect("SELECT task_status FROM lead_bookings", status);
}

static void
expect_failure(const char *failure)
{

	expect("SELECT coalesce(string_agg(stage || attempts || "
	    "CASE WHEN dead_at IS NULL THEN ' ' ELSE '! ' END || error, "
	    "';' ORDER BY stage), '') FROM followup_failures "
	    "WHERE attempts > 0", failure);
}

static int
create(void **state)
{

	(void)state;
	be_quiet();
	conf.postgres_user = ROLE;
	return (psql("-d postgres -c 'CREATE ROLE " ROLE " LOGIN' "
	    "-c \"CREATE DATABASE odd_utf8 ENCODING 'UTF8' "
	    "TEMPLATE template0 LOCALE 'C'\" "
	    "-c \"CREATE DATABASE odd_latin1 ENCODING 'LATIN1' "
	    "TEMPLATE template0 LOCALE 'C'\""));
}

static int
drop(void **state)
{

	(void)state;
	return (psql("-d postgres -c 'DROP DATABASE odd_utf8' "
	    "-c 'DROP DATABASE odd_latin1' -c 'DROP ROLE " ROLE "'"));
}

/* A booking, in the database ${state} or one in UTF-8. */
static int
begin(void **state)
{
	const char *database = *state != NULL ? *state : "odd_utf8";
	char shape[64];

	(void)snprintf(shape, sizeof(shape), "-d %s -v grant_to=" ROLE,
	    database);
	install_into(shape, "");
	app = connect_with(database, "SET TimeZone = 'UTC'; "
	    "SET search_path = " SCHEMA ", public; "
	    "INSERT INTO lead_bookings (id, scheduled_at) VALUES ('" ID "', "
	    "now() + interval '1 h')");
	conf.postgres_db = database;
	begin_daemon();
	return (0);
}

static int
end(void **state)
{

	(void)state;
	end_daemon();
	run("DROP SCHEMA IF EXISTS hostile CASCADE; "
	    "ALTER ROLE " ROLE " RESET ALL");
	remove_schema();
	return (0);
}

/* Read the booking as a request does. */
static void
ask_for_booking(void)
{

	assert_int_equal(bookings_ready(b), DB_OK);
	read_booking();
}

static enum db_outcome
schedule(void)
{
	struct booking_task task = { .booking = &booking, .name = "t/task" };

	ask_for_booking();
	return (booking_scheduled(b, &task, 1));
}

static enum db_outcome
begin_call(void)
{
	enum db_outcome outcome;
	char *body;
	int changed;

	ask_for_booking();
	outcome = booking_begun(b, &booking, &body, &changed);
	free(body);
	return (outcome);
}

/* Give up for the reason ${error}. */
static void
give_up(const char *error)
{
	struct booking_failure failure = { .stage = BOOKING_EXECUTE,
	    .error = error };
	int changed = 0;

	ask_for_booking();
	assert_int_equal(booking_failed(b, &booking, &failure, &changed),
	    DB_OK);
	assert_int_equal(changed, 1);
}

/* The row made the database refuse: ${max} attempts are allowed. */
static struct booking_refusal
refused(int max)
{
	struct booking_refusal refusal = { .stage = BOOKING_SCHEDULE,
	    .max_attempts = max };
	char error[1024];

	(void)snprintf(error, sizeof(error), "%s", bookings_error(b));
	refusal.error = error;
	assert_int_equal(booking_refused(b, &booking, &refusal), DB_OK);
	refusal.error = NULL;
	return (refusal);
}

/* The number of bookings that the sweep finds. */
static void
expect_swept(int n)
{

	assert_int_equal(sweep("999999999", "0"), n);
}

/*
 * The session.
 */

/* The process that serves our session. */
static int64_t
our_pid(void)
{
	static char sql[] = "SELECT pg_backend_pid()";
	static const struct db_statement pid = { "pid", sql };
	struct db_call call = { .statement = &pid };
	int64_t n;

	assert_int_equal(db_run(db, &call, 1), DB_OK);
	n = db_int(call.result, 0, 0);
	PQclear(call.result);
	return (n);
}

/* Our own statements do not even notice that a column's type changes. */
static void
types_are_altered(void **state)
{
	int64_t before;

	(void)state;
	ask_for_booking();
	before = our_pid();
	run("ALTER TABLE lead_bookings ALTER execution_attempts TYPE bigint, "
	    "ALTER last_execution_error TYPE varchar(400), "
	    "ALTER task_scheduled_at TYPE timestamptz(3), "
	    "ALTER tenant_id TYPE text, ALTER timezone TYPE varchar(60)");
	assert_int_equal(schedule(), DB_OK);
	assert_int_equal(our_pid(), before);
	expect_row("scheduled");
}

/* A statement that does notice is run in another session. */
static void
plan_is_outdated(void **state)
{
	static char sql[] = "SELECT * FROM " SCHEMA ".lead_bookings";
	static const struct db_statement all = { "all", sql };
	struct db_call call = { .statement = &all };
	int64_t before;

	(void)state;
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(db_run(db, &call, 1), DB_OK);
	PQclear(call.result);
	before = our_pid();
	run("ALTER TABLE lead_bookings ADD COLUMN another text");
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(db_run(db, &call, 1), DB_OK);
	PQclear(call.result);
	assert_true(our_pid() != before);

	/* Where locks may be held the caller has to know. */
	run("ALTER TABLE lead_bookings DROP COLUMN another");
	assert_int_equal(db_run(db, &call, 1), DB_LOST);
	assert_string_equal(db_error(db), "cached plan must not change result "
	    "type (SQLSTATE 0A000)");
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(db_run(db, &call, 1), DB_OK);
	PQclear(call.result);
}

/* A session that has turned read-only is left. */
static void
server_is_read_only(void **state)
{
	static char sql[] = "SET default_transaction_read_only = on";
	static const struct db_statement set = { "set", sql };
	struct db_call call = { .statement = &set };
	int64_t before;

	(void)state;
	ask_for_booking();
	assert_int_equal(db_run(db, &call, 1), DB_OK);
	PQclear(call.result);
	before = our_pid();
	assert_int_equal(schedule(), DB_OK);
	assert_true(our_pid() != before);
	expect_row("scheduled");
}

/* ${setting} has this ${value} in our session. */
static void
expect_setting(const char *setting, const char *value)
{
	static char sql[] = "SELECT pg_catalog.current_setting($1)";
	static const struct db_statement show = { "show", sql };
	struct db_call call = { .statement = &show, .params = &setting,
	    .nparams = 1 };

	assert_int_equal(db_run(db, &call, 1), DB_OK);
	assert_string_equal(PQgetvalue(call.result, 0, 0), value);
	PQclear(call.result);
}

/* Whatever the role is set to, our statements do what they are to do. */
static void
hostile_role(void **state)
{

	(void)state;
	run("CREATE SCHEMA hostile; GRANT USAGE ON SCHEMA hostile TO " ROLE
	    "; CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE sql "
	    "AS $$ SELECT '1999-01-01'::timestamptz $$; "
	    "CREATE FUNCTION hostile.unnest(uuid[]) RETURNS SETOF uuid "
	    "LANGUAGE sql AS $$ SELECT gen_random_uuid() $$; "
	    "CREATE FUNCTION hostile.never(text, text) RETURNS boolean "
	    "LANGUAGE sql AS $$ SELECT false $$; "
	    "CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, "
	    "FUNCTION = hostile.never)");
	run("ALTER ROLE " ROLE " SET search_path = hostile, " SCHEMA ", "
	    "pg_catalog; "
	    "ALTER ROLE " ROLE " SET synchronous_commit = off; "
	    "ALTER ROLE " ROLE " SET default_transaction_isolation = "
	    "'serializable'; "
	    "ALTER ROLE " ROLE " SET row_security = on; "
	    "ALTER ROLE " ROLE " SET client_min_messages = debug5; "
	    "ALTER ROLE " ROLE " SET DateStyle = 'SQL, DMY'; "
	    "ALTER ROLE " ROLE " SET IntervalStyle = 'sql_standard'; "
	    "ALTER ROLE " ROLE " SET TimeZone = 'Asia/Kathmandu'; "
	    "ALTER ROLE " ROLE " SET standard_conforming_strings = off; "
	    "ALTER ROLE " ROLE " SET array_nulls = off; "
	    "ALTER ROLE " ROLE " SET transform_null_equals = on; "
	    "ALTER ROLE " ROLE " SET quote_all_identifiers = on; "
	    "ALTER ROLE " ROLE " SET exit_on_error = on; "
	    "ALTER ROLE " ROLE " SET enable_indexscan = off; "
	    "ALTER ROLE " ROLE " SET idle_session_timeout = '50ms'");
	assert_int_equal(schedule(), DB_OK);
	expect_row("scheduled");
	expect_setting("search_path", "\"hostile\", \"" SCHEMA "\", pg_temp");
	expect_setting("synchronous_commit", "on");
	expect_setting("default_transaction_isolation", "read committed");
	expect_setting("row_security", "off");
	expect_setting("client_min_messages", "error");
	expect_setting("idle_session_timeout", "0");
	assert_int_equal(begin_call(), DB_OK);
	assert_int_equal(booking_executed(b, &booking, "task", &took), DB_OK);
	expect_row("executed");
	expect("SELECT (executed_at > '2020-01-01')::text FROM lead_bookings",
	    "true");

	/* What is stronger, or only the role's own, stays. */
	bookings_disconnect(b);
	run("ALTER ROLE " ROLE " RESET ALL; "
	    "ALTER ROLE " ROLE " SET synchronous_commit = remote_apply");
	ask_for_booking();
	expect_setting("synchronous_commit", "remote_apply");
	expect_setting("search_path", "\"$user\", public, pg_temp");
	bookings_disconnect(b);
	run("ALTER ROLE " ROLE " SET search_path = ''");
	ask_for_booking();
	expect_setting("search_path", "\"\", pg_temp");
}

/* Rows that a policy hides are an error, and not rows that are not there. */
static void
hidden_rows(void **state)
{
	const char *ids[] = { ID };

	(void)state;
	run("ALTER TABLE lead_bookings ENABLE ROW LEVEL SECURITY; "
	    "CREATE POLICY p ON lead_bookings USING (false)");
	assert_int_equal(bookings_ready(b), DB_OK);
	assert_int_equal(booking_read(b, ids, 1, &booking, &rows),
	    DB_BROKEN);
	assert_non_null(strstr(bookings_error(b), "row-level security"));
}

/* A trigger of the application finds its tables by the role's search_path. */
static void
trigger_with_its_own_tables(void **state)
{
	int changed = 0;

	(void)state;
	run("CREATE TABLE audit (status text); "
	    "GRANT INSERT ON audit TO " ROLE "; "
	    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ "
	    "BEGIN INSERT INTO audit VALUES (NEW.task_status); "
	    "PERFORM set_config('client_min_messages', 'notice', false); "
	    "RAISE WARNING 'noted'; RETURN NEW; END $$; "
	    "CREATE TRIGGER note AFTER UPDATE ON lead_bookings FOR EACH ROW "
	    "EXECUTE FUNCTION note(); "
	    "ALTER ROLE " ROLE " SET search_path = " SCHEMA);
	assert_int_equal(schedule(), DB_OK);
	give_up("no");
	assert_int_equal(booking_retry(b, ID, 0, NULL, &changed), DB_OK);
	assert_int_equal(changed, 1);
	expect_row("pending");
	expect("SELECT string_agg(status, ' ') FROM audit",
	    "scheduled failed pending");
}

/*
 * The row.
 */

/* The application's own rules, which the row of ${state} breaks. */
static void
forbid(const char *condition)
{

	run("CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ "
	    "BEGIN IF %s THEN RAISE EXCEPTION 'not %%', NEW.task_status "
	    "USING ERRCODE = '42501', DETAIL = 'a secret'; END IF; "
	    "RETURN NEW; END $$; "
	    "CREATE TRIGGER forbid BEFORE UPDATE ON lead_bookings "
	    "FOR EACH ROW EXECUTE FUNCTION forbid()", condition);
}

static void
row_refuses_everything(void **state)
{
	struct booking_refusal refusal;
	int changed = 0;

	(void)state;
	forbid("true");
	expect_swept(1);
	assert_int_equal(schedule(), DB_FAILED);
	refusal = refused(2);
	assert_int_equal(refusal.attempts, 1);
	assert_int_equal(refusal.given_up, 0);
	assert_true(refusal.retry_in > 0.5 && refusal.retry_in < 1.5);
	expect_failure("schedule1 not scheduled (SQLSTATE 42501)");
	expect_swept(0);
	ask_for_booking();
	assert_int_equal(booking.schedule_attempts, 1);
	assert_null(booking.dead);
	assert_string_equal(booking.last_error,
	    "not scheduled (SQLSTATE 42501)");

	/* The dead letter stands alone, and the sweep leaves it alone. */
	assert_int_equal(schedule(), DB_FAILED);
	refusal = refused(2);
	assert_int_equal(refusal.given_up, 1);
	expect_failure("schedule2! not scheduled (SQLSTATE 42501)");
	expect_row("pending");
	run("UPDATE followup_failures SET next_attempt_at = NULL");
	expect_swept(0);
	ask_for_booking();
	assert_string_equal(booking.dead, "not scheduled (SQLSTATE 42501)");

	/* Until the cause is gone and somebody says so. */
	assert_int_equal(booking_retry(b, ID, 0, NULL, &changed), DB_FAILED);
	expect("SELECT retried FROM followup_retry_all()", "0");
	run("DROP TRIGGER forbid ON lead_bookings");
	assert_int_equal(booking_retry(b, ID, 0, NULL, &changed), DB_OK);
	assert_int_equal(changed, 1);
	expect_failure("");
	expect_swept(1);
}

/* A trigger that returns NULL refuses without a word. */
static void
row_ignores_everything(void **state)
{
	struct booking_task task = { .booking = &booking, .name = "t/task" };

	(void)state;
	run("CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS $$ "
	    "BEGIN RETURN NULL; END $$; "
	    "CREATE TRIGGER ignore BEFORE UPDATE ON lead_bookings "
	    "FOR EACH ROW EXECUTE FUNCTION ignore()");
	ask_for_booking();
	assert_int_equal(booking_scheduled(b, &task, 1), DB_OK);
	assert_int_equal(task.changed, 0);
	assert_int_equal(begin_call(), DB_FAILED);
	assert_non_null(strstr(bookings_error(b), "ignores"));
	expect("SELECT count(*) FROM followup_attempts", "0");
	run("INSERT INTO followup_attempts (booking_id) VALUES ('" ID "')");
	assert_int_equal(booking_executed(b, &booking, "task", &took),
	    DB_FAILED);
	expect("SELECT count(*) FROM followup_attempts", "1");
	give_up("no");
	expect_row("pending");
	expect_failure("execute1! no");
	expect_swept(0);
}

/* A row that refuses one state takes the next: it is failed. */
static void
row_refuses_one_state(void **state)
{

	(void)state;
	run("ALTER TABLE lead_bookings ADD CONSTRAINT states "
	    "CHECK (task_status <> 'scheduled')");
	assert_int_equal(schedule(), DB_FAILED);
	assert_int_equal(refused(1).given_up, 1);
	expect_row("failed");
	expect_failure("schedule1! new row for relation \"lead_bookings\" "
	    "violates check constraint \"states\" (SQLSTATE 23514, "
	    "constraint states)");
}

/* It waits twice as long each time, and for no longer than five minutes. */
static void
refusals_are_put_off(void **state)
{
	static const double waits[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256,
	    300, 300, 300, 300 };
	struct booking_refusal refusal;
	size_t i;

	(void)state;
	ask_for_booking();
	for (i = 0; i < NITEMS(waits); i++) {
		refusal = refused(100);
		assert_int_equal(refusal.attempts, i + 1);
		assert_true(refusal.retry_in > waits[i] - 0.5 &&
		    refusal.retry_in < waits[i] + 0.5);
	}
}

/* A deployment's own request raises: nobody is called. */
static void
request_that_raises(void **state)
{

	(void)state;
	run("CREATE OR REPLACE FUNCTION followup_call_request(booking_id uuid) "
	    "RETURNS jsonb LANGUAGE plpgsql AS "
	    "'BEGIN RAISE EXCEPTION ''there is no such lead''; END'");
	assert_int_equal(schedule(), DB_OK);
	assert_int_equal(begin_call(), DB_FAILED);
	assert_string_equal(bookings_error(b),
	    "there is no such lead (SQLSTATE P0001)");
	expect("SELECT execution_attempts::text FROM lead_bookings", "0");
	expect("SELECT count(*) FROM followup_attempts", "0");
}

/*
 * A deployment's own queues: asked of what is to come, and where one booking
 * makes the function raise, that is its own trouble.
 */
static void
queues_of_its_own(void **state)
{
	const char *id = ID;
	struct booking other;
	PGresult *result;

	(void)state;
	ask_for_booking();
	assert_null(booking.queue);
	run("CREATE OR REPLACE FUNCTION followup_queue(booking lead_bookings) "
	    "RETURNS text LANGUAGE sql AS "
	    "'SELECT ''tenant-'' || booking.task_status'");
	ask_for_booking();
	assert_string_equal(booking.queue, "tenant-pending");
	assert_int_equal(schedule(), DB_OK);
	ask_for_booking();
	assert_string_equal(booking.queue, "tenant-scheduled");
	run("CREATE OR REPLACE FUNCTION followup_queue(booking lead_bookings) "
	    "RETURNS text LANGUAGE plpgsql AS "
	    "'BEGIN RAISE EXCEPTION ''no queue for it''; END'");
	assert_int_equal(booking_read(b, &id, 1, &other, &result), DB_FAILED);
	assert_string_equal(bookings_error(b),
	    "no queue for it (SQLSTATE P0001)");

	/* Who makes no task of it does not ask. */
	assert_int_equal(booking_take(b, BOOKING_EXECUTE, &id, 1, &other,
	    &result), DB_OK);
	assert_int_equal(other.verdict, BOOKING_CALL);
	assert_null(other.queue);
	booking_unlock(b, BOOKING_EXECUTE, &id, 1);
	PQclear(result);
	run("UPDATE lead_bookings SET task_status = 'cancelled'");
	ask_for_booking();
	assert_null(booking.queue);
}

/* A booking for which a deployment's own gate raises can still be cancelled. */
static void
gate_that_raises(void **state)
{
	const char *id = ID;
	struct booking other;
	PGresult *result;
	int changed;

	(void)state;
	assert_int_equal(schedule(), DB_OK);
	run("CREATE OR REPLACE FUNCTION followup_gate(booking lead_bookings, "
	    "OUT verdict text, OUT until timestamptz, OUT reason text) "
	    "LANGUAGE plpgsql AS "
	    "'BEGIN RAISE EXCEPTION ''no such list''; END'");
	assert_int_equal(booking_look(b, 1, id, &other, &result), DB_FAILED);
	assert_string_equal(bookings_error(b),
	    "no such list (SQLSTATE P0001)");
	assert_int_equal(booking_look(b, 0, id, &other, &result), DB_OK);
	assert_int_equal(other.status, BOOKING_SCHEDULED);
	assert_int_equal(booking_cancel(b, &other, NULL, &changed), DB_OK);
	assert_int_equal(changed, 1);
	PQclear(result);
	assert_int_equal(booking_take(b, BOOKING_EXECUTE, &id, 1, &other,
	    &result), DB_OK);
	assert_int_equal(other.status, BOOKING_CANCELLED);
	booking_unlock(b, BOOKING_EXECUTE, &id, 1);
	PQclear(result);
}

/* Attempts that the row did not take count as well. */
static void
attempts_add_up(void **state)
{

	(void)state;
	run("INSERT INTO followup_failures (booking_id, stage, attempts, "
	    "error) VALUES ('" ID "', 'execute', 5, 'no')");
	ask_for_booking();
	assert_int_equal(booking.execution_attempts, 5);
	run("UPDATE lead_bookings SET execution_attempts = 6");
	ask_for_booking();
	assert_int_equal(booking.execution_attempts, 6);
}

/* The call was started, and the row refuses to be executed. */
static void
called_but_not_executed(void **state)
{
	int changed = 0;

	(void)state;
	assert_int_equal(schedule(), DB_OK);
	forbid("NEW.task_status = 'executed'");
	assert_int_equal(begin_call(), DB_OK);
	assert_int_equal(booking_executed(b, &booking, "task", &took),
	    DB_FAILED);
	assert_int_equal(booking_called(b, &booking, "called, but"), DB_OK);
	expect_row("scheduled");
	expect_failure("execute1! called, but");
	ask_for_booking();
	assert_string_equal(booking.dead, "called, but");
	assert_true(booking.called_at != BOOKING_NO_TIME);

	/* A retry writes the row, and calls nobody. */
	run("DROP TRIGGER forbid ON lead_bookings");
	assert_int_equal(booking_retry(b, ID, 0, NULL, &changed), DB_OK);
	assert_int_equal(changed, 1);
	expect_row("executed");
	expect_failure("");
	expect("SELECT (executed_at IS NOT NULL)::text FROM lead_bookings",
	    "true");
	expect("SELECT count(*) FROM followup_attempts", "0");
}

/* Who is moved is called at the new time, whatever became of the old one. */
static void
called_and_moved(void **state)
{

	(void)state;
	ask_for_booking();
	assert_int_equal(booking_called(b, &booking, "called, but"), DB_OK);
	run("UPDATE lead_bookings SET scheduled_at = '2030-01-02 12:00+00'");
	ask_for_booking();
	assert_null(booking.dead);
	assert_true(booking.called_at == BOOKING_NO_TIME);
}

/*
 * Columns.
 */

/* A text is cut to what the column takes; the whole one is ours. */
static void
short_columns(void **state)
{
	static const char *const types[] = { "varchar(20)", "char(20)",
	    "short" };
	char sql[128];
	size_t i;

	(void)state;
	run("CREATE DOMAIN short AS varchar(20)");
	for (i = 0; i < NITEMS(types); i++) {
		run("SET followup.daemon = 'on'; "
		    "UPDATE lead_bookings SET task_status = 'pending', "
		    "last_execution_error = NULL; RESET followup.daemon; "
		    "DELETE FROM followup_failures");
		run("ALTER TABLE lead_bookings ALTER last_execution_error "
		    "TYPE %s, ALTER idempotency_key TYPE varchar(%zu)",
		    types[i], 30 + i);
		assert_int_equal(schedule(), DB_OK);
		(void)snprintf(sql, sizeof(sql), "%zu", 30 + i);
		expect("SELECT length(idempotency_key) FROM lead_bookings",
		    sql);
		assert_int_equal(begin_call(), DB_OK);
		expect("SELECT last_execution_error FROM lead_bookings",
		    "an attempt to start ");
		give_up(LONG);
		expect_row("failed");
		expect("SELECT last_execution_error FROM lead_bookings",
		    "the voice agent refu");
		expect_failure("execute1! " LONG);
	}
}

/* Two rows of one id are one booking, and do not stand in for another one. */
static void
rows_of_one_id(void **state)
{
	const char *ids[] = { ID, "00000000-0000-4000-8000-00000000000c",
	    "00000000-0000-4000-8000-00000000000d" };
	struct booking list[3];
	PGresult *result;

	(void)state;
	run("ALTER TABLE lead_bookings DROP CONSTRAINT lead_bookings_pkey; "
	    "INSERT INTO lead_bookings SELECT * FROM lead_bookings; "
	    "INSERT INTO lead_bookings (id, scheduled_at, notes) VALUES "
	    "('%s', now(), 'c')", ids[1]);
	assert_int_equal(bookings_ready(b), DB_OK);
	assert_int_equal(booking_read(b, ids, 3, list, &result), DB_OK);
	assert_int_equal(PQntuples(result), 3);
	assert_int_equal(list[0].found, 1);
	assert_int_equal(list[1].found, 1);
	assert_non_null(strstr(list[1].task_body, ids[1]));
	assert_int_equal(list[2].found, 0);
	PQclear(result);
}

/* However long a tenant's id is, a key is of one booking and one time. */
static void
long_tenant(void **state)
{
	char key[256], end[128], due[BOOKING_TIME_LEN];

	(void)state;
	run("ALTER TABLE lead_bookings ALTER tenant_id TYPE text; "
	    "UPDATE lead_bookings SET tenant_id = repeat('t', 250)");
	ask_for_booking();
	assert_true(strlen(booking.key) <= 255);
	(void)snprintf(end, sizeof(end), "ttt:" ID ":%s",
	    booking_time(booking.due, 3, due));
	(void)snprintf(key, sizeof(key), "%s", booking.key);
	assert_string_equal(key + strlen(key) - strlen(end), end);
}

/* A column that takes no such text at all does not keep the row from it. */
static void
column_with_a_rule(void **state)
{

	(void)state;
	run("CREATE DOMAIN code AS text CHECK (VALUE ~ '^E[0-9]+$'); "
	    "ALTER TABLE lead_bookings ALTER last_execution_error TYPE code");
	assert_int_equal(schedule(), DB_OK);
	give_up(LONG);
	expect_row("failed");
	expect_failure("execute1! " LONG);
	ask_for_booking();
	assert_string_equal(booking.last_error, LONG);
}

/* What the database's encoding lacks becomes a question mark. */
static void
latin1(void **state)
{

	(void)state;
	assert_int_equal(schedule(), DB_OK);
	give_up("caf\303\251 \342\202\254 \360\237\230\200 \377");
	expect_row("failed");
	expect("SELECT last_execution_error FROM lead_bookings",
	    "caf\303\251 ? ? ?");
	expect_failure("execute1! caf\303\251 ? ? ?");
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	static char in_latin1[] = "odd_latin1";
	const struct CMUnitTest tests[] = {
		TEST(types_are_altered),
		TEST(plan_is_outdated),
		TEST(server_is_read_only),
		TEST(hostile_role),
		TEST(hidden_rows),
		TEST(trigger_with_its_own_tables),
		TEST(row_refuses_everything),
		TEST(row_ignores_everything),
		TEST(row_refuses_one_state),
		TEST(refusals_are_put_off),
		TEST(request_that_raises),
		TEST(queues_of_its_own),
		TEST(gate_that_raises),
		TEST(attempts_add_up),
		TEST(called_but_not_executed),
		TEST(called_and_moved),
		TEST(short_columns),
		TEST(rows_of_one_id),
		TEST(long_tenant),
		TEST(column_with_a_rule),
		cmocka_unit_test_prestate_setup_teardown(latin1, begin, end,
		    in_latin1),
	};

	return (cmocka_run_group_tests(tests, create, drop));
}
