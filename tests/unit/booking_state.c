#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "booking_state.h"
#include "bookings.h"

#include "unit.h"

#define ID	"00000000-0000-4000-8000-00000000000b"
#define ID2	"00000000-0000-4000-8000-00000000000c"
#define TRACE_ID	"4bf92f3577b34da6a3ce929d0e0e4736"
#define ID3	"00000000-0000-4000-8000-00000000000d"

/*
 * What reaches the database: the statement, and its parameters with a bar
 * between them.  tests/sql/statements.c has what the statements do.
 */
static char asked[65536];
static char told[65536];		/* what history is told thereby */
static enum db_outcome outcome;
static const char *answer[3];		/* one column; "-" is SQL's NULL */

/* The statements that the row refuses, and all that were run. */
static const char *refuses;
static char ran[256];

static PGresult *
rows(void)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	char name[] = "column";
	PGresAttDesc attribute = { .name = name };
	char text[256];
	int i;

	assert_int_equal(PQsetResultAttrs(result, 1, &attribute), 1);
	for (i = 0; i < 3 && answer[i] != NULL; i++) {
		(void)snprintf(text, sizeof(text), "%s", answer[i]);
		assert_int_equal(PQsetvalue(result, i, 0, text,
		    strcmp(text, "-") == 0 ? -1 : (int)strlen(text)), 1);
	}
	return (result);
}

/* The row of a refusal: attempts, whether it is dead, seconds. */
static PGresult *
attempts_row(void)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	char name[] = "column", three[] = "3", dead[] = "t", wait[] = "4.5";
	char unknown[] = "f";
	PGresAttDesc attributes[] = { { .name = name }, { .name = name },
	    { .name = name }, { .name = name } };

	assert_int_equal(PQsetResultAttrs(result, 4, attributes), 1);
	assert_int_equal(PQsetvalue(result, 0, 0, three, 1), 1);
	*dead = *answer[0];
	assert_int_equal(PQsetvalue(result, 0, 1, dead, 1), 1);
	assert_int_equal(PQsetvalue(result, 0, 2, wait, 3), 1);
	assert_int_equal(PQsetvalue(result, 0, 3, unknown, 1), 1);
	return (result);
}

/* A body, which is ${answer}, and whether the row ignored that it is begun. */
static int ignores;

static PGresult *
begun_row(void)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	char name[] = "column", text[8];
	PGresAttDesc attributes[] = { { .name = name }, { .name = name } };

	assert_int_equal(PQsetResultAttrs(result, 2, attributes), 1);
	if (answer[0] == NULL)
		return (result);
	(void)snprintf(text, sizeof(text), "%s", answer[0]);
	assert_int_equal(PQsetvalue(result, 0, 0, text,
	    strcmp(text, "-") == 0 ? -1 : (int)strlen(text)), 1);
	text[0] = ignores ? 't' : 'f';
	assert_int_equal(PQsetvalue(result, 0, 1, text, 1), 1);
	return (result);
}

/* Is the parameter ${i} of ${call} for history? */
static int
is_told(const struct bookings_call *call, int i)
{

	if (strncmp(call->sql->name, "scheduled", 9) == 0)
		return (i == 6);
	return (call->params[i] != NULL &&
	    strncmp(call->params[i], "{\"", 2) == 0);
}

enum db_outcome
bookings_run(struct bookings *b, struct bookings_call *calls, size_t n)
{
	size_t len;
	int i;

	assert_null(b);
	assert_int_equal(n, 1);
	len = (size_t)snprintf(asked, sizeof(asked), "%s",
	    calls[0].sql->name);
	told[0] = '\0';
	for (i = 0; i < calls[0].nparams; i++) {
		if (is_told(&calls[0], i)) {
			(void)snprintf(told, sizeof(told), "%s",
			    calls[0].params[i]);
			continue;
		}
		len += (size_t)snprintf(&asked[len], sizeof(asked) - len,
		    "|%s", calls[0].params[i] != NULL ? calls[0].params[i] :
		    "NULL");
	}
	(void)snprintf(&ran[strlen(ran)], sizeof(ran) - strlen(ran), "%s;",
	    calls[0].sql->name);
	if (strstr(refuses, calls[0].sql->name) != NULL) {
		calls[0].outcome = DB_FAILED;
		return (DB_FAILED);
	}
	calls[0].outcome = outcome;
	if (outcome == DB_OK)
		calls[0].result = strcmp(calls[0].sql->name, "refused") == 0 ?
		    attempts_row() :
		    strcmp(calls[0].sql->name, "begun") == 0 ? begun_row() :
		    rows();
	return (outcome);
}

enum db_outcome
bookings_changed(struct bookings *b, struct bookings_call *call, int *changed)
{

	call->result = NULL;
	(void)bookings_run(b, call, 1);
	if (call->outcome == DB_OK && changed != NULL)
		*changed = (int)db_int(call->result, 0, 0);
	PQclear(call->result);
	return (call->outcome);
}

enum db_outcome
bookings_holds(struct bookings *b)
{

	assert_null(b);
	return (DB_OK);
}

enum db_outcome
bookings_ignored(struct bookings *b)
{

	assert_null(b);
	return (DB_FAILED);
}

void
bookings_disconnect(struct bookings *b)
{

	(void)b;
	fail();
}

static struct booking booking;

static int
begin(void **state)
{
	refuses = "";
	ran[0] = '\0';

	(void)state;
	outcome = DB_OK;
	memset(answer, 0, sizeof(answer));
	answer[0] = "1";
	booking = (struct booking){ .id = ID, .tenant_id = "t1",
	    .task_name = "the task", .due = 1795651260000000, .key = "key",
	    .trace = { .id = TRACE_ID } };
	return (0);
}

/*
 * Arrays.
 */

static struct booking list[3] = {
	{ .id = ID, .due = 1795651260000000, .key = "k,1", .read_at = 5,
	    .tenant_id = "t1" },
	{ .id = ID2, .due = -1, .key = "k\\2", .trace = { .id = TRACE_ID } },
	{ .id = ID3, .due = INT64_MAX, .key = "{NULL}", .planned = 7 },
};
static struct booking_task tasks[3] = {
	{ .booking = &list[0], .name = "one", .ms = 7 },
	{ .booking = &list[1], .name = "tw\"o", .adopted = 1, .note = "x" },
	{ .booking = &list[2], .name = "" },
};

static void
expect_changed(int first, int second, int third)
{

	assert_int_equal(tasks[0].changed, first);
	assert_int_equal(tasks[1].changed, second);
	assert_int_equal(tasks[2].changed, third);
	tasks[0].changed = tasks[1].changed = tasks[2].changed = -1;
}

static void
many_are_scheduled(void **state)
{

	(void)state;
	answer[0] = ID3;
	answer[1] = ID;
	assert_int_equal(booking_scheduled(NULL, tasks, 3), DB_OK);
	assert_string_equal(asked, "scheduled|"
	    "{\"" ID "\",\"" ID2 "\",\"" ID3 "\"}|"
	    "{\"one\",\"tw\\\"o\",\"\"}|"
	    "{\"1795651260000000\",\"-1\",\"9223372036854775807\"}|"
	    "{\"k,1\",\"k\\\\2\",\"{NULL}\"}|{\"0\",\"0\",\"7\"}|"
	    "{\"5\",\"0\",\"0\"}");
	expect_changed(1, 0, 1);
	assert_string_equal(told,
	    "{\"{\\\"scheduled\\\",\\\"t1\\\",\\\"\\\",\\\"200\\\",\\\"7\\\","
	    "\\\"due 2026-11-26T00:01:00.000Z\\\",\\\"\\\"}\","
	    "\"{\\\"adopted\\\",\\\"\\\",\\\"\\\",\\\"200\\\",\\\"\\\","
	    "\\\"due 1969-12-31T23:59:59.999Z; x\\\",\\\"" TRACE_ID "\\\"}\","
	    "\"{\\\"scheduled\\\",\\\"\\\",\\\"\\\",\\\"200\\\",\\\"\\\","
	    "\\\"due 294247-01-10T04:00:54.775Z\\\",\\\"\\\"}\"}");

	/* None, and all of them. */
	answer[0] = NULL;
	assert_int_equal(booking_scheduled(NULL, tasks, 3), DB_OK);
	expect_changed(0, 0, 0);
	answer[0] = ID2;
	answer[1] = ID;
	answer[2] = ID3;
	assert_int_equal(booking_scheduled(NULL, tasks, 3), DB_OK);
	expect_changed(1, 1, 1);
}

/* A statement of its own, which waits for the row. */
static void
one_is_scheduled(void **state)
{

	(void)state;
	answer[0] = ID;
	assert_int_equal(booking_scheduled(NULL, tasks, 1), DB_OK);
	assert_string_equal(asked, "scheduled one|{\"" ID "\"}|{\"one\"}|"
	    "{\"1795651260000000\"}|{\"k,1\"}|{\"0\"}|{\"5\"}");
	expect_changed(1, -1, -1);
	answer[0] = ID2;
	assert_int_equal(booking_scheduled(NULL, tasks, 1), DB_OK);
	expect_changed(0, -1, -1);
}

static void
longest_batch(void **state)
{
	struct booking_task many[BOOKING_BATCH];
	int i;

	(void)state;
	for (i = 0; i < BOOKING_BATCH; i++)
		many[i] = tasks[0];
	answer[0] = ID;
	assert_int_equal(booking_scheduled(NULL, many, BOOKING_BATCH), DB_OK);
	for (i = 0; i < BOOKING_BATCH; i++)
		assert_int_equal(many[i].changed, 1);
	assert_true(strlen(asked) > (size_t)BOOKING_BATCH * (UUID_LEN + 30));
}

/*
 * The call.
 */

static const struct booking_answer took = { .http_status = 202, .ms = 31 };

static void
begun(void **state)
{
	char *body;
	int changed;

	(void)state;
	answer[0] = "{}";
	assert_int_equal(booking_begun(NULL, &booking, &body, &changed),
	    DB_OK);
	assert_string_equal(asked, "begun|" ID "|1795651260000000");
	assert_string_equal(told, "{\"attempt\",\"t1\",\"\",\"\",\"\",\"\",\""
	    TRACE_ID "\"}");
	assert_int_equal(changed, 1);
	assert_string_equal(body, "{}");
	free(body);

	/* No body, and no row. */
	answer[0] = "-";
	assert_int_equal(booking_begun(NULL, &booking, &body, &changed),
	    DB_OK);
	assert_int_equal(changed, 1);
	assert_null(body);
	answer[0] = NULL;
	assert_int_equal(booking_begun(NULL, &booking, &body, &changed),
	    DB_OK);
	assert_int_equal(changed, 0);
	assert_null(body);

	/* A row that ignores it is not called. */
	answer[0] = "-";
	ignores = 1;
	assert_int_equal(booking_begun(NULL, &booking, &body, &changed),
	    DB_FAILED);
	assert_int_equal(changed, 0);
	assert_null(body);
	ignores = 0;
	answer[0] = "-1";
	assert_int_equal(booking_executed(NULL, &booking, "i", &took),
	    DB_FAILED);
}

static void
executed(void **state)
{

	(void)state;
	assert_int_equal(booking_executed(NULL, &booking, "id", &took),
	    DB_OK);
	assert_string_equal(asked, "executed|" ID "|id|1795651260000000|key");
	assert_string_equal(told, "{\"executed\",\"t1\",\"\",\"202\",\"31\","
	    "\"\",\"" TRACE_ID "\"}");
	assert_int_equal(booking_executed(NULL, &booking, NULL, &took),
	    DB_OK);
	assert_string_equal(asked,
	    "executed|" ID "|NULL|1795651260000000|key");
	assert_int_equal(booking_name_executed(NULL, ID, "name"), DB_OK);
	assert_string_equal(asked, "name executed|" ID "|name");
}

/*
 * Failures.
 */

static void
failures(void **state)
{
	struct booking_failure failure = { .stage = BOOKING_SCHEDULE,
	    .http_status = 503, .error = "no", .retry_in = 1.2345, .ms = 9 };
	int changed;

	(void)state;
	assert_int_equal(booking_failed_once(NULL, &booking, &failure),
	    DB_OK);
	assert_string_equal(asked, "failed once|" ID "|schedule|t1|1.234|503|"
	    "no|1795651260000000|f");
	assert_string_equal(told, "{\"failed\",\"t1\",\"\",\"503\",\"9\","
	    "\"no\",\"" TRACE_ID "\"}");

	/* It may have been started.  Of numbers the row gets none. */
	failure.unknown = 1;
	failure.error = "bad +49 170 1234567";
	assert_int_equal(booking_failed_once(NULL, &booking, &failure),
	    DB_OK);
	assert_string_equal(asked, "failed once|" ID "|schedule|t1|1.234|503|"
	    "bad ***************|1795651260000000|t");
	assert_string_equal(told, "{\"unknown\",\"t1\",\"\",\"503\",\"9\","
	    "\"bad ***************\",\"" TRACE_ID "\"}");
	failure.error = "no";

	/* Without a time, which is compared as such; nor a tenant. */
	failure.stage = BOOKING_EXECUTE;
	failure.http_status = 0;
	booking.due = BOOKING_NO_TIME;
	booking.tenant_id = NULL;
	assert_int_equal(booking_failed(NULL, &booking, &failure, &changed),
	    DB_OK);
	assert_string_equal(asked,
	    "failed|" ID "|execute|NULL|1.234|0|no|NULL");
	assert_string_equal(told, "{\"dead\",\"\",\"\",\"\",\"9\",\"no\",\""
	    TRACE_ID "\"}");
	assert_int_equal(changed, 1);
	answer[0] = "0";
	assert_int_equal(booking_failed(NULL, &booking, &failure, &changed),
	    DB_OK);
	assert_int_equal(changed, 0);
}

/* What the row refuses is kept without it. */
static void
failures_without_the_row(void **state)
{
	struct booking_failure failure = { .stage = BOOKING_EXECUTE,
	    .http_status = 503, .error = "no", .retry_in = 0 };
	int changed = 0;

	(void)state;
	refuses = "failed once";
	answer[0] = "f";
	assert_int_equal(booking_failed_once(NULL, &booking, &failure),
	    DB_OK);
	assert_string_equal(ran, "failed once;refused;");
	assert_string_equal(asked, "refused|" ID "|execute|t1|0.000|503|no|"
	    "2147483647|true");

	/* A dead letter, and the row failed; or not even that. */
	ran[0] = '\0';
	refuses = "failed";
	answer[0] = "t";
	assert_int_equal(booking_failed(NULL, &booking, &failure, &changed),
	    DB_OK);
	assert_string_equal(ran, "failed;refused;mark failed;");
	assert_int_equal(changed, 1);
	ran[0] = '\0';
	refuses = "failed mark failed";
	assert_int_equal(booking_failed(NULL, &booking, &failure, &changed),
	    DB_OK);
	assert_string_equal(ran, "failed;refused;mark failed;");
	refuses = "failed refused";
	assert_int_equal(booking_failed(NULL, &booking, &failure, &changed),
	    DB_FAILED);
}

static void
attempts_that_the_row_refuses(void **state)
{
	struct booking_refusal refusal = { .stage = BOOKING_SCHEDULE,
	    .error = "no", .max_attempts = 7 };

	(void)state;
	answer[0] = "f";
	assert_int_equal(booking_refused(NULL, &booking, &refusal), DB_OK);
	assert_string_equal(asked, "refused|" ID "|schedule|t1|NULL|0|no|7|"
	    "false");
	assert_int_equal(refusal.attempts, 3);
	assert_int_equal(refusal.given_up, 0);
	assert_true(refusal.retry_in > 4.4 && refusal.retry_in < 4.6);
	answer[0] = "t";
	assert_int_equal(booking_refused(NULL, &booking, &refusal), DB_OK);
	assert_int_equal(refusal.given_up, 1);
	assert_string_equal(asked, "mark failed|" ID);

	assert_int_equal(booking_called(NULL, &booking, "why"), DB_OK);
	assert_string_equal(asked, "called|" ID "|t1|why");
}

/* Whichever statement keeps an error, the number in it is not kept. */
static void
numbers_are_hidden(void **state)
{
	struct booking_failure failure = { .stage = BOOKING_EXECUTE,
	    .error = "bad +49 170 1234567" };
	struct booking_refusal refusal = { .stage = BOOKING_EXECUTE,
	    .error = failure.error, .max_attempts = 7 };

	(void)state;
	answer[0] = "f";
	assert_int_equal(booking_refused(NULL, &booking, &refusal), DB_OK);
	assert_string_equal(asked, "refused|" ID "|execute|t1|NULL|0|"
	    "bad ***************|7|false");
	assert_int_equal(booking_called(NULL, &booking, failure.error),
	    DB_OK);
	assert_string_equal(asked, "called|" ID "|t1|bad ***************");
	assert_null(strstr(told, "1234567"));
	assert_int_equal(booking_spared(NULL, &booking, &failure), DB_OK);
	assert_string_equal(asked, "spared|" ID "|bad ***************|"
	    "1795651260000000|f");
	assert_null(strstr(told, "1234567"));
	assert_int_equal(booking_task_gone(NULL, &booking, failure.error,
	    NULL), DB_OK);
	assert_string_equal(told, "{\"waiting\",\"t1\",\"\",\"\",\"\","
	    "\"bad ***************\",\"" TRACE_ID "\"}");
}

/*
 * The others.
 */

static void
transitions(void **state)
{
	int changed = 0;

	(void)state;
	assert_int_equal(booking_unschedule(NULL, &booking, &changed), DB_OK);
	assert_string_equal(asked, "unschedule|" ID "|the task");
	assert_int_equal(strncmp(told, "{\"superseded\",", 13), 0);
	assert_int_equal(changed, 1);
	assert_int_equal(booking_task_gone(NULL, &booking, NULL,
	    &changed), DB_OK);
	assert_string_equal(asked, "task gone|" ID "|the task");
	assert_int_equal(strncmp(told, "{\"task gone\",", 12), 0);
	assert_int_equal(booking_cancel(NULL, &booking, "ann", &changed),
	    DB_OK);
	assert_string_equal(asked, "cancel|" ID "|ann");
	assert_int_equal(strncmp(told, "{\"cancelled\",\"t1\",\"ann\",",
	    24), 0);
	assert_int_equal(booking_retry(NULL, ID, 0, NULL, &changed), DB_OK);
	assert_string_equal(asked, "retry|" ID "|f|NULL");
	assert_int_equal(booking_obsolete_deleted(NULL, "t", &booking,
	    "deleted"), DB_OK);
	assert_string_equal(asked, "obsolete deleted|t");
	assert_string_equal(told, "{\"task deleted\",\"t1\",\"\",\"\",\"\","
	    "\"deleted\",\"" TRACE_ID "\"}");
	assert_int_equal(booking_obsolete_later(NULL, ID, 2.5), DB_OK);
	assert_string_equal(asked, "obsolete later|" ID "|2.500");
}

/* Whatever the database says reaches the caller, and changes nothing. */
static void
refusals(void **state)
{
	static const enum db_outcome outcomes[] = { DB_LOST, DB_LOCKED,
	    DB_FAILED };
	struct booking_failure failure = { .error = "no" };
	char *body;
	int changed;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(outcomes); i++) {
		outcome = outcomes[i];
		assert_int_equal(booking_scheduled(NULL, tasks, 2), outcome);
		assert_int_equal(booking_scheduled(NULL, tasks, 1), outcome);
		assert_int_equal(booking_begun(NULL, &booking, &body,
		    &changed), outcome);
		assert_null(body);
		assert_int_equal(changed, 0);
		assert_int_equal(booking_executed(NULL, &booking, "i",
		    &took), outcome);
		assert_int_equal(booking_failed(NULL, &booking, &failure,
		    &changed), outcome);
		assert_int_equal(booking_cancel(NULL, &booking, NULL,
		    &changed), outcome);
	}
}

#define TEST(name)	cmocka_unit_test_setup(name, begin)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_are_scheduled),
		TEST(one_is_scheduled),
		TEST(longest_batch),
		TEST(begun),
		TEST(executed),
		TEST(failures),
		TEST(failures_without_the_row),
		TEST(attempts_that_the_row_refuses),
		TEST(numbers_are_hidden),
		TEST(transitions),
		TEST(refusals),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
