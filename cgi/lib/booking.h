#ifndef BOOKING_H_
#define BOOKING_H_

#include <stdint.h>

#include <jansson.h>

#include "db.h"
#include "uuid.h"

struct config;

/*
 * The bookings table and what belongs to it: the only place that knows their
 * SQL.  The objects are those that sql/create-booking-cloud-task-trigger.sql
 * makes.  Every statement is one transaction; what must be true for a change
 * stands in its WHERE, so that of two that compete one finds nothing to
 * change and looks again.
 *
 * All functions return DB_OK when the database answered, whatever it found.
 * Call db_ready before the first one of a request.
 */
struct bookings;

/*
 * How far ahead a task is made, in seconds: Cloud Tasks takes 720 hours, less
 * a margin for clocks that disagree.  What is due later is left to a sweep.
 */
#define BOOKING_HORIZON	(719 * 3600)

enum booking_status {
	BOOKING_PENDING,
	BOOKING_SCHEDULED,
	BOOKING_EXECUTED,
	BOOKING_CANCELLED,
	BOOKING_FAILED,
	BOOKING_OTHER,		/* a value that is not ours: leave it alone */
};

/* The stage a failure belongs to. */
enum booking_stage { BOOKING_SCHEDULE, BOOKING_EXECUTE };

/* A row as it was when it was read.  Texts may be NULL where SQL says so. */
struct booking {
	PGresult *row;			/* owns the texts */
	char id[UUID_LEN];
	enum booking_status status;
	const char *status_text;
	const char *tenant_id;
	const char *lead_id;
	const char *assigned_user_id;
	const char *booking_type;
	int is_followup;		/* one of the follow-up types */
	int is_deleted;
	const char *task_name;		/* full resource name */
	const char *task_scheduled_at;	/* ISO 8601, UTC, ms */
	const char *executed_at;	/* likewise */
	int execution_attempts;
	const char *last_error;
	const char *scheduled_at;	/* as the column has it */
	const char *timezone;		/* likewise */

	/* When it is due; NULL where that cannot be told (time zone). */
	const char *due;		/* exact, for comparisons in SQL */
	const char *due_ms;		/* 2026-11-23T11:00:00.000Z */
	const char *due_us;		/* 2026-11-23T11:00:00.000000Z */
	int64_t due_epoch;		/* seconds, rounded down */
	double due_in;			/* seconds from now; negative: past */

	/* Attempts to schedule that failed, since it last changed. */
	int schedule_attempts;
	double retry_in;		/* seconds until the next one may be */

	/* An attempt to start the call began, and never ended. */
	int outcome_unknown;
};

/* A failure, to be kept with its booking. */
struct booking_failure {
	enum booking_stage stage;
	long http_status;		/* or 0 */
	const char *error;
	double retry_in;		/* seconds until the next attempt */
};

/**
 * bookings_new(conf, db):
 * Return a handle on the tables that ${conf} names, over ${db}; both must
 * outlive it.  NULL when memory is short.
 */
struct bookings *bookings_new(const struct config *, struct db *);

/**
 * bookings_free(bookings):
 * Free ${bookings}; NULL is fine.
 */
void bookings_free(struct bookings *);

/**
 * bookings_warm_up(bookings):
 * Connect and prepare all statements, so that the first booking need not wait
 * for that.
 */
enum db_outcome bookings_warm_up(struct bookings *);

/**
 * bookings_sweep_sql(conf):
 * Return the statement that finds bookings with something to do and no
 * notification to tell, as a string the caller frees.  Parameters: $1 the
 * sweep window in seconds; $2, $3 the place and id where the last page
 * ended, or NULL; $4 the length of a page; $5 the grace in seconds after
 * which scheduled bookings are found too, or NULL.  Columns: id, tenant_id,
 * and the place, which is NULL for rows that do not belong to a page.
 */
char *bookings_sweep_sql(const struct config *);

/**
 * bookings_leader_sql():
 * Return the statement that tries to become the one listener of schema $1 in
 * this database, as long as the session lasts.  Columns: 't' or 'f'; the
 * process id of the session that is, or NULL.
 */
const char *bookings_leader_sql(void);

/**
 * booking_lock(bookings, stage, id, wait, locked):
 * Take the session's lock on ${stage} of booking ${id}; if another session
 * has it, wait some seconds if ${wait} is set (DB_LOCKED when that is not
 * enough), or set ${locked} to 0.
 */
enum db_outcome booking_lock(struct bookings *, enum booking_stage,
    const char *, int, int *);

/**
 * booking_unlock(bookings, stage, id):
 * Release it.  If that fails the connection is dropped, and the lock with it.
 */
void booking_unlock(struct bookings *, enum booking_stage, const char *);

/**
 * booking_read(bookings, id, booking, found):
 * Read the row.  If ${found} is set the caller must booking_clear it.
 */
enum db_outcome booking_read(struct bookings *, const char *,
    struct booking *, int *);

/**
 * booking_clear(booking):
 * Free what ${booking} holds; one that is zeroed is fine.
 */
void booking_clear(struct booking *);

/* An idempotency key, with its NUL. */
#define BOOKING_KEY_LEN	256

/**
 * booking_key(booking, key):
 * Write the idempotency key of the call of ${booking} at the time it is due
 * to ${key}: followup:{tenant}:{booking}:{due, ISO 8601 UTC, ms}.
 */
void booking_key(const struct booking *, char [BOOKING_KEY_LEN]);

/**
 * booking_scheduled(bookings, booking, task_name, idempotency_key, changed):
 * Make the pending ${booking} scheduled under ${task_name}.  ${changed} is 0
 * if it is not pending any more or no longer due at that time.
 */
enum db_outcome booking_scheduled(struct bookings *, const struct booking *,
    const char *, const char *, int *);

/**
 * booking_execution_begun(bookings, booking, changed):
 * Count an attempt at the call of ${booking}.  ${changed} is 0 if it is not
 * to be called any more, or not at this time.
 */
enum db_outcome booking_execution_begun(struct bookings *,
    const struct booking *, int *);

/**
 * booking_executed(bookings, booking, task_id, idempotency_key):
 * The call of ${booking} was started: whatever became of the row meanwhile,
 * it is executed, by the task with the short name ${task_id} (NULL if that is
 * not known); a task made meanwhile for another time is obsolete.
 */
enum db_outcome booking_executed(struct bookings *, const struct booking *,
    const char *, const char *);

/**
 * booking_name_executed(bookings, id, task_name):
 * Write the task's name to a row that was executed before it had one.
 */
enum db_outcome booking_name_executed(struct bookings *, const char *,
    const char *);

/**
 * booking_failed_once(bookings, booking, failure):
 * An attempt failed and another one may follow: remember it.
 */
enum db_outcome booking_failed_once(struct bookings *, const struct booking *,
    const struct booking_failure *);

/**
 * booking_failed(bookings, booking, failure, changed):
 * Give up: the booking becomes failed and a dead letter says why, unless it
 * changed meanwhile (${changed} is 0).
 */
enum db_outcome booking_failed(struct bookings *, const struct booking *,
    const struct booking_failure *, int *);

/**
 * booking_unschedule(bookings, booking, changed):
 * Put a scheduled ${booking} whose task is not right for it back to pending.
 */
enum db_outcome booking_unschedule(struct bookings *, const struct booking *,
    int *);

/**
 * booking_task_gone(bookings, booking, changed):
 * Likewise, because the task of ${booking} is gone before it was executed: the
 * attempts that were made at its call still count.
 */
enum db_outcome booking_task_gone(struct bookings *, const struct booking *,
    int *);

/**
 * booking_cancel(bookings, booking, changed):
 * Make ${booking} cancelled, unless it is executed (${changed} is 0).  Its
 * task becomes obsolete.
 */
enum db_outcome booking_cancel(struct bookings *, const struct booking *,
    int *);

/**
 * booking_retry(bookings, id, changed):
 * Put a failed booking back to pending and forget its failures.
 */
enum db_outcome booking_retry(struct bookings *, const char *, int *);

/**
 * bookings_retry(bookings, stage, since, until, retried):
 * Put all failed bookings back to pending whose dead letter is of ${stage}
 * ("schedule", "execute", NULL for any) and died from ${since} to before
 * ${until} (RFC 3339, NULL for no bound); ${retried} is set to their number.
 */
enum db_outcome bookings_retry(struct bookings *, const char *, const char *,
    const char *, long *);

/**
 * booking_obsolete_tasks(bookings, id, tasks):
 * Set ${tasks} to rows of one column, the names of the tasks of booking ${id}
 * that must be deleted; the caller clears it.
 */
enum db_outcome booking_obsolete_tasks(struct bookings *, const char *,
    PGresult **);

/**
 * booking_obsolete_deleted(bookings, task_name):
 * An obsolete task is gone.
 */
enum db_outcome booking_obsolete_deleted(struct bookings *, const char *);

/**
 * booking_obsolete_later(bookings, id, seconds):
 * Obsolete tasks of booking ${id} could not be deleted now: try again in
 * ${seconds}.
 */
enum db_outcome booking_obsolete_later(struct bookings *, const char *,
    double);

/**
 * booking_call_request(bookings, id, body):
 * Ask the database for the body of the call; ${body} is NULL if it has none,
 * otherwise a reference the caller drops.
 */
enum db_outcome booking_call_request(struct bookings *, const char *,
    json_t **);

/**
 * bookings_dead_letters(bookings, before_time, before_id, limit, letters):
 * Set ${letters} to an array of up to ${limit} dead letters, newest first,
 * from behind the place that ${before_time} and ${before_id} name (NULL: from
 * the start).  The caller drops the reference.
 */
enum db_outcome bookings_dead_letters(struct bookings *, const char *,
    const char *, const char *, json_t **);

/**
 * bookings_check(bookings, missing, len):
 * Look whether what the programs need is installed and granted: ${missing}
 * (${len} bytes) is empty if so, otherwise it says what is not, and what to
 * do.
 */
enum db_outcome bookings_check(struct bookings *, char *, size_t);

#endif /* !BOOKING_H_ */
