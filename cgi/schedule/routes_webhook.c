#include <stdio.h>
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

/* Does 200 tell what came of a booking?  Otherwise a problem does. */
static int
is_success(const struct schedule_result *result)
{

	return (result->outcome == SCHEDULE_DONE ||
	    result->outcome == SCHEDULE_NOTHING ||
	    result->outcome == SCHEDULE_GIVEN_UP);
}

/*
 * Write to ${f} that the booking ${id} is scheduled, and unless it is to be
 * ${brief}, by which task.  Names of tasks, times and traces hold nothing that
 * JSON escapes: this is written for each booking, which is why it is not left
 * to Jansson (measured: a tenth of what a booking costs).
 */
static void
write_scheduled(FILE *f, const char *id, const struct schedule_result *result,
    int brief)
{
	char traceparent[TRACE_PARENT_LEN];

	(void)fprintf(f, "{\"success\":true,\"scheduled\":true,"
	    "\"bookingId\":\"%s\"", id);
	if (!brief)
		(void)fprintf(f, ",\"taskName\":\"%s\","
		    "\"scheduleTime\":\"%s\",\"alreadyExists\":%s",
		    result->task_name, result->schedule_time,
		    result->already_exists ? "true" : "false");
	if (trace_parent(&result->trace, traceparent) != NULL)
		(void)fprintf(f, ",\"traceparent\":\"%s\"", traceparent);
	(void)fputc('}', f);
}

/* Write ${json}, whose reference is taken over.  Return 0 or -1. */
static int
write_json(FILE *f, json_t *json)
{
	int rc = json != NULL ? json_dumpf(json, f, JSON_COMPACT) : -1;

	json_decref(json);
	return (rc);
}

/* Write what 200 says about ${result}, a success.  Return 0 or -1. */
static int
write_success(FILE *f, const char *id, const struct schedule_result *result,
    int brief)
{

	if (result->outcome != SCHEDULE_DONE)
		return (write_json(f, nothing(result->outcome ==
		    SCHEDULE_NOTHING, id, result->reason)));
	write_scheduled(f, id, result, brief);
	return (0);
}

/* An answer as it is written. */
struct answer {
	FILE *f;			/* NULL: no memory */
	char *text;
	size_t len;
	int failed;
};

static void
begin_answer(struct answer *answer)
{

	answer->failed = 0;
	answer->text = NULL;
	answer->f = open_memstream(&answer->text, &answer->len);
}

/*
 * Answer with what was written and the further ${header}, or with an error if
 * it could not be written.
 */
static void
end_answer(struct request *request, struct answer *answer, const char *header)
{

	if (answer->f != NULL && fclose(answer->f) == 0 && !answer->failed)
		request_reply_text(request, 200, "application/json", header,
		    answer->text);
	else
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "the answer could not be written");
	free(answer->text);
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

/*
 * The payload of a notification, or only {"booking_id":"..."}.  It is a hint to
 * look at a row: what else it has comes from the row's columns, which may be of
 * any type, and is no reason to refuse it.
 */
static void
schedule_one(struct routes *r, struct request *request, const json_t *payload)
{
	const char *given = json_string_value(json_object_get(payload,
	    "booking_id"));
	struct schedule_result result;
	const char *schema, *ids[1];
	char id[UUID_LEN];
	struct answer answer;

	if (given == NULL) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "booking_id must be a string, the UUID of a booking");
		return;
	}
	if (uuid_parse(given, id) != 0) {
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
	if (is_success(&result)) {
		begin_answer(&answer);
		if (answer.f != NULL)
			answer.failed = write_success(answer.f, id, &result,
			    0);
		end_answer(request, &answer, NULL);
	} else if (result.outcome == SCHEDULE_LATER)
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
	int brief;			/* the answer, where all is well */
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

/*
 * Write one element of the answer: what the request for ${given} alone would
 * get, or less if it is to be ${brief}.  Return 0 or -1.
 */
static int
write_element(FILE *f, const char *given, const struct schedule_result *result,
    int brief)
{
	json_t *e;

	if (result != NULL && is_success(result))
		return (write_success(f, given, result, brief));
	if (result == NULL)
		e = request_problem_document(PROBLEM_NOT_A_UUID,
		    "booking_id is not a UUID");
	else
		e = request_problem_document(problem_of(result),
		    result->reason);
	if (result != NULL && result->outcome == SCHEDULE_LATER)
		(void)json_object_set_new(e, "retryAfter",
		    json_integer(result->retry_after > 0 ?
		    result->retry_after : 1));
	(void)json_object_set_new(e, "bookingId", json_string(given));
	return (write_json(f, e));
}

/* Write the answer about ${many}, which ${list} asked for. */
static void
write_results(struct answer *answer, const struct many *many,
    const json_t *list)
{
	const char *given;
	size_t i, place;

	(void)fputs("{\"success\":true,\"results\":[", answer->f);
	for (i = 0; i < many->n; i++) {
		if (i > 0)
			(void)fputc(',', answer->f);
		place = many->place[i];
		given = json_string_value(json_array_get(list, i));
		answer->failed |= place == NOWHERE ?
		    write_element(answer->f, given, NULL, many->brief) :
		    write_element(answer->f, many->ids[place],
		    &many->results[place], many->brief);
	}
	(void)fputs("]}", answer->f);
}

/* {"booking_ids":["...", ...]} */
static void
schedule_many(struct routes *r, struct request *request, const json_t *list)
{
	const char *prefer = request_param(request, "HTTP_PREFER");
	struct many *many;
	struct answer answer;

	if ((many = calloc(1, sizeof(*many))) == NULL) {
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "out of memory");
		return;
	}
	/* RFC 7240, section 4.2. */
	many->brief = prefer != NULL && strcmp(prefer, "return=minimal") == 0;
	if (take_ids(request, list, many) != 0)
		goto out;
	if (many->nids > 0)
		schedule_bookings(&r->schedule, many->ids, many->nids,
		    many->results);
	begin_answer(&answer);
	if (answer.f != NULL)
		write_results(&answer, many, list);
	end_answer(request, &answer, many->brief ?
	    "Preference-Applied: return=minimal" : NULL);

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
