#include "retry_after.h"

#include "unit.h"

/* Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110. */
#define THEN	784111777

static const struct {
	const char *value;
	time_t now;
	long want;
} values[] = {
	/* Seconds. */
	{ "0", THEN, 0 },
	{ "1", THEN, 1 },
	{ "120", THEN, 120 },
	{ "007", THEN, 7 },
	{ "3600", THEN, RETRY_AFTER_MAX },
	{ "3601", THEN, RETRY_AFTER_MAX },
	{ "2147483648", THEN, RETRY_AFTER_MAX },
	{ "9223372036854775808", THEN, RETRY_AFTER_MAX },
	{ "99999999999999999999999999999999999999999", THEN, RETRY_AFTER_MAX },

	/* The three forms of a date: ahead, now, and past. */
	{ "Sun, 06 Nov 1994 08:49:37 GMT", THEN - 90, 90 },
	{ "Sun, 06 Nov 1994 08:49:37 GMT", THEN, 0 },
	{ "Sun, 06 Nov 1994 08:49:37 GMT", THEN + 1, 0 },
	{ "Sun, 06 Nov 1994 08:49:37 GMT", THEN - 3600, RETRY_AFTER_MAX },
	{ "Sun, 06 Nov 1994 08:49:37 GMT", THEN - 3601, RETRY_AFTER_MAX },
	{ "Sun, 06 Nov 1994 08:49:37 GMT", 0, RETRY_AFTER_MAX },
	{ "Sunday, 06-Nov-94 08:49:37 GMT", THEN - 90, 90 },
	{ "Sunday, 06-Nov-94 08:49:37 GMT", THEN + 90, 0 },
	{ "Sun Nov  6 08:49:37 1994", THEN - 90, 90 },
	{ "Sun Nov  6 08:49:37 1994", THEN + 90, 0 },
	{ "Fri, 31 Dec 9999 23:59:59 GMT", THEN, RETRY_AFTER_MAX },

	/* Neither. */
	{ "", THEN, -1 },
	{ " ", THEN, -1 },
	{ "-1", THEN, -1 },
	{ "+5", THEN, -1 },
	{ "1.5", THEN, -1 },
	{ "1e3", THEN, -1 },
	{ "0x10", THEN, -1 },
	{ "120 s", THEN, -1 },
	{ "120,120", THEN, -1 },
	{ "12:00:00", THEN, -1 },
	{ "soon", THEN, -1 },
	{ "soon: after lunch", THEN, -1 },
	{ "Sun, 06 Nov 1994", THEN, -1 },
	{ "Sun, 46 Nov 1994 08:49:37 GMT", THEN, -1 },
	{ "Sun, 06 Foo 1994 08:49:37 GMT", THEN, -1 },
	{ "Jan 1 2030 00:00:00 PST", THEN, -1 },
	{ "Sun, 06 Nov 1994 08:49:37 +0200", THEN, -1 },
	{ "2026-11-23T11:00:00Z", THEN, -1 },
	{ "\xff\xff", THEN, -1 },
};

static void
test_parse(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(values); i++)
		ASSERT_ROW(retry_after_parse(values[i].value,
		    values[i].now) == values[i].want, values[i].value);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
	};

	return (cmocka_run_group_tests_name("retry_after", tests, NULL,
	    NULL));
}
