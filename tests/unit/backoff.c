#include <limits.h>

#include "backoff.h"

#include "unit.h"

#define DRAWS	20000

/* Draw often, and hold what comes against the bound and an even spread. */
static void
check_spread(int attempt, long base, long cap, long top)
{
	long ms, least = LONG_MAX, most = -1;
	long long sum = 0;
	int i;

	for (i = 0; i < DRAWS; i++) {
		ms = backoff_ms(attempt, base, cap);
		assert_true(ms >= 0 && ms <= top);
		if (ms < least)
			least = ms;
		if (ms > most)
			most = ms;
		sum += ms;
	}

	/* Full jitter: both ends are reached, and the mean is in the middle. */
	assert_true(least <= top / 50);
	assert_true(most >= top - top / 50);
	assert_true(sum / DRAWS >= top / 2 - top / 20);
	assert_true(sum / DRAWS <= top / 2 + top / 20);
}

static void
test_bounds(void **state)
{
	static const struct {
		int attempt;
		long base, cap, top;
	} rows[] = {
		{ 1, 100, 32000, 100 },
		{ 2, 100, 32000, 200 },
		{ 3, 100, 32000, 400 },
		{ 9, 100, 32000, 25600 },
		{ 10, 100, 32000, 32000 },
		{ 11, 100, 32000, 32000 },
		{ 64, 100, 32000, 32000 },
		{ 65, 100, 32000, 32000 },
		{ 1000000, 100, 32000, 32000 },
		{ INT_MAX, 1000, 3600000, 3600000 },
		{ 1, 5000, 1000, 1000 },
		{ 0, 100, 32000, 100 },
		{ -1, 100, 32000, 100 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++)
		check_spread(rows[i].attempt, rows[i].base, rows[i].cap,
		    rows[i].top);
}

static void
test_no_wait(void **state)
{

	(void)state;
	assert_int_equal(backoff_ms(1, 0, 0), 0);
	assert_int_equal(backoff_ms(5, 100, 0), 0);
}

/* Every whole number up to the bound comes up, the bound included. */
static void
test_every_value(void **state)
{
	int i, seen[8] = { 0 };

	(void)state;
	for (i = 0; i < DRAWS; i++)
		seen[backoff_ms(1, 7, 7)]++;
	for (i = 0; i < 8; i++)
		assert_in_range(seen[i], DRAWS / 16, DRAWS / 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_no_wait),
		cmocka_unit_test(test_every_value),
	};

	return (cmocka_run_group_tests_name("backoff", tests, NULL, NULL));
}
