#ifndef SWEEP_H_
#define SWEEP_H_

#include <libpq-fe.h>

struct config;
struct forwarder;
struct notifications;

/*
 * Reading the table for what no notification announced: bookings that were
 * inserted while nobody listened, or at the same time as others, so that the
 * trigger skipped the notification; that failed and are due for another
 * attempt; that have come within the horizon; that wait and are to be looked
 * at again, all at once where a pause or a setting changed; those with an
 * obsolete task;
 * and, now and then, scheduled ones whose time has passed without a call.
 *
 * A sweep reads page by page while the forwarder has room, and none is begun
 * while much waits there.  After a notification the table is read within
 * milliseconds, for whoever committed at the same time, and again at distances
 * that double, until nothing new is found.  Where little is found, all that
 * takes at most 5 % of one core, but for fifty milliseconds that it may take
 * after a quiet time.  Once per configured interval the table is read in any
 * case, and not more often while more bookings are refused than the forwarder
 * remembers.  A sweep that the database refuses is logged and tried again, at
 * distances that double up to a minute.
 *
 * Times are milliseconds of the monotonic clock.
 */
struct sweep;

/**
 * sweep_new(conf):
 * Return a sweep that is not due; NULL when memory is short.
 */
struct sweep *sweep_new(const struct config *);

/**
 * sweep_request(sweep, when):
 * Have the table read at ${when}, if not sooner, or when the sweep before is
 * far enough away.
 */
void sweep_request(struct sweep *, long);

/**
 * sweep_notified(sweep, now):
 * A notification came at ${now}: others may have been skipped.
 */
void sweep_notified(struct sweep *, long);

/**
 * sweep_step(sweep, notifications, forwarder, now):
 * Send the query for the next page, if it is time and there is room.
 */
void sweep_step(struct sweep *, struct notifications *, struct forwarder *,
    long);

/**
 * sweep_result(sweep, result, forwarder, now):
 * Hand the bookings of a page to ${forwarder}; a NULL ${result} was refused.
 */
void sweep_result(struct sweep *, const PGresult *, struct forwarder *, long);

/**
 * sweep_lost(sweep, forwarder, now):
 * The connection is gone, and a page that was asked for with it.
 */
void sweep_lost(struct sweep *, struct forwarder *, long);

/**
 * sweep_deadline(sweep):
 * Return when sweep_step should be called at the latest.
 */
long sweep_deadline(const struct sweep *);

/**
 * sweep_free(sweep):
 * Free ${sweep}; NULL is fine.
 */
void sweep_free(struct sweep *);

#endif /* !SWEEP_H_ */
