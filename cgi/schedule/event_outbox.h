#ifndef EVENT_OUTBOX_H_
#define EVENT_OUTBOX_H_

#include <jansson.h>
#include <libpq-fe.h>

#include "db.h"

struct bookings;
struct bookings_sql;

/*
 * The outbox of events in the database (sql/part-events.sql).  What several
 * hosts see, or one host sees again after a restart, becomes one event, which
 * has the same id whichever host delivers it.
 */

/**
 * event_outbox_seen(bookings, seen, complete, told):
 * Compare what is ${seen} now with what has begun and not ended, and write an
 * event for each difference.  ${told} is set to an array of their kind, key and
 * state, for the caller to drop.
 *
 * ${seen} is an array of objects:
 *   kind, key  what it is about; what is not in the array stays as it is
 *   on         whether it lasts
 *   state      the event of its beginning
 *   over       that of its end, or null
 *   by         the host on which it is so: it lasts while any host says so,
 *              one that has said nothing for a minute not counted; empty for
 *              what all hosts see alike
 *   data       what either event carries
 *
 * ${complete}, an array in PostgreSQL's syntax, names the kinds of which
 * ${seen} has all that last: others of them end without an event.  Nothing
 * begins within a minute of an event of the same kind and key, nor while a
 * hundred events wait for their delivery; what lasts begins later then.
 */
enum db_outcome event_outbox_seen(struct bookings *, const json_t *,
    const char *, json_t **);

/* An event to deliver; its texts belong to a PGresult. */
struct event {
	const char *id;			/* for event_outbox_told */
	const char *webhook_id;
	const char *type;		/* "followup.KIND.STATE" */
	const char *timestamp;		/* ISO 8601 */
	const char *data;		/* a JSON object */
	int attempt;			/* 1 is the first */
	long age;			/* seconds since it happened */
};

/**
 * event_outbox_next(bookings, event, result):
 * Take the next event that is due, for at least 15 seconds: it is due again if
 * its outcome is not recorded by then.  The time grows with each attempt, up to
 * an hour.  Events of one kind and key are delivered in order.  The caller
 * clears ${result}, which is NULL if no event is due.
 */
enum db_outcome event_outbox_next(struct bookings *, struct event *,
    PGresult **);

/* The outcome of an attempt to deliver an event. */
enum event_outcome {
	EVENT_DELIVERED,
	EVENT_RETRY,
	EVENT_GIVEN_UP,
};

/**
 * event_outbox_told(bookings, id, outcome, error, wait):
 * Record the outcome of an attempt to deliver the event ${id}, with the
 * ${error} or NULL.  A retry comes after ${wait} seconds at the earliest.
 */
enum db_outcome event_outbox_told(struct bookings *, const char *,
    enum event_outcome, const char *, long);

/**
 * event_outbox_forget(bookings):
 * Remove what has ended and was told more than a week ago, or was followed by
 * a thousand others.
 */
enum db_outcome event_outbox_forget(struct bookings *);

/* The statements, for the rehearsal; NULL ends the list. */
extern const struct bookings_sql *const event_outbox_statements[];

#endif /* !EVENT_OUTBOX_H_ */
