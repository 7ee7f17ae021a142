#include <stdio.h>

#include "booking.h"
#include "bookings.h"
#include "config.h"
#include "trouble_kind.h"
#include "troubles.h"
#include "utf8.h"

#include "explain.h"

/* ${seconds} as a person says it, in ${buf}. */
static const char *
span(double seconds, char buf[32])
{

	if (seconds < 0)
		seconds = -seconds;
	if (seconds < 120)
		(void)snprintf(buf, 32, "%.0f s", seconds);
	else if (seconds < 7200)
		(void)snprintf(buf, 32, "%.0f min", seconds / 60);
	else if (seconds < 172800)
		(void)snprintf(buf, 32, "%.0f h", seconds / 3600);
	else
		(void)snprintf(buf, 32, "%.0f days", seconds / 86400);
	return (buf);
}

/*
 * The first trouble that keeps all bookings from getting further than ${stops},
 * a stage of trouble_kind.h, as a sentence; NULL if nothing does.
 */
static const char *
trouble(const struct explain_facts *facts, int stops)
{
	const struct troubles *troubles = facts->troubles;
	size_t i;

	for (i = 0; i < troubles->n; i++) {
		if (!troubles->list[i].of_some &&
		    (trouble_kind(troubles->list[i].code)->stops & stops))
			return (troubles->list[i].sentence);
	}
	return (NULL);
}

static void
explain_type(const struct explain_facts *facts, const struct booking *b,
    char *buf, size_t len)
{
	const char *type = b->booking_type != NULL ? b->booking_type : "";

	if (facts->type_meant != NULL)
		(void)snprintf(buf, len, "Its type \"%.60s\" is not a "
		    "follow-up type: it is left alone; did you mean \"%s\"?",
		    type, facts->type_meant);
	else
		(void)snprintf(buf, len, "Its type \"%.60s\" is not a "
		    "follow-up type: it is left alone.", type);
}

/* Explain what creates its task, and whether anything prevents that. */
static void
explain_task_to_come(const struct explain_facts *facts,
    const struct booking *b, char *buf, size_t len)
{
	const char *why = trouble(facts, TROUBLE_SCHEDULING);
	char r[32];

	if (why != NULL && b->schedule_attempts > 0)
		(void)snprintf(buf, len, "Attempt %d of %d to create its task "
		    "failed (%.200s); the next one waits, as all others do: "
		    "%s.", b->schedule_attempts,
		    facts->conf->max_schedule_attempts,
		    b->last_error != NULL ? b->last_error : "see the log",
		    why);
	else if (why != NULL)
		(void)snprintf(buf, len, "It waits for its task to be created "
		    "as all others do: %s.", why);
	else if (b->schedule_attempts > 0)
		(void)snprintf(buf, len, "Attempt %d of %d to create its task "
		    "failed (%.200s); the next one is in %s.",
		    b->schedule_attempts, facts->conf->max_schedule_attempts,
		    b->last_error != NULL ? b->last_error : "see the log",
		    span(b->retry_in, r));
	else if (b->has_turn && b->retry_in > 0)
		(void)snprintf(buf, len, "It is retried, and its turn comes "
		    "in %s.", span(b->retry_in, r));
	else
		(void)snprintf(buf, len, "It waits for its task to be "
		    "created: the listener's next sweep asks for it.");
}

/* Nobody can say whether it may be called. */
static void
explain_gate_error(const struct explain_facts *facts, char *buf, size_t len)
{

	(void)snprintf(buf, len, "followup_gate fails for it (%.300s), so that "
	    "it is not called: once its attempts are used up it is a dead "
	    "letter, unless that is corrected before.", facts->gate_error);
}

/* The gate keeps it from being called for good. */
static void
explain_never(const struct explain_facts *facts, const struct booking *b,
    char *buf, size_t len)
{
	char s[32], why[BOOKING_WHY_LEN];

	if (b->due_in < -facts->window && !b->has_turn)
		(void)snprintf(buf, len, "Overdue by %s, which is more than "
		    "FOLLOWUP_SWEEP_WINDOW, and not to be called (%s): POST "
		    "its id to /webhooks/booking-followup to make it a dead "
		    "letter, which can be retried.", span(b->due_in, s),
		    booking_why_not(b, why));
	else
		(void)snprintf(buf, len, "It is not to be called (%s): the "
		    "listener's next sweep makes it a dead letter.",
		    booking_why_not(b, why));
}

/* What it waits for keeps it only from becoming a dead letter. */
static void
explain_dead_later(const struct explain_facts *facts, const struct booking *b,
    char *buf, size_t len)
{
	char why[BOOKING_WHY_LEN];

	(void)snprintf(buf, len, "It waits (%s), but is not called when that "
	    "ends (%.300s): it becomes a dead letter.",
	    booking_why_not(b, why), facts->then_never);
}

static void
explain_pending(const struct explain_facts *facts, const struct booking *b,
    char *buf, size_t len)
{
	char s[32], why[BOOKING_WHY_LEN];

	if (b->in_backlog)
		(void)snprintf(buf, len, "It %s: it is left alone unless "
		    "it is moved (scheduled_at).", booking_why_not(b, why));
	else if (b->is_deleted)
		(void)snprintf(buf, len, "The booking is deleted: it is not "
		    "called.");
	else if (!b->is_followup)
		explain_type(facts, b, buf, len);
	else if (facts->gate_error != NULL)
		explain_gate_error(facts, buf, len);
	else if (b->due == BOOKING_NO_TIME)
		(void)snprintf(buf, len, "Its due time cannot be determined: "
		    "\"%.60s\" in time zone \"%.60s\" is not valid: correct "
		    "the booking's scheduled_at or timezone.",
		    b->scheduled_at != NULL ? b->scheduled_at : "",
		    b->timezone != NULL ? b->timezone : "");
	else if (b->due_in > BOOKINGS_HORIZON)
		(void)snprintf(buf, len, "Due in %s, further ahead than the "
		    "30 days Cloud Tasks takes: its task is created by itself "
		    "once it is near enough.", span(b->due_in, s));
	else if (b->verdict == BOOKING_NEVER)
		explain_never(facts, b, buf, len);
	else if (b->verdict == BOOKING_WAIT && facts->then_never != NULL)
		explain_dead_later(facts, b, buf, len);
	else if (b->verdict == BOOKING_WAIT)
		(void)snprintf(buf, len, "It waits (%s): its task is created "
		    "by itself %s.", booking_why_not(b, why),
		    b->planned == BOOKING_NO_TIME ? "after that" :
		    booking_in(b, b->planned) > BOOKINGS_HORIZON ?
		    "once that is near enough" : "for then, within seconds");
	else if (b->due_in < -facts->window && !b->has_turn)
		(void)snprintf(buf, len, "Overdue by %s, which is more than "
		    "FOLLOWUP_SWEEP_WINDOW: it is not called by itself; POST "
		    "its id to /webhooks/booking-followup to have it called "
		    "now.", span(b->due_in, s));
	else
		explain_task_to_come(facts, b, buf, len);
}

/* Its task's time has passed, and nobody was called. */
static void
explain_late(const struct explain_facts *facts, const struct booking *b,
    char *buf, size_t len)
{
	const char *why = trouble(facts, TROUBLE_CALLING);
	char s[32];

	if (b->outcome_unknown)
		(void)snprintf(buf, len, "It was due %s ago; an attempt to "
		    "start the call was begun, and its outcome is not known: "
		    "Cloud Tasks tries again, and FOLLOWUP_UNKNOWN_OUTCOME "
		    "says whether that is another attempt or a dead letter.",
		    span(b->due_in, s));
	else if (why != NULL)
		(void)snprintf(buf, len, "It was due %s ago, and nobody can "
		    "be called now: %s.", span(b->due_in, s), why);
	else if (b->execution_attempts > 0)
		(void)snprintf(buf, len, "It was due %s ago; %d attempt%s to "
		    "start the call %s failed (%.200s), and Cloud Tasks tries "
		    "again.", span(b->due_in, s), b->execution_attempts,
		    b->execution_attempts == 1 ? "" : "s",
		    b->execution_attempts == 1 ? "has" : "have",
		    b->last_error != NULL ? b->last_error : "");
	else if (b->last_error != NULL)
		(void)snprintf(buf, len, "It was due %s ago; the voice agent "
		    "fails for others as well (%.200s), so that no attempt is "
		    "counted, and Cloud Tasks tries again.",
		    span(b->due_in, s), b->last_error);
	else
		(void)snprintf(buf, len, "It was due %s ago, and no callback "
		    "has come that could be acted on: is the public endpoint "
		    "out of reach (GET /readyz)?", span(b->due_in, s));
}

static void
explain_scheduled(const struct explain_facts *facts, const struct booking *b,
    char *buf, size_t len)
{
	const char *trouble_then = trouble(facts, TROUBLE_CALLING);
	char s[32], why[BOOKING_WHY_LEN];

	if (b->in_backlog)
		(void)snprintf(buf, len, "It %s: it is left alone unless it is "
		    "moved (scheduled_at).", booking_why_not(b, why));
	else if (b->is_deleted)
		(void)snprintf(buf, len, "The booking is deleted: it is not "
		    "called, and its task does nothing.");
	else if (!b->is_followup)
		explain_type(facts, b, buf, len);
	else if (facts->gate_error != NULL)
		explain_gate_error(facts, buf, len);
	else if (b->due == BOOKING_NO_TIME)
		(void)snprintf(buf, len, "Its task is in the queue, but its "
		    "due time can no longer be determined: correct the "
		    "booking's scheduled_at or timezone.");
	else if (b->verdict == BOOKING_WAIT && facts->then_never != NULL)
		explain_dead_later(facts, b, buf, len);
	else if (b->verdict == BOOKING_WAIT && b->planned != BOOKING_NO_TIME &&
	    b->task_scheduled_at >= b->planned)
		(void)snprintf(buf, len, "It waits (%s): its task is in the "
		    "queue.", booking_why_not(b, why));
	else if (b->verdict != BOOKING_CALL)
		(void)snprintf(buf, len, "Its task is in the queue, but it is "
		    "not called when that fires (%s)%s.",
		    booking_why_not(b, why), b->verdict == BOOKING_WAIT ?
		    ": another one is made for the end of that" :
		    ": it becomes a dead letter");
	else if (facts->paused_queue != NULL && !b->outcome_unknown)
		(void)snprintf(buf, len, "Its task is in the queue %s, which "
		    "is paused: it is called once that is resumed (gcloud "
		    "tasks queues resume %s --location=%s).",
		    facts->paused_queue, facts->paused_queue,
		    facts->conf->location);
	else if (booking_task_in(b) >= 0 && trouble_then != NULL)
		(void)snprintf(buf, len, "Its task is in the queue; the call "
		    "is started in %s if this is over by then: %s.",
		    span(booking_task_in(b), s), trouble_then);
	else if (booking_task_in(b) >= 0)
		(void)snprintf(buf, len, "Its task is in the queue; the call "
		    "is started in %s.", span(booking_task_in(b), s));
	else
		explain_late(facts, b, buf, len);
}

/**
 * explain_booking(facts, booking, buf, buflen):
 * Write to ${buf} one sentence for an operator on why ${booking} is in the
 * state it is in, and what happens next.  ${paused} is the name of the queue
 * that its task is in if that is known to be paused, or NULL.
 */
void
explain_booking(const struct explain_facts *facts, const struct booking *b,
    char *buf, size_t len)
{
	char executed[BOOKING_TIME_LEN];
	enum booking_status status = b->status;

	/* A row need not have taken that it failed. */
	if (b->dead != NULL && (status == BOOKING_PENDING ||
	    status == BOOKING_SCHEDULED))
		status = BOOKING_FAILED;
	switch (status) {
	case BOOKING_PENDING:
		explain_pending(facts, b, buf, len);
		break;
	case BOOKING_SCHEDULED:
		explain_scheduled(facts, b, buf, len);
		break;
	case BOOKING_EXECUTED:
		(void)snprintf(buf, len, "The call was started at %s.",
		    booking_time(b->executed_at, 3, executed) != NULL ?
		    executed : "(unknown)");
		break;
	case BOOKING_CANCELLED:
		if (b->outcome_unknown)
			(void)snprintf(buf, len, "It is cancelled, but an "
			    "attempt to start the call had begun before, and "
			    "its outcome is not known: if the voice agent "
			    "took it, the booking becomes executed; otherwise "
			    "nobody is called.");
		else
			(void)snprintf(buf, len, "It is cancelled, and not "
			    "called unless task_status is set to 'pending' "
			    "again.");
		break;
	case BOOKING_FAILED:
		if (b->is_deleted)
			(void)snprintf(buf, len, "The booking is deleted: it "
			    "is not called.");
		else if (!b->is_followup)
			explain_type(facts, b, buf, len);
		else
			(void)snprintf(buf, len, "It is a dead letter "
			    "(%.200s): fix the cause, then POST "
			    "/followups/%s/retry, with {\"late\":true} if it "
			    "is too late by then.", b->dead != NULL ? b->dead :
			    b->last_error != NULL ? b->last_error :
			    "see /dead-letters", b->id);
		break;
	default:
		(void)snprintf(buf, len, "Its task_status \"%.30s\" is none "
		    "of ours: it is left alone.",
		    b->status_text != NULL ? b->status_text : "");
		break;
	}
	utf8_clean(buf);
}
