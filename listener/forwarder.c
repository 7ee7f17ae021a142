#include <sys/queue.h>

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "backoff.h"
#include "config.h"
#include "http.h"
#include "log.h"
#include "secret.h"
#include "uuid.h"

#include "forwarder.h"

/* The most bookings that are held, and of those with their payload. */
#define MAX_DELIVERIES	10000
#define MAX_PAYLOADS	1000

/* One exchange with the webhook, which has to talk to Cloud Tasks. */
#define TIMEOUT_MS	45000
#define MAX_ANSWER	65536

/* Between attempts for one booking, and between probes of the webhook. */
#define BACKOFF_BASE_MS	200
#define BACKOFF_CAP_MS	30000
#define PROBE_BASE_MS	100
#define PROBE_CAP_MS	2000

/* The type of a problem that is about one booking, not about the webhook. */
#define TYPE_UNAVAILABLE	"urn:followup-scheduler:unavailable"

/* A booking on its way. */
struct delivery {
	char id[UUID_LEN];
	char tenant_id[UUID_LEN];	/* empty if not known */
	char *payload;			/* or NULL: only the id is posted */
	int attempts;			/* that failed */
	int again;			/* told of while in flight */
	int in_flight;
	long retry_at;			/* while put off; otherwise 0 */
	long backoff_until;		/* the part of that which is ours */
	TAILQ_ENTRY(delivery) link;
};
TAILQ_HEAD(deliveries, delivery);

/* A connection to the webhook, and what it is busy with. */
struct slot {
	struct http *http;
	struct delivery *delivery;		/* NULL: free */
	char *body;
};

struct forwarder {
	const struct config *conf;
	CURLM *multi;
	char *authorization;		/* a header line, or NULL */
	struct slot *slots;
	int nslots;
	int in_flight;
	void *index;			/* tree of all deliveries, by id */
	size_t ndeliveries;
	size_t npayloads;
	struct deliveries waiting;		/* to be posted, oldest first */
	struct deliveries put_off;		/* until their retry_at */
	long next_retry;		/* the earliest of them */
	int failures;			/* of the webhook itself, in a row */
	long probe_at;			/* while it is away */
	int stopped;
};

static int
compare(const void *a, const void *b)
{
	const struct delivery *x = a, *y = b;

	return (strcmp(x->id, y->id));
}

/**
 * forwarder_new(conf):
 * Return a forwarder with nothing in it; NULL when memory is short.
 */
struct forwarder *
forwarder_new(const struct config *conf)
{
	struct forwarder *f;
	int i;

	if ((f = calloc(1, sizeof(*f))) == NULL)
		return (NULL);
	f->conf = conf;
	TAILQ_INIT(&f->waiting);
	TAILQ_INIT(&f->put_off);
	f->nslots = conf->listener_inflight;
	if ((f->slots = calloc((size_t)f->nslots, sizeof(*f->slots))) ==
	    NULL || (f->multi = curl_multi_init()) == NULL)
		goto err;
	for (i = 0; i < f->nslots; i++) {
		if ((f->slots[i].http = http_new(NULL)) == NULL)
			goto err;
	}
	if (conf->webhook_token != NULL &&
	    (f->authorization = secret_concat(SECRET_TEXTS(
	    "Authorization: Bearer ", conf->webhook_token))) == NULL)
		goto err;

	/* Every slot keeps its connection for the next booking. */
	(void)curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS,
	    (long)f->nslots);
	return (f);

err:
	forwarder_free(f);
	return (NULL);
}

static void
drop_payload(struct forwarder *f, struct delivery *e)
{

	if (e->payload != NULL)
		f->npayloads--;
	free(e->payload);
	e->payload = NULL;
}

static void
set_payload(struct forwarder *f, struct delivery *e, const char *payload)
{

	drop_payload(f, e);
	if (payload != NULL && f->npayloads < MAX_PAYLOADS &&
	    (e->payload = strdup(payload)) != NULL)
		f->npayloads++;
}

/* Forget a delivery that is in none of the lists. */
static void
forget(struct forwarder *f, struct delivery *e)
{

	(void)tdelete(e, &f->index, compare);
	f->ndeliveries--;
	drop_payload(f, e);
	free(e);
}

/*
 * Put ${e} off until ${until}, of which our own backoff is ${backoff_until};
 * the rest was asked for.
 */
static void
put_off(struct forwarder *f, struct delivery *e, long backoff_until,
    long until)
{

	e->backoff_until = backoff_until;
	e->retry_at = until;
	if (TAILQ_EMPTY(&f->put_off) || until < f->next_retry)
		f->next_retry = until;
	TAILQ_INSERT_TAIL(&f->put_off, e, link);
}

/* Put back what has been put off for long enough. */
static void
wake_up(struct forwarder *f, long now)
{
	struct delivery *e, *next;
	long earliest = 0;

	if (TAILQ_EMPTY(&f->put_off) || now < f->next_retry)
		return;
	for (e = TAILQ_FIRST(&f->put_off); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->retry_at <= now) {
			TAILQ_REMOVE(&f->put_off, e, link);
			TAILQ_INSERT_TAIL(&f->waiting, e, link);
			e->retry_at = 0;
		} else if (earliest == 0 || e->retry_at < earliest)
			earliest = e->retry_at;
	}
	f->next_retry = earliest;
}

/*
 * What somebody told about a booking that is here already.  The sweep passes
 * over those that the service asked to wait for: one that it finds has been
 * changed since, and the notification was spared.
 */
static enum forwarder_added
add_again(struct forwarder *f, struct delivery *e, const char *payload)
{

	if (payload == NULL) {
		if (e->retry_at > e->backoff_until) {
			e->retry_at = e->backoff_until;
			if (e->retry_at < f->next_retry)
				f->next_retry = e->retry_at;
		}
		return (FORWARDER_KNOWN);
	}
	if (e->in_flight)
		e->again = 1;
	else if (e->retry_at != 0) {
		/* It changed: what it was put off for may be mended. */
		TAILQ_REMOVE(&f->put_off, e, link);
		TAILQ_INSERT_TAIL(&f->waiting, e, link);
		e->retry_at = 0;
	}
	set_payload(f, e, payload);
	return (FORWARDER_KNOWN);
}

/**
 * forwarder_add(f, id, tenant_id, payload):
 * Have booking ${id} (a UUID in lower case) posted, with ${payload} as the
 * body or, if that is NULL, with the id alone.  If ${payload} is set somebody
 * says that the booking has changed: if it is in flight just now it is posted
 * again afterwards.
 */
enum forwarder_added
forwarder_add(struct forwarder *f, const char *id, const char *tenant_id,
    const char *payload)
{
	struct delivery *e, key;
	void *found;

	(void)snprintf(key.id, sizeof(key.id), "%s", id);
	if ((found = tfind(&key, &f->index, compare)) != NULL) {
		e = *(struct delivery **)found;
		return (add_again(f, e, payload));
	}
	if (f->ndeliveries >= MAX_DELIVERIES ||
	    (e = calloc(1, sizeof(*e))) == NULL)
		return (FORWARDER_FULL);
	(void)snprintf(e->id, sizeof(e->id), "%s", id);
	if (tenant_id != NULL)
		(void)snprintf(e->tenant_id, sizeof(e->tenant_id), "%s",
		    tenant_id);
	if (tsearch(e, &f->index, compare) == NULL) {
		free(e);
		return (FORWARDER_FULL);
	}
	f->ndeliveries++;
	set_payload(f, e, payload);
	TAILQ_INSERT_TAIL(&f->waiting, e, link);
	return (FORWARDER_NEW);
}

/* Post ${e} through ${slot}. */
static int
post(struct forwarder *f, struct slot *slot, struct delivery *e)
{
	const char *headers[] = { "Content-Type: application/json",
	    f->authorization, NULL };
	struct http_request request = { .method = "POST",
	    .url = f->conf->webhook_url,
	    .unix_socket = f->conf->webhook_socket, .headers = headers,
	    .timeout_ms = TIMEOUT_MS, .max_response = MAX_ANSWER };

	/* The payload goes with this attempt; another one needs the id only. */
	free(slot->body);
	slot->body = NULL;
	if (e->payload != NULL) {
		slot->body = e->payload;
		e->payload = NULL;
		f->npayloads--;
	} else if (asprintf(&slot->body, "{\"booking_id\":\"%s\"}", e->id) <
	    0) {
		slot->body = NULL;
		return (-1);
	}
	request.body = slot->body;
	request.body_len = strlen(slot->body);
	if (http_prepare(slot->http, &request) != 0 ||
	    curl_easy_setopt(http_easy(slot->http), CURLOPT_PRIVATE, slot) !=
	    CURLE_OK ||
	    curl_multi_add_handle(f->multi, http_easy(slot->http)) !=
	    CURLM_OK)
		return (-1);
	slot->delivery = e;
	e->in_flight = 1;
	f->in_flight++;
	return (0);
}

/* Start as many as may be in flight: one probe, while the webhook is away. */
static void
start(struct forwarder *f, long now)
{
	struct delivery *e;
	int i, limit = f->failures > 0 ? 1 : f->nslots;

	if (f->stopped || (f->failures > 0 && now < f->probe_at))
		return;
	for (i = 0; i < f->nslots && f->in_flight < limit; i++) {
		if (f->slots[i].delivery != NULL)
			continue;
		if ((e = TAILQ_FIRST(&f->waiting)) == NULL)
			return;
		TAILQ_REMOVE(&f->waiting, e, link);
		if (post(f, &f->slots[i], e) != 0)
			put_off(f, e, now + BACKOFF_CAP_MS,
			    now + BACKOFF_CAP_MS);
	}
}

static struct log_about
about(const struct delivery *e, const char *task_name)
{
	struct log_about a = { .booking_id = e->id,
	    .tenant_id = *e->tenant_id != '\0' ? e->tenant_id : NULL,
	    .task_name = task_name };

	return (a);
}

/* 200: say what came of it. */
static void
report_success(const struct delivery *e, const json_t *answer)
{
	const char *task = json_string_value(json_object_get(answer,
	    "taskName"));
	const char *reason = json_string_value(json_object_get(answer,
	    "reason"));
	struct log_about a = about(e, task);

	if (json_is_true(json_object_get(answer, "scheduled")))
		log_info(&a, "Successfully scheduled Cloud Task");
	else if (json_is_true(json_object_get(answer, "success")))
		log_info(&a, "Nothing to schedule: %s",
		    reason != NULL ? reason : "no reason given");
	else
		log_error(&a, "Given up: %s",
		    reason != NULL ? reason : "no reason given");
}

/*
 * Nothing goes through for anybody: everything waits, one booking probes.
 * ${asked} is how many seconds the answer asked to wait, or -1.
 */
static void
webhook_away(struct forwarder *f, struct delivery *e, const char *why,
    long asked, long now)
{
	long wait;

	f->failures++;
	wait = backoff_ms(f->failures, PROBE_BASE_MS, PROBE_CAP_MS);
	if (wait < asked * 1000)
		wait = asked * 1000;
	f->probe_at = now + wait;
	if (f->failures == 1)
		log_error(NULL, "the webhook does not work: %s; %zu bookings "
		    "wait until it does (%s; are nginx and followup-schedule "
		    "running, and what does /readyz say?)", why,
		    f->ndeliveries, f->conf->webhook_socket != NULL ?
		    f->conf->webhook_socket : f->conf->webhook_url);
	TAILQ_INSERT_TAIL(&f->waiting, e, link);
}

static void
webhook_back(struct forwarder *f)
{

	if (f->failures > 0)
		log_info(NULL, "the webhook works again; %zu bookings "
		    "go on", f->ndeliveries);
	f->failures = 0;
}

/* Put one booking off. */
static void
try_later(struct forwarder *f, struct delivery *e, const struct http *http,
    const char *detail, long now)
{
	struct log_about a = about(e, NULL);
	long asked = http_retry_after(http), backoff, wait;

	e->attempts++;
	backoff = backoff_ms(e->attempts, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
	wait = backoff;
	if (asked > 0 && wait < asked * 1000)
		wait = asked * 1000;
	log_warning(&a, "attempt %d: the webhook answered %ld: %s; next in "
	    "%.1f s", e->attempts, http_status(http), detail,
	    (double)wait / 1000);
	put_off(f, e, now + backoff, now + wait);
}

static int
is_transient(long status)
{

	return (status >= 500 || status == 408 || status == 429);
}

/* Does the answer concern this booking, and not all of them alike? */
static int
is_about_booking(long status, const json_t *answer)
{
	const char *type = json_string_value(json_object_get(answer, "type"));

	return (status == 429 || (type != NULL &&
	    strcmp(type, TYPE_UNAVAILABLE) == 0));
}

/* Decide what becomes of the booking that ${slot} was busy with. */
static void
finish(struct forwarder *f, struct slot *slot, int answered, long now)
{
	struct delivery *e = slot->delivery;
	struct log_about a = about(e, NULL);
	const char *detail;
	json_t *answer = NULL;
	long status;

	slot->delivery = NULL;
	e->in_flight = 0;
	f->in_flight--;
	if (!answered) {
		webhook_away(f, e, http_error(slot->http), -1, now);
		return;
	}

	status = http_status(slot->http);
	answer = json_loadb(http_body(slot->http), http_body_len(slot->http),
	    0, NULL);
	detail = json_string_value(json_object_get(answer, "detail"));
	if (detail == NULL)
		detail = "no detail given";
	if (is_transient(status) && !is_about_booking(status, answer)) {
		webhook_away(f, e, detail,
		    http_retry_after(slot->http), now);
		goto out;
	}
	webhook_back(f);
	if (is_transient(status)) {
		try_later(f, e, slot->http, detail, now);
		goto out;
	}

	if (status == 200)
		report_success(e, answer);
	else
		log_error(&a, "The webhook answered %ld, which is final: %s",
		    status, detail);
	if (e->again) {
		/* It was told of again meanwhile. */
		e->again = 0;
		e->attempts = 0;
		TAILQ_INSERT_TAIL(&f->waiting, e, link);
	} else
		forget(f, e);

out:
	json_decref(answer);
}

/* Let transfers go on, and take note of those that are finished. */
static void
perform(struct forwarder *f, long now)
{
	struct slot *slot;
	CURLMsg *message;
	char *private;
	int running, left;
	CURLcode result;

	(void)curl_multi_perform(f->multi, &running);
	while ((message = curl_multi_info_read(f->multi, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
		    &private);
		slot = (struct slot *)(void *)private;
		result = message->data.result;
		(void)curl_multi_remove_handle(f->multi,
		    message->easy_handle);
		finish(f, slot, http_done(slot->http, result) == 0, now);
	}
}

/**
 * forwarder_step(f, now):
 * Take note of what is finished and start what can be started.
 */
void
forwarder_step(struct forwarder *f, long now)
{
	int before;

	wake_up(f, now);

	/* What is started may be finished at once, and make room. */
	do {
		start(f, now);
		before = f->in_flight;
		perform(f, now);
	} while (f->in_flight < before && !TAILQ_EMPTY(&f->waiting) &&
	    f->failures == 0 && !f->stopped);
}

/**
 * forwarder_wait(f, extra, nextra, now, deadline):
 * Wait until something happens on a transfer or on one of the ${nextra}
 * further descriptors, or until ${deadline}.
 */
void
forwarder_wait(struct forwarder *f, struct curl_waitfd *extra,
    unsigned int nextra, long now, long deadline)
{
	long timeout;

	/* The earliest of what is to be done. */
	if (!TAILQ_EMPTY(&f->put_off) && f->next_retry < deadline)
		deadline = f->next_retry;
	if (f->failures > 0 && f->in_flight == 0 &&
	    !TAILQ_EMPTY(&f->waiting) && f->probe_at < deadline)
		deadline = f->probe_at;
	timeout = deadline > now ? deadline - now : 0;
	(void)curl_multi_poll(f->multi, extra, nextra, (int)timeout, NULL);
}

/**
 * forwarder_has_room(f):
 * Return non-zero iff a page of the sweep can be taken.
 */
int
forwarder_has_room(const struct forwarder *f)
{

	return (f->ndeliveries + FORWARDER_PAGE <= MAX_DELIVERIES);
}

/**
 * forwarder_stop(f):
 * Start nothing any more.
 */
void
forwarder_stop(struct forwarder *f)
{

	f->stopped = 1;
}

/**
 * forwarder_in_flight(f):
 * Return how many bookings are in flight.
 */
int
forwarder_in_flight(const struct forwarder *f)
{

	return (f->in_flight);
}

/**
 * forwarder_free(f):
 * Drop everything; NULL is fine.
 */
void
forwarder_free(struct forwarder *f)
{
	struct delivery *e;
	int i;

	if (f == NULL)
		return;
	for (i = 0; f->slots != NULL && i < f->nslots; i++) {
		if ((e = f->slots[i].delivery) != NULL) {
			(void)curl_multi_remove_handle(f->multi,
			    http_easy(f->slots[i].http));
			forget(f, e);
		}
		http_free(f->slots[i].http);
		free(f->slots[i].body);
	}
	while ((e = TAILQ_FIRST(&f->waiting)) != NULL) {
		TAILQ_REMOVE(&f->waiting, e, link);
		forget(f, e);
	}
	while ((e = TAILQ_FIRST(&f->put_off)) != NULL) {
		TAILQ_REMOVE(&f->put_off, e, link);
		forget(f, e);
	}
	(void)curl_multi_cleanup(f->multi);
	if (f->authorization != NULL)
		OPENSSL_cleanse(f->authorization, strlen(f->authorization));
	free(f->authorization);
	free(f->slots);
	free(f);
}
