#ifndef EVENTS_H_
#define EVENTS_H_

#include <jansson.h>

/*
 * The parts of the status (status.h) whose beginning and end are events.
 *
 *   breaker      opened, closed: cloud_tasks and voice_agent, of a host
 *   listener     lost, back
 *   overdue      began, ended
 *   readiness    stopped, back: nobody is called, for another reason than a
 *                breaker or the listener, of a host
 *   dead_letter  first: of a cause, which is the stage, the HTTP status and
 *                the error without what differs from booking to booking
 *
 * Every event carries a sentence and what to do, and no name or number of a
 * lead.  A condition that only one look has found causes no event, except an
 * open breaker.
 */
struct events;

/**
 * events_new(host):
 * Return a memory of what was seen on ${host}, which must outlive it; NULL when
 * memory is short.
 */
struct events *events_new(const char *);

/**
 * events_see(events, document, complete):
 * Return what ${document} of status_look shows, as event_outbox_seen takes it,
 * for the caller to drop; NULL when memory is short.  ${complete} is set to the
 * third argument of that function.
 */
json_t *events_see(struct events *, const json_t *, const char **);

/**
 * events_told(events, told):
 * Note that the events ${told}, which event_outbox_seen returned, were written.
 * The next event about the same says how often it began and ended since then.
 */
void events_told(struct events *, const json_t *);

/**
 * events_free(events):
 * Free ${events}; NULL is fine.
 */
void events_free(struct events *);

#endif /* !EVENTS_H_ */
