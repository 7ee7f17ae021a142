#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "config.h"
#include "json_text.h"
#include "pauses.h"
#include "readiness.h"
#include "status.h"
#include "status_figures.h"
#include "status_memory.h"

#include "scripted_bookings.h"
#include "unit.h"

static const struct config conf = { .schema = "lad_dev",
    .table = "lead_bookings", .sweep_window = 86400,
    .max_schedule_attempts = 10 };
static struct status *status;

/* What is seen, instead of what the product finds. */
static const char *code, *pauses, *figures, *memory, *tenant;
static int asked;

void
readiness_look(struct readiness *r, struct bookings *b,
    struct readiness_report *report)
{

	assert_true(r == NULL && b != NULL);
	*report = (struct readiness_report){ .breaker = "closed",
	    .agent = "unknown" };
	if (code != NULL)
		troubles_add(&report->troubles, code, "WHY: DO THIS");
}

enum db_outcome
pauses_list(struct bookings *b, json_t **list)
{

	assert_non_null(b);
	*list = json_loads(pauses, 0, NULL);
	return (DB_OK);
}

json_t *
status_figures(struct bookings *b, const struct config *c, const char *whose)
{

	assert_true(b != NULL && c == &conf && whose == tenant);
	asked++;
	return (figures != NULL ? json_loads(figures, 0, NULL) : NULL);
}

json_t *
status_memory(const char *dir, time_t now)
{

	assert_true(dir == NULL && now > 0);
	return (json_loads(memory, 0, NULL));
}

static int
begin(void **state)
{

	(void)state;
	table_begin();
	code = figures = tenant = NULL;
	pauses = "[]";
	memory = "{}";
	asked = 0;
	assert_non_null(status = status_new(&conf, NULL));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	status_free(status);
	table_end();
	return (0);
}

static json_t *
look(void)
{
	json_t *document = status_look(status,
	    (struct bookings *)(void *)&table, tenant);

	assert_non_null(document);
	return (document);
}

#define PAUSE(more)	"{\"scope\":\"all\",\"reason\":\"moving\","	\
	"\"pausedBy\":\"ann\","						\
	"\"pausedAt\":\"2026-11-23T14:03:00.000Z\""			\
	more "}"
#define OVERDUE(n, seconds)						\
	"{\"overdue\":{\"count\":" #n ",\"waiting\":" #n ","		\
	"\"oldestSeconds\":" #seconds ",\"bookings\":"			\
	"[{\"bookingId\":\"00000000-0000-4000-8000-00000000000b\"}]}}"
#define QUIET	"{\"overdue\":{\"count\":0,\"waiting\":0,\"bookings\":[]}}"

static void
test_sentences(void **state)
{
	static const struct {
		const char *name;
		const char *code;	/* of the trouble, or NULL */
		const char *pauses;
		const char *figures;
		const char *want_state;
		const char *want_code;
		const char *says[4];
	} rows[] = {
		{ "all is well", NULL, "[]", QUIET, "ok", "ok",
		    { "Follow-ups are being called; none is to come" } },
		{ "some are to come", NULL, "[]", "{\"next\":"
		    "{\"in60Minutes\":3}}", "ok", "ok",
		    { "; 3 are due within the hour." } },
		{ "the next is far ahead", NULL, "[]", "{\"next\":{"
		    "\"in60Minutes\":0,\"nextAt\":"
		    "\"2026-12-24T08:00:00.000Z\"}}", "ok", "ok",
		    { "the next one is due at 2026-12-24 08:00 UTC." } },
		{ "at night", NULL, "[]", "{\"installation\":{"
		    "\"closedUntil\":\"2026-11-24T09:00:00.000Z\"}}", "ok",
		    "ok", { "calling hours are over until "
		    "2026-11-24 09:00 UTC" } },
		{ "a tenant is paused", NULL, "[{\"scope\":\"tenant:t1\","
		    "\"reason\":\"asked\"}]", QUIET, "ok", "ok",
		    { "but for tenant t1, who is paused (asked)" } },
		{ "all is paused", NULL, "[" PAUSE("") "]", OVERDUE(7, 300),
		    "stopped", "paused", { "No follow-up has been called "
		    "since 2026-11-23 14:03 UTC: ann paused everything "
		    "(moving)", "7 bookings wait, none is lost",
		    "calls go on once it is resumed." } },
		{ "all is paused until", NULL,
		    "[" PAUSE(",\"until\":\"2026-11-24T09:00:00.000Z\"") "]",
		    QUIET, "stopped", "paused",
		    { "until 2026-11-24T09:00 UTC", "by themselves" } },
		{ "a reason of two lines", NULL, "[{\"scope\":\"tenant:t1\","
		    "\"reason\":\"a\\n\\tb\"}]", QUIET, "ok", "ok",
		    { "who is paused (a  b)" } },
		{ "all but one is paused", NULL,
		    "[" PAUSE(",\"exceptTenants\":[\"t1\"]") "]", QUIET,
		    "degraded", "paused", { "Only tenants that were resumed "
		    "have been called" } },
		{ "paused and broken", "voice-agent", "[" PAUSE("") "]",
		    QUIET, "stopped", "paused", { "besides, WHY: DO THIS" } },
		{ "the voice agent", "voice-agent", "[]", OVERDUE(1, 300),
		    "stopped", "voice-agent", { "No follow-up has been called "
		    "since ", " UTC: WHY: DO THIS; 1 booking waits, none is "
		    "lost; they are called by themselves" } },
		{ "callbacks refused", "callbacks", "[]", QUIET, "stopped",
		    "callbacks", { "; no booking waits for that yet" } },
		{ "the queue is paused", "queue-paused", "[]", QUIET,
		    "stopped", "queue-paused", { "WHY" } },
		{ "no execute", "execute", "[]", QUIET, "stopped", "execute",
		    { "WHY" } },
		{ "no listener", "listener", "[]", QUIET, "degraded",
		    "listener", { "in the queue are being called, but no new "
		    "one gets there since " } },
		{ "no Cloud Tasks", "breaker", "[]", QUIET, "degraded",
		    "breaker", { "no new one" } },
		{ "no triggers", "trigger-disabled", "[]", QUIET, "degraded",
		    "trigger-disabled",
		    { "Follow-ups are being called, but since " } },
		{ "a new kind", "unheard-of", "[]", QUIET, "degraded",
		    "unheard-of", { "being called, but", "WHY" } },
		{ "late", NULL, "[]", OVERDUE(2, 300), "degraded", "overdue",
		    { "2 bookings are overdue, the oldest by 5 min",
		    "It waits for its task" } },
		{ "hardly late", NULL, "[]", OVERDUE(2, 110), "ok", "ok",
		    { "being called" } },
	};
	json_t *document;
	const char *sentence;
	size_t i, j;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		code = rows[i].code;
		pauses = rows[i].pauses;
		figures = rows[i].figures;
		document = look();
		sentence = json_text(document, "sentence");
		ASSERT_ROW(json_text_is(json_object_get(document, "state"),
		    rows[i].want_state), rows[i].name);
		ASSERT_ROW(json_text_is(json_object_get(document, "code"),
		    rows[i].want_code), rows[i].name);
		for (j = 0; j < NITEMS(rows[i].says); j++) {
			if (rows[i].says[j] != NULL &&
			    strstr(sentence, rows[i].says[j]) == NULL)
				fail_msg("%s: \"%s\" lacks \"%s\"",
				    rows[i].name, sentence, rows[i].says[j]);
		}
		ASSERT_ROW(sentence[strlen(sentence) - 1] == '.', sentence);
		json_decref(document);
	}
}

/* Bookings that wait for their hours are not late. */
static void
test_waiting_is_not_late(void **state)
{
	json_t *document;

	(void)state;
	figures = OVERDUE(1, 9000);
	table.rows[0].verdict = "wait";
	document = look();
	assert_string_equal(json_text(document, "state"), "ok");
	json_decref(document);
	table.rows[0].verdict = "call";
	document = look();
	assert_string_equal(json_text(document, "state"), "degraded");
	json_decref(document);
}

/* Look when the clock has shown another time than in ${earlier}. */
static json_t *
look_after(const json_t *earlier)
{
	json_t *document = look();

	while (json_text_is(json_object_get(document, "at"),
	    json_text(earlier, "at"))) {
		json_decref(document);
		document = look();
	}
	json_decref(document);
	return (look());
}

/* A state keeps its beginning; another one has its own. */
static void
test_since(void **state)
{
	json_t *first, *second;

	(void)state;
	code = "listener";
	first = look();
	second = look_after(first);
	assert_string_equal(json_text(first, "since"),
	    json_text(second, "since"));
	code = NULL;
	json_decref(look());
	code = "listener";
	json_decref(second);
	second = look();
	assert_string_not_equal(json_text(first, "since"),
	    json_text(second, "since"));
	json_decref(first);
	json_decref(second);
}

/* A database that is down is asked nothing more, and memory answers. */
static void
test_database_down(void **state)
{
	json_t *document;

	(void)state;
	code = "database";
	document = look();
	assert_int_equal(asked, 0);
	assert_string_equal(json_text(document, "state"), "stopped");
	assert_non_null(strstr(json_text(document, "sentence"),
	    "kept in the database, and none is lost"));
	assert_true(json_is_null(json_object_get(document, "waiting")));
	json_decref(document);
}

/* How long the backlog will last, by how many were called in a minute. */
static void
test_backlog_gone(void **state)
{
	static const struct {
		const char *name;
		const char *code;
		const char *figures;
		const char *memory;
		json_int_t want;		/* seconds; 0: null */
	} rows[] = {
		{ "30 at 12 a minute", NULL, OVERDUE(30, 100),
		    "{\"chain\":{\"call\":{\"perMinute\":12.0}}}", 150 },
		{ "7 at one in two minutes", NULL, OVERDUE(7, 100),
		    "{\"chain\":{\"call\":{\"perMinute\":0.5}}}", 840 },
		{ "new ones are not scheduled", "listener", OVERDUE(30, 100),
		    "{\"chain\":{\"call\":{\"perMinute\":12.0}}}", 150 },
		{ "none waits", NULL, QUIET,
		    "{\"chain\":{\"call\":{\"perMinute\":12.0}}}", 0 },
		{ "none was called", NULL, OVERDUE(30, 100),
		    "{\"chain\":{\"call\":{\"perMinute\":0.0}}}", 0 },
		{ "no calls are known", NULL, OVERDUE(30, 100), "{}", 0 },
		{ "nobody is called now", "voice-agent", OVERDUE(30, 100),
		    "{\"chain\":{\"call\":{\"perMinute\":12.0}}}", 0 },
		{ "the database is down", "database", QUIET,
		    "{\"chain\":{\"call\":{\"perMinute\":12.0}}}", 0 },
	};
	json_t *document, *gone;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		code = rows[i].code;
		figures = rows[i].figures;
		memory = rows[i].memory;
		document = look();
		gone = json_object_get(document, "backlogGoneInSeconds");
		ASSERT_ROW(rows[i].want == 0 ? json_is_null(gone) :
		    json_integer_value(gone) == rows[i].want, rows[i].name);
		json_decref(document);
	}
}

/* The tenant who is asked about gets there, and his are explained, too. */
static void
test_tenant(void **state)
{
	json_t *document, *list;

	(void)state;
	tenant = "t1";
	figures = "{\"overdue\":{\"count\":1,\"waiting\":1,\"bookings\":[],"
	    "\"ofTenant\":[{\"bookingId\":"
	    "\"00000000-0000-4000-8000-00000000000b\"}]}}";
	document = look();
	list = json_object_get(json_object_get(document, "overdue"),
	    "ofTenant");
	assert_non_null(json_text(json_array_get(list, 0), "explanation"));
	json_decref(document);
}

/* Once one has waited in vain, those after it wait less, for a while. */
static void
test_patience(void **state)
{

	(void)state;
	assert_int_equal(status_patience(NULL, 100000), 1800);
	status_looked(NULL, 100000, 200000);
	assert_int_equal(status_patience(status, 100000), 1800);
	status_looked(status, 100000, 101799);
	assert_int_equal(status_patience(status, 101799), 1800);
	status_looked(status, 100000, 101800);
	assert_int_equal(status_patience(status, 101800), 100);
	status_looked(status, 101800, 101900);
	assert_int_equal(status_patience(status, 106799), 100);
	assert_int_equal(status_patience(status, 106800), 1800);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sentences, begin, end),
		cmocka_unit_test_setup_teardown(test_waiting_is_not_late,
		    begin, end),
		cmocka_unit_test_setup_teardown(test_since, begin, end),
		cmocka_unit_test_setup_teardown(test_database_down, begin,
		    end),
		cmocka_unit_test_setup_teardown(test_backlog_gone, begin, end),
		cmocka_unit_test_setup_teardown(test_tenant, begin, end),
		cmocka_unit_test_setup_teardown(test_patience, begin, end),
	};

	return (cmocka_run_group_tests_name("status", tests, NULL, NULL));
}
