#ifndef ROUTES_H_
#define ROUTES_H_

struct config;
struct google_auth;
struct queues;
struct readiness;
struct refusals;
struct request;
struct status;

/*
 * The local API: which request is answered by what.  One struct routes is
 * the state of one worker.
 */
struct routes;

/**
 * routes_new(conf, auth, queues, readiness, status, refusals):
 * Return the state of a worker, calling Google with ${auth} (NULL for an
 * emulator) through ${queues}, and reporting with ${readiness} and ${status}
 * what does not work; what the database refuses goes to ${refusals}.  NULL when
 * memory is short.
 */
struct routes *routes_new(const struct config *, struct google_auth *,
    struct queues *, struct readiness *, struct status *,
    struct refusals *);

/**
 * routes_handle(routes, request):
 * Answer ${request}.
 */
void routes_handle(struct routes *, struct request *);

/**
 * routes_every_minute(routes):
 * Remove some of the history that is too old: more than a busy minute makes,
 * and no more than fits between two requests.
 */
void routes_every_minute(struct routes *);

/**
 * routes_free(routes):
 * Free ${routes} and its connections; NULL is fine.
 */
void routes_free(struct routes *);

#endif /* !ROUTES_H_ */
