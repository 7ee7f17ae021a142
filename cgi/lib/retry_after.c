#include <ctype.h>
#include <string.h>

#include <curl/curl.h>

#include "retry_after.h"

/*
 * Does the text have this form?  In it 'a' stands for a letter, '0' for a
 * digit, '_' for a digit or a blank, anything else for itself.
 */
static int
has_form(const char *s, const char *form)
{

	for (; *form != '\0'; s++, form++) {
		if (*form == 'a' ? !isalpha((unsigned char)*s) :
		    *form == '0' ? !isdigit((unsigned char)*s) :
		    *form == '_' ? *s != ' ' && !isdigit((unsigned char)*s) :
		    *s != *form)
			return (0);
	}
	return (*s == '\0');
}

/*
 * An HTTP date (RFC 9110, 5.6.7) has one of three forms; curl, which knows
 * the names in them, would take more.
 */
static int
is_http_date(const char *s)
{
	static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri",
	    "Sat", "Sun" };
	const char *comma = strchr(s, ',');
	size_t i;

	for (i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		if (strncmp(s, days[i], 3) == 0)
			break;
	}
	if (i == sizeof(days) / sizeof(days[0]))
		return (0);
	return (has_form(s, "aaa, 00 aaa 0000 00:00:00 GMT") ||
	    has_form(s, "aaa aaa _0 00:00:00 0000") ||
	    (comma != NULL && strcspn(s, "0123456789") > strlen("Monday") &&
	    has_form(comma, ", 00-aaa-00 00:00:00 GMT")));
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
