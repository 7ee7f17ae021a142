#include <string.h>

#include <jansson.h>

#include "booking.h"
#include "config.h"
#include "explain.h"
#include "log.h"
#include "request.h"
#include "schedule.h"
#include "uuid.h"

#include "routes_internal.h"

/* Texts of the payload; whatever else it has is not looked at. */
static int
check_payload(struct request *request, const json_t *payload)
{
	static const char *const texts[] = { "tenant_id", "lead_id",
	    "assigned_user_id", "scheduled_at", "timezone", "booking_type",
	    "created_at", "schema", NULL };

	if (!json_is_string(json_object_get(payload, "booking_id"))) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "booking_id must be a string, the UUID of a booking");
		return (-1);
	}
	return (request_check_texts(request, payload, texts));
}

static json_t *
nothing(int success, const char *id, const char *reason)
{

	return (json_pack("{s:b, s:b, s:s, s:s}", "success", success,
	    "scheduled", 0, "bookingId", id, "reason", reason));
}

/* Answer with what came of scheduling. */
static void
reply_schedule(struct request *request, const char *id,
    const struct schedule_result *result)
{

	switch (result->outcome) {
	case SCHEDULE_DONE:
		request_reply(request, 200, json_pack(
		    "{s:b, s:b, s:s, s:s, s:s, s:b}", "success", 1,
		    "scheduled", 1, "bookingId", id,
		    "taskName", result->task_name,
		    "scheduleTime", result->schedule_time,
		    "alreadyExists", result->already_exists));
		break;
	case SCHEDULE_NOTHING:
		request_reply(request, 200, nothing(1, id, result->reason));
		break;
	case SCHEDULE_GIVEN_UP:
		request_reply(request, 200, nothing(0, id, result->reason));
		break;
	case SCHEDULE_NO_BOOKING:
		request_problem(request, PROBLEM_NO_SUCH_BOOKING, NULL, "%s",
		    result->reason);
		break;
	case SCHEDULE_LATER:
		request_unavailable(request, result->everybody ?
		    PROBLEM_OUT_OF_SERVICE : PROBLEM_UNAVAILABLE,
		    result->retry_after, "%s", result->reason);
		break;
	}
}

/* POST /webhooks/booking-followup */
void
routes_webhook(struct routes *r, struct request *request, const char *no_id)
{
	struct schedule_result result;
	const char *schema;
	json_t *payload;
	char id[UUID_LEN];

	(void)no_id;
	if ((payload = request_json(request)) == NULL)
		return;
	if (check_payload(request, payload) != 0)
		goto out;
	if (uuid_parse(json_string_value(json_object_get(payload,
	    "booking_id")), id) != 0) {
		request_problem(request, PROBLEM_NOT_A_UUID, NULL,
		    "booking_id is not a UUID");
		goto out;
	}
	schema = json_string_value(json_object_get(payload, "schema"));
	if (schema != NULL && strcmp(schema, r->conf->schema) != 0) {
		request_reply(request, 200, nothing(1, id,
		    "the booking belongs to another schema"));
		goto out;
	}

	schedule_booking(r->schedule, id, &result);
	reply_schedule(request, id, &result);

out:
	json_decref(payload);
}

/* Read the booking ${id}, or answer that there is none, and return -1. */
static int
read_booking(struct routes *r, struct request *request, const char *id,
    struct booking *booking)
{
	enum db_outcome outcome;
	int found = 0;

	if ((outcome = db_ready(r->db)) == DB_OK)
		outcome = booking_read(r->bookings, id, booking, &found);
	if (routes_answered(r, request, outcome))
		return (-1);
	if (!found) {
		request_problem(request, PROBLEM_NO_SUCH_BOOKING, NULL,
		    "there is no booking %s", id);
		return (-1);
	}
	return (0);
}

/* GET /followups/{id} */
void
routes_show(struct routes *r, struct request *request, const char *id)
{
	struct booking booking;
	char explanation[640];

	if (read_booking(r, request, id, &booking) != 0)
		return;
	explain_booking(r->conf, &booking, explanation, sizeof(explanation));
	request_reply(request, 200, json_pack("{s:s, s:s?, s:s?, s:s?, s:s?, "
	    "s:s?, s:s?, s:i, s:s?, s:s}", "bookingId", booking.id,
	    "tenantId", booking.tenant_id, "taskStatus", booking.status_text,
	    "taskName", booking.task_name, "scheduledAt", booking.due_ms,
	    "taskScheduledAt", booking.task_scheduled_at,
	    "executedAt", booking.executed_at,
	    "executionAttempts", booking.execution_attempts,
	    "lastError", booking.last_error, "explanation", explanation));
	booking_clear(&booking);
}

/*
 * Cancel the booking, whose lock is held.  The row comes first: once it is
 * cancelled nobody is called, even if the task cannot be deleted right now.
 */
static void
cancel(struct routes *r, struct request *request,
    const struct booking *booking)
{
	struct log_about about = { .booking_id = booking->id,
	    .tenant_id = booking->tenant_id,
	    .task_name = booking->task_name };
	struct schedule_result result;
	int changed, deleted;

	if (routes_answered(r, request, booking_cancel(r->bookings, booking,
	    &changed)))
		return;
	if (!changed) {
		request_problem(request, PROBLEM_CONFLICT, NULL, "the call of "
		    "booking %s has been made already", booking->id);
		return;
	}
	log_info(&about, "cancelled by request");
	deleted = schedule_delete_obsolete(r->schedule, booking->id, &result);
	request_reply(request, 200, json_pack("{s:b, s:b, s:s, s:b}",
	    "success", 1, "cancelled", 1, "bookingId", booking->id,
	    "taskDeleted", deleted > 0));
}

/* DELETE /followups/{id} */
void
routes_cancel(struct routes *r, struct request *request, const char *id)
{
	struct booking booking;
	int locked;

	if (routes_answered(r, request, db_ready(r->db)) ||
	    routes_answered(r, request, booking_lock(r->bookings,
	    BOOKING_SCHEDULE, id, 1, &locked)))
		return;
	if (read_booking(r, request, id, &booking) == 0) {
		cancel(r, request, &booking);
		booking_clear(&booking);
	}
	booking_unlock(r->bookings, BOOKING_SCHEDULE, id);
}

/* POST /followups/{id}/retry */
void
routes_retry(struct routes *r, struct request *request, const char *id)
{
	struct log_about about = { .booking_id = id };
	struct booking booking;
	int changed;

	if (read_booking(r, request, id, &booking) != 0)
		return;
	if (routes_answered(r, request, booking_retry(r->bookings, id, &changed)))
		goto out;
	if (!changed) {
		request_problem(request, PROBLEM_CONFLICT, NULL, "booking %s "
		    "is %s: only failed ones can be retried", id,
		    booking.status_text != NULL ? booking.status_text :
		    "without a state");
		goto out;
	}
	log_info(&about, "back to pending by request");
	request_reply(request, 200, json_pack("{s:b, s:s, s:s}", "success", 1,
	    "bookingId", id, "taskStatus", "pending"));

out:
	booking_clear(&booking);
}
