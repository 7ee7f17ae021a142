#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "../fuzz/fcgi_memory.h"

#include "queues.h"
#include "config.h"
#include "readiness.h"
#include "routes.h"
#include "schedule.h"
#include "status.h"

#include "captured_log.h"
#include "scripted_bookings.h"
#include "unit.h"

#define A	(&table.rows[0])
#define B	(&table.rows[1])
#define WEBHOOK	"/webhooks/booking-followup"

static struct config conf = { .schema = "lad_dev", .table = "lead_bookings",
    .emulator_host = "127.0.0.1:1", .project_id = "p", .location = "l",
    .queue = "q", .schedule_concurrency = 2, .max_schedule_attempts = 10,
    .max_execution_attempts = 8 };
static struct routes *routes;
static const struct breaker_service service = { .name = "Cloud Tasks",
    .nothing = "booking is scheduled", .probe_ms = 30000 };
static struct breaker *breaker;
static struct queues *queues;

/* What is not able, instead of the product's: up to two sentences. */
static const char *missing[2];

void
readiness_look(struct readiness *readiness, struct bookings *b,
    struct readiness_report *report)
{
	size_t i;

	assert_true(readiness == NULL && b != NULL);
	*report = (struct readiness_report){ .breaker = "half-open",
	    .retry_after = 7 };
	for (i = 0; i < NITEMS(missing) && missing[i] != NULL; i++)
		troubles_add(&report->troubles, i == 0 ? "first" : "second",
		    "%s", missing[i]);
}

static const char *paused;

int
readiness_is_paused(struct readiness *readiness, const char *queue)
{

	assert_null(readiness);
	return (paused != NULL && strcmp(queue, paused) == 0);
}

/* What GET /status.json answers. */
json_t *
status_look(struct status *status, struct bookings *b, const char *tenant)
{

	assert_true(status == NULL && b != NULL && tenant == NULL);
	return (json_pack("{s:s, s:s}", "state", "stopped", "sentence",
	    "No."));
}

/* How often somebody only looked. */
static long looked;

long
status_patience(const struct status *status, long now)
{

	assert_true(status == NULL && now > 0);
	return (1800);
}

void
status_looked(struct status *status, long begun, long now)
{

	assert_true(status == NULL && begun > 0 && now >= begun);
	looked++;
}

/* The rest of bookings.c, which the table does not have. */

struct bookings *
bookings_new(const struct config *c, struct db *db)
{

	assert_true(c == &conf && db != NULL);
	return ((struct bookings *)(void *)&table);
}

void
bookings_free(struct bookings *b)
{

	(void)b;
}

void
bookings_share(struct bookings *b, struct refusals *refusals)
{

	assert_non_null(b);
	assert_null(refusals);
}

enum db_outcome
bookings_prepare(struct bookings *b, const struct bookings_sql *const *list)
{

	assert_true(b != NULL && list[0] != NULL);
	return (DB_OK);
}

/* The scheduler, instead of the product's: ${results} for A, B, ... */
static struct schedule_result planned[3];
static int calls;
static size_t asked;

void
schedule_bookings(const struct schedule *s, const char *const *ids, size_t n,
    struct schedule_result *results)
{
	size_t i;

	assert_ptr_equal(s->conf, &conf);
	calls++;
	asked = n;
	for (i = 0; i < n; i++) {
		table_trace("schedule:%c", table_letter(table_row(ids[i])));
		results[i] = planned[(size_t)(table_row(ids[i]) -
		    table.rows) % NITEMS(planned)];
	}
}

static int
begin(void **state)
{

	(void)state;
	captured_log_begin(LOG_DEBUG);
	table_begin();
	planned[0] = (struct schedule_result){ .outcome = SCHEDULE_DONE,
	    .task_name = "the task",
	    .schedule_time = "2026-11-26T00:01:00.000Z" };
	planned[1] = (struct schedule_result){ .outcome = SCHEDULE_NOTHING,
	    .reason = "already cancelled" };
	planned[2] = (struct schedule_result){ .outcome = SCHEDULE_LATER,
	    .reason = "it is busy", .retry_after = 7 };
	conf.webhook_token = NULL;
	missing[0] = missing[1] = NULL;
	calls = 0;
	assert_non_null(breaker = breaker_new(&service, NULL));
	assert_non_null(queues = queues_new(&conf, breaker));
	assert_non_null(routes = routes_new(&conf, NULL, queues, NULL,
	    NULL, NULL));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	routes_free(routes);
	queues_free(queues);
	breaker_free(breaker);
	table_end();
	captured_log_end();
	return (0);
}

static struct fcgi_memory memory;
static json_t *answer;
static const char *further = "";	/* parameter of a request: "NAME=x\n" */

/* Ask, and keep the answer's body in ${answer}; return its status. */
static int
ask(const char *method, const char *uri, const char *body)
{
	struct request request;
	char *text, *path, *query;
	int status;

	assert_non_null(path = strdup(uri));
	if ((query = strchr(path, '?')) != NULL)
		*query++ = '\0';
	assert_true(asprintf(&text, "REQUEST_METHOD=%s\nDOCUMENT_URI=%s\n"
	    "QUERY_STRING=%s\nCONTENT_TYPE=application/json\n"
	    "HTTP_AUTHORIZATION=Bearer token\n%s\n%s", method, path,
	    query != NULL ? query : "", further, body) > 0);
	fcgi_memory_init(&memory, &request, (const uint8_t *)text,
	    strlen(text));
	routes_handle(routes, &request);
	status = fcgi_memory_check(&memory, &request);
	json_decref(answer);
	answer = json_loads(strstr((char *)memory.answer, "\r\n\r\n") + 4, 0,
	    NULL);
	fcgi_memory_free(&memory);
	free(text);
	free(path);
	return (status);
}

/* The answer has this header line. */
static int
has_header(const char *line)
{

	return (strstr((const char *)memory.answer, line) != NULL);
}

/* The answer is ${text}, whatever the order of its members. */
static void
expect_json(json_t *json, const char *text)
{
	json_t *wanted = json_loads(text, 0, NULL);
	char *got;

	assert_non_null(wanted);
	if (!json_equal(json, wanted)) {
		got = json_dumps(json, JSON_COMPACT);
		fail_msg("answered %s", got);
	}
	json_decref(wanted);
}

static const char *
member(const char *name)
{
	const char *value = json_string_value(json_object_get(answer, name));

	return (value != NULL ? value : "(none)");
}

#define ID(n)	"0000000" #n "-0000-4000-8000-00000000000b"
#define ONE(n)	"{\"booking_id\":\"" ID(n) "\"}"

/*
 * One booking.
 */

static void
one_booking(void **state)
{

	(void)state;
	assert_int_equal(ask("POST", WEBHOOK, ONE(0)), 200);
	expect_json(answer, "{\"success\":true,\"scheduled\":true,"
	    "\"bookingId\":\"" ID(0) "\",\"taskName\":\"the task\","
	    "\"scheduleTime\":\"2026-11-26T00:01:00.000Z\","
	    "\"alreadyExists\":false}");
	planned[0].already_exists = 1;
	assert_int_equal(ask("POST", WEBHOOK, ONE(0)), 200);
	assert_true(json_is_true(json_object_get(answer, "alreadyExists")));
	assert_int_equal(ask("POST", WEBHOOK, ONE(1)), 200);
	expect_json(answer, "{\"success\":true,\"scheduled\":false,"
	    "\"bookingId\":\"" ID(1) "\",\"reason\":\"already cancelled\"}");
	planned[1].outcome = SCHEDULE_GIVEN_UP;
	assert_int_equal(ask("POST", WEBHOOK, ONE(1)), 200);
	assert_true(json_is_false(json_object_get(answer, "success")));
	planned[1].outcome = SCHEDULE_NO_BOOKING;
	assert_int_equal(ask("POST", WEBHOOK, ONE(1)), 404);
	assert_string_equal(member("type"),
	    "urn:followup-scheduler:no-such-booking");
	assert_int_equal(ask("POST", WEBHOOK, ONE(2)), 503);
	assert_true(has_header("\r\nRetry-After: 7\r\n"));
	assert_string_equal(member("type"),
	    "urn:followup-scheduler:unavailable");
	planned[2].everybody = 1;
	planned[2].retry_after = 0;
	assert_int_equal(ask("POST", WEBHOOK, ONE(2)), 503);
	assert_true(has_header("\r\nRetry-After: 1\r\n"));
	assert_string_equal(member("type"),
	    "urn:followup-scheduler:out-of-service");
	assert_string_equal(member("detail"), "it is busy");
}

static void
payloads(void **state)
{
	static const struct {
		const char *body;
		int status;
		const char *detail;
	} all[] = {
		{ "{\"booking_id\":\"" ID(0) "\",\"schema\":\"lad_dev\","
		    "\"tenant_id\":null,\"anything\":5}", 200, "" },
		{ "{\"booking_id\":\"00000000-0000-4000-8000-00000000000B\"}",
		    200, "" },
		{ "{\"booking_id\":\"" ID(0) "\",\"tenant_id\":1,\"lead_id\":2,"
		    "\"assigned_user_id\":[3],\"scheduled_at\":4.5,"
		    "\"timezone\":{},\"booking_type\":false,"
		    "\"created_at\":6,\"schema\":7}", 200, "" },
		{ "{\"booking_id\":\"" ID(0) "\",\"schema\":\"other\"}", 200,
		    "" },
		{ "{}", 400, "booking_id must be a string" },
		{ "{\"booking_id\":5}", 400, "booking_id must be a string" },
		{ "{\"booking_id\":\"x\"}", 400, "is not a UUID" },
		{ "[]", 400, "" },
		{ "{", 400, "" },
		{ "{\"booking_id\":\"" ID(0) "\",\"booking_ids\":[]}", 400,
		    "either booking_id or booking_ids" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++) {
		ASSERT_ROW(ask("POST", WEBHOOK, all[i].body) == all[i].status,
		    all[i].body);
		ASSERT_ROW(strstr(member("detail"), all[i].detail) != NULL ||
		    all[i].status == 200, all[i].body);
	}

	/* Only the first three were looked at. */
	table_expect("schedule:A schedule:A schedule:A");
}

/*
 * Many.
 */

static json_t *
result(size_t i)
{

	return (json_array_get(json_object_get(answer, "results"), i));
}

/* In the order asked, whatever is the matter with each. */
static void
many_bookings(void **state)
{

	(void)state;
	assert_int_equal(ask("POST", WEBHOOK, "{\"booking_ids\":[\"" ID(2)
	    "\",\"nonsense\",\"" ID(1) "\",\"" ID(0) "\",\"" ID(2)
	    "\",\"00000001-0000-4000-8000-00000000000B\"]}"), 200);
	table_expect("schedule:C schedule:B schedule:A");
	assert_int_equal(calls, 1);
	assert_true(json_is_true(json_object_get(answer, "success")));
	assert_int_equal(json_array_size(json_object_get(answer, "results")),
	    6);
	expect_json(result(0), "{\"type\":\"urn:followup-scheduler:"
	    "unavailable\",\"title\":\"Try again later\","
	    "\"status\":503,\"detail\":\"it is busy\",\"retryAfter\":7,"
	    "\"bookingId\":\"" ID(2) "\"}");
	expect_json(result(1), "{\"type\":\"urn:followup-scheduler:"
	    "not-a-uuid\",\"title\":\"The booking id is not a UUID\","
	    "\"status\":400,"
	    "\"detail\":\"booking_id is not a UUID\","
	    "\"bookingId\":\"nonsense\"}");
	expect_json(result(2), "{\"success\":true,\"scheduled\":false,"
	    "\"bookingId\":\"" ID(1) "\",\"reason\":\"already cancelled\"}");
	expect_json(result(3), "{\"success\":true,\"scheduled\":true,"
	    "\"bookingId\":\"" ID(0) "\",\"taskName\":\"the task\","
	    "\"scheduleTime\":\"2026-11-26T00:01:00.000Z\","
	    "\"alreadyExists\":false}");
	assert_true(json_equal(result(4), result(0)));
	assert_true(json_equal(result(5), result(2)));
}

/* Who prefers it is not told by which task, but still what went wrong. */
static void
little_of_many(void **state)
{
	static const char body[] = "{\"booking_ids\":[\"" ID(0) "\",\"" ID(1)
	    "\",\"" ID(2) "\"]}";

	(void)state;
	further = "HTTP_PREFER=return=minimal\n";
	(void)trace_parse("00-0af7651916cd43dd8448eb211c80319c-"
	    "b7ad6b7169203331-01", &planned[0].trace);
	assert_int_equal(ask("POST", WEBHOOK, body), 200);
	further = "";
	assert_true(has_header("\nPreference-Applied: return=minimal\r\n"));
	expect_json(result(0), "{\"success\":true,\"scheduled\":true,"
	    "\"bookingId\":\"" ID(0) "\",\"traceparent\":"
	    "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}");
	expect_json(result(1), "{\"success\":true,\"scheduled\":false,"
	    "\"bookingId\":\"" ID(1) "\",\"reason\":\"already cancelled\"}");
	assert_string_equal(json_string_value(json_object_get(result(2),
	    "detail")), "it is busy");
	further = "HTTP_PREFER=return=representation\n";
	assert_int_equal(ask("POST", WEBHOOK, body), 200);
	further = "";
	assert_false(has_header("Preference-Applied"));
	assert_non_null(json_object_get(result(0), "taskName"));
}

static void
problems_of_many(void **state)
{

	(void)state;
	planned[0].outcome = SCHEDULE_NO_BOOKING;
	planned[1].outcome = SCHEDULE_GIVEN_UP;
	planned[2].everybody = 1;
	planned[2].retry_after = 0;
	assert_int_equal(ask("POST", WEBHOOK, "{\"booking_ids\":[\"" ID(0)
	    "\",\"" ID(1) "\",\"" ID(2) "\"]}"), 200);
	assert_int_equal(json_integer_value(json_object_get(result(0),
	    "status")), 404);
	assert_null(json_object_get(result(0), "retryAfter"));
	assert_true(json_is_false(json_object_get(result(1), "success")));
	assert_int_equal(json_integer_value(json_object_get(result(2),
	    "status")), 503);
	assert_int_equal(json_integer_value(json_object_get(result(2),
	    "retryAfter")), 1);
	assert_string_equal(json_string_value(json_object_get(result(2),
	    "type")), "urn:followup-scheduler:out-of-service");
}

/* Ask for the first ${n} bookings. */
static int
ask_for(int n)
{
	json_t *ids = json_array();
	char *body;
	int i, status;

	for (i = 0; i < n; i++)
		(void)json_array_append_new(ids, json_sprintf(
		    "%08d-0000-4000-8000-00000000000b", i));
	ids = json_pack("{so}", "booking_ids", ids);
	body = json_dumps(ids, 0);
	status = ask("POST", WEBHOOK, body);
	free(body);
	json_decref(ids);
	return (status);
}

static void
sizes_of_many(void **state)
{
	static const char *const wrong[] = { "{\"booking_ids\":[]}",
	    "{\"booking_ids\":5}", "{\"booking_ids\":null}",
	    "{\"booking_ids\":\"" ID(0) "\"}", "{\"booking_ids\":[5]}",
	    "{\"booking_ids\":[\"" ID(0) "\",null]}" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(wrong); i++)
		ASSERT_ROW(ask("POST", WEBHOOK, wrong[i]) == 400, wrong[i]);
	assert_int_equal(ask_for(SCHEDULE_BATCH + 1), 400);
	assert_string_equal(member("detail"),
	    "booking_ids must be an array of 1 to 100 UUIDs");
	assert_int_equal(calls, 0);
	assert_int_equal(ask_for(SCHEDULE_BATCH), 200);
	assert_int_equal(asked, SCHEDULE_BATCH);

	/* None that is a UUID is nothing to look at. */
	assert_int_equal(ask("POST", WEBHOOK, "{\"booking_ids\":[\"x\"]}"),
	    200);
	assert_int_equal(calls, 1);
}

/*
 * One booking's state.
 */

static void
booking_is_shown(void **state)
{

	(void)state;
	table_schedule(A);
	A->execution_attempts = 2;
	A->last_error = "boom";
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	table_expect("read:A history:A");
	assert_string_equal(member("taskStatus"), "scheduled");
	assert_string_equal(member("taskName"), A->task_name);
	assert_string_equal(member("scheduledAt"),
	    "2026-11-26T00:01:00.000Z");
	assert_string_equal(member("taskScheduledAt"),
	    "2026-11-26T00:01:00.000Z");
	assert_true(json_is_null(json_object_get(answer, "executedAt")));
	assert_int_equal(json_integer_value(json_object_get(answer,
	    "executionAttempts")), 2);
	assert_string_equal(member("lastError"), "boom");
	assert_string_not_equal(member("explanation"), "(none)");
	paused = "q";
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_non_null(strstr(member("explanation"), "queue q, which is "
	    "paused"));
	paused = NULL;
	expect_json(json_object_get(answer, "history"), "["
	    "{\"at\":\"2026-11-26T00:01:00.000Z\",\"what\":\"failed\","
	    "\"by\":\"followup-execute\",\"httpStatus\":503,"
	    "\"durationMs\":31,\"reason\":\"call ***************\","
	    "\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\"},"
	    "{\"at\":\"2026-11-26T00:00:00.000Z\",\"what\":\"scheduled\","
	    "\"by\":\"ann\",\"httpStatus\":null,\"durationMs\":null,"
	    "\"reason\":null,\"traceId\":null}]");
	table_fail("history", DB_LOST);
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 503);
	A->absent = 1;
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 404);
}

static void
booking_is_cancelled(void **state)
{

	(void)state;
	planned[0].deleted = 1;
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 200);
	table_expect("read_row:A cancel:A schedule:A try_lock:A read:A "
	    "unlock:A");
	expect_json(answer, "{\"success\":true,\"cancelled\":true,"
	    "\"bookingId\":\"" ID(0) "\",\"taskDeleted\":true}");
	planned[0].deleted = 0;
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 200);
	assert_true(json_is_false(json_object_get(answer, "taskDeleted")));
	A->status = "executed";
	table.trace[0] = '\0';
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 409);
	table_expect("read_row:A cancel:A");
	table_fail("cancel", DB_LOCKED);
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 503);
	A->absent = 1;
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 404);
}

/* How far back a booking is looked for is asked where it matters. */
static void
long_overdue(void **state)
{

	(void)state;
	conf.sweep_window = 3600;
	A->due_in = -7200;
	table.window = 3600;
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_non_null(strstr(member("explanation"), "not called by itself"));
	table.window = 86400;
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_non_null(strstr(member("explanation"), "waits for its task"));
	conf.sweep_window = 0;
}

/* Answer why it will not be called. */
static PGresult *
too_late(const struct bookings_call *call)
{
	PGresult *result = NULL;

	if (strcmp(call->sql->name, "then never") == 0) {
		assert_string_equal(call->params[0], ID(0));
		result = table_rows(1);
		table_set(result, 0, 0, "more than 4h late");
	}
	return (result);
}

/* What becomes of who waits is asked, and of nobody else. */
static void
waits_for_nothing(void **state)
{

	(void)state;
	table.other = too_late;
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_null(strstr(member("explanation"), "more than 4h late"));
	A->verdict = "wait";
	A->verdict_reason = "paused: x";
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_string_equal(member("explanation"), "It waits (paused: x), but "
	    "is not called when that ends (more than 4h late): it becomes a "
	    "dead letter.");
}

/* What is no follow-up is left alone, and said to be. */
static void
no_followup(void **state)
{
	static const char *const statuses[] = { "pending", "failed" };
	size_t i;

	(void)state;
	A->is_followup = 0;
	A->type = "meeting";
	for (i = 0; i < NITEMS(statuses); i++) {
		A->status = statuses[i];
		ASSERT_ROW(ask("DELETE", "/followups/" ID(0), "") == 409,
		    statuses[i]);
		assert_string_equal(member("detail"), "the type \"meeting\" of "
		    "booking " ID(0) " is not a follow-up type: it is left "
		    "alone");
		ASSERT_ROW(ask("POST", "/followups/" ID(0) "/retry", "") ==
		    409, statuses[i]);
		assert_non_null(strstr(member("detail"), "left alone"));
		assert_string_equal(A->status, statuses[i]);
	}
	A->type = NULL;
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_non_null(strstr(member("explanation"), "left alone"));
}

static void
execute_meanwhile(void)
{

	A->status = "executed";
}

/* What has begun cannot be stopped: the answer says what comes of it. */
static void
cancelled_during_its_call(void **state)
{

	(void)state;
	A->outcome_unknown = 1;
	A->foreign = 1;
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 202);
	table_expect("read_row:A cancel:A schedule:A try_lock:A read:A");
	assert_true(json_is_false(json_object_get(answer, "cancelled")));
	assert_non_null(strstr(member("reason"), "cannot be stopped: if the "
	    "voice agent takes it, the booking becomes executed"));
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_non_null(strstr(member("explanation"), "becomes executed"));

	/* Nobody is at it any more. */
	A->foreign = 0;
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 200);
	assert_true(json_is_true(json_object_get(answer, "cancelled")));
	assert_non_null(strstr(member("reason"), "outcome is not known"));

	/* Somebody looks at it, and has not begun: nobody will. */
	A->foreign = 1;
	A->outcome_unknown = 0;
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 200);
	assert_null(json_object_get(answer, "reason"));

	/* The call came first. */
	A->foreign = 0;
	table_before("try lock", execute_meanwhile);
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 409);

	A->status = "scheduled";
	table_fail("try lock", DB_LOST);
	assert_int_equal(ask("DELETE", "/followups/" ID(0), ""), 503);
}

static void
booking_is_retried(void **state)
{

	(void)state;
	A->status = "failed";
	assert_int_equal(ask("POST", "/followups/" ID(0) "/retry", ""), 200);
	table_expect("read_row:A retry:A");
	assert_string_equal(member("taskStatus"), "pending");
	assert_int_equal(ask("POST", "/followups/" ID(0) "/retry", ""), 409);
	assert_string_equal(member("detail"), "booking " ID(0) " is pending: "
	    "only failed ones can be retried");
	table.rows[1].status = "failed";
	table.rows[1].called = 1;
	assert_int_equal(ask("POST", "/followups/" ID(1) "/retry", ""), 200);
	assert_string_equal(member("taskStatus"), "executed");
	table_fail("retry", DB_FAILED);
	assert_int_equal(ask("POST", "/followups/" ID(0) "/retry", ""), 503);
	assert_int_equal(ask("POST", "/followups/" ID(0) "/retry",
	    "{\"late\":1}"), 400);
	assert_int_equal(ask("POST", "/followups/" ID(0) "/retry",
	    "{\"lat\":true}"), 400);
	A->absent = 1;
	assert_int_equal(ask("POST", "/followups/" ID(0) "/retry",
	    "{\"late\":true}"), 404);
}

/*
 * A booking whose gate fails is shown with the error, and cancelled without
 * asking again.
 */
static void
gate_fails(void **state)
{

	(void)state;
	A->queue = "tenant-1";
	table_schedule(A);
	table_fail("read", DB_FAILED);
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	table_expect("read:A read_row:A history:A");
	assert_string_equal(member("taskStatus"), "scheduled");
	assert_non_null(strstr(member("explanation"),
	    "followup_gate fails for it (said no)"));
	table_fail("read", DB_MANY);
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_non_null(strstr(member("explanation"), "(said no)"));
	table_fail("read", DB_BROKEN);
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 503);
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 200);
	assert_null(strstr(member("explanation"), "followup_gate"));
}

/* What the database does not do is said in four ways. */
static void
database_does_not(void **state)
{

	(void)state;
	table_fail("read", DB_LOCKED);
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 503);
	assert_string_equal(member("detail"),
	    "another worker is busy with this booking");
	table_fail("read", DB_LOCKED);
	table.timed_out = 1;
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 503);
	assert_string_equal(member("detail"),
	    "the database took longer than 9s");
	table_fail("read", DB_FAILED);
	table_fail("read row", DB_FAILED);
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 503);
	assert_true(has_header("\r\nRetry-After: 10\r\n"));
	table.connect_fails = 1;
	assert_int_equal(ask("GET", "/followups/" ID(0), ""), 503);
	assert_string_equal(member("type"),
	    "urn:followup-scheduler:out-of-service");
}

/*
 * Dead letters.
 */

static int letters;			/* that there are */
static char params[256];

static PGresult *
dead_letters(const struct bookings_call *call)
{
	static const char *const columns[] = { "", "t1", "execute", "3",
	    "first", "last", "503", "boom", "2026-11-26T00:00:00.000001Z" };
	const char *limit = call->params[2];
	PGresult *rows;
	int i, j;

	if (strstr(call->sql->name, "dead letters") == NULL)
		return (NULL);
	(void)snprintf(params, sizeof(params), "%s|%s|%s",
	    call->params[0] != NULL ? call->params[0] : "-",
	    call->params[1] != NULL ? call->params[1] : "-",
	    limit != NULL ? limit : "-");
	if (strcmp(call->sql->name, "dead letters") != 0) {
		rows = table_rows(6);
		table_set(rows, 0, 0, "%d", letters);
		for (j = 1; j < 6; j++)
			table_set(rows, 0, j, "%s", j == 1 ? "f" : "");
		return (rows);
	}
	rows = table_rows(9);
	for (i = 0; limit != NULL && i < letters &&
	    i < strtol(limit, NULL, 10); i++) {
		for (j = 0; j < 9; j++)
			table_set(rows, i, j, "%s", columns[j]);
		table_set(rows, i, 0, "%s", table.rows[i].id);
		if (i == 1)
			table_set(rows, i, 6, "%s", "");
	}
	return (rows);
}

static void
dead_letters_are_listed(void **state)
{

	(void)state;
	table.other = dead_letters;
	letters = 3;
	assert_int_equal(ask("GET", "/dead-letters", ""), 200);
	assert_string_equal(params, "-|-|51");
	assert_int_equal(json_array_size(json_object_get(answer,
	    "deadLetters")), 3);
	assert_true(json_is_null(json_object_get(answer, "next")));
	expect_json(json_array_get(json_object_get(answer, "deadLetters"),
	    0), "{\"bookingId\":\"" ID(0) "\",\"tenantId\":\"t1\","
	    "\"stage\":\"execute\",\"attempts\":3,\"firstFailedAt\":\"first\","
	    "\"lastFailedAt\":\"last\",\"httpStatus\":503,\"error\":\"boom\","
	    "\"diedAt\":\"2026-11-26T00:00:00.000001Z\"}");
	assert_true(json_is_null(json_object_get(json_array_get(
	    json_object_get(answer, "deadLetters"), 1), "httpStatus")));

	/* The next page begins behind the last one that is shown. */
	assert_int_equal(ask("GET", "/dead-letters?limit=2", ""), 200);
	assert_int_equal(json_array_size(json_object_get(answer,
	    "deadLetters")), 2);
	assert_string_equal(member("next"), "/dead-letters?limit=2&before="
	    "2026-11-26T00:00:00.000001Z," ID(1));
	assert_int_equal(ask("GET", member("next"), ""), 200);
	assert_string_equal(params, "2026-11-26T00:00:00.000001Z|" ID(1)
	    "|3");
	assert_int_equal(ask("GET", "/dead-letters?x=1&limit=500&before="
	    "2026-11-26T00%3a00%3A00Z%2C" ID(1), ""), 200);
	assert_string_equal(params, "2026-11-26T00:00:00Z|" ID(1) "|501");
}

static void
wrong_pages(void **state)
{
	static const char *const queries[] = { "limit=0", "limit=501",
	    "limit=", "limit=x", "limit=5x", "limit=-1", "limit=99999999",
	    "before=x", "before=,", "before=2026-11-26T00:00:00Z,x",
	    /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
	    "before=now," ID(0), "before=2026-11-26T00:00:00%2b16:00," ID(0),
	    "before=%", "before=%zz", "before=%00" };
	char uri[128];
	size_t i;

	(void)state;
	table.other = dead_letters;
	for (i = 0; i < NITEMS(queries); i++) {
		(void)snprintf(uri, sizeof(uri), "/dead-letters?%s",
		    queries[i]);
		ASSERT_ROW(ask("GET", uri, "") == 400, queries[i]);
	}
}

static void
dead_letters_are_retried(void **state)
{
	static const char *const wrong[] = { "{\"stage\":\"x\"}",
	    "{\"stage\":5}", "{\"since\":\"now\"}", "{\"since\":5}",
	    "{\"until\":\"\"}", "{\"until\":[]}", "[]",
	    "{\"tenant\":\"t\"}", "{\"late\":\"true\"}",
	    "{\"perMinute\":0}", "{\"httpStatus\":\"503\"}" };
	size_t i;

	(void)state;
	table.other = dead_letters;
	letters = 12;
	assert_int_equal(ask("POST", "/dead-letters/retry", "{}"), 200);
	assert_string_equal(params, "{}|f|-");
	expect_json(answer, "{\"success\":true,\"retried\":12,"
	    "\"more\":false}");
	assert_int_equal(ask("POST", "/dead-letters/retry",
	    "{\"stage\":\"execute\",\"since\":\"2026-11-26T00:00:00Z\","
	    "\"until\":\"2026-11-27T00:00:00+04:00\"}"), 200);
	assert_non_null(strstr(params, "\"since\":\"2026-11-26T00:00:00Z\""));
	assert_int_equal(ask("POST", "/dead-letters/retry",
	    "{\"late\":true,\"perMinute\":60}"), 200);
	assert_non_null(strstr(params, "|t|-"));

	/* The error is a group's, or a part of one. */
	assert_int_equal(ask("POST", "/dead-letters/retry",
	    "{\"error\":\"boom\"}"), 200);
	assert_string_equal(params, "{\"cause\":\"boom\"}|f|-");
	letters = 0;
	assert_int_equal(ask("POST", "/dead-letters/retry",
	    "{\"error\":\"boom\"}"), 200);
	assert_string_equal(params, "{\"error\":\"boom\"}|f|-");
	for (i = 0; i < NITEMS(wrong); i++)
		ASSERT_ROW(ask("POST", "/dead-letters/retry", wrong[i]) ==
		    400, wrong[i]);
	table.connect_fails = 2;
	assert_int_equal(ask("POST", "/dead-letters/retry", "{}"), 503);
	assert_int_equal(ask("GET", "/dead-letters", ""), 503);
}

/* The counts of a dry run: of 9 letters, as many as it could look at. */
static const char *looked_at;

static PGresult *
dry_run(const struct bookings_call *call)
{
	const char *counts[] = { "9", "1", "2", "", "3", "0", looked_at };
	PGresult *rows;
	int i;

	if (strcmp(call->sql->name, "preview of a retry") != 0)
		return (NULL);
	rows = table_rows((int)NITEMS(counts));
	for (i = 0; i < (int)NITEMS(counts); i++)
		table_set(rows, 0, i, "%s", counts[i]);
	return (rows);
}

static void
letters_are_counted(void **state)
{
	const char *dry = "{\"dryRun\":true}";

	(void)state;
	table.other = dry_run;
	looked_at = "9";
	assert_int_equal(ask("POST", "/dead-letters/retry", dry), 200);
	expect_json(answer, "{\"success\":true,\"dryRun\":true,"
	    "\"matching\":9,\"callNow\":1,\"wait\":2,\"waitUntil\":null,"
	    "\"tooLate\":3,\"never\":0,\"notRetried\":3,\"more\":false}");
	looked_at = "7";
	assert_int_equal(ask("POST", "/dead-letters/retry", dry), 200);
	expect_json(answer, "{\"success\":true,\"dryRun\":true,"
	    "\"matching\":9,\"callNow\":1,\"wait\":2,\"waitUntil\":null,"
	    "\"tooLate\":3,\"never\":0,\"notRetried\":1,\"more\":true}");
}

/*
 * Pauses.
 */

/* What is asked of the database: ${params}; it says ${wrong}, if anything. */
static const char *wrong_pause;

static PGresult *
pauses(const struct bookings_call *call)
{
	PGresult *rows;
	int i;

	params[0] = '\0';
	for (i = 0; i < call->nparams; i++)
		(void)snprintf(&params[strlen(params)],
		    sizeof(params) - strlen(params), "%s|",
		    call->params[i] != NULL ? call->params[i] : "-");
	if (strcmp(call->sql->name, "resume") == 0)
		return (table_count(letters));
	if (strstr(call->sql->name, "pause") == NULL)
		return (NULL);
	rows = table_rows(1);
	table_set(rows, 0, 0, "%s", call->nparams == 0 ?
	    "[{\"scope\":\"all\"}]" : wrong_pause);
	return (rows);
}

static void
calls_are_paused(void **state)
{
	static const char *const wrong[] = { "{\"scope\":\"all\"}",
	    "{\"reason\":\"x\"}", "{\"scope\":1,\"reason\":\"x\"}",
	    "{\"scope\":\"all\",\"reason\":\"x\",\"until\":\"soon\"}",
	    "{\"scope\":\"all\",\"reason\":\"x\",\"untill\":null}" };
	size_t i;

	(void)state;
	table.other = pauses;
	wrong_pause = "";
	letters = 1;
	assert_int_equal(ask("GET", "/pauses", ""), 200);
	expect_json(answer, "{\"pauses\":[{\"scope\":\"all\"}]}");
	assert_int_equal(ask("POST", "/pauses", "{\"scope\":\"all\","
	    "\"reason\":\"x\",\"until\":\"2030-01-01T00:00:00Z\"}"), 200);
	assert_string_equal(params, "all|x|2030-01-01T00:00:00Z|-|");
	assert_int_equal(ask("DELETE", "/pauses/tenant:a/b c", ""), 200);
	assert_string_equal(params, "tenant:a/b c|-|");
	letters = 0;
	assert_int_equal(ask("DELETE", "/pauses/all", ""), 404);
	for (i = 0; i < NITEMS(wrong); i++)
		ASSERT_ROW(ask("POST", "/pauses", wrong[i]) == 400,
		    wrong[i]);
	wrong_pause = "it has passed";
	assert_int_equal(ask("POST", "/pauses",
	    "{\"scope\":\"all\",\"reason\":\"x\"}"), 400);
	assert_string_equal(member("detail"), "it has passed");
	assert_int_equal(ask("DELETE", "/pauses", ""), 405);
}

/*
 * Health, and what is the same for all.
 */

/* A database that hangs keeps nobody waiting who only looks. */
static void
looking(void **state)
{
	static const char *const paths[] = { "/readyz", "/metrics",
	    "/status.json", "/status", ("/followups/" ID(0)) };
	size_t i;

	(void)state;
	looked = 0;
	for (i = 0; i < NITEMS(paths); i++) {
		table.limit = table.limited = 0;
		(void)ask("GET", paths[i], "");
		ASSERT_ROW(table.limited == 1800 && table.limit == 0,
		    paths[i]);
	}
	table.limited = 0;
	(void)ask("POST", WEBHOOK, ONE(0));
	assert_int_equal(table.limited, 0);
	assert_int_equal(looked, NITEMS(paths));
}

static void
health(void **state)
{

	(void)state;
	assert_int_equal(ask("GET", "/healthz", ""), 200);
	assert_int_equal(ask("GET", "/readyz", ""), 200);
	expect_json(answer,
	    "{\"status\":\"ready\",\"breaker\":\"half-open\"}");

	/* All that is wrong is named, for people and for programs. */
	missing[0] = "something is not there";
	missing[1] = "nor is \"that\"";
	assert_int_equal(ask("GET", "/readyz", ""), 503);
	assert_true(has_header("Retry-After: 7\r\n"));
	assert_true(has_header("Content-Type: application/problem+json"));
	expect_json(answer, "{\"type\":\"urn:followup-scheduler:"
	    "out-of-service\",\"title\":\"Nothing can be done for any booking "
	    "now\",\"status\":503,"
	    "\"detail\":\"something is not there; nor is \\\"that\\\"\","
	    "\"troubles\":[{\"code\":\"first\",\"sentence\":\"something is not "
	    "there\"},{\"code\":\"second\",\"sentence\":\"nor is "
	    "\\\"that\\\"\"}]}");
	assert_int_equal(ask("GET", "/healthz", ""), 200);
}

static void
paths_and_methods(void **state)
{
	static const struct {
		const char *method, *path;
		int status;
	} all[] = {
		{ "GET", "/", 404 }, { "GET", "/followups", 404 },
		{ "GET", "/followups/", 404 },
		{ "GET", "/followups/" ID(0) "/x", 404 },
		{ "POST", "/followups/" ID(0) "/retry/", 404 },
		{ "GET", "/followups/x", 400 },
		{ "PUT", "/followups/" ID(0), 405 },
		{ "GET", WEBHOOK, 405 }, { "HEAD", "/healthz", 200 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++)
		ASSERT_ROW(ask(all[i].method, all[i].path, "{}") ==
		    all[i].status, all[i].path);
	assert_int_equal(ask("PUT", "/followups/" ID(0), ""), 405);
	assert_true(has_header("\r\nAllow: GET, DELETE\r\n"));
}

static void
token(void **state)
{

	(void)state;
	conf.webhook_token = "token";
	assert_int_equal(ask("POST", WEBHOOK, ONE(0)), 200);
	conf.webhook_token = "tokem";
	assert_int_equal(ask("POST", WEBHOOK, ONE(0)), 401);
	assert_true(has_header("\r\nWWW-Authenticate: Bearer\r\n"));
	conf.webhook_token = "token and more";
	assert_int_equal(ask("GET", "/nowhere", ""), 401);
	assert_int_equal(ask("GET", "/healthz", ""), 200);
}

/*
 * Send a form of the page, with ${header} if that is not empty; the answer is
 * a page.  Return its status.
 */
static int
submit(const char *header, const char *fields)
{
	struct request request;
	char *text;
	int status;

	assert_true(asprintf(&text, "REQUEST_METHOD=POST\n"
	    "DOCUMENT_URI=/status\nHTTP_HOST=localhost:8080\n"
	    "CONTENT_TYPE=application/x-www-form-urlencoded\n%s\n%s", header,
	    fields) > 0);
	fcgi_memory_init(&memory, &request, (const uint8_t *)text,
	    strlen(text));
	routes_handle(routes, &request);
	status = fcgi_memory_check(&memory, &request);
	fcgi_memory_free(&memory);
	free(text);
	return (status);
}

static void
forms(void **state)
{
	static const char pause[] = "action=pause&scope=all&reason=it%27s";
	static const char confirmed[] = "action=pause&scope=all&reason=x"
	    "&confirm=yes&operator=ann";
	static const struct {
		const char *header;
		int status;
	} sites[] = {
		{ "HTTP_SEC_FETCH_SITE=same-origin\n", 200 },
		{ "HTTP_SEC_FETCH_SITE=cross-site\n", 403 },
		{ "HTTP_SEC_FETCH_SITE=same-site\n", 403 },
		{ "HTTP_ORIGIN=http://localhost:8080\n", 200 },
		{ "HTTP_ORIGIN=http://localhost:8081\n", 403 },
		{ "HTTP_ORIGIN=null\n", 403 },
	};
	size_t i;

	(void)state;
	table.other = pauses;
	wrong_pause = "";
	params[0] = '\0';

	/* It is shown first, as a shell would do it. */
	assert_int_equal(submit("", pause), 200);
	assert_true(has_header("\r\nContent-Security-Policy: default-src "
	    "'none'; "));
	assert_true(has_header("it&#39;\\&#39;&#39;s"));
	assert_true(has_header("name=\"operator\""));
	assert_string_equal(params, "");

	/* Whatever characters a tenant's id has. */
	assert_int_equal(submit("", "action=resume&scope=tenant%3AA%26B+%231"
	    "%2Fx%3Fy%C3%A4"), 200);
	assert_true(has_header("/pauses/tenant:A%26B%20%231%2Fx%3Fy%C3%A4&#39;"));
	assert_false(has_header("of their own"));
	assert_int_equal(submit("", "action=resume&scope=all"), 200);
	assert_true(has_header("all calls go on, but for tenants that have a "
	    "pause of their own: "));

	/* It is done by one who says who that is, and by our own page. */
	assert_int_equal(submit("", "action=pause&scope=all&reason=x"
	    "&confirm=yes"), 400);
	assert_string_equal(params, "");
	for (i = 0; i < NITEMS(sites); i++) {
		ASSERT_ROW(submit(sites[i].header, confirmed) ==
		    sites[i].status, sites[i].header);
		assert_string_equal(params, sites[i].status == 200 ?
		    "all|x|-|ann|" : "");
		params[0] = '\0';
	}
	conf.webhook_token = "token";
	assert_int_equal(submit("", confirmed), 401);
	assert_string_equal(params, "");
	assert_int_equal(submit("HTTP_AUTHORIZATION=Bearer token\n",
	    confirmed), 200);
	assert_string_equal(params, "all|x|-|ann|");
	assert_int_equal(submit("", "action=x&confirm=yes&operator=ann"
	    "&token=token"), 400);
	assert_int_equal(submit("", "action=call&booking=x&confirm=yes"
	    "&operator=ann&token=token"), 400);
	assert_int_equal(submit("", "action=call&booking=" ID(0) "&confirm=yes"
	    "&operator=ann&token=token"), 200);
	table_expect("schedule:A");
}

static int
forget(void **state)
{

	(void)state;
	json_decref(answer);
	return (0);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_booking),
		TEST(payloads),
		TEST(many_bookings),
		TEST(little_of_many),
		TEST(problems_of_many),
		TEST(sizes_of_many),
		TEST(booking_is_shown),
		TEST(booking_is_cancelled),
		TEST(cancelled_during_its_call),
		TEST(booking_is_retried),
		TEST(gate_fails),
		TEST(waits_for_nothing),
		TEST(no_followup),
		TEST(long_overdue),
		TEST(database_does_not),
		TEST(dead_letters_are_listed),
		TEST(wrong_pages),
		TEST(dead_letters_are_retried),
		TEST(letters_are_counted),
		TEST(calls_are_paused),
		TEST(health),
		TEST(looking),
		TEST(paths_and_methods),
		TEST(token),
		TEST(forms),
	};

	return (cmocka_run_group_tests(tests, NULL, forget));
}
