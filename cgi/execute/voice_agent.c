#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "config.h"
#include "http.h"
#include "metrics.h"
#include "monotime.h"
#include "phone_number.h"
#include "secret.h"
#include "trace.h"
#include "utf8.h"
#include "webhook_signature.h"

#include "voice_agent.h"

/* What is read of an answer: enough to quote it in an error. */
#define MAX_ANSWER	4096

/* The most headers of a call. */
#define MAX_HEADERS	8

struct voice_agent {
	const struct config *conf;
	struct http *http;
	struct webhook_key key;		/* len 0: calls are not signed */
};

/**
 * voice_agent_check(conf):
 * Return NULL if the configuration of the call is good, or a static sentence
 * on what is not.
 */
const char *
voice_agent_check(const struct config *conf)
{
	struct webhook_key key;
	const char *why = NULL;

	if (conf->call_secret != NULL &&
	    webhook_key_parse(conf->call_secret, &key) != 0)
		why = "FOLLOWUP_CALL_SECRET must be whsec_ and the base64 of "
		    "24 to 64 bytes";
	OPENSSL_cleanse(&key, sizeof(key));
	return (why);
}

/**
 * voice_agent_new(conf):
 * Return a client; NULL when memory is short.  ${conf} must outlive it.
 */
struct voice_agent *
voice_agent_new(const struct config *conf)
{
	struct voice_agent *agent;

	if ((agent = calloc(1, sizeof(*agent))) == NULL ||
	    (agent->http = http_new(conf->proxy)) == NULL) {
		free(agent);
		return (NULL);
	}
	agent->conf = conf;
	if (conf->call_secret != NULL)
		(void)webhook_key_parse(conf->call_secret, &agent->key);
	return (agent);
}

/* The headers of a call; NULL ends them, and stands where memory was short. */
struct headers {
	char *lines[MAX_HEADERS + 1];
	size_t n;
	int failed;
};

/* Add the header ${name} with the value ${prefix}${value}, of any length. */
static void
add(struct headers *h, const char *name, const char *prefix,
    const char *value)
{
	char *line = secret_concat(SECRET_TEXTS(name, ": ", prefix, value));

	if (line == NULL)
		h->failed = 1;
	else
		h->lines[h->n++] = line;
}

static void
free_headers(struct headers *h)
{

	while (h->n > 0) {
		h->n--;
		secret_free(h->lines[h->n], strlen(h->lines[h->n]));
	}
}

/* Sign ${body}: the three headers of Standard Webhooks. */
static void
add_signature(struct voice_agent *agent, struct headers *h, const char *id,
    const char *body)
{
	char timestamp[24], signature[WEBHOOK_SIGNATURE_LEN];

	(void)snprintf(timestamp, sizeof(timestamp), "%lld",
	    (long long)time(NULL));
	if (webhook_sign(&agent->key, id, timestamp, body, strlen(body),
	    signature) != 0) {
		h->failed = 1;
		return;
	}
	add(h, "webhook-id", "", id);
	add(h, "webhook-timestamp", "", timestamp);
	add(h, "webhook-signature", "", signature);
}

/* Return 0, or -1 when memory is short; to be given to free_headers. */
static int
add_headers(struct voice_agent *agent, struct headers *h,
    const struct voice_agent_call *call, const char *body)
{
	char traceparent[TRACE_PARENT_LEN];
	struct trace trace;

	memset(h, 0, sizeof(*h));
	(void)trace_parse(call->traceparent, &trace);
	trace_next(&trace);
	add(h, "Content-Type", "", "application/json");
	add(h, "Idempotency-Key", "", call->idempotency_key);
	if (trace_parent(&trace, traceparent) != NULL)
		add(h, "traceparent", "", traceparent);
	if (call->tenant_id != NULL)
		add(h, "X-Tenant-Id", "", call->tenant_id);
	if (agent->conf->call_token != NULL)
		add(h, "Authorization", "Bearer ", agent->conf->call_token);
	if (agent->key.len > 0)
		add_signature(agent, h, call->message_id, body);
	return (h->failed ? -1 : 0);
}

/* Can ${value}, which comes from the row, be the value of a header? */
static int
fits_header(const char *value)
{

	for (; value != NULL && *value != '\0'; value++) {
		if ((unsigned char)*value < ' ' || *value == 0x7f)
			return (0);
	}
	return (1);
}

/*
 * Keep the numbers of ${json} out of ${text}: its phoneNumber as it is spelled
 * there, and in a body that a deployment makes itself everything that is
 * written as a number.
 */
static void
hide_numbers(char *text, json_t *json)
{
	const char *value = json_string_value(json), *name;
	json_t *member;
	char digits[24];
	size_t i;

	if (value != NULL && phone_number_is(value))
		phone_number_hide(text, value);
	if (json_is_real(json) && fabs(json_real_value(json)) < 1e18) {
		(void)snprintf(digits, sizeof(digits), "%.0f",
		    json_real_value(json));
		if (phone_number_is(digits))
			phone_number_hide(text, digits);
	}
	json_array_foreach(json, i, member)
		hide_numbers(text, member);
	json_object_foreach(json, name, member) {
		value = json_string_value(member);
		if (strcmp(name, "phoneNumber") == 0 && value != NULL) {
			secret_hide(text, value + (*value == '+'));
			phone_number_hide(text, value);
		} else
			hide_numbers(text, member);
	}
}

/* Keep what we are known by out of ${text}. */
static void
hide_secrets(char *text, const struct config *conf)
{

	if (conf->call_token != NULL)
		secret_hide(text, conf->call_token);
	if (conf->call_secret != NULL)
		webhook_key_hide(text, conf->call_secret);
}

/* Put ${what} and what was said about it into words, on one line. */
static void
explain(const struct voice_agent *agent, const struct voice_agent_call *call,
    const char *what, const char *said, struct voice_agent_error *error)
{
	json_t *body = json_loads(call->body, JSON_DECODE_ANY |
	    JSON_DECODE_INT_AS_REAL, NULL);
	char *copy = strdup(said), *p;

	/* Before it is cut, so that no part of a number is left. */
	if (copy != NULL) {
		hide_secrets(copy, agent->conf);
		hide_numbers(copy, body);
	}
	(void)snprintf(error->text, sizeof(error->text), "%s: %.300s", what,
	    copy != NULL ? copy : "");
	for (p = error->text; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
	utf8_clean(error->text);
	free(copy);
	json_decref(body);
}

/*
 * What an answer with ${status} says about the call.  Refused is only what
 * says so for good; that we are not let in says it of no call.  Not started is
 * only what promises it: too early, too many requests, not available.  A proxy
 * between us and the agent may have made up any other 5xx, 408 and 499 (it
 * gave up waiting) after the agent had begun.
 */
static enum voice_agent_outcome
judge(long status)
{

	if (status >= 200 && status <= 299)
		return (VOICE_AGENT_STARTED);
	switch (status) {
	case 425:
	case 429:
	case 503:
		return (VOICE_AGENT_NOT_STARTED);
	case 401:
	case 403:
		return (VOICE_AGENT_DENIED);
	case 409:
		return (VOICE_AGENT_RUNNING);
	case 408:
	case 499:
		return (VOICE_AGENT_UNKNOWN);
	default:
		return (status >= 300 && status <= 498 ? VOICE_AGENT_REFUSED :
		    VOICE_AGENT_UNKNOWN);
	}
}

/* Take the answer, or note that none came. */
static enum voice_agent_outcome
take_answer(const struct voice_agent *agent,
    const struct voice_agent_call *call, int answered,
    struct voice_agent_error *error)
{
	enum voice_agent_outcome outcome;
	char what[112];

	error->http_status = http_status(agent->http);
	if (!answered) {
		explain(agent, call, "the voice agent did not answer",
		    http_error(agent->http), error);
		error->no_connection = !http_was_sent(agent->http);
		return (error->no_connection ? VOICE_AGENT_NOT_STARTED :
		    VOICE_AGENT_UNKNOWN);
	}
	if ((outcome = judge(error->http_status)) == VOICE_AGENT_STARTED)
		return (outcome);
	error->retry_after = http_retry_after(agent->http);
	(void)snprintf(what, sizeof(what), "the voice agent answered %ld%s",
	    error->http_status, error->http_status <= 399 ?
	    " (redirects are not followed: correct FOLLOWUP_CALL_URL)" : "");
	explain(agent, call, what, http_body(agent->http), error);
	return (outcome);
}

/*
 * Count a request with this ${outcome}.  An agent that has already made this
 * call may say so, as other APIs with idempotency keys do.
 */
static void
measure(const struct voice_agent *agent, enum voice_agent_outcome outcome,
    const struct voice_agent_error *error)
{
	const char *replayed = http_header(agent->http, "Idempotent-Replayed");
	enum metrics_attempt attempt = METRICS_ATTEMPT_UNKNOWN;

	switch (outcome) {
	case VOICE_AGENT_STARTED:
		attempt = replayed != NULL && strcmp(replayed, "true") == 0 ?
		    METRICS_ATTEMPT_REPLAYED : METRICS_ATTEMPT_STARTED;
		break;
	case VOICE_AGENT_REFUSED:
	case VOICE_AGENT_DENIED:
		attempt = METRICS_ATTEMPT_REFUSED;
		break;
	case VOICE_AGENT_NOT_STARTED:
	case VOICE_AGENT_RUNNING:
		attempt = error->http_status == 429 ? METRICS_ATTEMPT_LIMITED :
		    METRICS_ATTEMPT_UNAVAILABLE;
		break;
	case VOICE_AGENT_UNKNOWN:
		break;
	}
	metrics_add(METRICS_CALL_ATTEMPTS, (int)attempt, 1);
	metrics_observe(METRICS_CALL_REQUEST_DURATION, 0,
	    http_seconds(agent->http));
}

/**
 * voice_agent_start(agent, call, error):
 * Ask for ${call}.  ${error} is set, its text unless the call was started.
 */
enum voice_agent_outcome
voice_agent_start(struct voice_agent *agent,
    const struct voice_agent_call *call, struct voice_agent_error *error)
{
	enum voice_agent_outcome outcome = VOICE_AGENT_NOT_STARTED;
	struct http_request request = { .method = "POST",
	    .url = agent->conf->call_url, .max_response = MAX_ANSWER,
	    .timeout_ms = agent->conf->call_timeout * 1000L,
	    .status_only = 1, .fresh = 1 };
	struct headers headers;
	long begun;

	error->ms = 0;
	error->http_status = 0;
	error->retry_after = -1;
	error->no_connection = 0;
	error->not_asked = 1;
	if (!fits_header(call->tenant_id) ||
	    !fits_header(call->idempotency_key)) {
		(void)snprintf(error->text, sizeof(error->text), "the "
		    "booking's tenant_id has control characters in it");
		return (VOICE_AGENT_REFUSED);
	}
	request.body = call->body;
	request.body_len = strlen(call->body);
	if (add_headers(agent, &headers, call, call->body) == 0) {
		request.headers = (const char *const *)headers.lines;
		if (http_prepare(agent->http, &request) == 0) {
			error->not_asked = 0;
			begun = monotime_ms();
			outcome = take_answer(agent, call,
			    http_perform(agent->http) == 0, error);
			error->ms = monotime_ms() - begun + 1;
			measure(agent, outcome, error);
		} else
			explain(agent, call, "the call's request could not be "
			    "written", http_error(agent->http), error);
	} else
		explain(agent, call, "the call's request could not be written",
		    "out of memory", error);
	free_headers(&headers);
	return (outcome);
}

/**
 * voice_agent_free(agent):
 * Wipe and free ${agent}; NULL is fine.
 */
void
voice_agent_free(struct voice_agent *agent)
{

	if (agent == NULL)
		return;
	http_free(agent->http);
	OPENSSL_cleanse(&agent->key, sizeof(agent->key));
	free(agent);
}
