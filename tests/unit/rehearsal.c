#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "booking.h"
#include "booking_state.h"
#include "booking_waits.h"
#include "bookings.h"
#include "canary.h"
#include "config.h"
#include "db.h"
#include "dead_letters.h"
#include "event_outbox.h"
#include "figures.h"
#include "history.h"
#include "pauses.h"
#include "status_figures.h"
#include "time_limit.h"

#include "unit.h"

/*
 * The rehearsal of install and verify (sql/part-rehearsal.sql) runs the
 * daemons' own statements, on machines that have nothing but psql.  They come
 * from sql/part-statements.sql, which this program prints when it is called
 * with the argument "print" (make statements), and otherwise holds against
 * the statements of this build.
 */

#define STATEMENTS	"sql/part-statements.sql"
#define REHEARSAL	"sql/part-rehearsal.sql"

/* Where lines are broken; one more column is for the quote of a literal. */
#define WIDTH		78

static const struct bookings_sql *const *const lists[] = {
	booking_statements, booking_state_statements, booking_waits_statements,
	history_statements, dead_letters_statements, pauses_statements,
	figures_statements, status_figures_statements, canary_statements,
	time_limit_statements, event_outbox_statements,
};

/* Everything of ${f} up to its end, as a string to be freed. */
static char *
slurp(FILE *f)
{
	char *text = NULL;
	size_t size = 0, len;
	FILE *out = open_memstream(&text, &size);
	char buf[4096];

	assert_non_null(f);
	assert_non_null(out);
	while ((len = fread(buf, 1, sizeof(buf), f)) > 0)
		assert_int_equal(fwrite(buf, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
	(void)fclose(f);
	return (text);
}

/* The length of the name at ${sql} as the sweep has it expanded, or 0. */
static size_t
name_at(const char *sql, const char **name)
{

	*name = "{T}";
	if (strncmp(sql, "\"{S}\".\"{T}\"", 11) == 0)
		return (11);
	*name = "{S}";
	return (strncmp(sql, "\"{S}\"", 5) == 0 ? 5 : 0);
}

/* ${sql} in lines: within a literal it is broken into two. */
static void
print_sql(FILE *f, const char *name, const char *sql)
{
	const char *p, *insert;
	size_t column = 4, next, skip;
	int quoted = 0;

	(void)fprintf(f, "('%s', $statement$\n    ", name);
	for (p = sql; *p != '\0'; p++) {
		if ((skip = name_at(p, &insert)) != 0) {
			(void)fputs(insert, f);
			column += strlen(insert);
			p += skip - 1;
			continue;
		}
		if (*p == '\'')
			quoted = !quoted;
		next = *p == ' ' ? strcspn(p + 1, " ") : 0;
		if (column + 1 + next < WIDTH || next == 0) {
			(void)fputc(*p, f);
			column++;
		} else {
			(void)fputs(quoted ? " '\n    '" : "\n    ", f);
			column = quoted ? 5 : 4;
		}
	}
	(void)fputs("\n$statement$)", f);
}

/* The whole of STATEMENTS. */
static void
print(FILE *f)
{
	const struct config conf = { .schema = "{S}", .table = "{T}" };
	const struct bookings_sql *const *list;
	char *sweep = bookings_sweep_sql(&conf);
	size_t i;

	assert_non_null(sweep);
	(void)fprintf(f, "-- part-statements.sql: the statements of the "
	    "daemons, for the rehearsal.  It is\n"
	    "-- printed from their sources: change those, and run `make "
	    "statements`.\n\n"
	    "SELECT pg_catalog.jsonb_object_agg(name, pg_catalog.replace(text, "
	    "'{H}',\n    $$interval '%d s'$$)) AS followup_statements\n"
	    "FROM (VALUES\n", BOOKINGS_HORIZON);
	print_sql(f, "session", db_session_sql());
	(void)fputs(",\n", f);
	print_sql(f, "sweep", sweep);
	for (i = 0; i < NITEMS(lists); i++) {
		for (list = lists[i]; *list != NULL; list++) {
			(void)fputs(",\n", f);
			print_sql(f, (*list)->name, (*list)->text);
		}
	}
	(void)fputs(") AS statement (name, text)\n\\gset\n", f);
	free(sweep);
}

/* What is rehearsed is what this build runs. */
static void
test_current(void **state)
{
	char *want, *have;
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	print(f);
	rewind(f);
	want = slurp(f);
	have = slurp(fopen(STATEMENTS, "r"));
	if (strcmp(have, want) != 0)
		fail_msg("the statements have changed: run `make statements`");
	free(have);
	free(want);
}

/*
 * How many statements the sources in ${folder} define.  Those of bookings.c
 * are the sweep, and questions that concern no booking.
 */
static size_t
defined_in(const char *folder)
{
	static const char definition[] = "static const struct bookings_sql ";
	struct dirent *entry;
	char path[512], *text, *p;
	DIR *dir = opendir(folder);
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (strstr(entry->d_name, ".c") == NULL ||
		    strcmp(entry->d_name, "bookings.c") == 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", folder,
		    entry->d_name);
		text = slurp(fopen(path, "r"));
		for (p = text; (p = strstr(p, definition)) != NULL; p++)
			n++;
		free(text);
	}
	(void)closedir(dir);
	return (n);
}

/* The statement ${name}, or NULL. */
static const struct bookings_sql *
find(const char *name)
{
	const struct bookings_sql *const *list;
	size_t i;

	for (i = 0; i < NITEMS(lists); i++) {
		for (list = lists[i]; *list != NULL; list++) {
			if (strcmp((*list)->name, name) == 0)
				return (*list);
		}
	}
	return (NULL);
}

/* How many parameters ${sql} has. */
static size_t
parameters(const char *sql)
{
	size_t n, most = 0;

	while ((sql = strchr(sql, '$')) != NULL) {
		n = strtoul(++sql, NULL, 10);
		most = n > most ? n : most;
	}
	return (most);
}

/* Count the steps that are the statement ${sql}; all have its parameters. */
static size_t
rehearsed(const json_t *scenarios, const struct bookings_sql *sql)
{
	const json_t *scenario, *step;
	size_t i, j, n = 0;

	json_array_foreach(scenarios, i, scenario) {
		json_array_foreach(json_array_get(scenario, 1), j, step) {
			if (strcmp(json_string_value(json_array_get(step, 0)),
			    sql->name) != 0)
				continue;
			n++;
			if (json_array_size(json_array_get(step, 1)) !=
			    parameters(sql->text))
				fail_msg("\"%s\" has %zu parameters",
				    sql->name, parameters(sql->text));
		}
	}
	return (n);
}

/* The scenarios of REHEARSAL. */
static json_t *
scenarios_of_rehearsal(void)
{
	char *text = slurp(fopen(REHEARSAL, "r"));
	char *start = strstr(text, "$json$"), *end;
	json_t *scenarios;
	json_error_t error;

	assert_non_null(start);
	start += strlen("$json$");
	end = strstr(start, "$json$");
	assert_non_null(end);
	*end = '\0';
	if ((scenarios = json_loads(start, 0, &error)) == NULL)
		fail_msg("%s, line %d: %s", REHEARSAL, error.line, error.text);
	free(text);
	return (scenarios);
}

/* No statement is left out of the lists, nor out of the rehearsal. */
static void
test_complete(void **state)
{
	const struct bookings_sql *const *list;
	json_t *scenarios = scenarios_of_rehearsal();
	size_t i, listed = 0;

	(void)state;
	for (i = 0; i < NITEMS(lists); i++) {
		for (list = lists[i]; *list != NULL; list++) {
			listed++;
			/* Its name is the key of it. */
			assert_ptr_equal(find((*list)->name), *list);
			if (rehearsed(scenarios, *list) == 0)
				fail_msg("\"%s\" is not rehearsed",
				    (*list)->name);
		}
	}
	assert_int_equal(listed, defined_in("cgi/lib") +
	    defined_in("cgi/schedule") + defined_in("cgi/execute") +
	    defined_in("listener"));
	json_decref(scenarios);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_current),
		cmocka_unit_test(test_complete),
	};

	if (argc > 1 && strcmp(argv[1], "print") == 0) {
		print(stdout);
		return (0);
	}
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
