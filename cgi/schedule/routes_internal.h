#ifndef ROUTES_INTERNAL_H_
#define ROUTES_INTERNAL_H_

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
