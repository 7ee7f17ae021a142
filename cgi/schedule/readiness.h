#ifndef READINESS_H_
#define READINESS_H_

#include "troubles.h"

struct bookings;
struct config;
struct google_auth;
struct queues;

/*
 * Can a booking that is inserted now become a call?  Everything on its way is
 * looked at, in the order in which the booking gets there: the database and
 * what we have in it, the listener and what the webhook answers it, the program
 * that executes, whom that lets in, what the voice agent told it, and Cloud
 * Tasks.
 *
 * The database is asked each time, with one statement; the socket of
 * followup-execute is connected to; what costs more is remembered for some
 * seconds (queue_probe.h).  A fault is named within ten seconds.
 */
struct readiness;

/* What was seen. */
struct readiness_report {
	struct troubles troubles;	/* none: ready */
	const char *breaker;		/* its state, as breaker_state has it */
	const char *agent;		/* state of followup-execute's:
					   "closed", "open" or "unknown" */
	long retry_after;		/* seconds after which to look again */
};

/**
 * readiness_new(conf, auth, queues):
 * Return what the workers have in common, to be called before they are
 * forked.  ${auth} is NULL for an emulator.  All must outlive it.  NULL when
 * memory is short.
 */
struct readiness *readiness_new(const struct config *, struct google_auth *,
    struct queues *);

/**
 * readiness_look(readiness, bookings, report):
 * Fill in ${report}, asking the database through ${bookings}.
 */
void readiness_look(struct readiness *, struct bookings *,
    struct readiness_report *);

/**
 * readiness_is_paused(readiness, queue):
 * Return non-zero iff the queue with the short name ${queue} is known to be
 * paused or disabled.
 */
int readiness_is_paused(struct readiness *, const char *);

/**
 * readiness_free(readiness):
 * Free ${readiness}; NULL is fine.
 */
void readiness_free(struct readiness *);

#endif /* !READINESS_H_ */
