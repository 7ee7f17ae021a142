#include <jansson.h>

#include "api.h"
#include "dispatch.h"
#include "fuzz.h"
#include "json_text.h"
#include "log.h"
#include "memory_httpd.h"
#include "names.h"
#include "oidc.h"
#include "operations.h"
#include "script.h"
#include "store.h"
#include "times.h"

/*
 * The emulator: up to eight requests, with a line of four dashes between,
 * to one that has a single queue; then some of what is due is dispatched.
 * Every request is answered once, every error the way Google words it, and
 * what a task or a queue is afterwards is within its limits.
 */

#define QUEUE		"projects/p/locations/l/queues/q"
#define MAX_REQUESTS	8
#define MAX_DISPATCHES	8
#define MAX_OPERATIONS	32
#define HORIZON		(720 * TIMES_HOUR)

static struct oidc *oidc;
static const char *names[MAX_OPERATIONS];

static void
set_up(void)
{
	char why[256];
	size_t i;

	log_init("fuzz", LOG_ERROR, 0);
	for (i = 0; operations[i].name != NULL; i++) {
		FUZZ_REQUIRE(i + 1 < MAX_OPERATIONS);
		names[i] = operations[i].name;
	}
	oidc = oidc_open("https://example.com", NULL, why, sizeof(why));
	FUZZ_REQUIRE(oidc != NULL);
}

/* {"error":{"code":404,"message":"...","status":"NOT_FOUND"}} */
static void
check_error(const json_t *json, int status)
{
	const json_t *error = json_object_get(json, "error");

	FUZZ_REQUIRE(json_integer_value(json_object_get(error, "code")) ==
	    status);
	FUZZ_REQUIRE(json_text(error, "message") != NULL &&
	    json_text(error, "status") != NULL);
}

/* A task as the API shows it. */
static void
check_task_json(const json_t *json)
{
	const json_t *http = json_object_get(json, "httpRequest");
	const char *name = json_text(json, "name"), *id;
	int64_t at;

	FUZZ_REQUIRE((id = strrchr(name, '/')) != NULL &&
	    names_task_id(id + 1));
	FUZZ_REQUIRE(times_parse_stamp(json_text(json, "scheduleTime"), &at) ==
	    0 && at <= times_now() + HORIZON + TIMES_HOUR);
	FUZZ_REQUIRE(times_parse_stamp(json_text(json, "createTime"), &at) ==
	    0);
	FUZZ_REQUIRE(times_parse_span(json_text(json, "dispatchDeadline"),
	    &at) == 0 && at >= 15 * TIMES_SECOND && at <= 1800 * TIMES_SECOND);
	FUZZ_REQUIRE(strncmp(json_text(http, "url"), "http", 4) == 0 &&
	    json_text(http, "httpMethod") != NULL);
}

static void
handle(struct api *api, char *data, size_t len)
{
	struct httpd_request request;
	json_t *json;
	int scripted;

	if (memory_httpd_init(&request, data, len) != 0)
		goto out;
	scripted = strncmp(request.path, "/admin/", 7) == 0;
	api_handle(api, &request);
	FUZZ_REQUIRE(request.replies == 1);

	/* A script may answer what is no JSON. */
	if (request.status == 0 || (json = json_loads(request.answer, 0,
	    NULL)) == NULL)
		goto out;
	if (request.status >= 400 && !scripted && json_object_get(json,
	    "error") != NULL)
		check_error(json, request.status);
	else if (request.status == 200 && json_object_get(json,
	    "httpRequest") != NULL)
		check_task_json(json);
	json_decref(json);

out:
	memory_httpd_free(&request);
}

/* Dispatch what is due: each task fails a different way, or not. */
static void
dispatch(struct store *store, const struct queue *queue)
{
	static const struct outcome outcomes[] = {
		{ .kind = OUTCOME_ANSWERED, .http = 503, .text = "503" },
		{ .kind = OUTCOME_UNREACHABLE, .text = "unreachable" },
		{ .kind = OUTCOME_ANSWERED, .http = 429, .text = "429",
		    .retry_after = 5 * TIMES_SECOND },
		{ .kind = OUTCOME_TIMEOUT, .text = "timeout" },
		{ .kind = OUTCOME_ANSWERED, .http = 200, .text = "200" },
	};
	int64_t now = times_now() + TIMES_SECOND, next;
	struct dispatch *d;
	size_t i;

	for (i = 0; i < MAX_DISPATCHES; i++) {
		if ((d = dispatch_take(store, now, &next)) == NULL) {
			/* There is nothing to do before that. */
			FUZZ_REQUIRE(next > now);
			if (next > now + INT64_C(31) * 24 * TIMES_HOUR)
				return;
			now = next;
			continue;
		}
		FUZZ_REQUIRE(json_is_object(d->http) &&
		    names_task_id(d->task_id) && d->deadline > 0);
		dispatch_finish(store, d, &outcomes[i % 5], now);
		FUZZ_REQUIRE(queue->running == 0);
	}
}

static void
check_queue(const struct queue *queue)
{
	const struct queue_config *c = &queue->config;
	const struct task *task;
	size_t waiting = 0;

	FUZZ_REQUIRE(c->rate > 0 && c->rate <= 500 && c->concurrent > 0 &&
	    c->concurrent <= 5000 && c->attempts >= -1 && c->attempts != 0 &&
	    c->doublings >= 0 && c->retry_span >= 0 && c->min_backoff > 0 &&
	    c->min_backoff <= c->max_backoff);
	TAILQ_FOREACH(task, &queue->tasks, link)
		waiting++;
	FUZZ_REQUIRE(waiting == queue->due.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct store_options options = { .burn = TIMES_HOUR };
	struct api api = { .horizon = HORIZON };
	struct failure failure = { 0 };
	struct queue_config config;
	struct queue *queue, *each;
	char why[256], *input = fuzz_text(data, len), *from = input, *to;
	int i;

	if (oidc == NULL)
		set_up();
	FUZZ_REQUIRE((api.store = store_open(&options, why, sizeof(why))) !=
	    NULL && (api.faults = script_new(names)) != NULL);
	api.oidc = oidc;
	resource_queue_defaults(&config);
	queue = store_queue_make(api.store, QUEUE, &config, &failure);
	FUZZ_REQUIRE(queue != NULL);

	/* The end of the input is that of the last request. */
	for (i = 0; i < MAX_REQUESTS && from != NULL; i++, from = to) {
		size_t left = len - (size_t)(from - input);

		to = memmem(from, left, "\n----\n", 6);
		if (to != NULL) {
			*to = '\0';
			left = (size_t)(to - from);
			to += 6;
		}
		handle(&api, from, left);
	}

	store_lock(api.store);
	if (queue->gone_until == 0)
		dispatch(api.store, queue);
	TAILQ_FOREACH(each, store_queues(api.store), link)
		check_queue(each);
	store_unlock(api.store);
	script_free(api.faults);
	store_free(api.store);
	free(input);
	return (0);
}
