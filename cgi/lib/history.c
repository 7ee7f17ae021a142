#include <stdio.h>
#include <stdlib.h>

#include "bookings.h"
#include "sql_array.h"

#include "history.h"

/* Room for a number as text. */
#define NUMBER_LEN	24

/* How many rows one statement removes: a step that holds nobody up. */
#define PRUNE_STEP	500

/* Write ${n} to ${buf}, or nothing where it is 0; return ${buf}. */
static const char *
number(long n, char buf[NUMBER_LEN])
{

	buf[0] = '\0';
	if (n > 0)
		(void)snprintf(buf, NUMBER_LEN, "%ld", n);
	return (buf);
}

static const char *
text(const char *s)
{

	return (s != NULL ? s : "");
}

/**
 * history_facts(row):
 * Return ${row} as the text of a parameter, which HISTORY_INSERT takes apart;
 * the caller frees it.  NULL when memory is short.
 */
char *
history_facts(const struct history_row *row)
{
	char status[NUMBER_LEN], ms[NUMBER_LEN];
	const char *facts[] = { text(row->what), text(row->tenant_id),
	    text(row->by), number(row->http_status, status),
	    number(row->ms, ms), text(row->reason), text(row->trace_id) };

	return (sql_array(facts, sizeof(facts) / sizeof(facts[0])));
}

/* By id, which is the order in which it happened. */
static const struct bookings_sql read_sql = { "history",
    "SELECT pg_catalog.to_char(h.at AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), h.what, h.by, h.http_status, "
    "h.ms, h.reason, h.trace_id FROM {S}.followup_history h "
    "WHERE h.booking_id = $1::uuid ORDER BY h.id DESC LIMIT $2::int" };

/**
 * history_read(bookings, id, rows):
 * Read the history of booking ${id}, the newest row first.  On DB_OK the
 * caller clears ${rows}.
 */
enum db_outcome
history_read(struct bookings *b, const char *id, PGresult **rows)
{
	char limit[NUMBER_LEN];
	struct bookings_call call = { .sql = &read_sql, .nparams = 2,
	    .params = { id, number(HISTORY_ROWS, limit) } };
	enum db_outcome outcome;

	outcome = bookings_run(b, &call, 1);
	*rows = call.result;
	return (outcome);
}

/* One worker at a time removes rows: its lock is "FolH" in ASCII. */
static const struct bookings_sql prune_sql = { "prune",
    "WITH old AS (SELECT h.ctid FROM {S}.followup_history h "
    "WHERE (SELECT pg_catalog.pg_try_advisory_xact_lock(1181707336, {K})) "
    "AND h.at < now() - coalesce((SELECT s.value::int "
    "FROM {S}.followup_settings s WHERE s.name = 'history_days'), 90) "
    "* interval '1 day' ORDER BY h.at LIMIT $1::int), "
    "gone AS (DELETE FROM {S}.followup_history g "
    "WHERE g.ctid = ANY (ARRAY(SELECT old.ctid FROM old)) RETURNING 1) "
    "SELECT count(*) FROM gone" };

/**
 * history_prune(bookings, more):
 * Remove some of the rows that are older than history_days, without waiting
 * for a lock; set ${more} to whether there may be others.
 */
enum db_outcome
history_prune(struct bookings *b, int *more)
{
	char limit[NUMBER_LEN];
	struct bookings_call call = { .sql = &prune_sql, .nparams = 1,
	    .params = { number(PRUNE_STEP, limit) } };
	enum db_outcome outcome;
	int n = 0;

	outcome = bookings_changed(b, &call, &n);
	*more = outcome == DB_OK && n >= PRUNE_STEP;
	return (outcome);
}

const struct bookings_sql *const history_statements[] = { &read_sql,
    &prune_sql, NULL };
