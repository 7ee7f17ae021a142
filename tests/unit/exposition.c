#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exposition.h"
#include "metrics.h"

#include "unit.h"

#define TRACE	"4bf92f3577b34da6a3ce929d0e0e4736"

static char dir[] = "/tmp/followup-exposition.XXXXXX";

/* Which format a scraper gets by what it accepts. */
static void
accepting(void **state)
{
	static const struct {
		const char *accept;
		enum exposition_format format;
	} rows[] = {
		{ NULL, EXPOSITION_TEXT },
		{ "", EXPOSITION_TEXT },
		{ "*/*", EXPOSITION_TEXT },
		{ "text/plain", EXPOSITION_TEXT },
		{ "text/html, */*;q=0.1", EXPOSITION_TEXT },
		{ "application/openmetrics-text", EXPOSITION_OPENMETRICS },
		{ "application/openmetrics-text, */*",
		    EXPOSITION_OPENMETRICS },
		{ "Application/OpenMetrics-Text; Version=1.0.0",
		    EXPOSITION_OPENMETRICS },
		/* Prometheus 2.42 and 3.8 */
		{ "application/openmetrics-text; version=\"1.0.0\"",
		    EXPOSITION_OPENMETRICS },
		{ "application/openmetrics-text;version=1.0.0,"
		    "application/openmetrics-text;version=0.0.1;q=0.75,"
		    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		    EXPOSITION_OPENMETRICS },
		{ "application/openmetrics-text;version=1.0.0;"
		    "escaping=allow-utf-8;q=0.6,"
		    "application/openmetrics-text;version=0.0.1;q=0.5,"
		    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
		    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		    EXPOSITION_OPENMETRICS },
		{ "application/openmetrics-text;version=0.0.1",
		    EXPOSITION_TEXT },
		{ "application/openmetrics-text;q=0", EXPOSITION_TEXT },
		{ "application/openmetrics-text;q=0.4,text/plain",
		    EXPOSITION_TEXT },
		{ "application/openmetrics-text;q=0.4,text/plain;q=0.3,*/*",
		    EXPOSITION_OPENMETRICS },
		{ "application/openmetrics-texts", EXPOSITION_TEXT },
		{ ",,;q=,=;,application/", EXPOSITION_TEXT },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++)
		ASSERT_ROW(exposition_accepted(rows[i].accept) ==
		    rows[i].format, rows[i].accept);
}

/* Have the program count for a while, and stop at ${now}. */
static void
keep(enum config_program program, long now)
{

	metrics_end();
	assert_int_equal(metrics_init(dir, program), 0);
	(void)metrics_beat(now);
}

/* Every one of ${lines}, up to NULL, is a line of ${text}, in this order. */
static void
expect_lines(const char *text, const char *const *lines)
{
	const char *at = text;

	for (; *lines != NULL; lines++) {
		if ((at = strstr(at, *lines)) == NULL) {
			fail_msg("no line %s", *lines);
			return;
		}
		ASSERT_ROW(at == text || at[-1] == '\n', *lines);
		at += strlen(*lines);
		ASSERT_ROW(*at == '\n' || strchr(" =", at[-1]) != NULL,
		    *lines);
	}
}

static void
writing(void **state)
{
	static const char *const lines[] = {
		"followup_build_info{program=\"schedule\",version=",
		"# TYPE followup_up gauge",
		"followup_up{program=\"listener\"} 0",
		"followup_up{program=\"schedule\"} 1",
		"followup_up{program=\"execute\"} 1",
		"followup_task_requests_total{method=\"get\",code=\"404\"} 4",
		("followup_task_requests_total{method=\"delete\","
		    "code=\"none\"} 0"),
		"# TYPE followup_breaker_state gauge",
		("followup_breaker_state{target=\"cloud_tasks\","
		    "state=\"closed\"} 0"),
		("followup_breaker_state{target=\"cloud_tasks\","
		    "state=\"half_open\"} 0"),
		("followup_breaker_state{target=\"cloud_tasks\","
		    "state=\"open\"} 1"),
		("followup_breaker_state{target=\"voice_agent\","
		    "state=\"closed\"} 1"),
		"# TYPE followup_callbacks_total counter",
		"followup_callbacks_total{outcome=\"executed\"} 0",
		"# TYPE followup_call_lateness_seconds histogram",
		"followup_call_lateness_seconds_bucket{le=\"0.01\"} 0",
		"followup_call_lateness_seconds_bucket{le=\"1\"} 1",
		"followup_call_lateness_seconds_bucket{le=\"2.5\"} 2",
		"followup_call_lateness_seconds_bucket{le=\"3600\"} 2",
		"followup_call_lateness_seconds_bucket{le=\"+Inf\"} 3",
		"followup_call_lateness_seconds_sum 4002.600000",
		"followup_call_lateness_seconds_count 3",
		"followup_calls_not_made_total{reason=\"dead\"} 3",
		"followup_open_bookings{state=\"pending\"} 7",
		"followup_oldest_overdue_seconds{state=\"pending\"} 1.500",
		NULL,
	};
	static const char *const open_lines[] = {
		"# TYPE followup_callbacks counter",
		"followup_callbacks_total{outcome=\"executed\"} 0",
		"followup_call_lateness_seconds_bucket{le=\"1.0\"} 1",
		("followup_call_lateness_seconds_bucket{le=\"2.5\"} 2 # "
		    "{trace_id=\"" TRACE "\"} 2.000000 "),
		"# EOF", NULL,
	};
	char *text;

	(void)state;
	keep(CONFIG_SCHEDULE, 100000);
	metrics_add(METRICS_TASK_REQUESTS,
	    METRICS_TASK_LABEL(METRICS_TASK_GET, METRICS_TASK_404), 4);
	metrics_set(METRICS_BREAKER_TASKS, 0, METRICS_BREAKER_OPEN);
	metrics_not_made(METRICS_REASON_DEAD);
	metrics_set(METRICS_OPEN_BOOKINGS, METRICS_OPEN_PENDING, 7);
	metrics_set(METRICS_OLDEST_OVERDUE, METRICS_OPEN_PENDING, 1500);
	metrics_collect_end(100000);
	keep(CONFIG_EXECUTE, 100000);
	metrics_called(0.6, NULL);
	metrics_called(2, TRACE);
	metrics_called(4000, NULL);
	metrics_not_made(METRICS_REASON_DEAD);
	metrics_not_made(METRICS_REASON_DEAD);

	text = exposition_write(dir, EXPOSITION_TEXT, 100001);
	expect_lines(text, lines);
	assert_null(strstr(text, "EOF"));
	assert_null(strstr(text, "trace_id"));
	assert_null(strstr(text, "followup_next_due"));
	free(text);
	text = exposition_write(dir, EXPOSITION_OPENMETRICS, 100001);
	expect_lines(text, open_lines);
	assert_string_equal(&text[strlen(text) - 6], "# EOF\n");
	free(text);
}

/* Of what is down, or old, only what has been counted is shown. */
static void
staleness(void **state)
{
	char *text;

	(void)state;
	keep(CONFIG_SCHEDULE, 100000);
	metrics_set(METRICS_OPEN_BOOKINGS, METRICS_OPEN_PENDING, 7);
	metrics_collect_end(100000);
	(void)metrics_beat(140000);
	text = exposition_write(dir, EXPOSITION_TEXT, 140001);
	assert_null(strstr(text, "followup_open_bookings"));
	assert_non_null(strstr(text, "followup_collect_errors 0\n"));
	free(text);

	text = exposition_write(dir, EXPOSITION_TEXT, 150000);
	assert_non_null(strstr(text,
	    "\nfollowup_up{program=\"schedule\"} 0\n"));
	assert_non_null(strstr(text, "\nfollowup_schedules_total"));
	assert_null(strstr(text, "followup_collect_errors"));
	assert_null(strstr(text, "followup_build_info{program=\"schedule\""));
	assert_null(strstr(text, "followup_listener_leader"));
	free(text);

	/* A listener that was killed leads no more: alerts look for 0. */
	keep(CONFIG_LISTENER, 150000);
	metrics_set(METRICS_LEADER, 0, 1);
	text = exposition_write(dir, EXPOSITION_TEXT, 150001);
	assert_non_null(strstr(text, "\nfollowup_listener_leader 1\n"));
	free(text);
	text = exposition_write(dir, EXPOSITION_TEXT, 170000);
	assert_non_null(strstr(text, "\nfollowup_listener_leader 0\n"));
	assert_non_null(strstr(text, "\nfollowup_listener_listening 0\n"));
	free(text);
}

/* A quote in what comes from elsewhere cannot end a label. */
static void
escaping(void **state)
{
	char *text;

	(void)state;
	keep(CONFIG_SCHEDULE, 100000);
	metrics_schema("a\"b\\c\nd");
	text = exposition_write(dir, EXPOSITION_TEXT, 100000);
	assert_non_null(strstr(text, "schema=\"a\\\"b\\\\c\\nd\"} 1\n"));
	free(text);
}

static int
end(void **state)
{
	static const char *const programs[] = { "schedule", "execute" };
	char path[80];
	size_t i;

	(void)state;
	metrics_end();
	for (i = 0; i < NITEMS(programs); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s.metrics", dir,
		    programs[i]);
		(void)unlink(path);
	}
	return (0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepting),
		cmocka_unit_test_teardown(writing, end),
		cmocka_unit_test_teardown(staleness, end),
		cmocka_unit_test_teardown(escaping, end),
	};
	int failed;

	if (mkdtemp(dir) == NULL)
		return (1);
	failed = cmocka_run_group_tests_name("exposition", tests, NULL, NULL);
	(void)rmdir(dir);
	return (failed);
}
