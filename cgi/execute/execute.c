#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "booking_state.h"
#include "booking_waits.h"
#include "bookings.h"
#include "breaker.h"
#include "canary.h"
#include "config.h"
#include "log.h"
#include "metrics.h"
#include "monotime.h"
#include "phone_number.h"
#include "plural.h"
#include "utf8.h"
#include "voice_agent.h"

#include "execute.h"

/*
 * While the database is away, in seconds; and while it refuses what is not
 * the fault of one booking.
 */
#define BUSY_RETRY	1
#define REFUSED_RETRY	10

/* Between attempts of a call, in seconds, at most. */
#define RETRY_CAP	256

/* The queue's clock may be so many seconds ahead of the database's. */
#define CLOCKS		3600

/* A wait of at most so many seconds gets no other task. */
#define SHORT_WAIT	60

/* How many times to retry recording a call's outcome, and how often. */
#define WRITE_ATTEMPTS	20
#define WRITE_PAUSE_MS	250

/* The short name of a task. */
#define TASK_ID_LEN	512

static void conclude(struct execute_result *, enum execute_outcome,
    const char *, ...) __attribute__((format(printf, 3, 4)));

static void
conclude(struct execute_result *result, enum execute_outcome outcome,
    const char *fmt, ...)
{
	va_list ap;

	result->outcome = outcome;
	va_start(ap, fmt);
	(void)vsnprintf(result->reason, sizeof(result->reason), fmt, ap);
	va_end(ap);
	phone_number_hide(result->reason, NULL);
	utf8_clean(result->reason);
}

/*
 * After how many seconds the next attempt shall come, at the earliest: twice
 * as long each time, so that an outage of minutes does not use up the attempts
 * in seconds; not before the voice agent ${asked} for it.
 */
static long
retry_after(int attempts, long asked)
{
	long wait = 1;

	while (--attempts > 0 && wait < RETRY_CAP)
		wait *= 2;
	return (wait > asked ? wait : asked);
}

/* The database did not do it, which is no fault of this booking. */
static void
database_failed(const struct execute *x, enum db_outcome outcome,
    struct execute_result *result)
{
	const char *error = bookings_error(x->bookings);

	result->retry_after = BUSY_RETRY;
	result->alone = outcome != DB_LOST && outcome != DB_BROKEN;
	if (outcome == DB_LOST)
		conclude(result, EXECUTE_LATER,
		    "the database is not available: %s", error);
	else if (outcome == DB_LOCKED && bookings_timed_out(x->bookings))
		conclude(result, EXECUTE_LATER,
		    "the database took longer than " DB_STATEMENT_TIMEOUT);
	else if (outcome == DB_LOCKED)
		conclude(result, EXECUTE_LATER,
		    "the booking's row is in use: %s", error);
	else {
		result->retry_after = REFUSED_RETRY;
		conclude(result, EXECUTE_LATER, "the database refuses: %s",
		    error);
	}
}

/*
 * Log that the booking of ${a} is a dead letter after so many ${attempts}, and
 * what to do about it; ${with} is what the retry has to say.  If an attempt's
 * outcome is ${unknown}, the voice agent has to be asked first.
 */
static void
log_dead_letter(const struct log_about *a, int unknown, int attempts,
    const char *error, const char *with)
{

	log_error(a, "dead letter: %s (attempt %d): %s; %s, then "
	    "POST /followups/%s/retry%s", unknown ?
	    "it is not known whether the call was started" :
	    "the call could not be started", attempts, error,
	    unknown ? "ask" : "fix the cause", a->booking_id, with);
}

/*
 * The database did not do it.  If it is the row of ${booking} that makes it
 * refuse, that is an attempt of this booking, which gives up at last.
 */
static void
row_failed(const struct execute *x, const struct booking *booking,
    enum db_outcome outcome, struct execute_result *result)
{
	char error[640];
	struct booking_refusal refusal = { .stage = BOOKING_EXECUTE,
	    .error = error,
	    .max_attempts = x->conf->max_execution_attempts };
	struct log_about a = { .booking_id = booking->id,
	    .tenant_id = booking->tenant_id, .trace = &booking->trace };

	if (outcome == DB_FAILED) {
		(void)snprintf(error, sizeof(error),
		    "the database refuses its row: %s",
		    bookings_error(x->bookings));
		utf8_clean(error);
		outcome = booking_refused(x->bookings, booking, &refusal);
		if (outcome == DB_FAILED)
			outcome = DB_MANY;
	}
	if (outcome != DB_OK)
		database_failed(x, outcome, result);
	else if (refusal.given_up) {
		log_dead_letter(&a, refusal.unknown, refusal.attempts, error,
		    "");
		metrics_not_made(METRICS_REASON_DEAD);
		conclude(result, EXECUTE_GIVEN_UP, "failed for good: %s",
		    error);
	} else {
		log_warning(&a, "attempt %d of %d to start the call failed: "
		    "%s", refusal.attempts, refusal.max_attempts, error);
		result->alone = 1;
		result->retry_after = retry_after(refusal.attempts, 0);
		conclude(result, EXECUTE_LATER, "%s", error);
	}
}

static struct log_about
about(const struct booking *booking, const struct execute_callback *callback)
{
	struct log_about a = { .booking_id = booking->id,
	    .tenant_id = booking->tenant_id, .task_name = callback->task_id,
	    .trace = &booking->trace };

	return (a);
}

/* Is ${text} nothing but digits? */
static int
is_number(const char *text)
{

	return (*text != '\0' && strspn(text, "0123456789") == strlen(text));
}

/*
 * Is ${task_id} a name that a task of this booking can have: for the time when
 * it is due, or for a later one that has come, if the gate had it wait?
 */
static int
could_be(const struct booking *booking, const char *task_id)
{
	char stem[TASK_ID_LEN];
	size_t len;
	int64_t time;
	char *end;

	(void)snprintf(stem, sizeof(stem), "followup-%s-", booking->id);
	len = strlen(stem);
	if (strncmp(task_id, stem, len) != 0 ||
	    strspn(&task_id[len], "0123456789-") != strlen(&task_id[len]))
		return (0);
	time = strtoll(&task_id[len], &end, 10);
	if (time != booking_epoch(booking->due) &&
	    (time < booking_epoch(booking->due) ||
	    time > booking_epoch(booking->read_at) + CLOCKS))
		return (0);

	/* Behind a name that was burnt comes -2, -3, ... */
	return (*end == '\0' || (*end == '-' && is_number(end + 1)));
}

/*
 * Is this the task that the row stands for?  A scheduled row names it; a
 * pending one may not have been written yet (Cloud Tasks was faster than the
 * scheduler), so there the name tells.
 */
static int
is_own_task(const struct booking *booking,
    const struct execute_callback *callback)
{
	const char *slash;

	if (callback->task_id == NULL)
		return (1);
	if (booking->status != BOOKING_SCHEDULED)
		return (could_be(booking, callback->task_id));
	if (booking->task_name == NULL)
		return (0);
	slash = strrchr(booking->task_name, '/');
	return (strcmp(slash != NULL ? slash + 1 : booking->task_name,
	    callback->task_id) == 0);
}

/*
 * This task is not for what the row says now.  Where the row still names it,
 * it waits for a task that has just spent itself: back to pending.
 */
static void
supersede(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, struct execute_result *result)
{
	struct log_about a = about(booking, callback);
	char due[BOOKING_TIME_LEN];
	enum db_outcome outcome = DB_OK;
	int changed = 0;

	if (booking->status == BOOKING_SCHEDULED &&
	    booking->task_name != NULL && is_own_task(booking, callback))
		outcome = booking_unschedule(x->bookings, booking, &changed);
	if (outcome != DB_OK) {
		row_failed(x, booking, outcome, result);
		return;
	}
	log_info(&a, "superseded: the booking is due %s now%s",
	    booking_time(booking->due, 3, due) != NULL ? due : "(unknown)",
	    changed ? "; back to pending" : "");
	metrics_not_made(METRICS_REASON_SUPERSEDED);
	conclude(result, EXECUTE_SKIPPED, "superseded: the booking is not due "
	    "at the time of this task any more, or not its tenant's");
}

/* Was its call started, and the row did not take that? */
static int
was_called(const struct booking *booking)
{

	return (booking->called_at != BOOKING_NO_TIME);
}

/* Is ${callback} for the tenant of ${booking}, or neither of any? */
static int
is_same_tenant(const struct booking *booking,
    const struct execute_callback *callback)
{

	if (booking->tenant_id == NULL || callback->tenant_id == NULL)
		return (booking->tenant_id == callback->tenant_id);
	return (strcmp(booking->tenant_id, callback->tenant_id) == 0);
}

/*
 * Say whether ${booking} is to be called for ${callback}.  Return 1 if so, 0
 * with ${result} set otherwise.
 */
static int
needs_call(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, struct execute_result *result)
{
	char executed[BOOKING_TIME_LEN];
	int other_tenant = !is_same_tenant(booking, callback);

	/* A task was right when it was made: the booking is what changed. */
	if (other_tenant && callback->task_id == NULL) {
		conclude(result, EXECUTE_MISMATCH, "the booking belongs to "
		    "another tenant than the body says");
		return (0);
	}
	switch (booking->status) {
	case BOOKING_EXECUTED:
		conclude(result, EXECUTE_ALREADY, "the call was started at %s",
		    booking_time(booking->executed_at, 3, executed) != NULL ?
		    executed : "an earlier time");
		return (0);
	case BOOKING_FAILED:
		conclude(result, EXECUTE_GIVEN_UP, "failed for good: %s",
		    booking->last_error != NULL ? booking->last_error :
		    "see the dead letters");
		return (0);
	case BOOKING_PENDING:
	case BOOKING_SCHEDULED:
		if (booking->dead == NULL || was_called(booking))
			break;
		conclude(result, EXECUTE_GIVEN_UP, "failed for good: %s",
		    booking->dead);
		return (0);
	default:
		metrics_not_made(METRICS_REASON_CANCELLED);
		conclude(result, EXECUTE_SKIPPED, "the booking is %s",
		    booking->status_text != NULL ? booking->status_text :
		    "without a state");
		return (0);
	}
	if (booking->is_deleted) {
		metrics_not_made(METRICS_REASON_CANCELLED);
		conclude(result, EXECUTE_SKIPPED, "the booking is deleted");
		return (0);
	}
	if (other_tenant || !booking->is_followup ||
	    booking->due == BOOKING_NO_TIME ||
	    booking->due / 1000 != callback->scheduled_at ||
	    !is_own_task(booking, callback)) {
		supersede(x, booking, callback, result);
		return (0);
	}
	return (1);
}

/*
 * The call was started, and the row cannot be made executed for the reason
 * ${because}.  Nobody is to be called twice for that, so our own tables say it
 * instead.
 */
static void
record_called(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, enum db_outcome because,
    struct execute_result *result)
{
	struct log_about a = about(booking, callback);
	char error[768];
	enum db_outcome outcome;

	(void)snprintf(error, sizeof(error), "the call was started, but the "
	    "database refuses to make the booking executed: %s",
	    bookings_error(x->bookings));
	utf8_clean(error);
	outcome = booking_called(x->bookings, booking, error);
	if (outcome != DB_OK) {
		log_warning(&a, "%s; the next attempt carries the same "
		    "idempotency key", error);
		database_failed(x, outcome, result);
		return;
	}
	if (because != DB_FAILED) {
		/* This passes: the next attempt writes the row. */
		log_warning(&a, "%s; the next attempt tries again", error);
		database_failed(x, because, result);
		return;
	}
	log_error(&a, "dead letter: %s; fix the cause, then POST "
	    "/followups/%s/retry makes it executed without another call",
	    error, booking->id);
	conclude(result, EXECUTE_DONE, "%s", error);
}

/*
 * The call was started: write that down, and do not let go lightly, since
 * what is not written would be called again.
 */
static void
record_executed(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback,
    const struct booking_answer *answer, struct execute_result *result)
{
	struct log_about a = about(booking, callback);
	enum db_outcome outcome = DB_LOST;
	int i;

	for (i = 0; i < WRITE_ATTEMPTS &&
	    (outcome == DB_LOST || outcome == DB_LOCKED); i++) {
		if (i > 0)
			monotime_pause(WRITE_PAUSE_MS);
		if (bookings_ready(x->bookings) == DB_OK)
			outcome = booking_executed(x->bookings, booking,
			    callback->task_id, answer);
		else
			outcome = DB_LOST;
	}
	if (outcome == DB_OK) {
		log_info(&a, "executed");
		conclude(result, EXECUTE_DONE, "the call was started");
	} else if (outcome == DB_LOST) {
		log_warning(&a, "the call was started, but that could not be "
		    "written: %s; the next attempt carries the same "
		    "idempotency key", bookings_error(x->bookings));
		database_failed(x, outcome, result);
	} else
		record_called(x, booking, callback, outcome, result);
}

/* May a call whose outcome is not known be tried again? */
static int
may_retry_unknown(const struct execute *x)
{

	return (strcmp(x->conf->unknown_outcome, "retry") == 0);
}

/*
 * The call was not started, or nobody knows (${unknown}): it becomes a dead
 * letter.  A person who reads of one that nobody knows of has to ask first.
 */
static void
give_up(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, int unknown, int attempts,
    const struct voice_agent_error *error, struct execute_result *result)
{
	struct booking_failure failure = { .stage = BOOKING_EXECUTE,
	    .http_status = error->http_status, .error = error->text,
	    .ms = error->ms };
	struct log_about a = about(booking, callback);
	char text[sizeof(error->text) + 160];
	enum db_outcome outcome;
	int changed;

	if (unknown) {
		(void)snprintf(text, sizeof(text), "an attempt was begun and "
		    "its outcome is not known: ask the voice agent whether "
		    "the call was made, then retry or cancel%s%s%s",
		    *error->text != '\0' ? " (" : "", error->text,
		    *error->text != '\0' ? ")" : "");
		failure.error = text;
	}
	outcome = booking_failed(x->bookings, booking, &failure, &changed);
	if (outcome != DB_OK) {
		database_failed(x, outcome, result);
		return;
	}
	if (!changed) {
		/* Moved or cancelled meanwhile: it is not given up. */
		conclude(result, EXECUTE_SKIPPED, "the booking changed while "
		    "its call failed: %s", failure.error);
		return;
	}
	result->expired = booking_is_expired(booking);
	log_dead_letter(&a, unknown, attempts, failure.error,
	    result->expired ? " with {\"late\":true}" : "");
	metrics_not_made(result->expired ? METRICS_REASON_EXPIRED :
	    METRICS_REASON_DEAD);
	conclude(result, EXECUTE_GIVEN_UP, "failed for good: %s",
	    failure.error);
}

/*
 * Tell the breaker what came of ${asked}, which is attempt ${attempts} of its
 * booking.  Return whose fault a failure is.
 *
 * Without a connection nobody can be called, and 429 is said to all.  Of other
 * failures it takes several in a row, of different bookings; but two if the
 * booking would be given up: as long as others fail too, and none succeeds, it
 * is the agent's trouble.
 */
static enum breaker_blame
tell_breaker(const struct execute *x, const struct breaker_request *asked,
    int attempts, enum voice_agent_outcome outcome,
    const struct voice_agent_error *error)
{
	int is_busy = outcome == VOICE_AGENT_NOT_STARTED &&
	    error->http_status == 429;
	struct breaker_failure failure = { .enough = BREAKER_SEVERAL,
	    .is_everybody = error->no_connection || is_busy,
	    .slow_down = is_busy, .retry_after = error->retry_after,
	    .reason = error->text };

	if (outcome != VOICE_AGENT_STARTED && error->not_asked) {
		breaker_unused(x->breaker, asked);
		return (BREAKER_ITS_OWN);
	}
	switch (outcome) {
	case VOICE_AGENT_STARTED:
	case VOICE_AGENT_RUNNING:
	case VOICE_AGENT_REFUSED:
		breaker_succeeded(x->breaker, monotime_ms(), asked);
		return (BREAKER_ITS_OWN);
	default:
		break;
	}
	if (failure.is_everybody)
		failure.enough = 1;
	else if (attempts >= x->conf->max_execution_attempts)
		failure.enough = 2;
	return (breaker_failed(x->breaker, monotime_ms(), asked, &failure));
}

/* No call may be begun before the end of ${hold}: slow the queue down. */
static void
wait_for_agent(const struct breaker_hold *hold, struct execute_result *result)
{

	result->retry_after = hold->wait / 1000 + 1;
	if (result->retry_after > BREAKER_ASKED_MAX)
		result->retry_after = BREAKER_ASKED_MAX;
	conclude(result, EXECUTE_LATER, "breaker open: %s", hold->reason);
}

/* Another attempt shall follow after one that failed, which ${blame} is for. */
static void
try_again(const struct execute *x, enum breaker_blame blame, long seconds,
    const char *reason, struct execute_result *result)
{
	struct breaker_hold hold;

	if (blame != BREAKER_ITS_OWN && strcmp(breaker_state(x->breaker,
	    monotime_ms(), &hold), "closed") != 0) {
		wait_for_agent(&hold, result);
	} else {
		result->alone = 1;
		result->retry_after = seconds;
	}
	conclude(result, EXECUTE_LATER, "%s", reason);
}

/*
 * The call was not started, or nobody knows, as ${outcome} says: another
 * attempt, or a dead letter.  Once nobody knows of one attempt, a later one
 * that was not started does not change that.  An agent that is busy with our
 * key remembers keys: to ask it again makes no second call, even where the
 * operator wants nothing repeated.  What is not the fault of this booking, as
 * ${blame} says, does not count as an attempt; but a booking that is told to
 * slow down time and again, while others are called, has to come to an end.
 */
static void
record_failure(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, enum voice_agent_outcome outcome,
    enum breaker_blame blame, const struct voice_agent_error *error,
    struct execute_result *result)
{
	struct booking_failure failure = { .stage = BOOKING_EXECUTE,
	    .http_status = error->http_status, .error = error->text,
	    .ms = error->ms, .unknown = outcome == VOICE_AGENT_UNKNOWN ||
	    booking->outcome_unknown };
	int permanent = outcome == VOICE_AGENT_REFUSED ||
	    (outcome == VOICE_AGENT_UNKNOWN && !may_retry_unknown(x));
	int is_spared = !permanent &&
	    (blame == BREAKER_COMMON || blame == BREAKER_OPENED ||
	    error->no_connection);
	struct log_about a = about(booking, callback);
	int attempts = booking->execution_attempts + 1;
	long until = monotime_ms() + WRITE_ATTEMPTS * (long)WRITE_PAUSE_MS;
	enum db_outcome written;

	/* An attempt whose end is not written is one that nobody knows of. */
	while ((written = bookings_ready(x->bookings)) != DB_OK &&
	    monotime_ms() < until)
		monotime_pause(WRITE_PAUSE_MS);
	if (written != DB_OK) {
		database_failed(x, written, result);
		return;
	}
	if (is_spared) {
		written = booking_spared(x->bookings, booking, &failure);
		if (written != DB_OK) {
			database_failed(x, written, result);
			return;
		}
		log_warning(&a, "the call could not be started, and no attempt "
		    "is counted: %s", error->text);
		try_again(x, blame, 1, error->text, result);
		return;
	}
	if (permanent || attempts >= x->conf->max_execution_attempts) {
		give_up(x, booking, callback, failure.unknown ||
		    outcome == VOICE_AGENT_RUNNING, attempts, error, result);
		return;
	}
	written = booking_failed_once(x->bookings, booking, &failure);
	if (written != DB_OK) {
		database_failed(x, written, result);
		return;
	}
	log_warning(&a, "attempt %d of %d to start the call failed: %s",
	    attempts, x->conf->max_execution_attempts, error->text);
	try_again(x, blame, retry_after(attempts, error->retry_after),
	    error->text, result);
}

/*
 * If the task was for the end of this wait, the queue's clock is ahead of the
 * database's, and another task would come at once, too.
 */
static int
came_too_early(const struct booking *booking)
{

	return (booking_task_waits(booking) &&
	    booking->wait_until != BOOKING_NO_TIME &&
	    booking->wait_until / 1000000 <=
	    booking->task_scheduled_at / 1000000);
}

/*
 * Leave ${booking} to wait for the reason ${why}, without an attempt.  Its task
 * has fired in vain, and followup-schedule makes another one.  If the wait is
 * about to end, as when the queue's clock is ahead of ours, this task has to
 * come again instead: another one of the same name could not be created yet.
 */
static void
defer(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, const char *why,
    struct execute_result *result)
{
	struct log_about a = about(booking, callback);
	double wait = booking->wait_until != BOOKING_NO_TIME ?
	    booking_in(booking, booking->wait_until) : SHORT_WAIT;
	enum db_outcome outcome;

	if (wait < SHORT_WAIT || came_too_early(booking)) {
		result->alone = 1;
		result->retry_after = wait >= SHORT_WAIT ? SHORT_WAIT :
		    wait > 0 ? (long)wait + 1 : BUSY_RETRY;
		conclude(result, EXECUTE_LATER, "not called yet: %s", why);
		return;
	}
	if (booking->status == BOOKING_SCHEDULED &&
	    (outcome = booking_held(x->bookings, booking, why, NULL)) !=
	    DB_OK) {
		row_failed(x, booking, outcome, result);
		return;
	}
	metrics_not_made(METRICS_REASON_GATE);
	log_info(&a, "not called now: %s", why);
	conclude(result, EXECUTE_DEFERRED, "not called now: %s; another task "
	    "is made for then", why);
}

/*
 * Ask the gate whether ${booking}, which is to be called, may be called now.
 * Return 1 if it may, 0 with ${result} set otherwise.
 */
static int
may_call(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, struct execute_result *result)
{
	struct voice_agent_error error = { .retry_after = -1 };
	char why[BOOKING_WHY_LEN];

	(void)booking_why_not(booking, why);
	if (booking->in_backlog) {
		conclude(result, EXECUTE_SKIPPED, "not called: %s", why);
		return (0);
	}
	switch (booking->verdict) {
	case BOOKING_CALL:
		return (1);
	case BOOKING_NEVER:
		(void)snprintf(error.text, sizeof(error.text), "%s", why);
		record_failure(x, booking, callback, VOICE_AGENT_REFUSED,
		    BREAKER_ITS_OWN, &error, result);
		return (0);
	default:
		defer(x, booking, callback, why, result);
		return (0);
	}
}

/*
 * If the breaker has opened by now, other bookings get back the attempts that
 * they lost because the voice agent failed; later, if the database is away, or
 * another worker has not written yet that it failed.
 */
static void
clear_others(const struct execute *x)
{
	struct breaker_cleared list[BREAKER_SEVERAL];
	enum db_outcome outcome;
	int i, n = breaker_cleared(x->breaker, monotime_ms(), list);

	for (i = 0; i < n; i++) {
		struct log_about a = { .booking_id = list[i].id };
		const char *ids[] = { list[i].id };
		int locked = 0;

		/* Whoever failed for it holds this until that is written. */
		outcome = booking_try_lock(x->bookings, BOOKING_EXECUTE,
		    list[i].id, &locked);
		if (outcome == DB_OK && !locked)
			continue;
		if (outcome == DB_OK)
			outcome = booking_cleared(x->bookings, list[i].id,
			    list[i].failures);
		if (locked)
			booking_unlock(x->bookings, BOOKING_EXECUTE, ids, 1);
		if (outcome != DB_LOST && outcome != DB_LOCKED)
			breaker_gave_back(x->breaker, &list[i]);
		if (outcome == DB_OK)
			log_info(&a, "%d failed %s no longer counted: it was "
			    "the voice agent's trouble", list[i].failures,
			    plural(list[i].failures, "attempt is",
			    "attempts are"));
		else
			log_warning(&a, "attempts that it lost to the voice "
			    "agent's trouble still count: %s",
			    bookings_error(x->bookings));
	}
}

/*
 * Return why the body ${sent}, which reads as ${body}, is not to be sent, or
 * NULL if it is.  A body without a phoneNumber may have the number under
 * another name.
 */
static const char *
why_not_to_be_sent(const char *sent, const json_t *body)
{
	const json_t *number = json_object_get(body, "phoneNumber");
	const char *text = json_string_value(number);

	/* Jansson does not read all that PostgreSQL writes, such as 1e400. */
	if (body == NULL && sent != NULL && *sent == '{')
		return (NULL);
	if (!json_is_object(body))
		return ("followup_call_request gave no JSON object");
	if (number == NULL ||
	    (text != NULL && text[strspn(text, " \t\r\n")] != '\0'))
		return (NULL);
	return (json_is_null(number) || json_is_string(number) ?
	    "the lead has no phone number" :
	    "followup_call_request gave a phoneNumber that is no text");
}

/*
 * Start the call of ${booking}, whose attempt has been counted, with the body
 * ${text}; it may be NULL.  The breaker let it out as ${asked}.
 */
static void
call(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, const char *text,
    const struct breaker_request *asked, struct execute_result *result)
{
	json_t *body = text != NULL ? json_loads(text, JSON_DECODE_INT_AS_REAL,
	    NULL) : NULL;
	const char *wrong = why_not_to_be_sent(text, body);
	char stem[TASK_ID_LEN];
	char traceparent[TRACE_PARENT_LEN];
	struct voice_agent_call request = { .body = text,
	    .idempotency_key = booking->key, .message_id = stem,
	    .tenant_id = booking->tenant_id,
	    .traceparent = trace_parent(&booking->trace, traceparent) };
	struct booking_answer answer;
	struct log_about a = about(booking, callback);
	enum voice_agent_outcome outcome;
	enum breaker_blame blame;
	struct voice_agent_error error = { .retry_after = -1 };
	long begun = monotime_ms();

	if (wrong != NULL) {
		(void)snprintf(error.text, sizeof(error.text), "%s", wrong);
		breaker_unused(x->breaker, asked);
		record_failure(x, booking, callback, VOICE_AGENT_REFUSED,
		    BREAKER_ITS_OWN, &error, result);
		goto out;
	}
	(void)snprintf(stem, sizeof(stem), "followup-%s-%" PRId64,
	    booking->id, booking_epoch(booking->due));
	outcome = voice_agent_start(x->agent, &request, &error);
	blame = tell_breaker(x, asked, booking->execution_attempts + 1,
	    outcome, &error);
	if (outcome == VOICE_AGENT_STARTED) {
		log_info(&a, "call started");
		metrics_called(booking_lateness(booking) +
		    (double)(monotime_ms() - begun) / 1000,
		    trace_id(&booking->trace));
		answer.http_status = error.http_status;
		answer.ms = error.ms;
		record_executed(x, booking, callback, &answer, result);
	} else
		record_failure(x, booking, callback, outcome, blame, &error,
		    result);
	clear_others(x);

out:
	json_decref(body);
}

/*
 * An attempt before this one never came to its end: the process or the
 * machine died.  Give up if the operator wants a person to decide, or if that
 * has happened until no attempts are left.  Return 1 if so, with ${result}
 * set.
 */
static int
give_up_unknown(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, struct execute_result *result)
{
	static const struct voice_agent_error error;

	if (!booking->outcome_unknown || (may_retry_unknown(x) &&
	    booking->execution_attempts < x->conf->max_execution_attempts))
		return (0);
	record_failure(x, booking, callback, VOICE_AGENT_UNKNOWN,
	    BREAKER_ITS_OWN, &error, result);
	return (1);
}

/* No booking has this id: it is a canary's, or the booking was deleted. */
static void
look_for_canary(const struct execute *x, const struct booking *booking,
    struct execute_result *result)
{
	enum db_outcome outcome;
	int found;

	outcome = canary_called_back(x->bookings, booking->id, &found);
	if (outcome != DB_OK)
		database_failed(x, outcome, result);
	else if (found)
		conclude(result, EXECUTE_CANARY, "a canary came back");
	else {
		metrics_not_made(METRICS_REASON_CANCELLED);
		conclude(result, EXECUTE_SKIPPED, "the booking was deleted");
	}
}

/*
 * Act on the row, holding the lock.  The attempt is counted only if the row is
 * still what was read: nobody who is cancelled in between is called.
 */
static void
execute_locked(const struct execute *x, const struct booking *booking,
    const struct execute_callback *callback, struct execute_result *result)
{
	struct breaker_request asked = { .id = booking->id,
	    .tenant = booking->tenant_id };
	static const struct booking_answer long_ago;
	struct breaker_hold hold;
	char *body = NULL;
	enum db_outcome outcome;
	int changed;

	if (!booking->found) {
		look_for_canary(x, booking, result);
		return;
	}
	if (!needs_call(x, booking, callback, result))
		return;
	if (was_called(booking)) {
		record_executed(x, booking, callback, &long_ago, result);
		return;
	}
	if (!may_call(x, booking, callback, result) ||
	    give_up_unknown(x, booking, callback, result))
		return;
	if (breaker_ask(x->breaker, monotime_ms(), &asked, &hold) ==
	    BREAKER_REFUSED) {
		wait_for_agent(&hold, result);
		return;
	}
	outcome = booking_begun(x->bookings, booking, &body, &changed);
	if (outcome != DB_OK) {
		breaker_unused(x->breaker, &asked);
		row_failed(x, booking, outcome, result);
		return;
	}
	if (changed)
		call(x, booking, callback, body, &asked, result);
	else {
		breaker_unused(x->breaker, &asked);
		result->alone = 1;
		result->retry_after = BUSY_RETRY;
		conclude(result, EXECUTE_LATER,
		    "the booking changed, or was paused, in this moment");
	}
	free(body);
}

/**
 * execute_booking(execute, callback, result):
 * Start the call that ${callback} asks for, if it is to be started.
 */
void
execute_booking(const struct execute *x,
    const struct execute_callback *callback, struct execute_result *result)
{
	const char *ids[] = { callback->booking_id };
	struct booking booking = { .tenant_id = callback->tenant_id,
	    .trace = callback->trace };
	enum db_outcome outcome;
	PGresult *rows;

	memset(result, 0, sizeof(*result));
	memcpy(booking.id, callback->booking_id, sizeof(booking.id));
	if ((outcome = bookings_ready(x->bookings)) == DB_OK)
		outcome = booking_take(x->bookings, BOOKING_EXECUTE, ids, 1,
		    &booking, &rows);
	if (outcome != DB_OK) {
		row_failed(x, &booking, outcome, result);
		return;
	}
	if (trace_id(&callback->trace) != NULL)
		booking.trace = callback->trace;
	else if (trace_id(&booking.trace) == NULL)
		trace_next(&booking.trace);
	if (booking.locked) {
		execute_locked(x, &booking, callback, result);
		booking_unlock(x->bookings, BOOKING_EXECUTE, ids, 1);
	} else
		conclude(result, EXECUTE_BUSY,
		    "another attempt at this call is running");
	PQclear(rows);
}
