#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "../fuzz/fcgi_memory.h"

#include "bookings.h"
#include "callback.h"
#include "callback_auth.h"
#include "config.h"
#include "execute.h"
#include "jwks.h"
#include "verdicts.h"
#include "voice_agent.h"

#include "captured_log.h"
#include "unit.h"

#define ID	"00000000-0000-4000-8000-00000000000b"
#define PATH	"/bookings/" ID "/execute-followup"
#define BODY	"{\"tenantId\":\"t1\",\"bookingId\":\"" ID "\"," \
		"\"leadId\":null,\"scheduledAt\":\"2026-11-26T00:01:00.5Z\"}"

/* What the workers call through, which is only carried around. */
#define BREAKER		((struct breaker *)(void *)&conf)

static struct config conf = { .schema = "lad_dev", .table = "lead_bookings" };
static struct callback *callback;
static struct verdicts *verdicts;
static char verdicts_dir[] = "/tmp/followup-verdicts.XXXXXX";
static char verdicts_path[64];

/*
 * The parts of a worker, instead of the product's: they are only carried
 * around.
 */
static int made;			/* parts that were not freed */
static int fails_at;			/* so many-th part cannot be made */
static enum db_outcome prepared;

static void *
make(void)
{

	if (fails_at > 0 && --fails_at == 0)
		return (NULL);
	made++;
	return (&made);
}

struct bookings *
bookings_new(const struct config *c, struct db *db)
{

	assert_true(c == &conf && db != NULL);
	return (make());
}

void
bookings_free(struct bookings *b)
{

	made -= b != NULL;
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
	return (prepared);
}

enum db_outcome
bookings_run(struct bookings *b, struct bookings_call *calls, size_t n)
{

	(void)b;
	(void)calls;
	(void)n;
	fail();
	return (DB_LOST);
}

enum db_outcome
bookings_changed(struct bookings *b, struct bookings_call *call, int *changed)
{

	(void)changed;
	return (bookings_run(b, call, 1));
}

enum db_outcome
bookings_holds(struct bookings *b)
{

	(void)b;
	return (DB_OK);
}

enum db_outcome
bookings_ignored(struct bookings *b)
{

	(void)b;
	fail();
	return (DB_FAILED);
}

void
bookings_disconnect(struct bookings *b)
{

	(void)b;
}

struct voice_agent *
voice_agent_new(const struct config *c)
{

	(void)c;
	return (make());
}

void
voice_agent_free(struct voice_agent *a)
{

	made -= a != NULL;
}

struct jwks *
jwks_new(const struct config *c, struct shared_document *keys)
{

	(void)c;
	assert_null(keys);
	return (make());
}

void
jwks_free(struct jwks *j)
{

	made -= j != NULL;
}

/* Who calls, and what comes of it. */
static enum callback_outcome verdict;
static int executions;
static struct execute_callback executed;
#define TRACEPARENT							\
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static char tenant[64], task[128], traceparent[64];
static struct execute_result planned;

enum callback_outcome
callback_auth(const struct config *c, struct jwks *j,
    const struct request *request, const char *id, time_t t,
    const char **why)
{

	assert_true(c == &conf && j != NULL && request != NULL && t > 0);
	assert_string_not_equal(id, "");
	*why = "for some reason";
	return (verdict);
}

enum metrics_rule
callback_rule(const char *why)
{

	assert_string_equal(why, "for some reason");
	return (METRICS_RULE_ISSUER);
}

static void
keep(char *buf, size_t len, const char *text)
{

	(void)snprintf(buf, len, "%s", text != NULL ? text : "(none)");
}

void
execute_booking(const struct execute *x, const struct execute_callback *c,
    struct execute_result *result)
{

	char text[TRACE_PARENT_LEN];

	assert_true(x->conf == &conf && x->bookings != NULL &&
	    x->agent != NULL && x->breaker == BREAKER);
	executions++;
	executed = *c;
	keep(tenant, sizeof(tenant), c->tenant_id);
	keep(task, sizeof(task), c->task_id);
	keep(traceparent, sizeof(traceparent), trace_parent(&c->trace, text));
	*result = planned;
}

static int
begin(void **state)
{

	(void)state;
	captured_log_begin(LOG_DEBUG);
	verdict = CALLBACK_OURS;
	prepared = DB_OK;
	executions = fails_at = 0;
	planned = (struct execute_result){ .outcome = EXECUTE_DONE,
	    .reason = "the reason", .retry_after = 9 };
	assert_non_null(callback = callback_new(&conf, NULL, verdicts,
	    NULL, BREAKER));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	callback_free(callback);
	assert_int_equal(made, 0);
	captured_log_end();
	return (0);
}

static struct fcgi_memory memory;
static json_t *answer;

/* Ask, and keep the answer's body in ${answer}; return its status. */
static int
ask(const char *method, const char *path, const char *params,
    const char *body)
{
	struct request request;
	char *text;
	int status;

	assert_true(asprintf(&text, "REQUEST_METHOD=%s\nDOCUMENT_URI=%s\n"
	    "CONTENT_TYPE=application/json\n%s\n%s", method, path, params,
	    body) > 0);
	fcgi_memory_init(&memory, &request, (const uint8_t *)text,
	    strlen(text));
	callback_handle(callback, &request);
	status = fcgi_memory_check(&memory, &request);
	json_decref(answer);
	answer = json_loads(strstr((char *)memory.answer, "\r\n\r\n") + 4, 0,
	    NULL);
	fcgi_memory_free(&memory);
	free(text);
	return (status);
}

static int
has_header(const char *line)
{

	return (strstr((const char *)memory.answer, line) != NULL);
}

static void
callback_is_executed(void **state)
{

	(void)state;
	assert_int_equal(ask("POST", PATH, "HTTP_X_CLOUDTASKS_TASKNAME=t-1\n"
	    "HTTP_TRACEPARENT=" TRACEPARENT "\n", BODY), 200);
	assert_int_equal(executions, 1);
	assert_string_equal(executed.booking_id, ID);
	assert_true(executed.scheduled_at == INT64_C(1795651260500));
	assert_string_equal(tenant, "t1");
	assert_string_equal(task, "t-1");
	assert_string_equal(traceparent, TRACEPARENT);

	/* The other path, a full name, and an id in capitals. */
	assert_int_equal(ask("POST", "/api/deals-pipeline/bookings/"
	    "00000000-0000-4000-8000-00000000000B/execute-followup",
	    "HTTP_X_CLOUDTASKS_TASKNAME=projects/p/tasks/t-2\n", BODY), 200);
	assert_string_equal(executed.booking_id, ID);
	assert_string_equal(task, "t-2");
	assert_string_equal(traceparent, "(none)");
	assert_int_equal(ask("POST", PATH, "", BODY), 200);
	assert_string_equal(task, "(none)");

	/* An empty header says nothing, least of all that it is another task. */
	assert_int_equal(ask("POST", PATH, "HTTP_X_CLOUDTASKS_TASKNAME=\n",
	    BODY), 200);
	assert_string_equal(task, "(none)");
	assert_int_equal(ask("POST", PATH, "HTTP_X_CLOUDTASKS_TASKNAME="
	    "projects/p/tasks/\n", BODY), 200);
	assert_string_equal(task, "(none)");
}

/* Whatever shall not come back is answered 200. */
static void
outcomes(void **state)
{
	static const struct {
		enum execute_outcome outcome;
		int status;
		const char *name;
		int success;
	} all[] = {
		{ EXECUTE_DONE, 200, "executed", 1 },
		{ EXECUTE_ALREADY, 200, "already_executed", 1 },
		{ EXECUTE_SKIPPED, 200, "skipped", 1 },
		{ EXECUTE_GIVEN_UP, 200, "failed", 0 },
		{ EXECUTE_BUSY, 409, NULL, 0 },
		{ EXECUTE_MISMATCH, 400, NULL, 0 },
		{ EXECUTE_LATER, 503, NULL, 0 },
		{ EXECUTE_LATER, 500, NULL, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++) {
		planned.outcome = all[i].outcome;
		planned.alone = all[i].status == 500;
		assert_int_equal(ask("POST", PATH, "", BODY), all[i].status);
		assert_string_equal(json_string_value(json_object_get(answer,
		    all[i].name != NULL ? "reason" : "detail")),
		    "the reason");
		if (all[i].name == NULL)
			continue;
		assert_string_equal(json_string_value(json_object_get(answer,
		    "status")), all[i].name);
		assert_int_equal(json_is_true(json_object_get(answer,
		    "success")), all[i].success);
	}
	assert_true(has_header("\r\nRetry-After: 9\r\n"));

	/* Its call may have been started, and that could not be written. */
	assert_int_equal(logged("the queue tries again: the reason"), 2);
}

static void
only_our_queue(void **state)
{
	struct verdicts_seen seen;

	(void)state;
	verdict = CALLBACK_REFUSED;
	assert_int_equal(ask("POST", PATH, "", BODY), 401);
	assert_true(has_header("\r\nWWW-Authenticate: Bearer\r\n"));
	assert_false(has_header("for some reason"));
	assert_int_equal(logged("callback refused: for some reason"), 1);
	verdict = CALLBACK_UNDECIDED;
	assert_int_equal(ask("POST", PATH, "", BODY), 503);
	assert_int_equal(logged("callback could not be verified: "
	    "for some reason"), 1);
	assert_int_equal(executions, 0);

	/* Whoever asks about us is told, until one is let in. */
	assert_int_equal(verdicts_read(verdicts_path, &seen), 0);
	assert_int_equal(seen.refused, 2);
	assert_string_equal(seen.reason, "for some reason");
	verdict = CALLBACK_OURS;
	assert_int_equal(ask("POST", PATH, "", BODY), 200);
	assert_int_equal(verdicts_read(verdicts_path, &seen), 0);
	assert_int_equal(seen.refused, 0);
}

static void
paths_and_methods(void **state)
{
	static const struct {
		const char *method, *path;
		int status;
	} all[] = {
		{ "GET", PATH, 405 },
		{ "POST", "/", 404 },
		{ "POST", PATH "/", 404 },
		{ "POST", "/bookings//execute-followup", 404 },
		{ "POST", "/bookings/" ID, 404 },
		{ "POST", "/bookings/" ID ID "/execute-followup", 404 },
		{ "POST", "/other/" ID "/execute-followup", 404 },
		{ "POST", "/bookings/x/execute-followup", 400 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++)
		ASSERT_ROW(ask(all[i].method, all[i].path, "", BODY) ==
		    all[i].status, all[i].path);
	assert_int_equal(executions, 0);
}

static void
wrong_bodies(void **state)
{
	static const char *const bodies[] = { "", "[]", "{}",
	    "{\"bookingId\":\"" ID "\"}",
	    "{\"bookingId\":\"" ID "\",\"scheduledAt\":\"soon\"}",
	    "{\"bookingId\":\"" ID "\",\"scheduledAt\":5}",
	    "{\"bookingId\":5,\"scheduledAt\":\"2026-11-26T00:01:00Z\"}",
	    "{\"bookingId\":\"x\",\"scheduledAt\":\"2026-11-26T00:01:00Z\"}",
	    "{\"bookingId\":\"00000000-0000-4000-8000-00000000000c\","
	    "\"scheduledAt\":\"2026-11-26T00:01:00Z\"}",
	    "{\"bookingId\":\"" ID "\",\"tenantId\":5,"
	    "\"scheduledAt\":\"2026-11-26T00:01:00Z\"}" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bodies); i++)
		ASSERT_ROW(ask("POST", PATH, "", bodies[i]) == 400,
		    bodies[i]);
	assert_int_equal(executions, 0);
}

/* A worker that cannot be made leaves nothing behind. */
static void
worker(void **state)
{
	struct callback *another;
	int before = made;

	(void)state;
	for (fails_at = 1; fails_at <= 3; fails_at++) {
		int wanted = fails_at;

		assert_null(callback_new(&conf, NULL, verdicts, NULL,
		    BREAKER));
		assert_int_equal(made, before);
		fails_at = wanted;
	}
	fails_at = 0;
	prepared = DB_LOST;
	assert_non_null(another = callback_new(&conf, NULL, verdicts,
	    NULL, BREAKER));
	assert_int_equal(logged("the database is not ready yet"), 1);
	callback_free(another);
	callback_free(NULL);
}

static int
remember(void **state)
{

	(void)state;
	assert_non_null(mkdtemp(verdicts_dir));
	(void)snprintf(verdicts_path, sizeof(verdicts_path), "%s/verdicts",
	    verdicts_dir);
	assert_non_null(verdicts = verdicts_new(verdicts_path));
	return (0);
}

static int
forget(void **state)
{

	(void)state;
	verdicts_free(verdicts);
	(void)unlink(verdicts_path);
	(void)rmdir(verdicts_dir);
	json_decref(answer);
	return (0);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(callback_is_executed),
		TEST(outcomes),
		TEST(only_our_queue),
		TEST(paths_and_methods),
		TEST(wrong_bodies),
		TEST(worker),
	};

	return (cmocka_run_group_tests(tests, remember, forget));
}
