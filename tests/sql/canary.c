#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <libpq-fe.h>

#include "bookings.h"
#include "canary.h"
#include "config.h"

#define SCHEMA	"test_canary"

#include "lib/server.h"

/*
 * The canary against the server of tests/sql/run, beside a table whose
 * scheduled_at is a timestamp, of which the trigger's function has to work
 * out the due time: a canary's row is not one of those.
 */

static struct config conf = { .schema = SCHEMA, .table = "lead_bookings",
    .postgres_db = DATABASE };
static struct db *db;
static struct bookings *b;
static struct canary_state canary;
static PGconn *listener, *listener2;	/* sessions of daemons */
static char *send_sql, *heard_sql;

#define A	"00000000-0000-4000-8000-00000000000a"
#define B	"00000000-0000-4000-8000-00000000000b"

/* Run ${sql} on ${conn}; return its first value, as a number. */
static long
ask_on(PGconn *conn, const char *sql, const char *p1, const char *p2)
{
	const char *params[] = { p1, p2 };
	PGresult *result = PQexecParams(conn, sql, p2 != NULL ? 2 :
	    p1 != NULL, NULL, params, NULL, NULL, 0);
	long n = 0;

	if (PQresultStatus(result) != PGRES_COMMAND_OK &&
	    PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	if (PQntuples(result) > 0)
		n = strtol(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return (n);
}

#define ask(sql)	ask_on(app, sql, NULL, NULL)

static void
every(const char *value)
{

	(void)ask_on(app, "INSERT INTO followup_settings (name, value) "
	    "VALUES ('canary_every', $1) "
	    "ON CONFLICT (name) DO UPDATE SET value = $1", value, NULL);
}

static long
send_as(PGconn *conn, const char *id)
{

	return (ask_on(conn, send_sql, id, NULL));
}

/* Everything that has happened so far happened ${ago} earlier. */
static void
pass(const char *ago)
{

	(void)ask_on(app, "WITH s AS (UPDATE followup_settings "
	    "SET changed_at = changed_at - $1::interval) "
	    "UPDATE followup_canary SET slot = slot - $1::interval, "
	    "created_at = created_at - $1::interval, "
	    "notified_at = notified_at - $1::interval, "
	    "received_at = received_at - $1::interval, "
	    "task_created_at = task_created_at - $1::interval, "
	    "called_back_at = called_back_at - $1::interval", ago, NULL);
}

static void
looks(int is_stale, const char *part)
{

	assert_int_equal(canary_look(b, &canary), DB_OK);
	if (canary.is_stale != is_stale ||
	    strstr(canary.sentence, part) == NULL)
		fail_msg("%d: %s", canary.is_stale, canary.sentence);
}

/* A notification on ${conn}, to be freed; NULL if there is none. */
static PGnotify *
hear(PGconn *conn, int ms)
{
	struct pollfd fd = { .fd = PQsocket(conn), .events = POLLIN };
	PGnotify *notify;

	while ((notify = PQnotifies(conn)) == NULL) {
		if (poll(&fd, 1, ms) <= 0)
			return (NULL);
		assert_int_equal(PQconsumeInput(conn), 1);
	}
	return (notify);
}

static int
install(void **state)
{

	(void)state;
	be_quiet();
	install_into("-v due=timestamp", "");
	app = connect_app();
	run("LISTEN booking_followup_created");
	listener = connect_with(DATABASE, db_session_sql());
	listener2 = connect_with(DATABASE, db_session_sql());
	db = db_new(&conf, "test");
	b = bookings_new(&conf, db);
	send_sql = canary_send_sql(&conf);
	heard_sql = canary_heard_sql(&conf);
	return (bookings_ready(b) == DB_OK && send_sql != NULL &&
	    heard_sql != NULL ? 0 : -1);
}

static int
uninstall(void **state)
{

	(void)state;
	bookings_free(b);
	db_free(db);
	remove_schema();
	PQfinish(listener);
	PQfinish(listener2);
	free(send_sql);
	free(heard_sql);
	return (0);
}

static int
begin(void **state)
{

	(void)state;
	run("DELETE FROM followup_canary");
	run("DELETE FROM followup_settings WHERE name = 'canary_every'");
	return (0);
}

/* Its trigger is the bookings' own, and its NOTIFY what they send. */
static void
is_announced_like_a_booking(void **state)
{
	PGnotify *notify;
	json_t *payload;

	(void)state;
	assert_int_equal(send_as(listener, A), 0);
	looks(0, "the canary is off");
	assert_int_equal(canary.is_on, 0);
	every("5min");
	looks(0, "every 5 min, and none has come back yet");
	assert_int_equal(send_as(listener, A), 1);
	assert_non_null(notify = hear(app, WAIT_MS));
	assert_non_null(payload = json_loads(notify->extra, 0, NULL));
	assert_string_equal(json_string_value(json_object_get(payload,
	    "booking_id")), A);
	assert_string_equal(json_string_value(json_object_get(payload,
	    "schema")), SCHEMA);
	json_decref(payload);
	PQfreemem(notify);

	/* The session is a daemon's again. */
	assert_int_equal(ask_on(listener, "SELECT (current_setting("
	    "'followup.daemon') = 'on')::int", NULL, NULL), 1);
	assert_int_equal(ask("SELECT count(*) FROM lead_bookings"), 0);
	every("");
	run("DELETE FROM followup_canary");
	assert_int_equal(send_as(listener, A), 0);
}

/* One for each slot, whoever asks, unless it was not heard. */
static void
is_sent_once(void **state)
{
	static const char *const next[] = {
		"00000000-0000-4000-8000-000000000001",
		"00000000-0000-4000-8000-000000000002",
		"00000000-0000-4000-8000-000000000003",
		"00000000-0000-4000-8000-000000000004",
		"00000000-0000-4000-8000-000000000005",
		"00000000-0000-4000-8000-000000000006",
	}, *const second[] = { B };
	PGresult *result;
	PGnotify *notify;
	size_t i;

	(void)state;
	every("1d");
	run_on(listener, "BEGIN");
	assert_int_equal(send_as(listener, A), 1);

	/* The second one waits for the outcome of the first, and sends none. */
	assert_int_equal(PQsendQueryParams(listener2, send_sql, 1, NULL,
	    second, NULL, NULL, 0), 1);
	run_on(listener, "COMMIT");
	result = PQgetResult(listener2);
	assert_string_equal(PQgetvalue(result, 0, 0), "0");
	PQclear(result);
	assert_null(PQgetResult(listener2));

	for (i = 0; i < NITEMS(next); i++) {
		assert_int_equal(send_as(listener2, B), 0);
		run("UPDATE followup_canary SET created_at = "
		    "created_at - interval '11 s'");
		assert_int_equal(send_as(listener, next[i]), i < 5);
	}
	while ((notify = hear(app, 0)) != NULL)
		PQfreemem(notify);

	/* One that was heard has no successor; old ones go with the next. */
	run("DELETE FROM followup_canary");
	assert_int_equal(send_as(listener, A), 1);
	assert_int_equal(ask_on(listener, heard_sql, A, "0.5"), 1);
	assert_int_equal(ask("SELECT (notified_at - created_at "
	    "BETWEEN interval '0' AND interval '5 s')::int "
	    "FROM followup_canary"), 1);
	run("UPDATE followup_canary SET created_at = "
	    "created_at - interval '1 min'");
	assert_int_equal(send_as(listener, B), 0);
	pass("1 day 1 hour");
	assert_int_equal(send_as(listener, B), 1);
	pass("1 day 1 hour");
	assert_int_equal(send_as(listener, next[0]), 1);
	assert_int_equal(ask("SELECT count(*) FROM followup_canary"), 1);
}

static void
goes_all_the_way(void **state)
{
	struct canary read;
	PGresult *rows;
	json_t *body;
	int found;

	(void)state;
	assert_int_equal(canary_received(b, A, &read, &rows), DB_OK);
	assert_int_equal(read.found, 0);
	PQclear(rows);
	assert_int_equal(canary_called_back(b, A, &found), DB_OK);
	assert_int_equal(found, 0);

	every("60s");
	assert_int_equal(send_as(listener, A), 1);
	assert_int_equal(canary_received(b, A, &read, &rows), DB_OK);
	assert_int_equal(read.found, 1);
	assert_non_null(body = json_loads(read.task_body, 0, NULL));
	assert_string_equal(json_string_value(json_object_get(body,
	    "bookingId")), A);
	json_decref(body);
	assert_int_equal(ask_on(app, "SELECT (scheduled_at = to_timestamp(0) "
	    "+ $1::bigint * interval '1 us')::int FROM followup_canary",
	    PQgetvalue(rows, 0, 0), NULL), 1);
	PQclear(rows);
	assert_int_equal(canary_failed(b, A, "no role"), DB_OK);
	assert_int_equal(canary_task_created(b, A, "the task"), DB_OK);
	assert_int_equal(canary_called_back(b, A, &found), DB_OK);
	assert_int_equal(found, 1);
	looks(0, "came back after 0.");
	assert_true(canary.is_on && canary.succeeded_at > 1.7e9);
	assert_true(canary.notified >= 0 && canary.created >= canary.notified &&
	    canary.called_back >= canary.created && canary.called_back < 60);
	assert_int_equal(ask("SELECT count(error) FROM followup_canary"), 0);

	/* Who died before the answer does it again, which changes nothing. */
	pass("9 s");
	assert_int_equal(canary_received(b, A, &read, &rows), DB_OK);
	assert_int_equal(read.found, 1);
	PQclear(rows);
	assert_int_equal(canary_task_created(b, A, "the task"), DB_OK);
	assert_int_equal(canary_called_back(b, A, &found), DB_OK);
	assert_int_equal(found, 1);
	assert_int_equal(ask("SELECT (greatest(notified_at, received_at, "
	    "task_created_at, called_back_at) < now() - interval '8 s')::int "
	    "FROM followup_canary"), 1);

	/* Two misses are none; off and on again it begins anew. */
	pass("2 min 41 s");
	looks(0, "came back after");
	pass("11 s");
	looks(1, "no canary has been sent since");
	every("2min");
	looks(0, "came back after");
}

/* What it says of one that is stuck there. */
static void
stuck_is_named(void **state)
{
	struct canary read;
	PGresult *rows;

	(void)state;
	every("1min");
	pass("2 min 59 s");
	looks(0, "none has come back yet");
	pass("2 s");
	looks(1, "no canary has been sent since");

	assert_int_equal(send_as(listener, A), 1);
	pass("40 s");
	looks(1, "was not announced, though it was inserted");
	run("ALTER TABLE followup_canary DISABLE TRIGGER USER");
	looks(1, "was not announced, because the trigger is disabled: run "
	    "followup-trigger enable");
	run("ALTER TABLE followup_canary ENABLE TRIGGER USER");
	assert_int_equal(ask_on(listener, heard_sql, A, "40"), 1);
	looks(1, "was announced, but did not reach followup-schedule");
	assert_int_equal(canary_received(b, A, &read, &rows), DB_OK);
	PQclear(rows);
	looks(1, "was announced, but no task was created: see the log");
	assert_int_equal(canary_failed(b, A, "no role"), DB_OK);
	looks(1, "was announced, but no task was created: no role");
	assert_int_equal(canary_task_created(b, A, "the task"), DB_OK);
	looks(1, "had its task created, but was not called back: see that "
	    "the queue is not paused");

	/* The next one has not had its time yet; without any, none is sent. */
	assert_int_equal(send_as(listener, B), 1);
	looks(1, "had its task created");
	pass("2 min");
	looks(1, "no canary has been sent since");
}

/* A disabled trigger announces nothing, and a session with none either. */
static void
no_trigger_no_notify(void **state)
{
	PGnotify *notify;

	(void)state;
	while ((notify = hear(app, 0)) != NULL)
		PQfreemem(notify);
	every("1min");
	run("ALTER TABLE followup_canary DISABLE TRIGGER USER");
	assert_int_equal(send_as(listener, A), 1);
	run("ALTER TABLE followup_canary ENABLE TRIGGER USER");
	run("NOTIFY booking_followup_created, 'marker'");
	assert_non_null(notify = hear(app, WAIT_MS));
	assert_string_equal(notify->extra, "marker");
	PQfreemem(notify);
}

#define TEST(name)	cmocka_unit_test_setup(name, begin)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_announced_like_a_booking),
		TEST(is_sent_once),
		TEST(goes_all_the_way),
		TEST(stuck_is_named),
		TEST(no_trigger_no_notify),
	};

	return (cmocka_run_group_tests(tests, install, uninstall));
}
