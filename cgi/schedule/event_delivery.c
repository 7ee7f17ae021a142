#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "config.h"
#include "http.h"
#include "utf8.h"
#include "webhook_signature.h"

#include "event_delivery.h"

/* How long a receiver may take, in milliseconds. */
#define TIMEOUT		10000

/* How much of an answer is read; only its status counts. */
#define MAX_ANSWER	4096

struct event_delivery {
	const struct config *conf;
	struct http *http;
	struct webhook_key key;
};

/**
 * event_delivery_check(conf):
 * Return NULL if the configuration of events is good, or a static sentence on
 * what is not.
 */
const char *
event_delivery_check(const struct config *conf)
{
	struct webhook_key key;
	const char *why = NULL;

	if (conf->events_url != NULL && conf->events_secret == NULL)
		why = "FOLLOWUP_EVENTS_SECRET is not set: "
		    "FOLLOWUP_EVENTS_URL gets signed events only";
	else if (conf->events_secret != NULL &&
	    webhook_key_parse(conf->events_secret, &key) != 0)
		why = "FOLLOWUP_EVENTS_SECRET must be whsec_ and the base64 "
		    "of 24 to 64 bytes";
	OPENSSL_cleanse(&key, sizeof(key));
	return (why);
}

/**
 * event_delivery_new(conf):
 * Return a client; NULL when memory is short.  ${conf}, which has an events_url
 * and was checked, must outlive it.
 */
struct event_delivery *
event_delivery_new(const struct config *conf)
{
	struct event_delivery *d;

	if ((d = calloc(1, sizeof(*d))) == NULL ||
	    (d->http = http_new(conf->proxy)) == NULL) {
		free(d);
		return (NULL);
	}
	d->conf = conf;
	(void)webhook_key_parse(conf->events_secret, &d->key);
	return (d);
}

/* The body of ${event}, for the caller to free; NULL: no memory. */
static char *
make_body(const struct event *event)
{
	json_t *body = json_pack("{s:s, s:s, s:o}", "type", event->type,
	    "timestamp", event->timestamp, "data",
	    json_loads(event->data, 0, NULL));
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	return (text);
}

/* Send ${body}; return 0 if an answer came, or -1. */
static int
post(struct event_delivery *d, const struct event *event, const char *body)
{
	char id[80], at[48], signature[32 + WEBHOOK_SIGNATURE_LEN];
	char timestamp[24], value[WEBHOOK_SIGNATURE_LEN];
	const char *const headers[] = { "Content-Type: application/json", id,
	    at, signature, NULL };
	const struct http_request request = { .method = "POST",
	    .url = d->conf->events_url, .headers = headers, .body = body,
	    .body_len = strlen(body), .timeout_ms = TIMEOUT,
	    .max_response = MAX_ANSWER, .fresh = 1, .status_only = 1 };

	(void)snprintf(timestamp, sizeof(timestamp), "%lld",
	    (long long)time(NULL));
	if (webhook_sign(&d->key, event->webhook_id, timestamp, body,
	    strlen(body), value) != 0)
		return (-1);
	(void)snprintf(id, sizeof(id), "webhook-id: %s", event->webhook_id);
	(void)snprintf(at, sizeof(at), "webhook-timestamp: %s", timestamp);
	(void)snprintf(signature, sizeof(signature), "webhook-signature: %s",
	    value);
	return (http_prepare(d->http, &request) != 0 ? -1 :
	    http_perform(d->http));
}

/**
 * event_delivery_send(delivery, event, answer):
 * Send ${event} once.
 */
void
event_delivery_send(struct event_delivery *d, const struct event *event,
    struct event_answer *answer)
{
	char *body = make_body(event);
	long status;

	*answer = (struct event_answer){ .outcome = EVENT_RETRY };
	if (body == NULL)
		(void)snprintf(answer->error, sizeof(answer->error),
		    "out of memory");
	else if (post(d, event, body) != 0)
		(void)snprintf(answer->error, sizeof(answer->error), "%s",
		    http_error(d->http));
	else {
		status = http_status(d->http);
		if (status >= 200 && status <= 299)
			answer->outcome = EVENT_DELIVERED;
		else
			(void)snprintf(answer->error, sizeof(answer->error),
			    "it answered %ld", status);
		answer->is_gone = status == 410;
		if ((answer->wait = http_retry_after(d->http)) < 0)
			answer->wait = 0;
	}
	utf8_clean(answer->error);
	free(body);
}

/**
 * event_delivery_free(delivery):
 * Free ${delivery}; NULL is fine.
 */
void
event_delivery_free(struct event_delivery *d)
{

	if (d == NULL)
		return;
	http_free(d->http);
	OPENSSL_cleanse(&d->key, sizeof(d->key));
	free(d);
}
