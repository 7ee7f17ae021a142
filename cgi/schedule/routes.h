#ifndef ROUTES_H_
#define ROUTES_H_

struct breaker;
struct config;
struct google_auth;
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
 * routes_new(conf, auth, breaker, readiness, status, refusals):
 * Return the state of a worker, calling Google with ${auth} (NULL for an
 * emulator) through ${breaker}, and saying with ${readiness} and ${status}
 * what is not able; what the database refuses goes to ${refusals}.
 * NULL when memory is short.
 */
struct routes *routes_new(const struct config *, struct google_auth *,
    struct breaker *, struct readiness *, struct status *,
    struct refusals *);

/**
 * routes_handle(routes, request):
 * Answer ${request}.
 */
void routes_handle(struct routes *, struct request *);

/**
 * routes_free(routes):
 * Free ${routes} and its connections; NULL is fine.
 */
void routes_free(struct routes *);

#endif /* !ROUTES_H_ */
