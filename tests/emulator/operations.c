#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "names.h"
#include "operations.h"
#include "times.h"
#include "validate.h"

#define PAGE_MAX	1000

static int
not_found(struct failure *failure)
{

	return (failure_set(failure, FAILURE_NOT_FOUND,
	    "Requested entity was not found."));
}

/*
 * Find the queue that the call is about.
 */
static struct queue *
need_queue(const struct operation_call *call, struct failure *failure)
{
	struct queue *queue;

	if ((queue = store_queue(call->store, call->queue)) == NULL)
		failure_set(failure, FAILURE_NOT_FOUND, "Queue does not exist. "
		    "If you just created the queue, wait at least a minute for "
		    "the queue to initialize.");

	return (queue);
}

/*
 * Find the task that the call is about.
 */
static struct task *
need_task(const struct operation_call *call, struct failure *failure)
{
	struct task *task;

	if (need_queue(call, failure) == NULL)
		return (NULL);
	if ((task = store_task(call->store, call->task)) != NULL)
		return (task);
	if (store_task_gone(call->store, call->task))
		failure_set(failure, FAILURE_NOT_FOUND, "The task no longer "
		    "exists, though a task with this name existed recently. "
		    "The task either successfully completed or was deleted.");
	else
		not_found(failure);

	return (NULL);
}

static const char *
query(const struct operation_call *call, const char *name)
{

	return (json_text(call->query, name));
}

/*
 * Read pageSize, where none and too many are the maximum, and pageToken,
 * which is the number of the last item of the page before.
 */
static int
read_page(const struct operation_call *call, long *size, uint64_t *after,
    struct failure *failure)
{
	const char *text;
	char *end;

	*size = 0;
	*after = 0;
	errno = 0;
	if ((text = query(call, "pageSize")) != NULL) {
		*size = strtol(text, &end, 10);
		if (*text == '\0' || *end != '\0' || errno != 0)
			return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
			    "Invalid value at 'page_size' (TYPE_INT32), "
			    "\"%.100s\"", text));
		if (*size < 0)
			return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
			    "The page size must not be negative."));
	}
	if (*size == 0 || *size > PAGE_MAX)
		*size = PAGE_MAX;
	if ((text = query(call, "pageToken")) != NULL && *text != '\0') {
		*after = strtoull(text, &end, 16);
		if (*end != '\0' || errno != 0)
			return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
			    "The page token is not one of this service."));
	}

	return (0);
}

static void
set_next_page(json_t *answer, uint64_t last)
{

	json_object_set_new(answer, "nextPageToken",
	    json_sprintf("%016" PRIx64, last));
}

static int
create_task(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct queue *queue;
	struct task *task;
	enum resource_view view;

	task = validate_task(call->body, call->queue, times_now(),
	    call->horizon, &view, failure);
	if (task == NULL)
		return (-1);
	if ((queue = need_queue(call, failure)) == NULL ||
	    store_task_add(call->store, queue, task, failure) != 0) {
		resource_task_free(task);
		return (-1);
	}
	*answer = resource_task_json(task, view);

	return (0);
}

static int
get_task(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct task *task;
	enum resource_view view;

	if (validate_view(query(call, "responseView"), &view, failure) != 0 ||
	    (task = need_task(call, failure)) == NULL)
		return (-1);
	*answer = resource_task_json(task, view);

	return (0);
}

static int
list_tasks(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct queue *queue;
	struct task *task;
	enum resource_view view;
	json_t *tasks;
	uint64_t after, last = 0;
	long size;

	if (validate_view(query(call, "responseView"), &view, failure) != 0 ||
	    read_page(call, &size, &after, failure) != 0 ||
	    (queue = need_queue(call, failure)) == NULL)
		return (-1);

	/* Tasks stand in the order of their serials, deleted ones or not. */
	*answer = json_object();
	tasks = json_array();
	TAILQ_FOREACH(task, &queue->tasks, link) {
		if (task->serial <= after)
			continue;
		if (size-- == 0) {
			set_next_page(*answer, last);
			break;
		}
		json_array_append_new(tasks, resource_task_json(task, view));
		last = task->serial;
	}
	if (json_array_size(tasks) > 0)
		json_object_set(*answer, "tasks", tasks);
	json_decref(tasks);

	return (0);
}

static int
delete_task(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct task *task;

	if ((task = need_task(call, failure)) == NULL ||
	    store_task_remove(call->store, task, failure) != 0)
		return (-1);
	*answer = json_object();

	return (0);
}

static int
run_task(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct task *task;
	enum resource_view view;

	if (validate_run(call->body, &view, failure) != 0 ||
	    (task = need_task(call, failure)) == NULL)
		return (-1);
	store_task_run(call->store, task);
	*answer = resource_task_json(task, view);

	return (0);
}

static int
create_queue(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct queue_config config;
	struct queue *queue;
	char *name;
	int rc = -1;

	resource_queue_defaults(&config);
	if (validate_queue(call->body, NULL, &config, &name, failure) != 0)
		goto out;
	if (name == NULL || !names_queue(name)) {
		failure_set(failure, FAILURE_INVALID_ARGUMENT, "Queue name "
		    "must be formatted: \"projects/<PROJECT_ID>/locations/"
		    "<LOCATION_ID>/queues/<QUEUE_ID>\".");
		failure_help(failure, "Definition of queue name",
		    "https://cloud.google.com/tasks/docs/reference/rest/v2/"
		    "projects.locations.queues#Queue.FIELDS.name");
		goto out;
	}
	if (strncmp(name, call->parent, strlen(call->parent)) != 0 ||
	    name[strlen(call->parent)] != '/') {
		failure_set(failure, FAILURE_INVALID_ARGUMENT,
		    "%s must begin with %s.", name, call->parent);
		goto out;
	}
	if (store_queue(call->store, name) != NULL) {
		failure_set(failure, FAILURE_ALREADY_EXISTS,
		    "Queue already exists");
		goto out;
	}
	queue = store_queue_make(call->store, name, &config, failure);
	if (queue == NULL)
		goto out;
	*answer = resource_queue_json(queue);
	rc = 0;

out:
	free(name);
	return (rc);
}

static int
get_queue(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct queue *queue;

	if ((queue = need_queue(call, failure)) == NULL)
		return (-1);
	*answer = resource_queue_json(queue);

	return (0);
}

static int
list_queues(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	const char *filter = query(call, "filter");
	struct queue *queue;
	json_t *queues;
	uint64_t after, n = 0;
	long size;

	if (read_page(call, &size, &after, failure) != 0)
		return (-1);
	if (filter != NULL && *filter != '\0')
		return (failure_set(failure, FAILURE_UNIMPLEMENTED, "The "
		    "emulator has no filters: list all queues."));

	/* Queues are never freed, so a place in the list stays what it is. */
	*answer = json_object();
	queues = json_array();
	TAILQ_FOREACH(queue, store_queues(call->store), link) {
		if (++n <= after || queue->gone_until != 0 ||
		    strncmp(queue->name, call->parent,
		    strlen(call->parent)) != 0 ||
		    queue->name[strlen(call->parent)] != '/')
			continue;
		if (size-- == 0) {
			set_next_page(*answer, n - 1);
			break;
		}
		json_array_append_new(queues, resource_queue_json(queue));
	}
	if (json_array_size(queues) > 0)
		json_object_set(*answer, "queues", queues);
	json_decref(queues);

	return (0);
}

static int
patch_queue(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	const char *mask = query(call, "updateMask");
	struct queue *queue = store_queue(call->store, call->queue);
	struct queue_config config;
	char *name = NULL;
	int rc = -1;

	if (mask != NULL && *mask == '\0')
		mask = NULL;

	/* Without a mask all fields are updated, also those that are absent. */
	if (queue != NULL && mask != NULL)
		config = queue->config;
	else
		resource_queue_defaults(&config);
	if (validate_queue(call->body, mask, &config, &name, failure) != 0)
		goto out;
	if (name != NULL && strcmp(name, call->queue) != 0) {
		failure_set(failure, FAILURE_INVALID_ARGUMENT, "The queue name "
		    "from request ('%s') must be the same as the name of the "
		    "queue ('%s').", call->queue, name);
		goto out;
	}

	/* Patching a queue that is not there makes it. */
	if (queue == NULL) {
		queue = store_queue_make(call->store, call->queue, &config,
		    failure);
		if (queue == NULL)
			goto out;
	} else if (store_queue_set(call->store, queue, queue->state, &config,
	    failure) != 0) {
		goto out;
	}
	*answer = resource_queue_json(queue);
	rc = 0;

out:
	free(name);
	return (rc);
}

static int
delete_queue(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct queue *queue;

	/* Here alone the service does not speak of queues. */
	if ((queue = store_queue(call->store, call->queue)) == NULL)
		return (not_found(failure));
	if (store_queue_delete(call->store, queue, failure) != 0)
		return (-1);
	*answer = json_object();

	return (0);
}

static int
set_state(const struct operation_call *call, enum queue_state state,
    json_t **answer, struct failure *failure)
{
	struct queue *queue;

	if (validate_nothing(call->body, failure) != 0 ||
	    (queue = need_queue(call, failure)) == NULL ||
	    store_queue_set(call->store, queue, state, &queue->config,
	    failure) != 0)
		return (-1);
	*answer = resource_queue_json(queue);

	return (0);
}

static int
pause_queue(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{

	return (set_state(call, QUEUE_PAUSED, answer, failure));
}

static int
resume_queue(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{

	return (set_state(call, QUEUE_RUNNING, answer, failure));
}

static int
purge_queue(const struct operation_call *call, json_t **answer,
    struct failure *failure)
{
	struct queue *queue;

	if (validate_nothing(call->body, failure) != 0 ||
	    (queue = need_queue(call, failure)) == NULL ||
	    store_queue_purge(call->store, queue, failure) != 0)
		return (-1);
	*answer = resource_queue_json(queue);

	return (0);
}

/* All of them, ended by one without a name. */
const struct operation operations[] = {
	{ "createTask", "POST", NULL, OPERATION_TASKS, { NULL },
	    create_task },
	{ "getTask", "GET", NULL, OPERATION_TASK, { "responseView" },
	    get_task },
	{ "listTasks", "GET", NULL, OPERATION_TASKS, { "responseView",
	    "pageSize", "pageToken" }, list_tasks },
	{ "deleteTask", "DELETE", NULL, OPERATION_TASK, { NULL },
	    delete_task },
	{ "runTask", "POST", "run", OPERATION_TASK, { NULL }, run_task },
	{ "createQueue", "POST", NULL, OPERATION_QUEUES, { NULL },
	    create_queue },
	{ "getQueue", "GET", NULL, OPERATION_QUEUE, { "readMask" },
	    get_queue },
	{ "listQueues", "GET", NULL, OPERATION_QUEUES, { "filter",
	    "pageSize", "pageToken" }, list_queues },
	{ "patchQueue", "PATCH", NULL, OPERATION_QUEUE, { "updateMask" },
	    patch_queue },
	{ "deleteQueue", "DELETE", NULL, OPERATION_QUEUE, { NULL },
	    delete_queue },
	{ "pauseQueue", "POST", "pause", OPERATION_QUEUE, { NULL },
	    pause_queue },
	{ "resumeQueue", "POST", "resume", OPERATION_QUEUE, { NULL },
	    resume_queue },
	{ "purgeQueue", "POST", "purge", OPERATION_QUEUE, { NULL },
	    purge_queue },
	{ .name = NULL }
};
