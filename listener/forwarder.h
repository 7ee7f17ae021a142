#ifndef FORWARDER_H_
#define FORWARDER_H_

#include <curl/curl.h>

struct config;

/*
 * Bookings on their way to the webhook: what waits, what is in flight, what
 * is tried again.  A booking is in flight at most once; announced again
 * meanwhile, it is posted once more afterwards.
 *
 * A notification is posted at once, alone, while a connection is free; if what
 * it says is refused, its booking is posted by its id.  What
 * had to wait for one, and what the sweep found, goes in batches of up to 100
 * ids, spread evenly over the connections that are free:
 *
 * {"booking_ids": [UUID, ...]}	answered by	{"results": [OBJECT, ...]}
 *
 * with one result for each booking in the same order, which is what a request
 * for it alone would have been answered: its "status" if that is not 200, its
 * "bookingId", and its "retryAfter" in seconds.  A booking whose result is
 * missing or is another one's is tried again.  If a whole batch is refused its
 * bookings are posted one by one.
 *
 * An answer of 5xx, 408 or 429 that is about one booking postpones that
 * booking, by exponential backoff with full jitter or as Retry-After asks (an
 * hour at most).  Any other answer about it is final; a booking that was
 * refused is not posted again before the sweep's next interval, unless it is
 * announced.  When the webhook itself is away, or refuses whatever is posted
 * (it wants another token, or the URL is not its own), everything waits but one
 * booking at a time, which probes, so that all go on at once when it is back.
 *
 * Memory is bounded: what does not fit is left to the sweep.  Times are
 * milliseconds of the monotonic clock.
 */
struct forwarder;

enum forwarder_added {
	FORWARDER_NEW,		/* will be posted */
	FORWARDER_KNOWN,	/* waits or is in flight already */
	FORWARDER_SETTLED,	/* was answered since the sweep asked */
	FORWARDER_FULL,		/* left to the sweep */
};

/**
 * forwarder_new(conf):
 * Return a forwarder with nothing in it; NULL when memory is short.
 */
struct forwarder *forwarder_new(const struct config *);

/**
 * forwarder_add(f, id, tenant_id, payload, now):
 * Have booking ${id} (a UUID in lower case) posted.  ${payload} is NULL if the
 * sweep found it; otherwise a notification says that it has changed: it is
 * posted at once, alone and with ${payload} as the body, if a connection is
 * free, and if it is in flight just now it is posted again afterwards.
 */
enum forwarder_added forwarder_add(struct forwarder *, const char *,
    const char *, const char *, long);

/**
 * forwarder_step(f, now):
 * Take note of what is finished and start what can be started.
 */
void forwarder_step(struct forwarder *, long);

/**
 * forwarder_wait(f, extra, nextra, now, deadline):
 * Wait until something happens on a transfer or on one of the ${nextra}
 * further descriptors, or until ${deadline}.
 */
void forwarder_wait(struct forwarder *, struct curl_waitfd *, unsigned int,
    long, long);

/**
 * forwarder_has_room(f):
 * Return non-zero iff a page of the sweep can be taken.
 */
int forwarder_has_room(const struct forwarder *);

/**
 * forwarder_is_filled(f):
 * Return non-zero iff so much waits that a new sweep would bring little else.
 */
int forwarder_is_filled(const struct forwarder *);

/**
 * forwarder_remember(f, remember, now):
 * From now on (${remember} is set) a page of the sweep is being read, which
 * may show bookings as they were before they were settled: those are
 * remembered until it has been handed over (${remember} is 0).
 */
void forwarder_remember(struct forwarder *, int, long);

/**
 * forwarder_has_forgotten(f, since):
 * Return non-zero iff a booking that was refused, or is postponed, has been
 * forgotten after ${since}, because too many are: the next sweep finds it
 * again.
 */
int forwarder_has_forgotten(const struct forwarder *, long);

/**
 * forwarder_stop(f):
 * Start nothing any more.
 */
void forwarder_stop(struct forwarder *);

/**
 * forwarder_in_flight(f):
 * Return how many bookings are in flight.
 */
int forwarder_in_flight(const struct forwarder *);

/**
 * forwarder_free(f):
 * Drop everything; NULL is fine.
 */
void forwarder_free(struct forwarder *);

/* How many bookings the sweep may bring at once. */
#define FORWARDER_PAGE	1000

#endif /* !FORWARDER_H_ */
