#include <stdio.h>
#include <string.h>

#include <libpq-fe.h>

#define SCHEMA	"test_waits"

#include "lib/states.h"

/*
 * Bookings that wait, against the server of tests/sql/run: what the gate says
 * of them, what is noted when they are looked at, and when the sweep finds
 * them again.
 */

/* Write a task for the booking, so much later than it is due, in seconds. */
static int
schedule_for(int64_t wait)
{
	struct booking_task task = { .booking = &booking,
	    .name = QUEUE "new", .changed = -1 };

	booking.key = "new key";
	booking.planned = booking.due + wait * 1000000;
	assert_int_equal(booking_scheduled(b, &task, 1), DB_OK);
	return (task.changed);
}

/* The notes: seconds from due to its task; to the next look, from ${from}. */
#define WAITS(from)							\
    "SELECT coalesce(string_agg(format('%s %s', extract(epoch "		\
    "FROM until - due_at)::int, round(extract(epoch FROM "		\
    "look_at - " from "))), ','), 'none') FROM followup_waits"

/* Its task is for the end of a wait. */
static void
scheduled_for_later(void **state)
{
	const struct booking_wait wait = { .booking = &booking };
	int changed;

	(void)state;
	start("pending");
	assert_true(booking.noted_due == BOOKING_NO_TIME);
	assert_int_equal(schedule_for(7200), 1);
	expect("SELECT concat(idempotency_key, ' ', task_scheduled_at) "
	    "FROM lead_bookings", "new key 2030-01-01 14:00:00.25+00");
	expect(WAITS("now()"), "7200 3600");
	read_booking();
	assert_true(booking_task_waits(&booking));
	assert_true(booking_task_in(&booking) - booking.due_in - 7200 < 0.01);

	/* What becomes of the row ends that, or is noted at the next look. */
	assert_int_equal(booking_replan(b, &booking, &changed), DB_OK);
	assert_int_equal(changed, 1);
	expect(state_sql, "pending - 2 boom failures:execute2 begun "
	    "obsolete:new");
	expect("SELECT idempotency_key FROM lead_bookings", "new key");
	assert_int_equal(booking_replan(b, &booking, &changed), DB_OK);
	assert_int_equal(changed, 0);
	assert_int_equal(schedule_for(0), 1);
	expect(WAITS("now()"), "none");

	/* It is looked at again when its task is overdue, if that is soon. */
	start("pending");
	run("UPDATE lead_bookings SET scheduled_at = now()");
	read_booking();
	assert_int_equal(schedule_for(600), 1);
	expect(WAITS("until"), "600 300");
	read_booking();
	assert_int_equal(booking_executed(b, &booking, "new", &took), DB_OK);
	expect("SELECT task_scheduled_at - scheduled_at FROM lead_bookings",
	    "00:10:00");
	expect(WAITS("until"), "none");
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	expect(WAITS("until"), "none");
}

/* A task has fired, and the gate has its booking wait once more. */
static void
held(void **state)
{
	int changed;

	(void)state;
	start("scheduled");
	assert_int_equal(booking_held(b, &booking, "paused", &changed), DB_OK);
	assert_int_equal(changed, 1);
	expect(state_sql, "pending - 2 paused failures:execute2,schedule1 "
	    "begun");
	expect(WAITS("now()"), " 0");
	assert_int_equal(booking_held(b, &booking, "paused", &changed), DB_OK);
	assert_int_equal(changed, 0);

	/* One that was made meanwhile is another task. */
	start("scheduled");
	run("UPDATE lead_bookings SET task_name = 'newer'");
	assert_int_equal(booking_held(b, &booking, "paused", &changed), DB_OK);
	assert_int_equal(changed, 0);
	expect(WAITS("now()"), "none");
}

static void
noted(void **state)
{
	struct booking_wait wait = { .booking = &booking, .look_in = 600 };
	int changed;

	(void)state;
	start("pending");
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	expect(WAITS("now()"), " 600");
	read_booking();
	assert_true(booking.noted_due == booking.due);
	wait.look_in = 0;
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	expect(WAITS("now()"), "none");

	/* A worker that read it before its task fired knows less. */
	start("scheduled");
	assert_int_equal(booking_held(b, &booking, "paused", &changed), DB_OK);
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	wait.look_in = 600;
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	expect(WAITS("now()"), " 0");
	read_booking();
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	expect(WAITS("now()"), " 600");

	/* But not if the clock was ahead then. */
	run("UPDATE followup_waits SET looked_at = now() + interval '1 h', "
	    "look_at = now() + interval '1 h'");
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	expect(WAITS("now()"), " 600");
	run("UPDATE followup_waits SET looked_at = now() + interval '1 h'");
	wait.look_in = 0;
	assert_int_equal(booking_noted(b, &wait, 1), DB_OK);
	expect(WAITS("now()"), "none");
}
/*
 * The gate, and the sweep.
 */

static void
gate_is_asked(void **state)
{

	(void)state;
	start("pending");
	assert_int_equal(booking.verdict, BOOKING_CALL);
	assert_null(booking.verdict_reason);
	assert_int_equal(booking.in_backlog, 0);
	run("INSERT INTO followup_pauses (scope, reason, until) "
	    "VALUES ('all', 'x', '2999-01-01')");
	read_booking();
	assert_int_equal(booking.verdict, BOOKING_WAIT);
	assert_string_equal(booking.verdict_reason, "paused: x");
	assert_true(booking.wait_until == INT64_C(32472144000000000));
	run("INSERT INTO followup_backlog SELECT id, scheduled_at "
	    "FROM lead_bookings; UPDATE lead_bookings "
	    "SET task_status = 'scheduled'");
	read_booking();
	assert_int_equal(booking.verdict, BOOKING_NEVER);
	assert_int_equal(booking.in_backlog, 1);

	/* Moved it is another matter; and nobody asks about what is over. */
	run("UPDATE lead_bookings SET scheduled_at = scheduled_at "
	    "+ interval '1 us'");
	read_booking();
	assert_int_equal(booking.verdict, BOOKING_WAIT);
	assert_int_equal(booking.in_backlog, 0);
	run("UPDATE lead_bookings SET task_status = 'executed'");
	read_booking();
	assert_null(booking.verdict_reason);
}

/* Nothing holds the booking but what ${sql} does. */
static void
gate_says(const char *sql, enum booking_verdict verdict, const char *reason)
{

	start("pending");
	assert_int_equal(booking.verdict, BOOKING_CALL);
	run("%s", sql);
	read_booking();
	assert_int_equal(booking.verdict, verdict);
	if (reason != NULL)
		assert_string_equal(booking.verdict_reason, reason);
	else
		assert_null(booking.verdict_reason);
}

/* What holds a booking, though nothing does all others. */
static void
gate_is_not_open(void **state)
{

	(void)state;
	gate_says("INSERT INTO followup_settings (name, value) "
	    "VALUES ('calling_hours', 'mon-sun 00:00-00:01')", BOOKING_WAIT,
	    "outside of calling hours");
	run("DELETE FROM followup_settings WHERE name = 'calling_hours'");
	gate_says("UPDATE lead_bookings SET scheduled_at = now() "
	    "- interval '1 day'", BOOKING_NEVER, "more than 4h late");
	gate_says("INSERT INTO followup_pauses (scope, reason, until) VALUES "
	    "('all', 'x', now() + interval '1 s')", BOOKING_CALL, NULL);
	run("DELETE FROM followup_pauses");
	run("CREATE TEMP TABLE ours AS SELECT pg_get_functiondef("
	    "'followup_gate(lead_bookings)'::regprocedure) AS source");
	gate_says("CREATE OR REPLACE FUNCTION "
	    "followup_gate(booking lead_bookings, OUT verdict text, "
	    "OUT until timestamptz, OUT reason text) "
	    "LANGUAGE sql AS $$ SELECT 'never', NULL::timestamptz, 'mine' $$",
	    BOOKING_NEVER, "mine");
	run("DO $$ BEGIN EXECUTE (SELECT source FROM ours); END $$");
	read_booking();
	assert_int_equal(booking.verdict, BOOKING_CALL);
}

/* Calling hours are those of the booking's zone, or else of the default one. */
static void
gate_keeps_hours(void **state)
{
	static const struct {
		const char *zone;
		const char *otherwise;
		const char *due;
		enum booking_verdict verdict;
	} all[] = {
		{ "", "UTC", "12:00Z", BOOKING_CALL },
		{ " ", "UTC", "12:09:59Z", BOOKING_CALL },
		{ "", "UTC", "12:10Z", BOOKING_WAIT },
		{ "", "+04:00", "08:05Z", BOOKING_CALL },
		{ "", "+04:00", "12:05Z", BOOKING_WAIT },
		{ "Asia/Dubai", "UTC", "08:05Z", BOOKING_CALL },
		{ " Asia/Dubai\t", "UTC", "08:05Z", BOOKING_CALL },
		{ "Asia/Dubai", "UTC", "12:05Z", BOOKING_WAIT },
		{ "Asia/Nowhere", "UTC", "12:05Z", BOOKING_NEVER },
		{ "IST", "UTC", "12:05Z", BOOKING_NEVER },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		start("pending");
		run("INSERT INTO followup_settings (name, value) "
		    "VALUES ('calling_hours', 'mon-sun 12:00-12:10'), "
		    "('calling_zone', '%s'); UPDATE lead_bookings SET "
		    "timezone = '%s', scheduled_at = '2031-01-08 %s'",
		    all[i].otherwise, all[i].zone, all[i].due);
		read_booking();
		assert_int_equal(booking.verdict, all[i].verdict);
		run("DELETE FROM followup_settings WHERE name LIKE 'calling%%'");
	}
}

/*
 * Does the sweep with a window of an hour find the booking?  Nothing else is
 * looked at where call_within is no longer than that.
 */
static int
is_swept(void)
{

	return (sweep("3600", "60") > 0);
}

/* The booking ${changed} and the pauses ${pauses}; times are in minutes. */
static void
swept(void **state)
{
	static const struct {
		const char *status;
		long due_in;
		const char *pauses;	/* scope, from, until, exceptions */
		int found;
	} all[] = {
		{ "pending", 30, NULL, 1 },
		{ "pending", -59, NULL, 1 },
		{ "pending", -61, NULL, 0 },
		{ "scheduled", -30, NULL, 1 },
		{ "scheduled", 10, NULL, 0 },
		{ "nameless", 10, NULL, 1 },

		/* What is paused is not looked at; a task that is there is. */
		{ "pending", -30, "('all', -99, NULL, '{}')", 0 },
		{ "pending", 30, "('tenant:" TENANT "', -99, NULL, '{}')", 0 },
		{ "pending", 30, "('all', -99, 43199, '{}')", 0 },
		{ "pending", 30, "('tenant:" TENANT "', -99, 43199, '{}')",
		    0 },

		/* For the end of this one it can have a task. */
		{ "pending", 30, "('all', -99, 43100, '{}')", 1 },
		{ "pending", 30, "('tenant:" TENANT "', -99, 9, '{}')", 1 },
		{ "scheduled", -30, "('all', -99, NULL, '{}')", 1 },
		{ "pending", -30, "('tenant:other', -99, NULL, '{}')", 1 },
		{ "pending", -30, "('all', -99, NULL, '{" TENANT "}')", 1 },
		{ "pending", -30, "('all', -99, NULL, '{other}')", 0 },
		{ "pending", -30, "('all', -99, NULL, '{" TENANT "}'), "
		    "('tenant:" TENANT "', -99, NULL, '{}')", 0 },

		/* Once the pause is over, the window begins anew. */
		{ "pending", -30, "('all', -999, -1, '{}')", 1 },
		{ "pending", -1050, "('all', -999, -1, '{}')", 1 },
		{ "pending", -1070, "('all', -999, -1, '{}')", 0 },
		{ "pending", -900, "('tenant:" TENANT "', -999, -1, '{}')",
		    1 },
		{ "pending", -900, "('tenant:other', -999, -1, '{}')", 0 },
		{ "pending", -900, "('all', -999, -61, '{}')", 0 },
		{ "pending", -61, "('all', -999, -99, '{}')", 0 },
		{ "pending", -9000, "('all', -9999, -1, '{}')", 1 },

		/* So does that of another pause which held it before. */
		{ "pending", -900, "('all', -999, -199, '{}'), "
		    "('tenant:" TENANT "', -210, -1, '{}')", 1 },
		{ "pending", -900, "('tenant:" TENANT "', -999, -199, '{}'), "
		    "('all', -150, -1, '{}')", 1 },
		{ "pending", -900, "('all', -999, -199, '{}'), "
		    "('tenant:" TENANT "', -130, -1, '{}')", 0 },
		{ "pending", -900, "('tenant:other', -999, -199, '{}'), "
		    "('tenant:" TENANT "', -210, -1, '{}')", 0 },
		{ "pending", -900, "('tenant:other', -999, -199, '{}'), "
		    "('all', -210, -1, '{}')", 0 },
	};
	size_t i;

	(void)state;
	run("INSERT INTO followup_settings (name, value) "
	    "VALUES ('call_within', '1h')");
	for (i = 0; i < NITEMS(all); i++) {
		clear();
		insert(ID, "scheduled");
		run("UPDATE lead_bookings SET %s", strcmp(all[i].status,
		    "nameless") == 0 ? "task_name = NULL" :
		    strcmp(all[i].status, "pending") == 0 ?
		    "task_status = 'pending'" : "task_status = 'scheduled'");
		run("DELETE FROM followup_failures; "
		    "UPDATE lead_bookings SET scheduled_at = now() "
		    "+ %ld * interval '1 min'; DELETE FROM followup_pauses; "
		    "DELETE FROM followup_past_pauses", all[i].due_in);
		run("UPDATE lead_bookings SET "
		    "task_scheduled_at = scheduled_at");
		if (all[i].pauses != NULL)
			run("INSERT INTO followup_pauses SELECT p.scope, "
			    "'x', 'me', now() + p.since * interval '1 min', "
			    "now() + p.until::int * interval '1 min', "
			    "p.exceptions::text[] FROM (VALUES %s) "
			    "AS p (scope, since, until, exceptions)",
			    all[i].pauses);
		if (is_swept() != all[i].found)
			fail_msg("row %zu: found is %d", i, !all[i].found);
	}

	/* A pause that was replaced, or lifted for a tenant, has ended too. */
	clear();
	insert(ID, "pending");
	run("DELETE FROM followup_failures; DELETE FROM followup_pauses; "
	    "UPDATE lead_bookings SET scheduled_at = now() - interval '9 h'; "
	    "SELECT followup_pause('all', 'x')");
	run("UPDATE followup_pauses SET paused_at = now() - interval '10 h'");
	assert_int_equal(is_swept(), 0);
	run("SELECT followup_resume('tenant:" TENANT "')");
	assert_int_equal(is_swept(), 1);
	run("DELETE FROM followup_settings WHERE name = 'call_within'");
}

/*
 * What waits is found by when it is looked at again, which is sooner once
 * somebody has changed a pause or a setting.  Times are in minutes.
 */
static void
waits_are_swept(void **state)
{
	static const struct {
		const char *note;	/* until, looked at, look at */
		const char *change;
		int found;
	} all[] = {
		{ "60, -1, 9", NULL, 0 },
		{ "NULL, -1, 9", NULL, 0 },
		{ "60, -1, -0.1", NULL, 1 },
		{ "60, -1, 121", NULL, 1 },
		{ "NULL, -1, -0.1", NULL, 1 },
		{ "60, -1, 9", "SELECT followup_resume('all')", 1 },
		{ "NULL, -1, 9", "SELECT followup_resume('all')", 1 },
		{ "60, -1, 9", "SELECT followup_pause('all', 'x', now() "
		    "+ interval '5 min')", 1 },
		{ "60, -1, 9", "SELECT followup_resume('tenant:" TENANT "')",
		    1 },
		{ "60, -1, 9", "DELETE FROM followup_pauses", 1 },
		{ "60, -1, 9", "INSERT INTO followup_settings VALUES "
		    "('call_within', '1h') ON CONFLICT (name) DO UPDATE "
		    "SET value = followup_settings.value || ' '", 1 },
		{ "60, -1, 9", "DELETE FROM followup_settings "
		    "WHERE name = 'calling_hours'", 1 },

		/* Its task fires by itself; looked at since; held for good. */
		{ "0.5, -1, 9", "SELECT followup_resume('all')", 0 },
		{ "60, 0.2, 9", "SELECT followup_resume('all')", 0 },
		{ "60, -1, -0.1", "SELECT followup_pause('all', 'x')", 0 },
		{ "60, -1, -0.1", "SELECT followup_pause('tenant:" TENANT "', "
		    "'x')", 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++) {
		clear();
		run("DELETE FROM followup_pauses; "
		    "DELETE FROM followup_past_pauses; "
		    "INSERT INTO followup_settings VALUES ('calling_hours', "
		    "'mon-sun 00:00-24:00') ON CONFLICT DO NOTHING; "
		    "DELETE FROM followup_past_hours; UPDATE "
		    "followup_settings SET changed_at = now() - "
		    "interval '1 h'; SELECT followup_pause('all', 'x', now() "
		    "+ interval '1 h'); UPDATE followup_pauses SET "
		    "paused_at = now() - interval '3 h', "
		    "changed_at = now() - interval '3 h'");
		run("INSERT INTO lead_bookings (id, scheduled_at, "
		    "tenant_id, task_name, task_status, task_scheduled_at) "
		    "SELECT '" ID "', now() - interval '2 h', '" TENANT "', "
		    "'x', CASE WHEN n.until IS NULL THEN 'pending' "
		    "ELSE 'scheduled' END, "
		    "now() + n.until::float8 * interval '1 min' "
		    "FROM (VALUES (%s)) AS n (until, looked, look)",
		    all[i].note);
		run("INSERT INTO followup_waits SELECT '" ID "', "
		    "scheduled_at, now() + n.until::float8 * interval '1 min', "
		    "now() + n.looked * interval '1 min', "
		    "now() + n.look * interval '1 min' "
		    "FROM lead_bookings, (VALUES (%s)) "
		    "AS n (until, looked, look)", all[i].note);
		if (all[i].change != NULL)
			run("%s", all[i].change);
		if (is_swept() != all[i].found)
			fail_msg("row %zu: found is %d", i, !all[i].found);
	}

	/* A change by a clock that was ahead counts once its time has come. */
	run("DELETE FROM followup_pauses; DELETE FROM followup_past_pauses; "
	    "UPDATE followup_waits SET until = now() + interval '3 h', "
	    "look_at = now() + interval '9 min', looked_at = now() "
	    "- interval '9 min'; SELECT followup_pause('all', 'x', now() "
	    "+ interval '3 h')");
	assert_int_equal(is_swept(), 1);
	run("UPDATE followup_pauses SET changed_at = now() "
	    "+ interval '1 min'; DELETE FROM followup_past_pauses");
	assert_int_equal(is_swept(), 0);

	/*
	 * A pending one is found as ever if the note is of a task or of another
	 * time, and otherwise not before it is looked at; nor if it is retried.
	 */
	run("DELETE FROM followup_pauses; DELETE FROM followup_past_pauses; "
	    "UPDATE lead_bookings SET task_status = 'pending', "
	    "scheduled_at = now(); UPDATE followup_waits SET due_at = now(), "
	    "until = NULL, looked_at = now() + interval '9 s', "
	    "look_at = now() + interval '9 min'");
	run("UPDATE followup_waits w SET due_at = scheduled_at "
	    "FROM lead_bookings");
	assert_int_equal(is_swept(), 0);
	run("INSERT INTO followup_failures (booking_id, stage, attempts, "
	    "error, next_attempt_at) VALUES ('" ID "', 'schedule', 0, 'x', "
	    "now())");
	assert_int_equal(is_swept(), 0);
	run("UPDATE followup_waits SET until = now() + interval '9 min'");
	assert_int_equal(is_swept(), 1);
	run("UPDATE followup_waits SET until = NULL; DELETE FROM "
	    "followup_failures; UPDATE lead_bookings "
	    "SET scheduled_at = scheduled_at + interval '1 s'");
	assert_int_equal(is_swept(), 1);

	/* What is left of one that is gone is found too, to be forgotten. */
	run("UPDATE followup_waits SET look_at = now()");
	run("DELETE FROM lead_bookings");
	assert_int_equal(is_swept(), 1);
	run("DELETE FROM followup_settings WHERE name = 'call_within'");
}

/* What was overdue at the first install is not found, unless it was moved. */
static void
backlog_is_left_alone(void **state)
{
	static const char *const states[] = { "pending", "scheduled" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(states); i++) {
		clear();
		insert(ID, states[i]);
		run("DELETE FROM followup_failures; "
		    "DELETE FROM followup_backlog; UPDATE lead_bookings "
		    "SET scheduled_at = now() - interval '30 min'; "
		    "INSERT INTO followup_backlog SELECT id, scheduled_at "
		    "FROM lead_bookings");
		ASSERT_ROW(!is_swept(), states[i]);
		run("UPDATE lead_bookings SET scheduled_at = scheduled_at "
		    "+ interval '1 s'");
		ASSERT_ROW(is_swept(), states[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(scheduled_for_later),
		TEST(held),
		TEST(noted),
		TEST(gate_is_asked),
		TEST(gate_is_not_open),
		TEST(gate_keeps_hours),
		TEST(swept),
		TEST(waits_are_swept),
		TEST(backlog_is_left_alone),
	};

	return (cmocka_run_group_tests(tests, install, uninstall));
}
