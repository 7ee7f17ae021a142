#ifndef RETRY_AFTER_H_
#define RETRY_AFTER_H_

#include <time.h>

/* Nobody waits longer than this on somebody else's word, in seconds. */
#define RETRY_AFTER_MAX	3600

/**
 * retry_after_parse(value, now):
 * Return how many seconds the Retry-After header ${value} (RFC 9110, 10.2.3)
 * asks to wait at the time ${now}: a whole number of seconds, or an HTTP
 * date.  From 0 to RETRY_AFTER_MAX; -1 if it is neither.
 */
long retry_after_parse(const char *, time_t);

#endif /* !RETRY_AFTER_H_ */
