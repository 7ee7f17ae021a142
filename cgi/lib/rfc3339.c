#include <ctype.h>
#include <string.h>

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
is_date(const char **s)
{
	int year, month, day;

	if ((year = take(s, 4)) < 1 || !take_char(s, '-') ||
	    (month = take(s, 2)) < 1 || month > 12 || !take_char(s, '-'))
		return (0);
	day = take(s, 2);
	return (day >= 1 && day <= days_in(year, month));
}

/* HH:MM, as of a time or of an offset. */
static int
is_hour_minute(const char **s)
{
	int hour = take(s, 2), minute;

	if (hour < 0 || hour > 23 || !take_char(s, ':'))
		return (0);
	minute = take(s, 2);
	return (minute >= 0 && minute <= 59);
}

/**
 * rfc3339_check(s):
 * Return 0 if ${s} is a date and time as RFC 3339 has them, such as
 * 2026-11-23T11:00:00Z or 2026-11-23T15:00:00.123456+04:00, with a day that
 * its month has; or -1.
 */
int
rfc3339_check(const char *s)
{
	int second;

	if (strlen(s) > RFC3339_MAX || !is_date(&s) || !take_char(&s, 'T') ||
	    !is_hour_minute(&s) || !take_char(&s, ':'))
		return (-1);
	if ((second = take(&s, 2)) < 0 || second > 59)
		return (-1);
	if (take_char(&s, '.')) {
		if (!isdigit((unsigned char)*s))
			return (-1);
		while (isdigit((unsigned char)*s))
			s++;
	}
	if (!take_char(&s, 'Z')) {
		if (!take_char(&s, '+') && !take_char(&s, '-'))
			return (-1);
		if (!is_hour_minute(&s))
			return (-1);
	}
	return (*s == '\0' ? 0 : -1);
}
