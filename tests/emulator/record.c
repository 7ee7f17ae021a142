#include "record.h"

/**
 * record_queue(queue), record_task(task, whole), record_burn(name, until):
 * Return the record, a reference the caller drops.
 */
json_t *
record_queue(const struct queue *queue)
{
	const struct queue_config *config = &queue->config;

	return (json_pack("{s:{s:s, s:b, s:I, s:I, s:f, s:i, s:i, s:i, s:I, "
	    "s:I, s:I}}", "queue", "name", queue->name, "paused",
	    queue->state == QUEUE_PAUSED, "purged", (json_int_t)queue->purged,
	    "goneUntil", (json_int_t)queue->gone_until, "rate", config->rate,
	    "concurrent", config->concurrent, "attempts", config->attempts,
	    "doublings", config->doublings, "retrySpan",
	    (json_int_t)config->retry_span, "minBackoff",
	    (json_int_t)config->min_backoff, "maxBackoff",
	    (json_int_t)config->max_backoff));
}

json_t *
record_task(const struct task *task, int whole)
{
	const struct attempt *last = &task->last;

	return (json_pack("{s:{s:s, s:O*, s:I, s:I, s:I, s:i, s:i, s:i, s:I, "
	    "s:[I, I, I, i]}}", "task", "name", task->name, "http",
	    whole ? task->http : NULL, "created", (json_int_t)task->created,
	    "schedule", (json_int_t)task->schedule, "deadline",
	    (json_int_t)task->deadline, "dispatches", task->dispatches,
	    "responses", task->responses, "executions", task->executions,
	    "first", (json_int_t)task->first_dispatched, "last",
	    (json_int_t)last->scheduled, (json_int_t)last->dispatched,
	    (json_int_t)last->responded, last->http));
}

json_t *
record_burn(const char *name, int64_t until)
{

	return (json_pack("{s:{s:s, s:I}}", "burn", "name", name, "until",
	    (json_int_t)until));
}

/**
 * record_read_queue(json, queue), record_read_task(json, task):
 * Fill in ${queue} or ${task} except its name from what stands behind
 * "queue" or "task" in a record.  Return 0, or -1 if it is none.
 */
int
record_read_queue(const json_t *json, struct queue *queue)
{
	struct queue_config *config = &queue->config;
	json_int_t purged, gone, retry_span, min_backoff, max_backoff;
	int paused;

	if (json_unpack((json_t *)(uintptr_t)json, "{s:b, s:I, s:I, s:F, s:i, "
	    "s:i, s:i, s:I, s:I, s:I}", "paused", &paused, "purged", &purged,
	    "goneUntil", &gone, "rate", &config->rate, "concurrent",
	    &config->concurrent, "attempts", &config->attempts, "doublings",
	    &config->doublings, "retrySpan", &retry_span, "minBackoff",
	    &min_backoff, "maxBackoff", &max_backoff) != 0)
		return (-1);
	queue->state = paused ? QUEUE_PAUSED : QUEUE_RUNNING;
	queue->purged = purged;
	queue->gone_until = gone;
	config->retry_span = retry_span;
	config->min_backoff = min_backoff;
	config->max_backoff = max_backoff;

	return (0);
}

int
record_read_task(const json_t *json, struct task *task)
{
	struct attempt *last = &task->last;
	json_int_t created, schedule, deadline, first, at[3];
	json_t *http = NULL;

	if (json_unpack((json_t *)(uintptr_t)json, "{s?o, s:I, s:I, s:I, s:i, "
	    "s:i, s:i, s:I, s:[I, I, I, i]}", "http", &http, "created",
	    &created, "schedule", &schedule, "deadline", &deadline,
	    "dispatches", &task->dispatches, "responses", &task->responses,
	    "executions", &task->executions, "first", &first, "last", &at[0],
	    &at[1], &at[2], &last->http) != 0)
		return (-1);
	if (http == NULL && task->http == NULL)
		return (-1);
	if (http != NULL) {
		json_decref(task->http);
		task->http = json_incref(http);
	}
	task->created = created;
	task->schedule = schedule;
	task->deadline = deadline;
	task->first_dispatched = first;
	last->scheduled = at[0];
	last->dispatched = at[1];
	last->responded = at[2];

	return (0);
}
