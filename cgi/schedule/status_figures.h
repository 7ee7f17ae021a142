#ifndef STATUS_FIGURES_H_
#define STATUS_FIGURES_H_

#include <jansson.h>

#include "db.h"

struct bookings;
struct config;

/*
 * The state of the follow-ups in the database, in figures for people.
 *
 * Nothing here grows with the history: open bookings are found through the
 * partial index, what is closed is never counted, each list has an end, and a
 * statement that takes longer than a second is given up, with those behind
 * it.  Where a count reached its limit, "atLeast" is true beside it.
 */

/**
 * status_figures(bookings, conf, tenant):
 * Return an object with a member for each section that could be read, for the
 * caller to drop; or NULL if the database cannot be asked.  ${tenant}, which
 * may be NULL, restricts ofTenant and the dead letters.
 *
 *   overdue       count, atLeast, waiting (with those that came due within
 *                 the last minute), left (those older than the sweep looks
 *                 back, which are no part of count), oldestSeconds,
 *                 bookings: the 20 oldest with bookingId, tenantId,
 *                 taskStatus, dueAt, timezone and dueThere, the time on the
 *                 clock of that zone; ofTenant: likewise, the oldest of
 *                 the tenant
 *   next          in15Minutes, in60Minutes, atLeast, minutes: an array of 60
 *                 counts, nextAt: the first that is due after now
 *   deadLetters   count, atLeast, causes: stage, httpStatus, error, count,
 *                 tenants, first, last, bookingIds
 *   tenants       the 10 with most trouble: tenantId, overdue, dead
 *   acts          the last 20 acts of operators: at, by, what
 *   installation  database, server, role, settings, triggers, closedUntil,
 *                 canary: isOn, isStale, succeededAt, sentence
 *   types         misspelt types of recent bookings: type, meant, count
 *   missing       sections that are not there, and why
 */
json_t *status_figures(struct bookings *, const struct config *,
    const char *);

/* The statements, for the rehearsal; NULL ends the list. */
struct bookings_sql;
extern const struct bookings_sql *const status_figures_statements[];

#endif /* !STATUS_FIGURES_H_ */
