#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "backoff.h"
#include "config.h"
#include "monotime.h"
#include "schedule.h"

#include "captured_log.h"
#include "scripted_bookings.h"
#include "unit.h"

#define ROOM		4
#define QUEUES		"projects/p/locations/l/queues/"
#define WRITE_MS	20	/* how long a created task waits for others */
#define TAKE_MS		15000
#define START_MS	30000

static struct config conf = { .execution_endpoint = "https://x/bookings",
    .max_schedule_attempts = 3, .overdue_grace = 120 };
static const struct schedule schedule = { .conf = &conf };
static struct schedule_result results[SCHEDULE_BATCH];
static long now;

#define A	(&table.rows[0])
#define B	(&table.rows[1])
#define C	(&table.rows[2])

/*
 * Cloud Tasks, instead of the product's: every call is answered at once, with
 * success, unless the test says otherwise.
 */

static const char *const methods[] = {
	[CLOUD_TASKS_CREATE] = "create", [CLOUD_TASKS_GET] = "get",
	[CLOUD_TASKS_DELETE] = "delete", [CLOUD_TASKS_QUEUE] = "queue",
};

struct answer {
	enum cloud_tasks_method method;
	const char *task;
	enum cloud_tasks_outcome outcome;
	long http_status;
	long retry_after;
	const char *text;
	int only_its_queue;
	long ms;			/* until it comes */
	void (*happen)(void);		/* before it comes */
	int used;
};

static struct {
	struct answer answers[256];
	int nanswers;
	struct {
		struct cloud_tasks_call *call;
		struct answer answer;
		long at;
	} in_flight[SCHEDULE_BATCH];
	int n;
	int most;			/* that were in flight at once */
	int room;

	int is_former;			/* the last delete was said to be */

	/* The last task that was created. */
	char url[512];
	char body[1024];
	char time[64];
	char traceparent[64];
} cloud;

/* The next call of this ${method} about ${task} is answered like that. */
static struct answer *
answer(enum cloud_tasks_method method, const char *task,
    enum cloud_tasks_outcome outcome)
{
	struct answer *a = &cloud.answers[cloud.nanswers++];

	assert_true((size_t)cloud.nanswers <= NITEMS(cloud.answers));
	*a = (struct answer){ .method = method, .task = task,
	    .outcome = outcome, .retry_after = -1, .text = "what it said" };
	return (a);
}

static struct answer *
create_is(const char *task, enum cloud_tasks_outcome outcome)
{

	return (answer(CLOUD_TASKS_CREATE, task, outcome));
}

static struct answer *
get_is(const char *task, enum cloud_tasks_outcome outcome)
{

	return (answer(CLOUD_TASKS_GET, task, outcome));
}

static struct answer *
delete_is(const char *task, enum cloud_tasks_outcome outcome)
{

	return (answer(CLOUD_TASKS_DELETE, task, outcome));
}

void
cloud_tasks_name(const struct cloud_tasks *tasks, const char *queue,
    const char *id, char name[CLOUD_TASKS_NAME_LEN])
{

	(void)tasks;
	(void)snprintf(name, CLOUD_TASKS_NAME_LEN, QUEUES "%s/tasks/%s",
	    queue != NULL && *queue != '\0' ? queue : "q", id);
}

int
cloud_tasks_is_in(const struct cloud_tasks *tasks, const char *queue,
    const char *name)
{
	char prefix[CLOUD_TASKS_NAME_LEN];

	cloud_tasks_name(tasks, queue, "", prefix);
	return (strncmp(name, prefix, strlen(prefix)) == 0);
}

int
cloud_tasks_has_room(const struct cloud_tasks *tasks)
{

	(void)tasks;
	return (cloud.n < cloud.room);
}

void
cloud_tasks_begin(struct cloud_tasks *tasks, struct cloud_tasks_call *call)
{
	struct answer a = { .retry_after = -1 };
	const char *task = "";
	int i;

	(void)tasks;
	assert_true(cloud.n < cloud.room);
	if (call->method == CLOUD_TASKS_QUEUE)
		table_trace("queue");
	else {
		task = table_task(call->name);
		table_trace("%s:%s", methods[call->method], task);
	}
	for (i = 0; i < cloud.nanswers; i++) {
		if (!cloud.answers[i].used &&
		    cloud.answers[i].method == call->method &&
		    strcmp(cloud.answers[i].task, task) == 0) {
			a = cloud.answers[i];
			cloud.answers[i].used = 1;
			break;
		}
	}
	if (call->method == CLOUD_TASKS_DELETE)
		cloud.is_former = call->is_former;
	if (call->method == CLOUD_TASKS_CREATE) {
		assert_false(call->is_former);
		(void)snprintf(cloud.traceparent, sizeof(cloud.traceparent),
		    "%s", call->traceparent);
		(void)snprintf(cloud.url, sizeof(cloud.url), "%s", call->url);
		(void)snprintf(cloud.body, sizeof(cloud.body), "%s",
		    call->body);
		(void)snprintf(cloud.time, sizeof(cloud.time), "%s",
		    call->schedule_time);
	}
	cloud.in_flight[cloud.n].call = call;
	cloud.in_flight[cloud.n].answer = a;
	cloud.in_flight[cloud.n++].at = now + a.ms;
	if (cloud.n > cloud.most)
		cloud.most = cloud.n;
}

struct cloud_tasks_call *
cloud_tasks_next(struct cloud_tasks *tasks, long wait)
{
	struct cloud_tasks_call *call;
	struct answer a;
	int i, first = 0;

	(void)tasks;
	for (i = 1; i < cloud.n; i++) {
		if (cloud.in_flight[i].at < cloud.in_flight[first].at)
			first = i;
	}
	if (cloud.n == 0)
		return (NULL);
	if (cloud.in_flight[first].at > now + wait) {
		now += wait;
		return (NULL);
	}
	if (cloud.in_flight[first].at > now)
		now = cloud.in_flight[first].at;
	call = cloud.in_flight[first].call;
	a = cloud.in_flight[first].answer;
	memmove(&cloud.in_flight[first], &cloud.in_flight[first + 1],
	    (size_t)(--cloud.n - first) * sizeof(cloud.in_flight[0]));
	if (a.happen != NULL)
		a.happen();
	call->outcome = a.outcome;
	call->error.http_status = a.http_status;
	call->error.retry_after = a.retry_after;
	call->error.only_its_queue = a.only_its_queue;
	(void)snprintf(call->error.text, sizeof(call->error.text), "%s",
	    a.text != NULL ? a.text : "");
	call->info.dispatches = 3;
	call->info.is_paused = call->method == CLOUD_TASKS_QUEUE &&
	    a.http_status == 200;
	(void)snprintf(call->info.last, sizeof(call->info.last), "%s",
	    a.http_status == 200 ? "" : "UNAVAILABLE");
	return (call);
}

int
cloud_tasks_in_flight(const struct cloud_tasks *tasks)
{

	(void)tasks;
	return (cloud.n);
}

/* The clock, and waiting without jitter. */
long
monotime_ms(void)
{

	return (now);
}

long
backoff_ms(int attempt, long base, long cap)
{
	long wait = base << (attempt - 1);

	return (wait < cap ? wait : cap);
}

static int
begin(void **state)
{

	(void)state;
	table_begin();
	memset(&cloud, 0, sizeof(cloud));
	cloud.room = ROOM;
	now = 1000000;
	captured_log_begin(LOG_DEBUG);
	return (0);
}

static int
end(void **state)
{

	(void)state;
	captured_log_end();
	table_end();
	assert_int_equal(cloud.n, 0);
	return (0);
}

/* Schedule the bookings that the letters ${which} name. */
static void
run(const char *which)
{
	const char *ids[SCHEDULE_BATCH];
	size_t i, n = strlen(which);

	for (i = 0; i < n; i++)
		ids[i] = table.rows[which[i] - 'A'].id;
	memset(results, 0xa5, sizeof(results));
	schedule_bookings(&schedule, ids, n, results);
}

/* Result ${i} is ${outcome}, for a reason that has ${reason} in it. */
static void
expect(int i, enum schedule_outcome outcome, const char *reason)
{

	if (results[i].outcome != outcome ||
	    strstr(results[i].reason, reason) == NULL)
		fail_msg("result %d is %d: %s", i, (int)results[i].outcome,
		    results[i].reason);
}

static void
expect_later(int i, const char *reason, long retry_after, int everybody)
{

	expect(i, SCHEDULE_LATER, reason);
	assert_int_equal(results[i].retry_after, retry_after);
	assert_int_equal(results[i].everybody, everybody);
}

/* Row ${row} is scheduled, with the task ${task}, as result ${i} says. */
static void
expect_scheduled(int i, const struct table_row *row, const char *task)
{

	expect(i, SCHEDULE_DONE, "scheduled");
	assert_string_equal(row->status, "scheduled");
	assert_string_equal(table_task(row->task_name), task);
	assert_string_equal(results[i].task_name, row->task_name);
}

/* What is around the calls of a booking that is scheduled. */
#define TAKE	"try_lock:A read:A "
#define WRITE	" scheduled_one:A"
#define UNLOCK	" unlock:A"

/*
 * One booking, as it is read.
 */

#define TRACEPARENT							\
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/* The trace begins here, unless the row has one; history and log have it. */
static void
task_has_a_trace(void **state)
{
	struct trace trace;
	char line[64];

	(void)state;
	run("A");
	assert_int_equal(trace_parse(cloud.traceparent, &trace), 0);
	assert_string_equal(results[0].trace.id, trace.id);
	(void)snprintf(line, sizeof(line), " trace_id=%s", trace.id);
	assert_int_equal(logged(line), 1);
	assert_non_null(strstr(table.told, trace.id));
	B->traceparent = TRACEPARENT;
	run("B");
	assert_string_equal(cloud.traceparent, TRACEPARENT);
	C->traceparent = "00-x";
	run("C");
	assert_int_equal(trace_parse(cloud.traceparent, &trace), 0);

	/* One that is there already has a trace of its own. */
	(void)create_is("D", CLOUD_TASKS_EXISTS);
	run("D");
	assert_null(trace_id(&results[0].trace));
	assert_null(strstr(table.told, trace_id(&trace)));
	assert_non_null(strstr(table.told, "adopted"));
	table.rows[4].traceparent = TRACEPARENT;
	(void)create_is("E", CLOUD_TASKS_EXISTS);
	run("E");
	assert_string_equal(trace_id(&results[0].trace),
	    "4bf92f3577b34da6a3ce929d0e0e4736");
}

static void
one_is_scheduled(void **state)
{

	(void)state;
	run("A");
	table_expect(TAKE "create:A" WRITE);
	expect_scheduled(0, A, "A");
	assert_int_equal(results[0].already_exists, 0);
	assert_string_equal(results[0].schedule_time,
	    "2026-11-26T00:01:00.000Z");
	assert_string_equal(A->key, "followup:t1:"
	    "00000000-0000-4000-8000-00000000000b:2026-11-26T00:01:00.000Z");
	assert_string_equal(A->task_name, TABLE_QUEUE "/tasks/followup-"
	    "00000000-0000-4000-8000-00000000000b-1795651260");
	assert_int_equal(logged("task created, due 2026-11-26T00:01:00.000Z"),
	    1);
}

static void
task_is_what_the_callback_needs(void **state)
{
	json_t *body;

	(void)state;
	A->due_in = 1.25;
	run("A");
	assert_string_equal(cloud.url, "https://x/bookings/"
	    "00000000-0000-4000-8000-00000000000b/execute-followup");
	assert_string_equal(cloud.time, "2026-11-26T00:00:01.250000Z");
	body = json_pack("{ss}", "idempotencyKey", A->key);
	json_t *sent = json_loads(cloud.body, JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_equal(body, sent));
	json_decref(body);
	json_decref(sent);
}

/*
 * The id of no booking may be a canary's, whose task is made by the same calls
 * and of which no booking is written.  It is not tried again, unless Cloud
 * Tasks does nothing for anybody.
 */
static void
canary_is_scheduled(void **state)
{
	static const struct {
		enum cloud_tasks_outcome task;
		enum schedule_outcome outcome;
		const char *trace;
		int everybody;
	} rows[] = {
		{ CLOUD_TASKS_OK, SCHEDULE_DONE, "canary_task:A", 0 },
		{ CLOUD_TASKS_EXISTS, SCHEDULE_DONE, "canary_task:A", 0 },
		{ CLOUD_TASKS_REFUSED, SCHEDULE_NOTHING, "canary_failed:A", 0 },
		{ CLOUD_TASKS_TRANSIENT, SCHEDULE_NOTHING, "canary_failed:A",
		    0 },
		{ CLOUD_TASKS_OPEN, SCHEDULE_LATER, "canary_failed:A", 1 },
	};
	char trace[128];
	size_t i;

	(void)state;
	A->absent = A->is_canary = 1;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)create_is("A", rows[i].task);
		run("A");
		(void)snprintf(trace, sizeof(trace), TAKE
		    "canary_received:A create:A %s" UNLOCK, rows[i].trace);
		table_expect(trace);
		assert_int_equal(results[0].outcome, rows[i].outcome);
		if (rows[i].outcome == SCHEDULE_LATER)
			assert_int_equal(results[0].everybody,
			    rows[i].everybody);
	}
	assert_string_equal(cloud.body, "{\"canary\":1}");
	assert_string_equal(A->status, "pending");

	/* Nor is the database's trouble the canary's. */
	table_fail("canary received", DB_LOST);
	run("A");
	expect(0, SCHEDULE_LATER, "the database is not available");
	table_fail("canary task", DB_BROKEN);
	run("A");
	expect(0, SCHEDULE_LATER, "the database refuses");
}

/* Before 1970 there is no scheduleTime, but there is a name and a key. */
static void
past_means_now(void **state)
{

	(void)state;
	A->due_in = -1795651200 - 0.5;
	run("A");
	assert_string_equal(cloud.time, "1970-01-01T00:00:00.000000Z");
	assert_non_null(strstr(A->task_name, "000b--1"));
	expect(0, SCHEDULE_DONE, "scheduled");
}

static void
nothing_to_schedule(void **state)
{
	static const struct {
		const char *name;
		struct table_row row;
		enum schedule_outcome outcome;
		const char *reason;
	} rows[] = {
		{ "absent", { .absent = 1 }, SCHEDULE_NO_BOOKING,
		    "there is no booking 00000000-" },
		{ "deleted", { .is_deleted = 1, .is_followup = 1,
		    .status = "pending" }, SCHEDULE_NOTHING, "is deleted" },
		{ "other type", { .status = "pending", .type = "meeting" },
		    SCHEDULE_NOTHING, "\"meeting\" is not a follow-up type" },
		{ "no type", { .status = "pending" }, SCHEDULE_NOTHING,
		    "\"\" is not a follow-up type" },
		{ "executed", { .status = "executed" }, SCHEDULE_NOTHING,
		    "already executed" },
		{ "cancelled", { .status = "cancelled" }, SCHEDULE_NOTHING,
		    "already cancelled" },
		{ "failed", { .status = "failed" }, SCHEDULE_NOTHING,
		    "already failed" },
		{ "another state", { .status = "" }, SCHEDULE_NOTHING,
		    "already in another state" },
		{ "far away", { .status = "pending", .is_followup = 1,
		    .due_in = BOOKINGS_HORIZON + 1 }, SCHEDULE_NOTHING,
		    "due in 30 days, beyond the horizon" },
		{ "scheduled", { .status = "scheduled", .task_name = "t",
		    .task_in = 60, .due_in = 60 }, SCHEDULE_NOTHING,
		    "already scheduled" },
		{ "scheduled, of another type", { .status = "scheduled",
		    .task_in = 9, .due_in = -9999, .type = "meeting" },
		    SCHEDULE_NOTHING, "already scheduled" },
		{ "scheduled without a time", { .status = "scheduled",
		    .task_name = "t", .no_due = 1 }, SCHEDULE_NOTHING,
		    "already scheduled" },
		{ "in the backlog", { .status = "pending", .is_followup = 1,
		    .due_in = -60, .verdict = "never", .in_backlog = 1,
		    .verdict_reason = "was already overdue" },
		    SCHEDULE_NOTHING, "was already overdue" },
		{ "in the backlog, by another service", { .status =
		    "scheduled", .is_followup = 1, .task_name = "t",
		    .task_in = -9999, .due_in = -9999, .verdict = "never",
		    .in_backlog = 1, .verdict_reason = "was overdue" },
		    SCHEDULE_NOTHING, "was overdue" },
		{ "in the backlog, with a task of another time", { .status =
		    "scheduled", .is_followup = 1, .task_name = "t",
		    .task_in = 60, .due_in = -60, .verdict = "never",
		    .in_backlog = 1, .verdict_reason = "was overdue" },
		    SCHEDULE_NOTHING, "was overdue" },
		{ "executed, and in the backlog", { .status = "executed",
		    .in_backlog = 1 }, SCHEDULE_NOTHING, "already executed" },
		{ "retried, and not its turn", { .status = "pending",
		    .is_followup = 1, .due_in = -60, .retry_in = 90 },
		    SCHEDULE_NOTHING, "its turn comes in 90 s" },
		{ "paused, and has its task", { .status = "scheduled",
		    .is_followup = 1, .task_name = "t", .task_in = 60,
		    .due_in = 60, .verdict = "wait" }, SCHEDULE_NOTHING,
		    "already scheduled" },
		{ "within the grace", { .status = "scheduled",
		    .task_name = "t", .task_in = -120, .due_in = -120 },
		    SCHEDULE_NOTHING, "already scheduled" },
	};
	size_t i;
	int told;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		char id[UUID_LEN];

		memcpy(id, A->id, sizeof(id));
		*A = rows[i].row;
		memcpy(A->id, id, sizeof(id));
		run("A");
		ASSERT_ROW(results[0].outcome == rows[i].outcome,
		    rows[i].name);
		ASSERT_ROW(strstr(results[0].reason, rows[i].reason) != NULL,
		    rows[i].name);

		/* Of what waits history tells. */
		told = strstr(rows[i].reason, "30 days") != NULL ||
		    strstr(rows[i].reason, "paused") != NULL;
		table_expect(told ? "try_lock:A read:A noted:A unlock:A" :
		    "try_lock:A read:A unlock:A");
		ASSERT_ROW(A->told == told, rows[i].name);
	}
}

/*
 * What has to wait: its task is for the end of that.
 */

static void
have_wait(double seconds)
{

	A->verdict = "wait";
	A->verdict_reason = "x";
	A->wait_in = seconds;
}

static void
waits_with_a_task(void **state)
{

	(void)state;
	have_wait(7260.5);
	run("A");
	table_expect(TAKE "create:A+7200" WRITE);
	expect_scheduled(0, A, "A+7200");
	assert_string_equal(cloud.time, "2026-11-26T02:01:00.500000Z");
	assert_string_equal(results[0].schedule_time,
	    "2026-11-26T02:01:00.500Z");
	assert_int_equal(A->waits, 1);
	assert_int_equal(logged("task created, waits until 2026-11-26T02"), 1);

	/* The key, as the body, stays that of the time when it is due. */
	assert_non_null(strstr(A->key, ":2026-11-26T00:01:00.000Z"));
	assert_non_null(strstr(cloud.body, ":2026-11-26T00:01:00.000Z"));

	/* An end that comes before it is due is none. */
	A->status = "pending";
	have_wait(30);
	run("A");
	expect_scheduled(0, A, "A");
	assert_int_equal(A->waits, 0);
}

/* Without an end that is near enough: not asked for again at once. */
static void
waits_without_a_task(void **state)
{
	static const double ends[] = { 0, BOOKINGS_HORIZON + 1 };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(ends); i++) {
		A->waits = 0;
		have_wait(ends[i]);
		run("A");
		table_expect(TAKE "noted:A" UNLOCK);
		expect(0, SCHEDULE_NOTHING, "it stays pending");
		assert_true(A->waits && A->look_in == 600 && A->told);
	}
	have_wait(BOOKINGS_HORIZON);
	run("A");
	expect(0, SCHEDULE_DONE, "scheduled");
}

static void
waits_no_more(void **state)
{

	(void)state;
	A->waits = 1;
	A->status = "executed";
	run("A");
	table_expect(TAKE "noted:A" UNLOCK);
	assert_int_equal(A->waits, 0);
	assert_int_equal(A->told, 0);

	/* Nobody knows yet what becomes of it. */
	A->waits = 1;
	A->status = "pending";
	create_is("A", CLOUD_TASKS_TRANSIENT);
	run("A");
	table_expect(TAKE "create:A failed_once:A" UNLOCK);
	assert_int_equal(A->waits, 1);
}

/* A scheduled booking, due a minute ago, whose task comes in ${task_in} s. */
static void
have_task_in(double task_in)
{

	A->due_in = task_in;
	table_schedule(A);
	A->due_in = -60;
	A->waits = 1;
	A->look_in = 0;
}

/* A pause was ended, or the hours have changed. */
static void
task_comes_too_late(void **state)
{

	(void)state;
	have_task_in(7260);
	run("A");
	table_expect(TAKE "replan:A read:A delete:A+7200 "
	    "obsolete_deleted:A+7200 create:A-120" WRITE);
	expect_scheduled(0, A, "A-120");
	assert_int_equal(A->waits, 0);

	have_task_in(7260);
	have_wait(3660);
	run("A");
	table_expect(TAKE "replan:A read:A delete:A+7200 "
	    "obsolete_deleted:A+7200 create:A+3600" WRITE);
	expect_scheduled(0, A, "A+3600");
	assert_int_equal(A->waits, 1);

	have_task_in(7260);
	table_fail("replan", DB_LOCKED);
	run("A");
	expect_later(0, "another worker is busy", 1, 0);
	table_fail("replan", DB_LOCKED);
	table.timed_out = 1;
	run("A");
	expect_later(0, "the database took longer than 9s", 1, 0);
}

/* By less than a minute it may, and what would come too early asks the gate. */
static void
task_comes_in_time(void **state)
{
	static const struct {
		double task_in;
		const char *verdict;
		double wait_in;
		double look_in;
	} rows[] = {
		{ 60, "call", 0, 181 },
		{ 7260, "wait", 7200, 3600 },
		{ 7260, "wait", 9000, 3600 },
		{ 7260, "wait", 0, 3600 },
		{ 7260, "never", 0, 3600 },
		{ -110, "call", 0, 121 },
	};
	char name[32];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(name, sizeof(name), "row %zu", i);
		have_task_in(rows[i].task_in);
		A->due_in = -600;
		A->verdict = rows[i].verdict;
		A->wait_in = rows[i].wait_in;
		run("A");
		table_expect(TAKE "noted:A" UNLOCK);
		expect(0, SCHEDULE_NOTHING, "already scheduled");
		ASSERT_ROW(A->look_in == rows[i].look_in, name);
	}
}

/* It is overdue by the time of its task. */
static void
waited_and_its_task_is_gone(void **state)
{

	(void)state;
	have_task_in(-121);
	A->due_in = -3600;
	get_is("A-181", CLOUD_TASKS_GONE);
	run("A");
	table_expect(TAKE "try_lock:A get:A-181 task_gone:A unlock:A read:A "
	    "create:A-3660" WRITE);
	assert_int_equal(logged("overdue by 121 s"), 1);
}

/* What the gate never lets pass, for other reasons, is for a person. */
static void
not_by_the_gate(void **state)
{

	(void)state;
	A->verdict = "never";
	A->verdict_reason = "on the do-not-call list";
	run("A");
	table_expect(TAKE "failed:A" UNLOCK);
	expect(0, SCHEDULE_GIVEN_UP, "failed: on the do-not-call list");
	assert_string_equal(table.failure.stage, "schedule");
	assert_int_equal(logged("late\":true"), 0);

	A->status = "pending";
	A->verdict_reason = "more than 4h late";
	run("A");
	expect(0, SCHEDULE_GIVEN_UP, "failed: more than 4h late");
	assert_int_equal(logged("/retry with {\"late\":true}"), 1);
}

static void
scheduled_in_name_only(void **state)
{

	(void)state;
	A->status = "scheduled";
	run("A");
	table_expect(TAKE "task_gone:A read:A create:A" WRITE);
	expect_scheduled(0, A, "A");
}

static void
just_near_enough(void **state)
{

	(void)state;
	A->due_in = BOOKINGS_HORIZON;
	run("A");
	expect(0, SCHEDULE_DONE, "scheduled");
}

static void
unknown_time_is_a_dead_letter(void **state)
{

	(void)state;
	A->no_due = 1;
	run("A");
	table_expect(TAKE "failed:A" UNLOCK);
	expect(0, SCHEDULE_GIVEN_UP, "failed: cannot determine the due time: "
	    "\"as written\" in time zone \"the zone\" is not valid");
	assert_string_equal(A->status, "failed");
	assert_string_equal(table.failure.stage, "schedule");
	assert_int_equal(logged("dead letter: the booking could not be "
	    "scheduled: cannot determine"), 1);
}

static void
make_due(void)
{

	A->no_due = 0;
}

static void
time_is_corrected_meanwhile(void **state)
{

	(void)state;
	A->no_due = 1;
	table_before("failed", make_due);
	run("A");
	expect_later(0, "changed meanwhile", 1, 0);
	assert_string_equal(A->status, "pending");
}

static void
locked_by_another_worker(void **state)
{

	(void)state;
	A->foreign = 1;
	run("A");
	table_expect("try_lock:A read:A");
	expect_later(0, "another worker is busy", 1, 0);

	/* It is so whatever was slow before. */
	table.timed_out = 1;
	run("A");
	expect_later(0, "another worker is busy", 1, 0);
}

/*
 * Obsolete tasks come first.
 */

#define OLD	TABLE_QUEUE "/tasks/old"

static void
schedule_by_another(void)
{

	A->status = "scheduled";
	A->task_in = A->due_in;
	(void)snprintf(A->task_name, sizeof(A->task_name), OLD);
}

static void
obsolete_tasks_first(void **state)
{

	(void)state;
	(void)snprintf(A->obsolete, sizeof(A->obsolete), OLD "1\n" OLD "2\n"
	    "nonsense\n");
	(void)delete_is("old2", CLOUD_TASKS_GONE);
	(void)delete_is("nonsense", CLOUD_TASKS_REFUSED);
	run("A");
	table_expect(TAKE "delete:old1 obsolete_deleted:old1 "
	    "delete:old2 obsolete_deleted:old2 "
	    "delete:nonsense obsolete_deleted:nonsense create:A" WRITE);
	expect_scheduled(0, A, "A");
	assert_string_equal(A->obsolete, "");
	assert_int_equal(results[0].deleted, 2);
	assert_int_equal(logged("obsolete task deleted"), 1);
	assert_int_equal(logged("obsolete task was gone already"), 1);
	assert_int_equal(logged("it will do nothing when it fires"), 1);
}

static void
obsolete_of_a_deleted_booking(void **state)
{

	(void)state;
	A->absent = 1;
	(void)snprintf(A->obsolete, sizeof(A->obsolete), OLD "\n");
	run("A");
	table_expect(TAKE "delete:old obsolete_deleted:old" UNLOCK);
	expect(0, SCHEDULE_NOTHING, "was deleted, and now its task too");

	(void)snprintf(A->obsolete, sizeof(A->obsolete), OLD "\n");
	(void)delete_is("old", CLOUD_TASKS_TRANSIENT);
	run("A");
	expect_later(0, "could not be deleted", 1, 0);
}

/* Its last task's name, with ${more} at its end, is that of an obsolete one. */
static void
have_obsolete(const char *more)
{

	A->status = "pending";
	(void)snprintf(A->obsolete, sizeof(A->obsolete), "%.500s%s\n",
	    A->task_name, more);
	table.trace[0] = '\0';
}

/* A booking waits only for a task whose name it may get again. */
static void
obsolete_cannot_be_deleted_now(void **state)
{

	(void)state;
	(void)snprintf(A->obsolete, sizeof(A->obsolete), OLD "\n");
	delete_is("old", CLOUD_TASKS_TRANSIENT)->retry_after = 7;
	run("A");
	table_expect(TAKE "delete:old obsolete_later:A create:A" WRITE);
	expect_scheduled(0, A, "A");
	assert_string_equal(A->obsolete, OLD "\n");
	assert_int_equal(logged("could not delete an obsolete task, trying "
	    "again later"), 1);

	have_obsolete("");
	delete_is("A", CLOUD_TASKS_TRANSIENT)->retry_after = 7;
	run("A");
	table_expect(TAKE "delete:A obsolete_later:A" UNLOCK);
	expect_later(0, "could not be deleted: what it said", 7, 0);

	have_obsolete("-2");
	(void)delete_is("A-2", CLOUD_TASKS_TRANSIENT);
	run("A");
	expect_later(0, "could not be deleted", 1, 0);
}

/* No booking waits for a task of a former queue. */
static void
obsolete_of_a_former_queue(void **state)
{

	(void)state;
	(void)snprintf(A->obsolete, sizeof(A->obsolete),
	    QUEUES "former/tasks/old\n");
	(void)delete_is("old", CLOUD_TASKS_TRANSIENT);
	run("A");
	table_expect(TAKE "delete:old obsolete_later:A create:A" WRITE);
	expect_scheduled(0, A, "A");
	assert_int_equal(results[0].deleted, 0);
}

/*
 * Queues that followup_queue names.
 */

/* The booking is moved to another queue by a change of its tenant's. */
static void
queue_of_its_tenant(void **state)
{
	struct answer *a;

	(void)state;
	A->queue = "tenant-1";
	B->queue = "";
	run("AB");
	expect_scheduled(0, A, "A");
	expect_scheduled(1, B, "B");
	assert_non_null(strstr(A->task_name, QUEUES "tenant-1/tasks/"));
	assert_non_null(strstr(B->task_name, QUEUES "q/tasks/"));
	assert_int_equal(cloud.is_former, 0);

	/* Its task stays where it is, and is deleted there. */
	A->queue = "tenant-2";
	run("A");
	expect(0, SCHEDULE_NOTHING, "already scheduled");
	A->status = "pending";
	(void)snprintf(A->obsolete, sizeof(A->obsolete), "%.500s\n",
	    A->task_name);
	table.trace[0] = '\0';
	a = delete_is("A", CLOUD_TASKS_TRANSIENT);
	run("A");
	table_expect(TAKE "delete:A obsolete_later:A create:A" WRITE);
	assert_true(a->used && cloud.is_former);
	assert_non_null(strstr(A->task_name, QUEUES "tenant-2/tasks/"));
}

/* The task of the same name in the same queue must be gone first. */
static void
obsolete_of_its_tenants_queue(void **state)
{

	(void)state;
	A->queue = "tenant-1";
	run("A");
	have_obsolete("");
	(void)delete_is("A", CLOUD_TASKS_TRANSIENT);
	run("A");
	expect_later(0, "could not be deleted", 1, 0);
	assert_int_equal(cloud.is_former, 0);

	/* Nor is it of another queue where no other one is made. */
	A->status = "cancelled";
	A->queue = NULL;
	(void)delete_is("A", CLOUD_TASKS_TRANSIENT);
	run("A");
	expect_later(0, "could not be deleted", 1, 0);
	assert_int_equal(cloud.is_former, 0);
}

/* What holds up one queue is told of its bookings alone. */
static void
queue_in_trouble(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		create_is("A", i == 0 ? CLOUD_TASKS_BLOCKED :
		    CLOUD_TASKS_OPEN)->only_its_queue = 1;
		run("AB");
		expect(0, SCHEDULE_LATER, "what it said");
		assert_int_equal(results[0].everybody, 0);
		assert_int_equal(A->schedule_attempts, 0);
		assert_int_equal(table.failure.error[0], '\0');
	}
	expect(1, SCHEDULE_NOTHING, "already scheduled");
}

/* A name that no queue has is its own trouble, which comes to an end. */
static void
queue_that_cannot_be(void **state)
{
	static const char *const names[] = { "a/b", "a b", "\xc3\xa4",
	    ("12345678901234567890123456789012345678901234567890"
	    "123456789012345678901234567890123456789012345678901") };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(names); i++) {
		A->queue = names[i];
		A->status = "pending";
		A->schedule_attempts = 0;
		run("A");
		expect_later(0, "followup_queue names \"", 1, 0);
		assert_non_null(strstr(results[0].reason, i < 2 ? names[i] :
		    "cannot be a queue"));
		A->schedule_attempts = conf.max_schedule_attempts - 1;
		run("A");
		expect(0, SCHEDULE_GIVEN_UP, "followup_queue names \"");
		assert_string_equal(A->status, "failed");
		assert_null(strstr(table.trace, "create"));
	}
}

/* What no task can be called is not cut off to what one can. */
static void
obsolete_name_too_long(void **state)
{

	(void)state;
	(void)snprintf(A->obsolete, sizeof(A->obsolete), TABLE_QUEUE
	    "/tasks/%01500d\n" OLD "\n", 0);
	run("A");
	assert_null(strstr(table.trace, "delete:000"));
	assert_non_null(strstr(table.trace, "obsolete_deleted:000"));
	assert_non_null(strstr(table.trace, "delete:old "
	    "obsolete_deleted:old create:A"));
	expect_scheduled(0, A, "A");
	assert_string_equal(A->obsolete, "");
}

/* As where a trigger of the application does not let the row be moved. */
static void
obsolete_is_what_the_booking_has(void **state)
{

	(void)state;
	schedule_by_another();
	(void)snprintf(A->obsolete, sizeof(A->obsolete), OLD "\n" OLD "2\n");
	run("A");
	table_expect(TAKE "obsolete_deleted:old delete:old2 "
	    "obsolete_deleted:old2" UNLOCK);
	expect(0, SCHEDULE_NOTHING, "already scheduled");
	assert_int_equal(logged("its booking is scheduled by it"), 1);
}

static void
obsolete_while_the_service_is_away(void **state)
{

	(void)state;
	(void)snprintf(A->obsolete, sizeof(A->obsolete), OLD "\n");
	delete_is("old", CLOUD_TASKS_OPEN)->retry_after = 9;
	run("A");
	table_expect(TAKE "delete:old" UNLOCK);
	expect_later(0, "what it said", 9, 1);
}

static void
obsolete_deleted_is_not_written(void **state)
{

	(void)state;
	(void)snprintf(A->obsolete, sizeof(A->obsolete), OLD "\n");
	table_fail("obsolete deleted", DB_FAILED);
	run("A");
	table_expect(TAKE "delete:old obsolete_deleted:old" UNLOCK);
	expect_later(0, "the database refuses: said no", 10, 0);
}

/*
 * What the service says to a create.
 */

static void
task_is_adopted(void **state)
{

	(void)state;
	(void)create_is("A", CLOUD_TASKS_EXISTS);
	run("A");
	table_expect(TAKE "create:A get:A" WRITE);
	expect_scheduled(0, A, "A");
	assert_int_equal(results[0].already_exists, 1);
	assert_int_equal(logged("task found already created"), 1);
}

static void
burnt_names_are_passed_over(void **state)
{

	(void)state;
	(void)create_is("A", CLOUD_TASKS_EXISTS);
	(void)get_is("A", CLOUD_TASKS_GONE);
	(void)create_is("A-2", CLOUD_TASKS_EXISTS);
	(void)get_is("A-2", CLOUD_TASKS_GONE);
	run("A");
	table_expect(TAKE "create:A get:A create:A-2 get:A-2 create:A-3"
	    WRITE);
	expect_scheduled(0, A, "A-3");
	assert_int_equal(results[0].already_exists, 0);
}

static void
all_names_are_burnt(void **state)
{
	static char names[100][8];
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		(void)snprintf(names[i], sizeof(names[i]), i == 0 ? "A" :
		    "A-%d", i + 1);
		(void)create_is(names[i], CLOUD_TASKS_EXISTS);
		get_is(names[i], CLOUD_TASKS_GONE)->http_status = 404;
	}
	run("A");
	expect(0, SCHEDULE_GIVEN_UP, "failed: what it said");
	assert_int_equal(table.failure.http_status, 404);
	assert_non_null(strstr(table.trace, "create:A-100 get:A-100 failed:A"));
	assert_string_equal(A->status, "failed");
}

static void
adopting_fails(void **state)
{

	(void)state;
	(void)create_is("A", CLOUD_TASKS_EXISTS);
	(void)get_is("A", CLOUD_TASKS_TRANSIENT);
	run("A");
	table_expect(TAKE "create:A get:A failed_once:A" UNLOCK);
	expect_later(0, "what it said", 1, 0);
	assert_string_equal(A->status, "pending");
}

static void
failure_is_counted(void **state)
{
	struct answer *a = create_is("A", CLOUD_TASKS_TRANSIENT);

	(void)state;
	a->http_status = 503;
	run("A");
	table_expect(TAKE "create:A failed_once:A" UNLOCK);
	expect_later(0, "what it said", 1, 0);
	assert_string_equal(table.failure.stage, "schedule");
	assert_string_equal(table.failure.error, "what it said");
	assert_int_equal(table.failure.http_status, 503);
	assert_true(table.failure.retry_in == 1.0);
	assert_int_equal(logged("attempt 1 of 3 to create the task failed, "
	    "next in 1.0 s: what it said"), 1);
	table.trace[0] = '\0';

	/* Twice as long after the second; longer if the service asks. */
	(void)create_is("A", CLOUD_TASKS_TRANSIENT);
	run("A");
	expect_later(0, "what it said", 2, 0);
	A->schedule_attempts = 1;
	create_is("A", CLOUD_TASKS_TRANSIENT)->retry_after = 30;
	run("A");
	expect_later(0, "what it said", 30, 0);
	assert_true(table.failure.retry_in == 30.0);
}

static void
attempts_are_used_up(void **state)
{

	(void)state;
	A->schedule_attempts = 2;
	create_is("A", CLOUD_TASKS_TRANSIENT)->http_status = 500;
	run("A");
	table_expect(TAKE "create:A failed:A" UNLOCK);
	expect(0, SCHEDULE_GIVEN_UP, "failed: what it said");
	assert_int_equal(table.failure.http_status, 500);
	assert_string_equal(A->status, "failed");
}

static void
refused_at_once(void **state)
{

	(void)state;
	create_is("A", CLOUD_TASKS_REFUSED)->http_status = 400;
	run("A");
	table_expect(TAKE "create:A failed:A" UNLOCK);
	expect(0, SCHEDULE_GIVEN_UP, "failed: what it said");
	assert_int_equal(table.failure.http_status, 400);
}

/* That nobody is served costs nobody an attempt. */
static void
service_away_costs_nothing(void **state)
{

	(void)state;
	A->schedule_attempts = 2;
	create_is("A", CLOUD_TASKS_OPEN)->retry_after = 12;
	run("A");
	table_expect(TAKE "create:A" UNLOCK);
	expect_later(0, "what it said", 12, 1);

	(void)create_is("A", CLOUD_TASKS_BLOCKED);
	run("A");
	table_expect(TAKE "create:A" UNLOCK);
	expect_later(0, "what it said", 1, 1);
	assert_int_equal(A->schedule_attempts, 2);
}

static void
failure_is_not_written(void **state)
{

	(void)state;
	(void)create_is("A", CLOUD_TASKS_TRANSIENT);
	table_fail("failed once", DB_LOCKED);
	run("A");
	expect_later(0, "another worker is busy", 1, 0);
	(void)create_is("A", CLOUD_TASKS_REFUSED);
	table_fail("failed", DB_LOCKED);
	run("A");
	expect_later(0, "another worker is busy", 1, 0);

	/* What the row refuses is kept without it. */
	(void)create_is("A", CLOUD_TASKS_TRANSIENT);
	table_fail("failed once", DB_FAILED);
	run("A");
	expect_later(0, "what it said", 1, 0);
	assert_string_equal(table.failure.error, "what it said");
	(void)create_is("A", CLOUD_TASKS_REFUSED);
	table_fail("failed", DB_FAILED);
	table_fail("mark failed", DB_FAILED);
	run("A");
	expect(0, SCHEDULE_GIVEN_UP, "failed: what it said");
	assert_string_equal(A->status, "pending");
	assert_string_equal(A->dead, "what it said");
}

/*
 * The row changes while its task is created.
 */

static void
move(void)
{

	A->due_in += 3600;
}

static void
cancel(void)
{

	A->status = "cancelled";
}

static void
delete(void)
{

	A->absent = 1;
}

static void
execute(void)
{

	A->status = "executed";
}

static void
schedule_same(void)
{

	table_schedule(A);
}

/* All of them see the row again; what differs is what comes then. */
#define CHANGED	TAKE "create:A" WRITE " read:A "

static void
moved_meanwhile(void **state)
{

	(void)state;
	table_before("scheduled one", move);
	run("A");
	table_expect(CHANGED "delete:A create:A+3600" WRITE);
	expect_scheduled(0, A, "A+3600");
	assert_string_equal(results[0].schedule_time,
	    "2026-11-26T01:01:00.000Z");
}

static void
cancelled_meanwhile(void **state)
{

	(void)state;
	table_before("scheduled one", cancel);
	run("A");
	table_expect(CHANGED "delete:A" UNLOCK);
	expect(0, SCHEDULE_NOTHING, "already cancelled");
}

static void
deleted_meanwhile(void **state)
{

	(void)state;
	table_before("scheduled one", delete);
	run("A");
	table_expect(CHANGED "delete:A" UNLOCK);
	expect(0, SCHEDULE_NO_BOOKING, "there is no booking");
}

static void
executed_meanwhile(void **state)
{

	(void)state;
	table_before("scheduled one", execute);
	run("A");
	table_expect(CHANGED "name_executed:A" UNLOCK);
	expect(0, SCHEDULE_DONE, "already executed");
	assert_string_equal(table_task(results[0].task_name), "A");
}

static void
scheduled_meanwhile(void **state)
{

	(void)state;
	table_before("scheduled one", schedule_same);
	run("A");
	table_expect(CHANGED "unlock:A");
	expect(0, SCHEDULE_DONE, "already scheduled");

	/* With another task, ours is one that nobody wants. */
	A->status = "pending";
	table_before("scheduled one", schedule_by_another);
	run("A");
	table_expect(CHANGED "delete:A" UNLOCK);
	expect(0, SCHEDULE_NOTHING, "already scheduled");
}

static void
unwanted_task_cannot_be_deleted(void **state)
{

	(void)state;
	table_before("scheduled one", cancel);
	(void)delete_is("A", CLOUD_TASKS_TRANSIENT);
	run("A");
	expect(0, SCHEDULE_NOTHING, "already cancelled");
	assert_int_equal(logged("could not delete a task that is no longer "
	    "wanted"), 1);
}

/* New obsolete tasks that the second look finds are deleted too. */
static void
moved_by_a_trigger_meanwhile(void)
{

	move();
	(void)snprintf(A->obsolete, sizeof(A->obsolete), OLD "\n");
}

static void
moved_with_obsolete_tasks(void **state)
{

	(void)state;
	table_before("scheduled one", moved_by_a_trigger_meanwhile);
	run("A");
	table_expect(CHANGED "delete:A delete:old obsolete_deleted:old "
	    "create:A+3600" WRITE);
	expect_scheduled(0, A, "A+3600");
}

/* Whatever is written to the row, it stays as it is: that has an end too. */
static void
never_changes(void **state)
{

	(void)state;
	A->ignores = 1;
	A->refusals[0] = 2;
	run("A");
	expect(0, SCHEDULE_GIVEN_UP, "the database refuses its row");
	assert_non_null(strstr(A->dead, "the database refuses its row"));
}

static void
keeps_changing(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 5; i++)
		table_before("scheduled one", move);
	run("A");
	expect_later(0, "the database refuses its row", 3, 0);
	assert_string_equal(A->status, "pending");
	table_expect(TAKE "create:A scheduled_one:A read:A delete:A "
	    "create:A+3600 scheduled_one:A read:A delete:A+3600 "
	    "create:A+7200 scheduled_one:A read:A delete:A+7200 "
	    "create:A+10800 scheduled_one:A read:A delete:A+10800 "
	    "create:A+14400 scheduled_one:A ignored refused:A" UNLOCK);
}

static void
fail_second_look(void)
{

	cancel();
	table_fail("read", DB_LOST);
}

static void
second_look_fails(void **state)
{

	(void)state;
	table_before("scheduled one", fail_second_look);
	run("A");
	table_expect(TAKE "create:A" WRITE " read:A disconnect");
	expect_later(0, "the database is not available: said no", 1, 1);
}

/*
 * The database, at every step.
 */

static void
database_away(void **state)
{

	(void)state;
	table.connect_fails = 1;
	run("AB");
	table_expect("");
	expect_later(0, "the database is not available: said no", 1, 1);
	expect_later(1, "the database is not available: said no", 1, 1);
}

static void
database_lost_while_reading(void **state)
{

	(void)state;
	table_fail("try lock", DB_LOST);
	run("A");
	table_expect("try_lock:A");
	expect_later(0, "the database is not available", 1, 1);
}

/* The task is there, and the next attempt finds it. */
static void
database_lost_while_writing(void **state)
{

	(void)state;
	table_fail("scheduled one", DB_LOST);
	run("A");
	table_expect(TAKE "create:A scheduled_one:A disconnect");
	expect_later(0, "the database is not available", 1, 1);

	(void)create_is("A", CLOUD_TASKS_EXISTS);
	run("A");
	expect_scheduled(0, A, "A");
	assert_int_equal(results[0].already_exists, 1);
}

static void
lose_connection(void)
{

	table_lose();
}

/* Others that are in flight come to their end, and are written by nobody. */
static void
database_lost_in_the_middle(void **state)
{

	(void)state;
	(void)create_is("B", CLOUD_TASKS_OK);
	cloud.answers[0].happen = lose_connection;
	run("ABC");
	table_expect("try_lock:ABC read:ABC create:A create:B create:C "
	    "disconnect");
	expect_later(0, "the database is not available", 1, 1);
	expect_later(1, "the database is not available", 1, 1);
	expect_later(2, "the database is not available", 1, 1);
}

/* A row that the database refuses to read keeps nobody else. */
static void
one_row_cannot_be_read(void **state)
{

	(void)state;
	B->poisons = "read";
	run("ABC");
	table_expect("try_lock:ABC read:ABC unlock:ABC "
	    "try_lock:A read:A try_lock:B read:B unlock:B refused:B "
	    "try_lock:C read:C create:A create:C scheduled:AC");
	expect_scheduled(0, A, "A");
	expect_later(1, "the database refuses its row: said no", 3, 0);
	expect_scheduled(2, C, "C");
}

static void
moved_unnoticed(void)
{

	table_schedule(A);
	A->task_in = 3600;
}

static void
overdue_without_task(void)
{

	A->due_in = -180;
	table_schedule(A);
	(void)get_is("A-240", CLOUD_TASKS_GONE);
}

/*
 * Whatever statement the row makes the database refuse: an attempt each time,
 * then a dead letter, and then it is left alone.
 */
static void
row_that_refuses(void **state)
{
	static const struct {
		const char *statement;
		void (*prepare)(void);
		const char *status;	/* that it ends with */
	} rows[] = {
		{ "read", NULL, "failed" },
		{ "scheduled one", NULL, "failed" },
		{ "unschedule", moved_unnoticed, "failed" },
		{ "task gone", overdue_without_task, "failed" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		table_begin();
		A->poisons = rows[i].statement;
		for (int attempt = 1; attempt <= 3; attempt++) {
			memset(&cloud, 0, sizeof(cloud));
			cloud.room = ROOM;
			if (rows[i].prepare != NULL)
				rows[i].prepare();
			run("A");
			ASSERT_ROW(A->refusals[0] == attempt,
			    rows[i].statement);
			if (attempt < 3)
				expect_later(0, "refuses its row: said no",
				    2 * attempt + 1, 0);
		}
		expect(0, SCHEDULE_GIVEN_UP,
		    "failed: the database refuses its row: said no");
		ASSERT_ROW(strcmp(A->status, rows[i].status) == 0,
		    rows[i].statement);
		ASSERT_ROW(strstr(A->dead, "said no") != NULL,
		    rows[i].statement);
		table_end();
	}
	assert_int_equal(logged("dead letter: the booking could not be "
	    "scheduled: the database refuses its row: said no"), 4);
}

/* A row that does not even take that it failed. */
static void
dead_letter_alone(void **state)
{

	(void)state;
	(void)snprintf(A->dead, sizeof(A->dead), "it said no");
	run("A");
	table_expect(TAKE "unlock:A");
	expect(0, SCHEDULE_NOTHING, "a dead letter: it said no; fix the "
	    "cause, then POST /followups/");
	table_schedule(A);
	A->due_in = -180;
	run("A");
	expect(0, SCHEDULE_NOTHING, "a dead letter: it said no");
}

/* What is nobody's fault costs no attempt, and one's trouble stays its own. */
static void
refused_for_all(void **state)
{
	static const enum db_outcome outcomes[] = { DB_MANY, DB_BROKEN };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(outcomes); i++) {
		table_fail("read", outcomes[i]);
		run("A");
		expect_later(0, "the database refuses: said no", 10,
		    outcomes[i] == DB_BROKEN);
		table_fail("scheduled one", outcomes[i]);
		run("A");
		expect_later(0, "the database refuses: said no", 10,
		    outcomes[i] == DB_BROKEN);
	}
	assert_int_equal(A->refusals[0], 0);

	/* Of many, none is asked for by itself. */
	table.trace[0] = '\0';
	table_fail("read", DB_BROKEN);
	run("ABC");
	table_expect("try_lock:ABC read:ABC unlock:ABC");
	expect_later(2, "the database refuses: said no", 10, 1);
	table_fail("scheduled", DB_BROKEN);
	run("ABC");
	table_expect("try_lock:ABC read:ABC create:A create:B create:C "
	    "scheduled:ABC unlock:ABC");
	expect_later(2, "the database refuses: said no", 10, 1);

	/* Nor is what our own table refuses the fault of the row. */
	table_fail("read", DB_FAILED);
	table_fail("refused", DB_FAILED);
	run("A");
	expect_later(0, "the database refuses: said no", 10, 0);
}

static void
unlocking_fails(void **state)
{

	(void)state;
	A->status = "cancelled";
	table_fail("unlock", DB_FAILED);
	run("A");
	table_expect("try_lock:A read:A unlock:A disconnect");
	expect(0, SCHEDULE_NOTHING, "already cancelled");
}

/*
 * Many.
 */

/* Each has its own result, in the order asked. */
static void
mixed_batch(void **state)
{

	(void)state;
	table.rows[1].status = "cancelled";
	table.rows[2].foreign = 1;
	create_is("D", CLOUD_TASKS_REFUSED)->http_status = 400;
	(void)create_is("E", CLOUD_TASKS_EXISTS);
	table.rows[5].absent = 1;
	run("GFEDCBA");
	table_expect("try_lock:GFEDCBA read:GFEDCBA "
	    "create:G create:E create:D create:A get:E failed:D "
	    "scheduled:GEA unlock:FDB");
	expect_scheduled(0, &table.rows[6], "G");
	expect(1, SCHEDULE_NO_BOOKING, "there is no booking 00000005-");
	expect_scheduled(2, &table.rows[4], "E");
	assert_int_equal(results[2].already_exists, 1);
	expect(3, SCHEDULE_GIVEN_UP, "failed");
	expect_later(4, "another worker is busy", 1, 0);
	expect(5, SCHEDULE_NOTHING, "already cancelled");
	expect_scheduled(6, A, "A");
	assert_int_equal(results[6].already_exists, 0);
}

/* No more at once than there is room for, and nobody is forgotten. */
static void
full_batch(void **state)
{
	const char *ids[SCHEDULE_BATCH];
	int i;

	(void)state;
	for (i = 0; i < SCHEDULE_BATCH; i++)
		ids[i] = table.rows[i].id;
	schedule_bookings(&schedule, ids, SCHEDULE_BATCH, results);
	for (i = 0; i < SCHEDULE_BATCH; i++)
		expect_scheduled(i, &table.rows[i],
		    table_task(table.rows[i].task_name));
	assert_int_equal(cloud.most, ROOM);
}

/* A slow service: what has not had its turn in time is left for later. */
static void
turn_comes_too_late(void **state)
{
	long start = now;

	(void)state;
	cloud.room = 1;
	create_is("A", CLOUD_TASKS_OK)->ms = START_MS - 1;
	create_is("B", CLOUD_TASKS_OK)->ms = 5000;
	run("ABCD");
	table_expect("try_lock:ABCD read:ABCD create:A create:B "
	    "scheduled_one:A scheduled_one:B unlock:CD");
	assert_int_equal(now - start, START_MS - 1 + 5000);
	expect_scheduled(0, A, "A");
	expect_scheduled(1, B, "B");
	expect_later(2, "its turn did not come within 30 s", 1, 0);
	expect_later(3, "its turn did not come within 30 s", 1, 0);
	assert_string_equal(C->status, "pending");
}

static void
wait_for_the_table(void)
{

	now += 3000;
}

/* To wait for a locked table takes 3 s, and nobody waits a hundred times. */
static void
table_is_locked(void **state)
{
	long start = now;
	int i;

	(void)state;
	for (i = 0; i < 6; i++) {
		table_before("read", wait_for_the_table);
		table.faults[i].outcome = DB_LOCKED;
	}
	run("ABCDEFG");
	assert_int_equal(now - start, TAKE_MS);
	expect_later(3, "another worker is busy", 1, 0);
	expect_later(4, "its turn did not come within 15 s: the database is "
	    "slow", 1, 0);
	expect_later(6, "its turn did not come within 15 s", 1, 0);
	assert_string_equal(table.rows[6].status, "pending");
	assert_int_equal(table.rows[6].schedule_attempts, 0);
}

/* Nothing in flight: written at once. */
static void
written_at_once(void **state)
{
	long start = now;

	(void)state;
	run("AB");
	assert_int_equal(now, start);
	table_expect("try_lock:AB read:AB create:A create:B scheduled:AB");
}

/* A slow one: the others are written meanwhile. */
static void
written_soon(void **state)
{
	long start = now;

	(void)state;
	create_is("A", CLOUD_TASKS_OK)->ms = 3;
	create_is("B", CLOUD_TASKS_OK)->ms = 3 + WRITE_MS - 1;
	create_is("C", CLOUD_TASKS_OK)->ms = 500;
	run("ABC");
	table_expect("try_lock:ABC read:ABC create:A create:B create:C "
	    "scheduled:AB scheduled_one:C");
	assert_int_equal(now - start, 500);
	expect_scheduled(2, C, "C");
}

static long written;

static void
note_time(void)
{

	written = now;
}

static void
written_after_ten_milliseconds(void **state)
{
	long start = now;

	(void)state;
	create_is("A", CLOUD_TASKS_OK)->ms = 3;
	create_is("B", CLOUD_TASKS_OK)->ms = 500;
	table_before("scheduled one", note_time);
	run("AB");
	assert_int_equal(written - start, 3 + WRITE_MS);
	table_expect("try_lock:AB read:AB create:A create:B "
	    "scheduled_one:A scheduled_one:B");
}

/* A row that the database refuses to write keeps nobody else. */
static void
one_row_cannot_be_written(void **state)
{

	(void)state;
	B->poisons = "scheduled";
	run("ABC");
	table_expect("try_lock:ABC read:ABC create:A create:B create:C "
	    "scheduled:ABC scheduled_one:A scheduled_one:B refused:B "
	    "scheduled_one:C unlock:B");
	expect_scheduled(0, A, "A");
	expect_later(1, "the database refuses its row: said no", 3, 0);
	expect_scheduled(2, C, "C");
}

/* Of those whose rows somebody else holds, one waits, and no other. */
static void
rows_are_locked_by_somebody(void **state)
{

	(void)state;
	A->busy = C->busy = 1;
	run("ABC");
	table_expect("try_lock:ABC read:ABC create:A create:B create:C "
	    "scheduled:ABC scheduled_one:A unlock:AC");
	expect_later(0, "another worker is busy", 1, 0);
	expect_scheduled(1, B, "B");
	expect_later(2, "another worker is busy", 1, 0);
}

static void
release_row(void)
{

	A->busy = 0;
}

static void
row_is_locked_for_a_moment(void **state)
{

	(void)state;
	A->busy = 1;
	table_before("scheduled one", release_row);
	run("AB");
	table_expect("try_lock:AB read:AB create:A create:B scheduled:AB "
	    "scheduled_one:A");
	expect_scheduled(0, A, "A");
}

/* What became unwanted waits for room like everybody else. */
static void
unwanted_tasks_wait_for_room(void **state)
{

	(void)state;
	cloud.room = 1;
	table_before("scheduled", cancel);
	create_is("A", CLOUD_TASKS_OK)->ms = 0;
	create_is("C", CLOUD_TASKS_OK)->ms = 500;
	run("ABC");
	table_expect("try_lock:ABC read:ABC create:A create:B create:C "
	    "scheduled:AB scheduled_one:A read:A delete:A scheduled_one:C "
	    "unlock:A");
	expect(0, SCHEDULE_NOTHING, "already cancelled");
	expect_scheduled(1, B, "B");
	expect_scheduled(2, C, "C");
}

static void
cancel_both(void)
{

	A->status = B->status = "cancelled";
}

static void
all_unwanted_tasks_are_deleted(void **state)
{

	(void)state;
	cloud.room = 1;
	table_before("scheduled", cancel_both);
	run("AB");
	table_expect("try_lock:AB read:AB create:A create:B scheduled:AB "
	    "scheduled_one:A read:A scheduled_one:B read:B delete:A delete:B "
	    "unlock:AB");
	expect(0, SCHEDULE_NOTHING, "already cancelled");
	expect(1, SCHEDULE_NOTHING, "already cancelled");
}

static void
many_writes_find_the_database_lost(void **state)
{

	(void)state;
	table_fail("scheduled", DB_LOST);
	run("AB");
	table_expect("try_lock:AB read:AB create:A create:B scheduled:AB "
	    "disconnect");
	expect_later(0, "the database is not available", 1, 1);
	expect_later(1, "the database is not available", 1, 1);
}

/*
 * Scheduled bookings: moved while the triggers were off, or overdue.
 */

static void
task_of_another_time(void **state)
{

	(void)state;
	table_schedule(A);
	A->due_in = 3660;
	run("A");
	table_expect(TAKE "unschedule:A read:A delete:A obsolete_deleted:A "
	    "create:A+3600" WRITE);
	expect_scheduled(0, A, "A+3600");

	table_schedule(A);
	A->due_in = 60;
	table_fail("unschedule", DB_LOCKED);
	run("A");
	expect_later(0, "another worker is busy", 1, 0);
}

/* Less than a millisecond is no other time. */
static void
task_of_the_same_millisecond(void **state)
{

	(void)state;
	table_schedule(A);
	A->due_in = 60.0004;
	run("A");
	expect(0, SCHEDULE_NOTHING, "already scheduled");
}

static void
overdue(void)
{

	A->due_in = -121;
	table_schedule(A);
}

#define CHECK	TAKE "try_lock:A get:A-181 "

static void
overdue_and_its_task_is_there(void **state)
{

	(void)state;
	overdue();
	run("A");
	table_expect(CHECK "queue unlock:A unlock:A");
	expect(0, SCHEDULE_NOTHING, "overdue by 121 s, and its task is still "
	    "in the queue: 3 dispatches, the last one: UNAVAILABLE");
	assert_string_equal(A->status, "scheduled");
	assert_int_equal(logged("WARNING overdue by"), 1);

	/* Why it waits; that the queue cannot be read is no failure. */
	answer(CLOUD_TASKS_QUEUE, "", CLOUD_TASKS_OK)->http_status = 200;
	get_is("A-181", CLOUD_TASKS_OK)->http_status = 200;
	run("A");
	expect(0, SCHEDULE_NOTHING, "in the queue, which is paused: "
	    "3 dispatches");
	assert_null(strstr(results[0].reason, "last one"));
	assert_int_equal(logged("ERROR overdue by"), 1);
	answer(CLOUD_TASKS_QUEUE, "", CLOUD_TASKS_BLOCKED)->http_status = 200;
	run("A");
	expect(0, SCHEDULE_NOTHING, "in the queue: 3 dispatches");
}

static void
overdue_and_its_task_is_gone(void **state)
{

	(void)state;
	overdue();
	(void)get_is("A-181", CLOUD_TASKS_GONE);
	(void)create_is("A-181", CLOUD_TASKS_EXISTS);
	(void)get_is("A-181", CLOUD_TASKS_GONE);
	run("A");
	table_expect(CHECK "task_gone:A unlock:A read:A create:A-181 "
	    "get:A-181 create:A-181-2" WRITE);
	expect_scheduled(0, A, "A-181-2");
	assert_int_equal(logged("its task is gone: making another one"), 1);

	/* A name that no task can have is a task that is not there. */
	overdue();
	(void)get_is("A-181", CLOUD_TASKS_REFUSED);
	table_fail("task gone", DB_FAILED);
	table.trace[0] = '\0';
	run("A");
	table_expect(CHECK "task_gone:A unlock:A refused:A unlock:A");
	expect_later(0, "the database refuses its row: said no", 3, 0);
}

/* The lock on the call is another one than ours on the booking. */
static void
lock_call(void)
{

	A->foreign = 1;
}

static void
lock_fails(void)
{

	table_fail("try lock", DB_LOCKED);
}

static void
overdue_and_its_call_is_being_started(void **state)
{

	(void)state;
	overdue();
	table_before("read", lock_call);
	run("A");
	table_expect(TAKE "try_lock:A" UNLOCK);
	expect(0, SCHEDULE_NOTHING, "its call is being started");
	A->foreign = 0;

	table_before("read", lock_fails);
	run("A");
	expect_later(0, "another worker is busy", 1, 0);
}

static void
overdue_and_nobody_knows(void **state)
{

	(void)state;
	overdue();
	(void)get_is("A-181", CLOUD_TASKS_TRANSIENT);
	run("A");
	table_expect(CHECK "unlock:A unlock:A");
	expect_later(0, "what it said", 1, 0);
	get_is("A-181", CLOUD_TASKS_OPEN)->retry_after = 4;
	run("A");
	expect_later(0, "what it said", 4, 1);
	assert_string_equal(A->status, "scheduled");
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(task_has_a_trace),
		TEST(one_is_scheduled),
		TEST(task_is_what_the_callback_needs),
		TEST(canary_is_scheduled),
		TEST(past_means_now),
		TEST(nothing_to_schedule),
		TEST(waits_with_a_task),
		TEST(waits_without_a_task),
		TEST(waits_no_more),
		TEST(task_comes_too_late),
		TEST(task_comes_in_time),
		TEST(waited_and_its_task_is_gone),
		TEST(not_by_the_gate),
		TEST(scheduled_in_name_only),
		TEST(just_near_enough),
		TEST(unknown_time_is_a_dead_letter),
		TEST(time_is_corrected_meanwhile),
		TEST(locked_by_another_worker),
		TEST(obsolete_tasks_first),
		TEST(obsolete_of_a_deleted_booking),
		TEST(obsolete_cannot_be_deleted_now),
		TEST(obsolete_of_a_former_queue),
		TEST(queue_of_its_tenant),
		TEST(obsolete_of_its_tenants_queue),
		TEST(queue_in_trouble),
		TEST(queue_that_cannot_be),
		TEST(obsolete_name_too_long),
		TEST(obsolete_is_what_the_booking_has),
		TEST(obsolete_while_the_service_is_away),
		TEST(obsolete_deleted_is_not_written),
		TEST(task_is_adopted),
		TEST(burnt_names_are_passed_over),
		TEST(all_names_are_burnt),
		TEST(adopting_fails),
		TEST(failure_is_counted),
		TEST(attempts_are_used_up),
		TEST(refused_at_once),
		TEST(service_away_costs_nothing),
		TEST(failure_is_not_written),
		TEST(moved_meanwhile),
		TEST(cancelled_meanwhile),
		TEST(deleted_meanwhile),
		TEST(executed_meanwhile),
		TEST(scheduled_meanwhile),
		TEST(unwanted_task_cannot_be_deleted),
		TEST(moved_with_obsolete_tasks),
		TEST(never_changes),
		TEST(keeps_changing),
		TEST(second_look_fails),
		TEST(database_away),
		TEST(database_lost_while_reading),
		TEST(database_lost_while_writing),
		TEST(database_lost_in_the_middle),
		TEST(one_row_cannot_be_read),
		TEST(row_that_refuses),
		TEST(dead_letter_alone),
		TEST(refused_for_all),
		TEST(unlocking_fails),
		TEST(mixed_batch),
		TEST(full_batch),
		TEST(turn_comes_too_late),
		TEST(table_is_locked),
		TEST(written_at_once),
		TEST(written_soon),
		TEST(written_after_ten_milliseconds),
		TEST(one_row_cannot_be_written),
		TEST(rows_are_locked_by_somebody),
		TEST(row_is_locked_for_a_moment),
		TEST(unwanted_tasks_wait_for_room),
		TEST(all_unwanted_tasks_are_deleted),
		TEST(many_writes_find_the_database_lost),
		TEST(task_of_another_time),
		TEST(task_of_the_same_millisecond),
		TEST(overdue_and_its_task_is_there),
		TEST(overdue_and_its_task_is_gone),
		TEST(overdue_and_its_call_is_being_started),
		TEST(overdue_and_nobody_knows),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
