#ifndef NOTIFICATIONS_H_
#define NOTIFICATIONS_H_

#include <libpq-fe.h>

struct config;

/*
 * The listener's database connection as events.  It connects by itself, and
 * again after every loss, with backoff; becomes the one active listener of
 * the database and schema, or stands by until it can; LISTENs; and sends a
 * heartbeat, so that it leaves a server within seconds that does not answer or
 * has become read-only.  A server that refuses LISTEN is asked again at growing
 * distances, and is good for queries meanwhile.  Nothing here blocks but the
 * look-up of host names, and whatever the server sent is always read.
 *
 * Times are milliseconds of the monotonic clock.
 */
struct notifications;

enum notifications_event {
	NOTIFICATIONS_NONE,		/* no event is waiting */
	NOTIFICATIONS_LISTENING,	/* now read the table */
	NOTIFICATIONS_NOTIFY,		/* payload */
	NOTIFICATIONS_RESULT,		/* result of notifications_query */
	NOTIFICATIONS_LOST,		/* no connection; a query is void */
	NOTIFICATIONS_FATAL,		/* it will never work: reason logged */
};

struct notifications_data {
	const char *payload;		/* until the next call */
	const PGresult *result;		/* likewise; NULL if it was refused */
};

/**
 * notifications_new(conf):
 * Return a connection that is not made yet; NULL when memory is short.
 */
struct notifications *notifications_new(const struct config *);

/**
 * notifications_next(n, now, data):
 * Do what can be done at ${now} without waiting, and return the next event;
 * to be called until there is none.
 */
enum notifications_event notifications_next(struct notifications *, long,
    struct notifications_data *);

/**
 * notifications_query(n, sql, params, nparams, now):
 * Execute ${sql}, always the same statement, which is prepared in each session
 * and again when its plan has become old; its end is NOTIFICATIONS_RESULT.
 * The statement, and the ${nparams} (at most 8) texts of ${params}, must live
 * until then.  Return 0, or -1 if the connection is busy or not listening.
 */
int notifications_query(struct notifications *, const char *,
    const char *const *, int, long);

/**
 * notifications_once(n, sql, params, nparams, now):
 * Execute ${sql} likewise, which may be another statement each time and is not
 * prepared; ${sql} and ${params} need not live on.
 */
int notifications_once(struct notifications *, const char *,
    const char *const *, int, long);

/**
 * notifications_measure(n):
 * Set the metrics of the connection's state.
 */
void notifications_measure(const struct notifications *);

/**
 * notifications_wait(n, fd, events, deadline):
 * Tell what to wait for: ${fd} (-1 for nothing) with the poll(2) ${events},
 * until ${deadline} at the latest.
 */
void notifications_wait(const struct notifications *, int *, short *, long *);

/**
 * notifications_free(n):
 * Close the connection and free ${n}; NULL is fine.
 */
void notifications_free(struct notifications *);

#endif /* !NOTIFICATIONS_H_ */
