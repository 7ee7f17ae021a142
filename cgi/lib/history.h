#ifndef HISTORY_H_
#define HISTORY_H_

#include <stddef.h>

#include "db.h"

struct bookings;

/*
 * followup_history: one row for each decision about a booking and each attempt
 * at its task or its call.  A row is inserted by the very statement that makes
 * the change, so that the two are written together and no round trip is added;
 * what an application changes by plain SQL is written by the triggers (see
 * sql/part-tables.sql).  Nothing changes a row, and rows that are older than
 * the setting history_days are removed.
 */

/* What a row says; any text may be NULL. */
struct history_row {
	const char *what;		/* one that sql/part-tables.sql lists */
	const char *tenant_id;
	const char *by;			/* a person; NULL: this program */
	long http_status;		/* or 0 */
	long ms;			/* how long it took, rounded up; or 0 */
	const char *reason;		/* without phone numbers */
	const char *trace_id;
};

/**
 * history_facts(row):
 * Return ${row} as the text of a parameter, which HISTORY_INSERT takes apart;
 * the caller frees it.  NULL when memory is short.
 */
char *history_facts(const struct history_row *);

/*
 * SQL: insert a row for each row of ${from}, about the booking ${id} and with
 * the ${facts} of history_facts; ${what} takes precedence over theirs, unless
 * it is HISTORY_AS_TOLD.
 */
#define HISTORY_AS_TOLD	"NULL::text"
#define HISTORY_INSERT(what, id, facts, from)				\
    "INSERT INTO {S}.followup_history (booking_id, what, tenant_id, by, " \
    "http_status, ms, reason, trace_id) "				\
    "SELECT f.id, coalesce(f.what, f.f[1]), "				\
    "nullif(f.f[2], ''), coalesce(nullif(f.f[3], ''), nullif("		\
    "pg_catalog.current_setting('application_name'), ''), session_user), " \
    "nullif(f.f[4], '')::int, nullif(f.f[5], '')::int, "		\
    "nullif(f.f[6], ''), nullif(f.f[7], '') "				\
    "FROM (SELECT " id " AS id, " what " AS what, "			\
    "(" facts ")::text[] AS f FROM " from " OFFSET 0) AS f"

/* How many rows of a booking history_read returns at most. */
#define HISTORY_ROWS	100

/* The columns of history_read; all are text but the two numbers. */
enum history_column {
	HISTORY_AT, HISTORY_WHAT, HISTORY_BY, HISTORY_HTTP_STATUS, HISTORY_MS,
	HISTORY_REASON, HISTORY_TRACE_ID,
};

/**
 * history_read(bookings, id, rows):
 * Read the history of booking ${id}, the newest row first.  On DB_OK the
 * caller clears ${rows}.
 */
enum db_outcome history_read(struct bookings *, const char *, PGresult **);

/**
 * history_prune(bookings, more):
 * Remove some of the rows that are older than history_days, without waiting
 * for a lock; set ${more} to whether there may be others.
 */
enum db_outcome history_prune(struct bookings *, int *);

/* The statements above, for the rehearsal of sql/part-rehearsal.sql. */
struct bookings_sql;
extern const struct bookings_sql *const history_statements[];

#endif /* !HISTORY_H_ */
