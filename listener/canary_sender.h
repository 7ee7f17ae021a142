#ifndef CANARY_SENDER_H_
#define CANARY_SENDER_H_

#include <libpq-fe.h>

struct config;
struct notifications;

/*
 * The listener's part in the canary of canary.h: it is sent by the active
 * listener, which asks once per FOLLOWUP_SWEEP_INTERVAL whether one is due,
 * and notes when it hears its NOTIFY.
 *
 * Times are milliseconds of the monotonic clock.
 */
struct canary_sender;

/**
 * canary_sender_new(conf):
 * Return a sender, which begins with canary_sender_listening; NULL when memory
 * is short.
 */
struct canary_sender *canary_sender_new(const struct config *);

/**
 * canary_sender_listening(sender, now):
 * Begin to send: the connection has been listening since ${now}.
 */
void canary_sender_listening(struct canary_sender *, long);

/**
 * canary_sender_heard(sender, id, now):
 * Note that a notification for ${id}, which may be the canary's, was heard.
 */
void canary_sender_heard(struct canary_sender *, const char *, long);

/**
 * canary_sender_step(sender, notifications, now):
 * Send the query that is due, if the connection is free.
 */
void canary_sender_step(struct canary_sender *, struct notifications *, long);

/**
 * canary_sender_result(sender, result, now):
 * Take ${result} (NULL: refused) if this module sent the query that it answers.
 * Return non-zero iff it did.
 */
int canary_sender_result(struct canary_sender *, const PGresult *, long);

/**
 * canary_sender_lost(sender):
 * The connection was lost, and with it any query that had no answer.
 */
void canary_sender_lost(struct canary_sender *);

/**
 * canary_sender_deadline(sender):
 * Return when canary_sender_step should be called at the latest.
 */
long canary_sender_deadline(const struct canary_sender *);

/**
 * canary_sender_free(sender):
 * Free ${sender}; NULL is fine.
 */
void canary_sender_free(struct canary_sender *);

#endif /* !CANARY_SENDER_H_ */
