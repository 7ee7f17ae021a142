#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "db_connect.h"
#include "encoding.h"
#include "log.h"
#include "metrics.h"
#include "monotime.h"
#include "phone_number.h"
#include "utf8.h"

#include "db.h"

/*
 * How long a request may wait for a connection, whichever server it comes from;
 * the next one goes on from there.  And how long a statement may take.
 */
#define CONNECT_DEADLINE_MS	9000
#define QUERY_DEADLINE_MS	10000

/* The most statements one program prepares, and parameters of one. */
#define MAX_PREPARED		64
#define DB_PARAMS		16

struct db {
	struct db_connect *connect;
	PGconn *conn;
	const struct db_statement *prepared[MAX_PREPARED];
	size_t nprepared;
	long until;		/* see db_limit; 0: no limit */
	long answer_by;		/* what was run last was to be answered */
	int is_first;		/* nothing was run since db_ready */
	int is_outdated;	/* the server says so of the session */
	char state[8];		/* SQLSTATE of the last refusal */
	char error[1024];
};

/* The time in ${ms} milliseconds, or the end of db_limit if that is earlier. */
static long
deadline_in(const struct db *db, long ms)
{
	long deadline = monotime_ms() + ms;

	return (db->until != 0 && db->until < deadline ? db->until : deadline);
}

/* Wait until ${fd} is ready for ${events}; 0, or -1 past ${deadline}. */
static int
wait_fd(int fd, short events, long deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	long left;
	int n;

	for (;;) {
		if (fd < 0 || (left = deadline - monotime_ms()) <= 0)
			return (-1);
		n = poll(&pfd, 1, (int)left);
		if (n > 0)
			return (0);
		if (n < 0 && errno != EINTR)
			return (-1);
	}
}

/* Cut out of ${message} libpq's question: our own sentences say what to do. */
static void
drop_question(char *message)
{
	char *from = strstr(message, "\n\tIs the server running"), *to;

	if (from == NULL)
		return;
	to = from + 1 + strcspn(from + 1, "\n");
	memmove(from, to, strlen(to) + 1);
}

/**
 * db_message(conn, buf, buflen):
 * Write the connection's error to ${buf} in one line, without the question
 * whether the server runs, and return ${buf}.
 */
const char *
db_message(const PGconn *conn, char *buf, size_t buflen)
{
	char *p;

	(void)snprintf(buf, buflen, "%s", PQerrorMessage(conn));
	drop_question(buf);
	for (p = buf; *p != '\0'; p++) {
		if (*p == '\n' && p[1] == '\0')
			*p = '\0';
		else if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	return (buf);
}

/**
 * db_refusal(result):
 * Return what the server says in ${result}, which is a refusal.
 */
const char *
db_refusal(const PGresult *result)
{
	const char *text = PQresultErrorField(result,
	    PG_DIAG_MESSAGE_PRIMARY);

	return (text != NULL ? text : PQresultErrorMessage(result));
}

/**
 * db_session_sql():
 * Return the statements that every new session begins with.  Their last
 * result is one row of one column: pg_backend_pid().
 */
const char *
db_session_sql(void)
{

	/*
	 * The triggers of the application run in this session too, so they
	 * find their tables: the role's own search_path stays.  Our names are
	 * qualified, or pg_catalog's, which comes first unless the path names
	 * it in another place; a schema for temporary things comes last.
	 *
	 * What must not be lost is not left to a setting of the server or the
	 * role: a commit that is forgotten in a crash would be called twice,
	 * rows that are hidden by a policy would never be called.  Times are
	 * written in UTC.  The server ends what we gave up, and drops a client
	 * that vanished, together with its locks, within seconds.
	 *
	 * The triggers on the bookings table are for what others write: by
	 * followup.daemon they tell our own writes from theirs.  Notices are
	 * for the application: libpq would print them among our log lines.
	 *
	 * Every statement finds its rows by a key or by the sweep's index, so
	 * one plan, made once, serves all parameters.  A plan that was made
	 * while the table was small must not go on to scan it when it has
	 * grown (measured: 140 ms instead of 3 ms a booking with 100 000
	 * rows, until the next ANALYZE).
	 */
	return ("SELECT pg_catalog.set_config('search_path', "
	    "pg_catalog.concat_ws(', ', CASE WHEN pg_catalog.array_position("
	    "pg_catalog.current_schemas(false), 'pg_catalog') "
	    "OPERATOR(pg_catalog.>) 1 "
	    "THEN (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s), "
	    "', ' ORDER BY n) FROM pg_catalog.unnest("
	    "pg_catalog.current_schemas(false)) WITH ORDINALITY AS u (s, n) "
	    "WHERE s OPERATOR(pg_catalog.<>) 'pg_catalog') "
	    "ELSE nullif(pg_catalog.current_setting('search_path'), '') END, "
	    "'pg_temp'), false); "
	    "SELECT pg_catalog.set_config(name, value, false) "
	    "FROM (VALUES ('synchronous_commit', 'on', '{off,local}'), "
	    "('idle_session_timeout', '0', NULL), "
	    "('transaction_timeout', '0', NULL)) AS s (name, value, instead) "
	    "WHERE pg_catalog.current_setting(name, true) = ANY "
	    "(instead::text[]) OR (instead IS NULL "
	    "AND pg_catalog.current_setting(name, true) <> '0'); "
	    "SET followup.daemon = 'on'; SET row_security = off; "
	    "SET client_min_messages = error; "
	    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; "
	    "SET IntervalStyle = 'postgres'; "
	    "SET standard_conforming_strings = on; SET array_nulls = on; "
	    "SET transform_null_equals = off; SET exit_on_error = off; "
	    "SET default_transaction_isolation = 'read committed'; "
	    "SET statement_timeout = '" DB_STATEMENT_TIMEOUT "'; "
	    "SET lock_timeout = '3s'; "
	    "SET idle_in_transaction_session_timeout = '10s'; "
	    "SET enable_indexscan = on; SET enable_nestloop = on; "
	    "SET enable_seqscan = off; SET enable_bitmapscan = off; "
	    "SET enable_hashjoin = off; SET enable_mergejoin = off; "
	    "SET jit = off; "
	    "SET plan_cache_mode = force_generic_plan; "
	    "SET max_parallel_workers_per_gather = 0; "
	    "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; "
	    "SET tcp_keepalives_count = 3; SET tcp_user_timeout = 6000; "
	    "SELECT pg_catalog.pg_backend_pid()");
}

/**
 * db_session_check(conn, result):
 * Hold ${result}, the last of db_session_sql(), against the connection.
 * Return NULL if this is a session of its own, or else a sentence for the
 * operator.
 */
const char *
db_session_check(PGconn *conn, const PGresult *result)
{

	if (PQresultStatus(result) != PGRES_TUPLES_OK ||
	    PQntuples(result) != 1)
		return ("the session could not be set up");

	/* A pooler tells its clients another process id than the server's. */
	if (db_int(result, 0, 0) != PQbackendPID(conn))
		return ("the connection goes through a connection pooler, "
		    "where LISTEN and session locks do not hold: connect "
		    "DATABASE_URL or POSTGRES_HOST to the server itself");
	return (NULL);
}

/**
 * db_new(conf, application_name):
 * Return a handle without connecting, or NULL.  ${conf} must outlive it.
 */
struct db *
db_new(const struct config *conf, const char *application_name)
{
	struct db *db;

	if ((db = calloc(1, sizeof(*db))) == NULL)
		return (NULL);
	if ((db->connect = db_connect_new(conf, application_name)) == NULL) {
		free(db);
		return (NULL);
	}
	return (db);
}

static void
take_error(struct db *db)
{

	(void)db_message(db->conn, db->error, sizeof(db->error));
}

/*
 * Wait for the next result of what was sent and set ${result} to it; to NULL
 * where libpq has none, which ends those of a statement.  Return 0, or -1 if
 * the connection broke or the deadline passed.
 */
static int
next_result(struct db *db, long deadline, PGresult **result)
{
	int flushing;

	for (;;) {
		/* Send what is left, and read while the server is busy. */
		if ((flushing = PQflush(db->conn)) < 0)
			break;
		if (!flushing && !PQisBusy(db->conn)) {
			*result = PQgetResult(db->conn);
			if (PQstatus(db->conn) == CONNECTION_OK)
				return (0);
			PQclear(*result);
			break;
		}
		if (wait_fd(PQsocket(db->conn), flushing ? POLLIN | POLLOUT :
		    POLLIN, deadline) != 0) {
			(void)snprintf(db->error, sizeof(db->error),
			    "the database does not answer");

			/* It would cost its deadline once more. */
			db_connect_skip(db->connect);
			return (-1);
		}
		if (PQconsumeInput(db->conn) == 0)
			break;
	}
	take_error(db);
	return (-1);
}

/* Return the last result of the session's first statements, or NULL. */
static PGresult *
setup_result(struct db *db, long deadline)
{
	PGresult *result, *last = NULL;

	while (next_result(db, deadline, &result) == 0) {
		if (result == NULL)
			return (last);
		PQclear(last);
		last = result;
	}
	PQclear(last);
	return (NULL);
}

/* Connect to the first server that takes writes; 0, or -1 with the error. */
static int
connect_any(struct db *db)
{
	long until = deadline_in(db, CONNECT_DEADLINE_MS), deadline;
	enum db_connect_state state;
	short events;
	int fd;

	metrics_set(METRICS_DATABASE_CONNECTED, 0, 0);
	state = db_connect_begin(db->connect, monotime_ms());
	while (state == DB_CONNECT_WAITING && monotime_ms() < until) {
		db_connect_wait(db->connect, &fd, &events, &deadline);

		/* Poll itself fails only where memory is short. */
		if (wait_fd(fd, events, deadline < until ? deadline :
		    until) != 0 && monotime_ms() < deadline)
			break;
		state = db_connect_step(db->connect, monotime_ms());
	}
	if (state == DB_CONNECT_DONE) {
		db->conn = db_connect_take(db->connect);
		return (0);
	}
	db_connect_cancel(db->connect);

	/*
	 * With a short limit, a server that hangs would block the ones after
	 * it.
	 */
	if (db->until != 0)
		db_connect_skip(db->connect);
	(void)snprintf(db->error, sizeof(db->error), "%s",
	    state == DB_CONNECT_FAILED ? db_connect_error(db->connect) :
	    "the database does not answer");
	return (-1);
}

static enum db_outcome
connect_db(struct db *db)
{
	const char *why;
	PGresult *result;

	db_close(db);
	if (connect_any(db) != 0)
		return (DB_LOST);

	/* Make it a session as we want it. */
	if (PQsetnonblocking(db->conn, 1) != 0 ||
	    PQsendQuery(db->conn, db_session_sql()) != 1) {
		take_error(db);
		goto err;
	}
	if ((result = setup_result(db, deadline_in(db, QUERY_DEADLINE_MS))) ==
	    NULL)
		goto err;
	why = db_session_check(db->conn, result);
	PQclear(result);
	if (why != NULL) {
		(void)snprintf(db->error, sizeof(db->error), "%s", why);
		goto err;
	}

	/* From here on statements go out together: see db_run. */
	if (PQenterPipelineMode(db->conn) != 1) {
		take_error(db);
		goto err;
	}
	metrics_set(METRICS_DATABASE_CONNECTED, 0, 1);
	return (DB_OK);

err:
	/* Another server may do better. */
	db_connect_skip(db->connect);
	db_close(db);
	return (DB_LOST);
}

/*
 * Has the server told that it takes writes no more, because another one is the
 * primary by now?  PostgreSQL does so from version 14 on, with the end of a
 * statement; what we only read would not show it.
 */
static int
is_read_only(const PGconn *conn)
{
	const char *value = PQparameterStatus(conn,
	    "default_transaction_read_only");

	return (value != NULL && strcmp(value, "on") == 0);
}

/* Is there a connection, and has its end not come? */
static int
is_connected(struct db *db)
{
	struct pollfd pfd = { .events = POLLIN };

	if (db->conn == NULL)
		return (0);

	/* An idle connection has nothing to say, unless it is at its end. */
	pfd.fd = PQsocket(db->conn);
	if (pfd.fd >= 0 && poll(&pfd, 1, 0) == 0)
		return (1);
	if (PQconsumeInput(db->conn) != 1)
		return (0);

	/* A FATAL message comes first, then the end. */
	(void)PQconsumeInput(db->conn);
	return (PQstatus(db->conn) == CONNECTION_OK);
}

/**
 * db_ready(db):
 * Make sure that there is a live connection to a server that takes writes,
 * connecting if need be; call it before the first statement of a request.
 * Return DB_OK or DB_LOST.
 */
enum db_outcome
db_ready(struct db *db)
{

	db->is_first = 1;
	if (!is_connected(db) || is_read_only(db->conn))
		return (connect_db(db));
	metrics_set(METRICS_DATABASE_CONNECTED, 0, 1);
	return (DB_OK);
}

/* Add the ${field} of ${result}, if it has it, to ${text}. */
static void
add_field(const PGresult *result, int field, const char *name, char *text,
    size_t len)
{
	const char *value = PQresultErrorField(result, field);
	size_t used = strlen(text);

	if (value != NULL && *value != '\0')
		(void)snprintf(&text[used], len - used, ", %s %s", name,
		    value);
}

/* Take the error of a statement, in one line. */
static void
take_refusal(struct db *db, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	char names[256] = "";
	char *text = strdup(db_refusal(result)), *p;
	size_t len;

	/* It may quote the row.  Before it is cut, as a part would be left. */
	if (text != NULL)
		phone_number_hide_national(text);

	(void)snprintf(db->state, sizeof(db->state), "%s",
	    state != NULL ? state : "");
	if (state != NULL) {
		(void)snprintf(names, sizeof(names), " (SQLSTATE %s", state);
		add_field(result, PG_DIAG_CONSTRAINT_NAME, "constraint",
		    names, sizeof(names) - 1);
		add_field(result, PG_DIAG_COLUMN_NAME, "column", names,
		    sizeof(names) - 1);
		len = strlen(names);
		(void)snprintf(&names[len], sizeof(names) - len, ")");
	}
	(void)snprintf(db->error, sizeof(db->error), "%.*s%s",
	    (int)(sizeof(db->error) - sizeof(names)), text != NULL ? text :
	    "out of memory", names);
	free(text);
	for (p = db->error; *p != '\0'; p++) {
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	utf8_clean(db->error);
}

/* Is ${state} of one of ${classes}, which NULL ends? */
static int
is_of(const char *state, const char *const *classes)
{

	for (; *classes != NULL; classes++) {
		if (strncmp(state, *classes, strlen(*classes)) == 0)
			return (1);
	}
	return (0);
}

/*
 * Can another session run what this one refuses to?  The server has turned
 * read-only; or it does not have our statements, or not in the state that they
 * were prepared in, since a column's type was altered.  The last of these is
 * one "feature not supported" among others: only its origin tells it.
 */
static int
is_outdated(const char *state, const char *origin)
{
	static const char *const classes[] = { "25", "26000", "42P05", NULL };

	return (is_of(state, classes) || (strcmp(state, "0A000") == 0 &&
	    strcmp(origin, "RevalidateCachedQuery") == 0));
}

/*
 * What the refusal ${result} means, of a statement that was prepared before,
 * or whose preparation it is of.
 */
static enum db_outcome
judge(struct db *db, const PGresult *result, int prepared)
{
	static const char *const passing[] = { "55P03", "57014", "40001",
	    "40P01", NULL };
	static const char *const ending[] = { "08", "28", "53", "57P", "58",
	    NULL };
	static const char *const missing[] = { "3D", "3F", "42", NULL };
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *origin = PQresultErrorField(result,
	    PG_DIAG_SOURCE_FUNCTION);

	if (state == NULL)
		return (DB_LOST);

	/* What a function says by RAISE is about the row, in any code. */
	if (origin == NULL)
		origin = "";
	if (strcmp(origin, "exec_stmt_raise") == 0)
		return (DB_FAILED);
	if (is_of(state, passing))
		return (DB_LOCKED);
	db->is_outdated = is_outdated(state, origin);
	if (db->is_outdated || is_of(state, ending))
		return (DB_LOST);

	/*
	 * A table, column, function or privilege is missing for every row:
	 * surely so if our own statement names it; within a function it may
	 * depend on the row, after all.
	 */
	if (!prepared)
		return (DB_BROKEN);
	if (!is_of(state, missing))
		return (DB_FAILED);
	return (PQresultErrorField(result, PG_DIAG_CONTEXT) == NULL ?
	    DB_BROKEN : DB_MANY);
}

static int
is_prepared(const struct db *db, const struct db_statement *statement)
{
	size_t i;

	for (i = 0; i < db->nprepared; i++) {
		if (db->prepared[i] == statement)
			return (1);
	}
	return (0);
}

static void
remember_prepared(struct db *db, const struct db_statement *statement)
{

	if (!is_prepared(db, statement) && db->nprepared < MAX_PREPARED)
		db->prepared[db->nprepared++] = statement;
}

/*
 * Send ${call} with its texts as the encoding of the database takes them.
 * Return 1, or 0 as libpq does.
 */
static int
send_params(struct db *db, const struct db_call *call)
{
	const char *encoding = PQparameterStatus(db->conn, "server_encoding");
	const char *params[DB_PARAMS];
	char *copies[DB_PARAMS] = { NULL };
	int i, rc = 0;

	if (call->nparams > DB_PARAMS)
		return (0);
	for (i = 0; i < call->nparams; i++) {
		params[i] = call->params[i];
		if (params[i] == NULL || encoding_fits(encoding, params[i]))
			continue;
		if ((copies[i] = encoding_fit(encoding, params[i])) == NULL)
			goto out;
		params[i] = copies[i];
	}
	rc = PQsendQueryPrepared(db->conn, call->statement->name,
	    call->nparams, params, NULL, NULL, 0);

out:
	for (i = 0; i < call->nparams; i++)
		free(copies[i]);
	return (rc);
}

/*
 * Send one statement, prepared first if it has not been, and run unless
 * ${prepare_only} is set.  A sync behind it makes it a transaction.
 */
static int
send_call(struct db *db, const struct db_call *call, int prepare_only)
{
	const struct db_statement *statement = call->statement;

	if (!is_prepared(db, statement) &&
	    PQsendPrepare(db->conn, statement->name, statement->sql, 0,
	    NULL) != 1)
		return (-1);
	if (!prepare_only && send_params(db, call) != 1)
		return (-1);
	return (PQpipelineSync(db->conn) == 1 ? 0 : -1);
}

/*
 * Take the results of one statement up to its sync: of a preparation, of a
 * query, or an error, behind which the rest of the statement was skipped.
 */
static int
receive_call(struct db *db, struct db_call *call, long deadline)
{
	PGresult *result;

	for (;;) {
		if (next_result(db, deadline, &result) != 0)
			return (-1);
		if (result == NULL)
			continue;
		switch (PQresultStatus(result)) {
		case PGRES_PIPELINE_SYNC:
			PQclear(result);
			return (0);
		case PGRES_COMMAND_OK:
			/* It stays prepared even if it is refused now. */
			remember_prepared(db, call->statement);
			/* FALLTHROUGH */
		case PGRES_TUPLES_OK:
			PQclear(call->result);
			call->result = result;
			break;
		case PGRES_PIPELINE_ABORTED:
			PQclear(result);
			break;
		default:
			call->outcome = judge(db, result,
			    is_prepared(db, call->statement));
			take_refusal(db, result);
			PQclear(result);
			PQclear(call->result);
			call->result = NULL;
			break;
		}
	}
}

/* The connection is gone, and with it what had been answered. */
static enum db_outcome
lose(struct db *db, struct db_call *calls, size_t ncalls)
{
	size_t i;

	for (i = 0; i < ncalls; i++) {
		PQclear(calls[i].result);
		calls[i].result = NULL;
		calls[i].outcome = DB_LOST;
	}
	metrics_set(METRICS_DATABASE_CONNECTED, 0, 0);
	db_close(db);
	return (DB_LOST);
}

static enum db_outcome
run(struct db *db, struct db_call *calls, size_t ncalls, int prepare_only)
{
	long deadline = deadline_in(db, QUERY_DEADLINE_MS);
	enum db_outcome outcome = DB_OK;
	size_t i;

	db->answer_by = deadline;
	for (i = 0; i < ncalls; i++) {
		calls[i].outcome = DB_OK;
		calls[i].result = NULL;
	}
	if (db->conn == NULL)
		return (lose(db, calls, ncalls));
	for (i = 0; i < ncalls; i++) {
		if (send_call(db, &calls[i], prepare_only) != 0) {
			take_error(db);
			return (lose(db, calls, ncalls));
		}
	}
	for (i = 0; i < ncalls; i++) {
		if (receive_call(db, &calls[i], deadline) != 0 ||
		    calls[i].outcome == DB_LOST)
			return (lose(db, calls, ncalls));
		if (outcome == DB_OK)
			outcome = calls[i].outcome;
	}
	return (outcome);
}

/**
 * db_run(db, calls, ncalls):
 * Run ${calls} one after the other in a single round trip, each a transaction
 * of its own: one that is refused does not keep the next from being run.
 * They run on the connection that db_ready found; db_run does not reconnect,
 * because a lock held in the session would silently be gone.  Only if the
 * server says of the first round trip behind db_ready that this session cannot
 * run it, as after ALTER TABLE, are all ${calls} run once more in a new one.
 * A text is sent with '?' for each character that the encoding of the database
 * lacks.  Return the first outcome that is not DB_OK; if the connection is
 * lost, all calls are DB_LOST and none has a result.
 */
enum db_outcome
db_run(struct db *db, struct db_call *calls, size_t ncalls)
{
	enum db_outcome outcome;
	int may_repeat = db->is_first;

	db->is_first = db->is_outdated = 0;
	outcome = run(db, calls, ncalls, 0);
	if (outcome == DB_LOST && db->is_outdated && may_repeat &&
	    connect_db(db) == DB_OK)
		outcome = run(db, calls, ncalls, 0);
	return (outcome);
}

/**
 * db_holds(db):
 * Return DB_OK if the last statements were answered in time and their session,
 * with its locks, has not ended since; else drop it and return DB_LOST.  A
 * process that is stopped for a while, as all of its machine may be, finds the
 * answer when it goes on, and another one may have taken over.
 */
enum db_outcome
db_holds(struct db *db)
{

	if (monotime_ms() < db->answer_by && is_connected(db))
		return (DB_OK);
	(void)snprintf(db->error, sizeof(db->error), "the session ended, or "
	    "this program was stopped, before the answer was read");
	return (lose(db, NULL, 0));
}

/**
 * db_prepare(db, statements, nstatements):
 * Prepare ${statements} in the session, in one round trip, as far as they
 * have not been.
 */
enum db_outcome
db_prepare(struct db *db, const struct db_statement *const *statements,
    size_t nstatements)
{
	struct db_call calls[MAX_PREPARED];
	enum db_outcome outcome;
	size_t i, n = 0;

	for (i = 0; i < nstatements && n < MAX_PREPARED; i++) {
		if (!is_prepared(db, statements[i]))
			calls[n++].statement = statements[i];
	}
	outcome = run(db, calls, n, 1);
	for (i = 0; i < n; i++)
		PQclear(calls[i].result);
	return (outcome);
}

/**
 * db_int(result, row, column):
 * Return the integer that is there, or 0 for SQL's NULL.  The statement sees
 * to it that the column is of an integer type.
 */
int64_t
db_int(const PGresult *result, int row, int column)
{

	/* libpq's value of a NULL is the empty text. */
	return (strtoll(PQgetvalue(result, row, column), NULL, 10));
}

/**
 * db_error(db):
 * Return what the last failure was, in one line, without the connection's
 * parameters.  Of a refusal it is the message, the SQLSTATE and the names of
 * constraint and column, but not the detail, which quotes the row.
 */
const char *
db_error(const struct db *db)
{

	return (db->error);
}

/**
 * db_state(db):
 * Return the SQLSTATE of the last refusal; empty if there was none, or the
 * server did not tell.
 */
const char *
db_state(const struct db *db)
{

	return (db->state);
}

/**
 * db_refuse(db, error):
 * Let ${error} be what the last failure was: a statement had no effect that
 * the caller takes for a refusal.
 */
void
db_refuse(struct db *db, const char *error)
{

	db->state[0] = '\0';
	(void)snprintf(db->error, sizeof(db->error), "%s", error);
}

/**
 * db_limit(db, ms):
 * Give the database ${ms} milliseconds from now on, for connecting and for all
 * statements together; what is not done by then returns DB_LOST.  0 removes the
 * limit.
 */
void
db_limit(struct db *db, long ms)
{

	db->until = ms > 0 ? monotime_ms() + ms : 0;
}

/**
 * db_close(db):
 * Drop the connection; locks held in its session are released.
 */
void
db_close(struct db *db)
{

	PQfinish(db->conn);
	db->conn = NULL;
	db->nprepared = 0;
}

/**
 * db_free(db):
 * Close and free ${db}; NULL is fine.
 */
void
db_free(struct db *db)
{

	if (db == NULL)
		return;
	db_close(db);
	db_connect_free(db->connect);
	free(db);
}
