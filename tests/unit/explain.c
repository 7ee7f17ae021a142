#include <stdio.h>
#include <string.h>

#include "booking.h"
#include "bookings.h"
#include "config.h"
#include "explain.h"
#include "troubles.h"
#include "utf8.h"

#include "unit.h"

#define ID	"0a1b2c3d-4e5f-6789-abcd-ef0123456789"
#define MINUTE	60.0
#define HOUR	3600.0
#define DAY	86400.0

/* 2026-11-23T11:00:00Z */
#define DUE	(INT64_C(1795431600) * 1000000)

static const struct config conf = {
	.max_schedule_attempts = 10,
	.overdue_grace = 300,
	.location = "l",
};

static struct troubles troubles;
static struct explain_facts facts = { .conf = &conf, .window = 86400,
    .troubles = &troubles };

/* A booking in each state, and what the operator must find in the text. */
static const struct {
	const char *name;
	struct booking booking;
	const char *says[3];
} rows[] = {
	{ "pending", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = DUE, .due_in = 90 }, { "waits for its task", "sweep" } },
	{ "pending and due", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = DUE, .due_in = -90 }, { "waits for its task" } },
	{ "at the end of the window", { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = DUE, .due_in = -86399 },
	    { "waits for its task" } },
	{ "deleted", { .status = BOOKING_PENDING, .is_followup = 1,
	    .is_deleted = 1, .due = DUE }, { "deleted", "not called" } },
	{ "another type", { .status = BOOKING_PENDING, .due = DUE,
	    .booking_type = "demo" }, { "\"demo\"", "not a follow-up" } },
	{ "no type", { .status = BOOKING_PENDING, .due = DUE },
	    { "\"\"", "not a follow-up" } },
	{ "no such time zone", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = BOOKING_NO_TIME, .scheduled_at = "2026-11-23 11:00:00",
	    .timezone = "Mars/Base" },
	    { "\"2026-11-23 11:00:00\"", "\"Mars/Base\"", "correct" } },
	{ "no time at all", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = BOOKING_NO_TIME },
	    { "correct the booking's scheduled_at" } },
	{ "beyond the horizon", { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = DUE, .due_in = 40 * DAY },
	    { "40 days", "30 days", "by itself" } },
	{ "just within the horizon", { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = DUE, .due_in = BOOKINGS_HORIZON },
	    { "waits for its task" } },
	{ "long overdue", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = DUE, .due_in = -30 * HOUR },
	    { "30 h", "FOLLOWUP_SWEEP_WINDOW",
	    "/webhooks/booking-followup" } },
	{ "too late for the gate", { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = DUE, .due_in = -5 * HOUR,
	    .verdict = BOOKING_NEVER, .wait_until = BOOKING_NO_TIME,
	    .verdict_reason = "more than 4h late" },
	    { "not to be called (more than 4h late)", "next sweep",
	    "dead letter" } },
	{ "too late for the gate and for the sweep", { .status =
	    BOOKING_PENDING, .is_followup = 1, .due = DUE,
	    .due_in = -30 * HOUR, .verdict = BOOKING_NEVER,
	    .wait_until = BOOKING_NO_TIME,
	    .verdict_reason = "more than 4h late" },
	    { "30 h", "not to be called (more than 4h late)",
	    "/webhooks/booking-followup to make it a dead letter" } },
	{ "attempts failed", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = DUE, .due_in = 90, .schedule_attempts = 3,
	    .last_error = "403 PERMISSION_DENIED", .retry_in = 5 * MINUTE },
	    { "Attempt 3 of 10", "(403 PERMISSION_DENIED)", "5 min" } },
	{ "long overdue, and retried", { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = DUE, .due_in = -30 * HOUR,
	    .has_turn = 1 }, { "waits for its task" } },
	{ "retried, its turn to come", { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = DUE, .due_in = -30 * HOUR,
	    .has_turn = 1, .retry_in = 40 }, { "turn comes in 40 s" } },
	{ "attempts failed, nobody knows why", { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = DUE, .schedule_attempts = 1,
	    .retry_in = 8 }, { "Attempt 1 of 10", "see the log", "8 s" } },

	{ "in the backlog", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = DUE, .due_in = -90, .in_backlog = 1,
	    .verdict = BOOKING_NEVER, .wait_until = BOOKING_NO_TIME,
	    .verdict_reason = "was already overdue" },
	    { "It was already overdue:", "left alone", "moved" } },
	{ "in the backlog, by another service", { .status =
	    BOOKING_SCHEDULED, .is_followup = 1, .due = DUE, .due_in = -90,
	    .in_backlog = 1, .verdict = BOOKING_NEVER,
	    .wait_until = BOOKING_NO_TIME,
	    .verdict_reason = "was already overdue" },
	    { "It was already overdue:", "left alone", "moved" } },
	{ "paused", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = DUE, .due_in = -30 * HOUR, .verdict = BOOKING_WAIT,
	    .wait_until = DUE, .verdict_reason = "paused: x" },
	    { "It waits (paused: x, until 2026-11-23T11:00:00.000Z)",
	    "by itself for then" } },
	{ "paused without an end", { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = DUE, .due_in = 90,
	    .verdict = BOOKING_WAIT, .wait_until = BOOKING_NO_TIME,
	    .planned = BOOKING_NO_TIME, .verdict_reason = "paused: x" },
	    { "It waits (paused: x)", "by itself after that" } },
	{ "paused for long", { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = DUE, .verdict = BOOKING_WAIT, .wait_until = DUE,
	    .planned = DUE, .read_at = DUE - (BOOKINGS_HORIZON + 1) *
	    INT64_C(1000000) }, { "once that is near enough" } },
	{ "scheduled, and it waits", { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .due_in = -90,
	    .verdict = BOOKING_WAIT, .wait_until = DUE + 1,
	    .planned = DUE + 1, .task_scheduled_at = DUE + 1,
	    .verdict_reason = "closed" },
	    { "It waits (closed, until 2026-11-23T11:00:00.000Z): its task "
	    "is in the queue" } },
	{ "scheduled, and has waited", { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .due_in = -90,
	    .noted_due = DUE, .read_at = DUE,
	    .task_scheduled_at = DUE + 30 * INT64_C(1000000) },
	    { "is started in 30 s" } },
	{ "scheduled and paused", { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .due_in = 90,
	    .verdict = BOOKING_WAIT, .planned = BOOKING_NO_TIME,
	    .wait_until = BOOKING_NO_TIME, .verdict_reason = "paused: x" },
	    { "not called when that fires (paused: x)", "another one" } },
	{ "scheduled and forbidden", { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .due_in = 90,
	    .verdict = BOOKING_NEVER,
	    .wait_until = BOOKING_NO_TIME, .verdict_reason = "forbidden" },
	    { "not called when that fires (forbidden)", "dead letter" } },

	{ "scheduled", { .status = BOOKING_SCHEDULED, .is_followup = 1,
	    .due = DUE, .due_in = 3 * HOUR }, { "in the queue", "3 h" } },
	{ "scheduled and late", { .status = BOOKING_SCHEDULED, .is_followup = 1,
	    .due = DUE, .due_in = -10 * MINUTE },
	    { "10 min ago", "callback", "out of reach" } },
	{ "scheduled, calls failed", { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .due_in = -90,
	    .execution_attempts = 2, .last_error = "answered 503" },
	    { "90 s ago", "2 attempts to start the call have failed",
	    "(answered 503)" } },
	{ "scheduled, a call failed", { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .due_in = -90,
	    .execution_attempts = 1 },
	    { "1 attempt to start the call has failed" } },
	{ "scheduled, the voice agent is down", { .status =
	    BOOKING_SCHEDULED, .is_followup = 1, .due = DUE, .due_in = -90,
	    .last_error = "answered 503" },
	    { "90 s ago", "for others", "(answered 503)" } },
	{ "scheduled, an attempt has not ended", { .status =
	    BOOKING_SCHEDULED, .is_followup = 1, .due = DUE, .due_in = -90,
	    .execution_attempts = 1, .outcome_unknown = 1 },
	    { "90 s ago", "begun", "not known" } },
	{ "scheduled, and deleted since", { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .is_deleted = 1, .due = DUE, .due_in = 90 },
	    { "is deleted: it is not called" } },
	{ "scheduled, and another type since", { .status = BOOKING_SCHEDULED,
	    .due = DUE, .due_in = 90, .booking_type = "demo" },
	    { "\"demo\" is not a follow-up type: it is left alone" } },
	{ "executed", { .status = BOOKING_EXECUTED,
	    .executed_at = DUE },
	    { "started at 2026-11-23T11:00:00.000Z" } },
	{ "executed, nobody knows when", { .status = BOOKING_EXECUTED,
	    .executed_at = BOOKING_NO_TIME },
	    { "(unknown)" } },
	{ "cancelled", { .status = BOOKING_CANCELLED },
	    { "cancelled", "not called", "'pending'" } },
	{ "cancelled, an attempt has not ended", { .status =
	    BOOKING_CANCELLED, .outcome_unknown = 1 },
	    { "cancelled, but", "not known", "becomes executed" } },
	{ "failed", { .id = ID, .status = BOOKING_FAILED, .is_followup = 1,
	    .last_error = "no phone number" },
	    { "dead letter (no phone number)",
	    "POST /followups/" ID "/retry",
	    "with {\"late\":true} if it is too late" } },
	{ "failed, and only a dead letter says so", { .id = ID,
	    .status = BOOKING_SCHEDULED, .is_followup = 1, .due_in = -HOUR,
	    .last_error = "an older one", .dead = "its row was refused" },
	    { "It is a dead letter (its row was refused)",
	    "POST /followups/" ID "/retry" } },
	{ "failed, nobody knows why", { .id = ID, .status = BOOKING_FAILED,
	    .is_followup = 1 }, { "see /dead-letters", "/retry" } },
	{ "failed, and no follow-up", { .id = ID, .status = BOOKING_FAILED,
	    .booking_type = "meeting" },
	    { "\"meeting\" is not a follow-up type: it is left alone" } },
	{ "failed and deleted", { .id = ID, .status = BOOKING_FAILED,
	    .is_followup = 1, .is_deleted = 1 },
	    { "is deleted: it is not called" } },
	{ "a status of somebody else", { .status = BOOKING_OTHER,
	    .status_text = "on_hold" }, { "\"on_hold\"", "left alone" } },
	{ "no status", { .status = BOOKING_OTHER }, { "left alone" } },
};

static void
test_states(void **state)
{
	char text[512];
	size_t i, j, len;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		memset(text, 0x5a, sizeof(text));
		explain_booking(&facts, &rows[i].booking, text, sizeof(text));
		for (j = 0; j < NITEMS(rows[i].says); j++) {
			if (rows[i].says[j] != NULL &&
			    strstr(text, rows[i].says[j]) == NULL)
				fail_msg("%s: \"%s\" lacks \"%s\"",
				    rows[i].name, text, rows[i].says[j]);
		}

		/* A sentence on one line, whole, and of real words. */
		len = strlen(text);
		ASSERT_ROW(text[0] >= 'A' && text[0] <= 'Z', rows[i].name);
		ASSERT_ROW(strchr(".?", text[len - 1]) != NULL, rows[i].name);
		ASSERT_ROW(strchr(text, '\n') == NULL, rows[i].name);
		ASSERT_ROW(strstr(text, "null") == NULL, rows[i].name);
	}
}

/* What is not able keeps a booking from its next step, and from no other. */
static void
test_troubles(void **state)
{
	static const struct {
		const char *code;
		int schedules;		/* it stops that */
		int calls;		/* likewise */
	} codes[] = { { "listener", 1, 0 }, { "breaker", 1, 0 },
	    { "credentials", 1, 0 }, { "execute", 0, 1 },
	    { "callbacks", 0, 1 }, { "voice-agent", 0, 1 },
	    { "queue-paused", 0, 1 }, { "queue-missing", 1, 1 },
	    { "trigger-disabled", 0, 0 } };
	struct booking pending = { .status = BOOKING_PENDING, .due = DUE,
	    .is_followup = 1, .due_in = -90, .schedule_attempts = 3 };
	struct booking late = { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .due_in = -90,
	    .execution_attempts = 2 };
	struct booking soon = { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .due_in = 90 };
	char text[EXPLAIN_LEN];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(codes); i++) {
		troubles.n = 0;
		troubles_add(&troubles, codes[i].code, "WHY");
		explain_booking(&facts, &pending, text, sizeof(text));
		ASSERT_ROW(!strstr(text, "WHY.") == !codes[i].schedules,
		    codes[i].code);
		explain_booking(&facts, &late, text, sizeof(text));
		ASSERT_ROW(!strstr(text, "WHY.") == !codes[i].calls,
		    codes[i].code);
		explain_booking(&facts, &soon, text, sizeof(text));
		ASSERT_ROW(!strstr(text, "WHY.") == !codes[i].calls,
		    codes[i].code);
	}
	troubles.n = 0;
}

static void
test_gate_error(void **state)
{
	struct booking booking = { .status = BOOKING_PENDING,
	    .is_followup = 1, .due = BOOKING_NO_TIME };
	char text[EXPLAIN_LEN];

	(void)state;
	facts.gate_error = "no such list";
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_non_null(strstr(text, "followup_gate fails for it (no such "
	    "list), so that it is not called"));
	booking.status = BOOKING_SCHEDULED;
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_non_null(strstr(text, "(no such list)"));
	booking.status = BOOKING_CANCELLED;
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_null(strstr(text, "(no such list)"));
	facts.gate_error = NULL;
}

/* What ends a wait may be too late for the call. */
static void
test_then_never(void **state)
{
	struct booking booking = { .status = BOOKING_PENDING, .is_followup = 1,
	    .due = DUE, .due_in = -6 * HOUR, .verdict = BOOKING_WAIT,
	    .wait_until = BOOKING_NO_TIME, .planned = BOOKING_NO_TIME,
	    .verdict_reason = "paused: x" };
	const char *says = "It waits (paused: x), but is not called when that "
	    "ends (more than 4h late): it becomes a dead letter.";
	char text[EXPLAIN_LEN];

	(void)state;
	facts.then_never = "more than 4h late";
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_string_equal(text, says);
	booking.status = BOOKING_SCHEDULED;
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_string_equal(text, says);
	facts.then_never = NULL;
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_null(strstr(text, "dead letter"));
}

static void
test_type_meant(void **state)
{
	struct booking booking = { .status = BOOKING_PENDING,
	    .booking_type = "folow_up" };
	char text[EXPLAIN_LEN];

	(void)state;
	facts.type_meant = "follow_up";
	explain_booking(&facts, &booking, text, sizeof(text));
	facts.type_meant = NULL;
	assert_non_null(strstr(text, "did you mean \"follow_up\"?"));
}

/* Each unit up to twice the next one. */
static void
test_spans(void **state)
{
	static const struct {
		double seconds;
		const char *want;
	} spans[] = {
		{ 0, "in 0 s." }, { 1, "in 1 s." }, { 119, "in 119 s." },
		{ 2 * MINUTE, "in 2 min." }, { 119 * MINUTE, "in 119 min." },
		{ 2 * HOUR, "in 2 h." }, { 47 * HOUR, "in 47 h." },
		{ 2 * DAY, "in 2 days." }, { 29 * DAY, "in 29 days." },
	};
	struct booking booking = { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE };
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(spans); i++) {
		booking.due_in = spans[i].seconds;
		explain_booking(&facts, &booking, text, sizeof(text));
		ASSERT_ROW(strstr(text, spans[i].want) != NULL, text);
	}
}

/* However long a text from the database is, the sentence stays UTF-8. */
static void
test_long_texts(void **state)
{
	struct booking booking = { .id = ID, .status = BOOKING_FAILED,
	    .is_followup = 1 };
	char error[3001], text[512];
	size_t i, size;

	(void)state;
	for (i = 0; i + 3 < sizeof(error); i += 3)
		memcpy(&error[i], "\xe2\x82\xac", 3);
	error[i] = '\0';
	booking.last_error = error;
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_true(utf8_valid(text, strlen(text)));
	assert_non_null(strstr(text, "POST /followups/" ID "/retry"));

	for (size = 1; size < sizeof(text); size++) {
		memset(text, 0x5a, sizeof(text));
		explain_booking(&facts, &booking, text, size);
		assert_true(strlen(text) < size);
		assert_true(utf8_valid(text, strlen(text)));
		assert_int_equal(text[size], 0x5a);
	}
}

/* A paused queue is named, whatever else its bookings wait for. */
static void
test_paused_queue(void **state)
{
	struct booking booking = { .status = BOOKING_SCHEDULED,
	    .is_followup = 1, .due = DUE, .planned = BOOKING_NO_TIME,
	    .task_name = "t", .due_in = 60 };
	char text[640];
	int i;

	(void)state;
	facts.paused_queue = "tenant-1";
	for (i = 0; i < 2; i++) {
		explain_booking(&facts, &booking, text, sizeof(text));
		assert_string_equal(text, "Its task is in the queue tenant-1, "
		    "which is paused: it is called once that is resumed "
		    "(gcloud tasks queues resume tenant-1 --location=l).");
		booking.due_in = -60;
	}
	booking.verdict = BOOKING_WAIT;
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_non_null(strstr(text, "not called when that fires"));
	booking.verdict = BOOKING_CALL;
	booking.outcome_unknown = 1;
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_non_null(strstr(text, "FOLLOWUP_UNKNOWN_OUTCOME"));
	facts.paused_queue = NULL;

	/* What is said of another queue is nothing to this booking. */
	troubles_add_some(&troubles, "queue-paused", "another one is paused");
	booking.outcome_unknown = 0;
	explain_booking(&facts, &booking, text, sizeof(text));
	assert_null(strstr(text, "another one"));
	troubles.n = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_troubles),
		cmocka_unit_test(test_gate_error),
		cmocka_unit_test(test_then_never),
		cmocka_unit_test(test_type_meant),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_paused_queue),
	};

	return (cmocka_run_group_tests_name("explain", tests, NULL, NULL));
}
