#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "booking_state.h"
#include "booking_waits.h"
#include "bookings.h"
#include "canary.h"
#include "config.h"
#include "log.h"
#include "metrics.h"
#include "monotime.h"
#include "plural.h"
#include "queues.h"
#include "utf8.h"

#include "schedule.h"

/*
 * How often a booking is looked at anew because it changed under our hands,
 * before it is left to the next attempt.
 */
#define MAX_ROUNDS	5

/* How many names in a row may be burnt: booked back and forth that often. */
#define MAX_NAMES	100

/* Between attempts after failures, in milliseconds. */
#define BACKOFF_BASE_MS	1000
#define BACKOFF_CAP_MS	300000

/*
 * While the database is away or a booking is busy, in seconds; and while it
 * refuses what is not the fault of one booking.
 */
#define BUSY_RETRY	1
#define REFUSED_RETRY	10

/*
 * A booking that waits is looked at again after so many seconds: one whose
 * wait has no known end, and one whose task is for that end.
 */
#define LOOK_WITHOUT_TASK	600
#define LOOK_WITH_TASK		3600

/* A task may come so many seconds after it could have. */
#define TOO_LATE	60

/* Between attempts to delete a task of a former queue, in seconds. */
#define FORMER_RETRY	60

/*
 * How long a created task waits for others, to be written with them, in
 * milliseconds.  If nothing is in flight it is written at once.
 */
#define WRITE_MS	20

/*
 * How long items of a batch are read one by one, and how long they are started,
 * in milliseconds.  What is in flight by then takes its time, and the listener
 * waits 45 s, nginx 60 s, and systemd at a stop 70 s.
 */
#define TAKE_MS		15000
#define START_MS	30000

/* Room for a task's URL; Cloud Tasks takes 2083 bytes. */
#define URL_LEN		2084

/* What a booking of the batch is at. */
enum step {
	WAITING,		/* for room for its first call */
	DELETING,		/* an obsolete task is being deleted */
	CREATING,		/* its task is being created */
	ADOPTING,		/* a task of that name is asked for */
	CREATED,		/* its task is there, and has to be written */
	CHECKING,		/* overdue: its task is asked for */
	CHECKING_QUEUE,		/* likewise: the queue is asked for */
	UNWANTED,		/* nobody wants its task: waiting for room */
	UNDOING,		/* that task is being deleted */
	FINAL,			/* the result is known */
};

struct item {
	struct booking booking;
	struct schedule_result *result;
	enum step step;
	struct cloud_tasks_call call;
	char name[CLOUD_TASKS_NAME_LEN];	/* of the call at hand */
	const char *obsolete;		/* next name, ended by a newline */
	int names;			/* tried for its task */
	long begun;			/* when its last call was */
	long ms;			/* how long that took */
	int began_trace;		/* that of the booking is new */
	int waits;			/* it is left to wait, for long */
	int round;			/* how often it was looked at */
	int call_locked;		/* the lock on its call is ours */
	int is_canary;			/* it is no booking, but a canary */
	double look_in;			/* as in struct booking_wait */
	double dispatches;		/* of an overdue task */
	char last_dispatch[160];
};

/* A result whose rows are in use until the batch ends. */
struct rows {
	PGresult *result;
	struct rows *next;
};

struct batch {
	const struct schedule *s;
	struct item *items;
	size_t n;
	long begun;
	size_t started;		/* items that need room no more */
	size_t created;		/* items at CREATED */
	size_t unwanted;	/* items at UNWANTED */
	long write_at;		/* when to write them at the latest */
	struct rows *rows;
};

static void look(struct batch *, struct item *);
static void look_again(struct batch *, struct item *);

static void conclude(struct item *, enum schedule_outcome, const char *, ...)
    __attribute__((format(printf, 3, 4)));

/* The result of ${item} is known. */
static void
conclude(struct item *item, enum schedule_outcome outcome, const char *fmt,
    ...)
{
	struct schedule_result *result = item->result;
	va_list ap;

	item->step = FINAL;
	result->outcome = outcome;
	if (outcome == SCHEDULE_GIVEN_UP)
		metrics_not_made(booking_is_expired(&item->booking) ?
		    METRICS_REASON_EXPIRED : METRICS_REASON_DEAD);
	va_start(ap, fmt);
	(void)vsnprintf(result->reason, sizeof(result->reason), fmt, ap);
	va_end(ap);
	utf8_clean(result->reason);
}

/* What a log line about ${item} is about; the name of a task may be NULL. */
static struct log_about
about(const struct item *item, const char *task_name)
{
	struct log_about a = { .booking_id = item->booking.id,
	    .tenant_id = item->booking.tenant_id, .task_name = task_name,
	    .trace = &item->booking.trace };

	return (a);
}

/* It is in other hands, but not for long. */
static void
conclude_busy(struct item *item)
{

	item->result->retry_after = BUSY_RETRY;
	conclude(item, SCHEDULE_LATER,
	    "another worker is busy with this booking");
}

/* The others of its batch took so long that nobody may wait any more. */
static void
conclude_no_turn(struct item *item, long ms, const char *why)
{

	item->result->retry_after = BUSY_RETRY;
	conclude(item, SCHEDULE_LATER, "its turn did not come within %ld s: "
	    "%s", ms / 1000, why);
}

/* The database did not do it, which is no fault of this booking. */
static void
database_failed(const struct batch *batch, struct item *item,
    enum db_outcome outcome)
{
	const char *error = bookings_error(batch->s->bookings);

	item->result->retry_after = BUSY_RETRY;
	item->result->everybody = outcome == DB_LOST || outcome == DB_BROKEN;
	if (outcome == DB_LOCKED && bookings_timed_out(batch->s->bookings))
		conclude(item, SCHEDULE_LATER,
		    "the database took longer than " DB_STATEMENT_TIMEOUT);
	else if (outcome == DB_LOCKED)
		conclude_busy(item);
	else if (outcome == DB_LOST)
		conclude(item, SCHEDULE_LATER,
		    "the database is not available: %s", error);
	else {
		item->result->retry_after = REFUSED_RETRY;
		conclude(item, SCHEDULE_LATER, "the database refuses: %s",
		    error);
	}
}

/*
 * The database did not do it.  If it is the row that makes it refuse, that is
 * an attempt of this booking, which gives up at last.
 */
static void
row_failed(const struct batch *batch, struct item *item,
    enum db_outcome outcome)
{
	char error[640];
	struct booking_refusal refusal = { .stage = BOOKING_SCHEDULE,
	    .error = error,
	    .max_attempts = batch->s->conf->max_schedule_attempts };
	struct log_about a = about(item, NULL);

	if (outcome == DB_FAILED) {
		(void)snprintf(error, sizeof(error),
		    "the database refuses its row: %s",
		    bookings_error(batch->s->bookings));
		utf8_clean(error);
		outcome = booking_refused(batch->s->bookings, &item->booking,
		    &refusal);
		if (outcome == DB_FAILED)
			outcome = DB_MANY;
	}
	if (outcome != DB_OK)
		database_failed(batch, item, outcome);
	else if (refusal.given_up) {
		log_error(&a, "dead letter: the booking could not be "
		    "scheduled: %s; fix the cause, then "
		    "POST /followups/%s/retry", error, item->booking.id);
		conclude(item, SCHEDULE_GIVEN_UP, "failed: %s", error);
	} else {
		log_warning(&a, "attempt %d of %d to schedule the booking "
		    "failed, next in %.0f s: %s", refusal.attempts,
		    refusal.max_attempts, refusal.retry_in, error);
		item->result->retry_after = (long)refusal.retry_in + 1;
		conclude(item, SCHEDULE_LATER, "%s", error);
	}
}

/*
 * Cloud Tasks does nothing now, for anybody or in the queue of this booking,
 * which is no fault of the booking.  Return non-zero iff that is what the call
 * of ${item} came to.
 */
static int
is_service_away(struct item *item)
{
	const struct cloud_tasks_call *call = &item->call;

	if (call->outcome != CLOUD_TASKS_OPEN &&
	    call->outcome != CLOUD_TASKS_BLOCKED)
		return (0);
	item->result->everybody = !call->error.only_its_queue;
	item->result->retry_after = call->outcome == CLOUD_TASKS_OPEN ?
	    call->error.retry_after : BUSY_RETRY;
	conclude(item, SCHEDULE_LATER, "%s", call->error.text);
	return (1);
}

/* Is its call still to come? */
static int
is_waiting(const struct booking *booking)
{

	return (booking->status == BOOKING_PENDING ||
	    booking->status == BOOKING_SCHEDULED);
}

/*
 * Begin a call about the task ${item} has the name of.  It may be in the queue
 * that was configured before, or that followup_queue named then.
 */
static void
begin(struct batch *batch, struct item *item, enum step step,
    enum cloud_tasks_method method)
{

	item->step = step;
	item->begun = monotime_ms();
	item->call.method = method;
	item->call.name = item->name;
	item->call.is_former = is_waiting(&item->booking) &&
	    !cloud_tasks_is_in(batch->s->tasks, item->booking.queue,
	    item->name);
	item->call.cookie = item;
	cloud_tasks_begin(batch->s->tasks, &item->call);
}

/* Make it a dead letter, for a person to look at. */
static void
give_up(struct batch *batch, struct item *item, long http_status,
    const char *error)
{
	struct booking_failure failure = { .stage = BOOKING_SCHEDULE,
	    .http_status = http_status, .error = error,
	    .ms = item->step == CREATING || item->step == ADOPTING ?
	    item->ms : 0 };
	struct log_about a = about(item, NULL);
	enum db_outcome outcome;
	int changed;

	outcome = booking_failed(batch->s->bookings, &item->booking, &failure,
	    &changed);
	if (outcome != DB_OK) {
		database_failed(batch, item, outcome);
		return;
	}
	if (!changed) {
		item->result->retry_after = BUSY_RETRY;
		conclude(item, SCHEDULE_LATER,
		    "the booking changed meanwhile");
		return;
	}
	log_error(&a, "dead letter: the booking could not be scheduled: %s; "
	    "fix the cause, then POST /followups/%s/retry%s", error,
	    item->booking.id, booking_is_expired(&item->booking) ?
	    " with {\"late\":true}" : "");
	conclude(item, SCHEDULE_GIVEN_UP, "failed: %s", error);
}

/* Write to ${name} the name of its task, the ${n}th that is tried. */
static void
name_task(const struct batch *batch, const struct item *item, int n,
    char name[CLOUD_TASKS_NAME_LEN])
{
	const struct booking *booking = &item->booking;
	char id[128];

	(void)snprintf(id, sizeof(id), n == 1 ?
	    "followup-%s-%" PRId64 : "followup-%s-%" PRId64 "-%d",
	    booking->id, booking_epoch(booking->planned), n);
	cloud_tasks_name(batch->s->tasks, booking->queue, id, name);
}

/*
 * Obsolete tasks.
 */

/*
 * Why is the next one, whose name has ${len} bytes, not to be deleted?  NULL if
 * it is.  A booking has its task still where a trigger of the application lets
 * ours see a change, and the row none.
 */
static const char *
why_not_delete(const struct item *item, size_t len)
{
	const struct booking *booking = &item->booking;

	if (len >= sizeof(item->name))
		return ("no task has such a name");
	if (booking->found && booking->status == BOOKING_SCHEDULED &&
	    booking->task_name != NULL && strlen(booking->task_name) == len &&
	    strncmp(booking->task_name, item->obsolete, len) == 0)
		return ("its booking is scheduled by it");
	return (NULL);
}

/* It is not to be looked at again. */
static void
forget_name(struct batch *batch, struct item *item, size_t len,
    const char *why)
{
	struct log_about a = about(item, NULL);
	char *name = strndup(item->obsolete, len), how[64];

	log_warning(&a, "did not delete an obsolete task: %s; it is left "
	    "alone", why);
	(void)snprintf(how, sizeof(how), "left alone: %s", why);
	if (name != NULL)
		(void)booking_obsolete_deleted(batch->s->bookings, name,
		    &item->booking, how);
	free(name);
}

/* Begin to delete the next one.  Return 0 if there is none. */
static int
delete_next_obsolete(struct batch *batch, struct item *item)
{
	const char *why;
	size_t len = 0;

	while (item->obsolete != NULL && *item->obsolete != '\0') {
		len = strcspn(item->obsolete, "\n");
		if ((why = why_not_delete(item, len)) == NULL)
			break;
		forget_name(batch, item, len, why);
		item->obsolete += len + (item->obsolete[len] != '\0');
	}
	if (item->obsolete == NULL || *item->obsolete == '\0')
		return (0);
	(void)snprintf(item->name, sizeof(item->name), "%.*s", (int)len,
	    item->obsolete);
	item->obsolete += len + 1;
	begin(batch, item, DELETING, CLOUD_TASKS_DELETE);
	return (1);
}

/*
 * Does the booking wait for the task that could not be deleted?  It does if its
 * next task may get that name.  If no call is to come there is nothing else to
 * do for it.
 */
static int
is_in_the_way(const struct batch *batch, const struct item *item)
{
	char name[CLOUD_TASKS_NAME_LEN];
	size_t len;

	if (!is_waiting(&item->booking))
		return (1);
	name_task(batch, item, 1, name);
	len = strlen(name);
	return (strncmp(item->name, name, len) == 0 &&
	    (item->name[len] == '\0' || item->name[len] == '-'));
}

/*
 * The service was asked to delete an obsolete task.  One that is not there,
 * has a name that no task of ours can have or may not be deleted is as good as
 * deleted.  One whose name is in nobody's way, as that of a former queue, is
 * tried again later, and the booking goes on: the task fires in vain if it
 * comes to that.
 */
static void
obsolete_answered(struct batch *batch, struct item *item)
{
	const struct cloud_tasks_call *call = &item->call;
	struct log_about a = about(item, item->name);
	enum db_outcome outcome;
	const char *how;

	if (is_service_away(item))
		return;
	if (call->outcome == CLOUD_TASKS_TRANSIENT) {
		item->result->retry_after = call->error.retry_after > 0 ?
		    call->error.retry_after : call->is_former ?
		    FORMER_RETRY : BUSY_RETRY;
		log_warning(&a, "could not delete an obsolete task, trying "
		    "again later: %s", call->error.text);
		(void)booking_obsolete_later(batch->s->bookings,
		    item->booking.id, (double)item->result->retry_after);
		if (call->is_former || !is_in_the_way(batch, item))
			look(batch, item);
		else
			conclude(item, SCHEDULE_LATER, "its obsolete task "
			    "could not be deleted: %s", call->error.text);
		return;
	}
	how = call->outcome == CLOUD_TASKS_OK ? "deleted" :
	    call->outcome == CLOUD_TASKS_REFUSED ? "could not be deleted: it "
	    "will do nothing when it fires" : "was gone already";
	outcome = booking_obsolete_deleted(batch->s->bookings, item->name,
	    &item->booking, how);
	if (outcome != DB_OK) {
		database_failed(batch, item, outcome);
		return;
	}
	if (call->outcome == CLOUD_TASKS_REFUSED)
		log_warning(&a, "could not delete an obsolete task; it will "
		    "do nothing when it fires: %s", call->error.text);
	else {
		item->result->deleted++;
		if (!item->booking.found || item->booking.is_deleted ||
		    item->booking.status == BOOKING_CANCELLED)
			metrics_not_made(METRICS_REASON_CANCELLED);
		log_info(&a, "obsolete task %s", how);
	}
	look(batch, item);
}

/*
 * Creating the task.
 */

/*
 * Begin to create the task under the next name that is not known to be burnt.
 * The name holds booking and time, so that a task which is there under it is
 * ours, from an attempt whose end we did not see.
 */
static void
create(struct batch *batch, struct item *item)
{
	struct booking *booking = &item->booking;
	char url[URL_LEN], when[BOOKING_TIME_LEN];
	char traceparent[TRACE_PARENT_LEN];

	name_task(batch, item, ++item->names, item->name);
	(void)snprintf(url, sizeof(url), "%s/%s/execute-followup",
	    batch->s->conf->execution_endpoint, booking->id);

	/* The trace begins here, if the row does not bring one. */
	if (trace_id(&booking->trace) == NULL) {
		trace_next(&booking->trace);
		item->began_trace = 1;
	}
	item->call.traceparent = trace_parent(&booking->trace, traceparent);

	/*
	 * A time that has passed means now.  It is given all the same: our
	 * clock is not the service's.
	 */
	item->call.schedule_time = booking_time(booking->planned > 0 ?
	    booking->planned : 0, 6, when);
	item->call.url = url;
	item->call.body = booking->task_body;
	begin(batch, item, CREATING, CLOUD_TASKS_CREATE);
}

/* The task is there: it waits a moment for others, to be written with them. */
static void
task_created(struct batch *batch, struct item *item, int already_exists)
{
	struct log_about a = about(item, item->name);

	item->result->already_exists = already_exists;
	(void)booking_time(item->booking.planned, 3,
	    item->result->schedule_time);
	log_hold();
	log_info(&a, "%s, %s %s", already_exists ?
	    "task found already created" : "task created",
	    item->booking.planned > item->booking.due ? "waits until" : "due",
	    item->result->schedule_time);
	item->step = CREATED;
	if (batch->created++ == 0)
		batch->write_at = monotime_ms() + WRITE_MS;
}

/* Count an attempt that failed with ${error}; it may have been the last. */
static void
attempt_failed(struct batch *batch, struct item *item,
    const struct cloud_tasks_error *error)
{
	struct booking_failure failure = { .stage = BOOKING_SCHEDULE,
	    .http_status = error->http_status, .error = error->text,
	    .ms = item->ms };
	struct log_about a = about(item, NULL);
	int attempts = item->booking.schedule_attempts + 1;
	int max = batch->s->conf->max_schedule_attempts;
	enum db_outcome outcome;
	long wait_ms;

	if (attempts >= max) {
		give_up(batch, item, error->http_status, error->text);
		return;
	}
	wait_ms = backoff_ms(attempts, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
	if (error->retry_after >= 0 && wait_ms < error->retry_after * 1000)
		wait_ms = error->retry_after * 1000;
	failure.retry_in = (double)wait_ms / 1000;
	log_warning(&a, "attempt %d of %d to create the task failed, next in "
	    "%.1f s: %s", attempts, max, failure.retry_in, error->text);
	outcome = booking_failed_once(batch->s->bookings, &item->booking,
	    &failure);
	if (outcome != DB_OK) {
		database_failed(batch, item, outcome);
		return;
	}
	item->result->retry_after = (wait_ms + 999) / 1000;
	conclude(item, SCHEDULE_LATER, "%s", error->text);
}

/*
 * The service answered whether it took the task of a canary.  It is not tried
 * again, unless nobody's task is taken: the next one is sent soon, and until
 * then its row says why it got no further.
 */
static void
canary_answered(struct batch *batch, struct item *item)
{
	const char *error = item->call.error.text;
	struct log_about a = about(item, item->name);
	enum db_outcome outcome;
	int already_exists = item->call.outcome == CLOUD_TASKS_EXISTS;

	if (item->call.outcome != CLOUD_TASKS_OK && !already_exists) {
		log_warning(&a, "no task was created for a canary: %s", error);
		outcome = canary_failed(batch->s->bookings, item->booking.id,
		    error);
		if (!is_service_away(item))
			conclude(item, SCHEDULE_NOTHING, "no task was created "
			    "for a canary: %s", error);
	} else {
		outcome = canary_task_created(batch->s->bookings,
		    item->booking.id, item->name);
		item->result->already_exists = already_exists;
		(void)booking_time(item->booking.due, 3,
		    item->result->schedule_time);
		(void)snprintf(item->result->task_name,
		    sizeof(item->result->task_name), "%s", item->name);
		conclude(item, SCHEDULE_DONE, "a canary is scheduled");
	}
	if (outcome != DB_OK)
		database_failed(batch, item, outcome);
}

/* The service did not take the task: count it, unless all are refused. */
static void
creation_failed(struct batch *batch, struct item *item)
{
	const struct cloud_tasks_error *error = &item->call.error;

	if (is_service_away(item))
		return;
	if (item->call.outcome == CLOUD_TASKS_TRANSIENT)
		attempt_failed(batch, item, error);
	else
		give_up(batch, item, error->http_status, error->text);
}

/* No queue has the name that the deployment's followup_queue gave. */
static void
refuse_queue(struct batch *batch, struct item *item)
{
	struct cloud_tasks_error error = { .retry_after = -1 };

	(void)snprintf(error.text, sizeof(error.text), "followup_queue names "
	    "\"%.100s\", which cannot be a queue: a name has 1 to 100 "
	    "letters, digits and hyphens; correct that function, or what it "
	    "reads", item->booking.queue);
	utf8_clean(error.text);
	attempt_failed(batch, item, &error);
}

/* Is the queue of ${booking} one that can be? */
static int
has_queue(const struct booking *booking)
{

	return (booking->queue == NULL || *booking->queue == '\0' ||
	    queues_is_name(booking->queue));
}

/* The service answered whether it took the task. */
static void
create_answered(struct batch *batch, struct item *item)
{

	if (item->is_canary) {
		canary_answered(batch, item);
		return;
	}
	switch (item->call.outcome) {
	case CLOUD_TASKS_OK:
		task_created(batch, item, 0);
		break;
	case CLOUD_TASKS_EXISTS:
		/* The task may be there, or only its name be burnt. */
		begin(batch, item, ADOPTING, CLOUD_TASKS_GET);
		break;
	default:
		creation_failed(batch, item);
		break;
	}
}

/* The service answered whether there is a task of the name that is taken. */
static void
adopt_answered(struct batch *batch, struct item *item)
{

	switch (item->call.outcome) {
	case CLOUD_TASKS_OK:
		/* It has the trace of whoever made it, which is not known. */
		if (item->began_trace)
			(void)trace_parse(NULL, &item->booking.trace);
		task_created(batch, item, 1);
		break;
	case CLOUD_TASKS_GONE:
		if (item->names < MAX_NAMES)
			create(batch, item);
		else
			creation_failed(batch, item);
		break;
	default:
		creation_failed(batch, item);
		break;
	}
}

/*
 * Overdue bookings: a scheduled one whose time has passed.
 */

static void
unlock_call(const struct batch *batch, struct item *item)
{
	const char *id = item->booking.id;

	if (item->call_locked)
		booking_unlock(batch->s->bookings, BOOKING_EXECUTE, &id, 1);
	item->call_locked = 0;
}

/*
 * If its task is gone (purged, expired, deleted by hand) the booking needs a
 * new one, unless its call is just being started: then the task is gone
 * because it is at work.
 */
static void
check_overdue(struct batch *batch, struct item *item)
{
	enum db_outcome outcome;

	outcome = booking_try_lock(batch->s->bookings, BOOKING_EXECUTE,
	    item->booking.id, &item->call_locked);
	if (outcome != DB_OK)
		database_failed(batch, item, outcome);
	else if (!item->call_locked)
		conclude(item, SCHEDULE_NOTHING,
		    "its call is being started");
	else {
		(void)snprintf(item->name, sizeof(item->name), "%s",
		    item->booking.task_name);
		begin(batch, item, CHECKING, CLOUD_TASKS_GET);
	}
}

/* The task of an overdue booking is there: say why it may be waiting. */
static void
queue_answered(struct batch *batch, struct item *item)
{
	const struct cloud_tasks_call *call = &item->call;
	struct log_about a = about(item, item->name);

	unlock_call(batch, item);
	conclude(item, SCHEDULE_NOTHING, "overdue by %.0f s, and its task is "
	    "still in the queue%s: %.0f %s%s%s",
	    -booking_task_in(&item->booking), call->outcome == CLOUD_TASKS_OK &&
	    call->info.is_paused ? ", which is paused" : "",
	    item->dispatches, plural((long long)item->dispatches, "dispatch",
	    "dispatches"), *item->last_dispatch != '\0' ?
	    ", the last one: " : "", item->last_dispatch);
	if (call->outcome == CLOUD_TASKS_OK && call->info.is_paused)
		log_error(&a, "%s", item->result->reason);
	else
		log_warning(&a, "%s", item->result->reason);
}

/* The service answered whether the task of an overdue booking is there. */
static void
check_answered(struct batch *batch, struct item *item)
{
	struct cloud_tasks_call *call = &item->call;
	struct log_about a = about(item, item->name);
	enum db_outcome outcome;
	int changed;

	if (call->outcome == CLOUD_TASKS_OK) {
		item->dispatches = call->info.dispatches;
		(void)snprintf(item->last_dispatch,
		    sizeof(item->last_dispatch), "%s", call->info.last);
		begin(batch, item, CHECKING_QUEUE, CLOUD_TASKS_QUEUE);
		return;
	}
	if (call->outcome == CLOUD_TASKS_GONE ||
	    call->outcome == CLOUD_TASKS_REFUSED) {
		log_warning(&a, "overdue by %.0f s, and its task is gone: "
		    "making another one", -booking_task_in(&item->booking));
		outcome = booking_task_gone(batch->s->bookings,
		    &item->booking, NULL, &changed);
		unlock_call(batch, item);
		if (outcome != DB_OK)
			row_failed(batch, item, outcome);
		else
			look_again(batch, item);
		return;
	}
	unlock_call(batch, item);
	if (!is_service_away(item)) {
		item->result->retry_after = BUSY_RETRY;
		conclude(item, SCHEDULE_LATER, "%s", call->error.text);
	}
}

/*
 * Looking at a booking: what does it need now?
 */

/* The booking has no time: a person has to correct it. */
static void
refuse_time(struct batch *batch, struct item *item)
{
	const struct booking *booking = &item->booking;
	char error[256];

	(void)snprintf(error, sizeof(error), "cannot determine the due time: "
	    "\"%.60s\" in time zone \"%.60s\" is not valid: correct "
	    "scheduled_at or timezone of the booking",
	    booking->scheduled_at != NULL ? booking->scheduled_at : "",
	    booking->timezone != NULL ? booking->timezone : "");
	utf8_clean(error);
	give_up(batch, item, 0, error);
}

/* Was it moved while no trigger was there to notice? */
static int
has_other_task(const struct booking *booking)
{

	return (booking->task_scheduled_at != BOOKING_NO_TIME &&
	    booking->task_scheduled_at / 1000 != booking->due / 1000 &&
	    !booking_task_waits(booking));
}

/*
 * Could it be called earlier than its task comes, because a pause was ended or
 * the calling hours are others now?
 */
static int
comes_too_late(const struct booking *booking)
{
	int64_t earliest = booking->planned > booking->read_at ?
	    booking->planned : booking->read_at;

	return (booking_task_waits(booking) &&
	    booking->verdict != BOOKING_NEVER &&
	    booking->planned != BOOKING_NO_TIME &&
	    booking->task_scheduled_at - earliest >
	    TOO_LATE * INT64_C(1000000));
}

/* When to look at a booking again whose task is for the end of its wait. */
static double
look_with_task(const struct batch *batch, const struct booking *booking)
{
	double grace = (double)batch->s->conf->overdue_grace + 1;
	double task_in = booking_task_in(booking);

	if (task_in > LOOK_WITH_TASK - grace)
		return (LOOK_WITH_TASK);
	return (task_in > 0 ? task_in + grace : grace);
}

/* Look at a scheduled booking, which has a task. */
static void
look_at_scheduled(struct batch *batch, struct item *item)
{
	const struct booking *booking = &item->booking;
	enum db_outcome outcome;
	int changed;
	int has_task = booking->task_name != NULL &&
	    booking->due != BOOKING_NO_TIME;

	if (has_task && booking_task_waits(booking))
		item->look_in = look_with_task(batch, booking);

	/* A row of the time before us may be scheduled in name only. */
	if (booking->task_name == NULL && booking->is_followup) {
		outcome = booking_task_gone(batch->s->bookings, booking,
		    NULL, &changed);
		if (outcome != DB_OK)
			database_failed(batch, item, outcome);
		else
			look_again(batch, item);
	} else if (has_task && has_other_task(booking)) {
		outcome = booking_unschedule(batch->s->bookings, booking,
		    &changed);
		if (outcome != DB_OK)
			row_failed(batch, item, outcome);
		else
			look_again(batch, item);
	} else if (has_task && comes_too_late(booking)) {
		outcome = booking_replan(batch->s->bookings, booking,
		    &changed);
		if (outcome != DB_OK)
			row_failed(batch, item, outcome);
		else
			look_again(batch, item);
	} else if (has_task && booking_task_in(booking) <
	    -(double)batch->s->conf->overdue_grace)
		check_overdue(batch, item);
	else
		conclude(item, SCHEDULE_NOTHING, "already scheduled");
}

/* Look at a pending booking, which may need a task. */
static void
look_at_pending(struct batch *batch, struct item *item)
{
	const struct booking *booking = &item->booking;
	char why[BOOKING_WHY_LEN];

	item->result->deferred = booking->verdict == BOOKING_WAIT ||
	    booking->due_in > BOOKINGS_HORIZON || booking->retry_in > 0;
	if (booking->is_deleted)
		conclude(item, SCHEDULE_NOTHING, "the booking is deleted");
	else if (!booking->is_followup)
		conclude(item, SCHEDULE_NOTHING,
		    "\"%.60s\" is not a follow-up type",
		    booking->booking_type != NULL ? booking->booking_type :
		    "");
	else if (booking->due == BOOKING_NO_TIME)
		refuse_time(batch, item);
	else if (booking->due_in > BOOKINGS_HORIZON) {
		item->waits = 1;
		conclude(item, SCHEDULE_NOTHING, "due in %.0f days, beyond "
		    "the horizon of 30 days: it stays pending and is "
		    "scheduled by itself once it is near enough",
		    booking->due_in / 86400);
	} else if (booking->retry_in > 0 && booking->schedule_attempts == 0)
		conclude(item, SCHEDULE_NOTHING, "it is retried by request, "
		    "and its turn comes in %.0f s", booking->retry_in);
	else if (booking->verdict == BOOKING_NEVER)
		give_up(batch, item, 0, booking_why_not(booking, why));
	else if (booking->planned == BOOKING_NO_TIME ||
	    booking_in(booking, booking->planned) > BOOKINGS_HORIZON) {
		item->waits = 1;
		item->look_in = LOOK_WITHOUT_TASK;
		conclude(item, SCHEDULE_NOTHING, "%s: it stays pending and is "
		    "scheduled by itself after that",
		    booking_why_not(booking, why));
	} else if (!has_queue(booking))
		refuse_queue(batch, item);
	else {
		item->names = 0;
		create(batch, item);
	}
}

/* Keep ${result} until the batch ends: its rows are in use.  -1: no memory. */
static int
keep_rows(struct batch *batch, PGresult *result)
{
	struct rows *rows;

	if ((rows = malloc(sizeof(*rows))) == NULL) {
		PQclear(result);
		return (-1);
	}
	rows->result = result;
	rows->next = batch->rows;
	batch->rows = rows;
	return (0);
}

/* There is no such booking: it may be a canary. */
static void
look_for_canary(struct batch *batch, struct item *item)
{
	struct booking *booking = &item->booking;
	struct canary canary;
	enum db_outcome outcome;
	PGresult *result;

	outcome = canary_received(batch->s->bookings, booking->id, &canary,
	    &result);
	if (outcome == DB_OK && keep_rows(batch, result) != 0)
		outcome = DB_LOST;
	if (outcome != DB_OK)
		database_failed(batch, item, outcome);
	else if (!canary.found)
		conclude(item, SCHEDULE_NO_BOOKING, "there is no booking %s",
		    booking->id);
	else {
		item->is_canary = 1;
		booking->due = canary.due;
		booking->planned = canary.due;
		booking->task_body = canary.task_body;
		create(batch, item);
	}
}

/*
 * Do what ${item} needs by the row as it was read.  First its obsolete tasks:
 * one that goes by the name we are about to use must be gone before we ask
 * whether that name is ours.
 */
static void
look(struct batch *batch, struct item *item)
{
	const struct booking *booking = &item->booking;
	char why[BOOKING_WHY_LEN];

	item->look_in = 0;
	if (delete_next_obsolete(batch, item))
		return;
	if (!booking->found && item->result->deleted > 0)
		conclude(item, SCHEDULE_NOTHING,
		    "the booking was deleted, and now its task too");
	else if (!booking->found)
		look_for_canary(batch, item);
	else if (is_waiting(booking) && booking->in_backlog)
		conclude(item, SCHEDULE_NOTHING, "%s",
		    booking_why_not(booking, why));
	else if (is_waiting(booking) && booking->dead != NULL)
		conclude(item, SCHEDULE_NOTHING, "a dead letter: %.400s; fix "
		    "the cause, then POST /followups/%s/retry", booking->dead,
		    booking->id);
	else if (booking->status == BOOKING_SCHEDULED)
		look_at_scheduled(batch, item);
	else if (booking->status == BOOKING_PENDING)
		look_at_pending(batch, item);
	else
		conclude(item, SCHEDULE_NOTHING, "already %s",
		    booking->status_text != NULL ? booking->status_text :
		    "in another state");
}

/*
 * Read the row of ${item} anew, because it is not what it was.  Return 0; or
 * -1 with the result known.
 */
static int
read_again(struct batch *batch, struct item *item)
{
	char id[UUID_LEN];
	const char *ids[] = { id };
	enum db_outcome outcome;
	PGresult *result;
	int locked = item->booking.locked;

	(void)snprintf(id, sizeof(id), "%s", item->booking.id);
	if (++item->round == MAX_ROUNDS) {
		/* Or it never changes, whatever is written to it. */
		row_failed(batch, item, bookings_ignored(batch->s->bookings));
		return (-1);
	}
	outcome = booking_read(batch->s->bookings, ids, 1, &item->booking,
	    &result);
	if (outcome == DB_OK && keep_rows(batch, result) != 0)
		outcome = DB_LOST;
	if (outcome != DB_OK) {
		row_failed(batch, item, outcome);
		return (-1);
	}
	item->booking.locked = locked;
	item->obsolete = item->booking.obsolete_tasks;
	return (0);
}

static void
look_again(struct batch *batch, struct item *item)
{

	if (read_again(batch, item) == 0)
		look(batch, item);
}

/*
 * Writing.
 */

/*
 * The row is not what it was when the task was created: see what it is now,
 * and have a task that nobody wants deleted.
 */
static void
reconcile(struct batch *batch, struct item *item)
{
	const struct booking *booking = &item->booking;

	if (read_again(batch, item) != 0)
		return;
	(void)snprintf(item->result->task_name,
	    sizeof(item->result->task_name), "%s", item->name);

	/* Cloud Tasks was faster than we: the call has been made. */
	if (booking->found && booking->status == BOOKING_EXECUTED) {
		(void)booking_name_executed(batch->s->bookings, booking->id,
		    item->name);
		conclude(item, SCHEDULE_DONE, "already executed");
	} else if (booking->found && booking->status == BOOKING_SCHEDULED &&
	    booking->task_name != NULL &&
	    strcmp(booking->task_name, item->name) == 0)
		conclude(item, SCHEDULE_DONE, "already scheduled");
	else {
		item->step = UNWANTED;
		batch->unwanted++;
	}
}

/*
 * The service was asked to delete a task that nobody wants.  If it is still
 * there it fires in vain, since no row names it.
 */
static void
undo_answered(struct batch *batch, struct item *item)
{
	struct log_about a = about(item, item->name);

	if (item->call.outcome != CLOUD_TASKS_OK)
		log_warning(&a, "could not delete a task that is no longer "
		    "wanted; it will do nothing when it fires: %s",
		    item->call.error.text);
	look(batch, item);
}

/* Write the tasks of ${items}, which are all at CREATED. */
static enum db_outcome
write_tasks(struct batch *batch, struct item *const *items, size_t n)
{
	struct booking_task tasks[SCHEDULE_BATCH];
	char why[SCHEDULE_BATCH][BOOKING_WHY_LEN];
	const struct booking *booking;
	enum db_outcome outcome;
	size_t i;

	for (i = 0; i < n; i++) {
		booking = &items[i]->booking;
		tasks[i] = (struct booking_task){
		    .booking = booking, .name = items[i]->name,
		    .adopted = items[i]->result->already_exists,
		    .ms = items[i]->ms,
		    .note = booking->planned > booking->due ?
		    booking_why_not(booking, why[i]) : NULL };
	}
	outcome = booking_scheduled(batch->s->bookings, tasks, n);
	for (i = 0; i < n && outcome == DB_OK; i++) {
		if (!tasks[i].changed)
			continue;
		items[i]->booking.locked = 0;
		(void)snprintf(items[i]->result->task_name,
		    sizeof(items[i]->result->task_name), "%s",
		    items[i]->name);
		items[i]->result->trace = items[i]->booking.trace;
		conclude(items[i], SCHEDULE_DONE, "scheduled");
	}
	return (outcome);
}

/*
 * Write the task of ${item} alone, and find out why if its row does not take
 * it.  ${busy} is set once a row was locked by somebody else for long: the
 * others of the batch do not wait for that again.
 */
static void
write_alone(struct batch *batch, struct item *item, int *busy)
{
	enum db_outcome outcome = DB_LOCKED;

	if (!*busy)
		outcome = write_tasks(batch, &item, 1);
	if (outcome == DB_LOCKED)
		*busy = 1;
	if (outcome != DB_OK)
		row_failed(batch, item, outcome);
	else if (item->step != FINAL)
		reconcile(batch, item);
}

/*
 * Write all tasks that were created.  Rows that the statement for many of
 * them left out, because somebody holds a lock on them or they have changed,
 * follow one by one, and so do all if one of them makes the database refuse.
 */
static void
write_created(struct batch *batch)
{
	struct item *items[SCHEDULE_BATCH];
	enum db_outcome outcome = DB_OK;
	size_t i, n = 0;
	int busy = 0;

	for (i = 0; i < batch->n; i++) {
		if (batch->items[i].step == CREATED)
			items[n++] = &batch->items[i];
	}
	batch->created = 0;
	log_release();
	if (n > 1)
		outcome = write_tasks(batch, items, n);
	for (i = 0; i < n; i++) {
		if (outcome == DB_LOST || outcome == DB_BROKEN)
			database_failed(batch, items[i], outcome);
		else if (items[i]->step == CREATED)
			write_alone(batch, items[i], &busy);
	}
}

/*
 * The batch.
 */

/* A call of ${item} has been answered: do what comes next. */
static void
answered(struct batch *batch, struct item *item)
{

	item->ms = monotime_ms() - item->begun + 1;
	switch (item->step) {
	case DELETING:
		obsolete_answered(batch, item);
		break;
	case CREATING:
		create_answered(batch, item);
		break;
	case ADOPTING:
		adopt_answered(batch, item);
		break;
	case CHECKING:
		check_answered(batch, item);
		break;
	case CHECKING_QUEUE:
		queue_answered(batch, item);
		break;
	case UNDOING:
		undo_answered(batch, item);
		break;
	default:
		break;
	}
}

/*
 * Start the items for whose next call there is room: the first one, or to
 * delete a task that a write found unwanted.
 */
static void
start_items(struct batch *batch)
{
	struct item *item;
	size_t i;

	for (i = 0; batch->unwanted > 0 && i < batch->n &&
	    cloud_tasks_has_room(batch->s->tasks); i++) {
		if (batch->items[i].step != UNWANTED)
			continue;
		batch->unwanted--;
		begin(batch, &batch->items[i], UNDOING, CLOUD_TASKS_DELETE);
	}
	while (batch->started < batch->n &&
	    cloud_tasks_has_room(batch->s->tasks)) {
		item = &batch->items[batch->started++];
		if (item->step != WAITING)
			continue;
		if (!item->booking.locked)
			conclude_busy(item);
		else if (monotime_ms() - batch->begun >= START_MS)
			conclude_no_turn(item, START_MS, "Cloud Tasks is "
			    "slow, or FOLLOWUP_SCHEDULE_CONCURRENCY is low");
		else
			look(batch, item);
	}
}

/*
 * Do everything that the items need.  What is created is written when nothing
 * else is in flight, and otherwise soon: nobody waits for the slowest.
 */
static void
run(struct batch *batch)
{
	struct cloud_tasks *tasks = batch->s->tasks;
	struct cloud_tasks_call *call;
	long wait;
	int busy;

	do {
		start_items(batch);
		wait = batch->created > 0 ? batch->write_at - monotime_ms() :
		    INT_MAX;
		call = cloud_tasks_next(tasks, wait > 0 ? wait : 0);
		if (call != NULL)
			answered(batch, call->cookie);
		busy = cloud_tasks_in_flight(tasks) > 0 ||
		    batch->started < batch->n || batch->unwanted > 0;
		if (batch->created > 0 &&
		    (!busy || monotime_ms() >= batch->write_at)) {
			write_created(batch);
			busy = 1;
		}
	} while (busy);
}

/*
 * Lock and read the bookings ${ids}.  If one of the rows makes the database
 * refuse, each is read by itself, as far as there is time: to wait for a table
 * that somebody has locked takes seconds each time.
 */
static void
take(struct batch *batch, const char *const *ids)
{
	struct booking list[SCHEDULE_BATCH];
	enum db_outcome outcome = DB_FAILED;
	PGresult *result;
	size_t i, n = batch->n;

	batch->begun = monotime_ms();
	if (n > 1)
		outcome = booking_take(batch->s->bookings, BOOKING_SCHEDULE,
		    ids, n, list, &result);
	if (outcome == DB_OK && keep_rows(batch, result) == 0) {
		for (i = 0; i < n; i++)
			batch->items[i].booking = list[i];
		return;
	}
	for (i = 0; i < n; i++) {
		if (monotime_ms() - batch->begun >= TAKE_MS) {
			conclude_no_turn(&batch->items[i], TAKE_MS, "the "
			    "database is slow, or somebody has locked the "
			    "table");
			continue;
		}
		if (outcome != DB_BROKEN)
			outcome = booking_take(batch->s->bookings,
			    BOOKING_SCHEDULE, &ids[i], 1,
			    &batch->items[i].booking, &result);
		if (outcome == DB_OK && keep_rows(batch, result) != 0)
			outcome = DB_LOST;
		if (outcome != DB_OK)
			row_failed(batch, &batch->items[i], outcome);
	}
}

/* Why ${item} is left to wait, in a line, or NULL. */
static const char *
why_it_waits(const struct item *item, char why[BOOKING_WHY_LEN])
{
	const struct booking *booking = &item->booking;

	if (!item->waits || item->result->outcome != SCHEDULE_NOTHING)
		return (NULL);
	if (booking->due_in > BOOKINGS_HORIZON)
		return ("due beyond the horizon of 30 days");
	(void)booking_why_not(booking, why);
	utf8_clean(why);
	return (why);
}

/*
 * Keep which bookings wait, and which do not any more, and tell of those that
 * were left to wait, of which no other statement is run.  If that fails they
 * are found once more.
 */
static void
note_waits(const struct batch *batch)
{
	struct booking_wait waits[SCHEDULE_BATCH];
	char why[SCHEDULE_BATCH][BOOKING_WHY_LEN];
	const struct item *item;
	size_t i, n = 0;

	for (i = 0; i < batch->n; i++) {
		item = &batch->items[i];
		waits[n].booking = &item->booking;
		waits[n].look_in = item->look_in;
		waits[n].reason = why_it_waits(item, why[n]);
		if (item->result->outcome != SCHEDULE_DONE &&
		    item->result->outcome != SCHEDULE_LATER &&
		    (item->look_in > 0 || waits[n].reason != NULL ||
		    item->booking.noted_due != BOOKING_NO_TIME))
			n++;
	}
	if (n > 0)
		(void)booking_noted(batch->s->bookings, waits, n);
}

/* Release the locks that are still ours, and all that the batch holds. */
static void
end(struct batch *batch)
{
	const char *ids[SCHEDULE_BATCH];
	struct rows *rows;
	size_t i, n = 0;

	for (i = 0; i < batch->n; i++) {
		if (batch->items[i].booking.locked)
			ids[n++] = batch->items[i].booking.id;
	}
	booking_unlock(batch->s->bookings, BOOKING_SCHEDULE, ids, n);
	while ((rows = batch->rows) != NULL) {
		batch->rows = rows->next;
		PQclear(rows->result);
		free(rows);
	}
	free(batch->items);
}

/* Count what came of one booking. */
static void
count(const struct schedule_result *result)
{
	enum metrics_schedule outcome = METRICS_SCHEDULE_NOTHING;

	switch (result->outcome) {
	case SCHEDULE_DONE:
		outcome = result->already_exists ? METRICS_SCHEDULE_ADOPTED :
		    METRICS_SCHEDULE_SCHEDULED;
		break;
	case SCHEDULE_NOTHING:
		if (result->deferred)
			outcome = METRICS_SCHEDULE_DEFERRED;
		break;
	case SCHEDULE_GIVEN_UP:
		outcome = METRICS_SCHEDULE_DEAD;
		break;
	case SCHEDULE_NO_BOOKING:
		break;
	case SCHEDULE_LATER:
		outcome = METRICS_SCHEDULE_RETRY;
		break;
	}
	metrics_add(METRICS_SCHEDULES, (int)outcome, 1);
}

/**
 * schedule_bookings(schedule, ids, n, results):
 * Do for each of the ${n} (up to SCHEDULE_BATCH) bookings with the ids ${ids}
 * (UUIDs in lower case, all different) whatever is to do now: delete its
 * obsolete tasks, and create its task if it needs one.  What came of it is in
 * ${results}, in the same order.
 */
void
schedule_bookings(const struct schedule *s, const char *const *ids, size_t n,
    struct schedule_result *results)
{
	struct batch batch = { .s = s, .n = n };
	struct item *item;
	size_t i;

	memset(results, 0, n * sizeof(*results));
	if ((batch.items = calloc(n, sizeof(*batch.items))) == NULL) {
		for (i = 0; i < n; i++)
			results[i].outcome = SCHEDULE_LATER;
		return;
	}
	for (i = 0; i < n; i++) {
		item = &batch.items[i];
		(void)snprintf(item->booking.id, sizeof(item->booking.id),
		    "%s", ids[i]);
		item->result = &results[i];
	}
	if (bookings_ready(s->bookings) == DB_OK) {
		take(&batch, ids);
		for (i = 0; i < n; i++)
			batch.items[i].obsolete =
			    batch.items[i].booking.obsolete_tasks;
		run(&batch);
		note_waits(&batch);
	} else {
		for (i = 0; i < n; i++)
			database_failed(&batch, &batch.items[i], DB_LOST);
	}
	end(&batch);
	for (i = 0; i < n; i++)
		count(&results[i]);
}
