#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <libpq-fe.h>

#include "bookings.h"
#include "config.h"
#include "event_outbox.h"
#include "json_text.h"

#define SCHEMA	"test_event_outbox"

#include "lib/server.h"

/*
 * The outbox of events, against the server of tests/sql/run: what two hosts
 * see at once, or in turn, is told once, and delivered by one of them.
 */

static struct config conf = { .schema = SCHEMA, .table = "lead_bookings",
    .postgres_db = DATABASE };
static struct db *db[2];
static struct bookings *hosts[2];

/* All events so far, the oldest first, as "kind/key state". */
static void
expect_events(const char *want)
{

	expect("SELECT coalesce(string_agg(kind || '/' || key || ' ' || state, "
	    "', ' ORDER BY happened_at, state DESC), '') FROM followup_events",
	    want);
}

static int
install(void **state)
{
	int i;

	(void)state;
	be_quiet();
	install_into("", "");
	app = connect_app();
	for (i = 0; i < 2; i++) {
		db[i] = db_new(&conf, "test");
		if ((hosts[i] = bookings_new(&conf, db[i])) == NULL)
			return (-1);
	}
	return (0);
}

static int
uninstall(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		bookings_free(hosts[i]);
		db_free(db[i]);
	}
	remove_schema();
	return (0);
}

static int
begin(void **state)
{

	(void)state;
	run("DELETE FROM followup_events");
	assert_int_equal(bookings_ready(hosts[0]), DB_OK);
	assert_int_equal(bookings_ready(hosts[1]), DB_OK);
	return (0);
}

/* Let ${ago} pass, for what is in the table. */
static void
later(const char *ago)
{

	run("UPDATE followup_events SET "
	    "happened_at = happened_at - interval '%s', "
	    "next_attempt_at = next_attempt_at - interval '%s', "
	    "seen = (SELECT jsonb_object_agg(key, value::float8 "
	    "- extract(epoch FROM interval '%s')) FROM jsonb_each(seen))",
	    ago, ago, ago);
}

/* Host ${i} sees that ${kind} of ${key} is on or not; return how many told. */
static size_t
sees(int i, const char *kind, const char *key, int on, const char *complete)
{
	static const char *const names[] = { "one", "two" };
	json_t *told, *seen = json_pack("[{s:s, s:s, s:b, s:s, s:s, s:s, "
	    "s:{s:i}}]", "kind", kind, "key", key, "on", on, "state", "began",
	    "over", "ended", "by", strcmp(kind, "breaker") == 0 ? names[i] :
	    "", "data", "host", i);
	size_t n;

	assert_int_equal(event_outbox_seen(hosts[i], seen, complete, &told),
	    DB_OK);
	n = json_array_size(told);
	json_decref(told);
	json_decref(seen);
	return (n);
}

/* What all see alike begins once and ends once, whoever says it first. */
static void
told_once(void **state)
{

	(void)state;
	assert_int_equal(sees(0, "listener", "", 0, "{}"), 0);
	assert_int_equal(sees(0, "listener", "", 1, "{}"), 1);
	assert_int_equal(sees(1, "listener", "", 1, "{}"), 0);
	assert_int_equal(sees(0, "listener", "", 1, "{}"), 0);
	later("2 min");
	assert_int_equal(sees(0, "listener", "", 1, "{}"), 0);
	assert_int_equal(sees(1, "listener", "", 0, "{}"), 1);
	assert_int_equal(sees(0, "listener", "", 0, "{}"), 0);
	expect_events("listener/ began, listener/ ended");
}

/* Two sessions that write at the same time. */
static void
at_the_same_time(void **state)
{
	static const char first[] =
	    "INSERT INTO followup_events (kind, key, state, data, seen) "
	    "VALUES ('listener', '', 'began', '{}', '{\"\": 1}')";
	PGconn *other = PQconnectdb("dbname=followup");

	(void)state;
	assert_int_equal(PQstatus(other), CONNECTION_OK);
	PQclear(PQexec(other, "SET search_path = " SCHEMA));
	PQclear(PQexec(other, "BEGIN"));
	PQclear(PQexec(other, first));
	assert_int_equal(PQsendQuery(other, "SELECT pg_sleep(0.3); COMMIT"),
	    1);
	assert_int_equal(sees(0, "listener", "", 1, "{}"), 0);
	while (PQconsumeInput(other) && PQisBusy(other))
		continue;
	PQfinish(other);
	expect_events("listener/ began");
}

/* What is so on one host lasts while it is so on any that lives. */
static void
of_hosts(void **state)
{

	(void)state;
	assert_int_equal(sees(0, "breaker", "x", 1, "{}"), 1);
	assert_int_equal(sees(1, "breaker", "x", 0, "{}"), 0);
	assert_int_equal(sees(1, "breaker", "x", 1, "{}"), 0);
	assert_int_equal(sees(0, "breaker", "x", 0, "{}"), 0);
	later("50 s");
	assert_int_equal(sees(0, "breaker", "x", 0, "{}"), 0);

	/* Its word is renewed, and lasts for a minute. */
	assert_int_equal(sees(1, "breaker", "x", 1, "{}"), 0);
	later("50 s");
	assert_int_equal(sees(0, "breaker", "x", 0, "{}"), 0);
	later("11 s");
	assert_int_equal(sees(0, "breaker", "x", 0, "{}"), 1);
	expect_events("breaker/x began, breaker/x ended");
}

/* What begins and ends all the time is told once a minute. */
static void
flapping(void **state)
{

	(void)state;
	assert_int_equal(sees(0, "breaker", "x", 1, "{}"), 1);
	assert_int_equal(sees(0, "breaker", "x", 0, "{}"), 1);
	assert_int_equal(sees(0, "breaker", "x", 1, "{}"), 0);
	assert_int_equal(sees(0, "breaker", "y", 1, "{}"), 1);
	later("59 s");
	assert_int_equal(sees(0, "breaker", "x", 1, "{}"), 0);
	later("2 s");
	assert_int_equal(sees(0, "breaker", "x", 1, "{}"), 1);
}

/* A cause that is gone, of which nothing is told, may come again. */
static void
complete(void **state)
{

	(void)state;
	assert_int_equal(sees(0, "dead_letter", "a", 1, "{}"), 1);
	later("2 min");
	assert_int_equal(sees(1, "dead_letter", "b", 1, "{}"), 1);
	assert_int_equal(sees(0, "dead_letter", "a", 1, "{}"), 0);
	assert_int_equal(sees(1, "dead_letter", "b", 1, "{dead_letter}"), 0);
	assert_int_equal(sees(0, "dead_letter", "a", 1, "{}"), 1);
	expect_events("dead_letter/a began, dead_letter/b began, "
	    "dead_letter/a began");
}

/* Nothing begins while a hundred wait; it is told once there is room. */
static void
bounded(void **state)
{

	(void)state;
	run("INSERT INTO followup_events (kind, key, state, data) "
	    "SELECT 'dead_letter', i::text, 'first', '{}' "
	    "FROM generate_series(1, 100) i");
	assert_int_equal(sees(0, "listener", "", 1, "{}"), 0);
	run("UPDATE followup_events SET next_attempt_at = NULL "
	    "WHERE key = '7'");
	assert_int_equal(sees(0, "listener", "", 1, "{}"), 1);
}

/* Is there an event for host ${i}?  Its id goes to ${id}. */
static int
takes(int i, char id[40], struct event *event)
{
	PGresult *result;

	assert_int_equal(event_outbox_next(hosts[i], event, &result), DB_OK);
	if (result == NULL)
		return (0);
	(void)snprintf(id, 40, "%s", event->id);
	assert_int_equal(strncmp(event->webhook_id, "evt_", 4), 0);
	assert_int_equal(strlen(event->webhook_id), 36);
	assert_string_equal(event->data, "{\"host\": 0}");
	PQclear(result);
	return (1);
}

/* One host at a time has it; whoever died with it leaves it to the others. */
static void
delivered(void **state)
{
	struct event event;
	char id[40], again[40];

	(void)state;
	assert_int_equal(sees(0, "listener", "", 1, "{}"), 1);
	assert_true(takes(0, id, &event));
	assert_int_equal(event.attempt, 1);
	assert_false(takes(1, again, &event));
	later("14 s");
	assert_false(takes(1, again, &event));
	later("9 s");
	assert_true(takes(1, again, &event));
	assert_string_equal(id, again);
	assert_int_equal(event.attempt, 2);

	/* To be left alone for longer than it would have waited. */
	assert_int_equal(event_outbox_told(hosts[1], id, EVENT_RETRY,
	    "it answered 503", 200), DB_OK);
	later("190 s");
	assert_false(takes(0, again, &event));
	later("20 s");
	assert_true(takes(0, again, &event));
	assert_true(event.age >= 230);
	assert_int_equal(event_outbox_told(hosts[0], id, EVENT_DELIVERED,
	    NULL, 0), DB_OK);

	/* The other one, which gave up waiting for an answer, is late. */
	assert_int_equal(event_outbox_told(hosts[1], id, EVENT_RETRY,
	    "timed out", 0), DB_OK);
	later("2 days");
	assert_false(takes(0, again, &event));
}

/* An end is not delivered before its beginning; others do not wait for it. */
static void
in_order(void **state)
{
	struct event event;
	char began[40], id[40];

	(void)state;
	assert_int_equal(sees(0, "listener", "", 1, "{}"), 1);
	assert_true(takes(0, began, &event));
	later("1 s");
	assert_int_equal(sees(0, "listener", "", 0, "{}"), 1);
	assert_false(takes(0, id, &event));
	assert_int_equal(sees(0, "overdue", "", 1, "{}"), 1);
	assert_true(takes(0, id, &event));
	assert_int_equal(event_outbox_told(hosts[0], id, EVENT_GIVEN_UP, "x",
	    0), DB_OK);
	assert_int_equal(event_outbox_told(hosts[0], began, EVENT_DELIVERED,
	    NULL, 0), DB_OK);
	assert_true(takes(0, id, &event));
}

/* Old ones go, but not what lasts, nor what is still to be delivered. */
static void
forgotten(void **state)
{

	(void)state;
	run("INSERT INTO followup_events (kind, key, state, data, seen, "
	    "next_attempt_at, happened_at) VALUES "
	    "('old', '', 's', '{}', NULL, NULL, now() - interval '8 days'), "
	    "('lasts', '', 's', '{}', '{\"\": 1}', NULL, "
	    "now() - interval '8 days'), "
	    "('waits', '', 's', '{}', NULL, now(), "
	    "now() - interval '8 days' + interval '1 s'), "
	    "('new', '', 's', '{}', NULL, NULL, now() - interval '6 days')");
	assert_int_equal(event_outbox_forget(hosts[0]), DB_OK);
	expect_events("lasts/ s, waits/ s, new/ s");
	run("INSERT INTO followup_events (kind, key, state, data) "
	    "SELECT 'many', i::text, 's', '{}' FROM generate_series(1, 1000) "
	    "i");
	assert_int_equal(event_outbox_forget(hosts[0]), DB_OK);
	run("DELETE FROM followup_events WHERE kind = 'many'");
	expect_events("lasts/ s, waits/ s");
}

#define TEST(name)	cmocka_unit_test_setup(name, begin)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(told_once),
		TEST(at_the_same_time),
		TEST(of_hosts),
		TEST(flapping),
		TEST(complete),
		TEST(bounded),
		TEST(delivered),
		TEST(in_order),
		TEST(forgotten),
	};

	return (cmocka_run_group_tests(tests, install, uninstall));
}
