#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "bookings.h"
#include "config.h"
#include "db.h"

#define SCHEMA	"test_sweep"

#include "lib/server.h"

/*
 * The sweep's statement, against the server of tests/sql/run: which bookings
 * it finds in tables of several shapes, and that no row keeps it from that.
 */

#define WINDOW	"86400"
#define GRACE	"300"

static struct config conf = { .schema = SCHEMA, .table = "lead_bookings" };

/*
 * Install into a new table, for a session as the listener has it: what the
 * test writes fires no trigger.
 */
static void
install(const char *shape, const char *alter)
{

	install_into(shape, alter);
	app = connect_with(DATABASE, db_session_sql());
	run("SET session_replication_role = replica");
	run("ALTER TABLE " SCHEMA ".lead_bookings "
	    "ALTER task_name SET DEFAULT 'its task'");
}

static int
end(void **state)
{

	(void)state;
	remove_schema();
	return (0);
}

/*
 * Booking number ${n} (two digits) with the values ${values} of ${columns}.
 */
static void
insert(const char *n, const char *columns, const char *values)
{

	run("INSERT INTO " SCHEMA ".lead_bookings (id, %s) VALUES "
	    "('00000000-0000-4000-8000-0000000000%s', %s)", columns, n,
	    values);
}

/* The sweep finds the bookings with these numbers, in order. */
static void
finds(const char *numbers)
{
	static const char *const start[] = { BOOKINGS_SWEEP_START };
	const char *params[] = { WINDOW, start[0], start[1], "1000", GRACE };
	char *sql = bookings_sweep_sql(&conf), found[256] = "";
	PGresult *result = PQexecParams(app, sql, 5, NULL, params, NULL,
	    NULL, 0);
	int n, row;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s", PQerrorMessage(app));

	/* The overdue ones come in no order. */
	for (n = 0; n < 100; n++) {
		for (row = 0; row < PQntuples(result); row++) {
			if (strtol(PQgetvalue(result, row, 0) + 34,
			    NULL, 10) == n)
				(void)snprintf(&found[strlen(found)], 8,
				    "%s%02d", *found != '\0' ? " " : "", n);
		}
	}
	PQclear(result);
	free(sql);
	assert_string_equal(found, numbers);
}

/* A table that has nothing but what is required. */
static void
three_columns(void **state)
{

	(void)state;
	install("", "ALTER TABLE " SCHEMA ".lead_bookings "
	    "DROP tenant_id, DROP lead_id, DROP assigned_user_id, "
	    "DROP timezone, DROP notes, DROP is_deleted, DROP created_at");
	insert("01", "scheduled_at", "now() + interval '1 h'");
	insert("02", "scheduled_at, task_status, task_scheduled_at",
	    "now() - interval '1 h', 'scheduled', now() - interval '1 h'");
	finds("01 02");
}

/* What a row may have in it that is not to be evaluated. */
static void
hostile_rows(void **state)
{

	(void)state;
	install("-v due=timestamp", "ALTER TABLE " SCHEMA ".lead_bookings "
	    "DROP is_deleted, ADD is_deleted text");
	run("CREATE TYPE " SCHEMA ".odd AS (v text); "
	    "CREATE FUNCTION " SCHEMA ".raise(" SCHEMA ".odd) RETURNS text "
	    "LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'; "
	    "CREATE CAST (" SCHEMA ".odd AS text) WITH FUNCTION " SCHEMA
	    ".raise; ALTER TABLE " SCHEMA ".lead_bookings "
	    "DROP tenant_id, ADD tenant_id " SCHEMA ".odd");
	run("CREATE OR REPLACE FUNCTION " SCHEMA ".followup_due_at(booking "
	    SCHEMA ".lead_bookings) RETURNS timestamptz LANGUAGE plpgsql "
	    "AS $$BEGIN RAISE 'no'; END$$");
	insert("01", "scheduled_at, tenant_id", "now(), ROW('x')");
	insert("02", "scheduled_at, is_deleted", "now(), 'maybe'");
	insert("03", "scheduled_at, is_deleted", "now(), 'true'");
	insert("04", "scheduled_at, timezone", "now(), 'Mars/Base'");
	insert("05", "scheduled_at", "'infinity'");
	insert("06", "scheduled_at", "'-infinity'");
	insert("07", "scheduled_at", "NULL");
	insert("08", "scheduled_at", "'4713-01-01 BC'");
	insert("09", "scheduled_at", "'294276-12-31'");
	insert("10", "scheduled_at, task_status, task_scheduled_at, timezone",
	    "now(), 'scheduled', 'infinity', 'Asia/Kolkata'");
	insert("11", "scheduled_at, task_status, task_scheduled_at, timezone",
	    "now(), 'scheduled', '-infinity', ''");
	insert("12", "scheduled_at, task_status, task_scheduled_at, timezone",
	    "'-infinity', 'scheduled', now(), 'Asia/Kolkata'");
	insert("13", "scheduled_at, task_status", "now() - interval '1 h', "
	    "'scheduled'");
	finds("01 02 04 05 06 10 11 13");
}

/* Where the due time is known, the window and the horizon hold to the hour. */
static void
due_times(void **state)
{

	(void)state;
	install("", "SELECT 1");
	insert("01", "scheduled_at", "now() - interval '25 h'");
	insert("02", "scheduled_at", "now() - interval '23 h'");
	insert("03", "scheduled_at", "now() + interval '718 h'");
	insert("04", "scheduled_at", "now() + interval '720 h'");
	insert("05", "scheduled_at, is_deleted", "now(), true");
	insert("06", "scheduled_at, booking_type", "now(), 'meeting'");
	insert("07", "scheduled_at, task_status", "now(), 'executed'");

	/* Retried: found however late it is, but not before its turn. */
	insert("08", "scheduled_at", "now() - interval '400 d'");
	insert("09", "scheduled_at", "now()");
	run("INSERT INTO " SCHEMA ".followup_failures (booking_id, stage, "
	    "attempts, error, next_attempt_at) SELECT id, 'schedule', 0, 'x', "
	    "CASE WHEN scheduled_at < now() - interval '1 d' THEN now() "
	    "ELSE now() + interval '1 h' END FROM " SCHEMA ".lead_bookings "
	    "WHERE right(id::text, 2) IN ('08', '09')");

	/* Scheduled: overdue; within its grace; moved, near and far; as due. */
	insert("11", "scheduled_at, task_status, task_scheduled_at",
	    "now() - interval '6 min', 'scheduled', now() - interval '6 min'");
	insert("12", "scheduled_at, task_status, task_scheduled_at",
	    "now() - interval '4 min', 'scheduled', now() - interval '4 min'");
	insert("13", "scheduled_at, task_status, task_scheduled_at",
	    "now() + interval '9 min', 'scheduled', now() + interval '9 h'");
	insert("14", "scheduled_at, task_status, task_scheduled_at",
	    "now() + interval '2 h', 'scheduled', now() + interval '9 h'");
	insert("15", "scheduled_at, task_status, task_scheduled_at",
	    "now() + interval '9 min', 'scheduled', now() + interval '9 min'");
	finds("02 03 08 11 13");
	run("DELETE FROM " SCHEMA ".followup_failures; DELETE FROM " SCHEMA
	    ".lead_bookings WHERE right(id::text, 2) IN ('08', '09')");

	/* Tried again later, and given up although the row does not say so. */
	run("INSERT INTO " SCHEMA ".followup_failures (booking_id, stage, "
	    "attempts, error, next_attempt_at, dead_at) SELECT id, 'schedule', "
	    "1, 'e', CASE WHEN id::text ~ '2$' THEN now() + interval '1 min' "
	    "END, CASE WHEN id::text !~ '2$' THEN now() END FROM " SCHEMA
	    ".lead_bookings WHERE id::text !~ '3$'");
	finds("03 13");
}

/* What the gate lets through is found, however short the window is. */
static void
late_calls(void **state)
{

	(void)state;
	install("", "SELECT 1");
	insert("01", "scheduled_at", "now() - interval '3 d'");
	insert("02", "scheduled_at", "now() - interval '6 d'");
	insert("03", "scheduled_at, task_status, task_scheduled_at",
	    "now() - interval '3 d', 'scheduled', now() - interval '3 d'");
	insert("04", "scheduled_at", "now() - interval '23 h'");
	finds("04");
	run("INSERT INTO " SCHEMA ".followup_settings (name, value) "
	    "VALUES ('call_within', '5d')");
	finds("01 03 04");
	run("UPDATE " SCHEMA ".followup_settings SET value = '1h' "
	    "WHERE name = 'call_within'");
	finds("04");
}

/*
 * An infinite time is not one to wait for: such a booking is found until it is
 * given up, unless it was there before the first install.
 */
static void
endless_times(void **state)
{

	(void)state;
	install("", "SELECT 1");
	insert("01", "scheduled_at", "'infinity'");
	insert("02", "scheduled_at", "'-infinity'");
	insert("03", "scheduled_at", "'-infinity'");
	insert("04", "scheduled_at", "'infinity'");
	insert("05", "scheduled_at, booking_type", "'infinity', 'meeting'");
	insert("06", "scheduled_at, is_deleted", "'infinity', true");
	insert("07", "scheduled_at, task_status", "'infinity', 'failed'");
	run("INSERT INTO " SCHEMA ".followup_backlog SELECT id "
	    "FROM " SCHEMA ".lead_bookings WHERE id::text ~ '3$'; "
	    "INSERT INTO " SCHEMA ".followup_failures (booking_id, stage, "
	    "attempts, error, dead_at) SELECT id, 'schedule', 1, 'e', now() "
	    "FROM " SCHEMA ".lead_bookings WHERE id::text ~ '4$'");
	finds("01 02");
}

/* What was written by a clock that was ahead makes nobody wait for long. */
static void
fast_clock(void **state)
{

	(void)state;
	install("", "SELECT 1");
	insert("01", "scheduled_at", "now()");
	insert("02", "scheduled_at", "now()");
	insert("03", "scheduled_at, task_status, task_scheduled_at",
	    "now() - interval '1 h', 'scheduled', now() + interval '1 h'");
	run("INSERT INTO " SCHEMA ".followup_failures (booking_id, stage, "
	    "attempts, error, last_failed_at, next_attempt_at) "
	    "SELECT id, 'schedule', 1, 'e', now(), now() + interval '1 h' "
	    "FROM " SCHEMA ".lead_bookings WHERE id::text ~ '1$'; "
	    "INSERT INTO " SCHEMA ".followup_obsolete_tasks (task_name, "
	    "booking_id, next_attempt_at) SELECT 't', id, "
	    "now() + interval '5 min' FROM " SCHEMA ".lead_bookings "
	    "WHERE id::text ~ '2$'; "
	    "INSERT INTO " SCHEMA ".followup_waits SELECT id, scheduled_at, "
	    "task_scheduled_at, now(), task_scheduled_at "
	    "FROM " SCHEMA ".lead_bookings WHERE id::text ~ '3$'");
	finds("");
	run("UPDATE " SCHEMA ".followup_failures "
	    "SET last_failed_at = now() + interval '30 min'; "
	    "UPDATE " SCHEMA ".followup_obsolete_tasks "
	    "SET next_attempt_at = now() + interval '30 min'; "
	    "UPDATE " SCHEMA ".followup_waits "
	    "SET looked_at = now() + interval '30 min'");
	/* One of them is due as well as its obsolete task. */
	finds("01 02 02 03");
}

/* A zone can only widen it, and nothing beyond the horizon is found. */
static void
zones(void **state)
{

	(void)state;
	install("-v due=timestamp", "SELECT 1");
	insert("01", "scheduled_at, timezone",
	    "now() - interval '25 h', 'America/Los_Angeles'");
	insert("02", "scheduled_at", "now() - interval '25 h'");
	insert("03", "scheduled_at, timezone", "now() - interval '23 h', ' '");
	insert("04", "scheduled_at, timezone",
	    "now() + interval '718 h', 'America/Los_Angeles'");
	insert("05", "scheduled_at", "now() + interval '718 h'");
	insert("06", "scheduled_at, timezone",
	    "now() + interval '702 h', 'Asia/Kolkata'");
	insert("07", "scheduled_at", "now() + interval '720 h'");

	/* Scheduled for what the row says there; and for a day later. */
	insert("11", "scheduled_at, timezone, task_status, task_scheduled_at",
	    "now() + interval '5.5 h', 'Asia/Kolkata', 'scheduled', now()");
	insert("12", "scheduled_at, timezone, task_status, task_scheduled_at",
	    "now() + interval '5.5 h', 'Asia/Kolkata', 'scheduled', "
	    "now() + interval '1 day'");
	insert("13", "scheduled_at, timezone, task_status, task_scheduled_at",
	    "now() + interval '5.5 h', 'Asia/Kolkata', 'scheduled', "
	    "now() - interval '6 min'");
	finds("01 03 05 06 12 13");
}

/* An id of a fixed length ends with blanks, which a pause's does not. */
static void
tenants_of_a_length(void **state)
{

	(void)state;
	install("", "ALTER TABLE " SCHEMA ".lead_bookings "
	    "ALTER tenant_id DROP DEFAULT, "
	    "ALTER tenant_id TYPE char(9) USING 'a'");
	insert("01", "scheduled_at, tenant_id", "now(), 'a'");
	insert("02", "scheduled_at, tenant_id", "now(), 'b'");
	insert("03", "scheduled_at, tenant_id", "now() - interval '30 h', 'a'");
	run("SELECT " SCHEMA ".followup_pause('tenant:a', 'holiday')");
	finds("02");
	run("UPDATE " SCHEMA ".followup_pauses "
	    "SET paused_at = now() - interval '40 h', "
	    "until = now() - interval '1 h'");
	finds("01 02 03");
}

#define TEST(name)	cmocka_unit_test_teardown(name, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(three_columns),
		TEST(hostile_rows),
		TEST(due_times),
		TEST(late_calls),
		TEST(endless_times),
		TEST(fast_clock),
		TEST(zones),
		TEST(tenants_of_a_length),
	};

	return (cmocka_run_group_tests_name("sweep", tests, NULL, NULL));
}
