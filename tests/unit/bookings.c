#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bookings.h"
#include "config.h"
#include "troubles.h"
#include "refusals.h"

#include "captured_log.h"
#include "scripted_pq.h"
#include "unit.h"

#define PID	"4711"

static struct config conf;
static struct db *db;
static struct bookings *b;

static int
begin(void **state)
{

	(void)state;
	pq_begin();
	pq.planned = 1;
	captured_log_begin(LOG_DEBUG);
	conf = (struct config){ .schema = "my\"{S}schema",
	    .table = "Table", .postgres_db = "d" };
	assert_non_null(db = db_new(&conf, "test"));
	assert_non_null(b = bookings_new(&conf, db));
	pq_plan(PQ_ROW(PID));
	assert_int_equal(bookings_ready(b), DB_OK);
	pq.sent[0] = '\0';
	return (0);
}

static int
end(void **state)
{

	(void)state;
	bookings_free(b);
	bookings_free(NULL);
	db_free(db);
	captured_log_end();
	pq_end();
	return (0);
}

static const struct bookings_sql one_sql = { "one",
    "SELECT {S}.f({T}), {H} FROM {T}" };
static const struct bookings_sql two_sql = { "two", "SELECT 2" };

/* This installation's names stand in every statement, quoted. */
static void
names(void **state)
{
	struct bookings_call calls[] = { { .sql = &one_sql, .nparams = 1,
	    .params = { "p" } }, { .sql = &two_sql }, { .sql = &one_sql,
	    .nparams = 1, .params = { "p" } } };

	(void)state;
	assert_int_equal(bookings_run(b, calls, 2), DB_OK);
	assert_string_equal(pq.sent, "PREPARE SELECT \"my\"\"{S}schema\".f("
	    "\"my\"\"{S}schema\".\"Table\"), interval '2588400 s' FROM "
	    "\"my\"\"{S}schema\".\"Table\"; EXECUTE s0; "
	    "PREPARE SELECT 2; EXECUTE s1");
	PQclear(calls[0].result);
	PQclear(calls[1].result);

	/* Written once. */
	pq.sent[0] = '\0';
	assert_int_equal(bookings_run(b, &calls[2], 1), DB_OK);
	assert_string_equal(pq.sent, "EXECUTE s0");
	PQclear(calls[2].result);
}

static void
refusals_are_logged(void **state)
{
	struct bookings_call calls[] = { { .sql = &two_sql },
	    { .sql = &one_sql } };

	(void)state;
	pq_plan(pq_refusal("42501", "permission denied"));
	assert_int_equal(bookings_run(b, calls, 2), DB_BROKEN);
	assert_null(calls[0].result);
	assert_int_equal(calls[0].outcome, DB_BROKEN);
	assert_int_equal(calls[1].outcome, DB_OK);
	PQclear(calls[1].result);
	assert_int_equal(logged("the database refused the statement \"two\": "
	    "permission denied (SQLSTATE 42501); is the trigger installed"),
	    1);
	assert_string_equal(bookings_error(b),
	    "permission denied (SQLSTATE 42501)");

	/* That a row is locked is no reason to look into the grants. */
	pq_plan(pq_command());
	pq_plan(pq_refusal("55P03", "locked"));
	assert_int_equal(bookings_run(b, calls, 1), DB_LOCKED);
	assert_false(bookings_timed_out(b));
	pq_plan(pq_refusal("57014", "timeout"));
	assert_int_equal(bookings_run(b, calls, 1), DB_LOCKED);
	assert_true(bookings_timed_out(b));
	assert_int_equal(logged("refused"), 1);
}

/* The workers tell together whose fault a refusal is. */
static void
refusals_are_judged(void **state)
{
	struct refusals *refusals = refusals_new();
	struct bookings_call call = { .sql = &one_sql, .as = "two" },
	    good = { .sql = &two_sql, .booking = "another" };
	char id[32], trouble[256];
	enum db_outcome outcome = DB_OK;
	int i;

	(void)state;
	bookings_share(b, refusals);
	for (i = 0; i < REFUSALS_MANY; i++) {
		(void)snprintf(id, sizeof(id), "booking %d", i);
		call.booking = id;
		if (i == 0)
			pq_plan(pq_command());
		pq_plan(pq_refusal("23514", "no such state"));
		pq.nrefusals = 1;
		assert_int_equal(bookings_trouble(b, trouble,
		    sizeof(trouble)), 0);
		outcome = bookings_run(b, &call, 1);
		if (i < REFUSALS_MANY - 1)
			assert_int_equal(outcome, DB_FAILED);
		pq.nrefusals = 0;
	}
	assert_int_equal(outcome, DB_MANY);
	assert_int_equal(call.outcome, DB_MANY);
	assert_int_equal(bookings_trouble(b, trouble, sizeof(trouble)), 1);
	assert_non_null(strstr(trouble, "\"two\" for one booking as for the "
	    "next: no such state (SQLSTATE 23514)"));
	assert_int_equal(logged("WARNING the database refused the statement "
	    "\"one\": no such state (SQLSTATE 23514) booking_id=booking 3"),
	    1);

	assert_int_equal(bookings_run(b, &good, 1), DB_OK);
	PQclear(good.result);
	assert_int_equal(bookings_trouble(b, trouble, sizeof(trouble)), 0);
	refusals_free(refusals);
	bookings_share(b, NULL);
	assert_int_equal(bookings_trouble(b, trouble, sizeof(trouble)), 0);
}

static void
rows_that_changed(void **state)
{
	struct bookings_call call = { .sql = &two_sql };
	int changed = -1;

	(void)state;
	pq_plan(pq_command());
	pq_plan(PQ_ROW("3"));
	assert_int_equal(bookings_changed(b, &call, &changed), DB_OK);
	assert_int_equal(changed, 3);
	assert_null(call.result);
	assert_int_equal(bookings_changed(b, &call, NULL), DB_OK);
	pq_plan(pq_refusal("22003", "no"));
	changed = 7;
	assert_int_equal(bookings_changed(b, &call, &changed), DB_FAILED);
	assert_int_equal(changed, 7);
	bookings_disconnect(b);
	assert_int_equal(pq.open, 0);
	assert_int_equal(bookings_changed(b, &call, &changed), DB_LOST);
}

static void
statements_are_prepared(void **state)
{
	const struct bookings_sql *const list[] = { &two_sql, NULL };

	(void)state;
	assert_int_equal(bookings_prepare(b, list), DB_OK);
	assert_string_equal(pq.sent, "PREPARE SELECT 2");
	bookings_disconnect(b);
	pq.start_fails = 2;
	assert_int_equal(bookings_prepare(b, list), DB_LOST);
}

/* There is an end to the statements of a handle. */
static void
too_many_statements(void **state)
{
	static struct bookings_sql many[64];
	struct bookings_call call;
	enum db_outcome outcome = DB_OK;
	int i;

	(void)state;
	for (i = 0; i < 64 && outcome == DB_OK; i++) {
		many[i].name = many[i].text = "x";
		call = (struct bookings_call){ .sql = &many[i] };
		outcome = bookings_run(b, &call, 1);
		PQclear(call.result);
		pq.sent[0] = '\0';
		pq.nrefusals = 0;
	}
	assert_int_equal(outcome, DB_LOST);
	assert_int_equal(i, 49);
}

static void
check(void **state)
{
	static const char *const two[] = { "a", "the first", "b",
	    "the second" };
	struct troubles troubles = { .n = 0 };

	(void)state;
	pq_plan(pq_command());
	pq_plan(pq_rows(2, 0, NULL));
	pq_plan(pq_command());
	pq_plan(pq_rows(2, 0, NULL));
	assert_int_equal(bookings_check(b, &troubles), DB_OK);
	assert_int_equal(troubles.n, 0);
	assert_int_equal(pq.nparams, 2);
	assert_string_equal(pq.params[0], "my\"{S}schema");
	assert_string_equal(pq.params[1], "Table");
	pq_plan(pq_rows(2, 2, two));
	pq_plan(PQ_ROW("c", "the third"));
	assert_int_equal(bookings_check(b, &troubles), DB_OK);
	assert_int_equal(troubles.n, 3);
	assert_string_equal(troubles.list[1].code, "b");
	assert_string_equal(troubles.list[1].sentence, "the second");
	assert_string_equal(troubles.list[2].sentence, "the third");

	/* To be refused already here says as much; the rest is told, too. */
	troubles.n = 0;
	pq_plan(pq_refusal("42501", "permission denied"));
	pq_plan(PQ_ROW("c", "the third"));
	assert_int_equal(bookings_check(b, &troubles), DB_OK);
	assert_int_equal(troubles.n, 2);
	assert_string_equal(troubles.list[1].sentence,
	    "permission denied (SQLSTATE 42501): run "
	    "followup-trigger install --grant-to with the role of the "
	    "daemons");
	troubles.n = 0;
	pq.lost_after = 0;
	assert_int_equal(bookings_check(b, &troubles), DB_LOST);
	assert_int_equal(troubles.n, 0);
}

static void
overdue(void **state)
{
	int is_overdue = 0;

	(void)state;
	pq_plan(pq_command());
	pq_plan(PQ_ROW("1"));
	assert_int_equal(bookings_overdue(b, &is_overdue), DB_OK);
	assert_true(is_overdue);
	pq_plan(pq_refusal("42501", "permission denied"));
	assert_int_equal(bookings_overdue(b, &is_overdue), DB_BROKEN);
	assert_false(is_overdue);
}

/* What the listener runs by itself. */
static void
listener(void **state)
{
	char *sql = bookings_sweep_sql(&conf);

	(void)state;
	assert_non_null(strstr(sql, "\"my\"\"{S}schema\".\"Table\" b"));
	assert_non_null(strstr(sql, " + interval '2588400 s'"));
	assert_null(strstr(sql, "{T}"));
	assert_null(strstr(sql, "{H}"));
	free(sql);
	assert_non_null(strstr(bookings_leader_sql(),
	    "pg_try_advisory_lock("));
}

/* Tables of one database have locks of their own. */
static void
keys(void **state)
{
	static const char *const names[][2] = { { "a", "b" }, { "a", "c" },
	    { "c", "b" }, { "ab", "" }, { "", "ab" } };
	struct config other = conf;
	int32_t found[5];
	size_t i, j;

	(void)state;
	for (i = 0; i < 5; i++) {
		other.schema = names[i][0];
		other.table = names[i][1];
		found[i] = bookings_key(&other);
		assert_true(found[i] >= 0);
		assert_int_equal(bookings_key(&other), found[i]);
		for (j = 0; j < i; j++)
			assert_int_not_equal(found[i], found[j]);
	}

	/* followup-trigger status works it out by itself. */
	other.schema = "lad_dev";
	other.table = "lead_bookings";
	assert_int_equal(bookings_key(&other), 83082231);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names),
		TEST(keys),
		TEST(refusals_are_logged),
		TEST(refusals_are_judged),
		TEST(rows_that_changed),
		TEST(statements_are_prepared),
		TEST(too_many_statements),
		TEST(check),
		TEST(overdue),
		TEST(listener),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
