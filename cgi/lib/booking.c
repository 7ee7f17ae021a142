#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bookings.h"
#include "sql_array.h"

#include "booking.h"

/* The columns of read_sql. */
enum column {
	COL_FOUND, COL_STATUS, COL_TENANT, COL_LEAD, COL_USER, COL_TYPE,
	COL_IS_FOLLOWUP, COL_IS_DELETED, COL_TASK_NAME, COL_TASK_SCHEDULED_AT,
	COL_EXECUTED_AT, COL_EXECUTION_ATTEMPTS, COL_LAST_ERROR,
	COL_SCHEDULED_AT, COL_TIMEZONE, COL_DUE, COL_DUE_IN,
	COL_SCHEDULE_ATTEMPTS, COL_RETRY_IN, COL_OUTCOME_UNKNOWN,
	COL_KEY, COL_TASK_BODY, COL_OBSOLETE_TASKS, COL_VERDICT,
	COL_WAIT_UNTIL, COL_VERDICT_REASON, COL_IN_BACKLOG, COL_DEAD,
	COL_CALLED_AT, COL_QUEUE, COL_TRACEPARENT, COL_READ_AT, COL_NOTED_DUE,
};

/**
 * booking_stage_name(stage):
 * Return "schedule" or "execute".
 */
const char *
booking_stage_name(enum booking_stage stage)
{

	return (stage == BOOKING_SCHEDULE ? "schedule" : "execute");
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

/* A gate that says nothing we know lets nobody be called. */
static enum booking_verdict
parse_verdict(const char *text)
{

	if (text != NULL && strcmp(text, "call") == 0)
		return (BOOKING_CALL);
	return (text != NULL && strcmp(text, "never") == 0 ? BOOKING_NEVER :
	    BOOKING_WAIT);
}

static const char *
get(const PGresult *rows, int row, enum column column)
{

	return (PQgetisnull(rows, row, (int)column) ? NULL :
	    PQgetvalue(rows, row, (int)column));
}

static double
get_double(const PGresult *rows, int row, enum column column)
{
	const char *text = get(rows, row, column);

	return (text != NULL ? strtod(text, NULL) : 0);
}

static int
get_int(const PGresult *rows, int row, enum column column)
{

	return ((int)db_int(rows, row, (int)column));
}

static int64_t
get_time(const PGresult *rows, int row, enum column column)
{

	return (PQgetisnull(rows, row, (int)column) ? BOOKING_NO_TIME :
	    db_int(rows, row, (int)column));
}

static int
get_bool(const PGresult *rows, int row, enum column column)
{
	const char *text = get(rows, row, column);

	return (text != NULL && *text == 't');
}

/* The time for a task; none for a booking that waits without an end. */
static int64_t
plan(const struct booking *booking)
{

	if (booking->verdict != BOOKING_WAIT)
		return (booking->due);
	if (booking->due == BOOKING_NO_TIME ||
	    booking->wait_until == BOOKING_NO_TIME)
		return (BOOKING_NO_TIME);
	return (booking->wait_until > booking->due ? booking->wait_until :
	    booking->due);
}

static void
fill(struct booking *booking, const char *id, const PGresult *rows, int row)
{

	memset(booking, 0, sizeof(*booking));
	(void)snprintf(booking->id, sizeof(booking->id), "%s", id);
	booking->found = get_bool(rows, row, COL_FOUND);
	booking->status_text = get(rows, row, COL_STATUS);
	booking->status = parse_status(booking->status_text);
	booking->tenant_id = get(rows, row, COL_TENANT);
	booking->lead_id = get(rows, row, COL_LEAD);
	booking->assigned_user_id = get(rows, row, COL_USER);
	booking->booking_type = get(rows, row, COL_TYPE);
	booking->is_followup = get_bool(rows, row, COL_IS_FOLLOWUP);
	booking->is_deleted = get_bool(rows, row, COL_IS_DELETED);
	booking->task_name = get(rows, row, COL_TASK_NAME);
	booking->task_scheduled_at = get_time(rows, row,
	    COL_TASK_SCHEDULED_AT);
	booking->executed_at = get_time(rows, row, COL_EXECUTED_AT);
	booking->execution_attempts = get_int(rows, row,
	    COL_EXECUTION_ATTEMPTS);
	booking->last_error = get(rows, row, COL_LAST_ERROR);
	booking->scheduled_at = get(rows, row, COL_SCHEDULED_AT);
	booking->timezone = get(rows, row, COL_TIMEZONE);
	booking->due = get_time(rows, row, COL_DUE);
	booking->due_in = get_double(rows, row, COL_DUE_IN);
	booking->schedule_attempts = get_int(rows, row,
	    COL_SCHEDULE_ATTEMPTS);
	booking->retry_in = get_double(rows, row, COL_RETRY_IN);
	booking->has_turn = get(rows, row, COL_RETRY_IN) != NULL;
	booking->outcome_unknown = get_bool(rows, row, COL_OUTCOME_UNKNOWN);
	booking->key = get(rows, row, COL_KEY);
	booking->task_body = get(rows, row, COL_TASK_BODY);
	booking->obsolete_tasks = get(rows, row, COL_OBSOLETE_TASKS);
	booking->verdict = parse_verdict(get(rows, row, COL_VERDICT));
	booking->wait_until = get_time(rows, row, COL_WAIT_UNTIL);
	booking->verdict_reason = get(rows, row, COL_VERDICT_REASON);
	booking->in_backlog = get_bool(rows, row, COL_IN_BACKLOG);
	booking->dead = get(rows, row, COL_DEAD);
	booking->called_at = get_time(rows, row, COL_CALLED_AT);
	booking->queue = get(rows, row, COL_QUEUE);
	(void)trace_parse(get(rows, row, COL_TRACEPARENT), &booking->trace);
	booking->read_at = get_time(rows, row, COL_READ_AT);
	booking->noted_due = get_time(rows, row, COL_NOTED_DUE);
	booking->planned = plan(booking);
}

/*
 * Is the call still to come; and if so, does the gate let it through that was
 * asked about all of them?
 */
#define STILL_TO_CALL	"b.task_status IN ('pending', 'scheduled')"
#define LETS_THROUGH							\
    STILL_TO_CALL " AND d.due >= now() AND is_open AND (week IS NULL "	\
    "OR {S}.followup_within(week, coalesce(nullif(btrim(timezone::text, " \
    "E' \\t\\r\\n'), ''), zone), d.due))"

/*
 * A key has at most 255 characters, of which all but the tenant takes up to 73.
 * Booking and time make it the only one of its kind, so it is the tenant's end
 * that is cut off.
 */
#define KEY_TENANT	"182"

/*
 * One row for each id, in the order asked.  Columns that this deployment
 * lacks come from "absent": the innermost query that has a name answers it.
 * OFFSET 0 keeps the planner from joining whole tables, as LIMIT does: each row
 * is looked up by its key, of which a table without a unique index may have
 * several.  The gate is not asked about what is not to come, nor about what it
 * lets through in any case, and only if $2 says so; followup_queue only if $3
 * does: a deployment's own function may fail for a row, which is not to stop
 * those who can do without.  Whatever type a column has in this deployment,
 * it is read as another one that is fixed: a statement whose result changes its
 * type cannot be run any more (SQLSTATE 0A000).
 *
 * An attempt that the row refused is in followup_failures only.
 */
static const struct bookings_sql read_sql = { "read",
    "WITH gate AS MATERIALIZED "
    "(SELECT * FROM {S}.followup_gate_for_all()) "
    "SELECT b.id IS NOT NULL, b.task_status, b.tenant_id, b.lead_id, "
    "b.assigned_user_id, b.booking_type, b.is_followup, b.is_deleted, "
    "b.task_name, " BOOKINGS_US("b.task_scheduled_at") ", "
    BOOKINGS_US("b.executed_at") ", "
    "greatest(b.execution_attempts, f.calls), "
    "coalesce(b.last_execution_error, f.error), b.scheduled_at, b.timezone, "
    BOOKINGS_US("b.due") ", "
    "extract(epoch FROM b.due - now())::float8, "
    "coalesce(f.attempts, 0), "
    "CASE WHEN f.next_attempt_at IS NOT NULL THEN greatest(extract(epoch "
    "FROM f.next_attempt_at - now()), 0) END::float8, "
    "a.begun_at IS NOT NULL, k.key, "
    "pg_catalog.json_build_object('tenantId', b.tenant_id, 'bookingId', b.id, "
    "'leadId', b.lead_id, 'assignedUserId', b.assigned_user_id, "
    "'idempotencyKey', k.key, 'scheduledAt', k.due), "
    "(SELECT string_agg(o.task_name || E'\\n', '' ORDER BY o.obsolete_at) "
    "FROM {S}.followup_obsolete_tasks o WHERE o.booking_id = u.id), "
    "b.verdict, CASE WHEN isfinite(b.until) THEN " BOOKINGS_US("b.until")
    " END, b.reason, "
    BOOKINGS_IN_BACKLOG("u.id", "b.due") ", "
    "f.dead, " BOOKINGS_US("a.called_at") ", b.queue, b.traceparent, "
    BOOKINGS_US("now()") ", " BOOKINGS_US("w.due_at") " "
    "FROM pg_catalog.unnest($1::uuid[]) WITH ORDINALITY AS u (id, n) "
    "CROSS JOIN " BOOKINGS_ABSENT " LEFT JOIN LATERAL (SELECT b.id, "
    "b.task_status::text AS task_status, tenant_id::text AS tenant_id, "
    "lead_id::text AS lead_id, assigned_user_id::text AS assigned_user_id, "
    "b.booking_type::text AS booking_type, "
    BOOKINGS_IS_FOLLOWUP " AS is_followup, "
    BOOKINGS_IS_DELETED " AS is_deleted, "
    "b.task_name::text AS task_name, b.task_scheduled_at, b.executed_at, "
    "b.execution_attempts::bigint AS execution_attempts, "
    "b.last_execution_error::text AS last_execution_error, "
    "b.scheduled_at::text AS scheduled_at, "
    "timezone::text AS timezone, "
    "coalesce(traceparent::text, trace_parent::text) AS traceparent, "
    "d.due, CASE WHEN l.lets_through THEN 'call' ELSE g.verdict END "
    "AS verdict, g.until, g.reason, CASE WHEN $3::boolean AND " STILL_TO_CALL
    " THEN {S}.followup_queue(b.*)::text END AS queue "
    "FROM {T} b CROSS JOIN LATERAL "
    "(SELECT {S}.followup_due_at(b.*) AS due OFFSET 0) AS d "
    "CROSS JOIN LATERAL (SELECT " LETS_THROUGH " AS lets_through FROM gate "
    "OFFSET 0) AS l "
    "LEFT JOIN LATERAL (SELECT g.verdict, g.until, g.reason "
    "FROM {S}.followup_gate(b.*) AS g WHERE $2::boolean AND " STILL_TO_CALL
    " AND l.lets_through IS NOT TRUE OFFSET 0) AS g ON true "
    "WHERE b.id = u.id LIMIT 1) AS b ON true "
    "LEFT JOIN LATERAL (SELECT i.due, 'followup:' || left(coalesce("
    "b.tenant_id, ''), " KEY_TENANT ") || ':' || b.id::text || ':' || i.due "
    "AS key "
    "FROM (SELECT pg_catalog.to_char(b.due AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS due OFFSET 0) AS i OFFSET 0) "
    "AS k ON true "
    "LEFT JOIN LATERAL (SELECT "
    "max(f.attempts) FILTER (WHERE f.stage = 'schedule') AS attempts, "
    "max(f.next_attempt_at) FILTER (WHERE f.stage = 'schedule' "
    "AND f.last_failed_at <= now()) AS next_attempt_at, "
    "max(f.attempts) FILTER (WHERE f.stage = 'execute') AS calls, "
    "max(f.error) AS error, "
    "max(f.error) FILTER (WHERE f.dead_at IS NOT NULL) AS dead "
    "FROM {S}.followup_failures f WHERE f.booking_id = u.id OFFSET 0) AS f "
    "ON true LEFT JOIN LATERAL (SELECT a.begun_at, a.called_at "
    "FROM {S}.followup_attempts a WHERE a.booking_id = u.id OFFSET 0) AS a "
    "ON true LEFT JOIN LATERAL (SELECT w.due_at FROM {S}.followup_waits w "
    "WHERE w.booking_id = u.id OFFSET 0) AS w ON true "
    "ORDER BY u.n" };

/* Take the rows of ${call} over to ${list}. */
static void
fill_all(const struct bookings_call *call, const char *const *ids, size_t n,
    struct booking *list, PGresult **rows)
{
	size_t i;

	for (i = 0; i < n; i++)
		fill(&list[i], ids[i], call->result, (int)i);
	*rows = call->result;
}

/**
 * booking_read(bookings, ids, n, list, rows):
 * Read the ${n} bookings with the ids ${ids} (UUIDs in lower case) into
 * ${list}, in that order.  On DB_OK ${rows} owns their texts, and the caller
 * clears it when it needs them no longer.
 */
enum db_outcome
booking_read(struct bookings *b, const char *const *ids, size_t n,
    struct booking *list, PGresult **rows)
{
	struct bookings_call call = { .sql = &read_sql, .nparams = 3,
	    .params = { NULL, "t", "t" }, .booking = n == 1 ? ids[0] : NULL };
	enum db_outcome outcome;
	char *array;

	*rows = NULL;
	if ((array = sql_array(ids, n)) == NULL)
		return (DB_LOST);
	call.params[0] = array;
	if ((outcome = bookings_run(b, &call, 1)) == DB_OK)
		fill_all(&call, ids, n, list, rows);
	free(array);
	return (outcome);
}

/**
 * booking_look(bookings, asks_gate, id, booking, rows):
 * Read ${booking} with the id ${id} without asking followup_queue, and unless
 * ${asks_gate} without asking followup_gate.  Its queue is NULL then, and what
 * the gate says of it is not known.
 */
enum db_outcome
booking_look(struct bookings *b, int asks_gate, const char *id,
    struct booking *booking, PGresult **rows)
{
	struct bookings_call call = { .sql = &read_sql, .nparams = 3,
	    .params = { NULL, asks_gate ? "t" : "f", "f" }, .booking = id,
	    .as = "look" };
	enum db_outcome outcome;
	char *array;

	*rows = NULL;
	if ((array = sql_array(&id, 1)) == NULL)
		return (DB_LOST);
	call.params[0] = array;
	if ((outcome = bookings_run(b, &call, 1)) == DB_OK)
		fill_all(&call, &id, 1, booking, rows);
	free(array);
	return (outcome);
}

static const struct bookings_sql try_lock_sql = { "try lock",
    "SELECT pg_try_advisory_lock("
    BOOKING_LOCK_KEY("$2::text", "u.id::text") ") "
    "FROM pg_catalog.unnest($1::uuid[]) WITH ORDINALITY AS u (id, n) "
    "ORDER BY u.n" };

/**
 * booking_take(bookings, stage, ids, n, list, rows):
 * Likewise, after trying to take the session's lock on ${stage} of each of
 * them, in the same round trip: a row is read after its lock was taken.  Rows
 * that another session has locked are read too.  The ids must differ.  Only
 * for BOOKING_SCHEDULE is followup_queue asked.
 */
enum db_outcome
booking_take(struct bookings *b, enum booking_stage stage,
    const char *const *ids, size_t n, struct booking *list, PGresult **rows)
{
	struct bookings_call calls[] = {
	    { .sql = &try_lock_sql, .nparams = 2 },
	    { .sql = &read_sql, .nparams = 3, .params = { NULL, "t",
	    stage == BOOKING_SCHEDULE ? "t" : "f" },
	    .booking = n == 1 ? ids[0] : NULL } };
	enum db_outcome outcome;
	char *array;
	size_t i;

	*rows = NULL;
	if ((array = sql_array(ids, n)) == NULL)
		return (DB_LOST);
	calls[0].params[0] = calls[1].params[0] = array;
	calls[0].params[1] = booking_stage_name(stage);
	outcome = bookings_run(b, calls, 2);
	if (outcome == DB_OK) {
		fill_all(&calls[1], ids, n, list, rows);
		for (i = 0; i < n; i++)
			list[i].locked = *PQgetvalue(calls[0].result, (int)i,
			    0) == 't';
	} else {
		/* What was refused leaves no lock behind. */
		if (calls[0].outcome == DB_OK)
			booking_unlock(b, stage, ids, n);
		PQclear(calls[1].result);
	}
	PQclear(calls[0].result);
	free(array);
	return (outcome);
}

/**
 * booking_try_lock(bookings, stage, id, locked):
 * Set ${locked} to whether the session's lock on ${stage} of booking ${id}
 * could be taken without waiting.
 */
enum db_outcome
booking_try_lock(struct bookings *b, enum booking_stage stage, const char *id,
    int *locked)
{
	struct bookings_call call = { .sql = &try_lock_sql, .nparams = 2 };
	enum db_outcome outcome = DB_LOST;
	char *array;

	if ((array = sql_array(&id, 1)) == NULL)
		return (outcome);
	call.params[0] = array;
	call.params[1] = booking_stage_name(stage);
	if ((outcome = bookings_run(b, &call, 1)) == DB_OK) {
		*locked = *PQgetvalue(call.result, 0, 0) == 't';
		PQclear(call.result);
	}
	free(array);
	return (outcome);
}

static const struct bookings_sql unlock_sql = { "unlock",
    "SELECT pg_catalog.count(pg_advisory_unlock("
    BOOKING_LOCK_KEY("$2::text", "u.id::text") ")) "
    "FROM pg_catalog.unnest($1::uuid[]) AS u (id)" };

/**
 * booking_unlock(bookings, stage, ids, n):
 * Release the locks on ${stage} of ${ids}.  If that fails the connection is
 * dropped, and the locks with it.
 */
void
booking_unlock(struct bookings *b, enum booking_stage stage,
    const char *const *ids, size_t n)
{
	struct bookings_call call = { .sql = &unlock_sql, .nparams = 2 };
	char *array;

	if (n == 0)
		return;
	array = sql_array(ids, n);
	call.params[0] = array;
	call.params[1] = booking_stage_name(stage);
	if (array == NULL || bookings_changed(b, &call, NULL) != DB_OK)
		bookings_disconnect(b);
	free(array);
}

/**
 * booking_time(time, digits, buf):
 * Write ${time} as ISO 8601 in UTC with ${digits} (3 or 6) behind the point,
 * such as 2026-11-23T11:00:00.000Z; what is finer is cut off.  Return ${buf},
 * or NULL where ${time} is BOOKING_NO_TIME.
 */
const char *
booking_time(int64_t us, int digits, char buf[BOOKING_TIME_LEN])
{
	int64_t fraction = us % 1000000, seconds = us / 1000000;
	struct tm tm;
	time_t t;
	size_t len;

	if (us == BOOKING_NO_TIME)
		return (NULL);
	if (fraction < 0) {
		fraction += 1000000;
		seconds--;
	}
	t = (time_t)seconds;
	if (gmtime_r(&t, &tm) == NULL)
		return (NULL);
	len = strftime(buf, BOOKING_TIME_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(&buf[len], BOOKING_TIME_LEN - len, ".%0*" PRId64 "Z",
	    digits, digits == 3 ? fraction / 1000 : fraction);
	return (buf);
}

/**
 * booking_why_not(booking, buf):
 * Write to ${buf} why the gate does not let ${booking} be called now, and
 * until when, and return it.
 */
const char *
booking_why_not(const struct booking *booking, char buf[BOOKING_WHY_LEN])
{
	char until[BOOKING_TIME_LEN];
	const char *time = booking_time(booking->wait_until, 3, until);

	(void)snprintf(buf, BOOKING_WHY_LEN, "%.240s%s%s",
	    booking->verdict_reason != NULL ? booking->verdict_reason :
	    "followup_gate does not let it be called, and does not say why",
	    time != NULL ? ", until " : "", time != NULL ? time : "");
	return (buf);
}

/**
 * booking_is_expired(booking):
 * Return non-zero iff the gate says that it is too late to call ${booking}.
 */
int
booking_is_expired(const struct booking *booking)
{
	static const char late[] = " late";	/* "more than 04:00:00 late" */
	size_t len = booking->verdict_reason != NULL ?
	    strlen(booking->verdict_reason) : 0;

	return (booking->verdict == BOOKING_NEVER && len >= strlen(late) &&
	    strcmp(&booking->verdict_reason[len - strlen(late)], late) == 0);
}

/**
 * booking_lateness(booking):
 * Return the seconds from the earliest time at which ${booking} could be
 * called, its due time or the end of its wait, to when it was read.
 */
double
booking_lateness(const struct booking *booking)
{
	double waited = 0;

	if (booking->task_scheduled_at != BOOKING_NO_TIME &&
	    booking->due != BOOKING_NO_TIME &&
	    booking->task_scheduled_at > booking->due)
		waited = (double)(booking->task_scheduled_at - booking->due) /
		    1e6;
	return (-booking->due_in - waited);
}

/**
 * booking_epoch(time):
 * Return ${time} in whole seconds since 1970, rounded down.
 */
int64_t
booking_epoch(int64_t time)
{

	return (time / 1000000 - (time % 1000000 < 0));
}

/**
 * booking_in(booking, time):
 * Return the seconds from when ${booking} was read to ${time}, negative if
 * ${time} had passed.
 */
double
booking_in(const struct booking *booking, int64_t time)
{

	return ((double)(time - booking->read_at) / 1000000);
}

/**
 * booking_task_waits(booking):
 * Return non-zero iff the task of ${booking} is for later than its due time
 * because the gate makes it wait, and not because the booking was moved.
 */
int
booking_task_waits(const struct booking *booking)
{

	return (booking->due != BOOKING_NO_TIME &&
	    booking->noted_due == booking->due &&
	    booking->task_scheduled_at > booking->due);
}

/**
 * booking_task_in(booking):
 * Return in how many seconds the task of ${booking} fires, or fired.
 */
double
booking_task_in(const struct booking *booking)
{

	return (booking_task_waits(booking) ?
	    booking_in(booking, booking->task_scheduled_at) :
	    booking->due_in);
}

/* Write to ${buf} the text that ${call} gives; NULL: none, or an error. */
static const char *
look_up(struct bookings *b, struct bookings_call *call, char *buf, size_t len)
{
	const char *text = NULL;

	if (bookings_run(b, call, 1) != DB_OK)
		return (NULL);
	if (PQntuples(call->result) > 0 && !PQgetisnull(call->result, 0, 0)) {
		(void)snprintf(buf, len, "%s", PQgetvalue(call->result, 0, 0));
		text = buf;
	}
	PQclear(call->result);
	return (text);
}

static const struct bookings_sql type_meant_sql = { "type meant",
    "SELECT {S}.followup_type_meant($1)" };

/**
 * booking_type_meant(bookings, type, buf, len):
 * Write to ${buf} the follow-up type that the unknown ${type} is probably a
 * misspelling of.  Return ${buf}, or NULL if no type is similar enough.
 */
const char *
booking_type_meant(struct bookings *b, const char *type, char *buf,
    size_t len)
{
	struct bookings_call call = { .sql = &type_meant_sql, .nparams = 1,
	    .params = { type } };

	return (look_up(b, &call, buf, len));
}

static const struct bookings_sql then_never_sql = { "then never",
    "SELECT g.then_never FROM {T} b "
    "CROSS JOIN LATERAL {S}.followup_verdict(b.*) AS g "
    "WHERE b.id = $1::uuid LIMIT 1" };

/**
 * booking_then_never(bookings, booking, buf):
 * If ${booking} waits for a pause and will not be called once that ends, write
 * to ${buf} why not, and return it; otherwise, or if the database does not say,
 * return NULL.
 */
const char *
booking_then_never(struct bookings *b, const struct booking *booking,
    char buf[BOOKING_NEVER_LEN])
{
	struct bookings_call call = { .sql = &then_never_sql, .nparams = 1,
	    .params = { booking->id }, .booking = booking->id };

	/* A verdict that nobody has asked for is to wait, without a reason. */
	if (booking->verdict != BOOKING_WAIT || booking->verdict_reason == NULL)
		return (NULL);
	return (look_up(b, &call, buf, BOOKING_NEVER_LEN));
}

static const struct bookings_sql window_sql = { "window",
    "SELECT extract(epoch FROM " BOOKINGS_WINDOW("$1") ")::float8" };

/**
 * booking_window(bookings, configured):
 * Return how many seconds back an overdue booking is still picked up, of which
 * ${configured} are in any case; no more than these if the database does not
 * say.
 */
double
booking_window(struct bookings *b, int configured)
{
	char text[16];
	struct bookings_call call = { .sql = &window_sql, .nparams = 1,
	    .params = { text } };
	double window = configured;

	(void)snprintf(text, sizeof(text), "%d", configured);
	if (bookings_run(b, &call, 1) == DB_OK) {
		window = strtod(PQgetvalue(call.result, 0, 0), NULL);
		PQclear(call.result);
	}
	return (window);
}

const struct bookings_sql *const booking_statements[] = { &read_sql,
    &try_lock_sql, &unlock_sql, &type_meant_sql, &then_never_sql,
    &window_sql, NULL };
