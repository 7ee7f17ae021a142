#include <ctype.h>

#include "fuzz.h"
#include "rfc3339.h"
#include "times.h"

/*
 * Times: ours and the emulator's way to read RFC 3339, which must agree with
 * each other and with a third opinion; the emulator's durations, which come
 * back as they were written.
 */

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z, less or plus a day. */
#define MIN_MS	(INT64_C(-62135596800000) - 86400000)
#define MAX_MS	(INT64_C(253402300799999) + 86400000)

/* Days since 1970 of a day of the Gregorian calendar; month from 1. */
static int64_t
days_since_1970(int64_t year, int month, int day)
{

	/* Years begin in March, so that the leap day is their last one. */
	if (month <= 2) {
		year--;
		month += 12;
	}
	return (365 * year + year / 4 - year / 100 + year / 400 +
	    (153 * (month - 3) + 2) / 5 + day - 1 - 719468);
}

/* Do the characters have the form: 0 for a digit, others for themselves? */
static int
has_form(const char *text, const char *form)
{

	for (; *form != '\0'; text++, form++) {
		if (*form == '0' ? !isdigit((unsigned char)*text) :
		    *text != *form)
			return (0);
	}
	return (1);
}

static int
number(const char *text, int digits)
{
	int n = 0;

	while (digits-- > 0)
		n = n * 10 + (*text++ - '0');
	return (n);
}

static int
month_days(int year, int month)
{

	return ((int)(days_since_1970(month == 12 ? year + 1 : year,
	    month == 12 ? 1 : month + 1, 1) - days_since_1970(year, month,
	    1)));
}

/*
 * A second opinion: set the milliseconds, and how many digits the fraction
 * has, and return 0; or return -1 for what is no time.
 */
static int
judge(const char *text, int64_t *ms, size_t *fraction)
{
	int year, month, day, hour, minute, second, i, milli = 0, shift = 0;

	if (!has_form(text, "0000-00-00T00:00:00"))
		return (-1);
	year = number(text, 4);
	month = number(text + 5, 2);
	day = number(text + 8, 2);
	hour = number(text + 11, 2);
	minute = number(text + 14, 2);
	second = number(text + 17, 2);
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
	    day > month_days(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return (-1);

	text += 19;
	*fraction = 0;
	if (*text == '.') {
		*fraction = strspn(++text, "0123456789");
		if (*fraction == 0)
			return (-1);
		for (i = 0; i < 3; i++)
			milli = milli * 10 + ((size_t)i < *fraction ?
			    text[i] - '0' : 0);
		text += *fraction;
	}
	if (has_form(text, "+00:00") || has_form(text, "-00:00")) {
		if (number(text + 1, 2) > 23 || number(text + 4, 2) > 59)
			return (-1);
		shift = number(text + 1, 2) * 60 + number(text + 4, 2);
		shift = *text == '+' ? shift : -shift;
		text += 6;
	} else if (*text++ != 'Z')
		return (-1);
	if (*text != '\0')
		return (-1);

	*ms = (((days_since_1970(year, month, day) * 24 + hour) * 60 + minute -
	    shift) * 60 + second) * 1000 + milli;
	return (0);
}

static void
check_stamp(const char *text)
{
	int64_t ms, want, micros, again;
	char buf[TIMES_LEN];
	size_t fraction;
	int good;

	good = judge(text, &want, &fraction) == 0 &&
	    strlen(text) <= RFC3339_MAX;
	FUZZ_REQUIRE((rfc3339_parse(text, &ms) == 0) == good);
	if (good)
		FUZZ_REQUIRE(ms == want && ms >= MIN_MS && ms <= MAX_MS);

	/* A protobuf Timestamp ends with its years and with nanoseconds. */
	if (times_parse_stamp(text, &micros) == 0) {
		FUZZ_REQUIRE(strncmp(text, "0000", 4) == 0 || good);
		if (good)
			FUZZ_REQUIRE((micros - (micros % 1000 + 1000) % 1000) /
			    1000 == want);

		/* It is the same time when it has been written. */
		FUZZ_REQUIRE(times_parse_stamp(times_format_stamp(micros,
		    buf), &again) == 0 && again == micros);
	} else if (good)
		FUZZ_REQUIRE(fraction > 9 || want < MIN_MS + 86400000 ||
		    want > MAX_MS - 86400000);
}

static void
check_span(const char *text)
{
	int64_t span, again;
	char buf[TIMES_LEN];

	if (times_parse_span(text, &span) == 0) {
		FUZZ_REQUIRE(times_parse_span(times_format_span(span, buf),
		    &again) == 0 && again == span);
		FUZZ_REQUIRE(text[strlen(text) - 1] == 's');
	}
	if (times_parse_option(text, &span) == 0)
		FUZZ_REQUIRE(span >= 0 && isdigit((unsigned char)*text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_text(data, len);

	check_stamp(text);
	check_span(text);
	free(text);
	return (0);
}
