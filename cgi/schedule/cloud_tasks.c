#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "base64.h"
#include "config.h"
#include "google_auth.h"
#include "http.h"
#include "metrics.h"
#include "monotime.h"
#include "queues.h"
#include "secret.h"
#include "utf8.h"

#include "cloud_tasks.h"

/* Google's clients give a create twice as long; a worker is worth more. */
#define TIMEOUT_MS	10000

/* The longest answer that is read, in bytes; a task has less. */
#define MAX_ANSWER	((size_t)256 * 1024)

/*
 * How long one dispatch may take before Cloud Tasks counts it as failed:
 * longer than nginx and the call allow, so that theirs is the answer.
 */
#define DISPATCH_DEADLINE	"120s"

/*
 * While the service answers quickly a few requests in flight are enough: more
 * would save no time, and each handle of curl's takes 17 KiB.  Once an answer
 * takes SLOW_MS milliseconds, as many may be in flight as are configured.
 */
#define FEW_SLOTS	32
#define SLOW_MS		20

/* A request that can be in flight, and the call it is for. */
struct slot {
	struct http *http;		/* made when first needed */
	struct cloud_tasks_call *call;	/* NULL: free */
	const char *verb;
	char *url;
	char *body;			/* or NULL */
	struct queues_request asked;	/* as it was let out */
	time_t sent;			/* with the token of that time */
	int renewed;			/* the token, after a 401 */
};

/* Calls that wait to be returned, first in, first out. */
struct calls {
	struct cloud_tasks_call *first;
	struct cloud_tasks_call **end;
};

struct cloud_tasks {
	const struct config *conf;
	struct google_auth *auth;
	struct queues *queues;
	CURLM *multi;
	struct http *token_http;	/* where a token is asked for */
	struct slot *slots;
	int nslots;
	int room;			/* slots that may be busy at once */
	int in_flight;			/* slots that are busy */
	struct calls answered;
	char *base;			/* without a slash at its end */
	char *prefix;			/* what our queues' names begin with */
	char *oidc_token;		/* of every task; see oidc_token() */
};

/*
 * Set where the API is, and what the names of the queues begin with.
 * Return 0, or -1 when memory is short.
 */
static int
set_texts(struct cloud_tasks *tasks)
{
	const struct config *conf = tasks->conf;
	const char *scheme = "", *host = conf->cloud_tasks_endpoint;
	size_t len;

	if (conf->emulator_host != NULL) {
		scheme = "http://";
		host = conf->emulator_host;
	} else if (host == NULL) {
		scheme = "https://cloudtasks.";
		host = google_auth_universe(tasks->auth);
	}
	if (asprintf(&tasks->base, "%s%s", scheme, host) < 0) {
		tasks->base = NULL;
		return (-1);
	}
	for (len = strlen(tasks->base); tasks->base[len - 1] == '/'; len--)
		tasks->base[len - 1] = '\0';
	if (asprintf(&tasks->prefix, "projects/%s/locations/%s/queues/",
	    conf->project_id, conf->location) < 0) {
		tasks->prefix = NULL;
		return (-1);
	}
	return (0);
}

/* Is ${text} the same in JSON, but for the quotes around it? */
static int
is_plain(const char *text)
{

	while (*text >= ' ' && *text < 0x7f && *text != '"' && *text != '\\')
		text++;
	return (*text == '\0');
}

/*
 * Return ${text} as JSON, to be given to secret_free; NULL when memory is
 * short, or if it is not UTF-8.
 */
static char *
dump_text(const char *text)
{
	json_t *json;
	char *dumped;

	if (is_plain(text))
		return (secret_concat(SECRET_TEXTS("\"", text, "\"")));
	json = json_string(text);
	dumped = json != NULL ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
	json_decref(json);
	return (dumped);
}

/*
 * Return the member of a task that has its calls signed, with a comma before
 * it, or "" where they are not; to be freed.
 */
static char *
oidc_token(const struct config *conf)
{
	char *dumped, *member;
	json_t *token;

	if (conf->service_account == NULL)
		return (strdup(""));
	token = json_pack("{s:s, s:s}", "serviceAccountEmail",
	    conf->service_account, "audience", conf->execution_audience);
	dumped = json_dumps(token, JSON_COMPACT);
	if (dumped == NULL || asprintf(&member, ",\"oidcToken\":%s",
	    dumped) < 0)
		member = NULL;
	free(dumped);
	json_decref(token);
	return (member);
}

/**
 * cloud_tasks_new(conf, auth, queues):
 * Return a client of the queues in the configured location, calling with the
 * credentials ${auth}, or, for an emulator, without (NULL), as the breakers of
 * ${queues} let it.  All must outlive it.
 */
struct cloud_tasks *
cloud_tasks_new(const struct config *conf, struct google_auth *auth,
    struct queues *queues)
{
	struct cloud_tasks *tasks;

	if ((tasks = calloc(1, sizeof(*tasks))) == NULL)
		return (NULL);
	tasks->conf = conf;
	tasks->auth = auth;
	tasks->queues = queues;
	tasks->answered.end = &tasks->answered.first;
	tasks->nslots = conf->schedule_concurrency;
	tasks->room = tasks->nslots < FEW_SLOTS ? tasks->nslots : FEW_SLOTS;
	if ((tasks->slots = calloc((size_t)tasks->nslots,
	    sizeof(*tasks->slots))) == NULL ||
	    (tasks->token_http = http_new(conf->proxy)) == NULL ||
	    (tasks->multi = curl_multi_init()) == NULL ||
	    (tasks->oidc_token = oidc_token(conf)) == NULL ||
	    set_texts(tasks) != 0) {
		cloud_tasks_free(tasks);
		return (NULL);
	}

	/* Every slot keeps its connection for the next call. */
	(void)curl_multi_setopt(tasks->multi, CURLMOPT_MAXCONNECTS,
	    (long)tasks->nslots);
	return (tasks);
}

/* The queue ${queue}, or the configured one if that is NULL or empty. */
static const char *
queue_or_ours(const struct cloud_tasks *tasks, const char *queue)
{

	return (queue != NULL && *queue != '\0' ? queue : tasks->conf->queue);
}

/**
 * cloud_tasks_name(tasks, queue, id, name):
 * Write the full name of the task ${id} of ${queue} to ${name}.  NULL and ""
 * are the configured queue, here and below.
 */
void
cloud_tasks_name(const struct cloud_tasks *tasks, const char *queue,
    const char *id, char name[CLOUD_TASKS_NAME_LEN])
{

	(void)snprintf(name, CLOUD_TASKS_NAME_LEN, "%s%s/tasks/%s",
	    tasks->prefix, queue_or_ours(tasks, queue), id);
}

/**
 * cloud_tasks_is_in(tasks, queue, name):
 * Return non-zero iff ${name} is the full name of a task of ${queue}, not of
 * another one, or one in another location.
 */
int
cloud_tasks_is_in(const struct cloud_tasks *tasks, const char *queue,
    const char *name)
{
	char prefix[CLOUD_TASKS_NAME_LEN];

	cloud_tasks_name(tasks, queue, "", prefix);
	return (strncmp(name, prefix, strlen(prefix)) == 0);
}

/**
 * cloud_tasks_queue(tasks, name, queue):
 * Write to ${queue}, which has room for QUEUES_NAME_LEN bytes, the short name
 * of the queue that the task with the full name ${name} is in.  Return 0; or
 * -1 if that is in another location, or no queue can have that name.
 */
int
cloud_tasks_queue(const struct cloud_tasks *tasks, const char *name,
    char *queue)
{
	size_t len = strlen(tasks->prefix);

	if (strncmp(name, tasks->prefix, len) != 0)
		return (-1);
	name += len;
	(void)snprintf(queue, QUEUES_NAME_LEN, "%.*s",
	    (int)strcspn(name, "/"), name);
	return (queues_is_name(queue) ? 0 : -1);
}

/*
 * Return whether the call tells how the service, or a queue, treats everybody.
 * A queue in which no tasks are made any more may be gone, or closed to us; the
 * role to read queues may be missing.  Neither must open a breaker, so these
 * calls go around them.
 */
static int
is_for_breaker(const struct cloud_tasks_call *call)
{

	return (call->method != CLOUD_TASKS_QUEUE && !call->is_former);
}

/* Return the URL of the call, to be freed; NULL when memory is short. */
static char *
url_of(const struct cloud_tasks *tasks, const struct cloud_tasks_call *call)
{
	const char *end = strrchr(call->name, '/');
	char *url;

	/* Tasks are created at .../tasks; the queue is above that. */
	if (call->method == CLOUD_TASKS_QUEUE)
		end -= strlen("/tasks");
	else if (call->method != CLOUD_TASKS_CREATE)
		end = call->name + strlen(call->name);
	return (asprintf(&url, "%s/v2/%.*s", tasks->base,
	    (int)(end - call->name), call->name) < 0 ? NULL : url);
}

/* Note that no answer came. */
static enum cloud_tasks_outcome
no_answer(struct cloud_tasks_error *error, const char *why)
{

	error->http_status = 0;
	error->retry_after = -1;
	(void)snprintf(error->text, sizeof(error->text),
	    "Cloud Tasks could not be reached: %s", why);
	utf8_clean(error->text);
	return (CLOUD_TASKS_TRANSIENT);
}

/*
 * Is what was answered with this status worth another attempt?  A 2xx or 3xx
 * was somebody else's answer in the service's place, and so was what is not in
 * the API's format (${status} NULL), a front end's page: it says nothing about
 * the task.  499 is CANCELLED.
 */
static int
is_transient(long http_status, const char *status)
{

	if (http_status == 401 || http_status == 403 || http_status == 404)
		return (0);
	return (http_status < 400 || http_status == 408 ||
	    http_status == 429 || http_status >= 499 || status == NULL ||
	    strcmp(status, "ABORTED") == 0);
}

/* Write to ${hint} what to check when the API answers ${code}. */
static void
set_hint(const struct cloud_tasks *tasks, const struct cloud_tasks_call *call,
    long code, char *hint, size_t len)
{
	const char *from = "that followup_queue names";
	char queue[QUEUES_NAME_LEN] = "";

	*hint = '\0';
	if (call->is_former) {
		(void)snprintf(hint, len, "; its queue is not the one in "
		    "which the tasks of its booking are made now");
		return;
	}
	(void)cloud_tasks_queue(tasks, call->name, queue);
	if (strcmp(queue, tasks->conf->queue) == 0)
		from = "of FOLLOWUP_QUEUE_NAME";
	if (code == 401)
		(void)snprintf(hint, len, "; are the credentials still "
		    "valid?");
	else if (code == 403)
		(void)snprintf(hint, len, "; is the API enabled, and does the "
		    "service account have roles/cloudtasks.enqueuer, .viewer "
		    "and .taskDeleter on the queue %s and "
		    "roles/iam.serviceAccountUser on "
		    "GCP_CLOUD_TASKS_SERVICE_ACCOUNT?", queue);
	else if (code == 400 || code == 404)
		(void)snprintf(hint, len, "; does the queue %s %s exist in "
		    "GCP_LOCATION of GCP_PROJECT_ID?", queue, from);
}

/*
 * What a 403 comes to.  Where only the role to delete or to look is missing,
 * tasks can be created all the same: a task that may not be deleted is left to
 * fire in vain, and one that may not be looked at is one booking's trouble.
 */
static enum cloud_tasks_outcome
forbidden(const struct cloud_tasks_call *call)
{

	if (call->method == CLOUD_TASKS_DELETE)
		return (CLOUD_TASKS_REFUSED);
	if (call->method == CLOUD_TASKS_GET)
		return (call->is_former ? CLOUD_TASKS_REFUSED :
		    CLOUD_TASKS_TRANSIENT);
	return (CLOUD_TASKS_BLOCKED);
}

/*
 * Does the API's error ${e} say that no task can be made where the queue is?
 * It is not ready, or the project has no such location.
 */
static int
is_no_place(const json_t *e)
{
	const char *status = json_string_value(json_object_get(e, "status"));
	const char *message = json_string_value(json_object_get(e,
	    "message"));

	return (strcmp(status, "FAILED_PRECONDITION") == 0 ||
	    (message != NULL && strncmp(message, "Location ", 9) == 0));
}

/* What an answer with ${code} and the API's error ${e} (or NULL) comes to. */
static enum cloud_tasks_outcome
outcome_of(const struct cloud_tasks_call *call, long code, const json_t *e)
{
	int is_of_task = call->method == CLOUD_TASKS_GET ||
	    call->method == CLOUD_TASKS_DELETE;

	if (is_transient(code, json_string_value(json_object_get(e,
	    "status"))))
		return (CLOUD_TASKS_TRANSIENT);
	switch (code) {
	case 401:
		/* With ours the others will notice what is wrong. */
		return (call->is_former ? CLOUD_TASKS_TRANSIENT :
		    CLOUD_TASKS_BLOCKED);
	case 403:
		return (forbidden(call));
	case 404:
		/* What a create does not find is the queue. */
		if (!is_of_task)
			return (CLOUD_TASKS_BLOCKED);

		/* A front end that answers by itself knows no tasks. */
		return (json_is_object(e) ? CLOUD_TASKS_GONE :
		    CLOUD_TASKS_TRANSIENT);
	case 409:
		return (CLOUD_TASKS_EXISTS);
	default:
		return (!is_of_task && is_no_place(e) ? CLOUD_TASKS_BLOCKED :
		    CLOUD_TASKS_REFUSED);
	}
}

/*
 * Copy ${text}, for the caller to free; NULL: no memory.  Tasks contain the
 * secret, so what is said of one may quote it.
 */
static char *
quote(const struct cloud_tasks *tasks, const char *text)
{
	const char *secret = tasks->conf->cloud_tasks_secret;
	char *quoted = strdup(text);

	if (quoted != NULL && secret != NULL)
		secret_hide(quoted, secret);
	return (quoted);
}

/* Put an answer that is not a success into words. */
static void
describe(const struct cloud_tasks *tasks, struct cloud_tasks_call *call,
    const struct http *http, const json_t *answer)
{
	const json_t *e = json_object_get(answer, "error");
	const char *status = json_string_value(json_object_get(e, "status"));
	const char *message = json_string_value(json_object_get(e,
	    "message"));
	char *quoted, *word, hint[320] = "";

	/* A front end may answer HTML, which has neither. */
	if (message == NULL)
		message = "the answer was not in the API's format";

	quoted = quote(tasks, message);
	word = quote(tasks, status != NULL ? status : "no status");
	call->outcome = outcome_of(call, http_status(http), e);
	call->error.http_status = http_status(http);
	call->error.retry_after = http_retry_after(http);
	if (call->outcome == CLOUD_TASKS_BLOCKED || http_status(http) == 403)
		set_hint(tasks, call, http_status(http), hint, sizeof(hint));
	(void)snprintf(call->error.text, sizeof(call->error.text),
	    "Cloud Tasks answered %ld %.40s: %.*s%s", http_status(http),
	    word != NULL ? word : "", *hint != '\0' ? 140 : 240,
	    quoted != NULL ? quoted : "", hint);
	utf8_clean(call->error.text);
	free(word);
	free(quoted);
}

/* Read what the answer tells about a task or a queue. */
static void
read_info(const struct cloud_tasks *tasks, const json_t *answer,
    struct cloud_tasks_info *info)
{
	const json_t *attempt = json_object_get(answer, "lastAttempt");
	const char *message = json_string_value(json_object_get(
	    json_object_get(attempt, "responseStatus"), "message"));
	const char *state = json_string_value(json_object_get(answer,
	    "state"));
	char *quoted = quote(tasks, message != NULL ? message : "");

	info->dispatches = (int)json_integer_value(json_object_get(answer,
	    "dispatchCount"));
	(void)snprintf(info->last, sizeof(info->last), "%s",
	    quoted != NULL ? quoted : "");
	utf8_clean(info->last);
	free(quoted);
	info->is_paused = state != NULL && strcmp(state, "RUNNING") != 0;
}

/*
 * Is ${name}, of ${len} bytes, that of the task that ${call} is about?  The
 * service may name our project by its number where we have its id, or the other
 * way round; what follows is the booking's alone.
 */
static int
is_its_name(const struct cloud_tasks_call *call, const char *name, size_t len)
{
	const char *id = strstr(call->name, "/tasks/");
	size_t n = strlen(id);

	return (len > n && memcmp(&name[len - n], id, n) == 0);
}

/*
 * Is it the task that was to be created?  The service answers with it, its
 * name first, which spares us reading the whole of it.
 */
static int
is_task_created(const struct cloud_tasks_call *call, const struct http *http)
{
	static const char blank[] = " \t\r\n";
	const char *tokens[] = { "{", "\"name\"", ":", "\"" };
	const char *p = http_body(http);
	size_t i;

	if (call->method != CLOUD_TASKS_CREATE || http_status(http) != 200 ||
	    strstr(p, "\"error\"") != NULL)
		return (0);
	for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		p += strspn(p, blank);
		if (strncmp(p, tokens[i], strlen(tokens[i])) != 0)
			return (0);
		p += strlen(tokens[i]);
	}
	return (is_its_name(call, p, strcspn(p, "\"")));
}

/*
 * Is ${answer} what the service answers when it did what was asked?  A proxy in
 * between may answer 200 with an object of its own.
 */
static int
is_done(const struct cloud_tasks_call *call, const json_t *answer)
{
	const json_t *name = json_object_get(answer, "name");

	if (!json_is_object(answer) || json_object_get(answer, "error") != NULL)
		return (0);
	return ((call->method != CLOUD_TASKS_CREATE &&
	    call->method != CLOUD_TASKS_GET) || (json_is_string(name) &&
	    is_its_name(call, json_string_value(name),
	    json_string_length(name))));
}

/*
 * Judge the answer that came in ${http}.  The service says that it did what
 * was asked with 200 and, of a task that is there, the task.
 */
static void
judge(const struct cloud_tasks *tasks, struct cloud_tasks_call *call,
    const struct http *http)
{
	json_t *answer;

	if (is_task_created(call, http)) {
		call->outcome = CLOUD_TASKS_OK;
		return;
	}
	answer = json_loadb(http_body(http), http_body_len(http), 0, NULL);
	if (http_status(http) == 200 && is_done(call, answer)) {
		call->outcome = CLOUD_TASKS_OK;
		read_info(tasks, answer, &call->info);
	} else
		describe(tasks, call, http, answer);
	json_decref(answer);
}

/*
 * Write the task as the API takes it, with its body in base64; NULL when
 * memory is short.  What is not JSON already holds nothing that JSON escapes:
 * names are those of is_task_name, times and base64 have alphabets of their
 * own.  This is done for each booking, which is why it is not left to
 * Jansson (measured: a fifth of what a booking costs).
 *
 * The secret goes in its own header; in case the service keeps all names that
 * begin with X-CloudTasks- for itself, it is the bearer as well, where no
 * token is.
 */
static char *
create_body(const struct cloud_tasks *tasks,
    const struct cloud_tasks_call *task)
{
	const struct config *conf = tasks->conf;
	const char *trace[] = { "\"traceparent\":\"", task->traceparent,
	    "\"," }, *own[] = { "", "" }, *bearer[] = { "", "" };
	char *encoded, *url, *secret = NULL, *body = NULL;

	if (task->traceparent == NULL)
		trace[0] = trace[1] = trace[2] = "";
	if (conf->cloud_tasks_secret != NULL) {
		secret = dump_text(conf->cloud_tasks_secret);
		if (secret == NULL)
			return (NULL);
		own[0] = ",\"X-CloudTasks-Secret\":";
		own[1] = secret;
	}
	if (secret != NULL && conf->service_account == NULL) {
		bearer[0] = ",\"Authorization\":\"Bearer ";
		bearer[1] = secret + 1;
	}
	url = dump_text(task->url);
	encoded = base64_encode(task->body, strlen(task->body));
	if (url != NULL && encoded != NULL)
		body = secret_concat(SECRET_TEXTS("{\"task\":{\"name\":\"",
		    task->name, "\",\"dispatchDeadline\":\"", DISPATCH_DEADLINE,
		    "\",\"scheduleTime\":\"", task->schedule_time,
		    "\",\"httpRequest\":{\"httpMethod\":\"POST\",\"url\":", url,
		    ",\"headers\":{", trace[0], trace[1], trace[2],
		    "\"Content-Type\":\"application/json\"", own[0], own[1],
		    bearer[0], bearer[1], "},\"body\":\"", encoded, "\"",
		    tasks->oidc_token, "}}}"));
	if (secret != NULL)
		secret_free(secret, strlen(secret));
	free(encoded);
	free(url);
	return (body);
}

/*
 * A name comes from the bookings table, where others can write too: nothing
 * but the name of a task of our project may become a part of the URL.
 */
static int
is_task_name(const struct cloud_tasks *tasks, const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_.:/";
	const char *project = tasks->conf->project_id;

	return (strncmp(name, "projects/", 9) == 0 &&
	    strncmp(&name[9], project, strlen(project)) == 0 &&
	    name[9 + strlen(project)] == '/' &&
	    strlen(name) < CLOUD_TASKS_NAME_LEN &&
	    strspn(name, allowed) == strlen(name) &&
	    strstr(name, "..") == NULL && strstr(name, "/tasks/") != NULL);
}

/* The call is answered: have it returned. */
static void
answer_call(struct cloud_tasks *tasks, struct cloud_tasks_call *call)
{

	call->next = NULL;
	*tasks->answered.end = call;
	tasks->answered.end = &call->next;
}

/* Empty ${slot}; the answer may be the task again, with the secret in it. */
static void
free_slot(struct cloud_tasks *tasks, struct slot *slot)
{

	if (slot->http != NULL)
		http_wipe(slot->http);
	if (slot->body != NULL)
		OPENSSL_cleanse(slot->body, strlen(slot->body));
	free(slot->body);
	free(slot->url);
	slot->body = slot->url = NULL;
	slot->call = NULL;
	tasks->in_flight--;
}

/* Prepare the request in ${slot} with ${token}, or without (NULL). */
static int
prepare(struct cloud_tasks *tasks, struct slot *slot, const char *token)
{
	const char *headers[4], *quota;
	char *bearer = NULL, *project = NULL;
	struct http_request request = { .method = slot->verb,
	    .url = slot->url, .headers = headers, .body = slot->body,
	    .body_len = slot->body != NULL ? strlen(slot->body) : 0,
	    .timeout_ms = TIMEOUT_MS, .max_response = MAX_ANSWER };
	size_t n = 0;
	int rc;

	if (slot->body != NULL)
		headers[n++] = "Content-Type: application/json";
	if (token != NULL) {
		bearer = secret_concat(SECRET_TEXTS("Authorization: Bearer ",
		    token));
		if (bearer == NULL)
			return (-1);
		headers[n++] = bearer;
		quota = google_auth_quota_project(tasks->auth);
		if (quota != NULL && asprintf(&project,
		    "x-goog-user-project: %s", quota) < 0)
			project = NULL;
		if (project != NULL)
			headers[n++] = project;
	}
	headers[n] = NULL;
	rc = http_prepare(slot->http, &request);
	free(project);
	if (bearer != NULL)
		OPENSSL_cleanse(bearer, strlen(bearer));
	free(bearer);
	return (rc);
}

/*
 * Send what is in ${slot}, with another token than before if that one was
 * refused.  Return 0, or -1 with ${why} set.
 */
static int
send_slot(struct cloud_tasks *tasks, struct slot *slot, char *why,
    size_t whylen)
{
	time_t now = time(NULL), refused = slot->renewed ? slot->sent : 0;
	char *token = NULL;
	int rc;

	slot->sent = now;
	if (tasks->auth != NULL &&
	    (token = google_auth_token(tasks->auth, tasks->token_http, now,
	    refused, why, whylen)) == NULL)
		return (-1);
	(void)snprintf(why, whylen, "the request could not be prepared");
	rc = prepare(tasks, slot, token);
	if (token != NULL)
		OPENSSL_cleanse(token, strlen(token));
	free(token);
	if (rc != 0 ||
	    curl_easy_setopt(http_easy(slot->http), CURLOPT_PRIVATE, slot) !=
	    CURLE_OK ||
	    curl_multi_add_handle(tasks->multi, http_easy(slot->http)) !=
	    CURLM_OK)
		return (-1);
	return (0);
}

/*
 * Return whether the call failed because of its queue: it is missing or not
 * ready, takes no tasks from us, or has been asked too often.
 */
static int
is_queues_fault(const struct cloud_tasks_call *call)
{
	long code = call->error.http_status;

	return (code == 429 ||
	    (call->outcome == CLOUD_TASKS_BLOCKED && code != 401));
}

/*
 * Tell the breakers that the call in ${slot} failed, though not because of its
 * content.
 *
 * If the breaker is open by now, the service or the queue fails for
 * everybody; many calls may have been in flight when that began.  A failure
 * then costs no booking an attempt.
 */
static void
tell_failure(struct cloud_tasks *tasks, struct slot *slot)
{
	struct cloud_tasks_call *call = slot->call;
	struct cloud_tasks_error *error = &call->error;
	int is_blocked = call->outcome == CLOUD_TASKS_BLOCKED;
	struct breaker_failure failure = { .reason = error->text,
	    .enough = is_blocked ? 1 : BREAKER_SEVERAL, .is_everybody = 1,
	    .retry_after = error->retry_after };

	if (queues_failed(tasks->queues, monotime_ms(), &slot->asked,
	    &failure, is_queues_fault(call)) != BREAKER_ITS_OWN &&
	    !is_blocked) {
		call->outcome = CLOUD_TASKS_OPEN;
		if (error->retry_after < 1)
			error->retry_after = 1;
		else if (error->retry_after > BREAKER_ASKED_MAX)
			error->retry_after = BREAKER_ASKED_MAX;
	}
	error->only_its_queue = slot->asked.only_its_queue;
}

/*
 * Tell the breakers and the caller the outcome of the call in ${slot}.  A
 * refusal to delete or look up a task says nothing about creating one.
 */
static void
finish(struct cloud_tasks *tasks, struct slot *slot)
{
	struct cloud_tasks_call *call = slot->call;
	int is_blocked = call->outcome == CLOUD_TASKS_BLOCKED;
	int is_forbidden = call->outcome != CLOUD_TASKS_OK &&
	    call->error.http_status == 403 && !is_blocked;

	call->error.only_its_queue = 0;
	if (!is_for_breaker(call))
		;
	else if (is_forbidden)
		queues_answered(tasks->queues, monotime_ms(), &slot->asked);
	else if (is_blocked || call->outcome == CLOUD_TASKS_TRANSIENT)
		tell_failure(tasks, slot);
	else
		queues_succeeded(tasks->queues, monotime_ms(), &slot->asked);
	free_slot(tasks, slot);
	answer_call(tasks, call);
}

/* Write the request of ${call} into ${slot}; -1 when memory is short. */
static int
fill_slot(struct cloud_tasks *tasks, struct slot *slot,
    struct cloud_tasks_call *call)
{

	slot->call = call;
	slot->renewed = 0;
	tasks->in_flight++;
	if (slot->http == NULL &&
	    (slot->http = http_new(tasks->conf->proxy)) == NULL)
		return (-1);
	slot->url = url_of(tasks, call);
	slot->verb = call->method == CLOUD_TASKS_CREATE ? "POST" :
	    call->method == CLOUD_TASKS_DELETE ? "DELETE" : "GET";
	if (call->method == CLOUD_TASKS_CREATE &&
	    (slot->body = create_body(tasks, call)) == NULL)
		return (-1);
	return (slot->url != NULL ? 0 : -1);
}

/* Answer ${call} for a name that no task of ours can have. */
static void
refuse_name(struct cloud_tasks *tasks, struct cloud_tasks_call *call)
{

	call->outcome = CLOUD_TASKS_REFUSED;
	call->error.http_status = 0;
	call->error.retry_after = -1;
	call->error.only_its_queue = 0;
	(void)snprintf(call->error.text, sizeof(call->error.text),
	    "\"%.200s\" is not the name of a task of this project",
	    call->name);
	utf8_clean(call->error.text);
	answer_call(tasks, call);
}

/* Answer ${call} because a breaker is open: its queue's, or everybody's. */
static void
refuse_open(struct cloud_tasks *tasks, struct cloud_tasks_call *call,
    const struct breaker_hold *hold, int only_its_queue)
{

	call->outcome = CLOUD_TASKS_OPEN;
	call->error.http_status = 0;
	call->error.retry_after = hold->wait / 1000 + 1;
	call->error.only_its_queue = only_its_queue;
	(void)snprintf(call->error.text, sizeof(call->error.text),
	    "breaker open: %s", hold->reason);
	answer_call(tasks, call);
}

/**
 * cloud_tasks_has_room(tasks):
 * Return non-zero iff another call may be begun now.
 */
int
cloud_tasks_has_room(const struct cloud_tasks *tasks)
{

	/* Whoever gets an answer may have the next call ready. */
	return (cloud_tasks_in_flight(tasks) < tasks->room);
}

/**
 * cloud_tasks_begin(tasks, call):
 * Begin ${call}, which must live until cloud_tasks_next returns it; there
 * must be room for it.
 */
void
cloud_tasks_begin(struct cloud_tasks *tasks, struct cloud_tasks_call *call)
{
	char why[256] = "out of memory", queue[QUEUES_NAME_LEN];
	struct queues_request asked = { .queue = 0 };
	struct breaker_hold hold;
	struct slot *slot = tasks->slots;

	if (!is_task_name(tasks, call->name)) {
		refuse_name(tasks, call);
		return;
	}
	if (cloud_tasks_queue(tasks, call->name, queue) != 0)
		call->is_former = 1;
	if (is_for_breaker(call) && queues_ask(tasks->queues, monotime_ms(),
	    queue, &asked, &hold) == BREAKER_REFUSED) {
		refuse_open(tasks, call, &hold, asked.only_its_queue);
		return;
	}
	while (slot->call != NULL)
		slot++;
	slot->asked = asked;
	if (fill_slot(tasks, slot, call) != 0 ||
	    send_slot(tasks, slot, why, sizeof(why)) != 0) {
		call->outcome = no_answer(&call->error, why);
		finish(tasks, slot);
	}
}

/* Count a request of ${slot} that ended, answered or not. */
static void
measure(const struct slot *slot, int answered)
{
	enum cloud_tasks_method asked = slot->call->method;
	enum metrics_task_method method = asked == CLOUD_TASKS_CREATE ?
	    METRICS_TASK_CREATE : asked == CLOUD_TASKS_DELETE ?
	    METRICS_TASK_DELETE : METRICS_TASK_GET;
	long status = answered ? http_status(slot->http) : 0;
	enum metrics_task_code code = METRICS_TASK_NONE;

	if (status == 404)
		code = METRICS_TASK_404;
	else if (status == 409)
		code = METRICS_TASK_409;
	else if (status == 429)
		code = METRICS_TASK_429;
	else if (status >= 200 && status <= 299)
		code = METRICS_TASK_2XX;
	else if (status >= 400 && status <= 499)
		code = METRICS_TASK_4XX;
	else if (status >= 500)
		code = METRICS_TASK_5XX;
	metrics_add(METRICS_TASK_REQUESTS, METRICS_TASK_LABEL(method, code),
	    1);
	metrics_observe(METRICS_TASK_REQUEST_DURATION, (int)method,
	    http_seconds(slot->http));
}

/* A request ended: it is judged, or sent again with a new token. */
static void
take_answer(struct cloud_tasks *tasks, struct slot *slot, CURLcode result)
{
	struct cloud_tasks_call *call = slot->call;
	char why[256];
	int failed = http_done(slot->http, result) != 0;

	measure(slot, !failed);
	if (failed)
		call->outcome = no_answer(&call->error,
		    http_error(slot->http));
	else if (http_status(slot->http) == 401 && tasks->auth != NULL &&
	    !slot->renewed) {
		slot->renewed = 1;
		if (send_slot(tasks, slot, why, sizeof(why)) == 0)
			return;
		call->outcome = no_answer(&call->error, why);
	} else
		judge(tasks, call, slot->http);
	finish(tasks, slot);
}

/* Let the requests go on, and take the answers that have come. */
static void
perform(struct cloud_tasks *tasks)
{
	CURLMsg *message;
	char *slot;
	int running, left;
	CURLcode result;

	(void)curl_multi_perform(tasks->multi, &running);
	while ((message = curl_multi_info_read(tasks->multi, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
		    &slot);
		result = message->data.result;
		(void)curl_multi_remove_handle(tasks->multi,
		    message->easy_handle);
		take_answer(tasks, (struct slot *)(void *)slot, result);
	}
}

/**
 * cloud_tasks_next(tasks, wait):
 * Return the next call that has been answered, waiting up to ${wait}
 * milliseconds for one; NULL if none was, or none is in flight.
 */
struct cloud_tasks_call *
cloud_tasks_next(struct cloud_tasks *tasks, long wait)
{
	long began = monotime_ms(), waited;
	struct cloud_tasks_call *call;
	int is_full;

	while (tasks->answered.first == NULL && tasks->in_flight > 0) {
		is_full = tasks->in_flight == tasks->room;
		perform(tasks);
		waited = monotime_ms() - began;
		if (is_full && waited >= SLOW_MS)
			tasks->room = tasks->nslots;
		if (tasks->answered.first != NULL)
			break;
		if (waited >= wait)
			return (NULL);
		(void)curl_multi_poll(tasks->multi, NULL, 0,
		    (int)(wait - waited), NULL);
	}
	if ((call = tasks->answered.first) == NULL)
		return (NULL);
	if ((tasks->answered.first = call->next) == NULL)
		tasks->answered.end = &tasks->answered.first;
	return (call);
}

/**
 * cloud_tasks_in_flight(tasks):
 * Return how many calls cloud_tasks_next has yet to return.
 */
int
cloud_tasks_in_flight(const struct cloud_tasks *tasks)
{
	const struct cloud_tasks_call *call;
	int n = tasks->in_flight;

	for (call = tasks->answered.first; call != NULL; call = call->next)
		n++;
	return (n);
}

/**
 * cloud_tasks_free(tasks):
 * Free ${tasks}, and give up what is in flight; NULL is fine.
 */
void
cloud_tasks_free(struct cloud_tasks *tasks)
{
	int i;

	if (tasks == NULL)
		return;
	for (i = 0; tasks->slots != NULL && i < tasks->nslots; i++) {
		http_free(tasks->slots[i].http);
		tasks->slots[i].http = NULL;
		if (tasks->slots[i].call != NULL)
			free_slot(tasks, &tasks->slots[i]);
	}
	http_free(tasks->token_http);
	(void)curl_multi_cleanup(tasks->multi);
	free(tasks->oidc_token);
	free(tasks->prefix);
	free(tasks->base);
	free(tasks->slots);
	free(tasks);
}
