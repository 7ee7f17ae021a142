#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bookings.h"
#include "config.h"
#include "utf8.h"

#include "canary.h"

/*
 * Each slot of time has one canary, by its unique key, so that of two listeners
 * only one sends it.  The trigger leaves out its NOTIFY while others commit at
 * the same moment, which is not a fault: a canary that nobody heard within ten
 * seconds is followed by up to five others in its slot.
 *
 * The trigger, which fires at the end of the transaction, does nothing in a
 * daemon's session: until then this session does not call itself one.  A canary
 * is due as soon as its task can have got to the queue.
 */
static const struct bookings_sql send_sql = { "canary sent",
    "WITH slot AS (SELECT pg_catalog.date_bin(s.value::interval, now(), "
    "'epoch'::timestamptz) AS slot FROM {S}.followup_settings s "
    "WHERE s.name = 'canary_every' AND s.value <> ''), "
    "due AS (SELECT s.slot, coalesce(l.try, 0) + 1 AS try FROM slot s "
    "LEFT JOIN LATERAL (SELECT c.try, c.created_at, "
    "coalesce(c.notified_at, c.received_at) AS heard_at "
    "FROM {S}.followup_canary c WHERE c.slot = s.slot "
    "ORDER BY c.try DESC LIMIT 1) AS l ON true WHERE l.try IS NULL "
    "OR (l.heard_at IS NULL AND l.try < 6 "
    "AND l.created_at < now() - interval '10 s')), "
    "pruned AS (DELETE FROM {S}.followup_canary c USING due d "
    "WHERE c.slot < now() - interval '1 day' AND c.slot < d.slot), "
    "sent AS (INSERT INTO {S}.followup_canary AS c (id, slot, try, "
    "scheduled_at) SELECT $1::uuid, d.slot, d.try, now() + interval '2 s' "
    "FROM due d ON CONFLICT DO NOTHING "
    "RETURNING pg_catalog.set_config('followup.daemon', '', true)) "
    "SELECT count(*) FROM sent" };

static const struct bookings_sql heard_sql = { "canary heard",
    "WITH changed AS (UPDATE {S}.followup_canary c "
    "SET notified_at = least(coalesce(c.notified_at, 'infinity'), "
    "greatest(c.created_at, now() - $2::float8 * interval '1 s')) "
    "WHERE c.id = $1::uuid RETURNING 1) SELECT count(*) FROM changed" };

/**
 * canary_send_sql(conf):
 * Return the statement that sends a canary with the id $1 if one is due and no
 * listener has sent it yet, as a string the caller frees; NULL when memory is
 * short.  The statement returns how many it sent, 0 or 1.
 */
char *
canary_send_sql(const struct config *conf)
{

	return (bookings_sql(conf, send_sql.text));
}

/**
 * canary_heard_sql(conf):
 * Return the statement which notes that the NOTIFY of the canary with the id
 * $1 was heard $2 seconds ago, as a string the caller frees; NULL when memory
 * is short.
 */
char *
canary_heard_sql(const struct config *conf)
{

	return (bookings_sql(conf, heard_sql.text));
}

/* A listener may die before it notes what it heard; this proves it was. */
static const struct bookings_sql received_sql = { "canary received",
    "UPDATE {S}.followup_canary c SET received_at = coalesce(c.received_at, "
    "now()), notified_at = coalesce(c.notified_at, now()) "
    "WHERE c.id = $1::uuid RETURNING " BOOKINGS_US("c.scheduled_at") ", "
    "pg_catalog.json_build_object('tenantId', NULL, 'bookingId', c.id, "
    "'leadId', NULL, 'assignedUserId', NULL, "
    "'idempotencyKey', 'followup:canary:' || c.id::text, 'scheduledAt', "
    "pg_catalog.to_char(c.scheduled_at AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))" };

/**
 * canary_received(bookings, id, canary, result):
 * Note that followup-schedule was asked for the canary ${id}, and read it into
 * ${canary}.  An id that is not a canary's is no error.  On DB_OK the caller
 * clears ${result}.
 */
enum db_outcome
canary_received(struct bookings *b, const char *id, struct canary *canary,
    PGresult **result)
{
	struct bookings_call call = { .sql = &received_sql, .nparams = 1,
	    .params = { id }, .booking = id };
	enum db_outcome outcome;

	memset(canary, 0, sizeof(*canary));
	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	*result = call.result;
	if (PQntuples(call.result) == 1) {
		canary->found = 1;
		canary->due = db_int(call.result, 0, 0);
		canary->task_body = PQgetvalue(call.result, 0, 1);
	}
	return (DB_OK);
}

static const struct bookings_sql task_sql = { "canary task",
    "WITH changed AS (UPDATE {S}.followup_canary c "
    "SET task_created_at = coalesce(c.task_created_at, now()), "
    "task_name = $2, error = NULL WHERE c.id = $1::uuid RETURNING 1) "
    "SELECT count(*) FROM changed" };

/**
 * canary_task_created(bookings, id, name):
 * Note that the task ${name} of the canary ${id} exists.
 */
enum db_outcome
canary_task_created(struct bookings *b, const char *id, const char *name)
{
	struct bookings_call call = { .sql = &task_sql, .nparams = 2,
	    .params = { id, name }, .booking = id };

	return (bookings_changed(b, &call, NULL));
}

static const struct bookings_sql failed_sql = { "canary failed",
    "WITH changed AS (UPDATE {S}.followup_canary c SET error = $2 "
    "WHERE c.id = $1::uuid RETURNING 1) SELECT count(*) FROM changed" };

/**
 * canary_failed(bookings, id, error):
 * Note why the canary ${id} has no task.
 */
enum db_outcome
canary_failed(struct bookings *b, const char *id, const char *error)
{
	struct bookings_call call = { .sql = &failed_sql, .nparams = 2,
	    .params = { id, error }, .booking = id };

	return (bookings_changed(b, &call, NULL));
}

static const struct bookings_sql called_back_sql = { "canary called back",
    "WITH changed AS (UPDATE {S}.followup_canary c "
    "SET called_back_at = coalesce(c.called_back_at, now()) "
    "WHERE c.id = $1::uuid RETURNING 1) SELECT count(*) FROM changed" };

/**
 * canary_called_back(bookings, id, found):
 * Note that the task of the canary ${id} called back; ${found} is 0 if there is
 * no such canary.
 */
enum db_outcome
canary_called_back(struct bookings *b, const char *id, int *found)
{
	struct bookings_call call = { .sql = &called_back_sql, .nparams = 1,
	    .params = { id }, .booking = id };

	*found = 0;
	return (bookings_changed(b, &call, found));
}

static const struct bookings_sql state_sql = { "canary",
    "SELECT (s.every IS NOT NULL)::int, s.is_stale::int, "
    "extract(epoch FROM s.succeeded_at)::float8, "
    "extract(epoch FROM s.notified)::float8, "
    "extract(epoch FROM s.created)::float8, "
    "extract(epoch FROM s.called_back)::float8, s.sentence "
    "FROM {S}.followup_canary_state() AS s" };

/* The number in ${column}, or ${none}. */
static double
number(const PGresult *result, int column, double none)
{

	return (PQgetisnull(result, 0, column) ? none :
	    strtod(PQgetvalue(result, 0, column), NULL));
}

/**
 * canary_look(bookings, state):
 * Read the state of the canary into ${state}.
 */
enum db_outcome
canary_look(struct bookings *b, struct canary_state *state)
{
	struct bookings_call call = { .sql = &state_sql };
	enum db_outcome outcome;

	memset(state, 0, sizeof(*state));
	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	state->is_on = (int)db_int(call.result, 0, 0);
	state->is_stale = (int)db_int(call.result, 0, 1);
	state->succeeded_at = number(call.result, 2, 0);
	state->notified = number(call.result, 3, -1);
	state->created = number(call.result, 4, -1);
	state->called_back = number(call.result, 5, -1);
	(void)snprintf(state->sentence, sizeof(state->sentence), "%s",
	    PQgetvalue(call.result, 0, 6));
	utf8_clean(state->sentence);
	PQclear(call.result);
	return (DB_OK);
}

const struct bookings_sql *const canary_statements[] = { &send_sql,
    &heard_sql, &received_sql, &task_sql, &failed_sql, &called_back_sql,
    &state_sql, NULL };
