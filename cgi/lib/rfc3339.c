#include <ctype.h>
#include <string.h>
#include <time.h>

#include "rfc3339.h"

/* Take ${n} digits off ${s} as a number; -1 if they are not there. */
static int
take(const char **s, int n)
{
	int value = 0;

	for (; n > 0; n--, (*s)++) {
		if (!isdigit((unsigned char)**s))
			return (-1);
		value = value * 10 + (**s - '0');
	}
	return (value);
}

/* Take the character ${c} off ${s}; 0 if it is not there. */
static int
take_char(const char **s, char c)
{

	if (**s != c)
		return (0);
	(*s)++;
	return (1);
}

static int
days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
	    30, 31 };
	int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return (days[month - 1] + (month == 2 && leap));
}

static int
take_date(const char **s, struct tm *tm)
{
	int year, month, day;

	if ((year = take(s, 4)) < 1 || !take_char(s, '-') ||
	    (month = take(s, 2)) < 1 || month > 12 || !take_char(s, '-'))
		return (-1);
	day = take(s, 2);
	if (day < 1 || day > days_in(year, month))
		return (-1);
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return (0);
}

/* HH:MM, as of a time or of an offset. */
static int
take_hour_minute(const char **s, int *hour, int *minute)
{

	if ((*hour = take(s, 2)) < 0 || *hour > 23 || !take_char(s, ':'))
		return (-1);
	return ((*minute = take(s, 2)) < 0 || *minute > 59 ? -1 : 0);
}

/* The digits behind the point, as milliseconds. */
static int
take_fraction(const char **s, int *ms)
{
	int scale = 100;

	if (!isdigit((unsigned char)**s))
		return (-1);
	for (; isdigit((unsigned char)**s); (*s)++, scale /= 10)
		*ms += (**s - '0') * scale;
	return (0);
}

/**
 * rfc3339_parse(s, ms):
 * If ${s} is a date and time as RFC 3339 has them, such as
 * 2026-11-23T11:00:00Z or 2026-11-23T15:00:00.123456+04:00, with a day that
 * its month has, set ${ms} to the milliseconds since 1970 (what is finer is
 * cut off) and return 0; otherwise return -1.
 */
int
rfc3339_parse(const char *s, int64_t *ms)
{
	struct tm tm = { .tm_isdst = 0 };
	int fraction = 0, offset = 0, sign = 0;

	if (strlen(s) > RFC3339_MAX || take_date(&s, &tm) != 0 ||
	    !take_char(&s, 'T') ||
	    take_hour_minute(&s, &tm.tm_hour, &tm.tm_min) != 0 ||
	    !take_char(&s, ':') || (tm.tm_sec = take(&s, 2)) < 0 ||
	    tm.tm_sec > 59)
		return (-1);
	if (take_char(&s, '.') && take_fraction(&s, &fraction) != 0)
		return (-1);
	if (!take_char(&s, 'Z')) {
		int hours, minutes;

		sign = take_char(&s, '+') ? 1 : take_char(&s, '-') ? -1 : 0;
		if (sign == 0 || take_hour_minute(&s, &hours, &minutes) != 0)
			return (-1);
		offset = sign * (hours * 60 + minutes) * 60;
	}
	if (*s != '\0')
		return (-1);
	*ms = ((int64_t)timegm(&tm) - offset) * 1000 + fraction;
	return (0);
}
