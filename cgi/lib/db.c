#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "monotime.h"

#include "db.h"

/* How long a connection may take to come about, and a statement to answer. */
#define CONNECT_DEADLINE_MS	5000
#define QUERY_DEADLINE_MS	10000

/* The most statements one program prepares. */
#define MAX_PREPARED		32

struct db {
	const struct config *conf;
	const char *application_name;
	PGconn *conn;
	const struct db_statement *prepared[MAX_PREPARED];
	size_t nprepared;
	char error[512];
};

/* Wait until the socket is ready for ${events}; 0, or -1 past ${deadline}. */
static int
wait_socket(PGconn *conn, short events, long deadline)
{
	struct pollfd pfd;
	long left;
	int n;

	for (;;) {
		pfd.fd = PQsocket(conn);
		pfd.events = events;
		if (pfd.fd < 0 || (left = deadline - monotime_ms()) <= 0)
			return (-1);
		n = poll(&pfd, 1, (int)left);
		if (n > 0)
			return (0);
		if (n < 0 && errno != EINTR)
			return (-1);
	}
}

/**
 * db_message(conn, buf, buflen):
 * Write the connection's error to ${buf} in one line, and return ${buf}.
 */
const char *
db_message(const PGconn *conn, char *buf, size_t buflen)
{
	char *p;

	(void)snprintf(buf, buflen, "%s", PQerrorMessage(conn));
	for (p = buf; *p != '\0'; p++) {
		if (*p == '\n' && p[1] == '\0')
			*p = '\0';
		else if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	return (buf);
}

/**
 * db_connect_start(conf, application_name):
 * Begin to connect as ${conf} says, like PQconnectStart.
 */
PGconn *
db_connect_start(const struct config *conf, const char *application_name)
{
	/*
	 * Keepalives find a dead peer of an idle connection within about 4 s;
	 * tcp_user_timeout (milliseconds) one that leaves data unanswered.
	 * What the operator wrote into DATABASE_URL comes later and wins.
	 */
	const char *keywords[] = { "client_encoding", "application_name",
	    "target_session_attrs", "keepalives", "keepalives_idle",
	    "keepalives_interval", "keepalives_count", "tcp_user_timeout",
	    "dbname", "host", "port", "user", "password", NULL };
	const char *values[] = { "UTF8", application_name,
	    "read-write", "1", "2",
	    "1", "3", "4000",
	    conf->database_url != NULL ? conf->database_url :
	    conf->postgres_db,
	    conf->postgres_host, conf->postgres_port, conf->postgres_user,
	    conf->postgres_password, NULL };
	size_t i;

	/* A connection string is complete: the single variables are not read. */
	if (conf->database_url != NULL) {
		for (i = 9; i < 13; i++)
			values[i] = NULL;
	}

	/* Only DATABASE_URL is more than the name of a database. */
	return (PQconnectStartParams(keywords, values,
	    conf->database_url != NULL));
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
	 * Nothing of ours is found by search_path; times are written in UTC.
	 * The server ends what we gave up, and drops a client that vanished,
	 * together with its locks, within seconds.
	 *
	 * Every statement finds its rows by a key or by the sweep's index.  A
	 * plan that was made while the table was small must not go on to scan
	 * it when it has grown (measured: 140 ms instead of 3 ms a booking
	 * with 100 000 rows, until the next ANALYZE).
	 */
	return ("SET search_path = pg_catalog; "
	    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; "
	    "SET standard_conforming_strings = on; "
	    "SET statement_timeout = '9s'; SET lock_timeout = '3s'; "
	    "SET idle_in_transaction_session_timeout = '10s'; "
	    "SET enable_seqscan = off; SET jit = off; "
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
	db->conf = conf;
	db->application_name = application_name;
	return (db);
}

static void
take_error(struct db *db)
{

	(void)db_message(db->conn, db->error, sizeof(db->error));
}

/*
 * Wait for the results of what was sent and return the last one; NULL if the
 * connection broke or the deadline passed.
 */
static PGresult *
last_result(struct db *db, long deadline)
{
	PGresult *result, *last = NULL;
	int flushing;

	for (;;) {
		/* Send what is left, and read while the server is busy. */
		if ((flushing = PQflush(db->conn)) < 0)
			break;
		if (!flushing && !PQisBusy(db->conn)) {
			if ((result = PQgetResult(db->conn)) == NULL)
				return (last);
			PQclear(last);
			last = result;
			continue;
		}
		if (wait_socket(db->conn, flushing ? POLLIN | POLLOUT : POLLIN,
		    deadline) != 0) {
			(void)snprintf(db->error, sizeof(db->error),
			    "the database does not answer");
			PQclear(last);
			return (NULL);
		}
		if (PQconsumeInput(db->conn) == 0)
			break;
	}

	take_error(db);
	PQclear(last);
	return (NULL);
}

static int
connect_poll(struct db *db, long deadline)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	while (status != PGRES_POLLING_OK) {
		if (wait_socket(db->conn, status == PGRES_POLLING_READING ?
		    POLLIN : POLLOUT, deadline) != 0) {
			(void)snprintf(db->error, sizeof(db->error),
			    "the database does not answer");
			return (-1);
		}
		status = PQconnectPoll(db->conn);
		if (status == PGRES_POLLING_FAILED) {
			take_error(db);
			return (-1);
		}
	}
	return (0);
}

static enum db_outcome
connect_db(struct db *db)
{
	const char *why;
	PGresult *result;

	db_close(db);
	db->conn = db_connect_start(db->conf, db->application_name);
	if (db->conn == NULL) {
		(void)snprintf(db->error, sizeof(db->error), "out of memory");
		return (DB_LOST);
	}
	if (PQstatus(db->conn) == CONNECTION_BAD) {
		take_error(db);
		goto err;
	}
	if (connect_poll(db, monotime_ms() + CONNECT_DEADLINE_MS) != 0)
		goto err;

	/* Make it a session as we want it. */
	if (PQsetnonblocking(db->conn, 1) != 0 ||
	    PQsendQuery(db->conn, db_session_sql()) != 1) {
		take_error(db);
		goto err;
	}
	if ((result = last_result(db, monotime_ms() + QUERY_DEADLINE_MS)) == NULL)
		goto err;
	why = db_session_check(db->conn, result);
	PQclear(result);
	if (why != NULL) {
		(void)snprintf(db->error, sizeof(db->error), "%s", why);
		goto err;
	}
	return (DB_OK);

err:
	db_close(db);
	return (DB_LOST);
}

/**
 * db_ready(db):
 * Make sure that there is a live connection, connecting if need be; call it
 * before the first statement of a request.  Return DB_OK or DB_LOST.
 */
enum db_outcome
db_ready(struct db *db)
{
	struct pollfd pfd;

	if (db->conn == NULL)
		return (connect_db(db));

	/* An idle connection has nothing to say, unless it is at its end. */
	pfd.fd = PQsocket(db->conn);
	pfd.events = POLLIN;
	if (pfd.fd >= 0 && poll(&pfd, 1, 0) == 0)
		return (DB_OK);
	if (PQconsumeInput(db->conn) == 1) {
		/* A FATAL message comes first, then the end. */
		(void)PQconsumeInput(db->conn);
		if (PQstatus(db->conn) == CONNECTION_OK)
			return (DB_OK);
	}
	return (connect_db(db));
}

/* Run one exchange that was sent, and judge its result. */
static enum db_outcome
finish(struct db *db, int sent, PGresult **result)
{
	const char *state;
	PGresult *r;
	char *p;

	if (!sent) {
		take_error(db);
		goto lost;
	}
	if ((r = last_result(db, monotime_ms() + QUERY_DEADLINE_MS)) == NULL)
		goto lost;
	if (PQresultStatus(r) == PGRES_COMMAND_OK ||
	    PQresultStatus(r) == PGRES_TUPLES_OK) {
		*result = r;
		return (DB_OK);
	}

	(void)snprintf(db->error, sizeof(db->error), "%s",
	    PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) != NULL ?
	    PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) :
	    PQresultErrorMessage(r));
	for (p = db->error; *p != '\0'; p++) {
		if (*p == '\n')
			*p = ' ';
	}

	/* Classes of SQLSTATE that pass by themselves. */
	state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	if (PQstatus(db->conn) != CONNECTION_OK || state == NULL ||
	    strncmp(state, "08", 2) == 0 || strncmp(state, "57P", 3) == 0 ||
	    strncmp(state, "53", 2) == 0 || strncmp(state, "58", 2) == 0) {
		PQclear(r);
		goto lost;
	}
	if (strcmp(state, "55P03") == 0 || strcmp(state, "57014") == 0 ||
	    strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0) {
		PQclear(r);
		return (DB_LOCKED);
	}
	PQclear(r);
	return (DB_FAILED);

lost:
	db_close(db);
	return (DB_LOST);
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

/**
 * db_prepare(db, statement):
 * Prepare ${statement} in the session, unless it has been.
 */
enum db_outcome
db_prepare(struct db *db, const struct db_statement *statement)
{
	enum db_outcome outcome;
	PGresult *result;

	if (db->conn == NULL)
		return (DB_LOST);
	if (is_prepared(db, statement))
		return (DB_OK);
	outcome = finish(db, PQsendPrepare(db->conn, statement->name,
	    statement->sql, 0, NULL), &result);
	if (outcome != DB_OK)
		return (outcome);
	PQclear(result);
	if (db->nprepared < MAX_PREPARED)
		db->prepared[db->nprepared++] = statement;
	return (DB_OK);
}

/**
 * db_query(db, statement, params, nparams, result):
 * Run ${statement} with text ${params} (NULL is SQL's NULL) on the connection
 * that db_ready found; it never reconnects by itself, because a lock held in
 * the session would silently be gone.  Set ${result} on DB_OK only; the
 * caller clears it with PQclear.
 */
enum db_outcome
db_query(struct db *db, const struct db_statement *statement,
    const char *const *params, int nparams, PGresult **result)
{
	enum db_outcome outcome;

	*result = NULL;
	if ((outcome = db_prepare(db, statement)) != DB_OK)
		return (outcome);
	return (finish(db, PQsendQueryPrepared(db->conn, statement->name,
	    nparams, params, NULL, NULL, 0), result));
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
 * parameters.
 */
const char *
db_error(const struct db *db)
{

	return (db->error);
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
	free(db);
}
