#ifndef SERVER_H_
#define SERVER_H_

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "log.h"

#include "../../unit/unit.h"

/*
 * What every program of tests/sql begins with: the trigger, installed in the
 * schema SCHEMA of the server that tests/sql/run started, and a session of the
 * application.  A program defines SCHEMA, which is its own, before it includes
 * this file.
 *
 * In all of these functions what the server refuses fails the test.
 */

#define DATABASE	"followup"
#define WAIT_MS		5000	/* the server has so long for what must come */

static PGconn *app;			/* the application, and the test */

/* Run psql with ${arguments}, and nothing of what it says; 0 if it can. */
static inline int
psql(const char *arguments)
{
	char command[1024];

	(void)snprintf(command, sizeof(command), "psql -X -q "
	    "-v ON_ERROR_STOP=1 %s >/dev/null 2>&1", arguments);
	/* What runs is fixed.  NOLINTNEXTLINE(cert-env33-c) */
	return (system(command));
}

/*
 * Log nothing that is no error of the test, and have the server do likewise:
 * to be called before the first session.
 */
static inline void
be_quiet(void)
{

	log_init(NULL, LOG_ERROR + 1, 0);
	(void)setenv("PGOPTIONS", "-c client_min_messages=error", 1);
}

/*
 * Install into a new table: ${shape} is what psql is told of it, ${alter} what
 * is done to it before.
 */
static inline void
install_into(const char *shape, const char *alter)
{
	char arguments[512];

	(void)snprintf(arguments, sizeof(arguments), "-v schema=" SCHEMA
	    " %s -f tests/sql/lib/app.psql -c \"%s\" "
	    "-f sql/create-booking-cloud-task-trigger.sql", shape, alter);
	if (psql(arguments) != 0)
		fail_msg("psql %s", arguments);
}

/* Run a statement, or several, on ${conn}; its rows are nobody's concern. */
static inline void __attribute__((format(printf, 2, 3)))
run_on(PGconn *conn, const char *fmt, ...)
{
	PGresult *result;
	va_list ap;
	char *sql;

	va_start(ap, fmt);
	assert_true(vasprintf(&sql, fmt, ap) > 0);
	va_end(ap);
	result = PQexec(conn, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK &&
	    PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	PQclear(result);
	free(sql);
}

#define run(...)	run_on(app, __VA_ARGS__)

/* Another session, for which ${settings} have been run. */
static inline PGconn *
connect_with(const char *database, const char *settings)
{
	const char *const keys[] = { "dbname", "client_encoding", NULL };
	const char *const values[] = { database, "UTF8", NULL };
	PGconn *conn = PQconnectdbParams(keys, values, 0);

	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(conn));
	run_on(conn, "%s", settings);
	return (conn);
}

/* Another session of the application. */
static inline PGconn *
connect_app(void)
{

	return (connect_with(DATABASE, "SET TimeZone = 'UTC'; "
	    "SET search_path = " SCHEMA ", public"));
}

/* What every test left goes with the schema, and the session ends. */
static inline void
remove_schema(void)
{

	run("DROP SCHEMA " SCHEMA " CASCADE");
	PQfinish(app);
	app = NULL;
}

/* The one value of ${sql} is ${value}. */
static inline void
expect(const char *sql, const char *value)
{
	PGresult *result = PQexec(app, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK ||
	    PQntuples(result) != 1)
		fail_msg("%s: %s", sql, PQerrorMessage(app));
	if (strcmp(PQgetvalue(result, 0, 0), value) != 0)
		fail_msg("%s is \"%s\", not \"%s\"", sql,
		    PQgetvalue(result, 0, 0), value);
	PQclear(result);
}

#endif /* !SERVER_H_ */
