#ifndef CANARY_H_
#define CANARY_H_

#include <libpq-fe.h>
#include <stdint.h>

#include "bookings.h"

struct config;

/*
 * The canary: a made-up follow-up that goes the way of a booking, through
 * trigger, NOTIFY, listener, nginx, followup-schedule, Cloud Tasks and the
 * public server to followup-execute, and calls nobody.  The setting
 * canary_every of followup_settings says how often; it is a row of
 * followup_canary, and never of the bookings table.
 *
 * Only the NOTIFY that its own trigger sends makes anybody look for it; what
 * came of each step is written to its row.
 */

/**
 * canary_send_sql(conf):
 * Return the statement that sends a canary with the id $1 if one is due and no
 * listener has sent it yet, as a string the caller frees; NULL when memory is
 * short.  The statement returns how many it sent, 0 or 1.
 */
char *canary_send_sql(const struct config *);

/**
 * canary_heard_sql(conf):
 * Return the statement which notes that the NOTIFY of the canary with the id
 * $1 was heard $2 seconds ago, as a string the caller frees; NULL when memory
 * is short.
 */
char *canary_heard_sql(const struct config *);

/* A canary whose task is to be created; its texts belong to the result. */
struct canary {
	int found;			/* the id is a canary's */
	int64_t due;			/* microseconds since 1970 */
	const char *task_body;		/* JSON */
};

/**
 * canary_received(bookings, id, canary, result):
 * Note that followup-schedule was asked for the canary ${id}, and read it into
 * ${canary}.  An id that is not a canary's is no error.  On DB_OK the caller
 * clears ${result}.
 */
enum db_outcome canary_received(struct bookings *, const char *,
    struct canary *, PGresult **);

/**
 * canary_task_created(bookings, id, name):
 * Note that the task ${name} of the canary ${id} exists.
 */
enum db_outcome canary_task_created(struct bookings *, const char *,
    const char *);

/**
 * canary_failed(bookings, id, error):
 * Note why the canary ${id} has no task.
 */
enum db_outcome canary_failed(struct bookings *, const char *, const char *);

/**
 * canary_called_back(bookings, id, found):
 * Note that the task of the canary ${id} called back; ${found} is 0 if there is
 * no such canary.
 */
enum db_outcome canary_called_back(struct bookings *, const char *, int *);

/* The state of the canary. */
struct canary_state {
	int is_on;
	int is_stale;			/* no canary came back for 3 intervals
					   */
	double succeeded_at;		/* seconds since 1970, when the last one
					   came back; or 0 */

	/* The seconds from sending that canary to each of its stages; negative
	   if not known. */
	double notified;
	double created;			/* its task */
	double called_back;
	char sentence[640];		/* one line, for people */
};

/**
 * canary_look(bookings, state):
 * Read the state of the canary into ${state}.
 */
enum db_outcome canary_look(struct bookings *, struct canary_state *);

/* All statements, for the rehearsal of sql/part-rehearsal.sql. */
extern const struct bookings_sql *const canary_statements[];

#endif /* !CANARY_H_ */
