#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "json_text.h"
#include "utf8.h"

#include "events.h"

/* How many causes the status lists at most. */
#define CAUSES		20

/* So many looks in a row make it true. */
#define LOOKS		2

enum seen {
	UNKNOWN,
	ON,
	OFF,
};

/* What begins and ends. */
static const struct condition {
	const char *kind;
	const char *key;
	const char *state;		/* the event of its beginning */
	const char *over;
	int looks;
	int is_of_host;
	const char *sentence;		/* where the status has none */
	const char *what_to_do;
	const char *is_over;		/* the sentence then, or NULL for that
					   of the status */
} conditions[] = {
	{ "breaker", "cloud_tasks", "opened", "closed", 1, 1,
	    "Cloud Tasks fails for everybody: no new booking is scheduled, "
	    "and none loses an attempt.",
	    "Nothing if it is an outage of Google's: it closes by itself.  "
	    "Otherwise see journalctl -u followup-schedule.",
	    "Cloud Tasks works again, and what waited is being scheduled." },
	{ "breaker", "voice_agent", "opened", "closed", 1, 1,
	    "The voice agent fails for everybody: nobody is called, and no "
	    "booking loses an attempt.",
	    "See that what FOLLOWUP_CALL_URL names works: the breaker closes "
	    "by itself.", "The voice agent works again, and what waited is "
	    "being called." },
	{ "listener", "", "lost", "back", LOOKS, 0, NULL,
	    "systemctl restart followup-listener", "A followup-listener is "
	    "connected again, and what was inserted meanwhile is being "
	    "scheduled." },
	{ "overdue", "", "began", "ended", LOOKS, 0, NULL,
	    "followup-trigger status", "No booking is overdue any more." },
	{ "readiness", "", "stopped", "back", LOOKS, 1, NULL,
	    "followup-trigger status --check", NULL },
};

#define NCONDITIONS	(sizeof(conditions) / sizeof(conditions[0]))

struct events {
	const char *host;
	struct {
		enum seen last;
		int looks;		/* in a row that it was on */
		long began;		/* so often since the last event */
	} memory[NCONDITIONS];
};

/**
 * events_new(host):
 * Return a memory of what was seen on ${host}, which must outlive it; NULL when
 * memory is short.
 */
struct events *
events_new(const char *host)
{
	struct events *e;

	if ((e = calloc(1, sizeof(*e))) != NULL)
		e->host = host;
	return (e);
}

/* The trouble ${code} of ${document}, or NULL. */
static const json_t *
find_trouble(const json_t *document, const char *code)
{
	const json_t *trouble;
	size_t i;

	json_array_foreach(json_object_get(document, "troubles"), i, trouble) {
		if (json_text_is(json_object_get(trouble, "code"), code))
			return (trouble);
	}
	return (NULL);
}

/* Has the database told what is in it? */
static int
is_database_known(const json_t *document)
{

	return (json_is_array(json_object_get(document, "pauses")) &&
	    find_trouble(document, "refused") == NULL);
}

static enum seen
see_breaker(const json_t *document, const char *name)
{
	const char *state = json_text(json_object_get(document, "breakers"),
	    name);

	if (state == NULL || strcmp(state, "unknown") == 0)
		return (UNKNOWN);
	return (strcmp(state, "closed") == 0 ? OFF : ON);
}

/* Reasons for which nobody is called that have an event of their own. */
static enum seen
see_readiness(const json_t *document)
{
	static const char *const others[] = { "database", "listener",
	    "voice-agent" };
	size_t i;

	if (!json_text_is(json_object_get(document, "state"), "stopped"))
		return (OFF);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (json_text_is(json_object_get(document, "code"), others[i]))
			return (UNKNOWN);
	}
	return (ON);
}

static enum seen
see(const struct condition *c, const json_t *document)
{
	const json_t *late = json_object_get(document, "late");

	if (strcmp(c->kind, "breaker") == 0)
		return (see_breaker(document, strcmp(c->key, "cloud_tasks") ==
		    0 ? "cloudTasks" : "voiceAgent"));
	if (strcmp(c->kind, "listener") == 0)
		return (!is_database_known(document) ? UNKNOWN :
		    find_trouble(document, "listener") != NULL ? ON : OFF);
	if (strcmp(c->kind, "overdue") == 0)
		return (json_object_get(document, "overdue") == NULL ||
		    late == NULL ? UNKNOWN : json_is_true(late) ? ON : OFF);
	return (see_readiness(document));
}

/* A text of any length as JSON, whatever it was cut from. */
static json_t * __attribute__((format(printf, 1, 2)))
text(const char *fmt, ...)
{
	char buf[1600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	utf8_clean(buf);
	return (json_string(buf));
}

/* What is said of the beginning of ${c}. */
static json_t *
begin_sentence(const struct condition *c, const json_t *document)
{
	const json_t *overdue = json_object_get(document, "overdue");
	const char *said = NULL;
	json_int_t n;

	if (strcmp(c->kind, "overdue") == 0) {
		n = json_integer_value(json_object_get(overdue, "count"));
		return (text("%s%" JSON_INTEGER_FORMAT " booking%s overdue, "
		    "the oldest by %" JSON_INTEGER_FORMAT " min.",
		    json_is_true(json_object_get(overdue, "atLeast")) ?
		    "More than " : "", n, n == 1 ? " is" : "s are",
		    json_integer_value(json_object_get(overdue,
		    "oldestSeconds")) / 60));
	}
	if (strcmp(c->kind, "readiness") == 0)
		said = json_text(document, "sentence");
	else if (strcmp(c->kind, "listener") == 0)
		said = json_text(find_trouble(document, "listener"),
		    "sentence");
	else
		said = json_text(find_trouble(document, strcmp(c->key,
		    "cloud_tasks") == 0 ? "breaker" : "voice-agent"),
		    "sentence");
	if (said == NULL)
		said = c->sentence;
	return (text("%s", said != NULL ? said : ""));
}

/* What the event of ${c}'s beginning, or of its end, carries. */
static json_t *
make_data(const struct events *e, const struct condition *c,
    const json_t *document, enum seen seen)
{
	json_t *data = json_object();
	const char *command = json_text(document, "command");

	(void)json_object_set_new(data, "sentence", seen == ON ?
	    begin_sentence(c, document) : text("%s", c->is_over != NULL ?
	    c->is_over : json_text(document, "sentence")));
	if (strcmp(c->kind, "readiness") != 0)
		command = NULL;
	(void)json_object_set_new(data, "what_to_do", text("%s", seen == OFF ?
	    "Nothing." : command != NULL ? command : c->what_to_do));
	if (*c->key != '\0')
		(void)json_object_set_new(data, "target", text("%s", c->key));
	if (c->is_of_host)
		(void)json_object_set_new(data, "host", text("%s", e->host));
	if (strcmp(c->kind, "readiness") == 0)
		(void)json_object_set_new(data, "code", text("%s",
		    json_text(document, "code")));
	return (data);
}

/* Look at the condition in place ${i}, and add to ${list} what is seen. */
static void
see_condition(struct events *e, size_t i, const json_t *document, json_t *list)
{
	const struct condition *c = &conditions[i];
	enum seen seen = see(c, document);
	json_t *data;

	if (seen == UNKNOWN)
		return;
	if (seen == ON && e->memory[i].last != ON)
		e->memory[i].began++;
	e->memory[i].looks = seen == ON ? e->memory[i].looks + 1 : 0;
	e->memory[i].last = seen;
	if (seen == ON && e->memory[i].looks < c->looks)
		return;

	/* Its first beginning is the event itself. */
	data = make_data(e, c, document, seen);
	if (e->memory[i].began > (seen == ON))
		(void)json_object_set_new(data, "flaps",
		    json_integer(e->memory[i].began - (seen == ON)));
	(void)json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, "
	    "s:s, s:o, s:o}", "kind", c->kind, "key", c->key, "on",
	    seen == ON, "state", c->state, "over", c->over, "by",
	    text("%s", c->is_of_host ? e->host : ""), "data", data));
}

/* Add a cause of dead letters to ${list}. */
static void
see_cause(const json_t *cause, json_t *list)
{
	const char *stage = json_text(cause, "stage");
	const char *error = json_text(cause, "error");
	json_int_t status = json_integer_value(json_object_get(cause,
	    "httpStatus"));
	json_t *data;

	if (stage == NULL || error == NULL)
		return;
	data = json_pack("{s:o, s:s, s:s, s:O?, s:o, s:O?}", "sentence",
	    text("A booking was given up, the first that could not be %s "
	    "because of this: %.1200s", strcmp(stage, "execute") == 0 ?
	    "called" : "scheduled", error), "what_to_do",
	    "See GET /dead-letters?by=cause; once the cause is fixed, POST "
	    "/dead-letters/retry.", "stage", stage, "httpStatus",
	    json_object_get(cause, "httpStatus"), "error",
	    text("%.1200s", error), "count",
	    json_object_get(cause, "count"));
	(void)json_array_append_new(list, json_pack("{s:s, s:o, s:b, s:s, "
	    "s:n, s:s, s:o}", "kind", "dead_letter", "key",
	    text("%s %" JSON_INTEGER_FORMAT " %.500s", stage, status, error),
	    "on", 1, "state", "first", "over", "by", "", "data", data));
}

/**
 * events_see(events, document, complete):
 * Return what ${document} of status_look shows, as event_outbox_seen takes it,
 * for the caller to drop; NULL when memory is short.  ${complete} is set to the
 * third argument of that function.
 */
json_t *
events_see(struct events *e, const json_t *document, const char **complete)
{
	const json_t *letters = json_object_get(document, "deadLetters");
	const json_t *cause, *causes = json_object_get(letters, "causes");
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < NCONDITIONS; i++)
		see_condition(e, i, document, list);
	json_array_foreach(causes, i, cause)
		see_cause(cause, list);

	/* A cause that is not listed may still be there. */
	*complete = json_is_array(causes) &&
	    json_array_size(causes) < CAUSES &&
	    !json_is_true(json_object_get(letters, "atLeast")) ?
	    "{dead_letter}" : "{}";
	return (list);
}

/**
 * events_told(events, told):
 * Note that the events ${told}, which event_outbox_seen returned, were written.
 * The next event about the same says how often it began and ended since then.
 */
void
events_told(struct events *e, const json_t *told)
{
	const json_t *event;
	size_t i, j;

	json_array_foreach(told, i, event) {
		for (j = 0; j < NCONDITIONS; j++) {
			if (json_text_is(json_object_get(event, "kind"),
			    conditions[j].kind) &&
			    json_text_is(json_object_get(event, "key"),
			    conditions[j].key))
				e->memory[j].began = 0;
		}
	}
}

/**
 * events_free(events):
 * Free ${events}; NULL is fine.
 */
void
events_free(struct events *e)
{

	free(e);
}
