#include <ctype.h>
#include <string.h>

#include <curl/curl.h>

#include "retry_after.h"

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

	/* An HTTP date begins with the name of a day and ends in GMT. */
	if (!isalpha((unsigned char)*value) || strchr(value, ':') == NULL)
		return (-1);
	if ((at = curl_getdate(value, NULL)) == (time_t)-1)
		return (-1);
	if (at <= now)
		return (0);
	return (at - now > RETRY_AFTER_MAX ? RETRY_AFTER_MAX :
	    (long)(at - now));
}
