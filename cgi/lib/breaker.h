#ifndef BREAKER_H_
#define BREAKER_H_

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics.h"

/*
 * The circuit breaker of a service that all workers call.  Closed, everything
 * goes through.  Failures in a row open it: nothing goes through, so that an
 * outage costs no booking its attempts.  After a pause one request at a time
 * may try (half open); success closes it, failure makes the pause longer.  A
 * booking whose try failed leaves the next one to others that wait.
 *
 * It tells whose requests fail.  Those of one booking count once, however
 * often they fail.  Those of one tenant do not open it while others get
 * through.  Where no others have asked lately it opens for that tenant alone:
 * the next of another one shows whose trouble it is.
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

/* So many failures in a row are not the fault of those who asked. */
#define BREAKER_SEVERAL		5

/* Room for the id of a booking, with its NUL. */
#define BREAKER_ID_LEN		40

/* What it guards; all must outlive it. */
struct breaker_service {
	const char *name;	/* for log lines, as "Cloud Tasks" */
	const char *nothing;	/* what does not happen while it is open, as
				   it stands behind "no" */
	long probe_ms;		/* longer than a probe can take: it then died
				   with its worker */
	enum metric state;	/* where its state is shown; METRICS_N:
				   nowhere, it is a part of a service */
	enum metric opened;	/* where it is counted how often it opened */
};

/* What another program may know of it; 0 and empty while it is closed. */
struct breaker_view {
	_Atomic long open_since;
	char reason[BREAKER_REASON_LEN];
};

/**
 * breaker_new(service, view):
 * Return a closed breaker in memory that workers forked later share, which
 * keeps ${view} up to date, in memory that they share as well, or NULL.
 * Return NULL when memory is short.
 */
struct breaker *breaker_new(const struct breaker_service *,
    struct breaker_view *);

enum breaker_answer {
	BREAKER_GO,	/* send it, and tell what came of it */
	BREAKER_PROBE,	/* likewise, as the one probe of an open breaker */
	BREAKER_REFUSED,
};

/* A request.  What is NULL is not known, and another one each time. */
struct breaker_request {
	const char *id;			/* of the booking */
	const char *tenant;
	enum breaker_answer answer;	/* of breaker_ask */
};

/* What breaker_ask and breaker_state say of a breaker that is not closed. */
struct breaker_hold {
	long wait;			/* until it is worth asking again */
	char reason[BREAKER_REASON_LEN];
};

/**
 * breaker_ask(breaker, now, request, hold):
 * May ${request} go out?  Set and return its answer, and ${hold} unless that
 * is BREAKER_GO.  If so, one of the next three functions must be called.
 */
enum breaker_answer breaker_ask(struct breaker *, long,
    struct breaker_request *, struct breaker_hold *);

/**
 * breaker_succeeded(breaker, now, request):
 * The service answered, whatever it said.
 */
void breaker_succeeded(struct breaker *, long, const struct breaker_request *);

struct breaker_failure {
	int enough;		/* so many different bookings that failed in a
				   row open it (those for whose tenant alone it
				   is open count as one); 1: this one does */
	int is_everybody;	/* it does not matter whose request it was */
	int slow_down;		/* the service works and has too much to do */
	long retry_after;	/* the pause that it asked for in seconds, kept
				   up to BREAKER_ASKED_MAX; or -1 */
	const char *reason;
};

enum breaker_blame {
	BREAKER_ITS_OWN,	/* the request may be at fault */
	BREAKER_OPENED,		/* this request alone opened it */
	BREAKER_OPENED_AGAIN,	/* likewise, as one of its booking did before:
				   since then others got through */
	BREAKER_COMMON,		/* others fail too: it says nothing about what
				   was asked */
};

/**
 * breaker_failed(breaker, now, request, failure):
 * The service failed ${request}.  Return whose fault that is.
 *
 * A service that asks us to slow down is left alone by everybody until the
 * time that it says, even if requests that were on their way succeed; for a
 * second if it says none, then two, and so on.
 */
enum breaker_blame breaker_failed(struct breaker *, long,
    const struct breaker_request *, const struct breaker_failure *);

/*
 * A booking whose failures looked like its own until the breaker opened: they
 * were the service's.
 */
struct breaker_cleared {
	char id[BREAKER_ID_LEN];
	int failures;			/* how many of them */
	unsigned long opening;		/* which one it was */
};

/**
 * breaker_cleared(breaker, now, list):
 * Write to ${list}, which has room for BREAKER_SEVERAL, the bookings that are
 * cleared since the breaker opened, and return how many they are.  The caller
 * tells breaker_gave_back of each.  Meanwhile nobody else is told; but those
 * that are left after half a minute, because the caller died or could not do
 * it, are told to the next one who asks.
 */
int breaker_cleared(struct breaker *, long, struct breaker_cleared *);

/**
 * breaker_gave_back(breaker, cleared):
 * The booking ${cleared} has its attempts back: it is not to be told again.
 */
void breaker_gave_back(struct breaker *, const struct breaker_cleared *);

/**
 * breaker_unused(breaker, request):
 * ${request} was not sent after all.
 */
void breaker_unused(struct breaker *, const struct breaker_request *);

/**
 * breaker_state(breaker, now, hold):
 * Return "closed", "open" or "half-open"; ${hold} is set unless it is closed.
 */
const char *breaker_state(struct breaker *, long, struct breaker_hold *);

/**
 * breaker_free(breaker):
 * Unmap ${breaker} from this process; NULL is fine.
 */
void breaker_free(struct breaker *);

#endif /* !BREAKER_H_ */
