#ifndef RFC3339_H_
#define RFC3339_H_

#include <stdint.h>

/* The longest time that is taken, without its NUL. */
#define RFC3339_MAX	40

/**
 * rfc3339_parse(s, ms):
 * If ${s} is a date and time as RFC 3339 has them, such as
 * 2026-11-23T11:00:00Z or 2026-11-23T15:00:00.123456+04:00, with a day that
 * its month has, set ${ms} to the milliseconds since 1970 (what is finer is
 * cut off) and return 0; otherwise return -1.
 */
int rfc3339_parse(const char *, int64_t *);

#endif /* !RFC3339_H_ */
