#ifndef EVENT_OUTBOX_H_
#define EVENT_OUTBOX_H_

#include <jansson.h>
#include <libpq-fe.h>

#include "db.h"

struct bookings;
struct bookings_sql;

/*
 * The events that are to be told, in the database (sql/part-events.sql): what
 * several hosts see, or one sees again after a restart, becomes one event, and
 * whoever delivers it tells it under the same id.
 */

/**
 * event_outbox_seen(bookings, seen, complete, told):
 * Hold what is ${seen} now against what has begun and has not ended, and write
 * the events of the difference.  ${told} is set to an array of their kind,
 * key and state, for the caller to drop.
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
 * Take the next event that is due, for at least 15 seconds: if nobody says by
 * then what became of it, it is due again.  From attempt to attempt the time
 * grows to an hour.  Those of a kind and key come in their order.  ${result}
 * is for the caller to clear; NULL: none is due.
 */
enum db_outcome event_outbox_next(struct bookings *, struct event *,
    PGresult **);

/* What became of an attempt. */
enum event_outcome {
	EVENT_DELIVERED,
	EVENT_RETRY,
	EVENT_GIVEN_UP,
};

/**
 * event_outbox_told(bookings, id, outcome, error, wait):
 * Write down what became of the event ${id}, with the ${error} or NULL.  One
 * that is to be tried again is so after ${wait} seconds at the earliest.
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
