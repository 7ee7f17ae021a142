#ifndef BOOKING_STATE_H_
#define BOOKING_STATE_H_

#include "booking.h"

struct bookings;

/*
 * The transitions of a booking's state, and what goes with them: failures,
 * attempts at its call, tasks that are obsolete.
 *
 *   pending --scheduled--> scheduled --begun, executed--> executed
 *      ^--unschedule, task_gone, held, replan--'
 *   any but executed --cancel--> cancelled
 *   pending, scheduled --failed--> failed --retry--> pending
 *
 * Each leaves a row in followup_history, in the same statement (history.h).
 * What becomes of a booking that has to wait (held, replan) is in
 * booking_waits.h.
 *
 * All return DB_OK when the database answered, whatever it found; where
 * somebody else was faster, ${changed} is 0 and the caller looks again.
 *
 * A row may refuse what we write to it: by a CHECK, a trigger of the
 * application, a column that is too short.  What we must not forget is then
 * kept in our own tables alone, and booking_read finds it there.
 */

/* The longest batch of booking_scheduled. */
#define BOOKING_BATCH	100

/* A task that was created for a booking as it was read. */
struct booking_task {
	const struct booking *booking;
	const char *name;		/* full resource name */
	long ms;			/* how long its creation took; or 0 */
	const char *note;		/* for history; or NULL */
	int adopted;			/* it was found already created */
	int changed;			/* set: the row is scheduled now */
};

/**
 * booking_scheduled(bookings, tasks, n):
 * Make the pending bookings of up to BOOKING_BATCH ${tasks} scheduled, each
 * for the time that was planned, and release the locks on BOOKING_SCHEDULE of
 * those that were.  One that is to wait beyond its due time is noted in
 * followup_waits.  A task's
 * ${changed} is 0 if its booking is not pending any more or no longer due at
 * that time, or if there are several and somebody else holds a lock on its
 * row; our lock on it is kept.  If one row makes the database refuse, none is
 * changed.
 */
enum db_outcome booking_scheduled(struct bookings *, struct booking_task *,
    size_t);

/**
 * booking_begun(bookings, booking, body, changed):
 * Count an attempt at the call of ${booking}, note that it has begun, and set
 * ${body} to the text of the call's body as followup_call_request makes it,
 * which the caller frees, or to NULL if it makes none.  ${changed} is 0 if
 * the booking is not to be called any more, not at this time, or not now by
 * what the gate says.  On DB_OK our lock on the call is still held.
 */
enum db_outcome booking_begun(struct bookings *, const struct booking *,
    char **, int *);

/* How the voice agent took a call. */
struct booking_answer {
	long http_status;		/* or 0: not known any more */
	long ms;			/* how long it took; or 0 */
};

/**
 * booking_executed(bookings, booking, task_id, answer):
 * Record that the call of ${booking} was started, with that ${answer}, by the
 * task with the short name ${task_id} (NULL if that is not known).  The booking
 * becomes executed, whatever happened to the row meanwhile; a task made
 * meanwhile for another time is obsolete.
 */
enum db_outcome booking_executed(struct bookings *, const struct booking *,
    const char *, const struct booking_answer *);

/**
 * booking_name_executed(bookings, id, task_name):
 * Write the task's name to a row that was executed before it had one.
 */
enum db_outcome booking_name_executed(struct bookings *, const char *,
    const char *);

/* A failure, to be kept with its booking. */
struct booking_failure {
	enum booking_stage stage;
	long http_status;		/* or 0 */
	const char *error;
	double retry_in;		/* seconds until the next attempt */
	int unknown;			/* the call may have been started */
	long ms;			/* how long it took; or 0 */
};

/**
 * booking_failed_once(bookings, booking, failure):
 * An attempt failed and another one may follow: remember it, without the row
 * if that refuses, or is locked while an attempt at the call failed.  Such an
 * attempt has ended thereby, unless its outcome is unknown.
 */
enum db_outcome booking_failed_once(struct bookings *, const struct booking *,
    const struct booking_failure *);

/**
 * booking_spared(bookings, booking, failure):
 * An attempt at the call failed through no fault of its booking: what
 * booking_begun counted is taken back.  It has ended thereby, unless its
 * outcome is unknown; on DB_LOCKED, too, but then it counts.
 */
enum db_outcome booking_spared(struct bookings *, const struct booking *,
    const struct booking_failure *);

/**
 * booking_cleared(bookings, id, n):
 * Stop counting ${n} failed attempts at the call of the booking ${id}, because
 * they turned out not to be its own fault.
 */
enum db_outcome booking_cleared(struct bookings *, const char *, int);

/**
 * booking_failed(bookings, booking, failure, changed):
 * Give up: the booking becomes failed and a dead letter says why, unless it
 * changed meanwhile (${changed} is 0).  If the row refuses, the dead letter
 * stands alone.
 */
enum db_outcome booking_failed(struct bookings *, const struct booking *,
    const struct booking_failure *, int *);

/* What booking_refused is told, and what it found. */
struct booking_refusal {
	enum booking_stage stage;
	const char *error;
	int max_attempts;		/* with so many it gives up */
	int attempts;			/* set: with this one */
	int given_up;			/* set: it is a dead letter now */
	int unknown;			/* set: an attempt at the call may have
					   started it */
	double retry_in;		/* set: seconds until the next one */
};

/**
 * booking_refused(bookings, booking, refusal):
 * The database refused a statement because of the row of ${booking}, which
 * need not have been read: count that as an attempt, in our own table, and
 * postpone the next one.  With the last attempt it becomes a dead letter, which
 * says if the outcome of an attempt at the call is unknown, and the row failed
 * if it lets us.
 */
enum db_outcome booking_refused(struct bookings *, const struct booking *,
    struct booking_refusal *);

/**
 * booking_called(bookings, booking, error):
 * The call of ${booking} was started, and the row refuses to take that for the
 * reason ${error}: remember in our own tables that nobody is to be called
 * again, and leave a dead letter.
 */
enum db_outcome booking_called(struct bookings *, const struct booking *,
    const char *);

/**
 * booking_unschedule(bookings, booking, changed):
 * Put a scheduled ${booking} whose task is for another time back to pending,
 * as if it were new; its task is obsolete.
 */
enum db_outcome booking_unschedule(struct bookings *, const struct booking *,
    int *);

/**
 * booking_task_gone(bookings, booking, why, changed):
 * Put a scheduled ${booking} back to pending because its task is gone before it
 * was executed (${why} is NULL), or fired in vain because the booking has to
 * wait (${why} says for what).  The attempts at its call still count.
 */
enum db_outcome booking_task_gone(struct bookings *, const struct booking *,
    const char *, int *);

/**
 * booking_cancel(bookings, booking, by, changed):
 * Make ${booking} cancelled, because ${by} (or NULL) asks for it, unless it is
 * executed (${changed} is 0).  Its
 * task becomes obsolete.  An attempt that was begun and has not ended cannot
 * be stopped: it stays noted, and if the call is started the booking becomes
 * executed after all.
 */
enum db_outcome booking_cancel(struct bookings *, const struct booking *,
    const char *, int *);

/**
 * booking_retry(bookings, id, late, by, changed):
 * Put a failed booking back to pending, and keep its failures as retried; or
 * make it executed, if booking_called was told of it.  With ${late} it is
 * called however late it is.  ${by} asks for it (NULL: the session's role).
 */
enum db_outcome booking_retry(struct bookings *, const char *, int,
    const char *, int *);

/**
 * booking_obsolete_deleted(bookings, task_name, booking, how):
 * Forget an obsolete task of ${booking}, which is gone or is left alone; ${how}
 * says which, for the history.
 */
enum db_outcome booking_obsolete_deleted(struct bookings *, const char *,
    const struct booking *, const char *);

/**
 * booking_obsolete_later(bookings, id, seconds):
 * Obsolete tasks of booking ${id} could not be deleted now: try again in
 * ${seconds}.
 */
enum db_outcome booking_obsolete_later(struct bookings *, const char *,
    double);

/* Those that followup-schedule and followup-execute need at once. */
struct bookings_sql;
extern const struct bookings_sql *const booking_state_schedule[];
extern const struct bookings_sql *const booking_state_execute[];

/* All of them, for the rehearsal of sql/part-rehearsal.sql. */
extern const struct bookings_sql *const booking_state_statements[];

#endif /* !BOOKING_STATE_H_ */
