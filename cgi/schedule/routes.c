#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "booking_state.h"
#include "booking_waits.h"
#include "bookings.h"
#include "cloud_tasks.h"
#include "config.h"
#include "history.h"
#include "log.h"
#include "monotime.h"
#include "request.h"
#include "routes_internal.h"
#include "status.h"
#include "uuid.h"

#include "routes.h"

/* How often history_prune is called in a row, which takes milliseconds. */
#define PRUNE_STEPS	10

/**
 * routes_new(conf, auth, queues, readiness, status, refusals):
 * Return the state of a worker, calling Google with ${auth} (NULL for an
 * emulator) through ${queues}, and reporting with ${readiness} and ${status}
 * what does not work; what the database refuses goes to ${refusals}.  NULL when
 * memory is short.
 */
struct routes *
routes_new(const struct config *conf, struct google_auth *auth,
    struct queues *queues, struct readiness *readiness,
    struct status *status, struct refusals *refusals)
{
	struct routes *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return (NULL);
	r->conf = conf;
	r->readiness = readiness;
	r->status = status;
	if ((r->db = db_new(conf, "followup-schedule")) == NULL ||
	    (r->bookings = bookings_new(conf, r->db)) == NULL ||
	    (r->tasks = cloud_tasks_new(conf, auth, queues)) == NULL) {
		routes_free(r);
		return (NULL);
	}
	bookings_share(r->bookings, refusals);
	r->schedule.conf = conf;
	r->schedule.bookings = r->bookings;
	r->schedule.tasks = r->tasks;

	/* The first booking need not wait for the connection and the plans. */
	if (bookings_prepare(r->bookings, booking_statements) != DB_OK ||
	    bookings_prepare(r->bookings, booking_state_schedule) != DB_OK ||
	    bookings_prepare(r->bookings, booking_waits_schedule) != DB_OK)
		log_warning(NULL, "the database is not ready yet: %s; each "
		    "request asks for it again", db_error(r->db));
	return (r);
}

/**
 * routes_answered(routes, request, outcome):
 * Answer ${request} for the database, if it did not do it.  Return non-zero
 * iff ${outcome} is not DB_OK, and the request answered therefore.
 */
int
routes_answered(struct routes *r, struct request *request,
    enum db_outcome outcome)
{

	if (outcome == DB_OK)
		return (0);
	if (outcome == DB_LOCKED)
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1, "%s",
		    bookings_timed_out(r->bookings) ?
		    "the database took longer than " DB_STATEMENT_TIMEOUT :
		    "another worker is busy with this booking");
	else if (outcome != DB_LOST)
		request_unavailable(request, outcome == DB_BROKEN ?
		    PROBLEM_OUT_OF_SERVICE : PROBLEM_UNAVAILABLE, 10,
		    "the database refuses: %s", db_error(r->db));
	else
		request_unavailable(request, PROBLEM_OUT_OF_SERVICE, 1,
		    "the database is not available: %s", db_error(r->db));
	return (1);
}

/*
 * The table of the API.  "{id}" stands for the UUID of a booking, "{scope}"
 * for the rest of the path.  Probes and Prometheus do not have the token, if
 * there is one; a browser has it only where it posts: the page asks for it.
 * A glance is worth waiting for the database no longer than PATIENCE.
 */
static const struct route {
	const char *method;
	const char *path;
	int open;
	int glance;
	void (*handle)(struct routes *, struct request *, const char *);
} table[] = {
	{ "POST", "/webhooks/booking-followup", 0, 0, routes_webhook },
	{ "GET", "/followups/{id}", 0, 1, routes_show },
	{ "DELETE", "/followups/{id}", 0, 0, routes_cancel },
	{ "POST", "/followups/{id}/retry", 0, 0, routes_retry },
	{ "GET", "/dead-letters", 0, 0, routes_dead_letters },
	{ "POST", "/dead-letters/retry", 0, 0, routes_retry_all },
	{ "GET", "/pauses", 0, 1, routes_pauses },
	{ "POST", "/pauses", 0, 0, routes_pause },
	{ "DELETE", "/pauses/{scope}", 0, 0, routes_resume },
	{ "GET", "/status", 1, 1, routes_status },
	{ "POST", "/status", 1, 0, routes_status_act },
	{ "GET", "/status.json", 1, 1, routes_status_json },
	{ "GET", "/healthz", 1, 0, routes_alive },
	{ "GET", "/readyz", 1, 1, routes_ready },
	{ "GET", "/metrics", 1, 1, routes_metrics },
	{ "GET", "/stats", 0, 1, routes_stats },
};

#define NROUTES	(sizeof(table) / sizeof(table[0]))

/*
 * Hold ${path} against ${pattern}; the segment in the place of "{id}", or the
 * rest in that of "{scope}", goes to ${segment}.
 */
static int
match(const char *pattern, const char *path, char *segment, size_t len)
{
	const char *brace = strchr(pattern, '{');
	size_t before, n;

	*segment = '\0';
	if (brace == NULL)
		return (strcmp(pattern, path) == 0);
	before = (size_t)(brace - pattern);
	if (strncmp(pattern, path, before) != 0)
		return (0);
	n = strcspn(path + before, brace[1] == 's' ? "" : "/");
	if (n == 0 || strcmp(strchr(brace, '}') + 1, path + before + n) != 0)
		return (0);

	/* What does not fit is neither; keep enough to see that. */
	(void)snprintf(segment, len, "%.*s", (int)n, path + before);
	return (1);
}

static int
is_method(const struct route *route, const char *method)
{

	return (strcmp(route->method, method) == 0 ||
	    (strcmp(route->method, "GET") == 0 &&
	    strcmp(method, "HEAD") == 0));
}

/**
 * routes_has_token(routes, token):
 * Return non-zero iff ${token}, which may be NULL, is the configured token, or
 * no token is configured.
 */
int
routes_has_token(const struct routes *r, const char *token)
{
	const char *want = r->conf->webhook_token;

	if (want == NULL)
		return (1);
	return (token != NULL && strlen(token) == strlen(want) &&
	    CRYPTO_memcmp(token, want, strlen(want)) == 0);
}

/* Answer what has a path, but not this method. */
static void
refuse_method(struct request *request, const char *allowed)
{
	char allow[64];

	(void)snprintf(allow, sizeof(allow), "Allow: %s", allowed);
	request_problem(request, PROBLEM_METHOD_NOT_ALLOWED, allow,
	    "%.16s is not allowed here; allowed: %s", request->method,
	    allowed);
}

/*
 * Have ${route} answer ${request}, which must not wait for long: the worker is
 * needed for the next one.
 */
static void
glance(struct routes *r, const struct route *route, struct request *request,
    const char *id)
{
	long begun = monotime_ms();

	bookings_limit(r->bookings, status_patience(r->status, begun));
	route->handle(r, request, id);
	bookings_limit(r->bookings, 0);
	status_looked(r->status, begun, monotime_ms());
}

/**
 * routes_handle(routes, request):
 * Answer ${request}.
 */
void
routes_handle(struct routes *r, struct request *request)
{
	char segment[320], id[UUID_LEN] = "", allowed[48] = "";
	const struct route *route, *found = NULL;
	size_t len;

	for (route = table; route < &table[NROUTES]; route++) {
		if (!match(route->path, request->path, segment,
		    sizeof(segment)))
			continue;
		if (is_method(route, request->method)) {
			found = route;
			break;
		}
		len = strlen(allowed);
		(void)snprintf(&allowed[len], sizeof(allowed) - len, "%s%s",
		    len > 0 ? ", " : "", route->method);
	}

	if ((found == NULL || !found->open) &&
	    !routes_has_token(r, request_bearer(request)))
		request_problem(request, PROBLEM_UNAUTHORIZED,
		    "WWW-Authenticate: Bearer", "send the token of "
		    "FOLLOWUP_WEBHOOK_TOKEN as Authorization: Bearer");
	else if (found == NULL && *allowed != '\0')
		refuse_method(request, allowed);
	else if (found == NULL)
		request_problem(request, PROBLEM_NOT_FOUND, NULL,
		    "the local API has no such path");
	else if (found->handle == routes_resume)
		routes_resume(r, request, segment);
	else if (*segment != '\0' && uuid_parse(segment, id) != 0)
		request_problem(request, PROBLEM_NOT_A_UUID, NULL,
		    "\"%.48s\" is not a UUID", segment);
	else if (found->glance)
		glance(r, found, request, id);
	else
		found->handle(r, request, id);
}

/**
 * routes_every_minute(routes):
 * Remove some of the history that is too old: more than a busy minute makes,
 * and no more than fits between two requests.
 */
void
routes_every_minute(struct routes *r)
{
	int more = 1, steps;

	bookings_limit(r->bookings, status_patience(r->status,
	    monotime_ms()));
	for (steps = 0; steps < PRUNE_STEPS && more; steps++) {
		if (bookings_ready(r->bookings) != DB_OK ||
		    history_prune(r->bookings, &more) != DB_OK)
			break;
	}
	bookings_limit(r->bookings, 0);
}

/**
 * routes_free(routes):
 * Free ${routes} and its connections; NULL is fine.
 */
void
routes_free(struct routes *r)
{

	if (r == NULL)
		return;
	cloud_tasks_free(r->tasks);
	bookings_free(r->bookings);
	db_free(r->db);
	free(r);
}
