#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "events.h"
#include "json_text.h"

#include "unit.h"

static struct events *events;
static const char *complete;

static int
begin(void **state)
{

	(void)state;
	assert_non_null(events = events_new("host-1"));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	events_free(events);
	return (0);
}

/* What is seen in the document ${text}, so many times in a row. */
static json_t *
see(const char *text, int times)
{
	json_t *document = json_loads(text, 0, NULL), *seen = NULL;

	assert_non_null(document);
	while (times-- > 0) {
		json_decref(seen);
		assert_non_null(seen = events_see(events, document,
		    &complete));
	}
	json_decref(document);
	return (seen);
}

/* What of ${seen} there is on ${kind} and ${key}, or NULL. */
static json_t *
find(const json_t *seen, const char *kind, const char *key)
{
	json_t *event;
	size_t i;

	json_array_foreach(seen, i, event) {
		if (json_text_is(json_object_get(event, "kind"), kind) &&
		    json_text_is(json_object_get(event, "key"), key))
			return (event);
	}
	return (NULL);
}

static const char *
data(const json_t *event, const char *name)
{
	const char *text = json_text(json_object_get(event, "data"), name);

	return (text != NULL ? text : "");
}

#define QUIET	"\"pauses\":[],\"troubles\":[],\"state\":\"ok\","	\
    "\"sentence\":\"ALL WELL.\",\"code\":\"ok\",\"breakers\":"		\
    "{\"cloudTasks\":\"closed\",\"voiceAgent\":\"closed\"},"		\
    "\"overdue\":{\"count\":0},\"late\":false,"				\
    "\"deadLetters\":{\"count\":0,\"atLeast\":false,\"causes\":[]}"

/* What is on, off, or not known, by the first look and by the second. */
static void
test_conditions(void **state)
{
	static const struct {
		const char *name;
		const char *document;
		const char *kind, *key;
		int first, second;	/* -1: nothing is said */
		const char *sentence;
	} rows[] = {
		{ "closed", "{" QUIET "}", "breaker", "cloud_tasks", 0, 0,
		    "works again" },
		{ "opened", "{\"breakers\":{\"cloudTasks\":\"open\"},"
		    "\"troubles\":[{\"code\":\"breaker\",\"sentence\":"
		    "\"WHY\"}]}", "breaker", "cloud_tasks", 1, 1, "WHY" },
		{ "half open", "{\"breakers\":{\"cloudTasks\":"
		    "\"half-open\"}}", "breaker", "cloud_tasks", 1, 1,
		    "fails for everybody" },
		{ "the voice agent's", "{\"breakers\":{\"voiceAgent\":"
		    "\"open\"}}", "breaker", "voice_agent", 1, 1,
		    "The voice agent fails" },
		{ "unknown", "{\"breakers\":{\"voiceAgent\":\"unknown\"}}",
		    "breaker", "voice_agent", -1, -1, NULL },
		{ "a listener", "{" QUIET "}", "listener", "", 0, 0,
		    "connected again" },
		{ "no listener", "{\"pauses\":[],\"troubles\":[{\"code\":"
		    "\"listener\",\"sentence\":\"NOBODY\"}]}", "listener", "",
		    -1, 1, "NOBODY" },
		{ "no database", "{\"troubles\":[{\"code\":\"database\"}],"
		    "\"pauses\":null,\"state\":\"stopped\",\"code\":"
		    "\"database\"}", "listener", "", -1, -1, NULL },
		{ "no database", "{\"troubles\":[{\"code\":\"database\"}],"
		    "\"pauses\":null,\"state\":\"stopped\",\"code\":"
		    "\"database\"}", "readiness", "", -1, -1, NULL },
		{ "refused", "{\"troubles\":[{\"code\":\"refused\"}],"
		    "\"pauses\":[]}", "listener", "", -1, -1, NULL },
		{ "late", "{\"overdue\":{\"count\":3,\"atLeast\":false,"
		    "\"oldestSeconds\":185},\"late\":true}", "overdue", "",
		    -1, 1, "3 bookings are overdue, the oldest by 3 min." },
		{ "late by a look", "{\"overdue\":{\"count\":1,"
		    "\"oldestSeconds\":60},\"late\":false}", "overdue", "",
		    0, 0, "No booking is overdue" },
		{ "no figures", "{\"state\":\"ok\"}", "overdue", "", -1, -1,
		    NULL },
		{ "stopped", "{\"state\":\"stopped\",\"code\":\"execute\","
		    "\"sentence\":\"STOPPED.\",\"command\":\"RUN\"}",
		    "readiness", "", -1, 1, "STOPPED." },
		{ "degraded", "{\"state\":\"degraded\",\"code\":\"x\","
		    "\"sentence\":\"SOME.\"}", "readiness", "", 0, 0,
		    "SOME." },
		{ "another's", "{\"state\":\"stopped\",\"code\":"
		    "\"voice-agent\"}", "readiness", "", -1, -1, NULL },
	};
	json_t *seen, *event;
	size_t i;
	int times, want;

	for (i = 0; i < NITEMS(rows); i++) {
		for (times = 1; times <= 2; times++) {
			(void)begin(state);
			seen = see(rows[i].document, times);
			event = find(seen, rows[i].kind, rows[i].key);
			want = times == 1 ? rows[i].first : rows[i].second;
			ASSERT_ROW((event != NULL) == (want >= 0),
			    rows[i].name);
			if (event != NULL) {
				ASSERT_ROW(json_is_true(json_object_get(event,
				    "on")) == want, rows[i].name);
				ASSERT_ROW(strstr(data(event, "sentence"),
				    rows[i].sentence) != NULL, rows[i].name);
				ASSERT_ROW(*data(event, "what_to_do") != '\0',
				    rows[i].name);
			}
			json_decref(seen);
			(void)end(state);
		}
	}
	(void)begin(state);
}

/* Who says it: the host, or everybody. */
static void
test_hosts(void **state)
{
	json_t *seen = see("{" QUIET "}", 1);

	(void)state;
	assert_string_equal(json_text(find(seen, "breaker", "cloud_tasks"),
	    "by"), "host-1");
	assert_string_equal(data(find(seen, "readiness", ""), "host"),
	    "host-1");
	assert_string_equal(json_text(find(seen, "listener", ""), "by"), "");
	assert_string_equal(json_text(find(seen, "overdue", ""), "by"), "");
	json_decref(seen);
}

#define CAUSE(stage, status, error)					\
    "{\"stage\":\"" stage "\",\"httpStatus\":" status ",\"error\":\""	\
    error "\",\"count\":7,\"tenants\":2,\"bookingIds\":[\"x\"]}"
#define LETTERS(causes, more)						\
    "{\"deadLetters\":{\"atLeast\":" more ",\"causes\":[" causes "]}}"

#define ONE	CAUSE("execute", "1", "e")
#define FIVE	ONE "," ONE "," ONE "," ONE "," ONE

static void
test_dead_letters(void **state)
{
	json_t *seen = see(LETTERS(CAUSE("execute", "422", "no # number") ","
	    CAUSE("schedule", "null", "odd"), "false"), 1), *event;
	char text[8300];

	(void)state;
	event = find(seen, "dead_letter", "execute 422 no # number");
	assert_non_null(event);
	assert_true(json_is_true(json_object_get(event, "on")));
	assert_true(json_is_null(json_object_get(event, "over")));
	assert_string_equal(data(event, "stage"), "execute");
	assert_non_null(strstr(data(event, "sentence"), "be called"));
	assert_null(json_object_get(json_object_get(event, "data"),
	    "bookingIds"));
	event = find(seen, "dead_letter", "schedule 0 odd");
	assert_non_null(event);
	assert_non_null(strstr(data(event, "sentence"), "be scheduled"));
	assert_string_equal(complete, "{dead_letter}");
	json_decref(seen);

	/* Those that are not listed may be there all the same. */
	json_decref(see(LETTERS(CAUSE("execute", "1", "e"), "true"), 1));
	assert_string_equal(complete, "{}");
	json_decref(see("{}", 1));
	assert_string_equal(complete, "{}");
	(void)snprintf(text, sizeof(text), LETTERS("%s,%s,%s,%s", "false"),
	    FIVE, FIVE, FIVE, FIVE);
	json_decref(see(text, 1));
	assert_string_equal(complete, "{}");
}

/* How often it began since the last event, the one that is told not counted. */
static json_int_t
flaps(const json_t *seen)
{
	json_t *event = find(seen, "breaker", "cloud_tasks");

	assert_non_null(event);
	return (json_integer_value(json_object_get(json_object_get(event,
	    "data"), "flaps")));
}

static void
test_flaps(void **state)
{
	static const char on[] = "{\"breakers\":{\"cloudTasks\":\"open\"}}";
	static const char off[] = "{\"breakers\":{\"cloudTasks\":\"closed\"}}";
	static const struct {
		const char *document;
		json_int_t flaps;
		int told;
	} rows[] = {
		{ on, 0, 1 }, { on, 0, 0 }, { off, 0, 1 }, { off, 0, 0 },
		{ on, 0, 0 }, { off, 1, 0 }, { on, 1, 0 }, { off, 2, 0 },
		{ on, 2, 1 }, { off, 0, 1 },
	};
	json_t *seen, *told = json_pack("[{s:s, s:s, s:s}]", "kind",
	    "breaker", "key", "cloud_tasks", "state", "opened");
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		seen = see(rows[i].document, 1);
		assert_int_equal(flaps(seen), rows[i].flaps);
		if (rows[i].told)
			events_told(events, told);
		json_decref(seen);
	}
	json_decref(told);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_conditions, end),
		TEST(test_hosts),
		TEST(test_dead_letters),
		TEST(test_flaps),
	};

	return (cmocka_run_group_tests_name("events", tests, NULL, NULL));
}
