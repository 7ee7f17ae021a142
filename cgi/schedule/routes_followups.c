#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "booking_state.h"
#include "bookings.h"
#include "explain.h"
#include "history.h"
#include "log.h"
#include "phone_number.h"
#include "queues.h"
#include "readiness.h"
#include "request.h"
#include "uuid.h"

#include "routes_internal.h"

/*
 * Read the booking ${id}, whose texts ${rows} owns, or answer that there is
 * none, and return -1.  What a person decides does not depend on what the gate
 * says, nor on whether it can say anything.
 */
static int
read_booking(struct routes *r, struct request *request, const char *id,
    struct booking *booking, PGresult **rows)
{
	enum db_outcome outcome;

	*rows = NULL;
	booking->found = 0;
	if ((outcome = bookings_ready(r->bookings)) == DB_OK)
		outcome = booking_look(r->bookings, 0, id, booking, rows);
	if (routes_answered(r, request, outcome))
		return (-1);
	if (!booking->found) {
		PQclear(*rows);
		request_problem(request, PROBLEM_NO_SUCH_BOOKING, NULL,
		    "there is no booking %s", id);
		return (-1);
	}
	return (0);
}

/*
 * If ${booking} is not ours to change, answer that and why, and return -1.
 */
static int
refuse_others(struct request *request, const struct booking *booking)
{

	if (booking->is_followup)
		return (0);
	request_problem(request, PROBLEM_CONFLICT, NULL, "the type \"%.60s\" "
	    "of booking %s is not a follow-up type: it is left alone",
	    booking->booking_type != NULL ? booking->booking_type : "",
	    booking->id);
	return (-1);
}

/*
 * Return ${queue}, set to the name of the queue that the task of ${booking} is
 * in, if that is paused; otherwise NULL.
 */
static const char *
paused_queue(struct routes *r, const struct booking *booking,
    char queue[QUEUES_NAME_LEN])
{

	if (booking->status != BOOKING_SCHEDULED ||
	    booking->task_name == NULL || cloud_tasks_queue(r->tasks,
	    booking->task_name, queue) != 0 ||
	    !readiness_is_paused(r->readiness, queue))
		return (NULL);
	return (queue);
}

/* A text of ${rows}, or NULL. */
static const char *
text(const PGresult *rows, int row, enum history_column column)
{

	return (PQgetisnull(rows, row, (int)column) ? NULL :
	    PQgetvalue(rows, row, (int)column));
}

/* A number of ${rows}, or null. */
static json_t *
number(const PGresult *rows, int row, enum history_column column)
{

	return (PQgetisnull(rows, row, (int)column) ? json_null() :
	    json_integer(db_int(rows, row, (int)column)));
}

/* The history in ${rows}; NULL: no memory. */
static json_t *
history(const PGresult *rows)
{
	json_t *list = json_array();
	char *reason;
	int i;

	for (i = 0; i < PQntuples(rows); i++) {
		reason = PQgetvalue(rows, i, HISTORY_REASON);
		phone_number_hide(reason, NULL);
		(void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, "
		    "s:o, s:o, s:s?, s:s?}", "at", text(rows, i, HISTORY_AT),
		    "what", text(rows, i, HISTORY_WHAT),
		    "by", text(rows, i, HISTORY_BY),
		    "httpStatus", number(rows, i, HISTORY_HTTP_STATUS),
		    "durationMs", number(rows, i, HISTORY_MS),
		    "reason", text(rows, i, HISTORY_REASON),
		    "traceId", text(rows, i, HISTORY_TRACE_ID)));
	}
	return (list);
}

/*
 * Explain ${booking}, for which the gate failed with ${gate_error} if that is
 * not NULL, by how this installation is at this moment.
 */
static void
explain(struct routes *r, const struct booking *booking,
    const char *gate_error, char explanation[EXPLAIN_LEN])
{
	struct readiness_report report;
	struct explain_facts facts = { .conf = r->conf,
	    .window = r->conf->sweep_window, .troubles = &report.troubles,
	    .gate_error = gate_error };
	char meant[64], queue[QUEUES_NAME_LEN];
	char never[BOOKING_NEVER_LEN];

	if (booking->due_in < -facts.window)
		facts.window = booking_window(r->bookings,
		    r->conf->sweep_window);
	facts.paused_queue = paused_queue(r, booking, queue);
	readiness_look(r->readiness, r->bookings, &report);
	if (!booking->is_followup && booking->booking_type != NULL)
		facts.type_meant = booking_type_meant(r->bookings,
		    booking->booking_type, meant, sizeof(meant));
	facts.then_never = booking_then_never(r->bookings, booking, never);
	explain_booking(&facts, booking, explanation, EXPLAIN_LEN);
}

/*
 * Read the booking ${id} as it is shown: if its gate fails, without that, with
 * the error in ${gate_error}, which the caller frees, and which is otherwise
 * NULL.
 */
static enum db_outcome
look(struct routes *r, const char *id, struct booking *booking,
    PGresult **rows, char **gate_error)
{
	enum db_outcome outcome;

	*gate_error = NULL;
	if ((outcome = bookings_ready(r->bookings)) != DB_OK)
		return (outcome);
	outcome = booking_look(r->bookings, 1, id, booking, rows);
	if (outcome != DB_FAILED && outcome != DB_MANY)
		return (outcome);
	if ((*gate_error = strdup(bookings_error(r->bookings))) == NULL)
		return (outcome);
	phone_number_hide(*gate_error, NULL);
	return (booking_look(r->bookings, 0, id, booking, rows));
}

/**
 * routes_booking(routes, id, document):
 * Set ${document} to what GET /followups/{id} answers, for the caller to drop,
 * or to NULL if there is no booking ${id}.
 */
enum db_outcome
routes_booking(struct routes *r, const char *id, json_t **document)
{
	char due[BOOKING_TIME_LEN], task[BOOKING_TIME_LEN];
	char executed[BOOKING_TIME_LEN], explanation[EXPLAIN_LEN];
	struct booking booking;
	enum db_outcome outcome;
	PGresult *rows = NULL, *past = NULL;
	char *gate_error;

	*document = NULL;
	outcome = look(r, id, &booking, &rows, &gate_error);
	if (outcome == DB_OK && booking.found &&
	    (outcome = history_read(r->bookings, id, &past)) == DB_OK) {
		explain(r, &booking, gate_error, explanation);
		*document = json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, s:s?, "
		    "s:s?, s:i, s:s?, s:s, s:o}", "bookingId", booking.id,
		    "tenantId", booking.tenant_id,
		    "taskStatus", booking.status_text,
		    "taskName", booking.task_name,
		    "scheduledAt", booking_time(booking.due, 3, due),
		    "taskScheduledAt", booking_time(booking.task_scheduled_at,
		    3, task), "executedAt", booking_time(booking.executed_at,
		    3, executed), "executionAttempts",
		    booking.execution_attempts,
		    "lastError", booking.last_error,
		    "explanation", explanation, "history", history(past));
	}
	free(gate_error);
	PQclear(past);
	PQclear(rows);
	return (outcome);
}

/* GET /followups/{id} */
void
routes_show(struct routes *r, struct request *request, const char *id)
{
	json_t *document;

	if (routes_answered(r, request, routes_booking(r, id, &document)))
		return;
	if (document != NULL)
		request_reply(request, 200, document);
	else
		request_problem(request, PROBLEM_NO_SUCH_BOOKING, NULL,
		    "there is no booking %s", id);
}

/*
 * Answer that the booking is cancelled, by the row as it is ${now}.  Whether
 * an attempt at its call had begun before is what matters: such a call cannot
 * be stopped, and nobody shall believe that it was.
 */
static void
answer_cancelled(struct request *request, const struct booking *now,
    int deleted)
{
	const char *reason = NULL;
	int running = now->outcome_unknown && !now->locked;

	if (now->found && now->status == BOOKING_EXECUTED) {
		request_problem(request, PROBLEM_CONFLICT, NULL, "the call of "
		    "booking %s has been made already", now->id);
		return;
	}
	if (running)
		reason = "the call is being started at this moment, which "
		    "cannot be stopped: if the voice agent takes it, the "
		    "booking becomes executed; otherwise it stays cancelled "
		    "and nobody is called";
	else if (now->outcome_unknown)
		reason = "nobody is called from now on, but an attempt was "
		    "begun before and its outcome is not known: ask the voice "
		    "agent whether the call was made";
	request_reply(request, running ? 202 : 200, json_pack(
	    "{s:b, s:b, s:s, s:b, s:s*}", "success", 1, "cancelled", !running,
	    "bookingId", now->id, "taskDeleted", deleted, "reason", reason));
}

/*
 * Cancel the booking.  The row comes first: once it is cancelled no call is
 * begun, even if the task cannot be deleted right now.  Whoever is making a
 * task of it finds it cancelled and deletes the task again.  Whoever starts
 * its call holds the lock on that, so that the row which is read with it tells
 * how far that has come.
 */
static void
cancel(struct routes *r, struct request *request,
    const struct booking *booking, const char *by)
{
	struct log_about about = { .booking_id = booking->id,
	    .tenant_id = booking->tenant_id,
	    .task_name = booking->task_name };
	const char *ids[] = { booking->id };
	struct schedule_result result;
	struct booking now;
	PGresult *rows;
	int changed;

	if (routes_answered(r, request, booking_cancel(r->bookings, booking,
	    by, &changed)))
		return;
	if (!changed) {
		request_problem(request, PROBLEM_CONFLICT, NULL, "the call of "
		    "booking %s has been made already", booking->id);
		return;
	}
	log_info(&about, "cancelled by request");
	schedule_bookings(&r->schedule, ids, 1, &result);
	if (routes_answered(r, request, booking_take(r->bookings,
	    BOOKING_EXECUTE, ids, 1, &now, &rows)))
		return;
	answer_cancelled(request, &now, result.deleted > 0);
	if (now.locked)
		booking_unlock(r->bookings, BOOKING_EXECUTE, ids, 1);
	PQclear(rows);
}

/* DELETE /followups/{id} */
void
routes_cancel(struct routes *r, struct request *request, const char *id)
{
	struct booking booking;
	PGresult *rows;
	const char *by;

	if (request_operator(request, &by) == 0 &&
	    read_booking(r, request, id, &booking, &rows) == 0) {
		if (refuse_others(request, &booking) == 0)
			cancel(r, request, &booking, by);
		PQclear(rows);
	}
}

/* POST /followups/{id}/retry, or with {"late":true} */
void
routes_retry(struct routes *r, struct request *request, const char *id)
{
	struct log_about about = { .booking_id = id };
	struct booking booking;
	PGresult *rows;
	static const char *const names[] = { "late", NULL };
	const char *status, *by, *length;
	json_t *json = NULL;
	int changed, late = 0;

	/* The body may be left out. */
	if (request_operator(request, &by) != 0)
		return;
	length = request_param(request, "CONTENT_LENGTH");
	if (length != NULL && *length != '\0' && strcmp(length, "0") != 0) {
		if ((json = request_json(request)) == NULL)
			return;
		late = json_is_true(json_object_get(json, "late"));
		changed = json_object_get(json, "late") == NULL ||
		    json_is_boolean(json_object_get(json, "late"));
		if (request_check_names(request, json, names) != 0)
			changed = -1;
		json_decref(json);
		if (changed == 0)
			request_problem(request, PROBLEM_INVALID, NULL,
			    "late must be true or false");
		if (changed <= 0)
			return;
	}
	if (read_booking(r, request, id, &booking, &rows) != 0)
		return;
	if (refuse_others(request, &booking) != 0 ||
	    routes_answered(r, request, booking_retry(r->bookings, id, late,
	    by, &changed)))
		goto out;
	if (!changed) {
		request_problem(request, PROBLEM_CONFLICT, NULL, "booking %s "
		    "is %s: only failed ones can be retried", id,
		    booking.is_deleted ? "deleted" :
		    booking.status_text != NULL ? booking.status_text :
		    "without a state");
		goto out;
	}
	/* A call that had been started is only written down. */
	status = booking.called_at != BOOKING_NO_TIME ? "executed" :
	    "pending";
	log_info(&about, "%s by request", status);
	request_reply(request, 200, json_pack("{s:b, s:s, s:s}", "success", 1,
	    "bookingId", id, "taskStatus", status));

out:
	PQclear(rows);
}
