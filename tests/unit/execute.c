#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "breaker.h"
#include "config.h"
#include "execute.h"
#include "monotime.h"
#include "voice_agent.h"

#include "captured_log.h"
#include "scripted_bookings.h"
#include "unit.h"

#define A		(&table.rows[0])
#define TASK_ID								\
	"followup-00000000-0000-4000-8000-00000000000b-1795651260"
#define DUE_MS		INT64_C(1795651260000)

/* How often and how long it tries to write that a call was started. */
#define WRITES		20
#define PAUSE_MS	250

static struct config conf;
static const struct breaker_service service = { .name = "the voice agent",
    .nothing = "call is begun", .probe_ms = 45000 };
static struct execute execute = { .conf = &conf };
static struct execute_callback callback;
static struct execute_result result;

#define TRACEPARENT							\
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/* The voice agent, instead of the product's. */
static struct {
	enum voice_agent_outcome outcome;
	struct voice_agent_error error;
	void (*happen)(void);
	char body[256];
	char key[256];
	char message_id[256];
	char tenant[64];
	char traceparent[64];
} agent;

static void
keep(char *buf, size_t len, const char *text)
{

	(void)snprintf(buf, len, "%s", text != NULL ? text : "(none)");
}

enum voice_agent_outcome
voice_agent_start(struct voice_agent *a, const struct voice_agent_call *call,
    struct voice_agent_error *error)
{

	assert_null(a);
	table_trace("call");
	keep(agent.body, sizeof(agent.body), call->body);
	keep(agent.key, sizeof(agent.key), call->idempotency_key);
	keep(agent.message_id, sizeof(agent.message_id), call->message_id);
	keep(agent.tenant, sizeof(agent.tenant), call->tenant_id);
	keep(agent.traceparent, sizeof(agent.traceparent),
	    call->traceparent);
	if (agent.happen != NULL)
		agent.happen();
	*error = agent.error;
	return (agent.outcome);
}

/* Nobody sleeps here. */
static long slept;

void
monotime_pause(long ms)
{

	slept += ms;
}

long
monotime_ms(void)
{

	return (1000 + slept);
}

static int
begin(void **state)
{

	(void)state;
	table_begin();
	table_schedule(A);
	memset(&agent, 0, sizeof(agent));
	agent.error.retry_after = -1;
	slept = 0;
	assert_non_null(execute.breaker = breaker_new(&service, NULL));
	conf = (struct config){ .max_execution_attempts = 3,
	    .unknown_outcome = "retry" };
	callback = (struct execute_callback){ .tenant_id = "t1",
	    .scheduled_at = DUE_MS, .task_id = TASK_ID,
	    .booking_id = "" };
	assert_int_equal(trace_parse(TRACEPARENT, &callback.trace), 0);
	memcpy(callback.booking_id, A->id, UUID_LEN);
	captured_log_begin(LOG_DEBUG);
	return (0);
}

static int
end(void **state)
{

	(void)state;
	captured_log_end();
	table_end();
	breaker_free(execute.breaker);
	return (0);
}

static void
run(void)
{

	memset(&result, 0xa5, sizeof(result));
	execute_booking(&execute, &callback, &result);
}

static void
expect(enum execute_outcome outcome, const char *reason)
{

	if (result.outcome != outcome ||
	    strstr(result.reason, reason) == NULL)
		fail_msg("result is %d: %s", (int)result.outcome,
		    result.reason);
}

static void
expect_later(const char *reason, long retry_after)
{

	expect(EXECUTE_LATER, reason);
	assert_int_equal(result.retry_after, retry_after);
}

/* Likewise, and whether this booking is ${alone} in that. */
static void
expect_alone(const char *reason, long retry_after, int alone)
{

	expect_later(reason, retry_after);
	assert_int_equal(result.alone, alone);
}

#define TAKE	"try_lock:A read:A "
#define UNLOCK	" unlock:A"

/* Nothing but looking was done, and then the lock released. */
static void
expect_look(void)
{

	table_expect("try_lock:A read:A unlock:A");
}

/*
 * The call is started.
 */

static void
call_is_started(void **state)
{

	(void)state;
	run();
	table_expect(TAKE "begun:A call executed:A" UNLOCK);
	expect(EXECUTE_DONE, "the call was started");
	assert_string_equal(A->status, "executed");
	assert_string_equal(A->task_name, TASK_ID);
	assert_int_equal(A->execution_attempts, 1);
	assert_int_equal(A->outcome_unknown, 0);
	assert_string_equal(agent.body, "{\"phoneNumber\":\"+491701234567\"}");
	assert_string_equal(agent.key, "followup:t1:"
	    "00000000-0000-4000-8000-00000000000b:2026-11-26T00:01:00.000Z");
	assert_string_equal(A->key, agent.key);
	assert_string_equal(agent.message_id, TASK_ID);
	assert_string_equal(agent.tenant, "t1");
	assert_string_equal(agent.traceparent, TRACEPARENT);

	/* Whoever looks for the trace finds the lines of the call. */
	assert_int_equal(logged(" trace_id=4bf92f3577b34da6a3ce929d0e0e4736"),
	    2);
	assert_int_equal(slept, 0);
	assert_int_equal(logged("executed"), 1);
}

/* Cloud Tasks was faster than our own UPDATE. */
static void
pending_booking_is_called(void **state)
{

	(void)state;
	A->status = "pending";
	A->task_name[0] = '\0';
	run();
	expect(EXECUTE_DONE, "");

	/* By the task of any name that was not burnt; or without a name. */
	A->status = "pending";
	callback.task_id = TASK_ID "-12";
	run();
	expect(EXECUTE_DONE, "");
	A->status = "pending";
	callback.task_id = NULL;
	run();
	expect(EXECUTE_DONE, "");
}

static void
no_tenant_on_either_side(void **state)
{

	(void)state;
	A->tenant_id = NULL;
	callback.tenant_id = NULL;
	run();
	expect(EXECUTE_DONE, "");
	assert_string_equal(agent.tenant, "(none)");
}

static void
body_without_a_number(void **state)
{

	(void)state;
	A->body = "{\"to\":\"somebody\"}";
	run();
	expect(EXECUTE_DONE, "");
}

/*
 * It is not to be started.
 */

static void
another_attempt_is_running(void **state)
{

	(void)state;
	A->foreign = 1;
	run();
	table_expect("try_lock:A read:A");
	expect(EXECUTE_BUSY, "another attempt");
}

static void
canary_calls_nobody(void **state)
{

	(void)state;
	A->absent = A->is_canary = 1;
	run();
	table_expect(TAKE "canary_called_back:A" UNLOCK);
	expect(EXECUTE_CANARY, "a canary came back");
	table_fail("canary called back", DB_LOST);
	run();
	expect_alone("the database is not available", 1, 0);
}

static void
no_call_by_the_row(void **state)
{
	static const struct {
		const char *name;
		struct table_row row;
		enum execute_outcome outcome;
		const char *reason;
	} rows[] = {
		{ "absent", { .absent = 1 }, EXECUTE_SKIPPED,
		    "was deleted" },
		{ "deleted", { .is_deleted = 1, .status = "scheduled" },
		    EXECUTE_SKIPPED, "is deleted" },
		{ "executed", { .status = "executed" }, EXECUTE_ALREADY,
		    "was started at an earlier time" },
		{ "cancelled", { .status = "cancelled" }, EXECUTE_SKIPPED,
		    "the booking is cancelled" },
		{ "failed", { .status = "failed", .last_error = "boom" },
		    EXECUTE_GIVEN_UP, "failed for good: boom" },
		{ "failed, no reason", { .status = "failed" },
		    EXECUTE_GIVEN_UP, "see the dead letters" },
		{ "other", { .status = "archived" }, EXECUTE_SKIPPED,
		    "the booking is archived" },
		{ "none", { .status = "" }, EXECUTE_SKIPPED,
		    "without a state" },
		{ "no task", { .status = "scheduled", .is_followup = 1,
		    .due_in = 60 }, EXECUTE_SKIPPED, "superseded" },
		{ "other task", { .status = "scheduled", .is_followup = 1,
		    .due_in = 60, .task_name = "other" }, EXECUTE_SKIPPED,
		    "superseded" },
		{ "other name", { .status = "scheduled", .is_followup = 1,
		    .due_in = 60, .task_name = "q/" TASK_ID "-2" },
		    EXECUTE_SKIPPED, "superseded" },
		{ "no time", { .status = "pending", .is_followup = 1,
		    .no_due = 1 }, EXECUTE_SKIPPED, "superseded" },
	};
	char id[UUID_LEN];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		memcpy(id, A->id, sizeof(id));
		*A = rows[i].row;
		A->tenant_id = "t1";
		memcpy(A->id, id, sizeof(id));
		run();
		ASSERT_ROW(result.outcome == rows[i].outcome, rows[i].name);
		ASSERT_ROW(strstr(result.reason, rows[i].reason) != NULL,
		    rows[i].name);
		ASSERT_ROW(strcmp(table.trace, "try_lock:A read:A unlock:A")
		    == 0, rows[i].name);
		table.trace[0] = '\0';
	}
}

/* Names that only look as if they were of this booking and time. */
static void
foreign_task_names(void **state)
{
	static const char *const rows[] = { "", "x", TASK_ID "-",
	    TASK_ID "-x", TASK_ID "-2x", TASK_ID "0", TASK_ID "x",
	    TASK_ID "-2-3", TASK_ID "--2",
	    "followup-00000000-0000-4000-8000-00000000000b- 1795651260",
	    "followup-00000000-0000-4000-8000-00000000000b-1795651259",
	    "followup-00000000-0000-4000-8000-00000000000b-1795654801" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		A->status = "pending";
		A->task_name[0] = '\0';
		callback.task_id = rows[i];
		run();
		ASSERT_ROW(result.outcome == EXECUTE_SKIPPED, rows[i]);
		ASSERT_ROW(strcmp(A->status, "pending") == 0, rows[i]);
	}
}

/* The row waits for a task that has just spent itself. */
static void
superseded_back_to_pending(void **state)
{

	(void)state;
	A->due_in = 3660;
	run();
	table_expect(TAKE "unschedule:A" UNLOCK);
	expect(EXECUTE_SKIPPED, "superseded");
	assert_string_equal(A->status, "pending");
	assert_int_equal(logged("superseded: the booking is due "
	    "2026-11-26T01:01:00.000Z now; back to pending"), 1);

	/* A second early is another time too; a millisecond is the unit. */
	table_schedule(A);
	A->due_in = 60.0004;
	(void)snprintf(A->task_name, sizeof(A->task_name), "q/" TASK_ID);
	run();
	expect(EXECUTE_DONE, "");
	A->due_in = 60.001;
	A->status = "scheduled";
	(void)snprintf(A->task_name, sizeof(A->task_name), "q/" TASK_ID);
	run();
	expect(EXECUTE_SKIPPED, "superseded");
}

static void
superseded_is_not_written(void **state)
{

	(void)state;
	A->due_in = 3660;
	table_fail("unschedule", DB_LOCKED);
	run();
	table_expect(TAKE "unschedule:A" UNLOCK);
	expect_later("the booking's row is in use: said no", 1);
	assert_int_equal(result.alone, 1);
}

static void
superseded_because_the_type_changed(void **state)
{

	(void)state;
	A->is_followup = 0;
	run();
	table_expect(TAKE "unschedule:A" UNLOCK);
	expect(EXECUTE_SKIPPED, "superseded");
}

static void
other_tenant(void **state)
{

	(void)state;
	callback.tenant_id = "t2";
	run();
	table_expect(TAKE "unschedule:A" UNLOCK);
	expect(EXECUTE_SKIPPED, "or not its tenant's");

	table_schedule(A);
	callback.tenant_id = NULL;
	run();
	expect(EXECUTE_SKIPPED, "or not its tenant's");

	/* It is nobody's any more. */
	table_schedule(A);
	callback.tenant_id = A->tenant_id;
	A->tenant_id = NULL;
	run();
	expect(EXECUTE_SKIPPED, "or not its tenant's");

	/* Without a task, the body is what is wrong. */
	table_schedule(A);
	callback.task_id = NULL;
	table.trace[0] = '\0';
	run();
	expect_look();
	expect(EXECUTE_MISMATCH, "belongs to another tenant");
	assert_string_equal(A->status, "scheduled");
}

/*
 * The row changes in the moment in which it is called.
 */

static void
cancel(void)
{

	A->status = "cancelled";
}

static void
move(void)
{

	A->due_in += 0.000001;
}

static void
pause_calls(void)
{

	A->verdict = "wait";
	A->verdict_reason = "paused: x";
}

static void
changed_in_this_moment(void **state)
{
	static void (*const changes[])(void) = { cancel, move, pause_calls };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(changes); i++) {
		table_schedule(A);
		table_before("begun", changes[i]);
		run();
		table_expect(TAKE "begun:A" UNLOCK);
		expect_alone("in this moment", 1, 1);
		assert_int_equal(A->execution_attempts, 0);
	}
}

/*
 * The gate does not let it be called.
 */

static void
paused(void **state)
{

	(void)state;
	pause_calls();
	A->execution_attempts = 1;
	A->outcome_unknown = 1;
	run();
	table_expect(TAKE "held:A" UNLOCK);
	expect(EXECUTE_DEFERRED, "not called now: paused: x; another task is "
	    "made for then");
	assert_string_equal(A->status, "pending");
	assert_string_equal(A->task_name, "");
	assert_string_equal(A->last_error, "paused: x");
	assert_int_equal(A->execution_attempts, 1);

	/* Its task has fired before it was written: that one is written yet. */
	run();
	expect_look();
	expect(EXECUTE_DEFERRED, "not called now: paused: x");

	table_schedule(A);
	table_fail("held", DB_LOST);
	run();
	table_expect(TAKE "held:A disconnect");
	expect_later("the database is not available", 1);
}

/* It fires a moment too early: no other task could have its name yet. */
static void
paused_for_a_moment(void **state)
{
	static const struct {
		double wait_in;
		long retry_after;
	} rows[] = { { 59.5, 60 }, { 0.2, 1 }, { -1, 1 } };
	size_t i;

	(void)state;
	pause_calls();
	for (i = 0; i < NITEMS(rows); i++) {
		A->wait_in = rows[i].wait_in;
		run();
		expect_look();
		expect_alone("not called yet: paused: x",
		    rows[i].retry_after, 1);
		assert_string_equal(A->status, "scheduled");
	}
	A->wait_in = 60;
	run();
	expect(EXECUTE_DEFERRED, "not called now: paused: x, until "
	    "2026-11-26T00:01:00.000Z");
}

/* The queue's clock is ahead: another task for then would come at once, too. */
static void
paused_by_slow_clock(void **state)
{

	(void)state;
	pause_calls();
	A->waits = 1;
	A->wait_in = 1800;
	A->task_in = 1800;
	run();
	expect_look();
	expect_alone("not called yet: paused: x", 60, 1);
	assert_string_equal(A->status, "scheduled");

	/* It waits for something else, which comes later. */
	A->wait_in = 1801;
	run();
	expect(EXECUTE_DEFERRED, "not called now: paused: x");
}

/* Its task was for the end of a wait, and fired before it was written. */
static void
waited(void **state)
{
	static const char *const names[] = {
	    "followup-00000000-0000-4000-8000-00000000000b-1795651261",
	    "followup-00000000-0000-4000-8000-00000000000b-1795654800-2" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(names); i++) {
		A->status = "pending";
		A->task_name[0] = '\0';
		callback.task_id = names[i];
		run();
		expect(EXECUTE_DONE, "the call was started");
		assert_string_equal(agent.message_id, TASK_ID);
	}
}

static void
never_to_be_called(void **state)
{

	(void)state;
	A->verdict = "never";
	A->verdict_reason = "was already overdue";
	A->in_backlog = 1;
	run();
	expect_look();
	expect(EXECUTE_SKIPPED, "not called: was already overdue");
	assert_string_equal(A->status, "scheduled");

	A->in_backlog = 0;
	A->verdict_reason = "on the do-not-call list";
	run();
	table_expect(TAKE "failed:A" UNLOCK);
	expect(EXECUTE_GIVEN_UP, "failed for good: on the do-not-call list");
	assert_string_equal(table.failure.stage, "execute");
	assert_int_equal(A->execution_attempts, 0);
	assert_int_equal(logged("late\":true"), 0);

	A->status = "scheduled";
	A->verdict_reason = "more than 4h late";
	run();
	expect(EXECUTE_GIVEN_UP, "failed for good: more than 4h late");
	assert_int_equal(logged("/retry with {\"late\":true}"), 1);
}

/*
 * An attempt that never came to its end.
 */

static void
unknown_outcome_is_retried(void **state)
{

	(void)state;
	A->outcome_unknown = 1;
	A->execution_attempts = 2;
	run();
	table_expect(TAKE "begun:A call executed:A" UNLOCK);
	expect(EXECUTE_DONE, "");
}

static void
unknown_outcome_until_none_is_left(void **state)
{

	(void)state;
	A->outcome_unknown = 1;
	A->execution_attempts = 3;
	run();
	table_expect(TAKE "failed:A" UNLOCK);
	expect(EXECUTE_GIVEN_UP, "failed for good: an attempt was begun and "
	    "its outcome is not known");
	assert_string_equal(table.failure.stage, "execute");
}

static void
unknown_outcome_is_for_a_person(void **state)
{

	(void)state;
	conf.unknown_outcome = "fail";
	A->outcome_unknown = 1;
	A->execution_attempts = 1;
	run();
	table_expect(TAKE "failed:A" UNLOCK);
	expect(EXECUTE_GIVEN_UP, "its outcome is not known");

	/* Attempts whose outcome is known do not matter. */
	table_schedule(A);
	A->outcome_unknown = 0;
	run();
	expect(EXECUTE_DONE, "");
}

/*
 * Bodies that call nobody.
 */

static void
bodies_that_call_nobody(void **state)
{
	static const struct {
		const char *body;
		const char *reason;
	} rows[] = {
		{ NULL, "followup_call_request gave no JSON object" },
		{ "[1]", "followup_call_request gave no JSON object" },
		{ "\"x\"", "followup_call_request gave no JSON object" },
		{ "{\"phoneNumber\":\"\"}", "the lead has no phone number" },
		{ "{\"phoneNumber\":\" \\t\"}",
		    "the lead has no phone number" },
		{ "{\"phoneNumber\":null}", "the lead has no phone number" },
		{ "{\"phoneNumber\":5}", "a phoneNumber that is no text" },
		{ "{\"phoneNumber\":12345678901234567890}",
		    "a phoneNumber that is no text" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		table_schedule(A);
		A->execution_attempts = 0;
		A->body = rows[i].body;
		run();
		table_expect(TAKE "begun:A failed:A" UNLOCK);
		ASSERT_ROW(result.outcome == EXECUTE_GIVEN_UP,
		    rows[i].reason);
		ASSERT_ROW(strstr(result.reason, rows[i].reason) != NULL,
		    rows[i].reason);
		ASSERT_ROW(strcmp(A->status, "failed") == 0, rows[i].reason);
	}
}

/* PostgreSQL's numbers have no bounds, and are not ours to judge. */
static void
a_body_with_a_long_number_calls(void **state)
{

	(void)state;
	A->body = "{\"phoneNumber\":\"+15550100\","
	    "\"notes\":{\"psid\":12345678901234567890}}";
	run();
	table_expect(TAKE "begun:A call executed:A" UNLOCK);
	expect(EXECUTE_DONE, "");

	table_schedule(A);
	A->body = "{\"phoneNumber\":\"+15550100\",\"notes\":1e400}";
	run();
	expect(EXECUTE_DONE, "");
}

/*
 * The call is not started.
 */

static void
agent_says(enum voice_agent_outcome outcome, long http_status)
{

	agent.outcome = outcome;
	agent.error.http_status = http_status;
	(void)snprintf(agent.error.text, sizeof(agent.error.text),
	    "as it said");
}

static void
failure_is_counted(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	run();
	table_expect(TAKE "begun:A call failed_once:A" UNLOCK);
	expect_alone("as it said", 1, 1);
	assert_string_equal(A->status, "scheduled");
	assert_int_equal(A->execution_attempts, 1);
	assert_int_equal(A->outcome_unknown, 0);
	assert_int_equal(table.failure.http_status, 503);
	assert_string_equal(table.failure.stage, "execute");
	assert_string_equal(table.failure.error, "as it said");
	assert_int_equal(logged("attempt 1 of 3 to start the call failed: "
	    "as it said"), 1);
	table.trace[0] = '\0';

	/* Twice as long next time; not before the agent asked for it. */
	run();
	expect_later("as it said", 2);
	A->execution_attempts = 0;
	agent.error.retry_after = 44;
	run();
	expect_later("as it said", 44);

	/* But there is an end to it. */
	agent.error.retry_after = -1;
	conf.max_execution_attempts = 50;
	A->execution_attempts = 40;
	run();
	expect_later("as it said", 256);
}

static void
attempts_are_used_up(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	A->execution_attempts = 2;
	run();
	table_expect(TAKE "begun:A call failed:A" UNLOCK);
	expect(EXECUTE_GIVEN_UP, "failed for good: as it said");
	assert_string_equal(A->status, "failed");
	assert_int_equal(logged("dead letter: the call could not be started "
	    "(attempt 3): as it said"), 1);
}

static void
refused_for_good(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_REFUSED, 404);
	run();
	table_expect(TAKE "begun:A call failed:A" UNLOCK);
	expect(EXECUTE_GIVEN_UP, "failed for good: as it said");
	assert_int_equal(table.failure.http_status, 404);
}

#define ASK	"ask the voice agent whether the call was made"

/* What becomes of each outcome, by policy and by the attempts that are left. */
static void
outcomes(void **state)
{
	static const struct {
		const char *name;
		enum voice_agent_outcome outcome;
		int attempts;		/* before; 3 are allowed */
		const char *policy;
		const char *status;	/* of the row then */
		const char *error;
		int unknown;		/* an attempt has not ended */
	} rows[] = {
		{ "started", VOICE_AGENT_STARTED, 0, "retry", "executed", NULL,
		    0 },
		{ "not started", VOICE_AGENT_NOT_STARTED, 0, "retry",
		    "scheduled", "as it said", 0 },
		{ "not started, careful", VOICE_AGENT_NOT_STARTED, 0,
		    "dead-letter", "scheduled", "as it said", 0 },
		{ "not started, last", VOICE_AGENT_NOT_STARTED, 2,
		    "dead-letter", "failed", "as it said", 0 },
		{ "running", VOICE_AGENT_RUNNING, 0, "retry", "scheduled",
		    "as it said", 0 },
		{ "running, careful", VOICE_AGENT_RUNNING, 0, "dead-letter",
		    "scheduled", "as it said", 0 },
		{ "running, last", VOICE_AGENT_RUNNING, 2, "retry", "failed",
		    ASK, 0 },
		{ "unknown", VOICE_AGENT_UNKNOWN, 0, "retry", "scheduled",
		    "as it said", 1 },
		{ "unknown, careful", VOICE_AGENT_UNKNOWN, 0, "dead-letter",
		    "failed", ASK ", then retry or cancel (as it said)", 0 },
		{ "unknown, last", VOICE_AGENT_UNKNOWN, 2, "retry", "failed",
		    ASK ", then retry or cancel (as it said)", 0 },
		{ "denied", VOICE_AGENT_DENIED, 0, "dead-letter", "scheduled",
		    "as it said", 0 },
		{ "denied, last", VOICE_AGENT_DENIED, 2, "retry", "failed",
		    "as it said", 0 },
		{ "refused", VOICE_AGENT_REFUSED, 0, "retry", "failed",
		    "as it said", 0 },
		{ "refused, careful", VOICE_AGENT_REFUSED, 0, "dead-letter",
		    "failed", "as it said", 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		table_schedule(A);
		A->outcome_unknown = 0;
		A->last_error = NULL;
		A->execution_attempts = rows[i].attempts;
		conf.unknown_outcome = rows[i].policy;
		agent_says(rows[i].outcome, 500);
		run();
		ASSERT_ROW(strcmp(A->status, rows[i].status) == 0,
		    rows[i].name);
		ASSERT_ROW(A->outcome_unknown == rows[i].unknown,
		    rows[i].name);
		if (rows[i].error == NULL)
			continue;
		ASSERT_ROW(strstr(table.failure.error, rows[i].error) != NULL,
		    rows[i].name);
		ASSERT_ROW((strstr(table.failure.error, ASK) != NULL) ==
		    (strstr(rows[i].error, ASK) != NULL), rows[i].name);
		ASSERT_ROW(table.failure.http_status == 500, rows[i].name);
	}
	assert_int_equal(logged("dead letter: it is not known whether the "
	    "call was started (attempt 3)"), 2);
}

/* One attempt that nobody knows of is not made good by one that failed. */
static void
once_unknown_stays_unknown(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_UNKNOWN, 0);
	run();
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	run();
	assert_int_equal(A->outcome_unknown, 1);
	run();
	expect(EXECUTE_GIVEN_UP, ASK);
}

static void
changed_while_the_call_failed(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_REFUSED, 400);
	agent.happen = cancel;
	run();
	table_expect(TAKE "begun:A call failed:A" UNLOCK);
	expect(EXECUTE_SKIPPED,
	    "the booking changed while its call failed: as it said");
	assert_string_equal(A->status, "cancelled");
}

/*
 * The database, at every step.
 */

static void
database_away(void **state)
{

	(void)state;
	table.connect_fails = 1;
	run();
	table_expect("");
	expect_later("the database is not available: said no", 1);

	table_fail("try lock", DB_LOST);
	run();
	table_expect("try_lock:A");
	expect_later("the database is not available: said no", 1);
}

/*
 * Whatever statement the row makes the database refuse: an attempt each time,
 * nobody is called, and it ends as a dead letter.
 */
static void
move_unnoticed(void)
{

	A->due_in = 3660;
}

static void
row_that_refuses(void **state)
{
	static const struct {
		const char *statement;
		void (*prepare)(void);
	} rows[] = {
		{ "read", NULL },
		{ "begun", NULL },
		{ "unschedule", move_unnoticed },
	};
	int attempt;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		table_begin();
		table_schedule(A);
		A->poisons = rows[i].statement;
		if (rows[i].prepare != NULL)
			rows[i].prepare();
		for (attempt = 1; attempt < 3; attempt++) {
			run();
			expect_later("the database refuses its row: said no",
			    attempt);
			ASSERT_ROW(result.alone == 1, rows[i].statement);
			ASSERT_ROW(A->refusals[1] == attempt,
			    rows[i].statement);
		}
		run();
		expect(EXECUTE_GIVEN_UP,
		    "failed for good: the database refuses its row: said no");
		ASSERT_ROW(strstr(table.trace, "call") == NULL,
		    rows[i].statement);
		ASSERT_ROW(strcmp(A->status, "failed") == 0,
		    rows[i].statement);
		ASSERT_ROW(strstr(A->dead, "said no") != NULL,
		    rows[i].statement);
		table_end();
	}
	assert_int_equal(logged("dead letter: the call could not be started "
	    "(attempt 3): the database refuses its row: said no"), 3);
}

/* A row that does not even take that it failed. */
static void
dead_letter_alone(void **state)
{

	(void)state;
	A->poisons = "begun";
	conf.max_execution_attempts = 1;
	table_fail("mark failed", DB_FAILED);
	run();
	table_expect(TAKE "begun:A refused:A mark_failed:A" UNLOCK);
	expect(EXECUTE_GIVEN_UP, "said no");
	assert_string_equal(A->status, "scheduled");
	A->poisons = NULL;
	run();
	expect_look();
	expect(EXECUTE_GIVEN_UP, "failed for good: the database refuses its "
	    "row: said no");

	/* An attempt before may have started the call: then one has to ask. */
	A->dead[0] = '\0';
	A->poisons = "begun";
	A->outcome_unknown = 1;
	run();
	assert_int_equal(logged("dead letter: it is not known whether the call "
	    "was started (attempt 2): the database refuses its row: said no; "
	    "ask, then POST /followups/"), 1);
}

/* What is nobody's fault costs no attempt; one alone does not stop others. */
static void
refused_for_all(void **state)
{
	static const enum db_outcome outcomes[] = { DB_MANY, DB_BROKEN };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(outcomes); i++) {
		table_fail("begun", outcomes[i]);
		run();
		table_expect(TAKE "begun:A" UNLOCK);
		expect_later("the database refuses: said no", 10);
		assert_int_equal(result.alone, outcomes[i] == DB_MANY);
		table_fail("read", outcomes[i]);
		run();
		expect_later("the database refuses: said no", 10);
		table.trace[0] = '\0';
	}
	assert_int_equal(A->refusals[1], 0);
}

/* Stopped until another one may have the lock: nobody is called twice. */
static void
lock_lost_before_the_call(void **state)
{

	(void)state;
	table.ends = 1;
	run();
	table_expect(TAKE "begun:A disconnect");
	expect_alone("the database is not available: said no", 1, 0);
	assert_int_equal(A->outcome_unknown, 1);
	run();
	table_expect(TAKE "begun:A call executed:A" UNLOCK);
	expect(EXECUTE_DONE, "");
}

static void
ignore(void)
{

	A->ignores = 1;
}

/*
 * The call was started, and the row does not take that: nobody is called
 * again for it.
 */
static void
executed_is_refused(void **state)
{
	static const enum db_outcome outcomes[] = { DB_FAILED, DB_MANY,
	    DB_BROKEN };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(outcomes); i++) {
		table_fail("executed", outcomes[i]);
		run();
		table_expect(TAKE "begun:A call executed:A called:A" UNLOCK);
		if (outcomes[i] == DB_FAILED)
			expect(EXECUTE_DONE, "the call was started, but the "
			    "database refuses to make the booking executed: "
			    "said no");
		else
			expect_later("the database refuses: said no", 10);
		assert_string_equal(A->status, "scheduled");
		assert_int_equal(A->called, 1);
		assert_int_equal(slept, 0);

		/* The next attempt only writes, until the row takes it. */
		table_fail("executed", outcomes[i]);
		run();
		table_expect(TAKE "executed:A called:A" UNLOCK);
		run();
		table_expect(TAKE "executed:A" UNLOCK);
		expect(EXECUTE_DONE, "the call was started");
		assert_string_equal(A->status, "executed");
		table_schedule(A);
	}
}

/* A row that ignores what is written to it refuses it. */
static void
row_that_ignores(void **state)
{

	(void)state;
	A->ignores = 1;
	run();
	table_expect(TAKE "begun:A ignored refused:A" UNLOCK);
	expect_later("the database refuses its row: said no", 1);

	agent.happen = ignore;
	A->ignores = 0;
	run();
	table_expect(TAKE "begun:A call executed:A ignored called:A" UNLOCK);
	expect(EXECUTE_DONE, "the call was started, but the database refuses");
	assert_int_equal(A->called, 1);

	agent_says(VOICE_AGENT_REFUSED, 400);
	A->ignores = A->called = A->outcome_unknown = 0;
	A->dead[0] = '\0';
	run();
	table_expect(TAKE "begun:A call failed:A ignored refused:A "
	    "mark_failed:A" UNLOCK);
	expect(EXECUTE_GIVEN_UP, "failed for good: as it said");
	assert_string_equal(A->dead, "as it said");
}

/* Somebody locks the row for long: it is written by the next attempt. */
static void
executed_while_the_row_is_locked(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < WRITES; i++)
		table_fail("executed", DB_LOCKED);
	run();
	expect_later("the booking's row is in use: said no", 1);
	assert_int_equal(A->called, 1);
	table.trace[0] = '\0';
	run();
	table_expect(TAKE "executed:A" UNLOCK);
	expect(EXECUTE_DONE, "the call was started");
}

/* Nothing takes it: then the key is what is left. */
static void
called_is_refused_too(void **state)
{

	(void)state;
	table_fail("executed", DB_BROKEN);
	table_fail("called", DB_BROKEN);
	run();
	expect_later("the database refuses: said no", 10);
	assert_int_equal(A->outcome_unknown, 1);
	assert_int_equal(logged("the next attempt carries the same "
	    "idempotency key"), 1);
}

static void
lose(void)
{

	table_lose();
}

/* What is not written would be called again. */
static void
written_until_the_database_is_back(void **state)
{

	(void)state;
	agent.happen = lose;
	table_fail("executed", DB_LOST);
	table_fail("executed", DB_LOCKED);
	table_fail("executed", DB_LOCKED);
	run();
	table_expect(TAKE "begun:A call executed:A executed:A executed:A "
	    "executed:A" UNLOCK);
	expect(EXECUTE_DONE, "");
	assert_string_equal(A->status, "executed");
	assert_int_equal(slept, 3 * PAUSE_MS);
}

/* Reconnecting fails at first. */
static void
go_away(void)
{

	table_lose();
	table.connect_fails = 5;
}

static void
written_after_reconnecting(void **state)
{

	(void)state;
	agent.happen = go_away;
	run();
	table_expect(TAKE "begun:A call executed:A" UNLOCK);
	expect(EXECUTE_DONE, "");
	assert_int_equal(slept, 5 * PAUSE_MS);
}

/* The database is restarted during a call that the agent does not start. */
static void
failure_is_written_after_reconnecting(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	agent.happen = go_away;
	run();
	table_expect(TAKE "begun:A call failed_once:A" UNLOCK);
	expect_later("as it said", 1);
	assert_int_equal(A->outcome_unknown, 0);
	assert_int_equal(slept, 5 * PAUSE_MS);
}

/*
 * The agent said that it started nothing, and somebody has locked the row.  The
 * attempt has ended all the same, and its outcome is known.
 */
static void
failure_while_the_row_is_locked(void **state)
{

	(void)state;
	conf.unknown_outcome = "dead-letter";
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	table_fail("failed once", DB_LOCKED);
	run();
	table_expect(TAKE "begun:A call failed_once:A refused:A" UNLOCK);
	expect_alone("as it said", 1, 1);
	assert_int_equal(A->outcome_unknown, 0);
	agent_says(VOICE_AGENT_NOT_STARTED, 429);
	table_fail("spared", DB_LOCKED);
	run();
	table_expect(TAKE "begun:A call spared:A refused:A try_lock:A "
	    "cleared:A unlock:A" UNLOCK);
	expect_later("the booking's row is in use: said no", 1);
	assert_int_equal(A->outcome_unknown, 0);
	assert_string_equal(A->status, "scheduled");
}

/* Somebody waits for an answer, so it ends after some seconds. */
static void
go_away_for_long(void)
{

	table_lose();
	table.connect_fails = 1000;
}

static void
written_not_for_ever(void **state)
{

	(void)state;
	agent.happen = go_away_for_long;
	run();
	expect_later("the database is not available: said no", 1);
	assert_int_equal(table.connects, 1 + WRITES);
	assert_int_equal(slept, (WRITES - 1) * PAUSE_MS);
	assert_int_equal(A->outcome_unknown, 1);
	assert_int_equal(logged("the call was started, but that could not be "
	    "written: said no; the next attempt carries the same idempotency "
	    "key"), 1);
}

static void
failure_is_not_written(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	agent.happen = go_away_for_long;
	run();
	expect_later("the database is not available: said no", 1);
	assert_int_equal(A->outcome_unknown, 1);
	assert_int_equal(slept, WRITES * PAUSE_MS);

	agent.happen = NULL;
	table.connect_fails = 0;
	agent_says(VOICE_AGENT_REFUSED, 400);
	table_fail("failed", DB_LOCKED);
	run();
	expect_later("the booking's row is in use: said no", 1);
	assert_string_equal(A->status, "scheduled");

	/* What the row refuses is kept without it: the agent is not asked
	   again for nothing. */
	table_fail("failed once", DB_FAILED);
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	A->execution_attempts = A->outcome_unknown = 0;
	run();
	expect_later("as it said", 1);
	assert_string_equal(table.failure.error, "as it said");
	assert_int_equal(A->outcome_unknown, 0);
	table_fail("failed", DB_FAILED);
	table_fail("mark failed", DB_FAILED);
	agent_says(VOICE_AGENT_REFUSED, 400);
	run();
	expect(EXECUTE_GIVEN_UP, "failed for good: as it said");
	assert_string_equal(A->dead, "as it said");
}

/*
 * The voice agent fails, whoever asks.
 */

/* Let the booking of ${row} be called, as the queue would. */
static void __attribute__((noinline))
run_row(struct table_row *row)
{
	static char task_id[128];

	if (*row->task_name == '\0')
		table_schedule(row);
	(void)snprintf(task_id, sizeof(task_id), "%s",
	    strrchr(row->task_name, '/') + 1);
	callback.task_id = task_id;
	callback.tenant_id = row->tenant_id;
	memcpy(callback.booking_id, row->id, UUID_LEN);
	run();
}

/* Likewise, of row ${i}. */
static void
run_booking(int i)
{

	run_row(&table.rows[i]);
}

/*
 * When the breaker opens, those that found it out have their attempts back;
 * then nobody is called or loses any.
 */
static void
outage(void **state)
{
	static const struct {
		enum voice_agent_outcome outcome;
		int status;
	} rows[] = {
		{ VOICE_AGENT_NOT_STARTED, 503 },
		{ VOICE_AGENT_UNKNOWN, 502 },
		{ VOICE_AGENT_UNKNOWN, 0 },
		{ VOICE_AGENT_DENIED, 401 },
	};
	size_t row;
	int i;

	(void)state;
	for (row = 0; row < NITEMS(rows); row++) {
		agent_says(rows[row].outcome, rows[row].status);
		for (i = 0; i < 4; i++)
			run_booking(i);
		run_booking(3);
		assert_int_equal(table.rows[2].execution_attempts, 1);
		assert_int_equal(table.rows[3].execution_attempts, 2);
		run_booking(4);
		expect(EXECUTE_LATER, "as it said");
		assert_false(result.alone);
		for (i = 0; i < 5; i++)
			assert_int_equal(table.rows[i].execution_attempts, 0);
		assert_int_equal(table.rows[4].outcome_unknown,
		    rows[row].outcome == VOICE_AGENT_UNKNOWN);
		assert_string_equal(table.rows[4].status, "scheduled");

		/* It is not asked, nor is the attempt begun. */
		table.trace[0] = '\0';
		run_booking(5);
		table_expect("try_lock:F read:F unlock:F");
		expect_alone("breaker open: as it said", 1, 0);
		assert_int_equal(table.rows[5].execution_attempts, 0);

		/* The probe fails, which is not its fault either. */
		slept += 500;
		run_booking(5);
		table_expect("try_lock:F read:F begun:F call spared:F "
		    "unlock:F");
		assert_int_equal(table.rows[5].execution_attempts, 0);
		slept += 15000;
		agent_says(VOICE_AGENT_STARTED, 200);
		run_booking(5);
		expect(EXECUTE_DONE, "");
		for (i = 0; i < 5; i++)
			run_booking(i);
		expect(EXECUTE_DONE, "");
		for (i = 0; i < 6; i++) {
			table_schedule(&table.rows[i]);
			table.rows[i].execution_attempts = 0;
		}
	}
}

/* The database was away as the breaker opened: they have them back later. */
static void
outage_of_both(void **state)
{
	int i;

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	for (i = 0; i < 4; i++)
		run_booking(i);
	table_fail("cleared", DB_LOST);
	run_booking(4);
	for (i = 0; i < 4; i++)
		assert_int_equal(table.rows[i].execution_attempts, 1);
	slept += 30000;
	agent_says(VOICE_AGENT_STARTED, 200);
	run_booking(5);
	expect(EXECUTE_DONE, "");
	for (i = 0; i < 4; i++)
		assert_int_equal(table.rows[i].execution_attempts, 0);
}

/* Another worker has yet to write the failure that is to be forgotten. */
static void
outage_before_a_failure_is_written(void **state)
{
	int i;

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	for (i = 0; i < 4; i++)
		run_booking(i);
	table.rows[1].foreign = 1;
	run_booking(4);
	for (i = 0; i < 5; i++)
		assert_int_equal(table.rows[i].execution_attempts, i == 1);
	table.rows[1].foreign = 0;
	slept += 30000;
	table.trace[0] = '\0';
	run_booking(5);
	table_expect("try_lock:F read:F begun:F call spared:F try_lock:B "
	    "cleared:B unlock:B unlock:F");
	assert_int_equal(table.rows[1].execution_attempts, 0);
}

/* Nobody is given up while others fail as well, and none succeeds. */
static void
last_attempt_in_an_outage(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	run_booking(1);
	table.rows[0].execution_attempts = 2;
	run_booking(0);
	expect(EXECUTE_LATER, "as it said");
	assert_string_equal(A->status, "scheduled");
	assert_int_equal(A->execution_attempts, 2);

	/* But where the operator wants a person to decide, it is. */
	conf.unknown_outcome = "dead-letter";
	agent_says(VOICE_AGENT_UNKNOWN, 502);
	slept += 500;
	run_booking(0);
	expect(EXECUTE_GIVEN_UP, "ask the voice agent");
}

/* One that fails while others are called: it is given up, they go on. */
static void
one_broken_booking(void **state)
{
	int i;

	(void)state;
	for (i = 1; i < 10; i++) {
		agent_says(VOICE_AGENT_NOT_STARTED, 503);
		run_booking(0);
		agent_says(i % 2 ? VOICE_AGENT_STARTED : i % 4 ?
		    VOICE_AGENT_REFUSED : VOICE_AGENT_RUNNING, 0);
		run_booking(i);
		assert_null(strstr(result.reason, "breaker"));
	}
	assert_string_equal(A->status, "failed");
	assert_int_equal(A->execution_attempts, 3);
	assert_int_equal(logged("breaker"), 0);
}

/* A tenant that fails while others are called pays for it, and waits alone. */
static void
one_broken_tenant(void **state)
{
	int i;

	(void)state;
	table.rows[9].tenant_id = "t2";
	run_booking(9);
	agent_says(VOICE_AGENT_NOT_STARTED, 503);
	for (i = 0; i < 24; i++) {
		run_booking(i % 8);
		assert_true(result.outcome == EXECUTE_GIVEN_UP ||
		    result.alone);
	}
	for (i = 0; i < 8; i++)
		assert_string_equal(table.rows[i].status, "failed");
	assert_int_equal(logged("breaker"), 0);
}

/* Without a connection nobody can be called. */
static void
no_connection(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 0);
	agent.error.no_connection = 1;
	table.rows[0].execution_attempts = 2;
	run_booking(0);
	table_expect(TAKE "begun:A call spared:A" UNLOCK);
	expect_alone("as it said", 1, 0);
	assert_int_equal(A->execution_attempts, 2);
	assert_int_equal(A->outcome_unknown, 0);
	run_booking(1);
	expect_alone("breaker open: as it said", 1, 0);
}

/*
 * 429: all wait for as long as it says, and nobody pays, be it with the last
 * attempt; only one that is told so again after others were called does.
 */
static void
too_many_requests(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 429);
	agent.error.retry_after = 30;
	table.rows[0].execution_attempts = 2;
	run_booking(0);
	table_expect(TAKE "begun:A call spared:A" UNLOCK);
	expect_alone("as it said", 31, 0);
	assert_int_equal(A->execution_attempts, 2);
	slept += 29999;
	run_booking(1);
	expect_alone("breaker open: as it said", 1, 0);
	slept += 1;
	agent.error.retry_after = 3600;
	run_booking(1);
	expect_alone("as it said", 60, 0);
	assert_int_equal(table.rows[1].execution_attempts, 0);

	/* One that is told so again and again has an end. */
	agent.error.retry_after = -1;
	slept += 60000;
	agent_says(VOICE_AGENT_STARTED, 200);
	run_booking(1);
	agent_says(VOICE_AGENT_NOT_STARTED, 429);
	run_booking(0);
	expect(EXECUTE_GIVEN_UP, "as it said");
}

/* A probe that asks nothing leaves its place to the next. */
static void
probe_is_not_sent(void **state)
{

	(void)state;
	agent_says(VOICE_AGENT_NOT_STARTED, 0);
	agent.error.no_connection = 1;
	run_booking(0);
	slept += 500;
	agent_says(VOICE_AGENT_STARTED, 200);
	agent.error.no_connection = 0;
	table_before("begun", cancel);
	run_booking(0);
	expect_alone("in this moment", 1, 1);
	table_fail("begun", DB_LOCKED);
	run_booking(1);
	expect_alone("the booking's row is in use", 1, 1);
	table_fail("begun", DB_LOCKED);
	table.timed_out = 1;
	run_booking(1);
	expect_alone("the database took longer than 9s", 1, 1);
	table.rows[2].body = "[]";
	run_booking(2);
	expect(EXECUTE_GIVEN_UP, "no JSON object");
	agent_says(VOICE_AGENT_NOT_STARTED, 0);
	agent.error.not_asked = 1;
	run_booking(3);
	expect_alone("as it said", 1, 1);
	assert_int_equal(table.rows[3].execution_attempts, 1);
	agent_says(VOICE_AGENT_STARTED, 200);
	run_booking(4);
	expect(EXECUTE_DONE, "");
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(call_is_started),
		TEST(pending_booking_is_called),
		TEST(no_tenant_on_either_side),
		TEST(body_without_a_number),
		TEST(another_attempt_is_running),
		TEST(canary_calls_nobody),
		TEST(no_call_by_the_row),
		TEST(foreign_task_names),
		TEST(superseded_back_to_pending),
		TEST(superseded_is_not_written),
		TEST(superseded_because_the_type_changed),
		TEST(other_tenant),
		TEST(changed_in_this_moment),
		TEST(paused),
		TEST(paused_for_a_moment),
		TEST(paused_by_slow_clock),
		TEST(waited),
		TEST(never_to_be_called),
		TEST(unknown_outcome_is_retried),
		TEST(unknown_outcome_until_none_is_left),
		TEST(unknown_outcome_is_for_a_person),
		TEST(bodies_that_call_nobody),
		TEST(a_body_with_a_long_number_calls),
		TEST(failure_is_counted),
		TEST(attempts_are_used_up),
		TEST(refused_for_good),
		TEST(outcomes),
		TEST(once_unknown_stays_unknown),
		TEST(changed_while_the_call_failed),
		TEST(database_away),
		TEST(row_that_refuses),
		TEST(dead_letter_alone),
		TEST(refused_for_all),
		TEST(lock_lost_before_the_call),
		TEST(executed_is_refused),
		TEST(row_that_ignores),
		TEST(executed_while_the_row_is_locked),
		TEST(called_is_refused_too),
		TEST(written_until_the_database_is_back),
		TEST(written_after_reconnecting),
		TEST(written_not_for_ever),
		TEST(failure_is_not_written),
		TEST(failure_is_written_after_reconnecting),
		TEST(failure_while_the_row_is_locked),
		TEST(outage),
		TEST(outage_of_both),
		TEST(outage_before_a_failure_is_written),
		TEST(last_attempt_in_an_outage),
		TEST(one_broken_booking),
		TEST(one_broken_tenant),
		TEST(no_connection),
		TEST(too_many_requests),
		TEST(probe_is_not_sent),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
