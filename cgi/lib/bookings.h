#ifndef BOOKINGS_H_
#define BOOKINGS_H_

#include <stddef.h>
#include <stdint.h>

#include "db.h"

struct config;
struct refusals;
struct troubles;

/*
 * The handle on the bookings table and what belongs to it, as
 * sql/create-booking-cloud-task-trigger.sql makes them.  It writes the names
 * of this installation into the statements of booking.c, booking_state.c and
 * dead_letters.c, each of which stands beside the function that runs it.
 *
 * Every statement is one transaction; what must be true for a change stands
 * in its WHERE, so that of two that compete one finds nothing to change and
 * looks again.  Call bookings_ready before the first statement of a request.
 */
struct bookings;

/*
 * How far ahead a task is made, in seconds: Cloud Tasks takes 720 hours, less
 * a margin for clocks that disagree.  What is due later is left to a sweep.
 */
#define BOOKINGS_HORIZON	(719 * 3600)

/*
 * A statement.  In its text {S} stands for the schema, {T} for the table,
 * both quoted, and {H} for the horizon as an interval.
 */
struct bookings_sql {
	const char *name;
	const char *text;
};

/* The most parameters of a statement. */
#define BOOKINGS_PARAMS	9

/* One statement of a round trip. */
struct bookings_call {
	const struct bookings_sql *sql;
	const char *params[BOOKINGS_PARAMS];	/* text, or NULL */
	int nparams;
	const char *booking;	/* the one that it is about; NULL: many */
	const char *as;		/* judged as that statement; NULL: itself */
	enum db_outcome outcome;
	PGresult *result;	/* on DB_OK, the caller's to clear */
};

/**
 * bookings_new(conf, db):
 * Return a handle on the tables that ${conf} names, over ${db}; both must
 * outlive it.  NULL when memory is short.
 */
struct bookings *bookings_new(const struct config *, struct db *);

/**
 * bookings_share(bookings, refusals):
 * Let the workers that share ${refusals} tell together whether a refusal is
 * the row's fault; it must outlive ${bookings}.
 */
void bookings_share(struct bookings *, struct refusals *);

/**
 * bookings_free(bookings):
 * Free ${bookings}; NULL is fine.
 */
void bookings_free(struct bookings *);

/**
 * bookings_ready(bookings):
 * Make sure that there is a live connection, as db_ready does.
 */
enum db_outcome bookings_ready(struct bookings *);

/**
 * bookings_holds(bookings):
 * Return DB_OK if the locks taken in this session are still ours, as far as
 * db_holds can tell, or DB_LOST.
 */
enum db_outcome bookings_holds(struct bookings *);

/**
 * bookings_prepare(bookings, list):
 * Prepare the statements of ${list}, which NULL ends, so that the first
 * booking need not wait for that.
 */
enum db_outcome bookings_prepare(struct bookings *,
    const struct bookings_sql *const *);

/**
 * bookings_run(bookings, calls, ncalls):
 * Run up to BOOKINGS_CALLS ${calls} in one round trip, as db_run does, and
 * log what the database refused.  Where the same statement fared otherwise
 * for other bookings, a refusal has the outcome that this makes of it.
 */
#define BOOKINGS_CALLS	3
enum db_outcome bookings_run(struct bookings *, struct bookings_call *,
    size_t);

/**
 * bookings_changed(bookings, call, changed):
 * Run ${call}, whose one value says how many rows it changed; ${changed} is
 * set to that number.  ${changed} may be NULL.
 */
enum db_outcome bookings_changed(struct bookings *, struct bookings_call *,
    int *);

/**
 * bookings_error(bookings):
 * Return what the last failure was, in one line.
 */
const char *bookings_error(const struct bookings *);

/**
 * bookings_timed_out(bookings):
 * Return non-zero iff the last refusal was of a statement that took longer than
 * it may.  That is DB_LOCKED, too, but nobody need hold a lock.
 */
int bookings_timed_out(const struct bookings *);

/**
 * bookings_ignored(bookings):
 * A statement had no effect on a row that it was for, as when a trigger of the
 * application returns NULL: return DB_FAILED, with bookings_error saying so.
 */
enum db_outcome bookings_ignored(struct bookings *);

/**
 * bookings_limit(bookings, ms):
 * Give the database ${ms} milliseconds from now on, as db_limit does.
 */
void bookings_limit(struct bookings *, long);

/**
 * bookings_disconnect(bookings):
 * Drop the connection, and the locks of its session with it.
 */
void bookings_disconnect(struct bookings *);

/**
 * bookings_sql(conf, text):
 * Return the statement ${text} with the names of ${conf} in it, as a string
 * the caller frees; NULL when memory is short.
 */
char *bookings_sql(const struct config *, const char *);

/**
 * bookings_sweep_sql(conf):
 * Return the statement that finds bookings with something to do that no
 * notification announced, as a string the caller frees.  Parameters: $1 the
 * sweep window in seconds, as of BOOKINGS_WINDOW; $2, $3 the place and id where
 * the last page ended, BOOKINGS_SWEEP_START at the start; $4 the length of a
 * page; $5 the grace in seconds after which scheduled bookings are found too,
 * or NULL.
 * Columns: id, tenant_id, the place, which is NULL for rows that do not belong
 * to a page, and why it was found: pending, retried (its next attempt is due),
 * overdue or obsolete (a task to delete).  No row of the table can make it
 * fail.  Where scheduled_at is a timestamp and the row has a time zone, the
 * window reaches back up to 16 hours more.
 */
#define BOOKINGS_SWEEP_START						\
	"-infinity", "00000000-0000-0000-0000-000000000000"
char *bookings_sweep_sql(const struct config *);

/**
 * bookings_key(conf):
 * Return the number by which locks know the table that ${conf} names from
 * other tables of the same database.
 */
int32_t bookings_key(const struct config *);

/**
 * bookings_leader_sql():
 * Return the statement that tries to become the one listener of the table
 * with the bookings_key $1, as long as the session lasts.  Columns: 't' or
 * 'f'; the process id of the session that is, or NULL; 'on' if the server is
 * read-only, or 'off'.
 */
const char *bookings_leader_sql(void);

/**
 * bookings_check(bookings, troubles):
 * Look whether what the programs need is installed, granted and enabled,
 * whether it can be written and is seen whole, and whether a listener is
 * there: add to ${troubles} what is not so, and what to do.
 */
enum db_outcome bookings_check(struct bookings *, struct troubles *);

/**
 * bookings_overdue(bookings, overdue):
 * Set ${overdue} to whether there is a booking whose task was due within the
 * last day and has not led to a call.
 */
enum db_outcome bookings_overdue(struct bookings *, int *);

/**
 * bookings_trouble(bookings, trouble, len):
 * Is there a statement that the database refuses for every booking?  If so,
 * say which and why in one sentence in ${trouble}, and return non-zero.
 */
int bookings_trouble(struct bookings *, char *, size_t);

/*
 * Parts that statements of several modules have in common.  In all of them
 * the row of the bookings table is b; as a whole it is b.*, because the table
 * may have a column b.
 */

/* Is it a follow-up booking?  NULL, where it has no type, is no. */
#define BOOKINGS_IS_FOLLOWUP						\
	"{S}.followup_is_followup_type(b.booking_type::text)"

/* Is it a follow-up booking that is not deleted? */
#define BOOKINGS_IS_DELETED	"{S}.followup_is_deleted(b.*)"
#define BOOKINGS_IS_WANTED						\
	BOOKINGS_IS_FOLLOWUP " AND NOT " BOOKINGS_IS_DELETED

/* Now, as scheduled_at would say it. */
#define BOOKINGS_NOW	"(now() AT TIME ZONE 'UTC')"

/*
 * How far a due time may be from the scheduled_at of its row: a timestamptz is
 * the due time, and any other timestamp has yet to be read in the row's zone.
 */
#define BOOKINGS_UNSURE							\
    "(SELECT CASE WHEN pg_typeof((NULL::{T}).scheduled_at "		\
    "+ interval '0') = 'timestamptz'::regtype THEN interval '0' "	\
    "ELSE interval '16 h' END)"

/*
 * Columns that this deployment may lack.  It has to be in the FROM list: names
 * that an inner query does not have are looked up further out.
 */
#define BOOKINGS_ABSENT							\
	"(SELECT NULL::text AS tenant_id, NULL::text AS lead_id, "	\
	"NULL::text AS assigned_user_id, NULL::text AS timezone, "	\
	"NULL::text AS traceparent, NULL::text AS trace_parent) AS absent"

/*
 * The status, for a condition on rows that are named by id.  The expression
 * keeps the planner from taking the sweep's index for that, which it does
 * where its statistics say that nothing is pending; in a burst each statement
 * would then read all pending rows.
 */
#define BOOKINGS_STATUS	"(b.task_status OPERATOR(pg_catalog.||) '')"

/*
 * Is ${id}, which a table has an index for, the one of ${row}, a row of a short
 * list?  Had it been "=" the planner could read the whole table by its index,
 * and look for each of its rows in the list.  It does so where its statistics
 * say that the table has a few rows, and a burst may come right after those.
 */
#define BOOKINGS_ONE_OF(id, row)	id " = ANY (ARRAY[" row "])"

/*
 * Is the booking ${id}, due at ${due}, one that was overdue at the first
 * install?  Moved since, it is due at another time.
 */
#define BOOKINGS_IN_BACKLOG(id, due)					\
	"EXISTS (SELECT FROM {S}.followup_backlog k WHERE k.booking_id = " \
	id " AND k.due_at IS NOT DISTINCT FROM " due " OFFSET 0)"

/*
 * How far back an overdue booking is still picked up, as an interval: ${window}
 * seconds, or longer where the gate lets through what is later than that.
 */
#define BOOKINGS_WINDOW(window)						\
	"greatest(" window "::float8 * interval '1 s', coalesce("	\
	"(SELECT s.value FROM {S}.followup_settings s "			\
	"WHERE s.name = 'call_within'), '4h')::interval)"

/* A time as whole microseconds since 1970, the one form in which C has it. */
#define BOOKINGS_US(time)						\
	"(extract(epoch FROM " time ") * 1000000::numeric)::bigint"

#endif /* !BOOKINGS_H_ */
