#ifndef CLOUD_TASKS_H_
#define CLOUD_TASKS_H_

#include <stddef.h>
#include <time.h>

struct breaker;
struct config;
struct google_auth;

/*
 * Google Cloud Tasks over REST (v2): create, get and delete a task of the
 * configured queue.
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
				   mends a role, the API or the queue */
	CLOUD_TASKS_OPEN,	/* the breaker is open: nothing was sent */
};

struct cloud_tasks_error {
	long http_status;	/* or 0 where no answer came */
	long retry_after;	/* seconds, or -1 */
	char text[512];		/* one line, what it was and what to do */
};

struct cloud_tasks_task {
	const char *id;			/* the last part of its name */
	const char *schedule_time;	/* RFC 3339, or NULL for now */
	const char *url;
	const char *body;		/* JSON */
};

/**
 * cloud_tasks_new(conf, auth, breaker):
 * Return a client of the configured queue, calling through ${breaker} with
 * the credentials ${auth}, or, for an emulator, without (NULL).  All must
 * outlive it.
 */
struct cloud_tasks *cloud_tasks_new(const struct config *,
    struct google_auth *, struct breaker *);

/**
 * cloud_tasks_name(tasks, id, name):
 * Write the full name of the task ${id} to ${name}.
 */
void cloud_tasks_name(const struct cloud_tasks *, const char *,
    char [CLOUD_TASKS_NAME_LEN]);

/**
 * cloud_tasks_create(tasks, task, error):
 * Create ${task}.  ${error} is set unless the outcome is CLOUD_TASKS_OK.
 */
enum cloud_tasks_outcome cloud_tasks_create(struct cloud_tasks *,
    const struct cloud_tasks_task *, struct cloud_tasks_error *);

/* What the service tells about a task that is there. */
struct cloud_tasks_info {
	int dispatches;		/* so far */
	char last[160];		/* what became of the last one; or empty */
};

/**
 * cloud_tasks_get(tasks, name, info, error):
 * Ask for the task with the full ${name}; ${info} may be NULL.
 */
enum cloud_tasks_outcome cloud_tasks_get(struct cloud_tasks *, const char *,
    struct cloud_tasks_info *, struct cloud_tasks_error *);

/**
 * cloud_tasks_is_paused(tasks):
 * Ask whether the queue is paused (or disabled); 0 if that cannot be told.
 */
int cloud_tasks_is_paused(struct cloud_tasks *);

/**
 * cloud_tasks_delete(tasks, name, error):
 * Delete the task with the full ${name}.
 */
enum cloud_tasks_outcome cloud_tasks_delete(struct cloud_tasks *,
    const char *, struct cloud_tasks_error *);

/**
 * cloud_tasks_free(tasks):
 * Free ${tasks}; NULL is fine.
 */
void cloud_tasks_free(struct cloud_tasks *);

#endif /* !CLOUD_TASKS_H_ */
