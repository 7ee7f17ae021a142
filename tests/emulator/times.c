#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "times.h"

/* The years a protobuf Timestamp covers, 0001 to 9999, in seconds. */
#define STAMP_MIN	INT64_C(-62135596800)
#define STAMP_MAX	INT64_C(253402300799)

/* The longest protobuf Duration, 10000 years, in seconds. */
#define SPAN_MAX	INT64_C(315576000000)

/*
 * Read exactly n digits at *p into *value and go behind them.
 */
static int
digits(const char **p, int n, int *value)
{

	for (*value = 0; n > 0; n--, (*p)++) {
		if (!isdigit((unsigned char)**p))
			return (-1);
		*value = *value * 10 + (**p - '0');
	}

	return (0);
}

/*
 * Read the fraction at *p, if there is one, as microseconds.
 */
static int
fraction(const char **p, int64_t *micros)
{
	int64_t unit = TIMES_SECOND / 10;
	int n;

	*micros = 0;
	if (**p != '.')
		return (0);
	for (n = 0, (*p)++; isdigit((unsigned char)**p); n++, (*p)++) {
		*micros += (**p - '0') * unit;
		unit /= 10;
	}

	return (n >= 1 && n <= 9 ? 0 : -1);
}

/*
 * Append the fraction of a second with as few groups of three as hold it.
 */
static void
append_fraction(char *buf, int64_t micros)
{
	size_t len = strlen(buf);

	if (micros == 0)
		return;
	if (micros % 1000 == 0)
		(void)snprintf(buf + len, TIMES_LEN - len, ".%03" PRId64,
		    micros / 1000);
	else
		(void)snprintf(buf + len, TIMES_LEN - len, ".%06" PRId64,
		    micros);
}

/**
 * times_now(void):
 * Return the present point of time of the wall clock.
 */
int64_t
times_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (ts.tv_sec * TIMES_SECOND + ts.tv_nsec / 1000);
}

/**
 * times_parse_stamp(text, stamp):
 * Read an RFC 3339 time such as "2026-11-23T12:00:00.123456+01:00" into
 * ${stamp}; what is finer than a microsecond is cut off.  Return 0, or -1 if
 * ${text} is none.
 */
int
times_parse_stamp(const char *text, int64_t *stamp)
{
	struct tm tm = { 0 }, back;
	int64_t seconds, micros;
	int sign, hours, minutes, offset = 0;
	time_t t;

	if (digits(&text, 4, &tm.tm_year) || *text++ != '-' ||
	    digits(&text, 2, &tm.tm_mon) || *text++ != '-' ||
	    digits(&text, 2, &tm.tm_mday) || *text++ != 'T' ||
	    digits(&text, 2, &tm.tm_hour) || *text++ != ':' ||
	    digits(&text, 2, &tm.tm_min) || *text++ != ':' ||
	    digits(&text, 2, &tm.tm_sec) || fraction(&text, &micros))
		return (-1);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;

	/* timegm makes 1 March of 30 February; an honest date stays itself. */
	back = tm;
	t = timegm(&back);
	if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday ||
	    back.tm_hour != tm.tm_hour || back.tm_min != tm.tm_min ||
	    back.tm_sec != tm.tm_sec)
		return (-1);

	if (*text == '+' || *text == '-') {
		sign = *text++ == '+' ? 1 : -1;
		if (digits(&text, 2, &hours) || *text++ != ':' ||
		    digits(&text, 2, &minutes) || hours > 23 || minutes > 59)
			return (-1);
		offset = sign * (hours * 3600 + minutes * 60);
	} else if (*text++ != 'Z') {
		return (-1);
	}
	if (*text != '\0')
		return (-1);

	seconds = (int64_t)t - offset;
	if (seconds < STAMP_MIN || seconds > STAMP_MAX)
		return (-1);
	*stamp = seconds * TIMES_SECOND + micros;

	return (0);
}

/**
 * times_format_stamp(stamp, buf):
 * Write ${stamp} in UTC with no, three or six digits behind the second, as
 * many as it needs, into the TIMES_LEN bytes at ${buf}; return ${buf}.
 */
char *
times_format_stamp(int64_t stamp, char *buf)
{
	struct tm tm;
	int64_t micros = stamp % TIMES_SECOND;
	time_t t;

	/* The remainder of a point before 1970 is negative. */
	if (micros < 0)
		micros += TIMES_SECOND;
	t = (time_t)((stamp - micros) / TIMES_SECOND);
	gmtime_r(&t, &tm);

	/* strftime would write the year 999 with three digits. */
	(void)snprintf(buf, TIMES_LEN, "%04d-%02d-%02dT%02d:%02d:%02d",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
	    tm.tm_min, tm.tm_sec);
	append_fraction(buf, micros);
	strncat(buf, "Z", TIMES_LEN - strlen(buf) - 1);

	return (buf);
}

/**
 * times_parse_span(text, span):
 * Read a protobuf Duration such as "1.5s" into ${span}.  Return 0 or -1.
 */
int
times_parse_span(const char *text, int64_t *span)
{
	int64_t seconds = 0, micros;
	int negative = 0;

	if (*text == '-') {
		negative = 1;
		text++;
	}
	if (!isdigit((unsigned char)*text))
		return (-1);
	for (; isdigit((unsigned char)*text); text++) {
		seconds = seconds * 10 + (*text - '0');
		if (seconds > SPAN_MAX)
			return (-1);
	}
	if (fraction(&text, &micros) || strcmp(text, "s") != 0)
		return (-1);
	*span = seconds * TIMES_SECOND + micros;
	if (negative)
		*span = -*span;

	return (0);
}

/**
 * times_format_span(span, buf):
 * Write ${span} as a protobuf Duration, like times_format_stamp.
 */
char *
times_format_span(int64_t span, char *buf)
{
	int64_t length = span < 0 ? -span : span;

	(void)snprintf(buf, TIMES_LEN, "%s%" PRId64, span < 0 ? "-" : "",
	    length / TIMES_SECOND);
	append_fraction(buf, length % TIMES_SECOND);
	strncat(buf, "s", TIMES_LEN - strlen(buf) - 1);

	return (buf);
}

/**
 * times_parse_option(text, span):
 * Read what a person writes behind an option into ${span}: a number and one
 * of ms, s, m, h, d, such as "720h" or "1.5s".  Return 0 or -1.
 */
int
times_parse_option(const char *text, int64_t *span)
{
	static const struct {
		const char *name;
		int64_t span;
	} units[] = {
		{ "ms", TIMES_SECOND / 1000 }, { "s", TIMES_SECOND },
		{ "m", 60 * TIMES_SECOND }, { "h", TIMES_HOUR },
		{ "d", 24 * TIMES_HOUR },
	};
	char *end;
	double number;
	size_t i;

	/* strtod would also take "inf", " 1" and "-1". */
	if (!isdigit((unsigned char)*text))
		return (-1);
	number = strtod(text, &end);
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		number *= (double)units[i].span;
		if (!(number <= (double)SPAN_MAX))
			return (-1);
		*span = (int64_t)number;
		return (0);
	}

	return (-1);
}
