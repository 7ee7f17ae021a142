#ifndef STATUS_MEMORY_H_
#define STATUS_MEMORY_H_

#include <time.h>

#include <jansson.h>

/*
 * What the programs remember of the last hour (metrics.h), for people.  It
 * needs no database.
 */

/**
 * status_memory(dir, now):
 * Return an object, for the caller to drop, of what the files in ${dir} say at
 * ${now}:
 *
 *   lastHour  inTime, late, notMade; p50Seconds, p99Seconds of how late calls
 *             were, or null; minutes: 60 arrays of those three, oldest first
 *   chain     notify, listener, schedule, task, callback, call: perMinute,
 *             how many bookings got there in a minute of the last five; and
 *             schedule, task, call: count and p99Seconds of what one booking
 *             took there, since the counters began; listener: isLeader; task:
 *             tokenExpiresAt; callback: keysFetchedAt
 */
json_t *status_memory(const char *, time_t);

#endif /* !STATUS_MEMORY_H_ */
