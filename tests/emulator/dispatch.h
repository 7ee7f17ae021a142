#ifndef DISPATCH_H_
#define DISPATCH_H_

#include "store.h"

/*
 * Which task is dispatched when, and what becomes of it afterwards: queue
 * states, rateLimits and retryConfig.
 */

/* One dispatch, a copy: the task may be deleted while it is under way. */
struct dispatch {
	char *name;		/* full name of the task */
	const char *task_id;	/* its last part */
	char *queue_id;
	uint64_t serial;
	json_t *http;
	int64_t eta;
	int64_t deadline;
	int retries;
	int executions;
	int previous;		/* HTTP status of the attempt before, or 0 */
};

enum outcome_kind {
	OUTCOME_ANSWERED,
	OUTCOME_TIMEOUT,	/* the dispatchDeadline passed */
	OUTCOME_UNREACHABLE
};

struct outcome {
	enum outcome_kind kind;
	int http;		/* of OUTCOME_ANSWERED */
	int64_t retry_after;	/* the answer's Retry-After, or 0 */
	const char *text;	/* for the log, what went wrong */
};

/**
 * dispatch_take(store, now, next):
 * Return the next dispatch that is due at ${now}, counted as begun; or NULL,
 * and at ${next} when to ask again unless something changes before, INT64_MAX
 * for never.  The store is locked.
 */
struct dispatch *dispatch_take(struct store *, int64_t, int64_t *);

/**
 * dispatch_finish(store, dispatch, outcome, now):
 * The ${dispatch} has ended with ${outcome}: its task is gone, or tried
 * again later.  Free ${dispatch}.  The store is locked.
 */
void dispatch_finish(struct store *, struct dispatch *,
    const struct outcome *, int64_t);

/**
 * dispatch_drop(dispatch):
 * Free ${dispatch} without more, when the program ends before it did.
 */
void dispatch_drop(struct dispatch *);

/**
 * dispatch_backoff(config, attempts):
 * Return how long to wait after the attempt with the number ${attempts}, 1
 * for the first, failed.
 */
int64_t dispatch_backoff(const struct queue_config *, int);

#endif /* !DISPATCH_H_ */
