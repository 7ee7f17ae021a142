#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "heap.h"
#include "log.h"
#include "times.h"

/* A task that is older than this is dropped. */
#define RETENTION	(INT64_C(31) * 24 * TIMES_HOUR)

/* The longest Retry-After that is considered. */
#define RETRY_AFTER_MAX	TIMES_HOUR

/*
 * Fill the token bucket of a queue up to now.
 */
static void
refill(struct queue *queue, int64_t now)
{
	double burst = resource_queue_burst(&queue->config);

	/* A clock that was set back must not stop the queue. */
	if (now > queue->filled)
		queue->tokens += queue->config.rate *
		    (double)(now - queue->filled) / (double)TIMES_SECOND;
	queue->filled = now;
	if (queue->tokens > burst)
		queue->tokens = burst;
}

/*
 * Return the task of the queue that may be dispatched now, or NULL; lower
 * *next to the time at which that changes by itself.
 */
static struct task *
choose(struct queue *queue, int64_t now, int64_t *next)
{
	struct task *task = heap_top(&queue->due);
	double wait;

	if (queue->state != QUEUE_RUNNING || task == NULL ||
	    queue->running >= queue->config.concurrent)
		return (NULL);
	if (task->schedule > now) {
		if (task->schedule < *next)
			*next = task->schedule;
		return (NULL);
	}
	refill(queue, now);
	if (queue->tokens < 1) {
		wait = (1 - queue->tokens) / queue->config.rate *
		    (double)TIMES_SECOND;

		/* With a rate of next to nothing no int64_t would hold it. */
		if (wait > (double)RETENTION)
			wait = (double)RETENTION;
		if (now + (int64_t)wait + 1 < *next)
			*next = now + (int64_t)wait + 1;
		return (NULL);
	}

	return (task);
}

/*
 * Describe the dispatch of a task that has not been counted yet.
 */
static struct dispatch *
describe(const struct task *task)
{
	struct dispatch *dispatch;

	if ((dispatch = calloc(1, sizeof(*dispatch))) == NULL)
		return (NULL);
	dispatch->name = strdup(task->name);
	dispatch->queue_id = strdup(strrchr(task->queue->name, '/') + 1);
	if (dispatch->name == NULL || dispatch->queue_id == NULL) {
		dispatch_drop(dispatch);
		return (NULL);
	}
	dispatch->task_id = strrchr(dispatch->name, '/') + 1;
	dispatch->serial = task->serial;
	dispatch->http = json_incref(task->http);
	dispatch->eta = task->schedule;
	dispatch->deadline = task->deadline;
	dispatch->retries = task->dispatches;
	dispatch->executions = task->executions;
	dispatch->previous = task->last.http;

	return (dispatch);
}

/**
 * dispatch_take(store, now, next):
 * Return the next dispatch that is due at ${now}, counted as begun; or NULL,
 * and at ${next} when to ask again unless something changes before, INT64_MAX
 * for never.  The store is locked.
 */
struct dispatch *
dispatch_take(struct store *store, int64_t now, int64_t *next)
{
	struct dispatch *dispatch;
	struct queue *queue;
	struct task *task;

	/* What tasks:run asked for waits for no queue and no limit. */
	*next = INT64_MAX;
	task = store_task_forced(store);
	TAILQ_FOREACH(queue, store_queues(store), link) {
		if (task != NULL)
			break;
		task = choose(queue, now, next);
	}
	if (task == NULL)
		return (NULL);
	if ((dispatch = describe(task)) == NULL) {
		log_error(NULL, "out of memory: dispatches wait a second");
		*next = now + TIMES_SECOND;
		return (NULL);
	}

	queue = task->queue;
	queue->tokens -= queue->tokens >= 1 ? 1 : 0;
	queue->running++;
	task->dispatches++;
	if (task->first_dispatched == 0)
		task->first_dispatched = now;
	task->last = (struct attempt){ .scheduled = task->schedule,
	    .dispatched = now };
	store_task_hold(store, task);

	return (dispatch);
}

/**
 * dispatch_backoff(config, attempts):
 * Return how long to wait after the attempt with the number ${attempts}, 1
 * for the first, failed.
 */
int64_t
dispatch_backoff(const struct queue_config *config, int attempts)
{
	int64_t wait = config->min_backoff, step;
	int i;

	/* It doubles maxDoublings times, then grows by what it was then. */
	for (i = 1; i < attempts && wait < config->max_backoff &&
	    i <= config->doublings; i++)
		wait *= 2;
	for (step = wait; i < attempts && wait < config->max_backoff; i++)
		wait += step;

	return (wait < config->max_backoff ? wait : config->max_backoff);
}

/*
 * Say whether a task that just failed has used up what its queue gives it.
 * Where both limits are set, both have to be reached.
 */
static int
used_up(const struct task *task, int64_t now)
{
	const struct queue_config *config = &task->queue->config;
	int late, often;

	if (now - task->created > RETENTION)
		return (1);
	late = now - task->first_dispatched >= config->retry_span;
	often = task->dispatches >= config->attempts;
	if (config->attempts == -1)
		return (config->retry_span != 0 && late);
	return (often && (config->retry_span == 0 || late));
}

/*
 * Note in the task what came of its attempt.
 */
static void
note(struct task *task, const struct outcome *outcome, int64_t now)
{

	task->last.responded = now;
	switch (outcome->kind) {
	case OUTCOME_ANSWERED:
		task->last.http = outcome->http;
		task->responses++;
		if (outcome->http < 500)
			task->executions++;
		break;
	case OUTCOME_TIMEOUT:
		task->last.http = 504;
		break;
	case OUTCOME_UNREACHABLE:
		task->last.http = 503;
		break;
	}
}

static void
remove_task(struct store *store, struct task *task, int64_t now)
{
	struct failure failure = { 0 };

	if (store_task_remove(store, task, &failure) == 0)
		return;

	/* It has to stay; the next attempt shows whether it can go. */
	task->schedule = now + TIMES_SECOND;
	store_task_wait(store, task);
	failure_clear(&failure);
}

/**
 * dispatch_finish(store, dispatch, outcome, now):
 * The ${dispatch} has ended with ${outcome}: its task is gone, or tried
 * again later.  Free ${dispatch}.  The store is locked.
 */
void
dispatch_finish(struct store *store, struct dispatch *dispatch,
    const struct outcome *outcome, int64_t now)
{
	struct log_about about = { .task_name = dispatch->name };
	struct queue *queue;
	struct task *task;
	int64_t wait;

	/* The queue counts the dispatch even if the task is deleted. */
	TAILQ_FOREACH(queue, store_queues(store), link) {
		if (strncmp(dispatch->name, queue->name,
		    strlen(queue->name)) == 0 &&
		    dispatch->name[strlen(queue->name)] == '/')
			queue->running--;
	}
	task = store_task(store, dispatch->name);
	if (task == NULL || task->serial != dispatch->serial) {
		log_info(&about, "a task deleted while under way ended: %s",
		    outcome->text);
		goto out;
	}

	note(task, outcome, now);
	if (outcome->kind == OUTCOME_ANSWERED && outcome->http >= 200 &&
	    outcome->http <= 299) {
		log_info(&about, "attempt %d: %s, done", task->dispatches,
		    outcome->text);
		remove_task(store, task, now);
		goto out;
	}
	if (used_up(task, now)) {
		log_warning(&about, "attempt %d: %s; the queue's retryConfig "
		    "allows no more, the task failed for good",
		    task->dispatches, outcome->text);
		remove_task(store, task, now);
		goto out;
	}

	wait = dispatch_backoff(&task->queue->config, task->dispatches);
	if (outcome->retry_after > wait)
		wait = outcome->retry_after < RETRY_AFTER_MAX ?
		    outcome->retry_after : RETRY_AFTER_MAX;
	log_info(&about, "attempt %d: %s, again in %.3f s", task->dispatches,
	    outcome->text, (double)wait / (double)TIMES_SECOND);
	task->schedule = now + wait;
	store_task_wait(store, task);

out:
	dispatch_drop(dispatch);
}

/**
 * dispatch_drop(dispatch):
 * Free ${dispatch} without more, when the program ends before it did.
 */
void
dispatch_drop(struct dispatch *dispatch)
{

	if (dispatch == NULL)
		return;
	json_decref(dispatch->http);
	free(dispatch->queue_id);
	free(dispatch->name);
	free(dispatch);
}
