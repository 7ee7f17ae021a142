#ifndef CLOUD_TASKS_H_
#define CLOUD_TASKS_H_

#include <stddef.h>
#include <time.h>

struct config;
struct google_auth;
struct queues;

/*
 * Google Cloud Tasks over REST (v2): create, get and delete tasks in the
 * queues of the configured location, up to FOLLOWUP_SCHEDULE_CONCURRENCY calls
 * at once, or fewer while they are answered at once; over one connection where
 * the service speaks HTTP/2, over kept ones otherwise.
 */
struct cloud_tasks;

/* A full resource name, with its NUL. */
#define CLOUD_TASKS_NAME_LEN	1024

/* What a call came to. */
enum cloud_tasks_outcome {
	CLOUD_TASKS_OK,
	CLOUD_TASKS_EXISTS,	/* create: the name is taken, or burnt */
	CLOUD_TASKS_GONE,	/* get, delete: there is no such task */
	CLOUD_TASKS_TRANSIENT,	/* try again; it may have been done */
	CLOUD_TASKS_REFUSED,	/* this request is wrong, for good */
	CLOUD_TASKS_BLOCKED,	/* every request is refused until an operator
				   fixes a role, the API or the queue */
	CLOUD_TASKS_OPEN,	/* a breaker is open: nothing was sent */
};

struct cloud_tasks_error {
	long http_status;	/* or 0 where no answer came */
	long retry_after;	/* seconds, or -1 */
	int only_its_queue;	/* blocked, open: tasks of other queues can be
				   made */
	char text[512];		/* one line, what it was and what to do */
};

/* What the service tells about a task, or a queue, that is there. */
struct cloud_tasks_info {
	int dispatches;		/* so far */
	char last[160];		/* what became of the last one; or empty */
	int is_paused;		/* of a queue: paused, or disabled */
};

enum cloud_tasks_method {
	CLOUD_TASKS_CREATE,
	CLOUD_TASKS_GET,
	CLOUD_TASKS_DELETE,
	CLOUD_TASKS_QUEUE,	/* ask for the queue itself */
};

/* One call of the API. */
struct cloud_tasks_call {
	/* What is asked; it need not live longer than cloud_tasks_begin. */
	const char *name;		/* full name of the task; to ask for a
					   queue, of any task in it */
	const char *schedule_time;	/* to create one: RFC 3339 */
	const char *url;		/* likewise: what it calls */
	const char *body;		/* likewise: with what, JSON */
	const char *traceparent;	/* likewise: its trace, or NULL */
	enum cloud_tasks_method method;
	int is_former;			/* the tasks of its booking are made in
					   another queue now, so that a fault of
					   this one concerns no other booking;
					   the module itself sets it for another
					   location */

	/* What was answered. */
	enum cloud_tasks_outcome outcome;
	struct cloud_tasks_error error;	/* unless it is CLOUD_TASKS_OK */
	struct cloud_tasks_info info;	/* get, queue: if CLOUD_TASKS_OK */

	void *cookie;			/* the caller's */
	struct cloud_tasks_call *next;	/* the module's */
};

/**
 * cloud_tasks_new(conf, auth, queues):
 * Return a client of the queues in the configured location, calling with the
 * credentials ${auth}, or, for an emulator, without (NULL), as the breakers of
 * ${queues} let it.  All must outlive it.
 */
struct cloud_tasks *cloud_tasks_new(const struct config *,
    struct google_auth *, struct queues *);

/**
 * cloud_tasks_name(tasks, queue, id, name):
 * Write the full name of the task ${id} of ${queue} to ${name}.  NULL and ""
 * are the configured queue, here and below.
 */
void cloud_tasks_name(const struct cloud_tasks *, const char *, const char *,
    char [CLOUD_TASKS_NAME_LEN]);

/**
 * cloud_tasks_is_in(tasks, queue, name):
 * Return non-zero iff ${name} is the full name of a task of ${queue}, not of
 * another one, or one in another location.
 */
int cloud_tasks_is_in(const struct cloud_tasks *, const char *,
    const char *);

/**
 * cloud_tasks_queue(tasks, name, queue):
 * Write to ${queue}, which has room for QUEUES_NAME_LEN bytes, the short name
 * of the queue that the task with the full name ${name} is in.  Return 0; or
 * -1 if that is in another location, or no queue can have that name.
 */
int cloud_tasks_queue(const struct cloud_tasks *, const char *, char *);

/**
 * cloud_tasks_has_room(tasks):
 * Return non-zero iff another call may be begun now.
 */
int cloud_tasks_has_room(const struct cloud_tasks *);

/**
 * cloud_tasks_begin(tasks, call):
 * Begin ${call}, which must live until cloud_tasks_next returns it; there
 * must be room for it.
 */
void cloud_tasks_begin(struct cloud_tasks *, struct cloud_tasks_call *);

/**
 * cloud_tasks_next(tasks, wait):
 * Return the next call that has been answered, waiting up to ${wait}
 * milliseconds for one; NULL if none was, or none is in flight.
 */
struct cloud_tasks_call *cloud_tasks_next(struct cloud_tasks *, long);

/**
 * cloud_tasks_in_flight(tasks):
 * Return how many calls cloud_tasks_next has yet to return.
 */
int cloud_tasks_in_flight(const struct cloud_tasks *);

/**
 * cloud_tasks_free(tasks):
 * Free ${tasks}, and give up what is in flight; NULL is fine.
 */
void cloud_tasks_free(struct cloud_tasks *);

#endif /* !CLOUD_TASKS_H_ */
