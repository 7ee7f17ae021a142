#include <sys/mman.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "backoff.h"
#include "booking.h"
#include "bookings.h"
#include "config.h"
#include "db.h"
#include "event_delivery.h"
#include "event_outbox.h"
#include "events.h"
#include "json_text.h"
#include "log.h"
#include "metrics.h"
#include "monotime.h"
#include "secret.h"
#include "status.h"

#include "watcher.h"

/* How often to look, in seconds. */
#define INTERVAL	5

/* The most events that are delivered between two looks. */
#define BURST		20

/* An event that could not be delivered for so long is given up, in seconds. */
#define GIVE_UP		86400

/* After how many looks to remove what is old. */
#define FORGET		720

/* The outbox could not be written so often in a row: the database is lost. */
#define LOST_LOOKS	2

#define WEBHOOK_ID_LEN	40
#define DATA_LEN	2048

/* From one attempt at a notice to the next, in milliseconds. */
#define RETRY_MS	15000
#define RETRY_MAX_MS	3600000

/* An event that cannot be in the outbox. */
struct notice {
	int waits;
	char id[WEBHOOK_ID_LEN];
	char at[BOOKING_TIME_LEN];
	char data[DATA_LEN];
	int attempts;
	time_t since;
	long next;			/* monotime_ms */
};

/* What outlives the process. */
struct memory {
	int is_gone;			/* the receiver wants no more */
	int is_lost;			/* the database, and that was told */
	struct notice lost, back;
};

struct watcher {
	const struct config *conf;
	struct status *status;
	struct memory *memory;
	char host[256];

	/* Of the process. */
	struct db *db;
	struct bookings *bookings;
	struct events *events;
	struct event_delivery *delivery;
	int failures;			/* of the outbox, in a row */
	long looks;
	long hold;			/* the receiver is left alone until
					   then, monotime_ms */
};

/**
 * watcher_new(conf, status):
 * Return the state of the watcher, which outlives its process.  To be called
 * before that is forked.  Both arguments must outlive it.  NULL when memory is
 * short.
 */
struct watcher *
watcher_new(const struct config *conf, struct status *status)
{
	struct watcher *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return (NULL);
	w->conf = conf;
	w->status = status;
	if (gethostname(w->host, sizeof(w->host) - 1) != 0)
		(void)snprintf(w->host, sizeof(w->host), "unknown");
	w->memory = mmap(NULL, sizeof(*w->memory), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->memory == MAP_FAILED) {
		free(w);
		return (NULL);
	}
	return (w);
}

/*
 * Delivering.
 */

/* Send ${event}, and count and log what came of it. */
static enum event_outcome
send_one(struct watcher *w, const struct event *event,
    struct event_answer *answer)
{
	static const enum metrics_event counters[] = {
		[EVENT_DELIVERED] = METRICS_EVENT_DELIVERED,
		[EVENT_RETRY] = METRICS_EVENT_RETRY,
		[EVENT_GIVEN_UP] = METRICS_EVENT_GIVEN_UP,
	};
	enum event_outcome outcome;

	event_delivery_send(w->delivery, event, answer);
	outcome = answer->outcome;
	if (outcome == EVENT_RETRY && event->age > GIVE_UP)
		outcome = EVENT_GIVEN_UP;
	metrics_add(METRICS_EVENTS, (int)counters[outcome], 1);
	if (answer->wait > 0)
		w->hold = monotime_ms() + answer->wait * 1000;
	if (answer->is_gone)
		w->memory->is_gone = 1;

	if (outcome == EVENT_DELIVERED)
		log_info(NULL, "told FOLLOWUP_EVENTS_URL of %s (%s)",
		    event->type, event->webhook_id);
	else if (outcome == EVENT_GIVEN_UP)
		log_warning(NULL, "the event %s (%s) could not be delivered "
		    "for a day and is given up: %s", event->type,
		    event->webhook_id, answer->error);
	else if (event->attempt == 1)
		log_warning(NULL, "the event %s (%s) could not be delivered "
		    "and is tried again for a day: %s", event->type,
		    event->webhook_id, answer->error);
	if (answer->is_gone)
		log_warning(NULL, "FOLLOWUP_EVENTS_URL answered 410 (Gone): "
		    "nothing is sent there until followup-schedule is started "
		    "again");
	return (outcome);
}

/* May something be sent now? */
static int
is_open(const struct watcher *w)
{

	return (!w->memory->is_gone && monotime_ms() >= w->hold);
}

/* Deliver from the outbox, until one fails. */
static void
deliver(struct watcher *w)
{
	struct event event;
	struct event_answer answer;
	enum event_outcome outcome = EVENT_DELIVERED;
	PGresult *result;
	int i;

	for (i = 0; i < BURST && outcome == EVENT_DELIVERED && is_open(w);
	    i++) {
		if (event_outbox_next(w->bookings, &event, &result) != DB_OK ||
		    result == NULL)
			return;
		outcome = send_one(w, &event, &answer);
		(void)event_outbox_told(w->bookings, event.id, outcome,
		    outcome != EVENT_DELIVERED ? answer.error : NULL,
		    answer.wait);
		PQclear(result);
	}
}

/* Deliver ${notice}, if it waits; return non-zero iff it does no more. */
static int
deliver_notice(struct watcher *w, struct notice *notice, const char *type)
{
	struct event event = { .webhook_id = notice->id, .type = type,
	    .timestamp = notice->at, .data = notice->data,
	    .attempt = notice->attempts + 1,
	    .age = (long)(time(NULL) - notice->since) };
	struct event_answer answer;

	if (!notice->waits)
		return (1);
	if (!is_open(w) || monotime_ms() < notice->next)
		return (0);
	notice->attempts++;
	if (send_one(w, &event, &answer) != EVENT_RETRY)
		notice->waits = 0;
	notice->next = monotime_ms() + RETRY_MS +
	    backoff_ms(notice->attempts, RETRY_MS, RETRY_MAX_MS);
	return (!notice->waits);
}

/*
 * Seeing.
 */

/* Make ${notice} of the ${sentence}. */
static void
notice_begin(struct watcher *w, struct notice *notice, const char *sentence,
    const char *what_to_do)
{
	unsigned char random[16];
	struct timespec now;
	json_t *data;
	char *text;
	size_t i;

	if (RAND_bytes(random, sizeof(random)) != 1 ||
	    (data = json_pack("{s:s, s:s, s:s}", "sentence", sentence,
	    "what_to_do", what_to_do, "host", w->host)) == NULL)
		return;
	memset(notice, 0, sizeof(*notice));
	(void)snprintf(notice->id, sizeof(notice->id), "evt_");
	for (i = 0; i < sizeof(random); i++)
		(void)snprintf(&notice->id[4 + 2 * i], 3, "%02x", random[i]);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)booking_time((int64_t)now.tv_sec * 1000000 +
	    now.tv_nsec / 1000, 3, notice->at);
	notice->since = now.tv_sec;
	if ((text = json_dumps(data, JSON_COMPACT)) != NULL &&
	    strlen(text) < sizeof(notice->data)) {
		(void)snprintf(notice->data, sizeof(notice->data), "%s", text);
		notice->waits = 1;
	}
	free(text);
	json_decref(data);
}

/*
 * Take note of whether the outbox could be written.  That it could not be is
 * told where it goes with nobody being called, and its end after it.
 */
static void
see_database(struct watcher *w, const json_t *document, int is_written)
{
	struct memory *m = w->memory;
	int is_stopped = json_text_is(json_object_get(document, "state"),
	    "stopped");
	const char *command = json_text(document, "command");

	w->failures = is_written ? 0 : w->failures + 1;
	if (!m->is_lost && is_stopped && w->failures >= LOST_LOOKS &&
	    !m->lost.waits && !m->back.waits) {
		notice_begin(w, &m->lost, json_text(document, "sentence"),
		    command != NULL ? command : "followup-trigger status "
		    "--check");
		m->is_lost = m->lost.waits;
	} else if (m->is_lost && is_written) {
		notice_begin(w, &m->back, json_text(document, "sentence"),
		    "Nothing.");
		m->is_lost = !m->back.waits;
	}
}

/* Look once, and write down what is new. */
static void
look(struct watcher *w)
{
	json_t *document = status_look(w->status, w->bookings,
	    NULL);
	json_t *seen, *told = NULL;
	const char *complete;
	enum db_outcome outcome = DB_LOST;

	if (document == NULL)
		return;
	seen = events_see(w->events, document, &complete);
	if (bookings_ready(w->bookings) == DB_OK)
		outcome = event_outbox_seen(w->bookings, seen, complete,
		    &told);
	if (outcome == DB_OK)
		events_told(w->events, told);
	see_database(w, document, outcome == DB_OK);
	if (outcome == DB_OK && w->looks++ % FORGET == 0)
		(void)event_outbox_forget(w->bookings);
	json_decref(told);
	json_decref(seen);
	json_decref(document);

	if (deliver_notice(w, &w->memory->lost, "followup.database.lost"))
		(void)deliver_notice(w, &w->memory->back,
		    "followup.database.back");
	if (outcome == DB_OK)
		deliver(w);
}

/* Make what is of the process.  Return 0 or -1. */
static int
begin(struct watcher *w)
{

	return (secret_curl_init() != 0 ||
	    (w->db = db_new(w->conf, "followup-schedule")) == NULL ||
	    (w->bookings = bookings_new(w->conf, w->db)) == NULL ||
	    (w->events = events_new(w->host)) == NULL ||
	    (w->delivery = event_delivery_new(w->conf)) == NULL ? -1 : 0);
}

/**
 * watcher_run(watcher):
 * Watch and deliver for ever; return only if that cannot be started.
 */
void
watcher_run(struct watcher *w)
{

	struct timespec next;

	if (begin(w) != 0) {
		log_error(NULL, "out of memory: no events are told");
		return;
	}
	for (;;) {
		look(w);

		/* The end of a child wakes it, and is no reason to look. */
		(void)clock_gettime(CLOCK_MONOTONIC, &next);
		next.tv_sec += INTERVAL;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next,
		    NULL) != 0)
			continue;
	}
}

/**
 * watcher_free(watcher):
 * Free ${watcher}; NULL is fine.
 */
void
watcher_free(struct watcher *w)
{

	if (w == NULL)
		return;
	(void)munmap(w->memory, sizeof(*w->memory));
	free(w);
}
