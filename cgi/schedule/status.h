#ifndef STATUS_H_
#define STATUS_H_

#include <jansson.h>

struct bookings;
struct config;
struct readiness;

/*
 * Are follow-ups being called, and if not, why, since when, and what is to be
 * done?  One document answers that for GET /status.json, for the page and for
 * followup-trigger status --check, so that all say the same.
 *
 * What is known comes from readiness.h, from memory and from the database
 * (status_figures.h), in this order: with the database down there are no
 * figures, and the sentence says so.
 */
struct status;

/**
 * status_new(conf, readiness):
 * Return what the workers share: since when the state has been what it is, and
 * whether the database hangs.  To be called before they are forked.  Both
 * arguments must outlive it.  NULL when memory is short.
 */
struct status *status_new(const struct config *, struct readiness *);

/**
 * status_patience(status, now):
 * Return for how many milliseconds from ${now} on, a monotonic time in
 * milliseconds, the database may keep somebody waiting who only wants to look.
 * Those who look while it is known to hang wait less: a worker is busy with
 * each of them.  ${status} may be NULL.
 */
long status_patience(const struct status *, long);

/**
 * status_looked(status, begun, now):
 * Somebody looked from ${begun} until ${now}: note whether the database hangs,
 * which is taken for true for some seconds.
 */
void status_looked(struct status *, long, long);

/**
 * status_look(status, bookings, tenant):
 * Return the document, for the caller to drop; NULL when memory is short.  With
 * ${tenant}, only its dead letters are listed, and its overdue bookings are
 * listed besides; the sentence is about all tenants.
 *
 *   state     "ok", "degraded": some are called late or not at all, or
 *             "stopped": nobody is called
 *   sentence  says it to people
 *   since     when this was seen first, ISO 8601
 *   code      the short and stable name of the reason
 *   command   what to run or to look at first, or null
 *   at        now
 *   waiting   how many bookings are due and have not been called, or null
 *             if that is not known
 *   backlogGoneInSeconds
 *             when those will have been called, at the rate of the last
 *             minutes; null if nobody is called, or that is not known
 *   troubles  all that does not work: code, sentence
 *   breakers  cloudTasks, voiceAgent: "closed", "half-open", "open", "unknown"
 *   pauses    those in force, as GET /pauses has them
 *   program   version, host, workers, limits
 *   late      whether there is a booking that should have been called more than
 *             two minutes ago, where the figures are known
 *   and what the programs remember (status_memory.h), and the figures of
 *   status_figures.h, each overdue booking with its explanation.
 */
json_t *status_look(struct status *, struct bookings *, const char *);

/**
 * status_free(status):
 * Free ${status}; NULL is fine.
 */
void status_free(struct status *);

#endif /* !STATUS_H_ */
