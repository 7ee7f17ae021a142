#ifndef BREAKER_H_
#define BREAKER_H_

#include <stddef.h>

/*
 * The circuit breaker of the Cloud Tasks API, one for all workers.  Closed,
 * everything goes through.  Failures in a row open it: nothing goes through,
 * so that an outage costs no booking its attempts.  After a pause one worker
 * at a time may try (half open); success closes it, failure makes the pause
 * longer.
 *
 * Times are milliseconds of the monotonic clock.
 */
struct breaker;

/* The longest reason, with its NUL. */
#define BREAKER_REASON_LEN	320

/*
 * The longest pause that one answer can ask everybody to make, in seconds:
 * then it is worth a probe whether it is still so.
 */
#define BREAKER_ASKED_MAX	60

/**
 * breaker_new():
 * Return a closed breaker in memory that workers forked later share; NULL
 * when memory is short.
 */
struct breaker *breaker_new(void);

enum breaker_answer {
	BREAKER_GO,	/* send it, and tell what came of it */
	BREAKER_PROBE,	/* likewise, as the one probe of an open breaker */
	BREAKER_REFUSED,
};

/**
 * breaker_ask(breaker, now, wait, reason):
 * May a request go out?  Unless the answer is BREAKER_GO, ${wait} is set to
 * the time until it is worth asking again, and ${reason} (BREAKER_REASON_LEN
 * bytes) to why the breaker is open.
 */
enum breaker_answer breaker_ask(struct breaker *, long, long *, char *);

/**
 * breaker_succeeded(breaker):
 * The service answered.
 */
void breaker_succeeded(struct breaker *);

/**
 * breaker_failed(breaker, now, answer, at_once, retry_after, reason):
 * The service failed a request that had the ${answer} of breaker_ask, for
 * ${reason}.  With ${at_once} set it will fail for everybody: open without
 * waiting for more.  ${retry_after} is the pause that the service asked for
 * in seconds, kept up to BREAKER_ASKED_MAX, or -1.  Return non-zero iff the
 * breaker is open now: the failure then says nothing about what was asked.
 */
int breaker_failed(struct breaker *, long, enum breaker_answer, int, long,
    const char *);

/**
 * breaker_state(breaker, now, wait, reason):
 * Return "closed", "open" or "half-open"; ${wait} and ${reason} as above
 * unless it is closed.
 */
const char *breaker_state(struct breaker *, long, long *, char *);

/**
 * breaker_free(breaker):
 * Unmap ${breaker} from this process; NULL is fine.
 */
void breaker_free(struct breaker *);

#endif /* !BREAKER_H_ */
