/* With it poll, which is defined below, would be an inline function. */
#undef _FORTIFY_SOURCE

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "db.h"
#include "monotime.h"

#include "captured_log.h"
#include "scripted_pq.h"
#include "unit.h"

#define CONNECT_MS	5000
#define QUERY_MS	10000
#define PID		"4711"

static struct config conf;
static struct db *db;
static long now;

/* The clock: nobody waits in a time that is made up. */
long
monotime_ms(void)
{

	return (now);
}

static int interrupts;		/* how many more waits a signal ends */
static int poll_fails;

int
poll(struct pollfd *pfds, nfds_t n, int timeout)
{
	char c;

	assert_int_equal(n, 1);
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return (-1);
	}
	if (poll_fails) {
		errno = ENOMEM;
		return (-1);
	}
	if ((pfds->events & POLLOUT) || recv(pfds->fd, &c, 1,
	    MSG_PEEK | MSG_DONTWAIT) == 1 || pq.lost_after == 0) {
		pfds->revents = pfds->events;
		return (1);
	}
	now += timeout;
	return (0);
}

static char sql_a[] = "SELECT a", sql_b[] = "SELECT b";
static const struct db_statement a = { "s0", sql_a }, b = { "s1", sql_b };
static const char *const params[] = { "one", NULL };

static int
begin(void **state)
{

	(void)state;
	pq_begin();
	pq.planned = 1;
	now = 1000000;
	interrupts = poll_fails = 0;
	conf = (struct config){ .postgres_db = "d", .postgres_host = "h",
	    .postgres_port = "5433", .postgres_user = "u",
	    .postgres_password = "p" };
	return ((db = db_new(&conf, "the program")) != NULL ? 0 : -1);
}

static int
end(void **state)
{

	(void)state;
	db_free(db);
	pq_end();
	return (0);
}

/* A new session, which is as it should be. */
static void
connect_db(void)
{

	pq_plan(PQ_ROW(PID));
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(pq.pipeline, 1);
	pq_expect("SET followup.daemon = 'on'");
}

/* Run ${a} and ${b}, which come to these outcomes. */
static struct db_call calls[2];

static enum db_outcome
run_both(enum db_outcome first, enum db_outcome second)
{
	enum db_outcome outcome;
	int i;

	calls[0] = (struct db_call){ .statement = &a, .params = params,
	    .nparams = 2 };
	calls[1] = (struct db_call){ .statement = &b };
	outcome = db_run(db, calls, 2);
	assert_int_equal(calls[0].outcome, first);
	assert_int_equal(calls[1].outcome, second);
	for (i = 0; i < 2; i++) {
		assert_int_equal(calls[i].result != NULL,
		    calls[i].outcome == DB_OK);
		PQclear(calls[i].result);
	}
	return (outcome);
}

/*
 * Connecting.
 */

static void
session(void **state)
{

	(void)state;
	connect_db();
	assert_non_null(strstr(pq.keywords, "dbname=d user=u password=p "
	    "host=h hostaddr=192.0.2.1 port=5433 "));
	assert_non_null(strstr(pq.keywords, "application_name=the program "));
	assert_non_null(strstr(pq.keywords,
	    "target_session_attrs=read-write "));

	/* An idle connection is good; no other one is made. */
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(pq.connections, 1);
	assert_string_equal(db_error(db), "");
}

static void
session_is_set_up(void **state)
{
	static const char *const settings[] = { "followup.daemon = 'on'",
	    "client_min_messages = error",
	    "TimeZone = 'UTC'", "DateStyle = 'ISO'",
	    "statement_timeout = '9s'", "lock_timeout = '3s'",
	    "idle_in_transaction_session_timeout = '10s'",
	    "enable_seqscan = off", "plan_cache_mode = force_generic_plan",
	    "standard_conforming_strings = on", "row_security = off",
	    "('synchronous_commit', 'on', '{off,local}')",
	    "default_transaction_isolation = 'read committed'" };
	size_t i;

	(void)state;
	pq_plan(PQ_ROW(PID));
	assert_int_equal(db_ready(db), DB_OK);
	for (i = 0; i < NITEMS(settings); i++)
		ASSERT_ROW(strstr(pq.sent, settings[i]) != NULL,
		    settings[i]);
}

/* A connection string is complete. */
static void
connection_string(void **state)
{

	(void)state;
	conf.database_url = "postgresql://h2/d2";
	db_free(db);
	assert_non_null(db = db_new(&conf, "the program"));
	connect_db();
	assert_non_null(strstr(pq.keywords, "dbname=postgresql://h2/d2 "));
	assert_null(strstr(pq.keywords, "host=h "));
	assert_null(strstr(pq.keywords, "password=p "));
}

static void
no_connection(void **state)
{

	(void)state;
	pq.start_fails = 1;
	assert_int_equal(db_ready(db), DB_LOST);
	assert_string_equal(db_error(db), "out of memory");
	pq.start_fails = 2;
	assert_int_equal(db_ready(db), DB_LOST);
	assert_string_equal(db_error(db), "no such host");
	assert_int_equal(pq.open, 0);
	pq.start_fails = 0;
	pq.polling = PGRES_POLLING_FAILED;
	assert_int_equal(db_ready(db), DB_LOST);
	assert_int_equal(pq.open, 0);

	/* It is tried anew each time. */
	pq.polling = PGRES_POLLING_OK;
	connect_db();
}

static void
connecting_takes_too_long(void **state)
{
	long start = now;

	(void)state;
	pq.polling = PGRES_POLLING_READING;
	assert_int_equal(db_ready(db), DB_LOST);
	assert_string_equal(db_error(db), "the database at \"h\" (192.0.2.1), "
	    "port 5433, does not answer");
	assert_int_equal(now - start, CONNECT_MS);
	assert_int_equal(pq.open, 0);

	/* Of many servers one request does not wait for all. */
	conf.postgres_host = "a,b,c,d";
	db_free(db);
	assert_non_null(db = db_new(&conf, "the program"));
	start = now;
	assert_int_equal(db_ready(db), DB_LOST);
	assert_int_equal(now - start, 9000);
	assert_int_equal(pq.open, 0);

	/* The next one goes on from there. */
	pq.polling = PGRES_POLLING_OK;
	connect_db();
	assert_non_null(strstr(pq.keywords, "host=d "));
}

/* A server that hangs is not the first to be asked again. */
static void
hanging_server(void **state)
{

	(void)state;
	conf.postgres_host = "a,b";
	db_free(db);
	assert_non_null(db = db_new(&conf, "the program"));
	connect_db();
	assert_non_null(strstr(pq.keywords, "host=a "));
	pq.silent_after = 0;
	assert_int_equal(run_both(DB_LOST, DB_LOST), DB_LOST);
	pq.silent_after = -1;
	connect_db();
	assert_non_null(strstr(pq.keywords, "host=b "));

	/* Nor is one that lets us in and then hangs. */
	db_close(db);
	pq_plan(PQ_ROW(PID));
	pq.silent_after = 0;
	assert_int_equal(db_ready(db), DB_LOST);
	pq.silent_after = -1;
	connect_db();
	assert_non_null(strstr(pq.keywords, "host=a "));
}

/* The server tells that it takes no more writes: another one is looked for. */
static void
read_only(void **state)
{

	(void)state;
	connect_db();
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(pq.connections, 1);
	pq.read_only = "off";
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(pq.connections, 1);
	pq.read_only = "on";
	connect_db();
	assert_int_equal(pq.connections, 2);
}

static void
waiting_fails(void **state)
{

	(void)state;
	poll_fails = 1;
	assert_int_equal(db_ready(db), DB_LOST);
	assert_int_equal(pq.open, 0);

	/* A signal is no failure. */
	poll_fails = 0;
	interrupts = 1;
	connect_db();
}

static void
session_cannot_be_set_up(void **state)
{
	int step;

	(void)state;
	pq.nonblocking_fails = 1;
	assert_int_equal(db_ready(db), DB_LOST);
	pq.nonblocking_fails = 0;
	pq.send_fails = 1;
	assert_int_equal(db_ready(db), DB_LOST);

	pq_plan(pq_refusal("22023", "no such setting"));
	assert_int_equal(db_ready(db), DB_LOST);
	assert_string_equal(db_error(db), "the session could not be set up");
	for (step = 0; step < 2; step++) {
		pq_plan(PQ_ROW(PID));
		pq.lost_after = step;
		assert_int_equal(db_ready(db), DB_LOST);
		assert_int_equal(pq.open, 0);
		pq.lost_after = -1;
	}

	pq_plan(PQ_ROW(PID));
	pq.silent_after = 0;
	assert_int_equal(db_ready(db), DB_LOST);
	assert_string_equal(db_error(db), "the database does not answer");
	pq.silent_after = -1;

	pq_plan(PQ_ROW(PID));
	pq.pipeline_fails = 1;
	assert_int_equal(db_ready(db), DB_LOST);
	assert_int_equal(pq.open, 0);
}

static void
pooler_is_refused(void **state)
{

	(void)state;
	pq_plan(PQ_ROW("17"));
	assert_int_equal(db_ready(db), DB_LOST);
	assert_non_null(strstr(db_error(db),
	    "goes through a connection pooler"));
	assert_int_equal(pq.open, 0);
}

/*
 * Statements.
 */

static void
one_round_trip(void **state)
{

	(void)state;
	connect_db();
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	assert_string_equal(pq.sent, "PREPARE SELECT a; EXECUTE s0; "
	    "PREPARE SELECT b; EXECUTE s1");
	assert_int_equal(pq.syncs, 2);
	pq.sent[0] = '\0';

	/* Prepared once a session. */
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	assert_string_equal(pq.sent, "EXECUTE s0; EXECUTE s1");
	assert_int_equal(pq.syncs, 4);
}

static void
values(void **state)
{

	(void)state;
	connect_db();
	pq_plan(pq_command());
	pq_plan(PQ_ROW("-9007199254740993", NULL));
	calls[0] = (struct db_call){ .statement = &a, .params = params,
	    .nparams = 2 };
	assert_int_equal(db_run(db, calls, 1), DB_OK);
	assert_int_equal(pq.nparams, 2);
	assert_string_equal(pq.params[0], "one");
	assert_null(pq.params[1]);
	assert_true(db_int(calls[0].result, 0, 0) ==
	    INT64_C(-9007199254740993));
	assert_true(db_int(calls[0].result, 0, 1) == 0);
	PQclear(calls[0].result);
}

/* What is refused keeps nothing else from being run. */
static void
one_is_refused(void **state)
{

	(void)state;
	connect_db();
	pq_plan(pq_command());
	pq_plan(pq_refusal("22003", "too big\nfor it"));
	assert_int_equal(run_both(DB_FAILED, DB_OK), DB_FAILED);
	assert_string_equal(db_error(db), "too big for it (SQLSTATE 22003)");
	assert_string_equal(db_state(db), "22003");
	assert_int_equal(pq.open, 1);

	/* It is prepared all the same, and must not be again. */
	pq.sent[0] = '\0';
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	assert_string_equal(pq.sent, "EXECUTE s0; EXECUTE s1");
}

static void
preparation_is_refused(void **state)
{

	(void)state;
	connect_db();
	pq_plan(pq_refusal("42P01", "no such table"));
	assert_int_equal(run_both(DB_BROKEN, DB_OK), DB_BROKEN);
	assert_string_equal(db_error(db), "no such table (SQLSTATE 42P01)");
	pq.sent[0] = '\0';
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	assert_string_equal(pq.sent, "PREPARE SELECT a; EXECUTE s0; "
	    "EXECUTE s1");
}

/* The next refusal of a run that is planned next but one. */
static void
plan_refusal(const char *code, const char *origin, const char *context)
{

	pq_plan(pq_command());
	pq_plan(pq_refusal(code, "no"));
	pq.refusals[pq.nrefusals - 1].origin = origin;
	pq.refusals[pq.nrefusals - 1].context = context;
}

static void
classes_of_refusals(void **state)
{
	static const char raise[] = "exec_stmt_raise", plpgsql[] =
	    "PL/pgSQL function f() line 3";
	static const struct {
		const char *state;
		const char *origin;
		const char *context;
		enum db_outcome outcome;
	} rows[] = {
		/* The session. */
		{ NULL, NULL, NULL, DB_LOST },
		{ "08006", NULL, NULL, DB_LOST },
		{ "25006", NULL, NULL, DB_LOST },
		{ "25P02", NULL, NULL, DB_LOST },
		{ "26000", NULL, NULL, DB_LOST },
		{ "28000", NULL, NULL, DB_LOST },
		{ "42P05", NULL, NULL, DB_LOST },
		{ "53200", NULL, NULL, DB_LOST },
		{ "53300", NULL, NULL, DB_LOST },
		{ "57P01", NULL, NULL, DB_LOST },
		{ "57P03", NULL, NULL, DB_LOST },
		{ "57P05", NULL, NULL, DB_LOST },
		{ "58030", NULL, NULL, DB_LOST },
		{ "0A000", "RevalidateCachedQuery", NULL, DB_LOST },

		/* It passes. */
		{ "55P03", NULL, NULL, DB_LOCKED },
		{ "57014", NULL, NULL, DB_LOCKED },
		{ "40001", NULL, NULL, DB_LOCKED },
		{ "40P01", NULL, plpgsql, DB_LOCKED },

		/* The row. */
		{ "0A000", "ExecInsert", NULL, DB_FAILED },
		{ "22003", NULL, NULL, DB_FAILED },
		{ "23505", NULL, NULL, DB_FAILED },
		{ "44000", NULL, NULL, DB_FAILED },
		{ "55000", NULL, NULL, DB_FAILED },
		{ "57000", NULL, NULL, DB_FAILED },
		{ "P0001", raise, plpgsql, DB_FAILED },
		{ "42501", raise, plpgsql, DB_FAILED },
		{ "25006", raise, plpgsql, DB_FAILED },
		{ "53300", raise, plpgsql, DB_FAILED },
		{ "40001", raise, plpgsql, DB_FAILED },
		{ "55P03", raise, plpgsql, DB_FAILED },
		{ "XX000", NULL, NULL, DB_FAILED },

		/* The installation, surely or perhaps. */
		{ "42501", "aclcheck_error", NULL, DB_BROKEN },
		{ "42P01", NULL, NULL, DB_BROKEN },
		{ "42703", NULL, NULL, DB_BROKEN },
		{ "42883", NULL, NULL, DB_BROKEN },
		{ "3F000", NULL, NULL, DB_BROKEN },
		{ "42501", "aclcheck_error", plpgsql, DB_MANY },
		{ "42P01", NULL, plpgsql, DB_MANY },
	};
	size_t i;
	char name[64];

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(name, sizeof(name), "%zu: %s", i,
		    rows[i].state != NULL ? rows[i].state : "none");
		connect_db();
		assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
		pq_plan(pq_refusal(rows[i].state, "no"));
		pq.refusals[pq.nrefusals - 1].origin = rows[i].origin;
		pq.refusals[pq.nrefusals - 1].context = rows[i].context;
		calls[0] = (struct db_call){ .statement = &a,
		    .params = params, .nparams = 2 };
		ASSERT_ROW(db_run(db, calls, 1) == rows[i].outcome, name);
		ASSERT_ROW(pq.open == (rows[i].outcome != DB_LOST), name);
		db_close(db);
		pq.nrefusals = 0;
	}
}

/* What is refused before it could be prepared is refused for every row. */
static void
refused_preparation_is_nobodys_row(void **state)
{

	(void)state;
	connect_db();
	pq_plan(pq_refusal("22P02", "a literal that is none"));
	assert_int_equal(run_both(DB_BROKEN, DB_OK), DB_BROKEN);
}

/* The error names what it can, and quotes no row. */
static void
error_names_the_constraint(void **state)
{

	(void)state;
	connect_db();
	plan_refusal("23514", NULL, "PL/pgSQL function f() line 3");
	pq.refusals[pq.nrefusals - 1].constraint = "states";
	pq.refusals[pq.nrefusals - 1].column = "task_status";
	assert_int_equal(run_both(DB_FAILED, DB_OK), DB_FAILED);
	assert_string_equal(db_error(db), "no (SQLSTATE 23514, "
	    "constraint states, column task_status)");
}

/* What the server says may quote the row; the names behind it do not. */
static void
error_hides_numbers(void **state)
{
	static char text[2000];

	(void)state;
	connect_db();
	pq_plan(pq_command());
	pq_plan(pq_refusal("22P02", "invalid input syntax for type bigint: "
	    "\"0170 1234567\""));
	pq.refusals[pq.nrefusals - 1].constraint = "c_0123456";
	assert_int_equal(run_both(DB_FAILED, DB_OK), DB_FAILED);
	assert_string_equal(db_error(db), "invalid input syntax for type "
	    "bigint: \"************\" (SQLSTATE 22P02, constraint c_0123456)");

	/* Nor is the beginning of one left where the text is cut. */
	(void)snprintf(text, sizeof(text), "%760s0170 1234567 %800s", "x ",
	    "y");
	pq_plan(pq_refusal("22023", text));
	assert_int_equal(run_both(DB_FAILED, DB_OK), DB_FAILED);
	assert_null(strstr(db_error(db), "0170"));
	assert_non_null(strstr(db_error(db), "x *******"));
}

/*
 * A session that the server finds outdated: the first round trip of a request
 * is run again in a new one, and a later one, when locks may be held, is not.
 */
static void
outdated_session(void **state)
{

	(void)state;
	connect_db();
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	assert_int_equal(db_ready(db), DB_OK);
	pq_plan(pq_refusal("0A000", "cached plan"));
	pq.refusals[pq.nrefusals - 1].origin = "RevalidateCachedQuery";
	pq_plan(PQ_ROW("1"));
	pq_plan(PQ_ROW(PID));
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	assert_int_equal(pq.connections, 2);

	/* Once. */
	assert_int_equal(db_ready(db), DB_OK);
	pq_plan(pq_refusal("25006", "read-only"));
	pq_plan(PQ_ROW("1"));
	pq_plan(PQ_ROW(PID));
	plan_refusal("25006", NULL, NULL);
	assert_int_equal(run_both(DB_LOST, DB_LOST), DB_LOST);
	assert_int_equal(pq.connections, 3);

	/* Later in the request. */
	connect_db();
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	pq_plan(pq_refusal("26000", "no such statement"));
	assert_int_equal(run_both(DB_LOST, DB_LOST), DB_LOST);
	assert_int_equal(pq.connections, 4);

	/* An end of another kind may have come after the work was done. */
	connect_db();
	assert_int_equal(db_ready(db), DB_OK);
	pq_plan(pq_refusal("57P01", "shutdown"));
	assert_int_equal(run_both(DB_LOST, DB_LOST), DB_LOST);
	assert_int_equal(pq.connections, 5);
}

/* A text goes out as the database's encoding takes it. */
static void
text_fits_the_encoding(void **state)
{
	static const char *const texts[] = { "caf\303\251 \342\202\254",
	    NULL };

	(void)state;
	connect_db();
	pq.encoding = "LATIN1";
	calls[0] = (struct db_call){ .statement = &a, .params = texts,
	    .nparams = 2 };
	assert_int_equal(db_run(db, calls, 1), DB_OK);
	assert_string_equal(pq.params[0], "caf\303\251 ?");
	assert_null(pq.params[1]);
	PQclear(calls[0].result);
	pq.encoding = "UTF8";
	assert_int_equal(db_run(db, calls, 1), DB_OK);
	assert_string_equal(pq.params[0], texts[0]);
	PQclear(calls[0].result);
}

/* Notices are one line for who debugs. */
static void
notices(void **state)
{

	(void)state;
	captured_log_begin(LOG_DEBUG);
	connect_db();
	assert_non_null(pq.notice);
	pq.notice(NULL, "WARNING:  one\nDETAIL:\ttwo\n");
	assert_int_equal(logged("the database notes: WARNING:  one DETAIL: "
	    "two"), 1);
	captured_log_end();
}

/* The first outcome that is not good counts. */
static void
both_are_refused(void **state)
{

	(void)state;
	connect_db();
	pq_plan(pq_command());
	pq_plan(pq_refusal("55P03", "locked"));
	pq_plan(pq_command());
	pq_plan(pq_refusal("22003", "too big"));
	assert_int_equal(run_both(DB_LOCKED, DB_FAILED), DB_LOCKED);
}

static void
no_session(void **state)
{

	(void)state;
	assert_int_equal(run_both(DB_LOST, DB_LOST), DB_LOST);
	assert_int_equal(pq.connections, 0);
}

/*
 * Losses: whatever had been answered, nothing counts, and the next session
 * prepares anew.
 */

static void
expect_loss(void)
{

	assert_int_equal(run_both(DB_LOST, DB_LOST), DB_LOST);
	assert_int_equal(pq.open, 0);
	pq.lost_after = pq.silent_after = -1;
	pq.send_fails = 0;
	connect_db();
	pq.sent[0] = '\0';
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	assert_non_null(strstr(pq.sent, "PREPARE SELECT a"));
	db_close(db);
}

static void
lost_at_each_step(void **state)
{
	int step;

	(void)state;

	/* Five results each, with the ends of two and the sync. */
	for (step = 0; step < 10; step++) {
		connect_db();
		pq.lost_after = step;
		expect_loss();
		connect_db();
		pq.lost_after = step;
		pq.lost_with_result = 1;
		expect_loss();
		pq.lost_with_result = 0;
	}
	for (step = 1; step <= 6; step++) {
		connect_db();
		pq.send_fails = step;
		expect_loss();
	}
}

static void
silent_at_each_step(void **state)
{
	long start;
	int step;

	(void)state;
	for (step = 0; step < 10; step++) {
		connect_db();
		start = now;
		pq.silent_after = step;
		assert_int_equal(run_both(DB_LOST, DB_LOST), DB_LOST);
		assert_int_equal(now - start, QUERY_MS);
		assert_string_equal(db_error(db),
		    "the database does not answer");
		pq.silent_after = -1;
	}
}

static void
cannot_flush(void **state)
{

	(void)state;
	connect_db();
	pq.flush = -1;
	assert_int_equal(run_both(DB_LOST, DB_LOST), DB_LOST);
	assert_int_equal(pq.open, 0);
}

/* An idle connection that came to its end is noticed before it is used. */
static void
lost_while_idle(void **state)
{

	(void)state;
	connect_db();
	pq_break("terminating connection\tdue to a\ncommand\n");
	pq_plan(PQ_ROW(PID));
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(pq.connections, 2);

	/* A notice is no end. */
	pq_readable(1);
	assert_int_equal(db_ready(db), DB_OK);
	assert_int_equal(pq.connections, 2);
}

/* The session stood when it answered; does it when we go on? */
static void
session_holds(void **state)
{

	(void)state;
	assert_int_equal(db_holds(db), DB_LOST);
	connect_db();
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	now += QUERY_MS - 1;
	assert_int_equal(db_holds(db), DB_OK);
	assert_int_equal(pq.open, 1);
	pq_break("server closed the connection");
	assert_int_equal(db_holds(db), DB_LOST);
	assert_int_equal(pq.open, 0);
	assert_string_equal(db_error(db), "the session ended, or this "
	    "program was stopped, before the answer was read");

	/* It is there yet, but what it answered is of long ago. */
	connect_db();
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	now += QUERY_MS;
	assert_int_equal(db_holds(db), DB_LOST);
	assert_int_equal(pq.open, 0);
}

static void
message_in_one_line(void **state)
{
	char buf[64];

	(void)state;
	connect_db();
	pq.error = "one\ttwo\nthree\n";
	assert_string_equal(db_message((PGconn *)(void *)&pq, buf,
	    sizeof(buf)), "one two three");
	pq.error = "a refuses\n\tIs the server running on that host?\n"
	    "b refuses\n";
	assert_string_equal(db_message((PGconn *)(void *)&pq, buf,
	    sizeof(buf)), "a refuses b refuses");
}

/*
 * Preparing.
 */

static void
prepared_ahead(void **state)
{
	const struct db_statement *const both[] = { &a, &b };

	(void)state;
	assert_int_equal(db_prepare(db, both, 2), DB_LOST);
	connect_db();
	assert_int_equal(db_prepare(db, both, 2), DB_OK);
	assert_string_equal(pq.sent, "PREPARE SELECT a; PREPARE SELECT b");
	pq.sent[0] = '\0';
	assert_int_equal(db_prepare(db, both, 2), DB_OK);
	assert_string_equal(pq.sent, "");
	assert_int_equal(run_both(DB_OK, DB_OK), DB_OK);
	assert_string_equal(pq.sent, "EXECUTE s0; EXECUTE s1");
}

static void
one_cannot_be_prepared(void **state)
{
	const struct db_statement *const both[] = { &a, &b };

	(void)state;
	connect_db();
	pq_plan(pq_refusal("42P01", "no such table"));
	assert_int_equal(db_prepare(db, both, 2), DB_BROKEN);
	pq.sent[0] = '\0';
	assert_int_equal(db_prepare(db, both, 2), DB_OK);
	assert_string_equal(pq.sent, "PREPARE SELECT a");
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(session),
		TEST(session_is_set_up),
		TEST(connection_string),
		TEST(no_connection),
		TEST(connecting_takes_too_long),
		TEST(read_only),
		TEST(hanging_server),
		TEST(waiting_fails),
		TEST(session_cannot_be_set_up),
		TEST(pooler_is_refused),
		TEST(one_round_trip),
		TEST(values),
		TEST(one_is_refused),
		TEST(preparation_is_refused),
		TEST(classes_of_refusals),
		TEST(refused_preparation_is_nobodys_row),
		TEST(error_names_the_constraint),
		TEST(error_hides_numbers),
		TEST(outdated_session),
		TEST(text_fits_the_encoding),
		TEST(notices),
		TEST(both_are_refused),
		TEST(no_session),
		TEST(lost_at_each_step),
		TEST(silent_at_each_step),
		TEST(cannot_flush),
		TEST(lost_while_idle),
		TEST(session_holds),
		TEST(message_in_one_line),
		TEST(prepared_ahead),
		TEST(one_cannot_be_prepared),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
