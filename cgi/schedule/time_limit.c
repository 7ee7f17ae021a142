#include <stddef.h>

#include "bookings.h"

#include "time_limit.h"

/* There are two, since a pipeline cannot prepare one statement twice. */
static const struct bookings_sql shorten_sql = { "time limit",
    "SELECT pg_catalog.set_config('statement_timeout', '" TIME_LIMIT "', "
    "false)" };
static const struct bookings_sql restore_sql = { "time limit over",
    "SELECT pg_catalog.set_config('statement_timeout', "
    "'" DB_STATEMENT_TIMEOUT "', false)" };

/**
 * time_limit_run(bookings, call):
 * Run ${call} as bookings_run does, but let it take TIME_LIMIT at most: one
 * that takes longer is DB_LOCKED.  On DB_OK the caller clears its result.
 */
enum db_outcome
time_limit_run(struct bookings *b, struct bookings_call *call)
{
	struct bookings_call calls[] = { { .sql = &shorten_sql }, *call,
	    { .sql = &restore_sql } };
	enum db_outcome outcome;

	outcome = bookings_run(b, calls, 3);
	PQclear(calls[0].result);
	PQclear(calls[2].result);

	/* The statements of a booking need the session's own limit. */
	if (calls[2].outcome != DB_OK)
		bookings_disconnect(b);
	if (outcome != DB_OK) {
		PQclear(calls[1].result);
		calls[1].result = NULL;
	}
	*call = calls[1];
	return (outcome);
}

const struct bookings_sql *const time_limit_statements[] = {
    &shorten_sql, &restore_sql, NULL };
