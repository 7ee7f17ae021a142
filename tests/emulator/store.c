#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "burnt.h"
#include "heap.h"
#include "journal.h"
#include "json_text.h"
#include "log.h"
#include "names.h"
#include "record.h"
#include "store.h"
#include "times.h"

#define JOURNAL_FAILED	"The journal cannot be written; see the log."

struct store {
	pthread_mutex_t lock;
	struct queue_list queues;
	void *tasks;		/* by name; see tsearch(3) */
	struct task_list forced;
	struct burnt *burnt;
	int64_t burn;
	uint64_t serial;	/* of the last task */
	struct journal *journal;
	void (*changed)(void *);
	void *cookie;
};

static int
by_name(const void *a, const void *b)
{
	const struct task *x = a, *y = b;

	return (strcmp(x->name, y->name));
}

static void
tell(const struct store *store)
{

	if (store->changed != NULL)
		store->changed(store->cookie);
}

static int
dump_burnt(void *cookie, const char *name, int64_t until)
{

	return (journal_append(cookie, record_burn(name, until)));
}

/*
 * Write everything there is into a fresh journal.
 */
static int
dump(void *cookie, struct journal *journal)
{
	const struct store *store = cookie;
	const struct queue *queue;
	const struct task *task;

	TAILQ_FOREACH(queue, &store->queues, link) {
		if (journal_append(journal, record_queue(queue)) != 0)
			return (-1);
		TAILQ_FOREACH(task, &queue->tasks, link) {
			if (journal_append(journal, record_task(task, 1)) != 0)
				return (-1);
		}
	}

	return (burnt_each(store->burnt, dump_burnt, journal));
}

static int
keep(struct store *store, json_t *record, struct failure *failure)
{

	/* A rewrite that fails leaves a journal that is merely long. */
	if (journal_overgrown(store->journal))
		(void)journal_rewrite(store->journal, dump, store);
	if (journal_append(store->journal, record) == 0)
		return (0);
	if (failure != NULL)
		failure_set(failure, FAILURE_UNAVAILABLE, JOURNAL_FAILED);

	return (-1);
}

/*
 * Return the queue of that name even if it is deleted.
 */
static struct queue *
find_queue(struct store *store, const char *name)
{
	struct queue *queue;

	TAILQ_FOREACH(queue, &store->queues, link) {
		if (strcmp(queue->name, name) == 0)
			return (queue);
	}

	return (NULL);
}

static struct queue *
add_queue(struct store *store, const char *name)
{
	struct queue *queue;

	if ((queue = calloc(1, sizeof(*queue))) == NULL)
		return (NULL);
	if ((queue->name = strdup(name)) == NULL) {
		free(queue);
		return (NULL);
	}
	TAILQ_INIT(&queue->tasks);
	TAILQ_INSERT_TAIL(&store->queues, queue, link);

	return (queue);
}

/*
 * Take a task out of everything it is in and free it.
 */
static void
drop(struct store *store, struct task *task)
{

	tdelete(task, &store->tasks, by_name);
	heap_remove(&task->queue->due, task);
	if (task->forced)
		TAILQ_REMOVE(&store->forced, task, forced_link);
	TAILQ_REMOVE(&task->queue->tasks, task, link);
	resource_task_free(task);
}

/*
 * Put a task whose fields are set into everything it belongs in.
 */
static int
insert(struct store *store, struct queue *queue, struct task *task)
{

	task->queue = queue;
	task->serial = ++store->serial;
	task->heap_index = SIZE_MAX;
	if (heap_reserve(&queue->due, queue->due.len +
	    (size_t)queue->running + 1) != 0 ||
	    tsearch(task, &store->tasks, by_name) == NULL)
		return (-1);
	TAILQ_INSERT_TAIL(&queue->tasks, task, link);
	heap_push(&queue->due, task);

	return (0);
}

static int
replay_queue(struct store *store, const json_t *json, const char *name)
{
	struct queue *queue;

	if ((queue = find_queue(store, name)) == NULL &&
	    (queue = add_queue(store, name)) == NULL)
		return (-1);

	return (record_read_queue(json, queue));
}

static int
replay_task(struct store *store, const json_t *json, const char *name)
{
	struct queue *queue;
	struct task *task;
	char *owner;
	size_t len;

	if ((task = store_task(store, name)) != NULL) {
		heap_remove(&task->queue->due, task);
		if (record_read_task(json, task) != 0)
			return (-1);
		heap_push(&task->queue->due, task);
		return (0);
	}

	/* The queue is what stands before "/tasks/" in the name. */
	len = strlen(name);
	while (len > 0 && name[len - 1] != '/')
		len--;
	if (len < strlen("/tasks/") ||
	    (owner = strndup(name, len - strlen("/tasks/"))) == NULL)
		return (-1);
	queue = find_queue(store, owner);
	free(owner);
	if (queue == NULL || (task = calloc(1, sizeof(*task))) == NULL)
		return (-1);
	if ((task->name = strdup(name)) == NULL ||
	    record_read_task(json, task) != 0 ||
	    insert(store, queue, task) != 0) {
		resource_task_free(task);
		return (-1);
	}

	return (0);
}

static int
replay(void *cookie, const json_t *record)
{
	struct store *store = cookie;
	struct task *task;
	const json_t *json;
	const char *kind, *name;
	void *only;

	/* A record is an object with one member, which has a name. */
	if ((only = json_object_iter((json_t *)(uintptr_t)record)) == NULL)
		return (-1);
	kind = json_object_iter_key(only);
	json = json_object_iter_value(only);
	name = json_text(json, "name");
	if (name == NULL)
		return (-1);

	if (strcmp(kind, "queue") == 0)
		return (replay_queue(store, json, name));
	if (strcmp(kind, "task") == 0)
		return (replay_task(store, json, name));
	if (strcmp(kind, "burn") != 0)
		return (-1);
	if ((task = store_task(store, name)) != NULL)
		drop(store, task);

	return (burnt_add(store->burnt, name,
	    json_integer_value(json_object_get(json, "until"))));
}

/**
 * store_open(options, why, whylen):
 * Return a store with what the journal holds, or NULL and a sentence at
 * ${why} (${whylen} bytes).
 */
struct store *
store_open(const struct store_options *options, char *why, size_t whylen)
{
	struct store *store;

	if ((store = calloc(1, sizeof(*store))) == NULL) {
		(void)snprintf(why, whylen, "out of memory");
		return (NULL);
	}
	pthread_mutex_init(&store->lock, NULL);
	TAILQ_INIT(&store->queues);
	TAILQ_INIT(&store->forced);
	store->burn = options->burn;
	if ((store->burnt = burnt_new()) == NULL) {
		(void)snprintf(why, whylen, "out of memory");
		goto err;
	}
	if (options->journal != NULL) {
		store->journal = journal_open(options->journal, replay, store,
		    why, whylen);
		if (store->journal == NULL)
			goto err;

		/* What was changed a hundred times needs only one line. */
		if (journal_rewrite(store->journal, dump, store) != 0) {
			(void)snprintf(why, whylen, "cannot rewrite %s",
			    options->journal);
			goto err;
		}
	}

	/* Success! */
	return (store);

err:
	/* Failure! */
	store_free(store);
	return (NULL);
}

/**
 * store_free(store):
 * Free ${store} and all that is in it; NULL is fine.
 */
void
store_free(struct store *store)
{
	struct queue *queue;
	struct task *task;

	if (store == NULL)
		return;
	while ((queue = TAILQ_FIRST(&store->queues)) != NULL) {
		while ((task = TAILQ_FIRST(&queue->tasks)) != NULL)
			drop(store, task);
		TAILQ_REMOVE(&store->queues, queue, link);
		heap_free(&queue->due);
		free(queue->name);
		free(queue);
	}
	journal_close(store->journal);
	burnt_free(store->burnt);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

/**
 * store_lock(store), store_unlock(store):
 * Take and give back the lock.
 */
void
store_lock(struct store *store)
{

	pthread_mutex_lock(&store->lock);
}

void
store_unlock(struct store *store)
{

	pthread_mutex_unlock(&store->lock);
}

/**
 * store_on_change(store, changed, cookie):
 * From now on call ${changed}(${cookie}), under the lock, whenever something
 * may have become due earlier than it was.  NULL ends that.
 */
void
store_on_change(struct store *store, void (*changed)(void *), void *cookie)
{

	store->changed = changed;
	store->cookie = cookie;
}

/**
 * store_queues(store):
 * Return all queues, also those that are deleted: their gone_until is set.
 */
struct queue_list *
store_queues(struct store *store)
{

	return (&store->queues);
}

/**
 * store_queue(store, name):
 * Return the queue ${name} or NULL.
 */
struct queue *
store_queue(struct store *store, const char *name)
{
	struct queue *queue = find_queue(store, name);

	return (queue != NULL && queue->gone_until == 0 ? queue : NULL);
}

/**
 * store_queue_make(store, name, config, failure):
 * Make the queue ${name}, which must not exist.  Return it, or NULL and the
 * ${failure}: FAILED_PRECONDITION where it was deleted a short while ago.
 */
struct queue *
store_queue_make(struct store *store, const char *name,
    const struct queue_config *config, struct failure *failure)
{
	struct queue *queue = find_queue(store, name);
	struct queue before;

	if (queue != NULL && queue->gone_until > times_now()) {
		failure_set(failure, FAILURE_FAILED_PRECONDITION, "The queue "
		    "cannot be created because a queue with this name existed "
		    "too recently.");
		return (NULL);
	}
	if (queue == NULL && (queue = add_queue(store, name)) == NULL) {
		failure_set(failure, FAILURE_INTERNAL, "out of memory");
		return (NULL);
	}

	/* As long as it is not in the journal it stays a deleted one. */
	before = *queue;
	queue->gone_until = 0;
	queue->state = QUEUE_RUNNING;
	queue->config = *config;
	queue->purged = 0;
	queue->tokens = resource_queue_burst(config);
	if (keep(store, record_queue(queue), failure) != 0) {
		*queue = before;
		if (queue->gone_until == 0)
			queue->gone_until = 1;
		return (NULL);
	}

	return (queue);
}

/**
 * store_queue_set(store, queue, state, config, failure):
 * Change the state and configuration of ${queue}.  Return 0 or -1.
 */
int
store_queue_set(struct store *store, struct queue *queue,
    enum queue_state state, const struct queue_config *config,
    struct failure *failure)
{
	enum queue_state old_state = queue->state;
	struct queue_config old_config = queue->config;

	queue->state = state;
	queue->config = *config;
	if (keep(store, record_queue(queue), failure) != 0) {
		queue->state = old_state;
		queue->config = old_config;
		return (-1);
	}
	tell(store);

	return (0);
}

static int
remove_all(struct store *store, struct queue *queue, struct failure *failure)
{
	struct task *task;

	while ((task = TAILQ_FIRST(&queue->tasks)) != NULL) {
		if (store_task_remove(store, task, failure) != 0)
			return (-1);
	}

	return (0);
}

/**
 * store_queue_purge(store, queue, failure), store_queue_delete(...):
 * Remove all tasks of ${queue}, burning their names; the latter makes the
 * queue itself go, too.  Return 0 or -1.
 */
int
store_queue_purge(struct store *store, struct queue *queue,
    struct failure *failure)
{

	if (remove_all(store, queue, failure) != 0)
		return (-1);
	queue->purged = times_now();

	return (keep(store, record_queue(queue), failure));
}

int
store_queue_delete(struct store *store, struct queue *queue,
    struct failure *failure)
{

	if (remove_all(store, queue, failure) != 0)
		return (-1);
	queue->gone_until = times_now() + store->burn;
	if (keep(store, record_queue(queue), failure) != 0) {
		queue->gone_until = 0;
		return (-1);
	}

	return (0);
}

/**
 * store_task(store, name):
 * Return the task ${name} or NULL.
 */
struct task *
store_task(struct store *store, const char *name)
{
	struct task key = { .name = (char *)(uintptr_t)name };
	struct task **place = tfind(&key, &store->tasks, by_name);

	return (place != NULL ? *place : NULL);
}

/**
 * store_task_gone(store, name):
 * Say whether there was a task ${name} a short while ago.
 */
int
store_task_gone(struct store *store, const char *name)
{

	return (burnt_has(store->burnt, name, times_now()));
}

/**
 * store_task_add(store, queue, task, failure):
 * Put ${task} into ${queue}.  Its name, http, created, schedule and deadline
 * are set; a task without a name gets a random one.  The store owns ${task}
 * now.  Return 0; or -1 and the ${failure}, ALREADY_EXISTS for a name that is
 * in use or burnt, and then the task is still the caller's.
 */
int
store_task_add(struct store *store, struct queue *queue, struct task *task,
    struct failure *failure)
{

	if (task->name == NULL &&
	    (task->name = names_random_task(queue->name)) == NULL)
		return (failure_set(failure, FAILURE_INTERNAL,
		    "out of memory"));
	if (store_task(store, task->name) != NULL)
		return (failure_set(failure, FAILURE_ALREADY_EXISTS,
		    "Requested entity already exists"));
	if (store_task_gone(store, task->name))
		return (failure_set(failure, FAILURE_ALREADY_EXISTS, "The task "
		    "cannot be created because a task with this name existed "
		    "too recently. For more information about task "
		    "de-duplication see https://cloud.google.com/tasks/docs/"
		    "reference/rest/v2/projects.locations.queues.tasks/create"
		    "#body.request_body.FIELDS.task."));
	if (keep(store, record_task(task, 1), failure) != 0)
		return (-1);
	if (insert(store, queue, task) != 0)
		return (failure_set(failure, FAILURE_INTERNAL,
		    "out of memory"));
	tell(store);

	return (0);
}

/**
 * store_task_remove(store, task, failure):
 * Take ${task} out, burn its name and free it.  Return 0, or -1 where the
 * journal cannot be written.
 */
int
store_task_remove(struct store *store, struct task *task,
    struct failure *failure)
{
	int64_t until = times_now() + store->burn;

	if (keep(store, record_burn(task->name, until), failure) != 0)
		return (-1);
	if (burnt_add(store->burnt, task->name, until) != 0)
		log_error(NULL, "out of memory: the name %s can be used again "
		    "at once", task->name);
	drop(store, task);

	return (0);
}

/**
 * store_task_run(store, task):
 * Make ${task} the next one to be dispatched, whatever its queue says.
 */
void
store_task_run(struct store *store, struct task *task)
{

	/* One that is under way or already the next needs no more. */
	if (task->running || task->forced)
		return;
	heap_remove(&task->queue->due, task);
	task->schedule = times_now();
	heap_push(&task->queue->due, task);
	task->forced = 1;
	TAILQ_INSERT_TAIL(&store->forced, task, forced_link);
	(void)keep(store, record_task(task, 0), NULL);
	tell(store);
}

/**
 * store_task_forced(store):
 * Return the first task that store_task_run named, or NULL.
 */
struct task *
store_task_forced(struct store *store)
{

	return (TAILQ_FIRST(&store->forced));
}

/**
 * store_task_hold(store, task), store_task_wait(store, task):
 * A dispatch of ${task} begins: it waits no more; or has ended: it waits for
 * its schedule.  Either way the change of its progress goes to the journal.
 */
void
store_task_hold(struct store *store, struct task *task)
{

	heap_remove(&task->queue->due, task);
	if (task->forced) {
		task->forced = 0;
		TAILQ_REMOVE(&store->forced, task, forced_link);
	}
	task->running = 1;
	(void)keep(store, record_task(task, 0), NULL);
}

void
store_task_wait(struct store *store, struct task *task)
{

	task->running = 0;
	heap_push(&task->queue->due, task);
	(void)keep(store, record_task(task, 0), NULL);
}
