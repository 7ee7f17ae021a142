#include <arpa/inet.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "json_text.h"
#include "names.h"
#include "proto.h"
#include "times.h"
#include "validate.h"

#define URL_MAX		2083
#define HEADERS_MAX	((size_t)80 * 1024)
#define TASK_MAX	((size_t)1024 * 1024)
#define DEADLINE_MIN	(15 * TIMES_SECOND)
#define DEADLINE_MAX	(INT64_C(30) * 60 * TIMES_SECOND)
#define DEADLINE	(INT64_C(10) * 60 * TIMES_SECOND)

static const char *const methods[] = { "HTTP_METHOD_UNSPECIFIED", "POST",
    "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", NULL };

static const char *const views[] = { "VIEW_UNSPECIFIED", "BASIC", "FULL",
    NULL };

static const struct proto_field oidc_fields[] = {
	{ .name = "serviceAccountEmail", .kind = PROTO_STRING },
	{ .name = "audience", .kind = PROTO_STRING },
	{ .name = NULL }
};

static const struct proto_field http_fields[] = {
	{ .name = "url", .kind = PROTO_STRING },
	{ .name = "httpMethod", .kind = PROTO_ENUM,
	    .type = "google.cloud.tasks.v2.HttpMethod", .values = methods },
	{ .name = "headers", .kind = PROTO_MAP },
	{ .name = "body", .kind = PROTO_BYTES },
	{ .name = "oidcToken", .kind = PROTO_MESSAGE,
	    .type = "google.cloud.tasks.v2.OidcToken",
	    .fields = oidc_fields },
	{ .name = "oauthToken", .kind = PROTO_ANY,
	    .type = "google.cloud.tasks.v2.OAuthToken" },
	{ .name = NULL }
};

static const struct proto_field task_fields[] = {
	{ .name = "name", .kind = PROTO_STRING },
	{ .name = "httpRequest", .kind = PROTO_MESSAGE,
	    .type = "google.cloud.tasks.v2.HttpRequest",
	    .fields = http_fields },
	{ .name = "appEngineHttpRequest", .kind = PROTO_ANY,
	    .type = "google.cloud.tasks.v2.AppEngineHttpRequest" },
	{ .name = "scheduleTime", .kind = PROTO_STAMP },
	{ .name = "dispatchDeadline", .kind = PROTO_SPAN },

	/* Output only: taken and not looked at. */
	{ .name = "createTime", .kind = PROTO_STAMP },
	{ .name = "dispatchCount", .kind = PROTO_INT32 },
	{ .name = "responseCount", .kind = PROTO_INT32 },
	{ .name = "firstAttempt", .kind = PROTO_ANY,
	    .type = "google.cloud.tasks.v2.Attempt" },
	{ .name = "lastAttempt", .kind = PROTO_ANY,
	    .type = "google.cloud.tasks.v2.Attempt" },
	{ .name = "view", .kind = PROTO_ENUM,
	    .type = "google.cloud.tasks.v2.Task.View", .values = views },
	{ .name = NULL }
};

static const struct proto_field create_fields[] = {
	{ .name = "task", .kind = PROTO_MESSAGE,
	    .type = "google.cloud.tasks.v2.Task", .fields = task_fields },
	{ .name = "responseView", .kind = PROTO_ENUM,
	    .type = "google.cloud.tasks.v2.Task.View", .values = views },
	{ .name = "parent", .kind = PROTO_STRING },
	{ .name = NULL }
};

static const struct proto_field run_fields[] = {
	{ .name = "responseView", .kind = PROTO_ENUM,
	    .type = "google.cloud.tasks.v2.Task.View", .values = views },
	{ .name = "name", .kind = PROTO_STRING },
	{ .name = NULL }
};

/* Queue calls carry the name of the queue at most, as tasks:run does. */
static const struct proto_field no_fields[] = {
	{ .name = "name", .kind = PROTO_STRING },
	{ .name = NULL }
};

static int
invalid(struct failure *failure, const char *message)
{

	return (failure_set(failure, FAILURE_INVALID_ARGUMENT, "%s", message));
}

static int
check_name(const char *name, const char *queue, struct failure *failure)
{
	const char *tasks = strstr(name, "/tasks/");
	char owner[512];

	(void)snprintf(owner, sizeof(owner), "%.*s", tasks != NULL ?
	    (int)(tasks - name) : 0, name);
	if (tasks == NULL || !names_queue(owner))
		return (invalid(failure, "Task name must be formatted: "
		    "\"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/"
		    "<QUEUE_ID>/tasks/<TASK_ID>\""));
	if (strcmp(owner, queue) != 0)
		return (failure_set(failure, FAILURE_INVALID_ARGUMENT, "The "
		    "queue name from request ('%s') must be the same as the "
		    "queue name in the named task ('%s').", queue, owner));
	if (!names_task_id(tasks + strlen("/tasks/"))) {
		failure_set(failure, FAILURE_INVALID_ARGUMENT, "Task ID "
		    "\"%s\" can contain only letters ([A-Za-z]), numbers "
		    "([0-9]), hyphens (-), or underscores (_). Task ID must "
		    "between 1 and 500 characters.",
		    tasks + strlen("/tasks/"));
		return (failure_help(failure, "Definition of task ID",
		    "https://cloud.google.com/tasks/docs/reference/rest/v2/"
		    "projects.locations.queues.tasks#Task.FIELDS.name"));
	}

	return (0);
}

/*
 * Say whether a host is this machine whatever a name server says.
 */
static int
is_loopback(const char *host)
{
	struct in_addr in;

	return (strcasecmp(host, "localhost") == 0 ||
	    strcmp(host, "[::1]") == 0 ||
	    (inet_pton(AF_INET, host, &in) == 1 &&
	    ntohl(in.s_addr) >> 24 == 127));
}

static int
check_url(const char *url, int has_token, struct failure *failure)
{
	CURLU *parsed = NULL;
	char *host = NULL;
	int rc = -1;

	if (url == NULL || *url == '\0')
		return (invalid(failure, "HttpRequest.url is required."));
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return (invalid(failure, "HttpTarget.url must start with "
		    "'http://' or 'https://'."));
	if (strlen(url) > URL_MAX)
		return (invalid(failure, "HttpRequest.url must be at most 2083 "
		    "characters long."));

	/* libcurl would take https:///host as well. */
	if (strstr(url, "///") == strchr(url, '/') ||
	    (parsed = curl_url()) == NULL ||
	    curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
		invalid(failure, "HttpRequest.url is not a valid URL.");
		goto out;
	}

	/* The one thing that is looser here than at Google: see -h. */
	if (has_token && strncmp(url, "https://", 8) != 0 &&
	    !is_loopback(host)) {
		invalid(failure, "HttpRequest.url must start with 'https://' "
		    "for request with HttpRequest.authorization_header");
		goto out;
	}
	rc = 0;

out:
	curl_free(host);
	curl_url_cleanup(parsed);
	return (rc);
}

/*
 * Say whether a header is the service's own, or would break the framing of
 * the request; such headers are dropped.
 */
static int
is_reserved(const char *name)
{
	static const char *const names[] = { "Host", "Content-Length",
	    "User-Agent", "Transfer-Encoding", "Connection", "Keep-Alive",
	    "Proxy-Connection", "TE", "Trailer", "Upgrade" };
	static const char *const prefixes[] = { "X-Google-", "X-AppEngine-",
	    "X-CloudTasks-" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(name, names[i]) == 0)
			return (1);
	}
	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (strncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return (1);
	}

	return (0);
}

static int
is_header(const char *name, const char *value)
{
	const unsigned char *p;

	/* RFC 9110: a name is a token, a value has no control characters. */
	if (*name == '\0' || name[strspn(name, "!#$%&'*+-.^_`|~0123456789"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] != '\0')
		return (0);
	for (p = (const unsigned char *)value; *p != '\0'; p++) {
		if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
			return (0);
	}

	return (1);
}

/*
 * Check the headers and put the ones that will be sent in their place; add
 * up their size.
 */
static int
check_headers(json_t *http, size_t *size, struct failure *failure)
{
	json_t *given, *kept, *value;
	const char *name;

	given = json_object_get(http, "headers");
	kept = json_object();
	*size = 0;
	json_object_foreach(given, name, value) {
		*size += strlen(name) + json_string_length(value);
		if (!is_header(name, json_string_value(value))) {
			json_decref(kept);
			return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
			    "HttpRequest.headers contains an invalid header: "
			    "\"%.100s\".", name));
		}
		if (!is_reserved(name))
			json_object_set(kept, name, value);
	}
	json_object_set_new(kept, "User-Agent",
	    json_string("Google-Cloud-Tasks"));
	json_object_set_new(http, "headers", kept);
	if (*size >= HEADERS_MAX)
		return (invalid(failure, "The size of HttpRequest.headers must "
		    "be less than 80KB."));

	return (0);
}

static int
check_method(json_t *http, struct failure *failure)
{
	const char *method = json_text(http, "httpMethod");

	if (method == NULL || strcmp(method, methods[0]) == 0) {
		json_object_set_new(http, "httpMethod", json_string("POST"));
		return (0);
	}
	if (json_string_length(json_object_get(http, "body")) > 0 &&
	    strcmp(method, "POST") != 0 && strcmp(method, "PUT") != 0 &&
	    strcmp(method, "PATCH") != 0)
		return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
		    "HttpRequest.body is only allowed for HttpRequest."
		    "httpMethod POST, PUT and PATCH, not for %s.", method));

	return (0);
}

static int
check_http(json_t *task, struct failure *failure)
{
	json_t *http = json_object_get(task, "httpRequest");
	const json_t *token = json_object_get(http, "oidcToken");
	const char *email = json_text(token, "serviceAccountEmail");
	size_t size;

	if (http == NULL)
		return (json_object_get(task, "appEngineHttpRequest") != NULL ?
		    failure_set(failure, FAILURE_UNIMPLEMENTED, "The emulator "
		    "has no App Engine tasks: use httpRequest.") :
		    invalid(failure, "Task.httpRequest is required."));
	if (json_object_get(http, "oauthToken") != NULL)
		return (failure_set(failure, FAILURE_UNIMPLEMENTED, "The "
		    "emulator has no OAuth tokens: use oidcToken."));
	if (token != NULL && (email == NULL || *email == '\0'))
		return (invalid(failure, "HttpRequest.oidcToken."
		    "serviceAccountEmail is required."));
	if (check_url(json_text(http, "url"), token != NULL, failure) != 0 ||
	    check_method(http, failure) != 0 ||
	    check_headers(http, &size, failure) != 0)
		return (-1);
	size += strlen(json_text(http, "url")) +
	    json_string_length(json_object_get(http, "body")) / 4 * 3 +
	    json_string_length(json_object_get(task, "name"));
	if (size > TASK_MAX)
		return (invalid(failure, "Task size too large"));

	return (0);
}

static int
check_times(const json_t *json, struct task *task, int64_t now,
    int64_t horizon, struct failure *failure)
{
	const char *text;
	char span[TIMES_LEN];

	task->created = task->schedule = now;
	if ((text = json_text(json, "scheduleTime")) != NULL) {
		times_parse_stamp(text, &task->schedule);

		/* What is over is due now. */
		if (task->schedule < now)
			task->schedule = now;
	}
	if (task->schedule - now > horizon) {
		if (horizon % TIMES_HOUR == 0)
			(void)snprintf(span, sizeof(span), "%" PRId64 "h",
			    horizon / TIMES_HOUR);
		else
			times_format_span(horizon, span);
		return (failure_set(failure, FAILURE_INVALID_ARGUMENT, "The "
		    "Task.scheduleTime, %s, is too far in the future. Schedule "
		    "time must be no more than %s in the future.", text,
		    span));
	}

	task->deadline = DEADLINE;
	if ((text = json_text(json, "dispatchDeadline")) != NULL)
		times_parse_span(text, &task->deadline);
	if (task->deadline < DEADLINE_MIN || task->deadline > DEADLINE_MAX)
		return (invalid(failure, "Task.dispatchDeadline must be "
		    "between [15s, 30m]."));

	return (0);
}

/**
 * validate_task(body, queue, now, horizon, view, failure):
 * Read the body of tasks:create for the queue named ${queue}, at the time
 * ${now}, with tasks allowed up to ${horizon} ahead.  Return the task, which
 * the caller owns, in no list and perhaps without a name, and how it wants to
 * be answered at ${view}; or NULL and the ${failure}.
 */
struct task *
validate_task(const json_t *body, const char *queue, int64_t now,
    int64_t horizon, enum resource_view *view, struct failure *failure)
{
	struct task *task = NULL;
	json_t *request, *json;
	const char *name;

	if ((request = proto_read(body, create_fields, failure)) == NULL)
		return (NULL);
	if ((json = json_object_get(request, "task")) == NULL) {
		invalid(failure, "Task is required.");
		goto err;
	}
	name = json_text(json, "name");
	if (name != NULL && *name == '\0')
		name = NULL;
	if (validate_view(json_text(request, "responseView"), view, failure) ||
	    (name != NULL && check_name(name, queue, failure)) ||
	    check_http(json, failure))
		goto err;
	if ((task = calloc(1, sizeof(*task))) == NULL ||
	    (name != NULL && (task->name = strdup(name)) == NULL)) {
		failure_set(failure, FAILURE_INTERNAL, "out of memory");
		goto err;
	}
	if (check_times(json, task, now, horizon, failure) != 0)
		goto err;
	task->http = json_incref(json_object_get(json, "httpRequest"));
	json_decref(request);

	/* Success! */
	return (task);

err:
	/* Failure! */
	resource_task_free(task);
	json_decref(request);
	return (NULL);
}

/**
 * validate_view(text, view, failure):
 * Read a responseView, NULL for none, into ${view}.  Return 0 or -1.
 */
int
validate_view(const char *text, enum resource_view *view,
    struct failure *failure)
{
	int n = text != NULL ? proto_enum(views, text) : 0;

	if (n == -1)
		return (failure_set(failure, FAILURE_INVALID_ARGUMENT,
		    "Invalid value at 'response_view' (type.googleapis.com/"
		    "google.cloud.tasks.v2.Task.View), \"%.100s\"", text));
	*view = n == 2 ? RESOURCE_FULL : RESOURCE_BASIC;

	return (0);
}

/**
 * validate_run(body, view, failure):
 * Read the body of tasks:run, which may set the ${view}.  Return 0 or -1.
 */
int
validate_run(const json_t *body, enum resource_view *view,
    struct failure *failure)
{
	json_t *request;
	int rc;

	if ((request = proto_read(body, run_fields, failure)) == NULL)
		return (-1);
	rc = validate_view(json_text(request, "responseView"), view, failure);
	json_decref(request);

	return (rc);
}

/**
 * validate_nothing(body, failure):
 * Read a body that must be {}.  Return 0 or -1.
 */
int
validate_nothing(const json_t *body, struct failure *failure)
{
	json_t *request;

	if ((request = proto_read(body, no_fields, failure)) == NULL)
		return (-1);
	json_decref(request);

	return (0);
}
