#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "base64.h"
#include "breaker.h"
#include "config.h"
#include "google_auth.h"
#include "http.h"
#include "monotime.h"
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

struct cloud_tasks {
	const struct config *conf;
	struct google_auth *auth;
	struct breaker *breaker;
	struct http *http;
	char base[512];			/* without a slash at its end */
};

/**
 * cloud_tasks_new(conf, auth, breaker):
 * Return a client of the configured queue, calling through ${breaker} with
 * the credentials ${auth}, or, for an emulator, without (NULL).  All must
 * outlive it.
 */
struct cloud_tasks *
cloud_tasks_new(const struct config *conf, struct google_auth *auth,
    struct breaker *breaker)
{
	struct cloud_tasks *tasks;
	size_t len;

	if ((tasks = calloc(1, sizeof(*tasks))) == NULL ||
	    (tasks->http = http_new(conf->proxy)) == NULL) {
		free(tasks);
		return (NULL);
	}
	tasks->conf = conf;
	tasks->auth = auth;
	tasks->breaker = breaker;
	if (conf->emulator_host != NULL)
		(void)snprintf(tasks->base, sizeof(tasks->base), "http://%s",
		    conf->emulator_host);
	else if (conf->cloud_tasks_endpoint != NULL)
		(void)snprintf(tasks->base, sizeof(tasks->base), "%s",
		    conf->cloud_tasks_endpoint);
	else
		(void)snprintf(tasks->base, sizeof(tasks->base),
		    "https://cloudtasks.%s", google_auth_universe(auth));
	for (len = strlen(tasks->base); tasks->base[len - 1] == '/'; len--)
		tasks->base[len - 1] = '\0';
	return (tasks);
}

/**
 * cloud_tasks_name(tasks, id, name):
 * Write the full name of the task ${id} to ${name}.
 */
void
cloud_tasks_name(const struct cloud_tasks *tasks, const char *id,
    char name[CLOUD_TASKS_NAME_LEN])
{

	(void)snprintf(name, CLOUD_TASKS_NAME_LEN,
	    "projects/%s/locations/%s/queues/%s/tasks/%s",
	    tasks->conf->project_id, tasks->conf->location,
	    tasks->conf->queue, id);
}

/* Write the URL of the queue, with ${suffix} behind it. */
static void
queue_url(const struct cloud_tasks *tasks, const char *suffix, char *url,
    size_t len)
{

	(void)snprintf(url, len, "%s/v2/projects/%s/locations/%s/queues/%s%s",
	    tasks->base, tasks->conf->project_id, tasks->conf->location,
	    tasks->conf->queue, suffix);
}

/* Send one request with ${token} (or without); 0 if an answer came. */
static int
send_once(struct cloud_tasks *tasks, const char *method, const char *url,
    const char *body, const char *token)
{
	const char *headers[4], *quota;
	char *bearer = NULL, project[256];
	struct http_request request = { .method = method, .url = url,
	    .headers = headers, .body = body,
	    .body_len = body != NULL ? strlen(body) : 0,
	    .timeout_ms = TIMEOUT_MS, .max_response = MAX_ANSWER };
	size_t n = 0;
	int rc = -1;

	if (body != NULL)
		headers[n++] = "Content-Type: application/json";
	if (token != NULL) {
		bearer = secret_concat(SECRET_TEXTS("Authorization: Bearer ",
		    token));
		if (bearer == NULL)
			return (-1);
		headers[n++] = bearer;
		quota = google_auth_quota_project(tasks->auth);
		if (quota != NULL) {
			(void)snprintf(project, sizeof(project),
			    "x-goog-user-project: %s", quota);
			headers[n++] = project;
		}
	}
	headers[n] = NULL;
	if (http_prepare(tasks->http, &request) == 0)
		rc = http_perform(tasks->http);
	if (bearer != NULL)
		OPENSSL_cleanse(bearer, strlen(bearer));
	free(bearer);
	return (rc);
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
 * Send a request.  On 401 the token is renewed, and the request sent once
 * more.  Return CLOUD_TASKS_OK if an answer came, whatever it says.
 */
static enum cloud_tasks_outcome
exchange(struct cloud_tasks *tasks, const char *method, const char *url,
    const char *body, struct cloud_tasks_error *error)
{
	char why[256], *token;
	int attempt, rc;

	for (attempt = 0; attempt < 2; attempt++) {
		token = NULL;
		if (tasks->auth != NULL &&
		    (token = google_auth_token(tasks->auth, tasks->http,
		    time(NULL), attempt > 0, why, sizeof(why))) == NULL)
			return (no_answer(error, why));
		rc = send_once(tasks, method, url, body, token);
		if (token != NULL)
			OPENSSL_cleanse(token, strlen(token));
		free(token);
		if (rc != 0)
			return (no_answer(error, http_error(tasks->http)));
		if (http_status(tasks->http) != 401 || tasks->auth == NULL)
			break;
	}
	return (CLOUD_TASKS_OK);
}

/* Did the service do it?  Then it says so with 200 and a JSON object. */
static int
is_object(const struct http *http)
{
	json_t *root;
	int is;

	if (http_status(http) != 200)
		return (0);
	root = json_loadb(http_body(http), http_body_len(http), 0, NULL);
	is = json_is_object(root);
	json_decref(root);
	return (is);
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

/* Judge an answer that is not 200, and put it into words. */
static enum cloud_tasks_outcome
judge(struct cloud_tasks *tasks, struct cloud_tasks_error *error)
{
	const char *body = http_body(tasks->http), *status, *message;
	const char *hint = "", *secret = tasks->conf->cloud_tasks_secret;
	enum cloud_tasks_outcome outcome = CLOUD_TASKS_REFUSED;
	long code = http_status(tasks->http);
	json_t *root, *e;
	char *quoted;

	/* A front end may answer HTML, which has neither. */
	root = json_loadb(body, http_body_len(tasks->http), 0, NULL);
	e = json_object_get(root, "error");
	status = json_string_value(json_object_get(e, "status"));
	message = json_string_value(json_object_get(e, "message"));
	if (message == NULL)
		message = "the answer was not in the API's format";

	if (is_transient(code, status))
		outcome = CLOUD_TASKS_TRANSIENT;
	else if (code == 409)
		outcome = CLOUD_TASKS_EXISTS;
	else if (code == 404) {
		outcome = CLOUD_TASKS_GONE;
	} else if (code == 401) {
		outcome = CLOUD_TASKS_BLOCKED;
		hint = "; are the credentials still valid?";
	} else if (code == 403) {
		outcome = CLOUD_TASKS_BLOCKED;
		hint = "; is the API enabled, and does the service account "
		    "have roles/cloudtasks.enqueuer, .viewer and .taskDeleter "
		    "on the queue and roles/iam.serviceAccountUser on "
		    "GCP_CLOUD_TASKS_SERVICE_ACCOUNT?";
	}

	/* The secret is in the tasks: what they are refused for may quote it. */
	if ((quoted = strdup(message)) != NULL && secret != NULL)
		secret_hide(quoted, secret);
	error->http_status = code;
	error->retry_after = http_retry_after(tasks->http);
	(void)snprintf(error->text, sizeof(error->text),
	    "Cloud Tasks answered %ld %.40s: %.240s%s", code,
	    status != NULL ? status : "no status",
	    quoted != NULL ? quoted : "", hint);
	utf8_clean(error->text);
	free(quoted);
	json_decref(root);
	return (outcome);
}

/* Append ${hint} to the text of ${error}, as far as it fits. */
static void
append(struct cloud_tasks_error *error, const char *hint)
{
	size_t len = strlen(error->text);

	(void)snprintf(&error->text[len], sizeof(error->text) - len, "%s",
	    hint);
}

/*
 * One call of the API through the breaker: send, judge, and tell the breaker
 * what came of it.  ${missing} is what 404 means for this call.
 */
static enum cloud_tasks_outcome
call(struct cloud_tasks *tasks, const char *method, const char *url,
    const char *body, enum cloud_tasks_outcome missing,
    struct cloud_tasks_error *error)
{
	char reason[BREAKER_REASON_LEN];
	enum cloud_tasks_outcome outcome;
	enum breaker_answer answer;
	long wait;

	answer = breaker_ask(tasks->breaker, monotime_ms(), &wait, reason);
	if (answer == BREAKER_REFUSED) {
		error->http_status = 0;
		error->retry_after = wait / 1000 + 1;
		(void)snprintf(error->text, sizeof(error->text),
		    "breaker open: %s", reason);
		return (CLOUD_TASKS_OPEN);
	}
	outcome = exchange(tasks, method, url, body, error);
	if (outcome == CLOUD_TASKS_OK && !is_object(tasks->http))
		outcome = judge(tasks, error);
	if (outcome == CLOUD_TASKS_GONE && missing == CLOUD_TASKS_BLOCKED) {
		outcome = missing;
		append(error, "; does the queue FOLLOWUP_QUEUE_NAME exist in "
		    "GCP_LOCATION of GCP_PROJECT_ID?");
	}

	if (outcome == CLOUD_TASKS_TRANSIENT || outcome == CLOUD_TASKS_BLOCKED)
		breaker_failed(tasks->breaker, monotime_ms(), answer,
		    outcome == CLOUD_TASKS_BLOCKED, error->retry_after,
		    error->text);
	else
		breaker_succeeded(tasks->breaker);

	/* That the service is still away says nothing about this booking. */
	if (outcome == CLOUD_TASKS_TRANSIENT && answer == BREAKER_PROBE) {
		outcome = CLOUD_TASKS_OPEN;
		if (error->retry_after < 1)
			error->retry_after = 1;
	}
	return (outcome);
}

/* The task as the API takes it; NULL if it cannot be written as JSON. */
static char *
create_body(const struct cloud_tasks *tasks,
    const struct cloud_tasks_task *task, const char *name)
{
	const struct config *conf = tasks->conf;
	json_t *headers, *request, *root;
	char *encoded, *bearer = NULL, *body = NULL;

	if ((encoded = base64_encode(task->body, strlen(task->body))) == NULL)
		return (NULL);
	headers = json_pack("{s:s}", "Content-Type", "application/json");

	/*
	 * The secret goes in its own header; in case that the service keeps
	 * all names that begin with X-CloudTasks- for itself, it is the bearer
	 * as well, where no token is.
	 */
	if (conf->cloud_tasks_secret != NULL) {
		(void)json_object_set_new(headers, "X-CloudTasks-Secret",
		    json_string(conf->cloud_tasks_secret));
		if (conf->service_account == NULL &&
		    (bearer = secret_concat(SECRET_TEXTS("Bearer ",
		    conf->cloud_tasks_secret))) != NULL) {
			(void)json_object_set_new(headers, "Authorization",
			    json_string(bearer));
			OPENSSL_cleanse(bearer, strlen(bearer));
			free(bearer);
		}
	}
	request = json_pack("{s:s, s:s, s:o, s:s}", "httpMethod", "POST",
	    "url", task->url, "headers", headers, "body", encoded);
	if (conf->service_account != NULL)
		(void)json_object_set_new(request, "oidcToken",
		    json_pack("{s:s, s:s}", "serviceAccountEmail",
		    conf->service_account, "audience",
		    conf->execution_audience));
	root = json_pack("{s:{s:s, s:s, s:s*, s:o}}", "task", "name", name,
	    "dispatchDeadline", DISPATCH_DEADLINE,
	    "scheduleTime", task->schedule_time, "httpRequest", request);
	if (root != NULL)
		body = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	free(encoded);
	return (body);
}

/**
 * cloud_tasks_create(tasks, task, error):
 * Create ${task}.  ${error} is set unless the outcome is CLOUD_TASKS_OK.
 */
enum cloud_tasks_outcome
cloud_tasks_create(struct cloud_tasks *tasks,
    const struct cloud_tasks_task *task, struct cloud_tasks_error *error)
{
	enum cloud_tasks_outcome outcome;
	char name[CLOUD_TASKS_NAME_LEN], url[CLOUD_TASKS_NAME_LEN + 512];
	char *body;

	cloud_tasks_name(tasks, task->id, name);
	if ((body = create_body(tasks, task, name)) == NULL)
		return (no_answer(error, "the task could not be written"));
	queue_url(tasks, "/tasks", url, sizeof(url));

	/* What a create does not find is the queue. */
	outcome = call(tasks, "POST", url, body, CLOUD_TASKS_BLOCKED, error);

	/* The answer is the task again, with the secret that is in it. */
	http_wipe(tasks->http);
	OPENSSL_cleanse(body, strlen(body));
	free(body);
	return (outcome);
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

/* Get or delete a task. */
static enum cloud_tasks_outcome
by_name(struct cloud_tasks *tasks, const char *method, const char *name,
    struct cloud_tasks_error *error)
{
	char url[CLOUD_TASKS_NAME_LEN + 1024];

	if (!is_task_name(tasks, name)) {
		error->http_status = 0;
		error->retry_after = -1;
		(void)snprintf(error->text, sizeof(error->text),
		    "\"%.200s\" is not the name of a task of this project",
		    name);
		utf8_clean(error->text);
		return (CLOUD_TASKS_REFUSED);
	}
	(void)snprintf(url, sizeof(url), "%s/v2/%s", tasks->base, name);
	return (call(tasks, method, url, NULL, CLOUD_TASKS_GONE, error));
}

/* Read what the answer tells about a task. */
static void
read_info(const struct http *http, struct cloud_tasks_info *info)
{
	json_t *root, *attempt, *status, *count;
	const char *message;

	root = json_loadb(http_body(http), http_body_len(http), 0, NULL);
	count = json_object_get(root, "dispatchCount");
	attempt = json_object_get(root, "lastAttempt");
	status = json_object_get(attempt, "responseStatus");
	message = json_string_value(json_object_get(status, "message"));
	info->dispatches = (int)json_integer_value(count);
	(void)snprintf(info->last, sizeof(info->last), "%s",
	    message != NULL ? message : "");
	utf8_clean(info->last);
	json_decref(root);
}

/**
 * cloud_tasks_get(tasks, name, info, error):
 * Ask for the task with the full ${name}; ${info} may be NULL.
 */
enum cloud_tasks_outcome
cloud_tasks_get(struct cloud_tasks *tasks, const char *name,
    struct cloud_tasks_info *info, struct cloud_tasks_error *error)
{
	enum cloud_tasks_outcome outcome;

	outcome = by_name(tasks, "GET", name, error);
	if (outcome == CLOUD_TASKS_OK && info != NULL)
		read_info(tasks->http, info);
	http_wipe(tasks->http);
	return (outcome);
}

/**
 * cloud_tasks_is_paused(tasks):
 * Ask whether the queue is paused (or disabled); 0 if that cannot be told.
 */
int
cloud_tasks_is_paused(struct cloud_tasks *tasks)
{
	struct cloud_tasks_error error;
	char url[CLOUD_TASKS_NAME_LEN + 512];
	const char *state;
	json_t *root;
	int paused;

	/*
	 * The role to read queues may be missing; that must not open the
	 * breaker, so this call goes around it.
	 */
	queue_url(tasks, "", url, sizeof(url));
	if (exchange(tasks, "GET", url, NULL, &error) != CLOUD_TASKS_OK ||
	    !is_object(tasks->http))
		return (0);
	root = json_loadb(http_body(tasks->http), http_body_len(tasks->http),
	    0, NULL);
	state = json_string_value(json_object_get(root, "state"));
	paused = state != NULL && strcmp(state, "RUNNING") != 0;
	json_decref(root);
	return (paused);
}

/**
 * cloud_tasks_delete(tasks, name, error):
 * Delete the task with the full ${name}.
 */
enum cloud_tasks_outcome
cloud_tasks_delete(struct cloud_tasks *tasks, const char *name,
    struct cloud_tasks_error *error)
{

	return (by_name(tasks, "DELETE", name, error));
}

/**
 * cloud_tasks_free(tasks):
 * Free ${tasks}; NULL is fine.
 */
void
cloud_tasks_free(struct cloud_tasks *tasks)
{

	if (tasks == NULL)
		return;
	http_free(tasks->http);
	free(tasks);
}
