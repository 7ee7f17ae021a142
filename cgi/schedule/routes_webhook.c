#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "config.h"
#include "metrics.h"
#include "request.h"
#include "rfc3339.h"
#include "uuid.h"

#include "routes_internal.h"

/* The age, in seconds, from which on a row counts as old. */
#define CHANGED_AFTER	3600

/* An answer to one booking with nothing scheduled. */
static json_t *
nothing(int success, const char *id, const char *reason)
{

	return (json_pack("{s:b, s:b, s:s, s:s}", "success", success,
	    "scheduled", 0, "bookingId", id, "reason", reason));
}

/* What 200 says about ${result}; NULL where the answer is a problem. */
static json_t *
success(const char *id, const struct schedule_result *result)
{
	char traceparent[TRACE_PARENT_LEN];

	switch (result->outcome) {
	case SCHEDULE_DONE:
		return (json_pack("{s:b, s:b, s:s, s:s, s:s, s:b, s:s*}",
		    "success", 1, "scheduled", 1, "bookingId", id,
		    "taskName", result->task_name,
		    "scheduleTime", result->schedule_time,
		    "alreadyExists", result->already_exists,
		    "traceparent", trace_parent(&result->trace,
		    traceparent)));
	case SCHEDULE_NOTHING:
		return (nothing(1, id, result->reason));
	case SCHEDULE_GIVEN_UP:
		return (nothing(0, id, result->reason));
	default:
		return (NULL);
	}
}

/* The problem that ${result} is, where it is one. */
static enum request_problem
problem_of(const struct schedule_result *result)
{

	if (result->outcome == SCHEDULE_NO_BOOKING)
		return (PROBLEM_NO_SUCH_BOOKING);
	return (result->everybody ? PROBLEM_OUT_OF_SERVICE :
	    PROBLEM_UNAVAILABLE);
}

/*
 * One booking.
 */

/* Texts of the payload; whatever else it has is not looked at. */
static int
check_payload(struct request *request, const json_t *payload)
{
	static const char *const texts[] = { "tenant_id", "lead_id",
	    "assigned_user_id", "scheduled_at", "timezone", "booking_type",
	    "created_at", "schema", NULL };

	if (!json_is_string(json_object_get(payload, "booking_id"))) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "booking_id must be a string, the UUID of a booking");
		return (-1);
	}
	return (request_check_texts(request, payload, texts));
}

/*
 * A booking that was announced has its task: measure how long that took since
 * its row was written.  One that was written long ago has been changed since,
 * and nobody knows when.
 */
static void
measure(const json_t *payload, const struct schedule_result *result)
{
	const char *created = json_string_value(json_object_get(payload,
	    "created_at"));
	struct timespec now;
	int64_t since;
	double took;

	if (created == NULL || result->outcome != SCHEDULE_DONE ||
	    rfc3339_parse(created, &since) != 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	took = (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
	    (double)since / 1e3;
	if (took < CHANGED_AFTER)
		metrics_observe(METRICS_SCHEDULING_DURATION, 0, took);
}

/* The payload of a notification, or only {"booking_id":"..."}. */
static void
schedule_one(struct routes *r, struct request *request, const json_t *payload)
{
	struct schedule_result result;
	const char *schema, *ids[1];
	char id[UUID_LEN];
	json_t *body;

	if (check_payload(request, payload) != 0)
		return;
	if (uuid_parse(json_string_value(json_object_get(payload,
	    "booking_id")), id) != 0) {
		request_problem(request, PROBLEM_NOT_A_UUID, NULL,
		    "booking_id is not a UUID");
		return;
	}
	schema = json_string_value(json_object_get(payload, "schema"));
	if (schema != NULL && strcmp(schema, r->conf->schema) != 0) {
		request_reply(request, 200, nothing(1, id,
		    "the booking belongs to another schema"));
		return;
	}

	ids[0] = id;
	schedule_bookings(&r->schedule, ids, 1, &result);
	measure(payload, &result);
	if ((body = success(id, &result)) != NULL)
		request_reply(request, 200, body);
	else if (result.outcome == SCHEDULE_LATER)
		request_unavailable(request, problem_of(&result),
		    result.retry_after, "%s", result.reason);
	else
		request_problem(request, problem_of(&result), NULL, "%s",
		    result.reason);
}

/*
 * Many.
 */

/* The ids of a request, and the different ones among them. */
struct many {
	size_t n;
	size_t place[SCHEDULE_BATCH];	/* of each id in ids, or NOWHERE */
	size_t nids;
	const char *ids[SCHEDULE_BATCH];
	char texts[SCHEDULE_BATCH][UUID_LEN];
	struct schedule_result results[SCHEDULE_BATCH];
};

#define NOWHERE	((size_t)-1)	/* it is no UUID */

/* Add ${id} to the different ids, unless it is there; return its place. */
static size_t
add_id(struct many *many, const char *id)
{
	size_t i;

	for (i = 0; i < many->nids; i++) {
		if (strcmp(many->ids[i], id) == 0)
			return (i);
	}
	memcpy(many->texts[i], id, UUID_LEN);
	many->ids[i] = many->texts[i];
	many->nids++;
	return (i);
}

/* Take the ids out of ${list}; or answer what is wrong with it. */
static int
take_ids(struct request *request, const json_t *list, struct many *many)
{
	char id[UUID_LEN];
	const json_t *value;
	size_t i;

	many->n = json_array_size(list);
	if (!json_is_array(list) || many->n < 1 || many->n > SCHEDULE_BATCH) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "booking_ids must be an array of 1 to %d UUIDs",
		    SCHEDULE_BATCH);
		return (-1);
	}
	for (i = 0; i < many->n; i++) {
		value = json_array_get(list, i);
		if (!json_is_string(value)) {
			request_problem(request, PROBLEM_INVALID, NULL,
			    "booking_ids must be strings, UUIDs of bookings");
			return (-1);
		}
		many->place[i] = uuid_parse(json_string_value(value), id) ==
		    0 ? add_id(many, id) : NOWHERE;
	}
	return (0);
}

/* One element of the answer: what the request for ${given} alone would get. */
static json_t *
element(const char *given, const struct schedule_result *result)
{
	json_t *e;

	if (result == NULL)
		e = request_problem_document(PROBLEM_NOT_A_UUID,
		    "booking_id is not a UUID");
	else if ((e = success(given, result)) == NULL) {
		e = request_problem_document(problem_of(result),
		    result->reason);
		if (result->outcome == SCHEDULE_LATER)
			(void)json_object_set_new(e, "retryAfter",
			    json_integer(result->retry_after > 0 ?
			    result->retry_after : 1));
	}
	(void)json_object_set_new(e, "bookingId", json_string(given));
	return (e);
}

/* {"booking_ids":["...", ...]} */
static void
schedule_many(struct routes *r, struct request *request, const json_t *list)
{
	struct many *many;
	json_t *answers;
	size_t i, place;

	if ((many = calloc(1, sizeof(*many))) == NULL) {
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "out of memory");
		return;
	}
	if (take_ids(request, list, many) != 0)
		goto out;
	if (many->nids > 0)
		schedule_bookings(&r->schedule, many->ids, many->nids,
		    many->results);

	answers = json_array();
	for (i = 0; i < many->n; i++) {
		place = many->place[i];
		(void)json_array_append_new(answers, place == NOWHERE ?
		    element(json_string_value(json_array_get(list, i)), NULL) :
		    element(many->ids[place], &many->results[place]));
	}
	request_reply(request, 200, json_pack("{s:b, s:o}", "success", 1,
	    "results", answers));

out:
	free(many);
}

/* POST /webhooks/booking-followup */
void
routes_webhook(struct routes *r, struct request *request, const char *no_id)
{
	const json_t *list;
	json_t *payload;

	(void)no_id;
	if ((payload = request_json(request)) == NULL)
		return;
	list = json_object_get(payload, "booking_ids");
	if (list == NULL)
		schedule_one(r, request, payload);
	else if (json_object_get(payload, "booking_id") != NULL)
		request_problem(request, PROBLEM_INVALID, NULL,
		    "send either booking_id or booking_ids");
	else
		schedule_many(r, request, list);
	json_decref(payload);
}
