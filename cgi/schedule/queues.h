#ifndef QUEUES_H_
#define QUEUES_H_

#include <stddef.h>

#include "breaker.h"

struct config;

/*
 * The queues that tasks are made in: the configured one, and those that
 * followup_queue names for some bookings.  What goes wrong in one of them must
 * not hold up the bookings of the others, so that each has a breaker of its
 * own behind the one that all of them share.
 *
 * All of it is in memory that the workers share.  Queues are known by their
 * short names.  Times are milliseconds of the monotonic clock.
 */
struct queues;

/* The longest name that Cloud Tasks takes, with its NUL. */
#define QUEUES_NAME_LEN		101

/* Room for the label that queues_state writes. */
#define QUEUES_LABEL_LEN	(QUEUES_NAME_LEN + 16)

/* The queues with a breaker of their own; further ones share the last one. */
#define QUEUES_MAX		256

/* The most queues that queues_in_use names. */
#define QUEUES_IN_USE		64

/**
 * queues_is_name(name):
 * Return non-zero iff ${name} can be the name of a queue: up to 100 letters,
 * digits and hyphens.
 */
int queues_is_name(const char *);

/**
 * queues_new(conf, breaker):
 * Return the table of queues, with the one that ${conf} names.  ${breaker} is
 * that of the whole service and must outlive it.  To be called before the
 * workers are forked.  NULL when memory is short.
 */
struct queues *queues_new(const struct config *, struct breaker *);

/* A request that queues_ask let out. */
struct queues_request {
	struct breaker_request service;
	struct breaker_request own;
	int queue;
	int only_its_queue;	/* it was refused, or failed, because of its
				   queue, and there are others */
};

/**
 * queues_ask(queues, now, name, request, hold):
 * May ${request} about a task of the queue ${name} go out?  Return what
 * breaker_ask would, and set ${hold} as it does.  Unless it is refused, one of
 * the next three functions must be called.
 */
enum breaker_answer queues_ask(struct queues *, long, const char *,
    struct queues_request *, struct breaker_hold *);

/**
 * queues_wanted(queues, now, name):
 * Somebody asks about the queue ${name}: it counts as being in use.
 */
void queues_wanted(struct queues *, long, const char *);

/**
 * queues_succeeded(queues, now, request):
 * The service answered, and its queue takes tasks.
 */
void queues_succeeded(struct queues *, long, struct queues_request *);

/**
 * queues_answered(queues, now, request):
 * The service answered, which says nothing about the queue.
 */
void queues_answered(struct queues *, long, struct queues_request *);

/**
 * queues_failed(queues, now, request, failure, is_queue):
 * ${request} failed: because of its queue iff ${is_queue}; otherwise it was
 * the service.  Return what breaker_failed says of that.
 */
enum breaker_blame queues_failed(struct queues *, long,
    struct queues_request *, const struct breaker_failure *, int);

/**
 * queues_in_use(queues, now, names):
 * Write to ${names} the configured queue, and up to QUEUES_IN_USE - 1 others
 * in which a task was made in the last hour, or has been wanted in the last
 * ten minutes.  Return how many they are.
 */
size_t queues_in_use(struct queues *, long,
    char [QUEUES_IN_USE][QUEUES_NAME_LEN]);

/**
 * queues_state(queues, now, hold, label):
 * Return "closed"; or "open" or "half-open" if the breaker of the service, or
 * of a queue that has been wanted in the last two minutes, is so.  Then ${hold}
 * is set as by breaker_state, and ${label} to whose it is, such as
 * "Cloud Tasks" or "the queue q".
 */
const char *queues_state(struct queues *, long, struct breaker_hold *,
    char [QUEUES_LABEL_LEN]);

/**
 * queues_free(queues):
 * Unmap ${queues} from this process; NULL is fine.
 */
void queues_free(struct queues *);

#endif /* !QUEUES_H_ */
