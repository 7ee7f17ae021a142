#include <sys/mman.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "booking.h"
#include "bookings.h"
#include "config.h"
#include "explain.h"
#include "json_text.h"
#include "pauses.h"
#include "readiness.h"
#include "shared_mutex.h"
#include "status_figures.h"
#include "status_memory.h"
#include "trouble_kind.h"
#include "utf8.h"
#include "version.h"

#include "status.h"

/*
 * The lateness in seconds that is a fault: two sweeps and a call's timeout.
 */
#define LATE		120

/* The most overdue bookings that status_figures lists. */
#define LISTED		20

#define SENTENCE_LEN	1536
#define CODE_LEN	24

/*
 * How long a database that hangs may keep those waiting who only want to look,
 * in milliseconds: whatever is not known by then is missing from the answer.
 */
#define PATIENCE	1800
#define PATIENCE_HANGS	100

/* For how long it is taken to hang after somebody has waited in vain. */
#define HANGS_MS	5000

/* Since when the state has lasted, for all workers. */
struct memory {
	pthread_mutex_t mutex;
	char code[CODE_LEN];
	int64_t since;			/* microseconds, as booking_time */
	_Atomic long hangs_until;	/* monotonic ms; see status_patience */
};

struct status {
	const struct config *conf;
	struct readiness *readiness;
	struct memory *memory;
};

/* The facts for the sentence, and the sentence. */
struct view {
	const struct readiness_report *report;
	const json_t *figures;		/* or NULL */
	const json_t *pauses;		/* or NULL */
	const char *state;
	char code[CODE_LEN];
	const char *command;
	char since[BOOKING_TIME_LEN];
	char sentence[SENTENCE_LEN];
};

/**
 * status_new(conf, readiness):
 * Return what the workers share: since when the state has been what it is, and
 * whether the database hangs.  To be called before they are forked.  Both
 * arguments must outlive it.  NULL when memory is short.
 */
struct status *
status_new(const struct config *conf, struct readiness *readiness)
{
	struct status *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return (NULL);
	s->conf = conf;
	s->readiness = readiness;
	s->memory = mmap(NULL, sizeof(*s->memory), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->memory == MAP_FAILED ||
	    shared_mutex_init(&s->memory->mutex) != 0) {
		if (s->memory == MAP_FAILED)
			s->memory = NULL;
		status_free(s);
		return (NULL);
	}
	return (s);
}

/**
 * status_patience(status, now):
 * Return for how many milliseconds from ${now} on, a monotonic time in
 * milliseconds, the database may keep somebody waiting who only wants to look.
 * Those who look while it is known to hang wait less: a worker is busy with
 * each of them.  ${status} may be NULL.
 */
long
status_patience(const struct status *s, long now)
{

	return (s != NULL && now < atomic_load(&s->memory->hangs_until) ?
	    PATIENCE_HANGS : PATIENCE);
}

/**
 * status_looked(status, begun, now):
 * Somebody looked from ${begun} until ${now}: note whether the database hangs,
 * which is taken for true for some seconds.
 */
void
status_looked(struct status *s, long begun, long now)
{

	if (s != NULL && now - begun >= PATIENCE)
		atomic_store(&s->memory->hangs_until, now + HANGS_MS);
}

/* Now, as booking_time takes it. */
static int64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ((int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

/* Set ${view}'s since to when the state of its code was seen first. */
static void
remember(struct memory *memory, struct view *view)
{
	int64_t since;

	shared_mutex_lock(&memory->mutex);
	if (memory->since == 0 || strcmp(memory->code, view->code) != 0) {
		memcpy(memory->code, view->code, sizeof(memory->code));
		memory->since = now_us();
	}
	since = memory->since;
	(void)pthread_mutex_unlock(&memory->mutex);
	(void)booking_time(since, 3, view->since);
}

/* Set ${code} and ${state}, and begin the sentence. */
static void
judge(struct view *view, const char *code, const char *state)
{

	(void)snprintf(view->code, sizeof(view->code), "%s", code);
	view->state = state;
}

static void say(struct view *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/* Add to the sentence. */
static void
say(struct view *view, const char *fmt, ...)
{
	size_t len = strlen(view->sentence);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(&view->sentence[len], sizeof(view->sentence) - len,
	    fmt, ap);
	va_end(ap);
}

/*
 * A quoted text may have line breaks or be cut within a character.
 */
static void
be_one_line(char *sentence)
{
	char *p;

	for (p = sentence; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	}
	utf8_clean(sentence);
}

/* The number ${name} of the section ${section}, or 0. */
static json_int_t
figure(const struct view *view, const char *section, const char *name)
{

	return (json_integer_value(json_object_get(json_object_get(
	    view->figures, section), name)));
}

/* Say how many wait, and that they are not lost. */
static void
say_waiting(struct view *view)
{
	json_int_t n = figure(view, "overdue", "waiting");

	if (json_object_get(view->figures, "overdue") == NULL)
		say(view, "; what waits is kept in the database, and none is "
		    "lost");
	else if (n == 0)
		say(view, "; no booking waits for that yet");
	else
		say(view, "; %s%" JSON_INTEGER_FORMAT " booking%s, none is "
		    "lost", json_is_true(json_object_get(json_object_get(
		    view->figures, "overdue"), "atLeast")) ? "more than " :
		    "", n, n == 1 ? " waits" : "s wait");
}

/* Say since when, as 14:03 UTC, or with the day where that is not today's. */
static void
say_since(struct view *view)
{
	char now[BOOKING_TIME_LEN];

	(void)booking_time(now_us(), 3, now);
	if (strncmp(now, view->since, 10) == 0)
		say(view, "%.5s UTC", &view->since[11]);
	else
		say(view, "%.10s %.5s UTC", view->since, &view->since[11]);
}

/* The first trouble that stops ${stops}, or NULL; 0: any. */
static const struct trouble *
find_trouble(const struct readiness_report *report, int stops)
{
	size_t i;

	for (i = 0; i < report->troubles.n; i++) {
		if (stops == 0 || (!report->troubles.list[i].of_some &&
		    (trouble_kind(report->troubles.list[i].code)->stops &
		    stops) != 0))
			return (&report->troubles.list[i]);
	}
	return (NULL);
}

/*
 * Each of these returns non-zero iff it found the state and the sentence.
 */

/* A pause of everything is intended, so it is named before any fault. */
static int
is_paused(struct status *s, struct view *view)
{
	const json_t *pause = json_array_get(view->pauses, 0);
	const struct trouble *trouble = find_trouble(view->report, 0);
	const char *until = json_text(pause, "until");
	int some = json_array_size(json_object_get(pause,
	    "exceptTenants")) > 0;

	if (!json_text_is(json_object_get(pause, "scope"), "all"))
		return (0);
	judge(view, "paused", some ? "degraded" : "stopped");
	view->command = "followup-trigger resume";
	remember(s->memory, view);
	(void)snprintf(view->since, sizeof(view->since), "%s",
	    json_text(pause, "pausedAt"));
	say(view, "%s since ", some ? "Only tenants that were resumed have "
	    "been called" : "No follow-up has been called");
	say_since(view);
	say(view, ": %s paused everything (%.200s)%s%.16s%s",
	    json_text(pause, "pausedBy"), json_text(pause, "reason"),
	    until != NULL ? " until " : "", until != NULL ? until : "",
	    until != NULL ? " UTC" : "");
	say_waiting(view);
	if (trouble != NULL)
		say(view, "; besides, %s", trouble->sentence);
	say(view, until != NULL ? "; calls go on by themselves after that." :
	    "; calls go on once it is resumed.");
	return (1);
}

/* Something keeps everybody from being called. */
static int
is_stopped(struct status *s, struct view *view)
{
	const struct trouble *trouble = find_trouble(view->report,
	    TROUBLE_CALLING);

	if (trouble == NULL)
		return (0);
	judge(view, trouble->code, "stopped");
	view->command = trouble_kind(trouble->code)->command;
	remember(s->memory, view);
	say(view, "No follow-up has been called since ");
	say_since(view);
	say(view, ": %s", trouble->sentence);
	say_waiting(view);
	say(view, "; they are called by themselves once this is over.");
	return (1);
}

/* New bookings do not get into the queue, or not at once. */
static int
is_not_scheduling(struct status *s, struct view *view)
{
	const struct trouble *trouble = find_trouble(view->report,
	    TROUBLE_SCHEDULING);

	if (trouble == NULL)
		trouble = find_trouble(view->report, 0);
	if (trouble == NULL)
		return (0);
	judge(view, trouble->code, "degraded");
	view->command = trouble_kind(trouble->code)->command;
	remember(s->memory, view);
	if (trouble->of_some ||
	    trouble_kind(trouble->code)->stops == TROUBLE_DELAYS)
		say(view, "Follow-ups are being called, but since ");
	else
		say(view, "Follow-ups that are in the queue are being called, "
		    "but no new one gets there since ");
	say_since(view);
	say(view, ": %s", trouble->sentence);
	say_waiting(view);
	say(view, ".");
	return (1);
}

/*
 * The oldest booking that is late, or NULL.  What waits for its hours, or its
 * tenant's pause, is not late.
 */
static const json_t *
find_late(const struct view *view)
{
	const json_t *booking, *bookings = json_object_get(json_object_get(
	    view->figures, "overdue"), "bookings");
	size_t i;

	if (figure(view, "overdue", "oldestSeconds") <= LATE)
		return (NULL);
	json_array_foreach(bookings, i, booking) {
		if (!json_is_true(json_object_get(booking, "waits")))
			return (booking);
	}
	return (NULL);
}

/* All parts report that they work, and yet bookings are late. */
static int
is_late(struct status *s, struct view *view)
{
	const json_t *overdue = json_object_get(view->figures, "overdue");
	const json_t *oldest = find_late(view);
	json_int_t seconds = figure(view, "overdue", "oldestSeconds");

	if (oldest == NULL)
		return (0);
	judge(view, "overdue", "degraded");
	view->command = "followup-trigger status";
	remember(s->memory, view);
	say(view, "Follow-ups are late: %s%" JSON_INTEGER_FORMAT " %s "
	    "overdue, the oldest by %" JSON_INTEGER_FORMAT " min.  Of "
	    "booking %s: %s",
	    json_is_true(json_object_get(overdue, "atLeast")) ?
	    "more than " : "", figure(view, "overdue", "count"),
	    figure(view, "overdue", "count") == 1 ? "booking is" :
	    "bookings are", seconds / 60, json_text(oldest, "bookingId"),
	    json_text(oldest, "explanation") != NULL ?
	    json_text(oldest, "explanation") : "nothing is known.");
	return (1);
}

/* Add to a good state what is unusual. */
static void
say_good(struct status *s, struct view *view)
{
	const json_t *closed = json_object_get(json_object_get(view->figures,
	    "installation"), "closedUntil");
	size_t pauses = json_array_size(view->pauses);
	json_int_t soon = figure(view, "next", "in60Minutes");
	const char *scope, *next = json_text(json_object_get(view->figures,
	    "next"), "nextAt");

	judge(view, "ok", "ok");
	remember(s->memory, view);
	say(view, "Follow-ups are being called");
	if (pauses == 1 && (scope = json_text(json_array_get(view->pauses, 0),
	    "scope")) != NULL)
		say(view, ", but for tenant %.64s, who is paused (%.200s)",
		    strncmp(scope, "tenant:", 7) == 0 ? scope + 7 : scope,
		    json_text(json_array_get(view->pauses, 0), "reason"));
	else if (pauses > 1)
		say(view, ", but for %zu tenants that are paused", pauses);
	if (json_is_string(closed))
		say(view, "; the calling hours are over until %.10s %.5s UTC, "
		    "and what comes due meanwhile waits for them",
		    json_string_value(closed), json_string_value(closed) + 11);
	if (soon > 0)
		say(view, "; %" JSON_INTEGER_FORMAT "%s due within the hour",
		    soon, soon == 1 ? " is" : " are");
	else if (next != NULL)
		say(view, "; the next one is due at %.10s %.5s UTC", next,
		    next + 11);
	else if (view->figures != NULL)
		say(view, "; none is to come at the moment");
	say(view, ".");
}

/*
 * The document.
 */

/* Add to ${shown} the sentence on ${booking}. */
static void
explain_one(struct bookings *bookings, struct explain_facts *facts,
    const struct booking *booking, json_t *shown)
{
	char text[EXPLAIN_LEN], never[BOOKING_NEVER_LEN];

	if (!booking->found)
		return;
	facts->then_never = booking_then_never(bookings, booking, never);
	explain_booking(facts, booking, text, sizeof(text));
	(void)json_object_set_new(shown, "explanation", json_string(text));
	(void)json_object_set_new(shown, "waits",
	    json_boolean(booking->verdict == BOOKING_WAIT));
	if (booking->has_turn)
		(void)json_object_set_new(shown, "nextAttemptIn",
		    json_integer((json_int_t)booking->retry_in));
}

/* Explain each of the overdue bookings in the list ${name}. */
static void
explain_overdue(struct status *s, struct bookings *bookings,
    const struct readiness_report *report, const json_t *figures,
    const char *name)
{
	json_t *list = json_object_get(json_object_get(figures, "overdue"),
	    name);
	struct explain_facts facts = { .conf = s->conf,
	    .troubles = &report->troubles };
	struct booking read[LISTED];
	const char *ids[LISTED];
	PGresult *rows;
	size_t i, n;

	for (n = 0; n < json_array_size(list) && n < LISTED; n++)
		ids[n] = json_text(json_array_get(list, n), "bookingId");
	if (n == 0 || booking_read(bookings, ids, n, read, &rows) != DB_OK)
		return;
	facts.window = booking_window(bookings, s->conf->sweep_window);
	for (i = 0; i < n; i++)
		explain_one(bookings, &facts, &read[i],
		    json_array_get(list, i));
	PQclear(rows);
}

static json_t *
trouble_list(const struct troubles *troubles)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < troubles->n; i++)
		(void)json_array_append_new(list, json_pack("{s:s, s:s, s:s?}",
		    "code", troubles->list[i].code, "sentence",
		    troubles->list[i].sentence, "command",
		    trouble_kind(troubles->list[i].code)->command));
	return (list);
}

/* The part of the configuration that people ask for. */
static json_t *
program(const struct config *conf)
{
	char host[256] = "unknown";

	(void)gethostname(host, sizeof(host) - 1);
	return (json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?, s:i, s:i, s:i, "
	    "s:b}", "version", FOLLOWUP_VERSION, "host", host,
	    "schema", conf->schema, "table", conf->table,
	    "queue", conf->queue, "location", conf->location,
	    "scheduleWorkers", conf->schedule_workers,
	    "maxScheduleAttempts", conf->max_schedule_attempts,
	    "sweepWindowSeconds", conf->sweep_window,
	    "needsToken", conf->webhook_token != NULL));
}

/*
 * The seconds until all waiting bookings have been called, at the rate of the
 * last minutes; NULL if none waits, or nobody is called.
 */
static json_t *
backlog_gone(const struct view *view, const json_t *memory)
{
	double a_minute = json_number_value(json_object_get(json_object_get(
	    json_object_get(memory, "chain"), "call"), "perMinute"));
	json_int_t waiting = figure(view, "overdue", "waiting");

	if (waiting == 0 || !(a_minute > 0) ||
	    strcmp(view->state, "stopped") == 0)
		return (NULL);
	return (json_integer((json_int_t)((double)waiting * 60 / a_minute)));
}

/* Return whether the database is the trouble. */
static int
is_lost(const struct readiness_report *report)
{
	const struct trouble *trouble = find_trouble(report, 0);

	return (trouble != NULL && (strcmp(trouble->code, "database") == 0 ||
	    strcmp(trouble->code, "not-installed") == 0));
}

/**
 * status_look(status, bookings, tenant):
 * Return the document, for the caller to drop; NULL when memory is short.
 */
json_t *
status_look(struct status *s, struct bookings *bookings, const char *tenant)
{
	struct readiness_report report;
	struct view view = { .report = &report };
	json_t *document, *figures = NULL, *pauses = NULL, *memory;
	char now[BOOKING_TIME_LEN];

	readiness_look(s->readiness, bookings, &report);
	if (!is_lost(&report)) {
		(void)pauses_list(bookings, &pauses);
		figures = status_figures(bookings, s->conf, tenant);
		explain_overdue(s, bookings, &report, figures, "bookings");
		explain_overdue(s, bookings, &report, figures, "ofTenant");
	}
	view.pauses = pauses;
	view.figures = figures;
	if (!is_paused(s, &view) && !is_stopped(s, &view) &&
	    !is_not_scheduling(s, &view) && !is_late(s, &view))
		say_good(s, &view);
	be_one_line(view.sentence);

	memory = status_memory(s->conf->runtime_dir, time(NULL));
	document = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s, s:o?, s:o?, "
	    "s:o, s:{s:s, s:s}, s:o?, s:o}", "state", view.state,
	    "sentence", view.sentence, "since", view.since,
	    "code", view.code, "command", view.command,
	    "at", booking_time(now_us(), 3, now),
	    "waiting", json_object_get(figures, "overdue") == NULL ? NULL :
	    json_integer(figure(&view, "overdue", "waiting")),
	    "backlogGoneInSeconds", backlog_gone(&view, memory),
	    "troubles", trouble_list(&report.troubles),
	    "breakers", "cloudTasks", report.breaker, "voiceAgent",
	    report.agent, "pauses", pauses, "program", program(s->conf));
	if (document != NULL && figures != NULL) {
		(void)json_object_update(document, figures);
		(void)json_object_set_new(document, "late",
		    json_boolean(find_late(&view) != NULL));
	}
	json_decref(figures);
	if (document != NULL && memory != NULL)
		(void)json_object_update(document, memory);
	json_decref(memory);
	return (document);
}

/**
 * status_free(status):
 * Free ${status}; NULL is fine.
 */
void
status_free(struct status *s)
{

	if (s == NULL)
		return;
	if (s->memory != NULL)
		(void)munmap(s->memory, sizeof(*s->memory));
	free(s);
}
