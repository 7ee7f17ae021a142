#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "json_text.h"
#include "metrics.h"

#include "unit.h"

/*
 * The alerts and the dashboard ask for metrics that there are, with labels and
 * values that these have: what does not exist fires no alert.
 */

#define RULES	"cgi/schedule/prometheus/followup-alerts.yaml"
#define BOARD	"cgi/schedule/grafana/followup-scheduler.json"

#define NAME_CHARS	"abcdefghijklmnopqrstuvwxyz_"

/* Return a file of the tree, from whose root the tests are run. */
static char *
read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (f == NULL)
		fail_msg("%s cannot be opened", path);
	assert_true(getdelim(&text, &size, '\0', f) > 0);
	(void)fclose(f);
	return (text);
}

static int
ends_with(const char *name, size_t len, const char *end)
{
	size_t n = strlen(end);

	return (len > n && memcmp(&name[len - n], end, n) == 0);
}

/*
 * Return whether the family ${f} has series of this ${name}: those of a
 * histogram have three names, none of which is its own.
 */
static int
is_of(const struct metrics_family *f, const char *name, size_t len)
{
	static const char *const ends[] = { "_bucket", "_sum", "_count" };
	size_t i;

	if (f->type != METRICS_HISTOGRAM)
		return (strlen(f->name) == len &&
		    memcmp(f->name, name, len) == 0);
	for (i = 0; i < NITEMS(ends); i++) {
		if (ends_with(name, len, ends[i]) &&
		    strlen(f->name) == len - strlen(ends[i]) &&
		    memcmp(f->name, name, strlen(f->name)) == 0)
			return (1);
	}
	return (0);
}

/* Is ${value} one of the values that ${label} has in family ${f}? */
static int
has_value(const struct metrics_family *f, const char *label,
    const char *value)
{
	static const char *const programs[] = { "listener", "schedule",
	    "execute" };
	char constant[256];
	size_t i, k;

	(void)snprintf(constant, sizeof(constant), "%s=\"%s\"", label, value);
	if (f->constant != NULL && strcmp(f->constant, constant) == 0)
		return (1);
	for (i = 0; f->each && strcmp(label, "program") == 0 &&
	    i < NITEMS(programs); i++) {
		if (strcmp(value, programs[i]) == 0)
			return (1);
	}
	for (i = 0; f->buckets != NULL && strcmp(label, "le") == 0 &&
	    f->buckets[i] > 0; i++) {
		/* As it is written in text, and in OpenMetrics. */
		if (f->buckets[i] == strtod(value, NULL) ||
		    (strcmp(value, "60[.]0") == 0 && f->buckets[i] == 60))
			return (1);
	}
	for (i = 0; i < METRICS_LABELS && f->labels[i].name != NULL; i++) {
		for (k = 0; strcmp(f->labels[i].name, label) == 0 &&
		    f->labels[i].values[k] != NULL; k++) {
			if (strcmp(value, f->labels[i].values[k]) == 0)
				return (1);
		}
	}
	return (0);
}

/* Check what stands in braces behind a name: {label="value",...}. */
static void
check_matchers(const struct metrics_family *f, const char *s)
{
	char label[64], values[128], *value, *rest;
	int n;

	while (*s != '}') {
		s += strspn(s, "{, \n");
		assert_int_equal(sscanf(s,
		    "%63[a-z]%*[=~!]\"%127[^\"]\"%n", label, values, &n), 2);
		s += n;
		if (strcmp(label, "job") == 0)
			continue;
		for (value = strtok_r(values, "|", &rest); value != NULL;
		    value = strtok_r(NULL, "|", &rest)) {
			if (!has_value(f, label, value))
				fail_msg("%s has no %s=\"%s\"", f->name,
				    label, value);
		}
	}
}

/* Check each metric in ${text}; return how many there are. */
static int
check_metrics(const char *text)
{
	const struct metrics_family *f;
	int n = 0, found, i;
	size_t len;

	/* A name with a colon is one that the rules record. */
	for (; (text = strstr(text, "followup_")) != NULL; text += len) {
		len = strspn(text, NAME_CHARS);
		found = -1;
		for (i = 0; i < METRICS_N; i++) {
			f = &metrics_families[i];
			if (!is_of(f, text, len))
				continue;
			if (found < 0 || (f->constant != NULL &&
			    memmem(text, strcspn(text, "}"), f->constant,
			    strlen(f->constant)) != NULL))
				found = i;
		}
		if (found < 0)
			fail_msg("there is no metric %.*s", (int)len, text);
		if (text[len] == '{')
			check_matchers(&metrics_families[found], &text[len]);
		n++;
	}
	return (n);
}

static void
test_rules(void **state)
{
	char *rules = read_file(RULES), *expr;
	int n = 0;

	(void)state;
	for (expr = rules; (expr = strstr(expr, "expr: |")) != NULL; ) {
		char *end = strstr(expr, "\n        labels:");
		char *next = strstr(expr, "\n      - ");

		/* An expression ends where its rule goes on, or the next. */
		if (end == NULL || (next != NULL && next < end))
			end = next != NULL ? next : &expr[strlen(expr)];
		*end = '\0';
		n += check_metrics(expr);
		expr = end + 1;
	}
	assert_in_range(n, 40, 200);
	free(rules);
}

/* Every panel has a title, a place of its own, and asks the chosen source. */
static void
test_dashboard(void **state)
{
	char used[200][24] = { { 0 } };
	json_t *board = json_load_file(BOARD, JSON_REJECT_DUPLICATES, NULL);
	json_t *panel, *target, *grid;
	json_int_t x, y, w, h, i, k;
	size_t p, t;
	int n = 0, ids[256] = { 0 };

	(void)state;
	assert_non_null(board);
	json_array_foreach(json_object_get(board, "panels"), p, panel) {
		assert_non_null(json_text(panel, "title"));
		i = json_integer_value(json_object_get(panel, "id"));
		assert_in_range(i, 1, 255);
		assert_int_equal(ids[i]++, 0);
		grid = json_object_get(panel, "gridPos");
		assert_int_equal(json_unpack(grid, "{s:I, s:I, s:I, s:I}", "x",
		    &x, "y", &y, "w", &w, "h", &h), 0);
		assert_true(x >= 0 && w > 0 && x + w <= 24 && y + h <= 200);
		for (i = y; i < y + h; i++) {
			for (k = x; k < x + w; k++)
				assert_int_equal(used[i][k]++, 0);
		}
		if (strcmp(json_text(panel, "type"), "row") == 0)
			continue;
		assert_string_equal(json_text(json_object_get(panel,
		    "datasource"), "uid"), "${datasource}");
		assert_true(json_array_size(json_object_get(panel, "targets"))
		    > 0);
		json_array_foreach(json_object_get(panel, "targets"), t,
		    target)
			n += check_metrics(json_text(target, "expr"));
	}
	assert_in_range(n, 50, 300);
	json_decref(board);
}

/* No metric is kept that nobody can see on the dashboard. */
static void
test_all_on_dashboard(void **state)
{
	char *board = read_file(BOARD);
	int i;

	(void)state;
	for (i = 0; i < METRICS_N; i++)
		ASSERT_ROW(strstr(board, metrics_families[i].name) != NULL,
		    metrics_families[i].name);
	free(board);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_dashboard),
		cmocka_unit_test(test_all_on_dashboard),
	};

	return (cmocka_run_group_tests_name("monitoring", tests, NULL, NULL));
}
