#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "booking.h"
#include "breaker.h"
#include "cloud_tasks.h"
#include "config.h"
#include "db.h"
#include "explain.h"
#include "log.h"
#include "monotime.h"
#include "request.h"
#include "rfc3339.h"
#include "schedule.h"
#include "uuid.h"

#include "routes.h"

/* Dead letters a page: if not said, and at most. */
#define PAGE_DEFAULT	50
#define PAGE_MAX	500

struct routes {
	const struct config *conf;
	struct breaker *breaker;
	struct db *db;
	struct bookings *bookings;
	struct cloud_tasks *tasks;
	struct schedule *schedule;
};

/**
 * routes_new(conf, auth, breaker):
 * Return the state of a worker, calling Google with ${auth} (NULL for an
 * emulator) through ${breaker}; NULL when memory is short.
 */
struct routes *
routes_new(const struct config *conf, struct google_auth *auth,
    struct breaker *breaker)
{
	struct routes *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return (NULL);
	r->conf = conf;
	r->breaker = breaker;
	if ((r->db = db_new(conf, "followup-schedule")) == NULL ||
	    (r->bookings = bookings_new(conf, r->db)) == NULL ||
	    (r->tasks = cloud_tasks_new(conf, auth, breaker)) == NULL ||
	    (r->schedule = schedule_new(conf, r->db, r->bookings,
	    r->tasks)) == NULL) {
		routes_free(r);
		return (NULL);
	}

	if (bookings_warm_up(r->bookings) != DB_OK)
		log_warning(NULL, "the database is not ready yet: %s",
		    db_error(r->db));
	return (r);
}

/* Answer for the database if it did not do it. */
static int
is_answered(struct routes *r, struct request *request,
    enum db_outcome outcome)
{

	if (outcome == DB_OK)
		return (0);
	if (outcome == DB_LOCKED)
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "another worker is busy with this booking");
	else
		request_unavailable(request, PROBLEM_OUT_OF_SERVICE, 1,
		    "the database is not available: %s", db_error(r->db));
	return (1);
}

/* Texts of the payload; whatever else it has is not looked at. */
static int
check_payload(struct request *request, const json_t *payload)
{
	static const char *const texts[] = { "tenant_id", "lead_id",
	    "assigned_user_id", "scheduled_at", "timezone", "booking_type",
	    "created_at", "schema" };
	const json_t *value;
	size_t i;

	if (!json_is_string(json_object_get(payload, "booking_id"))) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "booking_id must be a string, the UUID of a booking");
		return (-1);
	}
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		value = json_object_get(payload, texts[i]);
		if (value == NULL || json_is_null(value) ||
		    json_is_string(value))
			continue;
		request_problem(request, PROBLEM_INVALID, NULL,
		    "%s must be a string or null", texts[i]);
		return (-1);
	}
	return (0);
}

static json_t *
nothing(int success, const char *id, const char *reason)
{

	return (json_pack("{s:b, s:b, s:s, s:s}", "success", success,
	    "scheduled", 0, "bookingId", id, "reason", reason));
}

/* Answer with what came of scheduling. */
static void
reply_schedule(struct request *request, const char *id,
    const struct schedule_result *result)
{

	switch (result->outcome) {
	case SCHEDULE_DONE:
		request_reply(request, 200, json_pack(
		    "{s:b, s:b, s:s, s:s, s:s, s:b}", "success", 1,
		    "scheduled", 1, "bookingId", id,
		    "taskName", result->task_name,
		    "scheduleTime", result->schedule_time,
		    "alreadyExists", result->already_exists));
		break;
	case SCHEDULE_NOTHING:
		request_reply(request, 200, nothing(1, id, result->reason));
		break;
	case SCHEDULE_GIVEN_UP:
		request_reply(request, 200, nothing(0, id, result->reason));
		break;
	case SCHEDULE_NO_BOOKING:
		request_problem(request, PROBLEM_NO_SUCH_BOOKING, NULL, "%s",
		    result->reason);
		break;
	case SCHEDULE_LATER:
		request_unavailable(request, result->everybody ?
		    PROBLEM_OUT_OF_SERVICE : PROBLEM_UNAVAILABLE,
		    result->retry_after, "%s", result->reason);
		break;
	}
}

/* POST /webhooks/booking-followup */
static void
handle_webhook(struct routes *r, struct request *request, const char *no_id)
{
	struct schedule_result result;
	const char *schema;
	json_t *payload;
	char id[UUID_LEN];

	(void)no_id;
	if ((payload = request_json(request)) == NULL)
		return;
	if (check_payload(request, payload) != 0)
		goto out;
	if (uuid_parse(json_string_value(json_object_get(payload,
	    "booking_id")), id) != 0) {
		request_problem(request, PROBLEM_NOT_A_UUID, NULL,
		    "booking_id is not a UUID");
		goto out;
	}
	schema = json_string_value(json_object_get(payload, "schema"));
	if (schema != NULL && strcmp(schema, r->conf->schema) != 0) {
		request_reply(request, 200, nothing(1, id,
		    "the booking belongs to another schema"));
		goto out;
	}

	schedule_booking(r->schedule, id, &result);
	reply_schedule(request, id, &result);

out:
	json_decref(payload);
}

/* Read the booking ${id}, or answer that there is none, and return -1. */
static int
read_booking(struct routes *r, struct request *request, const char *id,
    struct booking *booking)
{
	enum db_outcome outcome;
	int found;

	if ((outcome = db_ready(r->db)) == DB_OK)
		outcome = booking_read(r->bookings, id, booking, &found);
	if (is_answered(r, request, outcome))
		return (-1);
	if (!found) {
		request_problem(request, PROBLEM_NO_SUCH_BOOKING, NULL,
		    "there is no booking %s", id);
		return (-1);
	}
	return (0);
}

/* GET /followups/{id} */
static void
handle_show(struct routes *r, struct request *request, const char *id)
{
	struct booking booking;
	char explanation[640];

	if (read_booking(r, request, id, &booking) != 0)
		return;
	explain_booking(r->conf, &booking, explanation, sizeof(explanation));
	request_reply(request, 200, json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, "
	    "s:s?, s:s?, s:i, s:s?, s:s}", "bookingId", booking.id,
	    "tenantId", booking.tenant_id, "taskStatus", booking.status_text,
	    "taskName", booking.task_name, "scheduledAt", booking.due_ms,
	    "taskScheduledAt", booking.task_scheduled_at,
	    "executedAt", booking.executed_at,
	    "executionAttempts", booking.execution_attempts,
	    "lastError", booking.last_error, "explanation", explanation));
	booking_clear(&booking);
}

/*
 * Cancel the booking, whose lock is held.  The row comes first: once it is
 * cancelled nobody is called, even if the task cannot be deleted right now.
 */
static void
cancel(struct routes *r, struct request *request,
    const struct booking *booking)
{
	struct log_about about = { .booking_id = booking->id,
	    .tenant_id = booking->tenant_id,
	    .task_name = booking->task_name };
	struct schedule_result result;
	int changed, deleted;

	if (is_answered(r, request, booking_cancel(r->bookings, booking,
	    &changed)))
		return;
	if (!changed) {
		request_problem(request, PROBLEM_CONFLICT, NULL, "the call of "
		    "booking %s has been made already", booking->id);
		return;
	}
	log_info(&about, "cancelled by request");
	deleted = schedule_delete_obsolete(r->schedule, booking->id, &result);
	request_reply(request, 200, json_pack("{s:b, s:b, s:s, s:b}",
	    "success", 1, "cancelled", 1, "bookingId", booking->id,
	    "taskDeleted", deleted > 0));
}

/* DELETE /followups/{id} */
static void
handle_cancel(struct routes *r, struct request *request, const char *id)
{
	struct booking booking;
	int locked;

	if (is_answered(r, request, db_ready(r->db)) ||
	    is_answered(r, request, booking_lock(r->bookings,
	    BOOKING_SCHEDULE, id, 1, &locked)))
		return;
	if (read_booking(r, request, id, &booking) == 0) {
		cancel(r, request, &booking);
		booking_clear(&booking);
	}
	booking_unlock(r->bookings, BOOKING_SCHEDULE, id);
}

/* POST /followups/{id}/retry */
static void
handle_retry(struct routes *r, struct request *request, const char *id)
{
	struct log_about about = { .booking_id = id };
	struct booking booking;
	int changed;

	if (read_booking(r, request, id, &booking) != 0)
		return;
	if (is_answered(r, request, booking_retry(r->bookings, id, &changed)))
		goto out;
	if (!changed) {
		request_problem(request, PROBLEM_CONFLICT, NULL, "booking %s "
		    "is %s: only failed ones can be retried", id,
		    booking.status_text != NULL ? booking.status_text :
		    "without a state");
		goto out;
	}
	log_info(&about, "back to pending by request");
	request_reply(request, 200, json_pack("{s:b, s:s, s:s}", "success", 1,
	    "bookingId", id, "taskStatus", "pending"));

out:
	booking_clear(&booking);
}

/*
 * Find the value of ${name} in the query string and write it, decoded, to
 * ${value}.  Return 1 if it is there, 0 if not, -1 if it is too long.
 */
static int
query_value(const char *query, const char *name, char *value, size_t len)
{
	size_t n = strlen(name), i = 0;
	unsigned int byte;
	const char *p;

	for (p = query; p != NULL; p = strchr(p, '&')) {
		if (*p == '&')
			p++;
		if (strncmp(p, name, n) == 0 && p[n] == '=')
			break;
	}
	if (p == NULL)
		return (0);
	for (p += n + 1; *p != '\0' && *p != '&'; p++) {
		if (i + 1 >= len)
			return (-1);
		if (*p == '%' && sscanf(p + 1, "%2x", &byte) == 1 &&
		    p[1] != '\0' && p[2] != '\0') {
			value[i++] = (char)byte;
			p += 2;
		} else
			value[i++] = *p;
	}
	value[i] = '\0';
	return (1);
}

/* Nothing but a time goes into the SQL as one. */
static int
is_time(const char *s)
{
	int64_t ms;

	return (rfc3339_parse(s, &ms) == 0);
}

/* Take the place "time,id" apart; -1 if it is not one of ours. */
static int
parse_cursor(char *cursor, const char **time, char id[UUID_LEN])
{
	char *comma = strchr(cursor, ',');

	if (comma == NULL || uuid_parse(comma + 1, id) != 0)
		return (-1);
	*comma = '\0';
	*time = cursor;
	return (is_time(cursor) ? 0 : -1);
}

/* GET /dead-letters?limit=N&before=PLACE */
static void
handle_dead_letters(struct routes *r, struct request *request,
    const char *no_id)
{
	char limit[8] = "", cursor[80], id[UUID_LEN], next[96];
	const char *time = NULL;
	enum db_outcome outcome;
	json_t *letters, *last;
	int n = PAGE_DEFAULT, has;

	(void)no_id;
	has = query_value(request->query, "limit", limit, sizeof(limit));
	if (has != 0 && (has < 0 || (n = atoi(limit)) < 1 || n > PAGE_MAX ||
	    strspn(limit, "0123456789") != strlen(limit))) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "limit must be a number from 1 to %d", PAGE_MAX);
		return;
	}
	has = query_value(request->query, "before", cursor, sizeof(cursor));
	if (has != 0 && (has < 0 || parse_cursor(cursor, &time, id) != 0)) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "before must be taken from \"next\" of the page before");
		return;
	}

	/* One more than a page shows whether there is another page. */
	(void)snprintf(limit, sizeof(limit), "%d", n + 1);
	if ((outcome = db_ready(r->db)) == DB_OK)
		outcome = bookings_dead_letters(r->bookings, time,
		    time != NULL ? id : NULL, limit, &letters);
	if (is_answered(r, request, outcome))
		return;
	*next = '\0';
	if (json_array_size(letters) > (size_t)n) {
		(void)json_array_remove(letters, (size_t)n);
		last = json_array_get(letters, (size_t)n - 1);
		(void)snprintf(next, sizeof(next), "/dead-letters?limit=%d&"
		    "before=%s,%s", n,
		    json_string_value(json_object_get(last, "diedAt")),
		    json_string_value(json_object_get(last, "bookingId")));
	}
	request_reply(request, 200, json_pack("{s:o, s:s?}", "deadLetters",
	    letters, "next", *next != '\0' ? next : NULL));
}

/* The text ${name} of ${json}; -1 if it is there and something else. */
static int
optional_text(const json_t *json, const char *name, const char **value)
{
	const json_t *member = json_object_get(json, name);

	*value = json_string_value(member);
	return (member == NULL || json_is_null(member) || *value != NULL ? 0 :
	    -1);
}

/* POST /dead-letters/retry {"stage","since","until"}, all optional */
static void
handle_retry_all(struct routes *r, struct request *request, const char *no_id)
{
	const char *stage, *since, *until;
	enum db_outcome outcome;
	long retried = 0;
	json_t *json;

	(void)no_id;
	if ((json = request_json(request)) == NULL)
		return;
	if (optional_text(json, "stage", &stage) != 0 ||
	    (stage != NULL && strcmp(stage, "schedule") != 0 &&
	    strcmp(stage, "execute") != 0) ||
	    optional_text(json, "since", &since) != 0 ||
	    (since != NULL && !is_time(since)) ||
	    optional_text(json, "until", &until) != 0 ||
	    (until != NULL && !is_time(until))) {
		request_problem(request, PROBLEM_INVALID, NULL, "stage must "
		    "be \"schedule\" or \"execute\", since and until times as "
		    "2026-11-23T11:00:00Z; all may be left out");
		goto out;
	}
	if ((outcome = db_ready(r->db)) == DB_OK)
		outcome = bookings_retry(r->bookings, stage, since, until,
		    &retried);
	if (is_answered(r, request, outcome))
		goto out;
	log_info(NULL, "%ld dead letters back to pending by request", retried);
	request_reply(request, 200, json_pack("{s:b, s:I}", "success", 1,
	    "retried", (json_int_t)retried));

out:
	json_decref(json);
}

/* GET /healthz: this process can answer. */
static void
handle_alive(struct routes *r, struct request *request, const char *no_id)
{

	(void)r;
	(void)no_id;
	request_reply(request, 200, json_pack("{s:s}", "status", "alive"));
}

/* GET /readyz: this process can do its work. */
static void
handle_ready(struct routes *r, struct request *request, const char *no_id)
{
	char missing[256], reason[BREAKER_REASON_LEN];
	enum db_outcome outcome;
	const char *state;
	long wait;

	(void)no_id;
	if ((outcome = db_ready(r->db)) == DB_OK)
		outcome = bookings_check(r->bookings, missing,
		    sizeof(missing));
	if (is_answered(r, request, outcome))
		return;
	state = breaker_state(r->breaker, monotime_ms(), &wait, reason);
	if (*missing != '\0')
		request_unavailable(request, PROBLEM_OUT_OF_SERVICE, 10, "%s",
		    missing);
	else if (strcmp(state, "closed") != 0)
		request_unavailable(request, PROBLEM_OUT_OF_SERVICE,
		    wait / 1000 + 1, "the breaker of Cloud Tasks is %s: %s",
		    state, reason);
	else
		request_reply(request, 200, json_pack("{s:s, s:s}", "status",
		    "ready", "breaker", state));
}

/*
 * The table of the API.  "{id}" stands for the UUID of a booking.  Probes do
 * not have the token, if there is one.
 */
static const struct route {
	const char *method;
	const char *path;
	int open;
	void (*handle)(struct routes *, struct request *, const char *);
} table[] = {
	{ "POST", "/webhooks/booking-followup", 0, handle_webhook },
	{ "GET", "/followups/{id}", 0, handle_show },
	{ "DELETE", "/followups/{id}", 0, handle_cancel },
	{ "POST", "/followups/{id}/retry", 0, handle_retry },
	{ "GET", "/dead-letters", 0, handle_dead_letters },
	{ "POST", "/dead-letters/retry", 0, handle_retry_all },
	{ "GET", "/healthz", 1, handle_alive },
	{ "GET", "/readyz", 1, handle_ready },
};

#define NROUTES	(sizeof(table) / sizeof(table[0]))

/*
 * Hold ${path} against ${pattern}; the segment in the place of "{id}" goes
 * to ${segment}.
 */
static int
match(const char *pattern, const char *path, char *segment, size_t len)
{
	const char *brace = strstr(pattern, "{id}");
	size_t before, n;

	*segment = '\0';
	if (brace == NULL)
		return (strcmp(pattern, path) == 0);
	before = (size_t)(brace - pattern);
	if (strncmp(pattern, path, before) != 0)
		return (0);
	n = strcspn(path + before, "/");
	if (n == 0 || strcmp(brace + 4, path + before + n) != 0)
		return (0);

	/* What does not fit is no UUID either; keep enough to see that. */
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

/* Does the caller have the token, where one is configured? */
static int
is_authorized(const struct routes *r, const struct request *request)
{
	const char *want = r->conf->webhook_token;
	const char *token = request_bearer(request);

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

/**
 * routes_handle(routes, request):
 * Answer ${request}.
 */
void
routes_handle(struct routes *r, struct request *request)
{
	char segment[64], id[UUID_LEN] = "", allowed[48] = "";
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

	if ((found == NULL || !found->open) && !is_authorized(r, request))
		request_problem(request, PROBLEM_UNAUTHORIZED,
		    "WWW-Authenticate: Bearer", "send the token of "
		    "FOLLOWUP_WEBHOOK_TOKEN as Authorization: Bearer");
	else if (found == NULL && *allowed != '\0')
		refuse_method(request, allowed);
	else if (found == NULL)
		request_problem(request, PROBLEM_NOT_FOUND, NULL,
		    "the local API has no such path");
	else if (*segment != '\0' && uuid_parse(segment, id) != 0)
		request_problem(request, PROBLEM_NOT_A_UUID, NULL,
		    "\"%.48s\" is not a UUID", segment);
	else
		found->handle(r, request, id);
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
	schedule_free(r->schedule);
	cloud_tasks_free(r->tasks);
	bookings_free(r->bookings);
	db_free(r->db);
	free(r);
}
