#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rfc3339.h"

#include "unit.h"

static void
test_good(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-23T11:00:00Z", 1795431600000 },
		{ "2026-11-23T15:00:00.123456+04:00", 1795431600123 },
		{ "2026-11-23T11:00:00+00:00", 1795431600000 },
		{ "2026-11-23T11:00:00-00:00", 1795431600000 },
		{ "2026-11-23T11:00:00.000Z", 1795431600000 },
		/* What is finer than a millisecond is cut off, not rounded. */
		{ "2026-11-23T11:00:00.9Z", 1795431600900 },
		{ "2026-11-23T11:00:00.09Z", 1795431600090 },
		{ "2026-11-23T11:00:00.009Z", 1795431600009 },
		{ "2026-11-23T11:00:00.0009Z", 1795431600000 },
		{ "2026-11-23T11:00:00.999999999Z", 1795431600999 },
		/* Offsets, also into the next day and the day before. */
		{ "2026-11-24T10:59:00+23:59", 1795431600000 },
		{ "2026-11-22T11:01:00-23:59", 1795431600000 },
		{ "2026-11-23T16:30:00+05:30", 1795431600000 },
		{ "2027-01-01T00:30:00+01:00", 1798759800000 },
		/* Leap years by all three rules, and the ends of days. */
		{ "2024-02-29T00:00:00Z", 1709164800000 },
		{ "2000-02-29T23:59:59Z", 951868799000 },
		{ "2024-12-31T23:59:59.999Z", 1735689599999 },
		/* Before 1970, where a fraction still counts forwards. */
		{ "1969-12-31T23:59:59.250Z", -750 },
		{ "1969-12-31T23:59:59Z", -1000 },
		{ "1970-01-01T00:00:00+00:01", -60000 },
		/* The ends of what four digits can say. */
		{ "0001-01-01T00:00:00Z", -62135596800000 },
		{ "9999-12-31T23:59:59.999Z", 253402300799999 },
		{ "2038-01-19T03:14:08Z", 2147483648000 },
	};
	int64_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		ms = INT64_MIN;
		ASSERT_ROW(rfc3339_parse(rows[i].text, &ms) == 0,
		    rows[i].text);
		ASSERT_ROW(ms == rows[i].ms, rows[i].text);
	}
}

static void
test_bad(void **state)
{
	static const char *const rows[] = {
		"", "Z", "now", "2026", "2026-11-23", "11:00:00Z",
		/* Parts that are missing. */
		"2026-11-23T", "2026-11-23T11:00Z", "2026-11-23T11:00:00",
		"2026-11-23T11:00:00.123", "2026-11-23T11:00:00.Z",
		"2026-11-23T11:00:00.+01:00", "2026-11-23T11:00:0Z",
		/* Parts that are too long or too short. */
		"26-11-23T11:00:00Z", "02026-11-23T11:00:00Z",
		"2026-1-23T11:00:00Z", "2026-11-3T11:00:00Z",
		"2026-11-23T1:00:00Z", "2026-11-23T11:00:000Z",
		/* Days that there are not. */
		"0000-01-01T00:00:00Z", "2026-00-23T11:00:00Z",
		"2026-13-23T11:00:00Z", "2026-11-00T11:00:00Z",
		"2026-11-31T11:00:00Z", "2026-02-29T11:00:00Z",
		"2100-02-29T11:00:00Z", "1900-02-29T11:00:00Z",
		"2024-02-30T11:00:00Z", "2026-01-32T11:00:00Z",
		/* Times that there are not; a leap second is not kept. */
		"2026-11-23T24:00:00Z", "2026-11-23T11:60:00Z",
		"2026-11-23T11:00:60Z", "2016-12-31T23:59:61Z",
		/* Offsets that there are not. */
		"2026-11-23T11:00:00+", "2026-11-23T11:00:00+04",
		"2026-11-23T11:00:00+0400", "2026-11-23T11:00:00+4:00",
		"2026-11-23T11:00:00+24:00", "2026-11-23T11:00:00+04:60",
		"2026-11-23T11:00:00 +04:00", "2026-11-23T11:00:00+-4:00",
		"2026-11-23T11:00:00Z+00:00", "2026-11-23T11:00:00UTC",
		/* Other separators, signs and digits. */
		"2026-11-23 11:00:00Z", "2026-11-23t11:00:00Z",
		"2026-11-23T11:00:00z", "2026/11/23T11:00:00Z",
		"20261123T110000Z", "2026-11-23T11.00.00Z",
		"2026-11-23T11:00:00,5Z", "-026-11-23T11:00:00Z",
		"+026-11-23T11:00:00Z", "2026-+1-23T11:00:00Z",
		"2026-11-23T 1:00:00Z", "2026-11-23T11:0x:00Z",
		"2026-11-23T11:00:00.1e3Z", "2026-11-23T11:00:00.-5Z",
		"\331\242026-11-23T11:00:00Z",
		/* Something before or behind it. */
		" 2026-11-23T11:00:00Z", "2026-11-23T11:00:00Z ",
		"2026-11-23T11:00:00Z\n", "2026-11-23T11:00:00ZZ",
		"2026-11-23T11:00:00+04:00Z", "2026-11-23T11:00:00+04:000",
	};
	int64_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		ms = 42;
		ASSERT_ROW(rfc3339_parse(rows[i], &ms) == -1, rows[i]);
		ASSERT_ROW(ms == 42, rows[i]);
	}
}

/* A fraction may make a time as long as it is taken, and no longer. */
static void
test_length(void **state)
{
	char text[RFC3339_MAX + 2];
	int64_t ms;

	(void)state;
	memset(text, '5', sizeof(text));
	memcpy(text, "2026-11-23T11:00:00.", 20);
	text[RFC3339_MAX - 1] = 'Z';
	text[RFC3339_MAX] = '\0';
	assert_int_equal(rfc3339_parse(text, &ms), 0);
	assert_int_equal(ms, 1795431600555);
	text[RFC3339_MAX - 1] = '5';
	text[RFC3339_MAX] = 'Z';
	text[RFC3339_MAX + 1] = '\0';
	assert_int_equal(rfc3339_parse(text, &ms), -1);
}

/* Every day of 800 years against the calendar of the C library. */
static void
test_days(void **state)
{
	char text[RFC3339_MAX + 1], name[16];
	struct tm tm;
	time_t t;
	int64_t ms;

	(void)state;
	for (t = -11676096000; t < 13569465600; t += 86400) {
		assert_non_null(gmtime_r(&t, &tm));
		(void)strftime(name, sizeof(name), "%Y-%m-%d", &tm);
		(void)snprintf(text, sizeof(text), "%sT00:00:00Z", name);
		ASSERT_ROW(rfc3339_parse(text, &ms) == 0, text);
		ASSERT_ROW(ms == (int64_t)t * 1000, text);
	}
}

/* The zone of the machine is of no account. */
static void
test_zone(void **state)
{
	int64_t ms;

	(void)state;
	assert_int_equal(setenv("TZ", "America/New_York", 1), 0);
	tzset();
	assert_int_equal(rfc3339_parse("2026-07-23T11:00:00Z", &ms), 0);
	assert_int_equal(ms, 1784804400000);
	assert_int_equal(unsetenv("TZ"), 0);
	tzset();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_zone),
	};

	return (cmocka_run_group_tests_name("rfc3339", tests, NULL, NULL));
}
