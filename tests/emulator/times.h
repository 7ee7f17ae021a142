#ifndef TIMES_H_
#define TIMES_H_

#include <stdint.h>

/*
 * Points and spans of time as the Cloud Tasks API writes them.  In the
 * program both are microseconds in an int64_t: a point counts from
 * 1970-01-01T00:00:00Z, as finely as the service keeps it.
 */

#define TIMES_SECOND	INT64_C(1000000)
#define TIMES_HOUR	(3600 * TIMES_SECOND)

/* Room for what times_format_stamp and times_format_span write. */
#define TIMES_LEN	40

/**
 * times_now(void):
 * Return the present point of time of the wall clock.
 */
int64_t times_now(void);

/**
 * times_parse_stamp(text, stamp):
 * Read an RFC 3339 time such as "2026-11-23T12:00:00.123456+01:00" into
 * ${stamp}; what is finer than a microsecond is cut off.  Return 0, or -1 if
 * ${text} is none.
 */
int times_parse_stamp(const char *, int64_t *);

/**
 * times_format_stamp(stamp, buf):
 * Write ${stamp} in UTC with no, three or six digits behind the second, as
 * many as it needs, into the TIMES_LEN bytes at ${buf}; return ${buf}.
 */
char *times_format_stamp(int64_t, char *);

/**
 * times_parse_span(text, span):
 * Read a protobuf Duration such as "1.5s" into ${span}.  Return 0 or -1.
 */
int times_parse_span(const char *, int64_t *);

/**
 * times_format_span(span, buf):
 * Write ${span} as a protobuf Duration, like times_format_stamp.
 */
char *times_format_span(int64_t, char *);

/**
 * times_parse_option(text, span):
 * Read what a person writes behind an option into ${span}: a number and one
 * of ms, s, m, h, d, such as "720h" or "1.5s".  Return 0 or -1.
 */
int times_parse_option(const char *, int64_t *);

#endif /* !TIMES_H_ */
