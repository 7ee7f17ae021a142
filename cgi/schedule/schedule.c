#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "backoff.h"
#include "booking.h"
#include "config.h"
#include "log.h"
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

/* While the database is away or a booking is busy, in seconds. */
#define BUSY_RETRY	1

struct schedule {
	const struct config *conf;
	struct db *db;
	struct bookings *bookings;
	struct cloud_tasks *tasks;
};

static void conclude(struct schedule_result *, enum schedule_outcome,
    const char *, ...) __attribute__((format(printf, 3, 4)));

static void
conclude(struct schedule_result *result, enum schedule_outcome outcome,
    const char *fmt, ...)
{
	va_list ap;

	result->outcome = outcome;
	va_start(ap, fmt);
	(void)vsnprintf(result->reason, sizeof(result->reason), fmt, ap);
	va_end(ap);
	utf8_clean(result->reason);
}

static struct log_about
about(const struct booking *booking, const char *task_name)
{
	struct log_about a = { .booking_id = booking->id,
	    .tenant_id = booking->tenant_id, .task_name = task_name };

	return (a);
}

/* The database did not do it. */
static void
database_failed(struct schedule *s, enum db_outcome outcome,
    struct schedule_result *result)
{

	result->retry_after = BUSY_RETRY;
	if (outcome == DB_LOCKED)
		conclude(result, SCHEDULE_LATER,
		    "another worker is busy with this booking");
	else if (outcome == DB_FAILED)
		conclude(result, SCHEDULE_LATER,
		    "the database refuses: %s", db_error(s->db));
	else {
		result->everybody = 1;
		conclude(result, SCHEDULE_LATER,
		    "the database is not available: %s", db_error(s->db));
	}
}

/* Cloud Tasks does nothing for anybody now: no fault of this booking. */
static void
service_away(enum cloud_tasks_outcome outcome,
    const struct cloud_tasks_error *error, struct schedule_result *result)
{

	result->everybody = 1;
	result->retry_after = outcome == CLOUD_TASKS_OPEN ?
	    error->retry_after : BUSY_RETRY;
	conclude(result, SCHEDULE_LATER, "%s", error->text);
}

/**
 * schedule_new(conf, db, bookings, tasks):
 * Return a scheduler over these, which must outlive it; NULL when memory is
 * short.
 */
struct schedule *
schedule_new(const struct config *conf, struct db *db,
    struct bookings *bookings, struct cloud_tasks *tasks)
{
	struct schedule *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return (NULL);
	s->conf = conf;
	s->db = db;
	s->bookings = bookings;
	s->tasks = tasks;
	return (s);
}

/*
 * Delete one obsolete task and strike it off the list.  A task that is not
 * there, or has a name that no task of ours can have, is as good as deleted.
 */
static int
delete_obsolete(struct schedule *s, const char *id, const char *name,
    struct schedule_result *result)
{
	struct log_about a = { .booking_id = id, .task_name = name };
	struct cloud_tasks_error error;
	enum cloud_tasks_outcome deleted;
	enum db_outcome outcome;

	deleted = cloud_tasks_delete(s->tasks, name, &error);
	if (deleted == CLOUD_TASKS_OPEN || deleted == CLOUD_TASKS_BLOCKED) {
		service_away(deleted, &error, result);
		return (-1);
	}
	if (deleted == CLOUD_TASKS_TRANSIENT) {
		result->retry_after = error.retry_after > 0 ?
		    error.retry_after : BUSY_RETRY;
		log_warning(&a, "an obsolete task could not be deleted and "
		    "will be tried again: %s", error.text);
		conclude(result, SCHEDULE_LATER,
		    "its obsolete task could not be deleted: %s", error.text);
		(void)booking_obsolete_later(s->bookings, id,
		    (double)result->retry_after);
		return (-1);
	}
	outcome = booking_obsolete_deleted(s->bookings, name);
	if (outcome != DB_OK) {
		database_failed(s, outcome, result);
		return (-1);
	}
	if (deleted == CLOUD_TASKS_REFUSED)
		log_warning(&a, "an obsolete task is left alone, and will "
		    "find so if it fires: %s", error.text);
	else
		log_info(&a, "obsolete task %s", deleted == CLOUD_TASKS_OK ?
		    "deleted" : "was gone already");
	return (0);
}

/**
 * schedule_delete_obsolete(schedule, id, result):
 * Delete the obsolete tasks of booking ${id} only.  Return how many were
 * deleted, or -1 with ${result} set to SCHEDULE_LATER.
 */
int
schedule_delete_obsolete(struct schedule *s, const char *id,
    struct schedule_result *result)
{
	enum db_outcome outcome;
	PGresult *list;
	int i, n;

	outcome = booking_obsolete_tasks(s->bookings, id, &list);
	if (outcome != DB_OK) {
		database_failed(s, outcome, result);
		return (-1);
	}
	n = PQntuples(list);
	for (i = 0; i < n; i++) {
		if (delete_obsolete(s, id, PQgetvalue(list, i, 0), result) !=
		    0)
			break;
	}
	PQclear(list);
	return (i == n ? n : -1);
}

/* The body of the task (DESIGN, section 3); NULL if it cannot be written. */
static char *
task_body(const struct booking *booking, const char *idempotency_key)
{
	json_t *root;
	char *body = NULL;

	root = json_pack("{s:s?, s:s, s:s?, s:s?, s:s, s:s}",
	    "tenantId", booking->tenant_id, "bookingId", booking->id,
	    "leadId", booking->lead_id,
	    "assignedUserId", booking->assigned_user_id,
	    "idempotencyKey", idempotency_key,
	    "scheduledAt", booking->due_ms);
	if (root != NULL)
		body = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return (body);
}

/*
 * Create the task under the first name that is not burnt.  A task that is
 * there under our name is ours, from an attempt whose end we did not see:
 * the name holds booking and time.  Return as cloud_tasks_create, with the
 * name in ${result}.
 */
static enum cloud_tasks_outcome
create_task(struct schedule *s, const struct booking *booking,
    const char *idempotency_key, struct schedule_result *result,
    struct cloud_tasks_error *error)
{
	enum cloud_tasks_outcome outcome;
	struct cloud_tasks_task task;
	char id[128], url[2048], *body;
	int n;

	(void)snprintf(url, sizeof(url), "%s/%s/execute-followup",
	    s->conf->execution_endpoint, booking->id);
	if ((body = task_body(booking, idempotency_key)) == NULL) {
		error->http_status = 0;
		error->retry_after = -1;
		(void)snprintf(error->text, sizeof(error->text),
		    "the booking's values cannot be written as JSON");
		return (CLOUD_TASKS_REFUSED);
	}
	task.id = id;
	task.url = url;
	task.body = body;
	task.schedule_time = booking->due_in > 0 ? booking->due_us : NULL;

	result->already_exists = 0;
	outcome = CLOUD_TASKS_GONE;
	for (n = 1; n <= MAX_NAMES && outcome == CLOUD_TASKS_GONE; n++) {
		(void)snprintf(id, sizeof(id), n == 1 ?
		    "followup-%s-%" PRId64 : "followup-%s-%" PRId64 "-%d",
		    booking->id, booking->due_epoch, n);
		cloud_tasks_name(s->tasks, id, result->task_name);
		outcome = cloud_tasks_create(s->tasks, &task, error);
		if (outcome == CLOUD_TASKS_EXISTS) {
			/* There, or only the name burnt? */
			outcome = cloud_tasks_get(s->tasks, result->task_name,
			    NULL, error);
			result->already_exists = outcome == CLOUD_TASKS_OK;
		}
	}
	free(body);
	return (outcome == CLOUD_TASKS_GONE ? CLOUD_TASKS_REFUSED : outcome);
}

/* Make it a dead letter, for a person to look at. */
static void
give_up(struct schedule *s, const struct booking *booking, long http_status,
    const char *error, struct schedule_result *result)
{
	struct booking_failure failure = { .stage = BOOKING_SCHEDULE,
	    .http_status = http_status, .error = error };
	struct log_about a = about(booking, NULL);
	enum db_outcome outcome;
	int changed;

	outcome = booking_failed(s->bookings, booking, &failure, &changed);
	if (outcome != DB_OK) {
		database_failed(s, outcome, result);
		return;
	}
	if (!changed) {
		result->retry_after = BUSY_RETRY;
		conclude(result, SCHEDULE_LATER,
		    "the booking changed meanwhile");
		return;
	}
	log_error(&a, "dead letter: the booking could not be scheduled: %s; "
	    "mend it, then POST /followups/%s/retry", error, booking->id);
	conclude(result, SCHEDULE_GIVEN_UP, "failed: %s", error);
}

/* The service did not take the task: count it, unless all are refused. */
static void
creation_failed(struct schedule *s, const struct booking *booking,
    enum cloud_tasks_outcome created, const struct cloud_tasks_error *error,
    struct schedule_result *result)
{
	struct booking_failure failure = { .stage = BOOKING_SCHEDULE,
	    .http_status = error->http_status, .error = error->text };
	struct log_about a = about(booking, NULL);
	int attempts = booking->schedule_attempts + 1;
	enum db_outcome outcome;
	long wait_ms;

	if (created == CLOUD_TASKS_OPEN || created == CLOUD_TASKS_BLOCKED) {
		service_away(created, error, result);
		return;
	}
	if (created == CLOUD_TASKS_REFUSED ||
	    attempts >= s->conf->max_schedule_attempts) {
		give_up(s, booking, error->http_status, error->text, result);
		return;
	}

	wait_ms = backoff_ms(attempts, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
	if (error->retry_after >= 0 && wait_ms < error->retry_after * 1000)
		wait_ms = error->retry_after * 1000;
	failure.retry_in = (double)wait_ms / 1000;
	log_warning(&a, "attempt %d of %d to create the task failed, next in "
	    "%.1f s: %s", attempts, s->conf->max_schedule_attempts,
	    failure.retry_in, error->text);
	outcome = booking_failed_once(s->bookings, booking, &failure);
	if (outcome != DB_OK) {
		database_failed(s, outcome, result);
		return;
	}
	result->retry_after = (wait_ms + 999) / 1000;
	conclude(result, SCHEDULE_LATER, "%s", error->text);
}

/*
 * A scheduled booking whose time has passed: if its task is gone (purged,
 * expired, deleted by hand) it needs a new one; if it is there, say why it
 * may be waiting.  Return as needs_task.
 */
static int
check_overdue(struct schedule *s, const struct booking *booking,
    struct schedule_result *result)
{
	struct log_about a = about(booking, booking->task_name);
	struct cloud_tasks_info info;
	struct cloud_tasks_error error;
	enum cloud_tasks_outcome outcome;
	int changed;

	outcome = cloud_tasks_get(s->tasks, booking->task_name, &info, &error);
	switch (outcome) {
	case CLOUD_TASKS_OK:
		conclude(result, SCHEDULE_NOTHING, "overdue by %.0f s, and "
		    "its task is still in the queue%s: %d dispatches%s%s",
		    -booking->due_in, cloud_tasks_is_paused(s->tasks) ?
		    ", which is paused" : "", info.dispatches,
		    *info.last != '\0' ? ", the last one: " : "", info.last);
		log_warning(&a, "%s", result->reason);
		return (0);
	case CLOUD_TASKS_GONE:
	case CLOUD_TASKS_REFUSED:
		break;
	case CLOUD_TASKS_OPEN:
	case CLOUD_TASKS_BLOCKED:
		service_away(outcome, &error, result);
		return (0);
	default:
		result->retry_after = BUSY_RETRY;
		conclude(result, SCHEDULE_LATER, "%s", error.text);
		return (0);
	}
	log_warning(&a, "overdue by %.0f s, and its task is gone: making "
	    "another one", -booking->due_in);
	if (booking_task_gone(s->bookings, booking, &changed) == DB_OK)
		return (-1);
	database_failed(s, DB_LOST, result);
	return (0);
}

/*
 * The same, unless the call is just being started: then the task is gone
 * because it is at work.
 */
static int
check_overdue_unless_called(struct schedule *s, const struct booking *booking,
    struct schedule_result *result)
{
	enum db_outcome outcome;
	int locked, needs = 0;

	outcome = booking_lock(s->bookings, BOOKING_EXECUTE, booking->id, 0,
	    &locked);
	if (outcome != DB_OK)
		database_failed(s, outcome, result);
	else if (!locked)
		conclude(result, SCHEDULE_NOTHING,
		    "its call is being started");
	else {
		needs = check_overdue(s, booking, result);
		booking_unlock(s->bookings, BOOKING_EXECUTE, booking->id);
	}
	return (needs);
}

/*
 * Say whether ${booking} needs a task now.  Return 1 if so; 0 with ${result}
 * set to what is to be said about it; -1 if it has to be read again.
 */
static int
needs_task(struct schedule *s, const struct booking *booking,
    struct schedule_result *result)
{
	enum db_outcome outcome;
	char error[256];
	int changed;

	if (booking->status == BOOKING_SCHEDULED &&
	    booking->task_name != NULL && booking->due != NULL &&
	    booking->task_scheduled_at != NULL &&
	    strcmp(booking->task_scheduled_at, booking->due_ms) != 0) {
		/* Moved while no trigger was there to notice. */
		outcome = booking_unschedule(s->bookings, booking, &changed);
		if (outcome == DB_OK)
			return (-1);
		database_failed(s, outcome, result);
		return (0);
	}
	if (booking->status == BOOKING_SCHEDULED &&
	    booking->task_name != NULL && booking->due != NULL &&
	    booking->due_in < -(double)s->conf->overdue_grace)
		return (check_overdue_unless_called(s, booking, result));
	if (booking->status != BOOKING_PENDING) {
		conclude(result, SCHEDULE_NOTHING, "already %s",
		    booking->status_text);
		return (0);
	}
	if (booking->is_deleted) {
		conclude(result, SCHEDULE_NOTHING, "the booking is deleted");
		return (0);
	}
	if (!booking->is_followup) {
		conclude(result, SCHEDULE_NOTHING,
		    "\"%.60s\" is not a follow-up type",
		    booking->booking_type != NULL ? booking->booking_type :
		    "");
		return (0);
	}
	if (booking->due == NULL) {
		(void)snprintf(error, sizeof(error), "it cannot be told when "
		    "\"%.60s\" in the time zone \"%.60s\" is: correct "
		    "scheduled_at or timezone of the booking",
		    booking->scheduled_at != NULL ? booking->scheduled_at :
		    "", booking->timezone != NULL ? booking->timezone : "");
		utf8_clean(error);
		give_up(s, booking, 0, error, result);
		return (0);
	}
	if (booking->due_in > BOOKING_HORIZON) {
		conclude(result, SCHEDULE_NOTHING, "due in %.0f days, beyond "
		    "the horizon of 30 days: it stays pending and is "
		    "scheduled by itself once it is near enough",
		    booking->due_in / 86400);
		return (0);
	}
	return (1);
}

/*
 * The row is not what it was when the task was created: see what it is now.
 * Return 1 if ${result} is final, 0 if the booking needs another round.
 */
static int
reconcile(struct schedule *s, const char *id, struct schedule_result *result)
{
	struct cloud_tasks_error error;
	struct booking now = { .row = NULL };
	enum db_outcome outcome;
	int found, ours;

	outcome = booking_read(s->bookings, id, &now, &found);
	if (outcome != DB_OK) {
		database_failed(s, outcome, result);
		return (1);
	}

	/* Cloud Tasks was faster than we: the call has been made. */
	if (found && now.status == BOOKING_EXECUTED) {
		(void)booking_name_executed(s->bookings, id,
		    result->task_name);
		conclude(result, SCHEDULE_DONE, "already executed");
		booking_clear(&now);
		return (1);
	}
	ours = found && now.status == BOOKING_SCHEDULED &&
	    now.task_name != NULL &&
	    strcmp(now.task_name, result->task_name) == 0;
	booking_clear(&now);
	if (ours) {
		conclude(result, SCHEDULE_DONE, "already scheduled");
		return (1);
	}

	/*
	 * Moved, cancelled or deleted: nobody wants this task.  If it cannot
	 * be deleted it fires in vain, since the row does not name it.
	 */
	if (cloud_tasks_delete(s->tasks, result->task_name, &error) !=
	    CLOUD_TASKS_OK) {
		struct log_about a = { .booking_id = id,
		    .task_name = result->task_name };

		log_warning(&a, "a task that is not wanted any more was not "
		    "deleted, and will find so when it fires: %s",
		    error.text);
	}
	return (0);
}

/*
 * One round: read, create, write.  Return 1 if ${result} is final, 0 if the
 * booking changed meanwhile and needs another round.
 */
static int
round_once(struct schedule *s, const char *id, struct schedule_result *result)
{
	char key[BOOKING_KEY_LEN];
	struct cloud_tasks_error error;
	struct booking booking = { .row = NULL };
	enum cloud_tasks_outcome created;
	enum db_outcome outcome;
	struct log_about a;
	int changed = 0, deleted, found, needs, final = 1;

	/*
	 * First the obsolete tasks: one that goes by the name we are about to
	 * use must be gone before we ask whether that name is ours.
	 */
	if ((deleted = schedule_delete_obsolete(s, id, result)) < 0)
		return (1);

	outcome = booking_read(s->bookings, id, &booking, &found);
	if (outcome != DB_OK) {
		database_failed(s, outcome, result);
		return (1);
	}
	if (!found) {
		if (deleted > 0)
			conclude(result, SCHEDULE_NOTHING, "the booking was "
			    "deleted, and now its task too");
		else
			conclude(result, SCHEDULE_NO_BOOKING,
			    "there is no booking %s", id);
		return (1);
	}
	if ((needs = needs_task(s, &booking, result)) <= 0) {
		final = needs == 0;
		goto out;
	}

	booking_key(&booking, key);
	created = create_task(s, &booking, key, result, &error);
	if (created != CLOUD_TASKS_OK) {
		creation_failed(s, &booking, created, &error, result);
		goto out;
	}
	a = about(&booking, result->task_name);
	log_info(&a, "%s, due %s", result->already_exists ?
	    "task found already created" : "task created", booking.due_ms);

	(void)snprintf(result->schedule_time, sizeof(result->schedule_time),
	    "%s", booking.due_ms);
	outcome = booking_scheduled(s->bookings, &booking, result->task_name,
	    key, &changed);
	if (outcome != DB_OK)
		database_failed(s, outcome, result);
	else if (changed)
		conclude(result, SCHEDULE_DONE, "scheduled");
	else
		final = reconcile(s, id, result);

out:
	booking_clear(&booking);
	return (final);
}

/**
 * schedule_booking(schedule, id, result):
 * Do for booking ${id} (a UUID in lower case) whatever is to do now: delete
 * its obsolete tasks, and create its task if it needs one.
 */
void
schedule_booking(struct schedule *s, const char *id,
    struct schedule_result *result)
{
	enum db_outcome outcome;
	int round, locked;

	memset(result, 0, sizeof(*result));
	if ((outcome = db_ready(s->db)) != DB_OK ||
	    (outcome = booking_lock(s->bookings, BOOKING_SCHEDULE, id, 1,
	    &locked)) != DB_OK) {
		database_failed(s, outcome, result);
		return;
	}

	for (round = 0; round < MAX_ROUNDS; round++) {
		if (round_once(s, id, result))
			break;
	}
	if (round == MAX_ROUNDS) {
		result->retry_after = BUSY_RETRY;
		conclude(result, SCHEDULE_LATER,
		    "the booking keeps changing while it is scheduled");
	}
	booking_unlock(s->bookings, BOOKING_SCHEDULE, id);
}

/**
 * schedule_free(schedule):
 * Free ${schedule}; NULL is fine.
 */
void
schedule_free(struct schedule *s)
{

	free(s);
}
