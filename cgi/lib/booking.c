#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "booking_internal.h"

#include "booking.h"

/* The columns of SQL_READ. */
enum column {
	COL_STATUS, COL_TENANT, COL_LEAD, COL_USER, COL_TYPE, COL_IS_FOLLOWUP,
	COL_IS_DELETED, COL_TASK_NAME, COL_TASK_SCHEDULED_AT, COL_EXECUTED_AT,
	COL_EXECUTION_ATTEMPTS, COL_LAST_ERROR, COL_SCHEDULED_AT,
	COL_TIMEZONE, COL_DUE, COL_DUE_MS, COL_DUE_US, COL_DUE_EPOCH,
	COL_DUE_IN, COL_SCHEDULE_ATTEMPTS, COL_RETRY_IN, COL_OUTCOME_UNKNOWN,
};

static const char *const stage_names[] = {
	[BOOKING_SCHEDULE] = "schedule",
	[BOOKING_EXECUTE] = "execute",
};

/**
 * booking_lock(bookings, stage, id, wait, locked):
 * Take the session's lock on ${stage} of booking ${id}; if another session
 * has it, wait some seconds if ${wait} is set (DB_LOCKED when that is not
 * enough), or set ${locked} to 0.
 */
enum db_outcome
booking_lock(struct bookings *b, enum booking_stage stage, const char *id,
    int wait, int *locked)
{
	const char *params[] = { stage_names[stage], id };
	enum db_outcome outcome;
	PGresult *result;

	outcome = bookings_query(b, wait ? SQL_LOCK : SQL_TRY_LOCK, params, 2,
	    &result);
	if (outcome == DB_OK) {
		*locked = wait || *PQgetvalue(result, 0, 0) == 't';
		PQclear(result);
	}
	return (outcome);
}

/**
 * booking_unlock(bookings, stage, id):
 * Release it.  If that fails the connection is dropped, and the lock with it.
 */
void
booking_unlock(struct bookings *b, enum booking_stage stage, const char *id)
{
	const char *params[] = { stage_names[stage], id };

	if (bookings_query_void(b, SQL_UNLOCK, params, 2) != DB_OK)
		db_close(b->db);
}

static enum booking_status
parse_status(const char *text)
{
	static const char *const names[] = {
		[BOOKING_PENDING] = "pending",
		[BOOKING_SCHEDULED] = "scheduled",
		[BOOKING_EXECUTED] = "executed",
		[BOOKING_CANCELLED] = "cancelled",
		[BOOKING_FAILED] = "failed",
	};
	size_t i;

	for (i = 0; text != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0)
			return ((enum booking_status)i);
	return (BOOKING_OTHER);
}

static const char *
get(const PGresult *row, enum column column)
{

	return (PQgetisnull(row, 0, (int)column) ? NULL :
	    PQgetvalue(row, 0, (int)column));
}

static double
get_double(const PGresult *row, enum column column)
{
	const char *text = get(row, column);

	return (text != NULL ? strtod(text, NULL) : 0);
}

static int
get_int(const PGresult *row, enum column column)
{

	return ((int)db_int(row, 0, (int)column));
}

static int
get_bool(const PGresult *row, enum column column)
{
	const char *text = get(row, column);

	return (text != NULL && *text == 't');
}

static void
fill(struct booking *booking, const char *id, PGresult *row)
{

	booking->row = row;
	(void)snprintf(booking->id, sizeof(booking->id), "%s", id);
	booking->status_text = get(row, COL_STATUS);
	booking->status = parse_status(booking->status_text);
	booking->tenant_id = get(row, COL_TENANT);
	booking->lead_id = get(row, COL_LEAD);
	booking->assigned_user_id = get(row, COL_USER);
	booking->booking_type = get(row, COL_TYPE);
	booking->is_followup = get_bool(row, COL_IS_FOLLOWUP);
	booking->is_deleted = get_bool(row, COL_IS_DELETED);
	booking->task_name = get(row, COL_TASK_NAME);
	booking->task_scheduled_at = get(row, COL_TASK_SCHEDULED_AT);
	booking->executed_at = get(row, COL_EXECUTED_AT);
	booking->execution_attempts = get_int(row, COL_EXECUTION_ATTEMPTS);
	booking->last_error = get(row, COL_LAST_ERROR);
	booking->scheduled_at = get(row, COL_SCHEDULED_AT);
	booking->timezone = get(row, COL_TIMEZONE);
	booking->due = get(row, COL_DUE);
	booking->due_ms = get(row, COL_DUE_MS);
	booking->due_us = get(row, COL_DUE_US);
	booking->due_epoch = db_int(row, 0, COL_DUE_EPOCH);
	booking->due_in = get_double(row, COL_DUE_IN);
	booking->schedule_attempts = get_int(row, COL_SCHEDULE_ATTEMPTS);
	booking->retry_in = get_double(row, COL_RETRY_IN);
	booking->outcome_unknown = get_bool(row, COL_OUTCOME_UNKNOWN);
}

/**
 * booking_read(bookings, id, booking, found):
 * Read the row.  If ${found} is set the caller must booking_clear it.
 */
enum db_outcome
booking_read(struct bookings *b, const char *id, struct booking *booking,
    int *found)
{
	const char *params[] = { id };
	enum db_outcome outcome;
	PGresult *row;

	*found = 0;
	if ((outcome = bookings_query(b, SQL_READ, params, 1, &row)) != DB_OK)
		return (outcome);
	if (PQntuples(row) == 0) {
		PQclear(row);
		return (DB_OK);
	}
	fill(booking, id, row);
	*found = 1;
	return (DB_OK);
}

/**
 * booking_clear(booking):
 * Free what ${booking} holds; one that is zeroed is fine.
 */
void
booking_clear(struct booking *booking)
{

	PQclear(booking->row);
	memset(booking, 0, sizeof(*booking));
}

/**
 * booking_key(booking, key):
 * Write the idempotency key of the call of ${booking} at the time it is due
 * to ${key}: followup:{tenant}:{booking}:{due, ISO 8601 UTC, ms}.
 */
void
booking_key(const struct booking *booking, char key[BOOKING_KEY_LEN])
{

	(void)snprintf(key, BOOKING_KEY_LEN, "followup:%s:%s:%s",
	    booking->tenant_id != NULL ? booking->tenant_id : "", booking->id,
	    booking->due_ms != NULL ? booking->due_ms : "");
}

/**
 * booking_scheduled(bookings, booking, task_name, idempotency_key, changed):
 * Make the pending ${booking} scheduled under ${task_name}.  ${changed} is 0
 * if it is not pending any more or no longer due at that time.
 */
enum db_outcome
booking_scheduled(struct bookings *b, const struct booking *booking,
    const char *task_name, const char *idempotency_key, int *changed)
{
	const char *params[] = { booking->id, task_name, booking->due,
	    idempotency_key };

	return (bookings_query_changed(b, SQL_SCHEDULED, params, 4, changed));
}

/**
 * booking_execution_begun(bookings, booking, changed):
 * Count an attempt at the call of ${booking}.  ${changed} is 0 if it is not
 * to be called any more, or not at this time.
 */
enum db_outcome
booking_execution_begun(struct bookings *b, const struct booking *booking,
    int *changed)
{
	const char *params[] = { booking->id, booking->due };

	return (bookings_query_changed(b, SQL_EXECUTION_BEGUN, params, 2,
	    changed));
}

/**
 * booking_executed(bookings, booking, task_id, idempotency_key):
 * The call of ${booking} was started: whatever became of the row meanwhile,
 * it is executed, by the task with the short name ${task_id} (NULL if that is
 * not known); a task made meanwhile for another time is obsolete.
 */
enum db_outcome
booking_executed(struct bookings *b, const struct booking *booking,
    const char *task_id, const char *idempotency_key)
{
	const char *params[] = { booking->id, task_id, booking->due,
	    idempotency_key };

	return (bookings_query_void(b, SQL_EXECUTED, params, 4));
}

/**
 * booking_name_executed(bookings, id, task_name):
 * Write the task's name to a row that was executed before it had one.
 */
enum db_outcome
booking_name_executed(struct bookings *b, const char *id,
    const char *task_name)
{
	const char *params[] = { id, task_name };

	return (bookings_query_void(b, SQL_NAME_EXECUTED, params, 2));
}

/* Write a failure by one of the two statements that share their parameters. */
static enum db_outcome
write_failure(struct bookings *b, enum booking_sql sql,
    const struct booking *booking, const struct booking_failure *failure,
    int *changed)
{
	char retry_in[32], http_status[16];
	const char *params[] = { booking->id, stage_names[failure->stage],
	    booking->tenant_id, retry_in, http_status, failure->error,
	    booking->due };

	(void)snprintf(retry_in, sizeof(retry_in), "%.3f", failure->retry_in);
	(void)snprintf(http_status, sizeof(http_status), "%ld",
	    failure->http_status);
	return (bookings_query_changed(b, sql, params, 7, changed));
}

/**
 * booking_failed_once(bookings, booking, failure):
 * An attempt failed and another one may follow: remember it.
 */
enum db_outcome
booking_failed_once(struct bookings *b, const struct booking *booking,
    const struct booking_failure *failure)
{
	int changed;

	return (write_failure(b, SQL_FAILED_ONCE, booking, failure, &changed));
}

/**
 * booking_failed(bookings, booking, failure, changed):
 * Give up: the booking becomes failed and a dead letter says why, unless it
 * changed meanwhile (${changed} is 0).
 */
enum db_outcome
booking_failed(struct bookings *b, const struct booking *booking,
    const struct booking_failure *failure, int *changed)
{

	return (write_failure(b, SQL_FAILED, booking, failure, changed));
}

/**
 * booking_unschedule(bookings, booking, changed):
 * Put a scheduled ${booking} whose task is not right for it back to pending.
 */
enum db_outcome
booking_unschedule(struct bookings *b, const struct booking *booking,
    int *changed)
{
	const char *params[] = { booking->id, booking->task_name };

	return (bookings_query_changed(b, SQL_UNSCHEDULE, params, 2, changed));
}

/**
 * booking_task_gone(bookings, booking, changed):
 * Likewise, because the task of ${booking} is gone before it was executed: the
 * attempts that were made at its call still count.
 */
enum db_outcome
booking_task_gone(struct bookings *b, const struct booking *booking,
    int *changed)
{
	const char *params[] = { booking->id, booking->task_name };

	return (bookings_query_changed(b, SQL_TASK_GONE, params, 2, changed));
}

/**
 * booking_cancel(bookings, booking, changed):
 * Make ${booking} cancelled, unless it is executed (${changed} is 0).  Its
 * task becomes obsolete.
 */
enum db_outcome
booking_cancel(struct bookings *b, const struct booking *booking,
    int *changed)
{
	const char *params[] = { booking->id };
	enum db_outcome outcome;

	outcome = bookings_query_changed(b, SQL_CANCEL, params, 1, changed);
	if (outcome == DB_OK && *changed)
		outcome = bookings_query_void(b, SQL_FORGET_FAILURES, params,
		    1);
	return (outcome);
}

/**
 * booking_retry(bookings, id, changed):
 * Put a failed booking back to pending and forget its failures.
 */
enum db_outcome
booking_retry(struct bookings *b, const char *id, int *changed)
{
	const char *params[] = { id };

	return (bookings_query_changed(b, SQL_RETRY, params, 1, changed));
}

/**
 * booking_obsolete_tasks(bookings, id, tasks):
 * Set ${tasks} to rows of one column, the names of the tasks of booking ${id}
 * that must be deleted; the caller clears it.
 */
enum db_outcome
booking_obsolete_tasks(struct bookings *b, const char *id, PGresult **tasks)
{
	const char *params[] = { id };

	return (bookings_query(b, SQL_OBSOLETE_TASKS, params, 1, tasks));
}

/**
 * booking_obsolete_deleted(bookings, task_name):
 * An obsolete task is gone.
 */
enum db_outcome
booking_obsolete_deleted(struct bookings *b, const char *task_name)
{
	const char *params[] = { task_name };

	return (bookings_query_void(b, SQL_OBSOLETE_DELETED, params, 1));
}

/**
 * booking_obsolete_later(bookings, id, seconds):
 * Obsolete tasks of booking ${id} could not be deleted now: try again in
 * ${seconds}.
 */
enum db_outcome
booking_obsolete_later(struct bookings *b, const char *id, double seconds)
{
	char text[32];
	const char *params[] = { id, text };

	(void)snprintf(text, sizeof(text), "%.3f", seconds);
	return (bookings_query_void(b, SQL_OBSOLETE_LATER, params, 2));
}

/**
 * booking_call_request(bookings, id, body):
 * Ask the database for the body of the call; ${body} is NULL if it has none,
 * otherwise a reference the caller drops.
 */
enum db_outcome
booking_call_request(struct bookings *b, const char *id, json_t **body)
{
	const char *params[] = { id };
	enum db_outcome outcome;
	PGresult *result;

	*body = NULL;
	outcome = bookings_query(b, SQL_CALL_REQUEST, params, 1, &result);
	if (outcome != DB_OK)
		return (outcome);
	if (PQntuples(result) == 1 && !PQgetisnull(result, 0, 0))
		*body = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
	PQclear(result);
	return (DB_OK);
}
