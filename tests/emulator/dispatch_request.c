#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "base64.h"
#include "dispatch_request.h"
#include "json_text.h"
#include "times.h"

/* How long a connection may take to come about, in milliseconds. */
#define CONNECT_MS	30000L

struct dispatch_request {
	CURL *curl;
	const struct dispatch *dispatch;
	struct curl_slist *headers;
	unsigned char *body;
	char error[CURL_ERROR_SIZE];
	char text[CURL_ERROR_SIZE + 64];
};

/*
 * Append one header; an empty value is written as libcurl wants it.
 */
static int
add_header(struct dispatch_request *request, const char *name,
    const char *value)
{
	struct curl_slist *longer;
	char *line;

	if (asprintf(&line, *value != '\0' ? "%s: %s" : "%s;", name,
	    value) == -1)
		return (-1);
	longer = curl_slist_append(request->headers, line);
	OPENSSL_cleanse(line, strlen(line));
	free(line);
	if (longer == NULL)
		return (-1);
	request->headers = longer;

	return (0);
}

static int
add_number(struct dispatch_request *request, const char *name, int64_t number)
{
	char value[24];

	(void)snprintf(value, sizeof(value), "%" PRId64, number);
	return (add_header(request, name, value));
}

/*
 * The headers by which the service describes the attempt.
 */
static int
add_own_headers(struct dispatch_request *request)
{
	const struct dispatch *dispatch = request->dispatch;
	char eta[40];

	(void)snprintf(eta, sizeof(eta), "%" PRId64 ".%06" PRId64,
	    dispatch->eta / TIMES_SECOND, dispatch->eta % TIMES_SECOND);
	if (add_header(request, "X-CloudTasks-QueueName",
	    dispatch->queue_id) ||
	    add_header(request, "X-CloudTasks-TaskName", dispatch->task_id) ||
	    add_number(request, "X-CloudTasks-TaskRetryCount",
	    dispatch->retries) ||
	    add_number(request, "X-CloudTasks-TaskExecutionCount",
	    dispatch->executions) ||
	    add_header(request, "X-CloudTasks-TaskETA", eta))
		return (-1);

	/* On retries also what came before, and a reason that is empty. */
	if (dispatch->retries > 0 && dispatch->previous != 0 &&
	    (add_number(request, "X-CloudTasks-TaskPreviousResponse",
	    dispatch->previous) ||
	    add_header(request, "X-CloudTasks-TaskRetryReason", "")))
		return (-1);

	return (0);
}

/*
 * The token, if the task asks for one.
 */
static int
add_token(struct dispatch_request *request, const struct oidc *oidc, int *added)
{
	const json_t *http = request->dispatch->http;
	const json_t *wanted = json_object_get(http, "oidcToken");
	const char *audience;
	char *token, *value = NULL;
	int rc = -1;

	*added = wanted != NULL;
	if (wanted == NULL)
		return (0);
	audience = json_text(wanted, "audience");
	if (audience == NULL || *audience == '\0')
		audience = json_text(http, "url");
	token = oidc_token(oidc, json_text(wanted, "serviceAccountEmail"),
	    audience, times_now() / TIMES_SECOND);
	if (token == NULL || asprintf(&value, "Bearer %s", token) == -1)
		goto out;
	rc = add_header(request, "Authorization", value);
	free(value);

out:
	free(token);
	return (rc);
}

/*
 * The task's own headers.  libcurl would add some by itself where the task
 * has none; an entry without a value keeps it from that.
 */
static int
add_task_headers(struct dispatch_request *request, int authorized)
{
	static const char *const unwanted[] = { "Accept", "Content-Type",
	    "Expect" };
	const char *name;
	json_t *value;
	char line[32];
	struct curl_slist *longer;
	size_t i;
	int has[sizeof(unwanted) / sizeof(unwanted[0])] = { 0 };

	json_object_foreach(json_object_get(request->dispatch->http,
	    "headers"), name, value) {
		if (authorized && strcasecmp(name, "Authorization") == 0)
			continue;
		if (add_header(request, name, json_string_value(value)))
			return (-1);
		for (i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
			has[i] |= strcasecmp(name, unwanted[i]) == 0;
	}
	for (i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++) {
		if (has[i])
			continue;
		(void)snprintf(line, sizeof(line), "%s:", unwanted[i]);
		longer = curl_slist_append(request->headers, line);
		if (longer == NULL)
			return (-1);
		request->headers = longer;
	}

	return (0);
}

static size_t
discard(char *data, size_t size, size_t n, void *cookie)
{

	(void)data;
	(void)cookie;
	return (size * n);
}

static int
set_body(struct dispatch_request *request)
{
	const json_t *http = request->dispatch->http;
	const char *method, *body;
	size_t len = 0;

	method = json_text(http, "httpMethod");
	body = json_text(http, "body");
	if (body != NULL && (request->body = base64_decode(body,
	    strlen(body), &len)) == NULL)
		return (-1);

	/* HEAD has an answer without a body, the others are only words. */
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(request->curl, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(request->curl, CURLOPT_CUSTOMREQUEST,
		    method);
	if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	    strcmp(method, "PATCH") == 0) {
		curl_easy_setopt(request->curl, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)len);
		curl_easy_setopt(request->curl, CURLOPT_POSTFIELDS,
		    request->body != NULL ? (char *)request->body : "");
	}

	return (0);
}

/*
 * Everything that does not depend on the task: no proxy, no redirects, no
 * other protocol, no patience beyond the dispatchDeadline.
 */
static void
set_options(struct dispatch_request *request)
{
	CURL *curl = request->curl;

	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, request->error);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "Google-Cloud-Tasks");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
	    (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
	    (long)(request->dispatch->deadline / 1000));
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
}

/**
 * dispatch_request_new(dispatch, oidc):
 * Return the request for ${dispatch}, which must outlive it, with a token of
 * ${oidc} if it asks for one; or NULL.
 */
struct dispatch_request *
dispatch_request_new(const struct dispatch *dispatch, const struct oidc *oidc)
{
	struct dispatch_request *request;
	int authorized;

	if ((request = calloc(1, sizeof(*request))) == NULL)
		return (NULL);
	request->dispatch = dispatch;
	if ((request->curl = curl_easy_init()) == NULL ||
	    add_own_headers(request) || add_token(request, oidc,
	    &authorized) || add_task_headers(request, authorized) ||
	    set_body(request))
		goto err;
	set_options(request);
	if (curl_easy_setopt(request->curl, CURLOPT_URL,
	    json_text(dispatch->http, "url")) !=
	    CURLE_OK)
		goto err;

	/* Success! */
	return (request);

err:
	/* Failure! */
	dispatch_request_free(request);
	return (NULL);
}

/**
 * dispatch_request_handle(request):
 * Return the transfer; its CURLOPT_PRIVATE is free for the caller.
 */
CURL *
dispatch_request_handle(const struct dispatch_request *request)
{

	return (request->curl);
}

/**
 * dispatch_request_outcome(request, result, outcome):
 * Say in ${outcome} how the transfer went that ended with ${result}.  The
 * text lives as long as ${request}.
 */
void
dispatch_request_outcome(struct dispatch_request *request, CURLcode result,
    struct outcome *outcome)
{
	long status = 0;
	curl_off_t wait = 0;

	memset(outcome, 0, sizeof(*outcome));
	outcome->text = request->text;
	if (result == CURLE_OPERATION_TIMEDOUT) {
		outcome->kind = OUTCOME_TIMEOUT;
		(void)snprintf(request->text, sizeof(request->text),
		    "no answer within the dispatchDeadline");
		return;
	}
	if (result != CURLE_OK) {
		outcome->kind = OUTCOME_UNREACHABLE;
		(void)snprintf(request->text, sizeof(request->text),
		    "cannot reach the target: %s", request->error[0] != '\0' ?
		    request->error : curl_easy_strerror(result));
		return;
	}

	outcome->kind = OUTCOME_ANSWERED;
	curl_easy_getinfo(request->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(request->curl, CURLINFO_RETRY_AFTER, &wait);
	outcome->http = (int)status;
	if (wait > 0 && wait < INT64_MAX / TIMES_SECOND)
		outcome->retry_after = wait * TIMES_SECOND;
	(void)snprintf(request->text, sizeof(request->text),
	    "answered with status %ld", status);
}

/**
 * dispatch_request_free(request):
 * Free ${request}, which must be in no multi handle; NULL is fine.
 */
void
dispatch_request_free(struct dispatch_request *request)
{

	if (request == NULL)
		return;
	curl_easy_cleanup(request->curl);
	curl_slist_free_all(request->headers);
	free(request->body);
	free(request);
}
