#ifndef CALLBACK_H_
#define CALLBACK_H_

struct breaker;
struct config;
struct request;
struct refusals;
struct shared_document;
struct verdicts;

/*
 * The public endpoint: POST .../bookings/{id}/execute-followup, from Cloud
 * Tasks.  One struct callback is the state of one worker.
 */
struct callback;

/**
 * callback_new(conf, keys, verdicts, refusals, breaker):
 * Return the state of a worker, with the shared ${keys} of jwks_shared, which
 * notes in ${verdicts} (or NULL) whom it lets in, has the ${refusals} of the
 * database that all workers share, and calls the voice agent through
 * ${breaker}; NULL when memory is short.
 */
struct callback *callback_new(const struct config *, struct shared_document *,
    struct verdicts *, struct refusals *, struct breaker *);

/**
 * callback_handle(callback, request):
 * Answer ${request}.
 */
void callback_handle(struct callback *, struct request *);

/**
 * callback_free(callback):
 * Free ${callback} and its connections; NULL is fine.
 */
void callback_free(struct callback *);

#endif /* !CALLBACK_H_ */
