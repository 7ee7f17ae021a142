#include <ctype.h>
#include <string.h>

#include <curl/curl.h>

#include "retry_after.h"

/*
 * An HTTP date (RFC 9110, 5.6.7) begins with the name of a day and ends in
 * GMT, or, in its oldest form, in the year; curl would take more.
 */
static int
is_http_date(const char *s)
{
	static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri",
	    "Sat", "Sun" };
	size_t len = strlen(s), i;

	if (len < 24 || len > 40)
		return (0);
	if (strcmp(&s[len - 4], " GMT") != 0 &&
	    (s[len - 5] != ' ' || strspn(&s[len - 4], "0123456789") != 4))
		return (0);
	for (i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		if (strncmp(s, days[i], 3) == 0)
			return (1);
	}
	return (0);
}

/**
 * retry_after_parse(value, now):
 * Return how many seconds the Retry-After header ${value} (RFC 9110, 10.2.3)
 * asks to wait at the time ${now}: a whole number of seconds, or an HTTP
 * date.  From 0 to RETRY_AFTER_MAX; -1 if it is neither.
 */
long
retry_after_parse(const char *value, time_t now)
{
	const char *p;
	long n = 0;
	time_t at;

	/* delay-seconds = 1*DIGIT, of any length. */
	if (isdigit((unsigned char)*value)) {
		for (p = value; isdigit((unsigned char)*p); p++) {
			n = n * 10 + (*p - '0');
			if (n > RETRY_AFTER_MAX)
				n = RETRY_AFTER_MAX;
		}
		return (*p == '\0' ? n : -1);
	}

	if (!is_http_date(value))
		return (-1);
	if ((at = curl_getdate(value, NULL)) == (time_t)-1)
		return (-1);
	if (at <= now)
		return (0);
	return (at - now > RETRY_AFTER_MAX ? RETRY_AFTER_MAX :
	    (long)(at - now));
}
