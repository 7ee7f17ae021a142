#include <stdio.h>
#include <string.h>

#include "refusals.h"

#include "unit.h"

static struct refusals *r;
static long now;

static int
begin(void **state)
{

	(void)state;
	now = 1000000;
	assert_non_null(r = refusals_new());
	return (0);
}

static int
end(void **state)
{

	(void)state;
	refusals_free(r);
	refusals_free(NULL);
	return (0);
}

/* The statement "write" is refused for booking ${n}. */
static enum db_outcome
refuse(int n, enum db_outcome outcome, const char *code)
{
	char booking[16];
	struct refusal refusal = { .booking = booking, .outcome = outcome,
	    .state = code, .error = "it said no" };

	(void)snprintf(booking, sizeof(booking), "booking %d", n);
	return (refusals_judge(r, "write", &refusal, now));
}

static int
is_trouble(void)
{
	char text[256] = "";
	int trouble = refusals_trouble(r, now, text, sizeof(text));

	if (trouble)
		assert_string_equal(text, "the database refuses the "
		    "statement \"write\" for one booking as for the next: it "
		    "said no; followup-trigger verify says what is missing");
	return (trouble);
}

static void
one_row(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 3 * REFUSALS_MANY; i++)
		assert_int_equal(refuse(1, DB_FAILED, "23514"), DB_FAILED);
	assert_false(is_trouble());
}

static void
many_rows(void **state)
{
	int i;

	(void)state;
	for (i = 1; i < REFUSALS_MANY; i++)
		assert_int_equal(refuse(i, DB_FAILED, "23514"), DB_FAILED);
	assert_false(is_trouble());
	assert_int_equal(refuse(i, DB_FAILED, "23514"), DB_MANY);
	assert_int_equal(refuse(1, DB_FAILED, "23514"), DB_MANY);
	assert_true(is_trouble());

	/* One gets through: it is the rows after all. */
	refusals_succeeded(r, "write");
	assert_false(is_trouble());
	assert_int_equal(refuse(1, DB_FAILED, "23514"), DB_FAILED);
	assert_int_equal(refuse(99, DB_FAILED, "23514"), DB_FAILED);
	assert_false(is_trouble());
}

/* Others that get through, or meet something else, break the row. */
static void
many_rows_among_good_ones(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 3 * REFUSALS_MANY; i++) {
		if (i % 3 == 0)
			refusals_succeeded(r, "write");
		assert_int_equal(refuse(i, DB_FAILED, "23514"), DB_FAILED);
	}
	for (i = 0; i < 3 * REFUSALS_MANY; i++)
		assert_int_equal(refuse(100 + i, DB_FAILED, i % 2 == 0 ?
		    "23514" : "22001"), DB_FAILED);

	/* Another statement is another matter. */
	for (i = 0; i < 3 * REFUSALS_MANY; i++) {
		refusals_succeeded(r, "read");
		if (i >= REFUSALS_MANY)
			assert_int_equal(refuse(200 + i, DB_FAILED, "23514"),
			    DB_MANY);
		else
			(void)refuse(200 + i, DB_FAILED, "23514");
	}
}

static void
everybodys_at_once(void **state)
{

	(void)state;
	assert_int_equal(refuse(1, DB_BROKEN, "42501"), DB_BROKEN);
	assert_true(is_trouble());
	assert_int_equal(refuse(1, DB_MANY, "42P01"), DB_MANY);

	/* Until others get through, and this one does not. */
	refusals_succeeded(r, "write");
	assert_false(is_trouble());
	assert_int_equal(refuse(1, DB_MANY, "42P01"), DB_FAILED);
	assert_false(is_trouble());

	/* Since the last time, not once upon a time. */
	assert_int_equal(refuse(1, DB_MANY, "42P01"), DB_MANY);
	assert_true(is_trouble());
}

/* A statement that is about no booking. */
static void
of_no_booking(void **state)
{
	struct refusal refusal = { .outcome = DB_BROKEN, .state = "42501",
	    .error = "it said no" };

	(void)state;
	assert_int_equal(refusals_judge(r, "write", &refusal, now),
	    DB_BROKEN);
	assert_true(is_trouble());
	refusal.outcome = DB_FAILED;
	refusals_succeeded(r, "write");
	assert_int_equal(refusals_judge(r, "write", &refusal, now),
	    DB_FAILED);
	assert_false(is_trouble());
}

static void
forgotten_at_last(void **state)
{

	(void)state;
	(void)refuse(1, DB_BROKEN, "42501");
	now += REFUSALS_AGE_MS - 1;
	assert_true(is_trouble());
	now++;
	assert_false(is_trouble());
}

/* There is an end to what is remembered, and none to what is asked. */
static void
more_than_there_is_room_for(void **state)
{
	struct refusal refusal = { .booking = "b", .outcome = DB_FAILED,
	    .state = "23514", .error = "" };
	char name[32];
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "statement %d", i);
		assert_int_equal(refusals_judge(r, name, &refusal, now),
		    DB_FAILED);
		refusals_succeeded(r, name);
	}
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_row),
		TEST(many_rows),
		TEST(many_rows_among_good_ones),
		TEST(everybodys_at_once),
		TEST(of_no_booking),
		TEST(forgotten_at_last),
		TEST(more_than_there_is_room_for),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
