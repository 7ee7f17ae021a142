#ifndef BOOKING_H_
#define BOOKING_H_

#include <stdint.h>

#include "db.h"
#include "trace.h"
#include "uuid.h"

struct bookings;

/*
 * A row of the bookings table: reading it, and the lock on it.
 *
 * Times are whole microseconds since 1970 UTC, BOOKING_NO_TIME where the row
 * has none; booking_time writes one as text.
 */

#define BOOKING_NO_TIME	INT64_MIN

enum booking_status {
	BOOKING_PENDING,
	BOOKING_SCHEDULED,
	BOOKING_EXECUTED,
	BOOKING_CANCELLED,
	BOOKING_FAILED,
	BOOKING_OTHER,		/* a value that is not ours: leave it alone */
};

/* What followup_gate says: may somebody be rung now? */
enum booking_verdict {
	BOOKING_CALL,
	BOOKING_WAIT,		/* not now */
	BOOKING_NEVER,
};

/* The two ends of a booking's way, each with a lock and failures of its own. */
enum booking_stage { BOOKING_SCHEDULE, BOOKING_EXECUTE };

/*
 * A row as it was when it was read.  Texts belong to the result that it was
 * read from, and may be NULL where SQL says so.
 */
struct booking {
	char id[UUID_LEN];

	/*
	 * The trace that work on the booking belongs to.  When the booking is
	 * read, this is the one in the row's column traceparent or
	 * trace_parent, if any.
	 */
	struct trace trace;

	int found;			/* there is such a row */
	int locked;			/* booking_take: the lock is ours */
	enum booking_status status;
	int is_followup;		/* one of the follow-up types */
	int is_deleted;
	int execution_attempts;		/* that were begun or refused */
	int schedule_attempts;		/* that failed, since it changed */
	int outcome_unknown;		/* an attempt at its call never ended */
	int has_turn;			/* retry_in is set: a sweep finds it
					   then, however late it is */
	const char *status_text;
	const char *tenant_id;
	const char *lead_id;
	const char *assigned_user_id;
	const char *booking_type;
	const char *task_name;		/* full resource name */
	int64_t task_scheduled_at;
	int64_t executed_at;
	const char *last_error;
	const char *dead;		/* a dead letter says this of it */
	int64_t called_at;		/* its call was started then, but the
					   row did not take that */
	const char *scheduled_at;	/* as the column has it */
	const char *timezone;		/* likewise */

	int64_t read_at;		/* the server's time of reading it */
	int64_t due;			/* BOOKING_NO_TIME: not determinable */
	double due_in;			/* seconds from now; negative: past */
	double retry_in;		/* until its next attempt at a task */

	/*
	 * What the gate says of a booking that is pending or scheduled, until
	 * when (BOOKING_NO_TIME: no end is known) and why.  In the backlog is
	 * one that was overdue at the first install: it is left alone.
	 */
	enum booking_verdict verdict;
	int in_backlog;
	int64_t wait_until;
	const char *verdict_reason;

	/*
	 * The time that its task is for: its due time, or the end of its wait.
	 * BOOKING_NO_TIME if the wait has no known end.
	 */
	int64_t planned;
	int64_t noted_due;		/* its due time in followup_waits, or
					   BOOKING_NO_TIME */

	/*
	 * For the time it is due: the idempotency key of its call,
	 * followup:{tenant}:{booking}:{due, ISO 8601 UTC, ms}, and the body
	 * of its task, a JSON object.
	 */
	const char *key;
	const char *task_body;

	/*
	 * The short name of the queue for its task, as followup_queue returned
	 * it, unchecked; only for a pending or scheduled booking, and where it
	 * was asked.  NULL and "" stand for the configured queue.
	 */
	const char *queue;

	/*
	 * The names of the tasks that must be deleted, each ended by a
	 * newline; also where there is no such row any more.  Or NULL.
	 */
	const char *obsolete_tasks;
};

/**
 * booking_stage_name(stage):
 * Return "schedule" or "execute".
 */
const char *booking_stage_name(enum booking_stage);

/**
 * booking_read(bookings, ids, n, list, rows):
 * Read the ${n} bookings with the ids ${ids} (UUIDs in lower case) into
 * ${list}, in that order.  On DB_OK ${rows} owns their texts, and the caller
 * clears it when it needs them no longer.
 */
enum db_outcome booking_read(struct bookings *, const char *const *, size_t,
    struct booking *, PGresult **);

/**
 * booking_look(bookings, asks_gate, id, booking, rows):
 * Read ${booking} with the id ${id} without asking followup_queue, and unless
 * ${asks_gate} without asking followup_gate.  Its queue is NULL then, and what
 * the gate says of it is not known.
 */
enum db_outcome booking_look(struct bookings *, int, const char *,
    struct booking *, PGresult **);

/**
 * booking_take(bookings, stage, ids, n, list, rows):
 * Likewise, after trying to take the session's lock on ${stage} of each of
 * them, in the same round trip: a row is read after its lock was taken.  Rows
 * that another session has locked are read too.  The ids must differ.  Only
 * for BOOKING_SCHEDULE is followup_queue asked.
 */
enum db_outcome booking_take(struct bookings *, enum booking_stage,
    const char *const *, size_t, struct booking *, PGresult **);

/**
 * booking_try_lock(bookings, stage, id, locked):
 * Set ${locked} to whether the session's lock on ${stage} of booking ${id}
 * could be taken without waiting.
 */
enum db_outcome booking_try_lock(struct bookings *, enum booking_stage,
    const char *, int *);

/**
 * booking_unlock(bookings, stage, ids, n):
 * Release the locks on ${stage} of ${ids}.  If that fails the connection is
 * dropped, and the locks with it.
 */
void booking_unlock(struct bookings *, enum booking_stage,
    const char *const *, size_t);

/*
 * SQL: the two halves of a lock's key, for the lock on the ${stage} of booking
 * ${id}; both are SQL expressions.  The first halves ("FolS", "FolE" in ASCII)
 * keep our locks apart from an application's own, and the table's key keeps
 * those of the same id in two tables apart.
 */
#define BOOKING_LOCK_KEY(stage, id)					\
	"CASE " stage " WHEN 'schedule' THEN 1181707347 "		\
	"ELSE 1181707333 END, hashtext(" id ") # {K}"

/* Room for what booking_time writes, with its NUL. */
#define BOOKING_TIME_LEN	40

/**
 * booking_time(time, digits, buf):
 * Write ${time} as ISO 8601 in UTC with ${digits} (3 or 6) behind the point,
 * such as 2026-11-23T11:00:00.000Z; what is finer is cut off.  Return ${buf},
 * or NULL where ${time} is BOOKING_NO_TIME.
 */
const char *booking_time(int64_t, int, char [BOOKING_TIME_LEN]);

/* Room for what booking_why_not writes, with its NUL. */
#define BOOKING_WHY_LEN		320

/**
 * booking_why_not(booking, buf):
 * Write to ${buf} why the gate does not let ${booking} be called now, and
 * until when, and return it.
 */
const char *booking_why_not(const struct booking *, char [BOOKING_WHY_LEN]);

/**
 * booking_is_expired(booking):
 * Return non-zero iff the gate says that it is too late to call ${booking}.
 */
int booking_is_expired(const struct booking *);

/**
 * booking_lateness(booking):
 * Return the seconds from the earliest time at which ${booking} could be
 * called, its due time or the end of its wait, to when it was read.
 */
double booking_lateness(const struct booking *);

/**
 * booking_epoch(time):
 * Return ${time} in whole seconds since 1970, rounded down.
 */
int64_t booking_epoch(int64_t);

/**
 * booking_in(booking, time):
 * Return the seconds from when ${booking} was read to ${time}, negative if
 * ${time} had passed.
 */
double booking_in(const struct booking *, int64_t);

/**
 * booking_task_waits(booking):
 * Return non-zero iff the task of ${booking} is for later than its due time
 * because the gate makes it wait, and not because the booking was moved.
 */
int booking_task_waits(const struct booking *);

/**
 * booking_task_in(booking):
 * Return in how many seconds the task of ${booking} fires, or fired.
 */
double booking_task_in(const struct booking *);

/**
 * booking_type_meant(bookings, type, buf, len):
 * Write to ${buf} the follow-up type that the unknown ${type} is probably a
 * misspelling of.  Return ${buf}, or NULL if no type is similar enough.
 */
const char *booking_type_meant(struct bookings *, const char *, char *,
    size_t);

/* Room for a reason of booking_then_never, with its NUL. */
#define BOOKING_NEVER_LEN	320

/**
 * booking_then_never(bookings, booking, buf):
 * If ${booking} waits for a pause and will not be called once that ends, write
 * to ${buf} why not, and return it; otherwise, or if the database does not say,
 * return NULL.
 */
const char *booking_then_never(struct bookings *, const struct booking *,
    char [BOOKING_NEVER_LEN]);

/**
 * booking_window(bookings, configured):
 * Return how many seconds back an overdue booking is still picked up, of which
 * ${configured} are in any case; no more than these if the database does not
 * say.
 */
double booking_window(struct bookings *, int);

/* The statements above, for bookings_prepare; NULL ends the list. */
struct bookings_sql;
extern const struct bookings_sql *const booking_statements[];

#endif /* !BOOKING_H_ */
