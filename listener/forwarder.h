#ifndef FORWARDER_H_
#define FORWARDER_H_

#include <curl/curl.h>

struct config;

/*
 * Bookings on their way to the webhook: what waits, what is in flight, what
 * is tried again.  A booking is in flight at most once; told of again
 * meanwhile, it is posted once more afterwards.
 *
 * An answer of 5xx, 408 or 429 that is about one booking puts that booking
 * off, by exponential backoff with full jitter or as Retry-After asks.  When
 * the webhook itself is away everything waits but one booking at a time,
 * which probes, so that all go on at once when it is back.
 *
 * Memory is bounded: what does not fit is left to the sweep.  Times are
 * milliseconds of the monotonic clock.
 */
struct forwarder;

enum forwarder_added {
	FORWARDER_NEW,		/* will be posted */
	FORWARDER_KNOWN,	/* waits or is in flight already */
	FORWARDER_FULL,		/* left to the sweep */
};

/**
 * forwarder_new(conf):
 * Return a forwarder with nothing in it; NULL when memory is short.
 */
struct forwarder *forwarder_new(const struct config *);

/**
 * forwarder_add(f, id, tenant_id, payload):
 * Have booking ${id} (a UUID in lower case) posted, with ${payload} as the
 * body or, if that is NULL, with the id alone.  If ${payload} is set somebody
 * says that the booking has changed: if it is in flight just now it is posted
 * again afterwards.
 */
enum forwarder_added forwarder_add(struct forwarder *, const char *,
    const char *, const char *);

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
