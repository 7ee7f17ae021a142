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
#include "metrics.h"
#include "plural.h"
#include "secret.h"
#include "trace.h"
#include "uuid.h"

#include "forwarder.h"

/*
 * The most bookings that are held, and how many of those may be settled ones
 * that the sweep may find nevertheless.
 */
#define MAX_DELIVERIES	10000
#define MAX_SETTLED	4000

/*
 * The sweep reads on while fewer than so many wait: what is read ahead takes
 * memory, and is in the way of what is announced meanwhile.
 */
#define MAX_WAITING	(3 * FORWARDER_PAGE)

/* The most bookings in one request. */
#define MAX_BATCH	100

/* One exchange with the webhook, which has to talk to Cloud Tasks. */
#define TIMEOUT_MS	45000
#define MAX_ANSWER	1048576

/* Between attempts for one booking, and between probes of the webhook. */
#define BACKOFF_BASE_MS	200
#define BACKOFF_CAP_MS	30000
#define PROBE_BASE_MS	100
#define PROBE_CAP_MS	2000

/* What is postponed ends at a multiple of this, so that many end together. */
#define GRID_MS		20

/*
 * The longest wait that an answer may ask for, in seconds: for one booking,
 * and for all of them, after which it is worth a probe whether it is still so.
 */
#define MAX_RETRY_AFTER	300
#define MAX_AWAY	60

/* The types of problems about one booking, or about all of them. */
#define TYPE_UNAVAILABLE	"urn:followup-scheduler:unavailable"
#define TYPE_OUT_OF_SERVICE	"urn:followup-scheduler:out-of-service"
#define TYPE_NO_SUCH_BOOKING	"urn:followup-scheduler:no-such-booking"

/* Where a booking is. */
enum stage {
	WAITING,	/* for a connection */
	IN_FLIGHT,
	POSTPONED,	/* until retry_at */
	SETTLED,	/* answered; what the sweep says may be older */
};

/* A booking on its way. */
struct delivery {
	char id[UUID_LEN];
	char tenant_id[UUID_LEN];	/* empty if not known */
	enum stage stage;
	int attempts;			/* that failed */
	int again;			/* announced while in flight */
	int alone;			/* its batch was refused */
	long retry_at;			/* while postponed; settled: refused
					   until then, or 0 */
	long backoff_until;		/* the part of that which is ours */
	TAILQ_ENTRY(delivery) link;
};
TAILQ_HEAD(deliveries, delivery);

/* A connection to the webhook, and what it is busy with. */
struct slot {
	struct http *http;
	struct deliveries batch;
	int n;				/* deliveries in it */
	int foreign;			/* body is what a notification says */
	char *body;
	TAILQ_ENTRY(slot) link;		/* while it is free */
};
TAILQ_HEAD(slots, slot);

struct forwarder {
	const struct config *conf;
	CURLM *multi;
	char *authorization;		/* a header line, or NULL */
	struct slot *slots;
	int nslots;
	struct slots free;
	int nfree;
	void *index;			/* tree of all deliveries, by id */
	int ndeliveries;
	struct deliveries waiting;	/* to be posted, oldest first */
	int nwaiting;
	int in_flight;
	struct deliveries postponed;
	long next_retry;		/* the earliest of them */
	struct deliveries settled;
	int nsettled;
	long forgot_at;			/* one that was refused or postponed,
					   for want of room */
	int remember;			/* a page of the sweep is being read */
	int failures;			/* of the webhook itself, in a row */
	long refused;			/* the status by which it refuses
					   whatever is posted, or 0 */
	long probe_at;			/* while it is away */
	struct slot *probe;		/* the one that probes it, or NULL */
	int stopped;
};

/* What the webhook says about one booking. */
struct verdict {
	long status;
	const json_t *answer;		/* NULL if it makes no sense */
	long retry_after;		/* seconds, or -1 */
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
	struct slot *slot;
	int i;

	if ((f = calloc(1, sizeof(*f))) == NULL)
		return (NULL);
	f->conf = conf;
	TAILQ_INIT(&f->free);
	TAILQ_INIT(&f->waiting);
	TAILQ_INIT(&f->postponed);
	TAILQ_INIT(&f->settled);
	f->nslots = conf->listener_inflight;
	if ((f->slots = calloc((size_t)f->nslots, sizeof(*f->slots))) ==
	    NULL || (f->multi = curl_multi_init()) == NULL)
		goto err;
	for (i = 0; i < f->nslots; i++) {
		slot = &f->slots[i];
		TAILQ_INIT(&slot->batch);
		TAILQ_INSERT_TAIL(&f->free, slot, link);
		f->nfree++;
		if ((slot->http = http_new(NULL)) == NULL)
			goto err;
	}
	if (conf->webhook_token != NULL &&
	    (f->authorization = secret_concat(SECRET_TEXTS(
	    "Authorization: Bearer ", conf->webhook_token))) == NULL)
		goto err;

	/* Every slot keeps its connection for the next request. */
	(void)curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS,
	    (long)f->nslots);
	return (f);

err:
	forwarder_free(f);
	return (NULL);
}

/* Forget a delivery that is in none of the lists. */
static void
forget(struct forwarder *f, struct delivery *e)
{

	(void)tdelete(e, &f->index, compare);
	f->ndeliveries--;
	free(e);
}

/* Append ${e}, which is in none of the lists, to those that wait. */
static void
enqueue(struct forwarder *f, struct delivery *e)
{

	e->stage = WAITING;
	TAILQ_INSERT_TAIL(&f->waiting, e, link);
	f->nwaiting++;
}

/* The next multiple of GRID_MS. */
static long
round_up(long ms)
{

	return ((ms + GRID_MS - 1) / GRID_MS * GRID_MS);
}

/*
 * Postpone ${e} until ${until}, of which our own backoff is ${backoff_until};
 * the rest was asked for.
 */
static void
postpone(struct forwarder *f, struct delivery *e, long backoff_until,
    long until)
{

	e->stage = POSTPONED;
	e->backoff_until = round_up(backoff_until);
	e->retry_at = round_up(until);
	if (TAILQ_EMPTY(&f->postponed) || e->retry_at < f->next_retry)
		f->next_retry = e->retry_at;
	TAILQ_INSERT_TAIL(&f->postponed, e, link);
}

/*
 * Forget the one that was postponed first, if any was: the sweep finds it
 * again.  Thousands that cannot be scheduled, as those of a queue that does not
 * exist, are not to be in the way of others.
 */
static void
make_room(struct forwarder *f, long now)
{
	struct delivery *e = TAILQ_FIRST(&f->postponed);

	if (e == NULL)
		return;
	TAILQ_REMOVE(&f->postponed, e, link);
	forget(f, e);
	f->forgot_at = now;
}

/* Queue again what has been postponed for long enough. */
static void
wake_up(struct forwarder *f, long now)
{
	struct delivery *e, *next;
	long earliest = 0;

	if (TAILQ_EMPTY(&f->postponed) || now < f->next_retry)
		return;
	for (e = TAILQ_FIRST(&f->postponed); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->retry_at <= now) {
			TAILQ_REMOVE(&f->postponed, e, link);
			enqueue(f, e);
		} else if (earliest == 0 || e->retry_at < earliest)
			earliest = e->retry_at;
	}
	f->next_retry = earliest;
}

/*
 * Return a request's body for the bookings of ${slot}, to be freed, or NULL.
 * A single one has the form that every version of the webhook understands.
 */
static char *
make_body(const struct slot *slot)
{
	const struct delivery *e = TAILQ_FIRST(&slot->batch);
	char *body = NULL;
	size_t len;
	FILE *out;

	if ((out = open_memstream(&body, &len)) == NULL)
		return (NULL);
	if (slot->n == 1)
		(void)fprintf(out, "{\"booking_id\":\"%s\"}", e->id);
	else {
		(void)fputs("{\"booking_ids\":", out);
		TAILQ_FOREACH(e, &slot->batch, link)
			(void)fprintf(out, "%c\"%s\"",
			    e == TAILQ_FIRST(&slot->batch) ? '[' : ',',
			    e->id);
		(void)fputs("]}", out);
	}
	if (fclose(out) != 0) {
		free(body);
		return (NULL);
	}
	return (body);
}

/* Put ${e}, which is in none of the lists, into the batch of ${slot}. */
static void
load(struct forwarder *f, struct slot *slot, struct delivery *e)
{

	e->stage = IN_FLIGHT;
	TAILQ_INSERT_TAIL(&slot->batch, e, link);
	slot->n++;
	f->in_flight++;
}

/* Take all of its batch from ${slot}, which is free then. */
static void
unload(struct forwarder *f, struct slot *slot, struct deliveries *batch)
{

	TAILQ_INIT(batch);
	TAILQ_CONCAT(batch, &slot->batch, link);
	f->in_flight -= slot->n;
	slot->n = 0;
	free(slot->body);
	slot->body = NULL;
	if (f->probe == slot)
		f->probe = NULL;

	/* The connection that was used last is the one to use next. */
	TAILQ_INSERT_HEAD(&f->free, slot, link);
	f->nfree++;
}

/*
 * Post what the first free slot is loaded with, with ${payload} as the body
 * unless that is NULL.  Return 0, or -1 with the slot loaded and free.
 */
static int
post(struct forwarder *f, const char *payload)
{
	struct slot *slot = TAILQ_FIRST(&f->free);
	const char *headers[] = { "Content-Type: application/json",
	    "Prefer: return=minimal", f->authorization, NULL };
	struct http_request request = { .method = "POST",
	    .url = f->conf->webhook_url,
	    .unix_socket = f->conf->webhook_socket, .headers = headers,
	    .timeout_ms = TIMEOUT_MS, .max_response = MAX_ANSWER };

	slot->foreign = payload != NULL;
	slot->body = slot->foreign ? strdup(payload) : make_body(slot);
	if (slot->body == NULL)
		return (-1);
	request.body = slot->body;
	request.body_len = strlen(slot->body);
	if (http_prepare(slot->http, &request) != 0 ||
	    curl_easy_setopt(http_easy(slot->http), CURLOPT_PRIVATE, slot) !=
	    CURLE_OK ||
	    curl_multi_add_handle(f->multi, http_easy(slot->http)) !=
	    CURLM_OK)
		return (-1);
	return (0);
}

/*
 * Send the first free slot on its way, as post does.  What could not be sent,
 * for want of memory, is postponed.
 */
static void
dispatch(struct forwarder *f, const char *payload, long now)
{
	struct slot *slot = TAILQ_FIRST(&f->free);
	struct delivery *e;
	struct deliveries batch;
	int sent = post(f, payload) == 0;

	TAILQ_REMOVE(&f->free, slot, link);
	f->nfree--;
	if (sent) {
		if (f->failures > 0)
			f->probe = slot;
		return;
	}
	unload(f, slot, &batch);
	while ((e = TAILQ_FIRST(&batch)) != NULL) {
		TAILQ_REMOVE(&batch, e, link);
		postpone(f, e, now + BACKOFF_CAP_MS, now + BACKOFF_CAP_MS);
	}
}

/*
 * Post ${e}, which is in none of the lists and has just been announced, at
 * once if a connection is free; otherwise it waits, and its id is enough.
 */
static void
announce(struct forwarder *f, struct delivery *e, const char *payload,
    long now)
{

	if (payload == NULL || f->stopped || f->failures > 0 || f->nfree == 0)
		enqueue(f, e);
	else {
		load(f, TAILQ_FIRST(&f->free), e);
		dispatch(f, payload, now);
	}
}

/* The sweep found a booking that is here already. */
static enum forwarder_added
found_again(struct forwarder *f, struct delivery *e, long now)
{

	if (e->stage == SETTLED)
		return (e->retry_at > now ? FORWARDER_KNOWN :
		    FORWARDER_SETTLED);

	/*
	 * The sweep passes over those that the service asked to wait for: one
	 * that it finds has changed since, and the notification was skipped.
	 */
	if (e->stage == POSTPONED && e->retry_at > e->backoff_until) {
		e->retry_at = e->backoff_until;
		if (e->retry_at < f->next_retry)
			f->next_retry = e->retry_at;
	}
	return (FORWARDER_KNOWN);
}

/* A booking that is here already was announced: it has changed. */
static enum forwarder_added
announced_again(struct forwarder *f, struct delivery *e, const char *payload,
    long now)
{
	enum stage stage = e->stage;

	if (stage == WAITING)
		return (FORWARDER_KNOWN);
	if (stage == IN_FLIGHT) {
		e->again = 1;
		return (FORWARDER_KNOWN);
	}

	/* Whatever it was postponed for may be fixed. */
	if (stage == SETTLED) {
		TAILQ_REMOVE(&f->settled, e, link);
		f->nsettled--;
	} else
		TAILQ_REMOVE(&f->postponed, e, link);
	e->attempts = 0;
	announce(f, e, payload, now);
	return (stage == SETTLED ? FORWARDER_NEW : FORWARDER_KNOWN);
}

/**
 * forwarder_add(f, id, tenant_id, payload, now):
 * Have booking ${id} (a UUID in lower case) posted.  ${payload} is NULL if the
 * sweep found it; otherwise a notification says that it has changed: it is
 * posted at once, alone and with ${payload} as the body, if a connection is
 * free, and if it is in flight just now it is posted again afterwards.
 */
enum forwarder_added
forwarder_add(struct forwarder *f, const char *id, const char *tenant_id,
    const char *payload, long now)
{
	struct delivery *e, key;
	void *found;

	(void)snprintf(key.id, sizeof(key.id), "%s", id);
	if ((found = tfind(&key, &f->index, compare)) != NULL) {
		e = *(struct delivery **)found;
		return (payload == NULL ? found_again(f, e, now) :
		    announced_again(f, e, payload, now));
	}
	if (f->ndeliveries >= MAX_DELIVERIES)
		make_room(f, now);
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
	announce(f, e, payload, now);
	return (FORWARDER_NEW);
}

/*
 * How many of those that wait go into the next request: all free connections
 * get their share.  A probe is a single booking.
 */
static int
batch_size(const struct forwarder *f)
{
	int n = (f->nwaiting + f->nfree - 1) / f->nfree;

	if (f->failures > 0)
		return (1);
	return (n < MAX_BATCH ? n : MAX_BATCH);
}

/* Load the first free slot with up to ${n} of those that wait. */
static void
fill(struct forwarder *f, int n)
{
	struct slot *slot = TAILQ_FIRST(&f->free);
	struct delivery *e;

	while (slot->n < n && (e = TAILQ_FIRST(&f->waiting)) != NULL) {
		/* Those that go alone end a batch, or are one. */
		if (e->alone && slot->n > 0)
			return;
		TAILQ_REMOVE(&f->waiting, e, link);
		f->nwaiting--;
		load(f, slot, e);
		if (e->alone)
			return;
	}
}

/* Could a request be sent, were it not for the time of the next probe? */
static int
can_start(const struct forwarder *f)
{

	return (!f->stopped && f->nwaiting > 0 && f->nfree > 0 &&
	    (f->failures == 0 || f->probe == NULL));
}

/* Start as many as may be in flight: one probe, while the webhook is away. */
static void
start(struct forwarder *f, long now)
{

	while (can_start(f) && (f->failures == 0 || now >= f->probe_at)) {
		fill(f, batch_size(f));
		dispatch(f, NULL, now);
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

/* Return the text ${name} of ${answer}, or ${otherwise}. */
static const char *
text_of(const json_t *answer, const char *name, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(answer, name));

	return (text != NULL ? text : otherwise);
}

static int
is_transient(long status)
{

	return (status >= 500 || status == 408 || status == 429);
}

/* Is it the client's fault, and would be each time? */
static int
is_refused(long status)
{

	return (status >= 400 && !is_transient(status));
}

static int
has_type(const json_t *answer, const char *type)
{

	return (strcmp(text_of(answer, "type", ""), type) == 0);
}

/*
 * Is this said about whatever is posted, rather than about the bookings that
 * were, ${n} of them?  Some of the answers come from nginx, or from who knows
 * whom, where the URL or the token is wrong.
 */
static int
is_about_all(long status, const json_t *answer, int n)
{

	if (is_transient(status))
		return (status != 429 && !has_type(answer, TYPE_UNAVAILABLE));
	return (status != 200 && status != 400 && status != 409 &&
	    (status != 413 || n == 1) &&
	    !has_type(answer, TYPE_NO_SUCH_BOOKING));
}

/* 200: say what came of it. */
static void
report_success(const struct delivery *e, const json_t *answer)
{
	struct log_about a = about(e, text_of(answer, "taskName", NULL));
	const char *reason = text_of(answer, "reason", "no reason given");
	struct trace trace;
	enum metrics_post outcome =
	    !json_is_true(json_object_get(answer, "success")) ?
	    METRICS_POST_REFUSED :
	    json_is_true(json_object_get(answer, "scheduled")) ?
	    METRICS_POST_SCHEDULED : METRICS_POST_NOTHING;

	(void)trace_parse(text_of(answer, "traceparent", NULL), &trace);
	a.trace = &trace;
	metrics_add(METRICS_POSTS, (int)outcome, 1);
	if (json_is_true(json_object_get(answer, "scheduled")))
		log_info(&a, "Successfully scheduled Cloud Task");
	else if (json_is_true(json_object_get(answer, "success")))
		log_info(&a, "nothing to schedule: %s", reason);
	else
		log_error(&a, "given up: %s", reason);
}

/*
 * Say that the webhook does not work, as ${v} shows, and what to look at:
 * whatever is posted is refused where the settings of the programs, or of
 * nginx, do not fit together.
 */
static void
report_away(const struct forwarder *f, const struct verdict *v,
    const char *why)
{
	const char *advice = "are nginx and followup-schedule running, and "
	    "what does /readyz say?";
	char answered[48] = "";
	int waiting = f->ndeliveries - f->nsettled;

	if (f->refused > 0) {
		(void)snprintf(answered, sizeof(answered),
		    "it refuses whatever is posted (%ld): ", v->status);
		advice = v->status == 401 ? "let FOLLOWUP_WEBHOOK_TOKEN be "
		    "the same for followup-listener and followup-schedule" :
		    "let FOLLOWUP_WEBHOOK_URL and FOLLOWUP_WEBHOOK_SOCKET "
		    "name the webhook";
	}
	log_error(NULL, "the webhook does not work: %s%s; %d %s until it does "
	    "(%s; %s)", answered, why, waiting,
	    plural(waiting, "booking waits", "bookings wait"),
	    f->conf->webhook_socket != NULL ? f->conf->webhook_socket :
	    f->conf->webhook_url, advice);
}

/*
 * Nothing goes through for anybody, as ${v} says: everything waits, one booking
 * probes.  ${probed} says that the probe itself failed; those that were in
 * flight together count as one failure.
 */
static void
webhook_away(struct forwarder *f, struct deliveries *batch, int probed,
    const struct verdict *v, const char *why, long now)
{
	struct delivery *e;
	long asked = v->retry_after, refused = is_transient(v->status) ? 0 :
	    v->status;
	long until = now + (asked < MAX_AWAY ? asked : MAX_AWAY) * 1000;
	int is_news;

	/* What failed goes to the end, so that each probe is another one. */
	while ((e = TAILQ_FIRST(batch)) != NULL) {
		TAILQ_REMOVE(batch, e, link);
		metrics_add(METRICS_POSTS, METRICS_POST_RETRY, 1);
		e->again = 0;
		enqueue(f, e);
	}

	if (f->failures == 0 || probed) {
		is_news = f->failures == 0 || (refused > 0 && f->refused == 0);
		f->failures++;
		f->refused = refused;
		f->probe_at = now + backoff_ms(f->failures, PROBE_BASE_MS,
		    PROBE_CAP_MS);
		if (is_news)
			report_away(f, v, why);
	}
	if (asked > 0 && until > f->probe_at)
		f->probe_at = until;
}

/* The webhook answered: if that was the probe, all go on. */
static void
webhook_back(struct forwarder *f, int probed)
{
	int waiting = f->ndeliveries - f->nsettled;

	if (!probed)
		return;
	log_info(NULL, "the webhook works again; %d %s posted now", waiting,
	    plural(waiting, "booking is", "bookings are"));
	f->failures = 0;
	f->refused = 0;
}

/* Postpone one booking. */
static void
try_later(struct forwarder *f, struct delivery *e, const struct verdict *v,
    const char *detail, long now)
{
	struct log_about a = about(e, NULL);
	long backoff, wait;

	e->attempts++;
	wait = backoff = backoff_ms(e->attempts, BACKOFF_BASE_MS,
	    BACKOFF_CAP_MS);
	if (v->retry_after > 0 && wait < v->retry_after * 1000)
		wait = v->retry_after * 1000;
	log_warning(&a, "attempt %d: the webhook answered %ld: %s; next in "
	    "%.1f s", e->attempts, v->status, detail, (double)wait / 1000);
	postpone(f, e, now + backoff, now + wait);
}

/* Is a success said about ${e}, and in the form that was agreed? */
static int
makes_sense(const struct delivery *e, const json_t *answer)
{

	return (json_is_boolean(json_object_get(answer, "success")) &&
	    strcmp(text_of(answer, "bookingId", e->id), e->id) == 0);
}

/*
 * Done with ${e}, which was refused if ${until} is set: then the sweep, which
 * goes on finding it, is not listened to before that time.
 */
static void
settle(struct forwarder *f, struct delivery *e, long until, long now)
{

	/* The page that is being read may still show it as it was before. */
	if ((f->remember || until > now) && f->nsettled < MAX_SETTLED) {
		e->stage = SETTLED;
		e->retry_at = until;
		TAILQ_INSERT_TAIL(&f->settled, e, link);
		f->nsettled++;
		return;
	}
	if (until > now)
		f->forgot_at = now;
	forget(f, e);
}

/* Decide what becomes of ${e}, in none of the lists, after verdict ${v}. */
static void
conclude(struct forwarder *f, struct delivery *e, const struct verdict *v,
    long now)
{
	struct log_about a = about(e, NULL);
	const char *detail = text_of(v->answer, "detail", "no detail given");
	int later = is_transient(v->status);

	if (v->status == 200 && !makes_sense(e, v->answer)) {
		later = 1;
		detail = "an answer that makes no sense for this booking";
	}
	if (!later && v->status == 200)
		report_success(e, v->answer);
	else
		metrics_add(METRICS_POSTS, later ? METRICS_POST_RETRY :
		    METRICS_POST_REFUSED, 1);
	if (!later && v->status != 200)
		log_error(&a, "the webhook answered %ld, which is final: %s",
		    v->status, detail);

	/* Announced meanwhile, it has changed: that is a new beginning. */
	if (e->again) {
		e->again = 0;
		e->attempts = 0;
		enqueue(f, e);
	} else if (later)
		try_later(f, e, v, detail, now);
	else
		settle(f, e, v->status == 200 ? 0 : now +
		    f->conf->sweep_interval * 1000L, now);
}

/*
 * Read the ${i}th of the ${results} into ${v}: one that is not about ${e}
 * leaves the answer at NULL.
 */
static void
read_result(const json_t *results, size_t i, const struct delivery *e,
    struct verdict *v)
{
	const json_t *result = json_array_get(results, i);
	const json_t *member = json_object_get(result, "status");
	json_int_t status = member != NULL ? json_integer_value(member) : 200;
	double seconds = json_number_value(json_object_get(result,
	    "retryAfter"));

	v->status = 200;
	v->answer = NULL;
	v->retry_after = -1;
	if (strcmp(text_of(result, "bookingId", ""), e->id) != 0 ||
	    status < 200 || status > 599)
		return;
	v->status = (long)status;
	if (seconds > 0)
		v->retry_after = seconds < MAX_RETRY_AFTER ? (long)seconds :
		    MAX_RETRY_AFTER;
	v->answer = result;
}

/*
 * Conclude the ${batch} of ${n} bookings by the results in ${answer}, which
 * are in the order of the bookings.  What is wrong with one of them is held
 * against that booking; with a wrong number of them none can be trusted.
 */
static void
conclude_batch(struct forwarder *f, struct deliveries *batch, int n,
    const json_t *answer, long now)
{
	const json_t *results = json_object_get(answer, "results");
	struct deliveries held;
	struct delivery *e;
	struct verdict v, all = { .status = 503, .retry_after = -1 };
	const char *why = NULL;
	size_t i;

	if (json_array_size(results) != (size_t)n)
		results = NULL;
	TAILQ_INIT(&held);
	log_hold();
	for (i = 0; (e = TAILQ_FIRST(batch)) != NULL; i++) {
		TAILQ_REMOVE(batch, e, link);
		read_result(results, i, e, &v);
		if (!is_transient(v.status) ||
		    !has_type(v.answer, TYPE_OUT_OF_SERVICE)) {
			conclude(f, e, &v, now);
			continue;
		}

		/* This one says that nothing goes through for anybody. */
		TAILQ_INSERT_TAIL(&held, e, link);
		why = text_of(v.answer, "detail", "no detail given");
		if (v.retry_after > all.retry_after)
			all.retry_after = v.retry_after;
	}
	log_release();
	if (why != NULL)
		webhook_away(f, &held, 0, &all, why, now);
}

/* The ${batch} as a whole was refused: each of its bookings goes alone. */
static void
split_batch(struct forwarder *f, struct deliveries *batch, int n,
    long status, const char *detail)
{
	struct delivery *e;

	log_warning(NULL, "the webhook answered %ld to %d bookings at once: "
	    "%s; they are posted one by one", status, n, detail);
	while ((e = TAILQ_FIRST(batch)) != NULL) {
		TAILQ_REMOVE(batch, e, link);
		metrics_add(METRICS_POSTS, METRICS_POST_RETRY, 1);
		e->again = 0;
		e->alone = 1;
		enqueue(f, e);
	}
}

/*
 * Keep our token out of what is quoted of ${answer}, a success: http_body does
 * so only of others.
 */
static void
hide_token(const struct forwarder *f, json_t *answer)
{
	static const char *const names[] = { "detail", "reason", "taskName" };
	json_t *member;
	char *text;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		member = json_object_get(answer, names[i]);
		if (!json_is_string(member) ||
		    (text = strdup(json_string_value(member))) == NULL)
			continue;
		secret_hide(text, f->conf->webhook_token);
		(void)json_string_set_nocheck(member, text);
		free(text);
	}
	json_array_foreach(json_object_get(answer, "results"), i, member)
		hide_token(f, member);
}

/*
 * What a notification says was refused.  Anybody can send one, about any
 * booking: only what is answered to our own words is a verdict on ${e}.
 */
static void
post_by_id(struct forwarder *f, struct delivery *e, long status,
    const char *detail)
{
	struct log_about a = about(e, NULL);

	log_warning(&a, "the webhook answered %ld to what the notification "
	    "says: %s; the booking is posted by its id", status, detail);
	metrics_add(METRICS_POSTS, METRICS_POST_RETRY, 1);
	e->again = 0;
	enqueue(f, e);
}

/* Decide what becomes of the bookings that ${slot} was busy with. */
static void
finish(struct forwarder *f, struct slot *slot, int answered, long now)
{
	struct http *http = slot->http;
	struct deliveries batch;
	struct delivery *e;
	struct verdict v = { .status = 503, .retry_after = -1 };
	json_t *answer;
	int n = slot->n, foreign = slot->foreign, probed = f->probe == slot;

	unload(f, slot, &batch);
	if (!answered) {
		webhook_away(f, &batch, probed, &v, http_error(http), now);
		return;
	}

	v.status = http_status(http);
	v.retry_after = http_retry_after(http);
	v.answer = answer = json_loadb(http_body(http), http_body_len(http),
	    0, NULL);
	if (!(foreign && is_refused(v.status)) &&
	    is_about_all(v.status, answer, n)) {
		webhook_away(f, &batch, probed, &v, text_of(answer, "detail",
		    "no detail given"), now);
		goto out;
	}
	webhook_back(f, probed);
	if (v.status == 200 && f->conf->webhook_token != NULL)
		hide_token(f, answer);
	if (n > 1 && v.status == 200)
		conclude_batch(f, &batch, n, answer, now);
	else if (n > 1 && !is_transient(v.status))
		split_batch(f, &batch, n, v.status, text_of(answer, "detail",
		    "no detail given"));
	else while ((e = TAILQ_FIRST(&batch)) != NULL) {
		TAILQ_REMOVE(&batch, e, link);
		if (foreign && is_refused(v.status))
			post_by_id(f, e, v.status, text_of(answer, "detail",
			    "no detail given"));
		else
			conclude(f, e, &v, now);
	}

out:
	json_decref(answer);
}

/*
 * Let transfers go on, and take note of those that are finished.  Return how
 * many there were.
 */
static int
perform(struct forwarder *f, long now)
{
	struct slot *slot;
	CURLMsg *message;
	char *private;
	int running, left, finished = 0;
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
		finished++;
	}
	return (finished);
}

/**
 * forwarder_step(f, now):
 * Take note of what is finished and start what can be started.
 */
void
forwarder_step(struct forwarder *f, long now)
{

	wake_up(f, now);

	/* What is started may be finished at once, and make room. */
	do {
		start(f, now);
	} while (perform(f, now) > 0 && can_start(f) && f->failures == 0);

	metrics_set(METRICS_POSTS_INFLIGHT, 0, f->in_flight);
	metrics_set(METRICS_POSTS_WAITING, 0,
	    f->ndeliveries - f->nsettled - f->in_flight);
	metrics_set(METRICS_POSTS_REFUSAL, 0, f->refused);
	metrics_set(METRICS_WORKERS, 0, f->nslots);
	metrics_set(METRICS_WORKERS_BUSY, 0, f->nslots - f->nfree);
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
	if (!TAILQ_EMPTY(&f->postponed) && f->next_retry < deadline)
		deadline = f->next_retry;
	if (can_start(f) && f->probe_at < deadline)
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

	return (f->nwaiting < MAX_WAITING);
}

/**
 * forwarder_is_filled(f):
 * Return non-zero iff so much waits that a new sweep would bring little else.
 */
int
forwarder_is_filled(const struct forwarder *f)
{

	return (f->nwaiting > MAX_BATCH);
}

/**
 * forwarder_remember(f, remember, now):
 * From now on (${remember} is set) a page of the sweep is being read, which
 * may show bookings as they were before they were settled: those are
 * remembered until it has been handed over (${remember} is 0).
 */
void
forwarder_remember(struct forwarder *f, int remember, long now)
{
	struct delivery *e, *next;

	f->remember = remember;
	if (remember)
		return;
	for (e = TAILQ_FIRST(&f->settled); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->retry_at > now)
			continue;
		TAILQ_REMOVE(&f->settled, e, link);
		f->nsettled--;
		forget(f, e);
	}
}

/**
 * forwarder_has_forgotten(f, since):
 * Return non-zero iff a booking that was refused, or is postponed, has been
 * forgotten after ${since}, because too many are: the next sweep finds it
 * again.
 */
int
forwarder_has_forgotten(const struct forwarder *f, long since)
{

	return (f->forgot_at > since);
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

/* Forget all of ${list}. */
static void
forget_all(struct forwarder *f, struct deliveries *list)
{
	struct delivery *e;

	while ((e = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, e, link);
		forget(f, e);
	}
}

/**
 * forwarder_free(f):
 * Drop everything; NULL is fine.
 */
void
forwarder_free(struct forwarder *f)
{
	int i;

	if (f == NULL)
		return;
	for (i = 0; f->slots != NULL && i < f->nslots; i++) {
		if (f->slots[i].n > 0) {
			(void)curl_multi_remove_handle(f->multi,
			    http_easy(f->slots[i].http));
			forget_all(f, &f->slots[i].batch);
		}
		http_free(f->slots[i].http);
		free(f->slots[i].body);
	}
	forget_all(f, &f->waiting);
	forget_all(f, &f->postponed);
	forget_all(f, &f->settled);
	(void)curl_multi_cleanup(f->multi);
	if (f->authorization != NULL)
		OPENSSL_cleanse(f->authorization, strlen(f->authorization));
	free(f->authorization);
	free(f->slots);
	free(f);
}
