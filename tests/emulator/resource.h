#ifndef RESOURCE_H_
#define RESOURCE_H_

#include <sys/queue.h>

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/*
 * The two resources of the API, queues and tasks, as data, and how they are
 * written in JSON.  Points and spans of time are those of times.h.
 */

enum queue_state { QUEUE_RUNNING, QUEUE_PAUSED };

/* rateLimits and retryConfig of a queue. */
struct queue_config {
	double rate;		/* maxDispatchesPerSecond */
	int concurrent;		/* maxConcurrentDispatches */
	int attempts;		/* maxAttempts, -1 for no limit */
	int doublings;		/* maxDoublings */
	int64_t retry_span;	/* maxRetryDuration, 0 for no limit */
	int64_t min_backoff;
	int64_t max_backoff;
};

struct task;

/* Tasks by due time, the earliest first; see heap.h. */
struct heap {
	struct task **tasks;
	size_t len;
	size_t size;
};

TAILQ_HEAD(task_list, task);

struct queue {
	char *name;		/* projects/P/locations/L/queues/Q */
	enum queue_state state;
	struct queue_config config;
	int64_t purged;		/* 0 if never */
	int64_t gone_until;	/* deleted, and not made again until then */
	double tokens;		/* dispatches allowed at the moment */
	int64_t filled;		/* when tokens was right */
	int running;		/* dispatches under way */
	struct heap due;	/* the tasks that wait */
	struct task_list tasks;	/* all tasks, by serial */
	TAILQ_ENTRY(queue) link;
};

/* One attempt; a time is 0 as long as it has not come. */
struct attempt {
	int64_t scheduled;
	int64_t dispatched;
	int64_t responded;
	int http;		/* HTTP status it ended with, 0 for none */
};

struct task {
	char *name;		/* full name */
	struct queue *queue;
	uint64_t serial;	/* counts up over all tasks ever made */
	json_t *http;		/* HttpRequest, with the body in base64 */
	int64_t created;
	int64_t schedule;	/* of the next attempt */
	int64_t deadline;	/* dispatchDeadline */
	int dispatches;
	int responses;
	int executions;		/* responses that were not 5xx */
	int64_t first_dispatched;	/* 0 as long as there was none */
	struct attempt last;
	int running;		/* a dispatch is under way */
	int forced;		/* tasks:run asked for the next dispatch */
	size_t heap_index;	/* place in queue->due, SIZE_MAX for none */
	TAILQ_ENTRY(task) link;	/* in queue->tasks */
	TAILQ_ENTRY(task) forced_link;
};

enum resource_view {
	RESOURCE_BASIC,		/* without the body */
	RESOURCE_FULL
};

/**
 * resource_queue_defaults(config):
 * Set ${config} to what the service gives a queue that asks for nothing.
 */
void resource_queue_defaults(struct queue_config *);

/**
 * resource_queue_burst(config):
 * Return maxBurstSize, which the service derives from the rate.
 */
int resource_queue_burst(const struct queue_config *);

/**
 * resource_queue_json(queue):
 * Return ${queue} as the API answers it, a reference the caller drops.
 */
json_t *resource_queue_json(const struct queue *);

/**
 * resource_task_json(task, view):
 * Return ${task} as the API answers it in ${view}, a reference the caller
 * drops.
 */
json_t *resource_task_json(const struct task *, enum resource_view);

/**
 * resource_task_free(task):
 * Free ${task}, which must be in no list; NULL is fine.
 */
void resource_task_free(struct task *);

#endif /* !RESOURCE_H_ */
