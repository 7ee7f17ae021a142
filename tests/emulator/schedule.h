#ifndef SCHEDULE_H_
#define SCHEDULE_H_

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
 * schedule_take(store, now, next):
 * Return the next dispatch that is due at ${now}, counted as begun; or NULL,
 * and at ${next} when to ask again unless something changes before, INT64_MAX
 * for never.  The store is locked.
 */
struct dispatch *schedule_take(struct store *, int64_t, int64_t *);

/**
 * schedule_finish(store, dispatch, outcome, now):
 * The ${dispatch} has ended with ${outcome}: its task is gone, or tried
 * again later.  Free ${dispatch}.  The store is locked.
 */
void schedule_finish(struct store *, struct dispatch *,
    const struct outcome *, int64_t);

/**
 * schedule_drop(dispatch):
 * Free ${dispatch} without more, when the program ends before it did.
 */
void schedule_drop(struct dispatch *);

/**
 * schedule_backoff(config, attempts):
 * Return how long to wait after the attempt with the number ${attempts}, 1
 * for the first, failed.
 */
int64_t schedule_backoff(const struct queue_config *, int);

#endif /* !SCHEDULE_H_ */
