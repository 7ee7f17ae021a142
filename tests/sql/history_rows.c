#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "history.h"

#define SCHEMA	"test_history_rows"

#include "lib/as_daemon.h"

/*
 * followup_history, against the server of tests/sql/run: what each statement
 * of the daemons writes to it, and only if it changes something.
 */

#define TRACEPARENT							\
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/*
 * History has these rows and no others, and is emptied: what, by, HTTP status,
 * milliseconds, reason.  All of them have the tenant and the trace.
 */
static void
told(const char *wanted)
{

	expect("SELECT coalesce(string_agg(concat_ws(' ', h.what, h.by, "
	    "coalesce(h.http_status::text, '-'), coalesce(h.ms::text, '-'), "
	    "coalesce(h.reason, '-'), nullif(h.tenant_id, '" TENANT "'), "
	    "nullif(coalesce(h.trace_id, '(no trace)'), "
	    "'4bf92f3577b34da6a3ce929d0e0e4736')), "
	    "'; ' ORDER BY h.id), '') FROM " SCHEMA ".followup_history h",
	    wanted);
	run("DELETE FROM followup_history");
}

static int
install(void **state)
{

	(void)state;
	be_quiet();
	install_into("", "");
	app = connect_app();
	return (0);
}

static int
uninstall(void **state)
{

	(void)state;
	remove_schema();
	return (0);
}

/* Whoever acts on ${booking}, which has ${status}, does so in a trace. */
static void
start(const char *status)
{

	run("SET followup.daemon = 'on'; DELETE FROM lead_bookings; "
	    "DELETE FROM followup_failures; "
	    "DELETE FROM followup_attempts; INSERT INTO lead_bookings (id, "
	    "task_status, task_name, scheduled_at) VALUES ('" ID "', '%s', "
	    "'old', '2030-01-01 12:00+00'); "
	    "DELETE FROM followup_obsolete_tasks", status);
	run("RESET followup.daemon");
	read_booking();
	assert_int_equal(trace_parse(TRACEPARENT, &booking.trace), 0);
}

static int
begin(void **state)
{

	(void)state;
	begin_daemon();
	assert_int_equal(bookings_ready(b), DB_OK);
	run("DELETE FROM followup_history");
	return (0);
}

static int
end(void **state)
{

	(void)state;
	end_daemon();
	return (0);
}

static void
tasks(void **state)
{
	struct booking_task task = { .booking = &booking, .name = "new",
	    .ms = 7 };
	char due[BOOKING_TIME_LEN], wanted[512];
	int changed;

	(void)state;
	start("pending");
	assert_int_equal(booking_scheduled(b, &task, 1), DB_OK);
	(void)booking_time(booking.due, 3, due);
	(void)snprintf(wanted, sizeof(wanted), "scheduled test 200 7 due %s",
	    due);
	told(wanted);
	assert_int_equal(booking_scheduled(b, &task, 1), DB_OK);
	told("");

	start("scheduled");
	assert_int_equal(booking_unschedule(b, &booking, &changed), DB_OK);
	told("superseded test - - -");
	assert_int_equal(booking_unschedule(b, &booking, &changed), DB_OK);
	told("");
	assert_int_equal(booking_obsolete_deleted(b, "old", &booking,
	    "deleted"), DB_OK);
	told("task deleted test - - deleted");
	start("scheduled");
	assert_int_equal(booking_task_gone(b, &booking, NULL, &changed),
	    DB_OK);
	told("task gone test - - -");
	start("scheduled");
	assert_int_equal(booking_task_gone(b, &booking, "paused", &changed),
	    DB_OK);
	told("waiting test - - paused");
	assert_int_equal(booking_cancel(b, &booking, "ann", &changed), DB_OK);
	told("cancelled ann - - -");
	start("scheduled");
	assert_int_equal(booking_cancel(b, &booking, NULL, &changed), DB_OK);
	told("cancelled test - - -");
	expect("SELECT string_agg(by || ' ' || what, '; ') FROM "
	    SCHEMA ".followup_acts", "ann cancelled booking " ID);
}

static void
calls(void **state)
{
	struct booking_failure failure = { .stage = BOOKING_EXECUTE,
	    .http_status = 503, .error = "no", .ms = 9 };
	char *body;
	int changed;

	(void)state;
	start("scheduled");
	assert_int_equal(booking_begun(b, &booking, &body, &changed), DB_OK);
	free(body);
	told("attempt test - - -");
	assert_int_equal(booking_failed_once(b, &booking, &failure), DB_OK);
	told("failed test 503 9 no");
	failure.unknown = 1;
	assert_int_equal(booking_failed_once(b, &booking, &failure), DB_OK);
	told("unknown test 503 9 no");
	assert_int_equal(booking_spared(b, &booking, &failure), DB_OK);
	told("spared test 503 9 no");
	assert_int_equal(booking_executed(b, &booking, "old", &took), DB_OK);
	told("executed test 202 31 -");

	/* What changes nothing is not told. */
	assert_int_equal(booking_executed(b, &booking, "old", &took), DB_OK);
	assert_int_equal(booking_begun(b, &booking, &body, &changed), DB_OK);
	assert_int_equal(booking_spared(b, &booking, &failure), DB_OK);
	assert_int_equal(booking_failed(b, &booking, &failure, &changed),
	    DB_OK);
	told("");
	start("scheduled");
	assert_int_equal(booking_failed(b, &booking, &failure, &changed),
	    DB_OK);
	told("dead test 503 9 no");
	assert_int_equal(booking_called(b, &booking, "why"), DB_OK);
	told("called test - - why");
}

static void
refusals(void **state)
{
	struct booking_refusal refusal = { .stage = BOOKING_EXECUTE,
	    .error = "no", .max_attempts = 2 };

	(void)state;
	start("scheduled");
	assert_int_equal(booking_refused(b, &booking, &refusal), DB_OK);
	told("failed test - - no");
	assert_int_equal(booking_refused(b, &booking, &refusal), DB_OK);
	told("dead test - - no");
}

/* Once, as long as nothing else becomes of it. */
static void
waits(void **state)
{
	struct booking_wait wait = { .booking = &booking,
	    .reason = "call +49 170 1234567" };
	int i, changed;

	(void)state;
	start("scheduled");
	for (i = 0; i < 2; i++)
		assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	assert_int_equal(booking_task_gone(b, &booking, NULL, &changed),
	    DB_OK);
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	wait.reason = NULL;
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	wait.reason = "more";
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	told("waiting test - - call ***************; "
	    "task gone test - - -; "
	    "waiting test - - call ***************; "
	    "waiting test - - more");
}

/* The newest first, as many as fit. */
static void
read_back(void **state)
{
	PGresult *past;

	(void)state;
	run("INSERT INTO followup_history (booking_id, what, at, by) "
	    "SELECT '" ID "', 'attempt', '2030-01-01 00:00+00', n::text "
	    "FROM generate_series(1, 101) n; "
	    "INSERT INTO followup_history (booking_id, what) "
	    "VALUES ('00000000-0000-4000-8000-00000000000c', 'attempt')");
	assert_int_equal(history_read(b, ID, &past), DB_OK);
	assert_int_equal(PQntuples(past), HISTORY_ROWS);
	assert_string_equal(PQgetvalue(past, 0, HISTORY_BY), "101");
	assert_string_equal(PQgetvalue(past, 99, HISTORY_BY), "2");
	assert_string_equal(PQgetvalue(past, 0, HISTORY_AT),
	    "2030-01-01T00:00:00.000Z");
	assert_true(PQgetisnull(past, 0, HISTORY_REASON));
	PQclear(past);
}

/* By the setting, some at a time, and by one at a time. */
static void
pruned(void **state)
{
	char sql[256];
	int more;

	(void)state;
	run("INSERT INTO followup_history (booking_id, what, at, by) "
	    "SELECT '" ID "', 'attempt', now() - n * interval '1 day', n::text "
	    "FROM generate_series(1, 700) n");
	assert_int_equal(history_prune(b, &more), DB_OK);
	assert_int_equal(more, 1);
	expect("SELECT string_agg(DISTINCT (by::int <= 200)::text, '') || "
	    "count(*) FROM followup_history", "true200");
	assert_int_equal(history_prune(b, &more), DB_OK);
	assert_int_equal(more, 0);
	expect("SELECT max(by::int) || ' ' || count(*) FROM followup_history",
	    "89 89");
	run("INSERT INTO followup_settings (name, value) "
	    "VALUES ('history_days', '7')");
	(void)snprintf(sql, sizeof(sql), "BEGIN; "
	    "SELECT pg_advisory_xact_lock(1181707336, %d)",
	    (int)bookings_key(&conf));
	run("%s", sql);
	assert_int_equal(history_prune(b, &more), DB_OK);
	run("ROLLBACK");
	expect("SELECT count(*) FROM followup_history", "89");
	assert_int_equal(history_prune(b, &more), DB_OK);
	expect("SELECT count(*) FROM followup_history", "6");
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest all[] = {
		TEST(tasks),
		TEST(calls),
		TEST(refusals),
		TEST(waits),
		TEST(read_back),
		TEST(pruned),
	};

	return (cmocka_run_group_tests(all, install, uninstall));
}
