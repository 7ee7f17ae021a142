#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "failure.h"
#include "json_text.h"
#include "log.h"
#include "names.h"
#include "operations.h"
#include "proto.h"

/* For how long verifiers may keep the keys, in seconds. */
#define JWKS_MAX_AGE	"public, max-age=3600, must-revalidate"

#define CERTS_PATH	"/oauth2/v3/certs"
#define DISCOVERY_PATH	"/.well-known/openid-configuration"
#define FAULTS_PATH	"/admin/faults"

/*
 * Cut the path into the names of the resources in it and find the operation:
 * .../queues[/Q[:verb][/tasks[/T[:verb]]]]
 */
static const struct operation *
route(const char *path, const char *method, struct operation_call *call)
{
	const struct operation *operation = operations;
	enum operation_target target;
	char *verb = NULL, *last;
	const char *queues, *tasks;

	if (strncmp(path, "/v2/", 4) == 0)
		path += 4;
	else if (strncmp(path, "/v2beta3/", 9) == 0)
		path += 9;
	else
		return (NULL);
	if ((queues = strstr(path, "/locations/")) == NULL ||
	    (queues = strstr(queues + strlen("/locations/"), "/queues")) ==
	    NULL)
		return (NULL);
	call->parent = strndup(path, (size_t)(queues - path));
	queues += strlen("/queues");

	/* A queue, too, may have a name that begins with "tasks". */
	tasks = *queues == '/' ? strchr(queues + 1, '/') : NULL;
	if (*queues == '\0') {
		target = OPERATION_QUEUES;
	} else if (*queues == '/' && tasks == NULL) {
		target = OPERATION_QUEUE;
		call->queue = strdup(path);
	} else if (tasks != NULL && strncmp(tasks, "/tasks", 6) == 0 &&
	    (tasks[6] == '\0' || tasks[6] == '/')) {
		target = tasks[6] == '\0' ? OPERATION_TASKS : OPERATION_TASK;
		call->queue = strndup(path, (size_t)(tasks - path));
		if (target == OPERATION_TASK)
			call->task = strdup(path);
	} else {
		return (NULL);
	}

	/* No id has a colon: what follows one is the verb. */
	last = target == OPERATION_TASK ? call->task :
	    target == OPERATION_QUEUE ? call->queue : NULL;
	if (last != NULL && (verb = strchr(strrchr(last, '/'), ':')) != NULL)
		*verb++ = '\0';
	while (operation->name != NULL && (operation->target != target ||
	    strcmp(operation->method, method) != 0 ||
	    (operation->verb == NULL) != (verb == NULL) ||
	    (verb != NULL && strcmp(operation->verb, verb) != 0)))
		operation++;

	return (operation->name != NULL ? operation : NULL);
}

/*
 * Say whether what stands in the path can be names at all.
 */
static int
check_names(const struct operation_call *call, struct failure *failure)
{

	if ((call->queue == NULL ? names_location(call->parent) :
	    names_queue(call->queue)) && (call->task == NULL ||
	    names_task_id(strrchr(call->task, '/') + 1)))
		return (0);
	return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
	    "Invalid resource field value in the request."));
}

/*
 * Check the query parameters: those of the operation, and those that all of
 * Google's APIs have.
 */
static int
check_query(struct operation_call *call, const struct operation *operation,
    const json_t *given, struct failure *failure)
{
	static const char *const common[] = { "access_token", "alt",
	    "callback", "fields", "key", "oauth_token", "prettyPrint",
	    "quotaUser", "uploadType", "upload_protocol", NULL };
	const char *name, *text;
	const char *const *known;
	char *camel;
	json_t *value;
	int found;

	call->query = json_object();
	json_object_foreach((json_t *)(uintptr_t)given, name, value) {
		if ((camel = proto_camel(name)) == NULL)
			return (-1);
		found = name[0] == '$';
		for (known = operation->query; *known != NULL; known++)
			found |= strcmp(*known, camel) == 0;
		for (known = common; *known != NULL; known++)
			found |= strcmp(*known, name) == 0;
		json_object_set(call->query, camel, value);
		free(camel);
		if (!found) {
			failure_set(failure, FAILURE_INVALID_ARGUMENT,
			    "Invalid JSON payload received. Unknown name "
			    "\"%.100s\": Cannot bind query parameter. Field "
			    "'%.100s' could not be found in request message.",
			    name, name);
			return (failure_field(failure, ""));
		}
	}
	text = json_text(given, "$alt");
	if (text == NULL)
		text = json_text(given, "alt");
	if (text != NULL && strcmp(text, "json") != 0 &&
	    strncmp(text, "json;", 5) != 0)
		return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
		    "The emulator answers alt=json only, not %.100s.", text));

	return (0);
}

static int
read_body(struct operation_call *call, const struct httpd_request *request,
    struct failure *failure)
{
	const char *body;
	json_error_t error;
	size_t len;

	if ((body = httpd_body(request, &len)) == NULL)
		return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
		    "Request payload size exceeds the limit."));
	if (len == 0 || strcmp(httpd_method(request), "GET") == 0 ||
	    strcmp(httpd_method(request), "DELETE") == 0) {
		call->body = json_object();
		return (0);
	}
	call->body = json_loadb(body, len, JSON_REJECT_DUPLICATES, &error);
	if (call->body == NULL)
		return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
		    "Invalid JSON payload received. %s (line %d, column %d)",
		    error.text, error.line, error.column));

	return (0);
}

/*
 * Write the answer as Google does: indented unless that is refused.
 */
static void
reply(struct httpd_request *request, int status, json_t *json)
{
	const char *pretty = httpd_query(request, "prettyPrint");

	if (pretty == NULL)
		pretty = httpd_query(request, "$prettyPrint");
	httpd_reply_json(request, status, json, pretty != NULL &&
	    (strcmp(pretty, "false") == 0 || strcmp(pretty, "0") == 0) ?
	    JSON_COMPACT : JSON_INDENT(2));
}

static int
perform(const struct operation *operation, struct operation_call *call,
    const struct httpd_request *request, json_t **answer,
    struct failure *failure)
{
	json_t *given = httpd_queries(request);
	int rc = -1;

	if (check_names(call, failure) == 0 &&
	    check_query(call, operation, given, failure) == 0 &&
	    read_body(call, request, failure) == 0) {
		store_lock(call->store);
		rc = operation->perform(call, answer, failure);
		store_unlock(call->store);
	}
	json_decref(given);

	return (rc);
}

static json_t *
fault_body(int http)
{
	struct failure failure = { 0 };
	json_t *body;

	failure_set(&failure, failure_of_http(http), "A fault that was "
	    "scripted at " FAULTS_PATH ".");
	body = failure_json(&failure);
	json_object_set_new(json_object_get(body, "error"), "code",
	    json_integer(http));

	return (body);
}

/*
 * Perform an operation, or what a fault makes of it, and answer.
 */
static void
handle_operation(const struct api *api, const struct operation *operation,
    struct operation_call *call, struct httpd_request *request)
{
	struct log_about about = { .task_name = call->task };
	struct script_rule rule = { .json = NULL };
	struct failure failure = { 0 };
	json_t *answer = NULL;
	int status = 200;

	if (api->faults != NULL && script_take(api->faults, operation->name,
	    operation->method, &rule)) {
		log_info(&about, "%s meets a scripted fault", operation->name);
		httpd_delay(request, rule.delay);
	}
	if (rule.reset == SCRIPT_BEFORE) {
		httpd_reset(request);
		goto out;
	}
	if (rule.status != 0 && rule.reset == SCRIPT_NONE && !rule.performed) {
		script_reply(&rule, request, fault_body(rule.status));
		goto out;
	}

	if (perform(operation, call, request, &answer, &failure) != 0) {
		status = failure_http(&failure);
		answer = failure_json(&failure);
		log_debug(&about, "%s: %d %s", operation->name, status,
		    failure.message);
	}

	if (rule.reset == SCRIPT_AFTER)
		httpd_reset(request);
	else if (rule.status != 0)
		script_reply(&rule, request, fault_body(rule.status));
	else
		reply(request, status, json_incref(answer));

out:
	json_decref(answer);
	failure_clear(&failure);
	script_done(&rule);
}

/*
 * Return the method that is meant.  Java's own HTTP client has no PATCH, so
 * that Google's client for Java posts, and names the method in a header.
 */
static const char *
method_of(const struct httpd_request *request)
{
	const char *method = NULL;

	if (strcmp(httpd_method(request), "POST") == 0)
		method = httpd_header(request, "X-HTTP-Method-Override");

	return (method != NULL ? method : httpd_method(request));
}

static void
handle_api(const struct api *api, struct httpd_request *request)
{
	struct operation_call call = { .store = api->store,
	    .horizon = api->horizon };
	const struct operation *operation;
	struct failure failure = { 0 };

	operation = route(httpd_path(request), method_of(request), &call);
	if (operation != NULL) {
		handle_operation(api, operation, &call, request);
	} else {
		failure_set(&failure, FAILURE_NOT_FOUND,
		    "Method not found: %.20s %.500s", method_of(request),
		    httpd_path(request));
		reply(request, 404, failure_json(&failure));
		failure_clear(&failure);
	}
	json_decref(call.body);
	json_decref(call.query);
	free(call.task);
	free(call.queue);
	free(call.parent);
}

/*
 * Answer with the metadata, under the name by which the client reached us.
 */
static void
handle_discovery(const struct api *api, struct httpd_request *request)
{
	json_t *headers = httpd_headers(request);
	const char *host = json_text(headers, "host");
	char base[300];

	(void)snprintf(base, sizeof(base), "http://%s",
	    host != NULL ? host : "");
	reply(request, 200, oidc_discovery(api->oidc, base));
	json_decref(headers);
}

/**
 * api_handle(api, request):
 * Answer ${request}; ${api} is a struct api.
 */
void
api_handle(void *cookie, struct httpd_request *request)
{
	const struct api *api = cookie;
	const char *path = httpd_path(request);
	int get = strcmp(httpd_method(request), "GET") == 0;

	if (get && strcmp(path, CERTS_PATH) == 0) {
		httpd_set_header(request, "Cache-Control", JWKS_MAX_AGE);
		reply(request, 200, oidc_jwks(api->oidc));
	} else if (get && strcmp(path, DISCOVERY_PATH) == 0) {
		handle_discovery(api, request);
	} else if (get && strcmp(path, "/healthz") == 0) {
		reply(request, 200, json_pack("{s:s}", "status", "ok"));
	} else if (api->faults != NULL && strcmp(path, FAULTS_PATH) == 0) {
		script_serve(api->faults, request);
	} else {
		handle_api(api, request);
	}
}
