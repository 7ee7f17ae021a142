#ifndef TASKS_H_
#define TASKS_H_

#include <string.h>

#include "cloud_tasks.h"
#include "rfc3339.h"

#include "simulated.h"

/*
 * Cloud Tasks, in place of cloud_tasks.c: one queue in memory, which knows
 * names for a while after their tasks are gone, answers in any order, has a
 * clock of its own, and fails as it is told to.
 */

#define IN_FLIGHT	8
#define MIN_BACKOFF	(10 * SECOND)
#define MAX_BACKOFF	(600 * SECOND)
#define QUEUE		"projects/p/locations/l/queues/q/tasks/"

struct task {
	char name[160];
	char *body;
	int64_t at;			/* when it fires next */
	int64_t gone_at;		/* 0: it is there */
	int dispatches;
};

static struct cloud_tasks {
	struct task *tasks;
	size_t n;
	struct cloud_tasks_call *calls[IN_FLIGHT];
	int ncalls;
	int64_t burnt_for;		/* how long it knows a name */
	int64_t ahead;			/* its clock */
	int is_away;			/* it does nothing */
	int fails;			/* percent of the calls */
	void (*meanwhile)(void);	/* run while it is asked */
} queue;

static inline struct task *
find_task(const char *name)
{
	size_t i;

	for (i = queue.n; i-- > 0;) {
		if (strcmp(queue.tasks[i].name, name) == 0)
			return (&queue.tasks[i]);
	}
	return (NULL);
}

static inline enum cloud_tasks_outcome
create_task(const struct cloud_tasks_call *call)
{
	struct task *t = find_task(call->name);
	int64_t ms;

	if (t != NULL && (t->gone_at == 0 ||
	    now < t->gone_at + queue.burnt_for))
		return (CLOUD_TASKS_EXISTS);
	if (queue.n % 256 == 0) {
		queue.tasks = realloc(queue.tasks,
		    (queue.n + 256) * sizeof(*queue.tasks));
		assert_non_null(queue.tasks);
	}
	t = &queue.tasks[queue.n++];
	memset(t, 0, sizeof(*t));
	assert_true(strlen(call->name) < sizeof(t->name));
	(void)snprintf(t->name, sizeof(t->name), "%s", call->name);
	assert_int_equal(rfc3339_parse(call->schedule_time, &ms), 0);
	t->at = ms * 1000 - queue.ahead;
	assert_true(t->at < now + 30 * DAY);
	t->body = strdup(call->body);
	assert_non_null(t->body);
	return (CLOUD_TASKS_OK);
}

/* It has led to what it was for, was deleted, or was lost. */
static inline void
remove_task(struct task *t)
{

	t->gone_at = now;
	t->at = NEVER;
}

/* Return the task that fires next, or NULL if the queue is empty. */
static inline struct task *
next_task(void)
{
	struct task *next = NULL;
	size_t i;

	for (i = 0; i < queue.n; i++) {
		if (queue.tasks[i].at != NEVER &&
		    (next == NULL || queue.tasks[i].at < next->at))
			next = &queue.tasks[i];
	}
	return (next);
}

/* It was not answered with 2xx: it fires again. */
static inline void
again(struct task *t)
{
	int64_t wait = MIN_BACKOFF;
	int i;

	for (i = 1; i < t->dispatches && wait < MAX_BACKOFF; i++)
		wait *= 2;
	t->at = now + (wait < MAX_BACKOFF ? wait : MAX_BACKOFF);
}

static inline enum cloud_tasks_outcome
perform(struct cloud_tasks_call *call)
{
	struct task *t = find_task(call->name);

	switch (call->method) {
	case CLOUD_TASKS_CREATE:
		return (create_task(call));
	case CLOUD_TASKS_QUEUE:
		return (CLOUD_TASKS_OK);
	default:
		break;
	}
	if (t == NULL || t->gone_at != 0)
		return (CLOUD_TASKS_GONE);
	if (call->method == CLOUD_TASKS_DELETE)
		remove_task(t);
	call->info.dispatches = t->dispatches;
	return (CLOUD_TASKS_OK);
}

static inline void
forget_tasks(void)
{
	size_t i;

	for (i = 0; i < queue.n; i++)
		free(queue.tasks[i].body);
	free(queue.tasks);
}

/* What schedule.c calls. */

void
cloud_tasks_name(const struct cloud_tasks *q, const char *name,
    const char *id, char full[CLOUD_TASKS_NAME_LEN])
{

	(void)q;
	assert_true(name == NULL || *name == '\0');
	(void)snprintf(full, CLOUD_TASKS_NAME_LEN, QUEUE "%s", id);
}

int
cloud_tasks_is_in(const struct cloud_tasks *q, const char *name,
    const char *full)
{

	(void)q;
	(void)name;
	return (strncmp(full, QUEUE, strlen(QUEUE)) == 0);
}

int
cloud_tasks_has_room(const struct cloud_tasks *q)
{

	return (q->ncalls < IN_FLIGHT);
}

/* Where it fails, what was asked for may have been done all the same. */
void
cloud_tasks_begin(struct cloud_tasks *q, struct cloud_tasks_call *call)
{

	assert_true(cloud_tasks_has_room(q));
	memset(&call->error, 0, sizeof(call->error));
	memset(&call->info, 0, sizeof(call->info));
	call->error.retry_after = -1;
	(void)snprintf(call->error.text, sizeof(call->error.text),
	    "the queue fails");
	if (q->is_away) {
		call->outcome = CLOUD_TASKS_OPEN;
		call->error.retry_after = 30;
	} else if (happens(q->fails)) {
		call->outcome = CLOUD_TASKS_TRANSIENT;
		call->error.http_status = 503;
		if (happens(50))
			(void)perform(call);
	} else
		call->outcome = perform(call);
	q->calls[q->ncalls++] = call;
}

struct cloud_tasks_call *
cloud_tasks_next(struct cloud_tasks *q, long wait)
{
	struct cloud_tasks_call *call;
	int i;

	(void)wait;
	if (q->ncalls == 0)
		return (NULL);
	q->meanwhile();
	i = pick(0, q->ncalls - 1);
	call = q->calls[i];
	q->calls[i] = q->calls[--q->ncalls];
	return (call);
}

int
cloud_tasks_in_flight(const struct cloud_tasks *q)
{

	return (q->ncalls);
}

#endif /* !TASKS_H_ */
