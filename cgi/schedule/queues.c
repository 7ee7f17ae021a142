#include <sys/mman.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "shared_mutex.h"

#include "queues.h"

/* How long a queue counts as used: after a task was made in it, and after one
 * was only wanted, in milliseconds. */
#define MADE_MS		3600000
#define WANTED_MS	600000

/*
 * A booking that waits for its queue asks about it again within a minute: what
 * nobody has asked about for this time is nobody's trouble any more, ms.
 */
#define MISSED_MS	120000

/* What a breaker calls the service. */
#define SERVICE		"Cloud Tasks"

struct queue {
	char name[QUEUES_NAME_LEN];
	char label[QUEUES_LABEL_LEN];
	struct breaker_service service;	/* for its breaker's log lines */
	struct breaker *breaker;
	_Atomic long used_until;
	_Atomic long wanted_at;
};

struct queues {
	struct breaker *breaker;	/* of the service */
	pthread_mutex_t mutex;		/* held to add a queue */
	_Atomic int n;			/* the configured one is the first */
	struct queue list[QUEUES_MAX];
};

/**
 * queues_is_name(name):
 * Return non-zero iff ${name} can be the name of a queue: up to 100 letters,
 * digits and hyphens.
 */
int
queues_is_name(const char *name)
{
	size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-");

	return (len > 0 && len < QUEUES_NAME_LEN && name[len] == '\0');
}

/* Write the names of the next queue; a reader sees it once it is counted. */
static void
set_queue(struct queue *queue, const char *name, int is_configured)
{

	(void)snprintf(queue->name, sizeof(queue->name), "%s", name);
	(void)snprintf(queue->label, sizeof(queue->label), is_configured ?
	    SERVICE : "the queue %s", name);
	queue->service.name = queue->label;
	queue->service.nothing = is_configured ?
	    "booking is scheduled or loses an attempt" :
	    "booking of that queue is scheduled or loses an attempt";
	queue->service.probe_ms = 30000;

	/* A tenant's queue does not tell how the service is. */
	queue->service.state = is_configured ? METRICS_BREAKER_TASKS :
	    METRICS_N;
	queue->service.opened = METRICS_BREAKER_TASKS_OPENED;
}

/**
 * queues_new(conf, breaker):
 * Return the table of queues, with the one that ${conf} names.  ${breaker} is
 * that of the whole service and must outlive it.  To be called before the
 * workers are forked.  NULL when memory is short.
 */
struct queues *
queues_new(const struct config *conf, struct breaker *breaker)
{
	struct queues *queues;
	int i;

	queues = mmap(NULL, sizeof(*queues), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (queues == MAP_FAILED)
		return (NULL);
	(void)madvise(queues, sizeof(*queues), MADV_DONTDUMP);
	queues->breaker = breaker;
	for (i = 0; i < QUEUES_MAX; i++) {
		queues->list[i].breaker = breaker_new(
		    &queues->list[i].service, NULL);
		if (queues->list[i].breaker == NULL)
			break;
	}
	if (i < QUEUES_MAX || shared_mutex_init(&queues->mutex) != 0) {
		queues_free(queues);
		return (NULL);
	}
	set_queue(&queues->list[0], conf->queue, 1);
	atomic_store(&queues->n, 1);
	return (queues);
}

/* Return the place of the queue ${name}, or -1. */
static int
find(const struct queues *queues, const char *name)
{
	int i, n = atomic_load(&queues->n);

	for (i = 0; i < n; i++) {
		if (strcmp(queues->list[i].name, name) == 0)
			return (i);
	}
	return (-1);
}

/* Return the place of the queue ${name}, after making it known. */
static int
find_or_add(struct queues *queues, const char *name)
{
	int n, place = find(queues, name);

	if (place >= 0)
		return (place);
	shared_mutex_lock(&queues->mutex);
	n = atomic_load(&queues->n);
	if ((place = find(queues, name)) < 0) {
		place = n < QUEUES_MAX ? n : QUEUES_MAX - 1;
		if (place == n) {
			set_queue(&queues->list[n], name, 0);
			atomic_store(&queues->n, n + 1);
		}
	}
	(void)pthread_mutex_unlock(&queues->mutex);
	return (place);
}

/* Where there are others, only the queue of ${request} is in trouble. */
static void
blame_queue(const struct queues *queues, struct queues_request *request)
{

	request->only_its_queue = atomic_load(&queues->n) > 1;
}

/* Return the place of the queue ${name}, which is wanted. */
static int
want(struct queues *queues, long now, const char *name)
{
	int place = find_or_add(queues, name);
	struct queue *queue = &queues->list[place];

	atomic_store(&queue->wanted_at, now);
	if (atomic_load(&queue->used_until) < now + WANTED_MS)
		atomic_store(&queue->used_until, now + WANTED_MS);
	return (place);
}

/**
 * queues_wanted(queues, now, name):
 * Somebody asks about the queue ${name}: it counts as being in use.
 */
void
queues_wanted(struct queues *queues, long now, const char *name)
{

	(void)want(queues, now, name);
}

/**
 * queues_ask(queues, now, name, request, hold):
 * May ${request} about a task of the queue ${name} go out?  Return what
 * breaker_ask would, and set ${hold} as it does.  Unless it is refused, one of
 * the next three functions must be called.
 */
enum breaker_answer
queues_ask(struct queues *queues, long now, const char *name,
    struct queues_request *request, struct breaker_hold *hold)
{
	struct queue *queue;

	memset(request, 0, sizeof(*request));
	request->queue = want(queues, now, name);
	queue = &queues->list[request->queue];
	if (breaker_ask(queues->breaker, now, &request->service, hold) ==
	    BREAKER_REFUSED)
		return (BREAKER_REFUSED);
	if (breaker_ask(queue->breaker, now, &request->own, hold) ==
	    BREAKER_REFUSED) {
		breaker_unused(queues->breaker, &request->service);
		blame_queue(queues, request);
		return (BREAKER_REFUSED);
	}
	return (request->service.answer == BREAKER_PROBE ? BREAKER_PROBE :
	    request->own.answer);
}

/**
 * queues_succeeded(queues, now, request):
 * The service answered, and its queue takes tasks.
 */
void
queues_succeeded(struct queues *queues, long now,
    struct queues_request *request)
{
	struct queue *queue = &queues->list[request->queue];

	breaker_succeeded(queues->breaker, now, &request->service);
	breaker_succeeded(queue->breaker, now, &request->own);
	atomic_store(&queue->used_until, now + MADE_MS);
}

/**
 * queues_answered(queues, now, request):
 * The service answered, which says nothing about the queue.
 */
void
queues_answered(struct queues *queues, long now,
    struct queues_request *request)
{

	breaker_succeeded(queues->breaker, now, &request->service);
	breaker_unused(queues->list[request->queue].breaker, &request->own);
}

/**
 * queues_failed(queues, now, request, failure, is_queue):
 * ${request} failed: because of its queue iff ${is_queue}; otherwise it was
 * the service.  Return what breaker_failed says of that.
 */
enum breaker_blame
queues_failed(struct queues *queues, long now, struct queues_request *request,
    const struct breaker_failure *failure, int is_queue)
{
	struct queue *queue = &queues->list[request->queue];

	if (!is_queue) {
		breaker_unused(queue->breaker, &request->own);
		return (breaker_failed(queues->breaker, now,
		    &request->service, failure));
	}
	breaker_succeeded(queues->breaker, now, &request->service);
	atomic_store(&queue->used_until, now + WANTED_MS);
	blame_queue(queues, request);
	return (breaker_failed(queue->breaker, now, &request->own, failure));
}

/* Return whether it is the configured one or has been used lately. */
static int
is_used(const struct queues *queues, int i, long now)
{

	return (i == 0 || atomic_load(&queues->list[i].used_until) > now);
}

/* Return whether it is the configured one or may be waited for. */
static int
is_missed(const struct queues *queues, int i, long now)
{

	return (i == 0 ||
	    atomic_load(&queues->list[i].wanted_at) > now - MISSED_MS);
}

/**
 * queues_in_use(queues, now, names):
 * Write to ${names} the configured queue, and up to QUEUES_IN_USE - 1 others
 * in which a task was made in the last hour, or has been wanted in the last
 * ten minutes.  Return how many they are.
 */
size_t
queues_in_use(struct queues *queues, long now,
    char names[QUEUES_IN_USE][QUEUES_NAME_LEN])
{
	size_t found = 0;
	int i, n = atomic_load(&queues->n);

	for (i = 0; i < n && found < QUEUES_IN_USE; i++) {
		if (is_used(queues, i, now))
			(void)snprintf(names[found++], QUEUES_NAME_LEN, "%s",
			    queues->list[i].name);
	}
	return (found);
}

/**
 * queues_state(queues, now, hold, label):
 * Return "closed"; or "open" or "half-open" if the breaker of the service, or
 * of a queue that has been wanted in the last two minutes, is so.  Then ${hold}
 * is set as by breaker_state, and ${label} to whose it is, such as
 * "Cloud Tasks" or "the queue q".
 */
const char *
queues_state(struct queues *queues, long now, struct breaker_hold *hold,
    char label[QUEUES_LABEL_LEN])
{
	const char *state;
	int i, n = atomic_load(&queues->n);

	(void)snprintf(label, QUEUES_LABEL_LEN, SERVICE);
	state = breaker_state(queues->breaker, now, hold);
	for (i = 0; i < n && strcmp(state, "closed") == 0; i++) {
		if (!is_missed(queues, i, now))
			continue;
		state = breaker_state(queues->list[i].breaker, now, hold);
		(void)snprintf(label, QUEUES_LABEL_LEN, "%s",
		    queues->list[i].label);
	}
	return (state);
}

/**
 * queues_free(queues):
 * Unmap ${queues} from this process; NULL is fine.
 */
void
queues_free(struct queues *queues)
{
	int i;

	if (queues == NULL)
		return;
	for (i = 0; i < QUEUES_MAX; i++)
		breaker_free(queues->list[i].breaker);
	(void)munmap(queues, sizeof(*queues));
}
