#ifndef EVENT_DELIVERY_H_
#define EVENT_DELIVERY_H_

#include <stddef.h>

#include "event_outbox.h"

struct config;

/*
 * The delivery of events to FOLLOWUP_EVENTS_URL, as Standard Webhooks has it
 * (standardwebhooks.com): a POST of {"type", "timestamp", "data"}, with the
 * headers webhook-id, webhook-timestamp and webhook-signature.  Redirects are
 * not followed; an answer that takes longer than ten seconds counts as a
 * failure.
 */
struct event_delivery;

/**
 * event_delivery_check(conf):
 * Return NULL if the configuration of events is good, or a static sentence on
 * what is not.
 */
const char *event_delivery_check(const struct config *);

/**
 * event_delivery_new(conf):
 * Return a client; NULL when memory is short.  ${conf}, which has an events_url
 * and was checked, must outlive it.
 */
struct event_delivery *event_delivery_new(const struct config *);

/* The outcome of one attempt. */
struct event_answer {
	enum event_outcome outcome;	/* delivered, or to be tried again */
	int is_gone;			/* 410: the receiver wants no more */
	long wait;			/* seconds that it asked to be left
					   alone, or 0 */
	char error[200];		/* for people, without the URL */
};

/**
 * event_delivery_send(delivery, event, answer):
 * Send ${event} once.
 */
void event_delivery_send(struct event_delivery *, const struct event *,
    struct event_answer *);

/**
 * event_delivery_free(delivery):
 * Free ${delivery}; NULL is fine.
 */
void event_delivery_free(struct event_delivery *);

#endif /* !EVENT_DELIVERY_H_ */
