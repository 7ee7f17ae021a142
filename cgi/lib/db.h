#ifndef DB_H_
#define DB_H_

#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

struct config;

/*
 * The database connection of a worker: made when it is first needed, made
 * anew when it was lost, never waited for without a deadline.
 *
 * Session-level advisory locks and prepared statements live in the session,
 * so it has to be one: a connection pooler in between is refused by name.
 */
struct db;

/* A statement, prepared once a session; ${name} identifies it. */
struct db_statement {
	const char *name;
	char *sql;
};

/*
 * What the database said has one of these meanings, by its SQLSTATE
 * (PostgreSQL manual, appendix A) and by who raised it.
 */
enum db_outcome {
	DB_OK,
	DB_LOST,	/* the session is at its end, and was dropped */
	DB_LOCKED,	/* a lock, a deadlock or a timeout: it passes */
	DB_FAILED,	/* refused because of the data of this row */
	DB_MANY,	/* refused, and not because of this row alone */
	DB_BROKEN,	/* the statement can work for no row */
};

/* What a statement may take in our sessions, as PostgreSQL reads it. */
#define DB_STATEMENT_TIMEOUT	"9s"

/**
 * db_new(conf, application_name):
 * Return a handle without connecting, or NULL.  ${conf} must outlive it.
 */
struct db *db_new(const struct config *, const char *);

/**
 * db_ready(db):
 * Make sure that there is a live connection to a server that takes writes,
 * connecting if need be; call it before the first statement of a request.
 * Return DB_OK or DB_LOST.
 */
enum db_outcome db_ready(struct db *);

/* One statement of a round trip, and what came of it. */
struct db_call {
	const struct db_statement *statement;
	const char *const *params;	/* text; NULL is SQL's NULL */
	int nparams;
	enum db_outcome outcome;
	PGresult *result;		/* on DB_OK, the caller's to clear */
};

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
enum db_outcome db_run(struct db *, struct db_call *, size_t);

/**
 * db_holds(db):
 * Return DB_OK if the last statements were answered in time and their session,
 * with its locks, has not ended since; else drop it and return DB_LOST.  A
 * process that is stopped for a while, as all of its machine may be, finds the
 * answer when it goes on, and another one may have taken over.
 */
enum db_outcome db_holds(struct db *);

/**
 * db_prepare(db, statements, nstatements):
 * Prepare ${statements} in the session, in one round trip, as far as they
 * have not been.
 */
enum db_outcome db_prepare(struct db *, const struct db_statement *const *,
    size_t);

/**
 * db_int(result, row, column):
 * Return the integer that is there, or 0 for SQL's NULL.  The statement sees
 * to it that the column is of an integer type.
 */
int64_t db_int(const PGresult *, int, int);

/**
 * db_error(db):
 * Return what the last failure was, in one line, without the connection's
 * parameters.  Of a refusal it is the message, the SQLSTATE and the names of
 * constraint and column, but not the detail, which quotes the row; of the
 * message, which may, national phone numbers are left out.
 */
const char *db_error(const struct db *);

/**
 * db_state(db):
 * Return the SQLSTATE of the last refusal; empty if there was none, or the
 * server did not tell.
 */
const char *db_state(const struct db *);

/**
 * db_refuse(db, error):
 * Let ${error} be what the last failure was: a statement had no effect that
 * the caller takes for a refusal.
 */
void db_refuse(struct db *, const char *);

/**
 * db_limit(db, ms):
 * Give the database ${ms} milliseconds from now on, for connecting and for all
 * statements together; what is not done by then returns DB_LOST.  0 removes the
 * limit.
 */
void db_limit(struct db *, long);

/**
 * db_close(db):
 * Drop the connection; locks held in its session are released.
 */
void db_close(struct db *);

/**
 * db_free(db):
 * Close and free ${db}; NULL is fine.
 */
void db_free(struct db *);

/*
 * For a program that drives its connection by events (see db_connect.h, too),
 * the parts of the above:
 */

/**
 * db_session_sql():
 * Return the statements that every new session begins with.  Their last
 * result is one row of one column: pg_backend_pid().
 */
const char *db_session_sql(void);

/**
 * db_session_check(conn, result):
 * Hold ${result}, the last of db_session_sql(), against the connection.
 * Return NULL if this is a session of its own, or else a sentence for the
 * operator.
 */
const char *db_session_check(PGconn *, const PGresult *);

/**
 * db_message(conn, buf, buflen):
 * Write the connection's error to ${buf} in one line, without the question
 * whether the server runs, and return ${buf}.
 */
const char *db_message(const PGconn *, char *, size_t);

/**
 * db_refusal(result):
 * Return what the server says in ${result}, which is a refusal.
 */
const char *db_refusal(const PGresult *);

#endif /* !DB_H_ */
