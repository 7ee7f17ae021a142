#include <stdlib.h>

#include "failure.h"
#include "resource.h"
#include "times.h"

static json_t *
stamp_json(int64_t stamp)
{
	char buf[TIMES_LEN];

	return (json_string(times_format_stamp(stamp, buf)));
}

static json_t *
span_json(int64_t span)
{
	char buf[TIMES_LEN];

	return (json_string(times_format_span(span, buf)));
}

/*
 * The google.rpc.Status of an attempt that ended with an HTTP status:
 * {} for success, else as in "UNAVAILABLE(14): HTTP status code 503".
 */
static json_t *
response_status_json(int http)
{
	enum failure_status status = failure_of_http(http);

	if (http >= 200 && http <= 299)
		return (json_object());
	return (json_pack("{s:i, s:o}", "code", failure_code(status),
	    "message", json_sprintf("%s(%d): HTTP status code %d",
	    failure_name(status), failure_code(status), http)));
}

static json_t *
attempt_json(const struct attempt *attempt)
{
	json_t *json = json_object();

	if (attempt->scheduled != 0)
		json_object_set_new(json, "scheduleTime",
		    stamp_json(attempt->scheduled));
	if (attempt->dispatched != 0)
		json_object_set_new(json, "dispatchTime",
		    stamp_json(attempt->dispatched));
	if (attempt->responded != 0)
		json_object_set_new(json, "responseTime",
		    stamp_json(attempt->responded));
	if (attempt->http != 0)
		json_object_set_new(json, "responseStatus",
		    response_status_json(attempt->http));

	return (json);
}

/**
 * resource_queue_defaults(config):
 * Set ${config} to what the service gives a queue that asks for nothing.
 */
void
resource_queue_defaults(struct queue_config *config)
{

	config->rate = 500;
	config->concurrent = 1000;
	config->attempts = 100;
	config->doublings = 16;
	config->retry_span = 0;
	config->min_backoff = TIMES_SECOND / 10;
	config->max_backoff = TIMES_HOUR;
}

/**
 * resource_queue_burst(config):
 * Return maxBurstSize, which the service derives from the rate.
 */
int
resource_queue_burst(const struct queue_config *config)
{
	int burst = (int)(config->rate / 5);

	return (burst >= 1 ? burst : 1);
}

/**
 * resource_queue_json(queue):
 * Return ${queue} as the API answers it, a reference the caller drops.
 */
json_t *
resource_queue_json(const struct queue *queue)
{
	const struct queue_config *config = &queue->config;
	json_t *json;

	/* Doubles that are whole are written as Google writes them: 500. */
	json = json_pack("{s:s, s:{s:o, s:i, s:i}, s:{s:i, s:o, s:o, s:i}, "
	    "s:s}", "name", queue->name, "rateLimits",
	    "maxDispatchesPerSecond",
	    config->rate == (double)(int)config->rate ?
	    json_integer((int)config->rate) : json_real(config->rate),
	    "maxBurstSize", resource_queue_burst(config),
	    "maxConcurrentDispatches", config->concurrent, "retryConfig",
	    "maxAttempts", config->attempts,
	    "minBackoff", span_json(config->min_backoff),
	    "maxBackoff", span_json(config->max_backoff),
	    "maxDoublings", config->doublings,
	    "state", queue->state == QUEUE_PAUSED ? "PAUSED" : "RUNNING");
	if (config->retry_span != 0)
		json_object_set_new(json_object_get(json, "retryConfig"),
		    "maxRetryDuration", span_json(config->retry_span));
	if (queue->purged != 0)
		json_object_set_new(json, "purgeTime",
		    stamp_json(queue->purged));

	return (json);
}

/**
 * resource_task_json(task, view):
 * Return ${task} as the API answers it in ${view}, a reference the caller
 * drops.
 */
json_t *
resource_task_json(const struct task *task, enum resource_view view)
{
	json_t *json, *http;

	http = json_copy(task->http);
	if (view == RESOURCE_BASIC)
		json_object_del(http, "body");
	json = json_pack("{s:s, s:o}", "name", task->name, "httpRequest",
	    http);

	/* The service keeps the time of creation only to the second. */
	json_object_set_new(json, "scheduleTime", stamp_json(task->schedule));
	json_object_set_new(json, "createTime",
	    stamp_json(task->created / TIMES_SECOND * TIMES_SECOND));
	json_object_set_new(json, "dispatchDeadline",
	    span_json(task->deadline));

	/* As in all of Google's JSON, what is zero is left out. */
	if (task->dispatches != 0)
		json_object_set_new(json, "dispatchCount",
		    json_integer(task->dispatches));
	if (task->responses != 0)
		json_object_set_new(json, "responseCount",
		    json_integer(task->responses));
	if (task->first_dispatched != 0)
		json_object_set_new(json, "firstAttempt", json_pack("{s:o}",
		    "dispatchTime", stamp_json(task->first_dispatched)));
	if (task->last.dispatched != 0)
		json_object_set_new(json, "lastAttempt",
		    attempt_json(&task->last));
	json_object_set_new(json, "view",
	    json_string(view == RESOURCE_FULL ? "FULL" : "BASIC"));

	return (json);
}

/**
 * resource_task_free(task):
 * Free ${task}, which must be in no list; NULL is fine.
 */
void
resource_task_free(struct task *task)
{

	if (task == NULL)
		return;
	json_decref(task->http);
	free(task->name);
	free(task);
}
