#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "booking_state.h"
#include "bookings.h"
#include "callback_auth.h"
#include "config.h"
#include "db.h"
#include "execute.h"
#include "json_text.h"
#include "jwks.h"
#include "log.h"
#include "metrics.h"
#include "monotime.h"
#include "request.h"
#include "rfc3339.h"
#include "uuid.h"
#include "verdicts.h"
#include "voice_agent.h"

#include "callback.h"

/* The longest id that is looked at; a UUID has 36 characters. */
#define SEGMENT_LEN	64

struct callback {
	const struct config *conf;
	struct db *db;
	struct bookings *bookings;
	struct voice_agent *agent;
	struct execute execute;
	struct jwks *jwks;
	struct verdicts *verdicts;
};

/**
 * callback_new(conf, keys, verdicts, refusals, breaker):
 * Return the state of a worker, with the shared ${keys} of jwks_shared, which
 * notes in ${verdicts} (or NULL) whom it lets in, has the ${refusals} of the
 * database that all workers share, and calls the voice agent through
 * ${breaker}; NULL when memory is short.
 */
struct callback *
callback_new(const struct config *conf, struct shared_document *keys,
    struct verdicts *verdicts, struct refusals *refusals,
    struct breaker *breaker)
{
	struct callback *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return (NULL);
	c->conf = conf;
	c->verdicts = verdicts;
	if ((c->db = db_new(conf, "followup-execute")) == NULL ||
	    (c->bookings = bookings_new(conf, c->db)) == NULL ||
	    (c->agent = voice_agent_new(conf)) == NULL ||
	    (c->jwks = jwks_new(conf, keys)) == NULL) {
		callback_free(c);
		return (NULL);
	}

	bookings_share(c->bookings, refusals);
	c->execute.conf = conf;
	c->execute.bookings = c->bookings;
	c->execute.agent = c->agent;
	c->execute.breaker = breaker;

	/* The first call need not wait for the connection and the plans. */
	if (bookings_prepare(c->bookings, booking_statements) != DB_OK ||
	    bookings_prepare(c->bookings, booking_state_execute) != DB_OK)
		log_warning(NULL, "the database is not ready yet: %s; each "
		    "callback asks for it again", db_error(c->db));
	return (c);
}

/* Take the id out of the path; -1 if the path is not the endpoint's. */
static int
parse_path(const char *path, char segment[SEGMENT_LEN])
{
	static const char *const prefixes[] = { "/bookings/",
	    "/api/deals-pipeline/bookings/" };
	const char *id;
	size_t i, n;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (strncmp(path, prefixes[i], strlen(prefixes[i])) != 0)
			continue;
		id = path + strlen(prefixes[i]);
		n = strcspn(id, "/");
		if (n == 0 || n >= SEGMENT_LEN ||
		    strcmp(id + n, "/execute-followup") != 0)
			return (-1);
		(void)snprintf(segment, SEGMENT_LEN, "%.*s", (int)n, id);
		return (0);
	}
	return (-1);
}

/* Count a callback that was refused by ${rule}. */
static void
count_refusal(enum metrics_rule rule)
{

	metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_REFUSED, 1);
	metrics_add(METRICS_CALLBACKS_REFUSED, (int)rule, 1);
}

/*
 * Decide whether our queue calls, or answer.  The caller learns nothing but
 * the status; the log says which rule it was.
 */
static int
authenticate(struct callback *c, struct request *request,
    const char *segment)
{
	struct log_about about = { .booking_id = segment,
	    .request_id = request->id };
	const char *why = "";

	switch (callback_auth(c->conf, c->jwks, request, segment, time(NULL),
	    &why)) {
	case CALLBACK_OURS:
		verdicts_accepted(c->verdicts);
		return (0);
	case CALLBACK_UNDECIDED:
		verdicts_refused(c->verdicts, monotime_ms(), why);
		metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_RETRY, 1);
		log_warning(&about, "callback could not be verified: %s; the "
		    "queue tries again", why);
		request_unavailable(request, PROBLEM_OUT_OF_SERVICE, 5,
		    "the callback cannot be verified at the moment");
		return (-1);
	case CALLBACK_REFUSED:
		break;
	}
	verdicts_refused(c->verdicts, monotime_ms(), why);
	count_refusal(callback_rule(why));
	log_warning(&about, "callback refused: %s", why);
	request_problem(request, PROBLEM_UNAUTHORIZED,
	    "WWW-Authenticate: Bearer", "only the queue may call this");
	return (-1);
}

/*
 * Hold the body against what a task carries, and the id against the path;
 * set ${scheduled_at} (ms since 1970) to the time that the task is for.
 */
static int
check_body(struct request *request, const json_t *body, const char *id,
    int64_t *scheduled_at)
{
	static const char *const texts[] = { "tenantId", "leadId",
	    "assignedUserId", "idempotencyKey", NULL };
	char body_id[UUID_LEN];

	if (request_check_texts(request, body, texts) != 0)
		return (-1);
	if (json_text(body, "bookingId") == NULL ||
	    json_text(body, "scheduledAt") == NULL ||
	    rfc3339_parse(json_text(body, "scheduledAt"), scheduled_at) != 0) {
		request_problem(request, PROBLEM_INVALID, NULL, "bookingId "
		    "must be a string, and scheduledAt a time as "
		    "2026-11-23T11:00:00.000Z");
		return (-1);
	}
	if (uuid_parse(json_text(body, "bookingId"), body_id) != 0 ||
	    strcmp(body_id, id) != 0) {
		request_problem(request, PROBLEM_INVALID, NULL, "bookingId in "
		    "the body is not the booking of the path");
		return (-1);
	}
	return (0);
}

static json_t *
outcome(int success, const char *status, const char *id, const char *reason)
{

	return (json_pack("{s:b, s:s, s:s, s:s}", "success", success,
	    "status", status, "bookingId", id, "reason", reason));
}

/*
 * Answer.  Whatever shall not come back must be answered 200, since Cloud
 * Tasks sends everything else again.
 */
static void
reply(struct request *request, const char *id,
    const struct execute_result *result)
{

	switch (result->outcome) {
	case EXECUTE_DONE:
		request_reply(request, 200, outcome(1, "executed", id,
		    result->reason));
		break;
	case EXECUTE_ALREADY:
		request_reply(request, 200, outcome(1, "already_executed", id,
		    result->reason));
		break;
	case EXECUTE_SKIPPED:
		request_reply(request, 200, outcome(1, "skipped", id,
		    result->reason));
		break;
	case EXECUTE_CANARY:
		request_reply(request, 200, json_pack(
		    "{s:b, s:b, s:s, s:s}", "success", 1, "canary", 1,
		    "bookingId", id, "reason", result->reason));
		break;
	case EXECUTE_DEFERRED:
		request_reply(request, 200, outcome(1, "deferred", id,
		    result->reason));
		break;
	case EXECUTE_GIVEN_UP:
		request_reply(request, 200, outcome(0, "failed", id,
		    result->reason));
		break;
	case EXECUTE_BUSY:
		request_problem(request, PROBLEM_CONFLICT, NULL, "%s",
		    result->reason);
		break;
	case EXECUTE_MISMATCH:
		request_problem(request, PROBLEM_INVALID, NULL, "%s",
		    result->reason);
		break;
	case EXECUTE_LATER:
		/* 503 slows the whole queue down. */
		request_unavailable(request, result->alone ?
		    PROBLEM_NOT_STARTED : PROBLEM_OUT_OF_SERVICE,
		    result->retry_after, "%s", result->reason);
		break;
	}
}

/* Count the outcome of a callback that was let in. */
static void
count(const struct execute_result *result)
{
	enum metrics_callback outcome = METRICS_CALLBACK_RETRY;

	switch (result->outcome) {
	case EXECUTE_DONE:
		outcome = METRICS_CALLBACK_EXECUTED;
		break;
	case EXECUTE_ALREADY:
		outcome = METRICS_CALLBACK_ALREADY;
		break;
	case EXECUTE_SKIPPED:
		outcome = METRICS_CALLBACK_SKIPPED;
		break;
	case EXECUTE_DEFERRED:
		outcome = METRICS_CALLBACK_DEFERRED;
		break;
	case EXECUTE_CANARY:
		/* The id is not that of a booking. */
		return;
	case EXECUTE_GIVEN_UP:
		outcome = result->expired ? METRICS_CALLBACK_EXPIRED :
		    METRICS_CALLBACK_DEAD;
		break;
	case EXECUTE_BUSY:
		outcome = METRICS_CALLBACK_BUSY;
		break;
	case EXECUTE_MISMATCH:
		count_refusal(METRICS_RULE_BODY);
		return;
	case EXECUTE_LATER:
		break;
	}
	metrics_add(METRICS_CALLBACKS, (int)outcome, 1);
}

/*
 * The short name of the task, whether the header has that or the full one; NULL
 * also where it is empty, which is no name of a task.
 */
static const char *
task_id(const struct request *request)
{
	const char *name = request_param(request,
	    "HTTP_X_CLOUDTASKS_TASKNAME");
	const char *slash = name != NULL ? strrchr(name, '/') : NULL;

	if (slash != NULL)
		name = slash + 1;
	return (name != NULL && *name != '\0' ? name : NULL);
}

/* Say in the log why a booking is not called by this callback. */
static void
report(const struct log_about *about, const struct execute_result *result)
{

	switch (result->outcome) {
	case EXECUTE_DONE:
		break;
	case EXECUTE_LATER:
		log_warning(about, "the queue tries again: %s",
		    result->reason);
		break;
	case EXECUTE_MISMATCH:
		log_warning(about, "callback refused: %s", result->reason);
		break;
	default:
		log_info(about, "%s", result->reason);
		break;
	}
}

/* Act on a callback that is ours. */
static void
execute(struct callback *c, struct request *request, const char *id)
{
	struct execute_callback callback = { .tenant_id = NULL };
	struct log_about about = { .booking_id = id,
	    .request_id = request->id };
	struct execute_result result;
	json_t *body;

	if ((body = request_json(request)) == NULL) {
		count_refusal(METRICS_RULE_BODY);
		return;
	}
	if (check_body(request, body, id, &callback.scheduled_at) != 0) {
		count_refusal(METRICS_RULE_BODY);
		goto out;
	}
	(void)snprintf(callback.booking_id, sizeof(callback.booking_id), "%s",
	    id);
	callback.tenant_id = json_text(body, "tenantId");
	callback.task_id = task_id(request);
	(void)trace_parse(request_param(request, "HTTP_TRACEPARENT"),
	    &callback.trace);
	about.tenant_id = callback.tenant_id;
	about.task_name = callback.task_id;
	about.trace = &callback.trace;
	log_info(&about, "callback verified");

	execute_booking(&c->execute, &callback, &result);
	count(&result);
	report(&about, &result);
	reply(request, id, &result);

out:
	json_decref(body);
}

/**
 * callback_handle(callback, request):
 * Answer ${request}.
 */
void
callback_handle(struct callback *c, struct request *request)
{
	char segment[SEGMENT_LEN], id[UUID_LEN];

	if (parse_path(request->path, segment) != 0) {
		request_problem(request, PROBLEM_NOT_FOUND, NULL,
		    "there is nothing here");
		return;
	}
	if (strcmp(request->method, "POST") != 0) {
		request_problem(request, PROBLEM_METHOD_NOT_ALLOWED,
		    "Allow: POST", "only POST is allowed here");
		return;
	}
	if (authenticate(c, request, segment) != 0)
		return;
	if (uuid_parse(segment, id) != 0) {
		count_refusal(METRICS_RULE_BODY);
		request_problem(request, PROBLEM_NOT_A_UUID, NULL,
		    "the id in the path is not a UUID");
		return;
	}
	execute(c, request, id);
}

/**
 * callback_free(callback):
 * Free ${callback} and its connections; NULL is fine.
 */
void
callback_free(struct callback *c)
{

	if (c == NULL)
		return;
	jwks_free(c->jwks);
	voice_agent_free(c->agent);
	bookings_free(c->bookings);
	db_free(c->db);
	free(c);
}
