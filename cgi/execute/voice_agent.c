#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "config.h"
#include "http.h"
#include "secret.h"
#include "utf8.h"
#include "webhook_signature.h"

#include "voice_agent.h"

/* What is read of an answer: enough to quote it in an error. */
#define MAX_ANSWER	4096

/* The longest header line that is sent. */
#define HEADER_LEN	512

/* A traceparent (W3C Trace Context, version 00), with its NUL. */
#define TRACEPARENT_LEN	56

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

static int
is_hex(const char *s, size_t n)
{

	return (strspn(s, "0123456789abcdef") >= n);
}

/*
 * Write the traceparent of the call: a new span of the callback's trace, or
 * of a trace of its own where the callback has none that can be read.
 */
static void
make_traceparent(const char *from, char out[TRACEPARENT_LEN])
{
	static const char nothing[] = "00000000000000000000000000000000";
	unsigned char random[24];
	char hex[2 * sizeof(random) + 1];
	size_t i;

	if (RAND_bytes(random, sizeof(random)) != 1)
		memset(random, 1, sizeof(random));
	for (i = 0; i < sizeof(random); i++)
		(void)snprintf(&hex[2 * i], 3, "%02x", random[i]);

	if (from != NULL && strlen(from) == TRACEPARENT_LEN - 1 &&
	    strncmp(from, "00-", 3) == 0 && is_hex(from + 3, 32) &&
	    strncmp(from + 3, nothing, 32) != 0 && from[35] == '-' &&
	    is_hex(from + 36, 16) && from[52] == '-' && is_hex(from + 53, 2))
		(void)snprintf(out, TRACEPARENT_LEN, "00-%.32s-%.16s-%.2s",
		    from + 3, hex, from + 53);
	else
		(void)snprintf(out, TRACEPARENT_LEN, "00-%.32s-%.16s-01", hex,
		    hex + 32);
}

/* The headers of a call, and the lines they point to. */
struct headers {
	const char *list[12];
	char lines[11][HEADER_LEN];
	size_t n;
};

/* Add the header ${name}: ${prefix}${value}. */
static void
add(struct headers *h, const char *name, const char *prefix,
    const char *value)
{

	(void)snprintf(h->lines[h->n], HEADER_LEN, "%s: %s%s", name, prefix,
	    value);
	h->list[h->n] = h->lines[h->n];
	h->list[++h->n] = NULL;
}

/* Sign ${body}: the three headers of Standard Webhooks. */
static int
add_signature(struct voice_agent *agent, struct headers *h, const char *id,
    const char *body)
{
	char timestamp[24], signature[WEBHOOK_SIGNATURE_LEN];

	(void)snprintf(timestamp, sizeof(timestamp), "%lld",
	    (long long)time(NULL));
	if (webhook_sign(&agent->key, id, timestamp, body, strlen(body),
	    signature) != 0)
		return (-1);
	add(h, "webhook-id", "", id);
	add(h, "webhook-timestamp", "", timestamp);
	add(h, "webhook-signature", "", signature);
	return (0);
}

static int
add_headers(struct voice_agent *agent, struct headers *h,
    const struct voice_agent_call *call, const char *body)
{
	char traceparent[TRACEPARENT_LEN];

	h->n = 0;
	make_traceparent(call->traceparent, traceparent);
	add(h, "Content-Type", "", "application/json");
	add(h, "Idempotency-Key", "", call->idempotency_key);
	add(h, "traceparent", "", traceparent);
	if (call->tenant_id != NULL)
		add(h, "X-Tenant-Id", "", call->tenant_id);
	if (agent->conf->call_token != NULL)
		add(h, "Authorization", "Bearer ", agent->conf->call_token);
	if (agent->key.len > 0)
		return (add_signature(agent, h, call->message_id, body));
	return (0);
}

/* What the agent answered may quote the number: logs have none. */
static void
hide_number(char *text, const char *number)
{

	if (number != NULL)
		secret_hide(text, number + (*number == '+'));
}

/* Put an answer that is not 2xx, or none at all, into words. */
static void
describe(const struct voice_agent *agent, const struct voice_agent_call *call,
    int answered, struct voice_agent_error *error)
{
	char *body, *p;

	error->http_status = http_status(agent->http);
	error->retry_after = -1;
	error->unknown = !answered && http_was_sent(agent->http);
	if (!answered) {
		(void)snprintf(error->text, sizeof(error->text),
		    "the voice agent did not answer: %s",
		    http_error(agent->http));
	} else {
		error->retry_after = http_retry_after(agent->http);
		body = strdup(http_body(agent->http));
		if (body != NULL)
			hide_number(body, call->phone_number);
		(void)snprintf(error->text, sizeof(error->text),
		    "the voice agent answered %ld: %.300s",
		    error->http_status, body != NULL ? body : "");
		free(body);
	}
	for (p = error->text; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ')
			*p = ' ';
	}
	utf8_clean(error->text);
}

/**
 * voice_agent_start(agent, call, error):
 * Ask for ${call}.  ${error} is set unless it was started.
 */
enum voice_agent_outcome
voice_agent_start(struct voice_agent *agent,
    const struct voice_agent_call *call, struct voice_agent_error *error)
{
	enum voice_agent_outcome outcome = VOICE_AGENT_TRANSIENT;
	struct http_request request = { .method = "POST",
	    .url = agent->conf->call_url, .max_response = MAX_ANSWER,
	    .timeout_ms = agent->conf->call_timeout * 1000L,
	    .status_only = 1, .fresh = 1 };
	struct headers headers;
	long status;
	int answered = 0;

	if (add_headers(agent, &headers, call, call->body) != 0) {
		error->http_status = 0;
		error->retry_after = -1;
		error->unknown = 0;
		(void)snprintf(error->text, sizeof(error->text),
		    "the call's request could not be written");
		goto out;
	}
	request.headers = headers.list;
	request.body = call->body;
	request.body_len = strlen(call->body);
	answered = http_prepare(agent->http, &request) == 0 &&
	    http_perform(agent->http) == 0;

	status = http_status(agent->http);
	if (answered && status >= 200 && status <= 299) {
		outcome = VOICE_AGENT_STARTED;
		goto out;
	}
	if (answered && status != 408 && status != 425 && status != 429 &&
	    status < 500)
		outcome = VOICE_AGENT_REFUSED;
	describe(agent, call, answered, error);

out:
	OPENSSL_cleanse(&headers, sizeof(headers));
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
