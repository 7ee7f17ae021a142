#ifndef STORE_H_
#define STORE_H_

#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "resource.h"

/*
 * All queues, all tasks, and the names of the tasks that are gone.  What
 * changes is in the journal before it is true.
 *
 * One lock guards everything: hold it with store_lock around every other
 * call and for as long as a queue or task that one returned is looked at.
 * Queues are never freed before the store; tasks are when they are gone.
 */

struct store;

struct store_options {
	const char *journal;	/* file, or NULL to keep nothing */
	int64_t burn;		/* for how long a name stays burnt */
};

TAILQ_HEAD(queue_list, queue);

/**
 * store_open(options, why, whylen):
 * Return a store with what the journal holds, or NULL and a sentence at
 * ${why} (${whylen} bytes).
 */
struct store *store_open(const struct store_options *, char *, size_t);

/**
 * store_free(store):
 * Free ${store} and all that is in it; NULL is fine.
 */
void store_free(struct store *);

/**
 * store_lock(store), store_unlock(store):
 * Take and give back the lock.
 */
void store_lock(struct store *);
void store_unlock(struct store *);

/**
 * store_on_change(store, changed, cookie):
 * From now on call ${changed}(${cookie}), under the lock, whenever something
 * may have become due earlier than it was.  NULL ends that.
 */
void store_on_change(struct store *, void (*)(void *), void *);

/**
 * store_queues(store):
 * Return all queues, also those that are deleted: their gone_until is set.
 */
struct queue_list *store_queues(struct store *);

/**
 * store_queue(store, name):
 * Return the queue ${name} or NULL.
 */
struct queue *store_queue(struct store *, const char *);

/**
 * store_queue_make(store, name, config, failure):
 * Make the queue ${name}, which must not exist.  Return it, or NULL and the
 * ${failure}: FAILED_PRECONDITION where it was deleted a short while ago.
 */
struct queue *store_queue_make(struct store *, const char *,
    const struct queue_config *, struct failure *);

/**
 * store_queue_set(store, queue, state, config, failure):
 * Change the state and configuration of ${queue}.  Return 0 or -1.
 */
int store_queue_set(struct store *, struct queue *, enum queue_state,
    const struct queue_config *, struct failure *);

/**
 * store_queue_purge(store, queue, failure), store_queue_delete(...):
 * Remove all tasks of ${queue}, burning their names; the latter makes the
 * queue itself go, too.  Return 0 or -1.
 */
int store_queue_purge(struct store *, struct queue *, struct failure *);
int store_queue_delete(struct store *, struct queue *, struct failure *);

/**
 * store_task(store, name):
 * Return the task ${name} or NULL.
 */
struct task *store_task(struct store *, const char *);

/**
 * store_task_gone(store, name):
 * Say whether there was a task ${name} a short while ago.
 */
int store_task_gone(struct store *, const char *);

/**
 * store_task_add(store, queue, task, failure):
 * Put ${task} into ${queue}.  Its name, http, created, schedule and deadline
 * are set; a task without a name gets a random one.  The store owns ${task}
 * now.  Return 0; or -1 and the ${failure}, ALREADY_EXISTS for a name that is
 * in use or burnt, and then the task is still the caller's.
 */
int store_task_add(struct store *, struct queue *, struct task *,
    struct failure *);

/**
 * store_task_remove(store, task, failure):
 * Take ${task} out, burn its name and free it.  Return 0, or -1 where the
 * journal cannot be written.
 */
int store_task_remove(struct store *, struct task *, struct failure *);

/**
 * store_task_run(store, task):
 * Make ${task} the next one to be dispatched, whatever its queue says.
 */
void store_task_run(struct store *, struct task *);

/**
 * store_task_forced(store):
 * Return the first task that store_task_run named, or NULL.
 */
struct task *store_task_forced(struct store *);

/**
 * store_task_hold(store, task), store_task_wait(store, task):
 * A dispatch of ${task} begins: it waits no more; or has ended: it waits for
 * its schedule.  Either way the change of its progress goes to the journal.
 */
void store_task_hold(struct store *, struct task *);
void store_task_wait(struct store *, struct task *);

#endif /* !STORE_H_ */
