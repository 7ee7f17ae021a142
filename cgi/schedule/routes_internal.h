#ifndef ROUTES_INTERNAL_H_
#define ROUTES_INTERNAL_H_

#include <jansson.h>

#include "db.h"
#include "schedule.h"

struct readiness;
struct request;
struct status;

/*
 * What routes.c, which finds the handler of a request, and the handlers know
 * of each other.  Nobody else includes this.
 */

struct routes {
	const struct config *conf;
	struct readiness *readiness;
	struct status *status;
	struct db *db;
	struct bookings *bookings;
	struct cloud_tasks *tasks;
	struct schedule schedule;
};

/**
 * routes_answered(routes, request, outcome):
 * Answer ${request} for the database, if it did not do it.  Return non-zero
 * iff ${outcome} is not DB_OK, and the request answered therefore.
 */
int routes_answered(struct routes *, struct request *, enum db_outcome);

/**
 * routes_is_time(text):
 * Return non-zero iff ${text} is a time as RFC 3339 has it, with an offset that
 * PostgreSQL takes.
 */
int routes_is_time(const char *);

/**
 * routes_has_token(routes, token):
 * Return non-zero iff ${token}, which may be NULL, is the configured token, or
 * no token is configured.
 */
int routes_has_token(const struct routes *, const char *);

/**
 * routes_booking(routes, id, document):
 * Set ${document} to what GET /followups/{id} answers, for the caller to drop,
 * or to NULL if there is no booking ${id}.
 */
enum db_outcome routes_booking(struct routes *, const char *, json_t **);

/**
 * routes_retry_letters(routes, filter, retry):
 * Retry the dead letters that ${filter} names, in steps, as long as a request
 * may take; see dead_letters_retry.
 */
struct dead_letters_retry;
enum db_outcome routes_retry_letters(struct routes *, json_t *,
    struct dead_letters_retry *);

/*
 * The handlers.  The last argument is the id of a booking in lower case, or
 * a scope, or empty where the path has none.
 */

/* POST /webhooks/booking-followup */
void routes_webhook(struct routes *, struct request *, const char *);

/* GET /followups/{id} */
void routes_show(struct routes *, struct request *, const char *);

/* DELETE /followups/{id} */
void routes_cancel(struct routes *, struct request *, const char *);

/* POST /followups/{id}/retry */
void routes_retry(struct routes *, struct request *, const char *);

/* GET /dead-letters?limit=N&before=PLACE */
void routes_dead_letters(struct routes *, struct request *, const char *);

/* POST /dead-letters/retry {"stage","since","until"}, all optional */
void routes_retry_all(struct routes *, struct request *, const char *);

/* GET /pauses */
void routes_pauses(struct routes *, struct request *, const char *);

/* POST /pauses {"scope","reason","until"} */
void routes_pause(struct routes *, struct request *, const char *);

/* DELETE /pauses/{scope} */
void routes_resume(struct routes *, struct request *, const char *);

/* GET /status, the page */
void routes_status(struct routes *, struct request *, const char *);

/* POST /status, a form of the page */
void routes_status_act(struct routes *, struct request *, const char *);

/* GET /status.json */
void routes_status_json(struct routes *, struct request *, const char *);

/* GET /healthz: this process can answer. */
void routes_alive(struct routes *, struct request *, const char *);

/* GET /readyz: what is inserted now becomes a call, or why it does not. */
void routes_ready(struct routes *, struct request *, const char *);

/* GET /metrics: Prometheus' text, or OpenMetrics where it is preferred. */
void routes_metrics(struct routes *, struct request *, const char *);

/* GET /stats?by=tenant&limit=N */
void routes_stats(struct routes *, struct request *, const char *);

#endif /* !ROUTES_INTERNAL_H_ */
