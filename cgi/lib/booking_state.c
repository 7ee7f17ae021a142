#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "booking_state_internal.h"
#include "phone_number.h"
#include "sql_array.h"

#include "booking_state.h"

/* When the row is due, in the form of struct booking. */
#define DUE	BOOKINGS_US("{S}.followup_due_at(b.*)")

/*
 * The lock goes with the state that it was taken for.  No lock is released
 * before all rows have been written, since what is released stays so if a
 * later row is refused; and each becomes one of this transaction, so that
 * whoever takes it next sees what was written.  An error that stays is of an
 * attempt at the call.
 *
 * A booking whose task is for later than it is due waits.  It is looked at now
 * and then, because the gate may change its mind, and soon after the time of
 * its task, in case that is lost.
 */
#define SCHEDULE_KEY	BOOKING_LOCK_KEY("'schedule'", "changed.id::text")
#define SCHEDULED(lock)							\
    "WITH t AS (SELECT * FROM ROWS FROM (pg_catalog.unnest($1::uuid[]), " \
    "pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::bigint[]), "	\
    "pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::bigint[]), "	\
    "pg_catalog.unnest($6::bigint[]), pg_catalog.unnest($7::text[])) "	\
    "AS t (id, name, due, key, planned, read_at, facts)), "		\
    "mine AS (SELECT t.* FROM t" lock "), "				\
    "changed AS (UPDATE {T} b SET task_name = mine.name, "		\
    "task_scheduled_at = " TIME("mine.planned") ", "			\
    "idempotency_key = " FIT("mine.key", "idempotency_key") ", "	\
    "task_status = 'scheduled', "					\
    "last_execution_error = CASE WHEN b.execution_attempts > 0 "	\
    "THEN b.last_execution_error END FROM mine "			\
    "WHERE " BOOKINGS_ONE_OF("b.id", "mine.id") " "			\
    "AND " BOOKINGS_STATUS " = 'pending' "				\
    "AND " DUE " = mine.due AND " BOOKINGS_IS_WANTED " "		\
    "RETURNING b.id, mine.due, mine.planned, mine.read_at, mine.facts), " \
    "forgotten AS (DELETE FROM {S}.followup_failures f USING changed "	\
    "WHERE " BOOKINGS_ONE_OF("f.booking_id", "changed.id") " "		\
    "AND f.stage = 'schedule'), "					\
    "told AS (" HISTORY_INSERT(HISTORY_AS_TOLD, "changed.id",		\
    "changed.facts", "changed") "), "					\
    "waits AS (INSERT INTO {S}.followup_waits (booking_id, due_at, "	\
    "until, looked_at, look_at) SELECT changed.id, " TIME("changed.due") ", " \
    TIME("changed.planned") ", " TIME("changed.read_at") ", least(now(), " \
    TIME("changed.planned") " - interval '55 min') + interval '1 hour' " \
    "FROM changed WHERE changed.planned > changed.due "			\
    "ON CONFLICT (booking_id) DO UPDATE SET due_at = excluded.due_at, "	\
    "until = excluded.until, looked_at = excluded.looked_at, "		\
    "look_at = excluded.look_at), "					\
    "waited AS (DELETE FROM {S}.followup_waits w USING changed "	\
    "WHERE " BOOKINGS_ONE_OF("w.booking_id", "changed.id") " "		\
    "AND changed.planned = changed.due) "				\
    "SELECT changed.id::text, "						\
    "CASE WHEN pg_try_advisory_xact_lock(" SCHEDULE_KEY ") "		\
    "THEN pg_advisory_unlock(" SCHEDULE_KEY ") END FROM changed "	\
    "WHERE (SELECT count(*) FROM changed) > 0"

/*
 * Whoever waits for one row while it holds others can be part of a deadlock,
 * which ends the application's transaction as likely as ours.  So many rows
 * are written without those that somebody else has locked.
 */
static const struct bookings_sql scheduled_sql = { "scheduled",
    SCHEDULED(", {T} l WHERE " BOOKINGS_ONE_OF("l.id", "t.id")
    " FOR NO KEY UPDATE OF l SKIP LOCKED") };
static const struct bookings_sql scheduled_one_sql = { "scheduled one",
    SCHEDULED("") };

/**
 * booking_state_number(numbers, i, value):
 * Set the element ${i} of ${numbers} to ${value}.
 */
void
booking_state_number(struct booking_numbers *numbers, size_t i, int64_t value)
{

	(void)snprintf(numbers->texts[i], BOOKING_NUMBER_LEN, "%" PRId64,
	    value);
	numbers->values[i] = numbers->texts[i];
}

/* The arrays of those two statements. */
struct arrays {
	const char *ids[BOOKING_BATCH];
	const char *names[BOOKING_BATCH];
	const char *keys[BOOKING_BATCH];
	char *facts[BOOKING_BATCH];
	struct booking_numbers dues;
	struct booking_numbers planned;
	struct booking_numbers read_at;
};

/**
 * booking_state_facts(booking, row):
 * Return what history says of ${booking}, ${row} with its tenant and trace, in
 * the form of history_facts.
 */
char *
booking_state_facts(const struct booking *booking, struct history_row row)
{

	row.tenant_id = booking->tenant_id;
	row.trace_id = trace_id(&booking->trace);
	return (history_facts(&row));
}

/* Return 0, or -1 when memory is short; to be given to free_arrays. */
static int
fill_arrays(struct arrays *a, const struct booking_task *tasks, size_t n)
{
	const struct booking *booking;
	char due[BOOKING_TIME_LEN], reason[512];
	size_t i;

	for (i = 0; i < n; i++) {
		booking = tasks[i].booking;
		a->ids[i] = booking->id;
		a->names[i] = tasks[i].name;
		a->keys[i] = booking->key;
		booking_state_number(&a->dues, i, booking->due);
		booking_state_number(&a->planned, i, booking->planned);
		booking_state_number(&a->read_at, i, booking->read_at);

		due[0] = '\0';
		(void)booking_time(booking->due, 3, due);
		(void)snprintf(reason, sizeof(reason), "due %s%s%s", due,
		    tasks[i].note != NULL ? "; " : "",
		    tasks[i].note != NULL ? tasks[i].note : "");
		phone_number_hide(reason, NULL);
		a->facts[i] = booking_state_facts(booking, (struct history_row){
		    .what = tasks[i].adopted ? "adopted" : "scheduled",
		    .http_status = 200, .ms = tasks[i].ms,
		    .reason = reason });
		if (a->facts[i] == NULL)
			return (-1);
	}
	return (0);
}

static void
free_arrays(struct arrays *a, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(a->facts[i]);
	free(a);
}

/**
 * booking_state_lists(bookings, call, lists, nlists, n):
 * Run ${call}, whose parameters are ${nlists} ${lists} of ${n} texts; DB_LOST
 * when memory is short.
 */
enum db_outcome
booking_state_lists(struct bookings *b, struct bookings_call *call,
    const char *const *const *lists, int nlists, size_t n)
{
	char *texts[BOOKINGS_PARAMS] = { NULL };
	enum db_outcome outcome = DB_LOST;
	int i;

	for (i = 0; i < nlists; i++) {
		texts[i] = sql_array(lists[i], n);
		if ((call->params[i] = texts[i]) == NULL)
			goto out;
	}
	call->nparams = nlists;
	outcome = bookings_run(b, call, 1);

out:
	for (i = 0; i < nlists; i++)
		free(texts[i]);
	return (outcome);
}

/* Mark the tasks whose bookings ${changed} names, in any order. */
static void
mark_changed(struct booking_task *tasks, size_t n, const PGresult *changed)
{
	size_t i;
	int row;

	for (i = 0; i < n; i++) {
		tasks[i].changed = 0;
		for (row = 0; row < PQntuples(changed); row++) {
			if (strcmp(PQgetvalue(changed, row, 0),
			    tasks[i].booking->id) == 0)
				tasks[i].changed = 1;
		}
	}
}

/**
 * booking_scheduled(bookings, tasks, n):
 * Make the pending bookings of up to BOOKING_BATCH ${tasks} scheduled, each
 * for the time that was planned, and release the locks on BOOKING_SCHEDULE of
 * those that were.  One that is to wait beyond its due time is noted in
 * followup_waits.  A task's
 * ${changed} is 0 if its booking is not pending any more or no longer due at
 * that time, or if there are several and somebody else holds a lock on its
 * row; our lock on it is kept.  If one row makes the database refuse, none is
 * changed.
 */
enum db_outcome
booking_scheduled(struct bookings *b, struct booking_task *tasks, size_t n)
{
	struct bookings_call call = {
	    .sql = n > 1 ? &scheduled_sql : &scheduled_one_sql,
	    .as = scheduled_one_sql.name,
	    .booking = n == 1 ? tasks[0].booking->id : NULL };
	enum db_outcome outcome = DB_LOST;
	struct arrays *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return (DB_LOST);
	if (fill_arrays(a, tasks, n) == 0)
		outcome = booking_state_lists(b, &call,
		    (const char *const *const []) { a->ids, a->names,
		    a->dues.values, a->keys, a->planned.values,
		    a->read_at.values, (const char *const *)a->facts }, 7, n);
	if (outcome == DB_OK) {
		mark_changed(tasks, n, call.result);
		PQclear(call.result);
	}
	free_arrays(a, n);
	return (outcome);
}

/*
 * Return what is kept of ${error}, to be freed, or NULL when memory is short.
 * What the database or the voice agent said may quote a phone number.
 */
static char *
kept_error(const char *error)
{
	char *kept = strdup(error);

	if (kept != NULL)
		phone_number_hide(kept, NULL);
	return (kept);
}

/*
 * Run ${call}, whose parameter ${place} becomes what history says of
 * ${booking}; DB_LOST when memory is short.
 */
static enum db_outcome
run_told(struct bookings *b, struct bookings_call *call, int place,
    const struct booking *booking, struct history_row row)
{
	char *told = booking_state_facts(booking, row);
	enum db_outcome outcome = DB_LOST;

	if ((call->params[place] = told) != NULL)
		outcome = bookings_run(b, call, 1);
	free(told);
	return (outcome);
}

/**
 * booking_state_told(bookings, call, place, booking, row, changed):
 * Run ${call}, whose parameter ${place} (from 0) becomes what history says of
 * ${booking}, ${row}, and whose one value says how many rows it changed:
 * ${changed}, which may be NULL.  Where that is IGNORED the outcome is that of
 * a refusal; DB_LOST when memory is short.
 */
enum db_outcome
booking_state_told(struct bookings *b, struct bookings_call *call, int place,
    const struct booking *booking, struct history_row row, int *changed)
{
	enum db_outcome outcome;
	int n;

	if ((outcome = run_told(b, call, place, booking, row)) != DB_OK)
		return (outcome);
	n = (int)db_int(call->result, 0, 0);
	PQclear(call->result);
	if (n < 0)
		return (bookings_ignored(b));
	if (changed != NULL)
		*changed = n;
	return (DB_OK);
}

/* The text on the row is for people; what counts is followup_attempts. */
static const struct bookings_sql begun_sql = { "begun",
    "WITH before AS (SELECT b.id FROM {T} b "
    "WHERE b.id = $1::uuid "
    "AND " BOOKINGS_STATUS " IN ('pending', 'scheduled') "
    "AND " DUE " = $2::bigint AND " BOOKINGS_IS_WANTED " "
    "AND (SELECT g.verdict FROM {S}.followup_gate(b.*) AS g) = 'call' "
    "FOR UPDATE OF b), "
    "changed AS (UPDATE {T} b "
    "SET execution_attempts = coalesce(b.execution_attempts, 0) + 1, "
    "last_execution_error = " FIT("'an attempt to start the call was begun, "
    "and its outcome is not known'", "last_execution_error") " "
    "FROM before WHERE " BOOKINGS_ONE_OF("b.id", "before.id")
    " RETURNING b.id), "
    "begun AS (INSERT INTO {S}.followup_attempts (booking_id) "
    "SELECT changed.id FROM changed "
    "ON CONFLICT (booking_id) DO UPDATE SET begun_at = now()), "
    TELL("$3", "changed") " "
    "SELECT CASE WHEN changed.id IS NOT NULL "
    "THEN {S}.followup_call_request(changed.id)::text END, "
    "changed.id IS NULL FROM before LEFT JOIN changed ON true" };

/**
 * booking_begun(bookings, booking, body, changed):
 * Count an attempt at the call of ${booking}, note that it has begun, and set
 * ${body} to the text of the call's body as followup_call_request makes it,
 * which the caller frees, or to NULL if it makes none.  ${changed} is 0 if
 * the booking is not to be called any more, not at this time, or not now by
 * what the gate says.  On DB_OK our lock on the call is still held.
 */
enum db_outcome
booking_begun(struct bookings *b, const struct booking *booking, char **body,
    int *changed)
{
	char due[BOOKING_NUMBER_LEN];
	struct bookings_call call = { .sql = &begun_sql, .nparams = 3,
	    .params = { booking->id, due }, .booking = booking->id };
	enum db_outcome outcome;

	*body = NULL;
	*changed = 0;
	(void)snprintf(due, sizeof(due), "%" PRId64, booking->due);
	outcome = run_told(b, &call, 2, booking,
	    (struct history_row){ .what = "attempt" });
	if (outcome != DB_OK)
		return (outcome);
	*changed = PQntuples(call.result) > 0;
	if (*changed && *PQgetvalue(call.result, 0, 1) == 't') {
		*changed = 0;
		PQclear(call.result);
		return (bookings_ignored(b));
	}
	if (*changed)
		outcome = bookings_holds(b);
	if (outcome == DB_OK && *changed &&
	    !PQgetisnull(call.result, 0, 0) &&
	    (*body = strdup(PQgetvalue(call.result, 0, 0))) == NULL)
		outcome = DB_LOST;
	PQclear(call.result);
	return (outcome);
}

/*
 * Reading the row first, and updating from what was read, keeps the two in
 * order within the statement.
 *
 * The task that made the call has the id $2; its full name is that of any
 * other task of the queue up to the id.  A task that the row was given
 * meanwhile, for another time, must not be left in the queue; it would find
 * the row executed.
 */
static const struct bookings_sql executed_sql = { "executed",
    "WITH before AS (SELECT b.id, b.task_status, b.task_name AS old, "
    "coalesce(pg_catalog.regexp_replace(b.task_name, '[^/]*$', $2), "
    "b.task_name) AS name FROM {T} b WHERE b.id = $1::uuid FOR UPDATE), "
    "changed AS (UPDATE {T} b SET task_status = 'executed', "
    "executed_at = now(), last_execution_error = NULL, "
    "task_name = before.name, task_scheduled_at = coalesce(CASE "
    "WHEN before.old = before.name THEN b.task_scheduled_at END, "
    TIME("$3::bigint") "), "
    "idempotency_key = " FIT("$4", "idempotency_key") " "
    "FROM before WHERE " BOOKINGS_ONE_OF("b.id", "before.id") " "
    "AND " BOOKINGS_STATUS " <> 'executed' RETURNING b.id), "
    "obsolete AS (INSERT INTO {S}.followup_obsolete_tasks "
    "(task_name, booking_id) SELECT before.old, before.id "
    "FROM before WHERE before.old <> before.name ON CONFLICT DO NOTHING), "
    "ignored AS (SELECT FROM before b WHERE "
    BOOKINGS_STATUS " <> 'executed' AND NOT EXISTS (SELECT FROM changed)), "
    "forgotten AS (DELETE FROM {S}.followup_failures f "
    "WHERE f.booking_id = $1::uuid AND NOT EXISTS (SELECT FROM ignored)), "
    "waited AS (DELETE FROM {S}.followup_waits w "
    "WHERE w.booking_id = $1::uuid), "
    "ended AS (DELETE FROM {S}.followup_attempts a "
    "WHERE a.booking_id = $1::uuid AND NOT EXISTS (SELECT FROM ignored)), "
    TELL("$5", "changed") " "
    "SELECT CASE WHEN EXISTS (SELECT FROM ignored) THEN " IGNORED " "
    "ELSE (SELECT count(*) FROM changed) END" };

/**
 * booking_executed(bookings, booking, task_id, answer):
 * Record that the call of ${booking} was started, with that ${answer}, by the
 * task with the short name ${task_id} (NULL if that is not known).  The booking
 * becomes executed, whatever happened to the row meanwhile; a task made
 * meanwhile for another time is obsolete.
 */
enum db_outcome
booking_executed(struct bookings *b, const struct booking *booking,
    const char *task_id, const struct booking_answer *answer)
{
	char due[BOOKING_NUMBER_LEN];
	struct bookings_call call = { .sql = &executed_sql, .nparams = 5,
	    .params = { booking->id, task_id, due, booking->key },
	    .booking = booking->id };

	(void)snprintf(due, sizeof(due), "%" PRId64, booking->due);
	return (booking_state_told(b, &call, 4, booking, (struct history_row){
	    .what = "executed", .http_status = answer->http_status,
	    .ms = answer->ms }, NULL));
}

static const struct bookings_sql called_sql = { "called",
    "WITH noted AS (INSERT INTO {S}.followup_failures AS f (booking_id, "
    "stage, tenant_id, attempts, error, dead_at) "
    "VALUES ($1::uuid, 'execute', $2, 1, $3, now()) "
    "ON CONFLICT (booking_id, stage) DO UPDATE SET last_failed_at = now(), "
    "http_status = NULL, error = excluded.error, dead_at = now()), "
    "called AS (INSERT INTO {S}.followup_attempts AS a (booking_id, "
    "called_at) VALUES ($1::uuid, now()) ON CONFLICT (booking_id) "
    "DO UPDATE SET called_at = coalesce(a.called_at, now()) RETURNING 1), "
    TELL("$4", "called") " "
    "SELECT count(*) FROM called" };

/**
 * booking_called(bookings, booking, error):
 * The call of ${booking} was started, and the row refuses to take that for the
 * reason ${error}: remember in our own tables that nobody is to be called
 * again, and leave a dead letter.
 */
enum db_outcome
booking_called(struct bookings *b, const struct booking *booking,
    const char *error)
{
	char *kept = kept_error(error);
	struct bookings_call call = { .sql = &called_sql, .nparams = 4,
	    .params = { booking->id, booking->tenant_id, kept } };
	enum db_outcome outcome = DB_LOST;

	if (kept != NULL)
		outcome = booking_state_told(b, &call, 3, booking,
		    (struct history_row){ .what = "called", .reason = kept },
		    NULL);
	free(kept);
	return (outcome);
}

static const struct bookings_sql name_executed_sql = { "name executed",
    "WITH changed AS (UPDATE {T} b SET task_name = $2 "
    "WHERE b.id = $1::uuid AND " BOOKINGS_STATUS " = 'executed' "
    "AND b.task_name IS NULL RETURNING b.id) "
    "SELECT count(*) FROM changed" };

/**
 * booking_name_executed(bookings, id, task_name):
 * Write the task's name to a row that was executed before it had one.
 */
enum db_outcome
booking_name_executed(struct bookings *b, const char *id,
    const char *task_name)
{
	struct bookings_call call = { .sql = &name_executed_sql, .nparams = 2,
	    .params = { id, task_name }, .booking = id };

	return (bookings_changed(b, &call, NULL));
}

/* Remember a failure $2..$6 of booking $1; attempts are counted here. */
#define UPSERT_FAILURE(dead, from)					\
	"INSERT INTO {S}.followup_failures AS f (booking_id, stage, "	\
	"tenant_id, attempts, next_attempt_at, http_status, error, dead_at) " \
	"SELECT $1::uuid, $2, $3, 1, now() + $4::float8 * interval '1 s', " \
	"nullif($5::int, 0), $6, " dead " " from " "			\
	"ON CONFLICT (booking_id, stage) "				\
	"DO UPDATE SET attempts = f.attempts + 1, last_failed_at = now(), " \
	"next_attempt_at = excluded.next_attempt_at, "			\
	"http_status = excluded.http_status, error = excluded.error, "	\
	"dead_at = excluded.dead_at RETURNING booking_id"

/* An attempt at the call that failed, and is known to have, has ended. */
#define END_ATTEMPT(more)						\
	"ended AS (DELETE FROM {S}.followup_attempts a "		\
	"WHERE a.booking_id = $1::uuid AND $2::text = 'execute'" more ")"

/*
 * A failure or refusal that the row need not take.  $4 is the time to the next
 * attempt, or NULL to have it grow with their number; with $7 attempts it is
 * dead; $8 says that an attempt at the call has ended.  Where one has not, a
 * person who reads of the dead letter has to ask first.
 */
#define IS_UNKNOWN	"EXISTS (SELECT FROM begun)"
#define TOLD_UNKNOWN							\
    "CASE WHEN " IS_UNKNOWN " THEN 'an attempt was begun and its "	\
    "outcome is not known: ask the voice agent whether the call was "	\
    "made, then retry or cancel (' || $6 || ')' ELSE $6 END"
static const struct bookings_sql refused_sql = { "refused",
    "WITH begun AS (SELECT FROM {S}.followup_attempts a "
    "WHERE a.booking_id = $1::uuid AND a.called_at IS NULL "
    "AND NOT $8::boolean), "
    "noted AS (INSERT INTO {S}.followup_failures AS f (booking_id, "
    "stage, tenant_id, attempts, next_attempt_at, http_status, error, "
    "dead_at) VALUES ($1::uuid, $2::text, $3, 1, now() "
    "+ coalesce($4::float8, 1) * interval '1 s', nullif($5::int, 0), "
    "CASE WHEN $7::int > 1 THEN $6::text ELSE " TOLD_UNKNOWN " END, "
    "CASE WHEN $7::int <= 1 THEN now() END) "
    "ON CONFLICT (booking_id, stage) "
    "DO UPDATE SET attempts = f.attempts + 1, last_failed_at = now(), "
    "next_attempt_at = now() + coalesce($4::float8, "
    "least(1 << least(f.attempts, 9), 300)::float8) * interval '1 s', "
    "http_status = excluded.http_status, "
    "error = CASE WHEN f.attempts + 1 < $7::int THEN $6 ELSE "
    TOLD_UNKNOWN " END, "
    "dead_at = CASE WHEN f.attempts + 1 >= $7::int THEN now() END "
    "RETURNING attempts, dead_at, next_attempt_at), "
    "ended AS (DELETE FROM {S}.followup_attempts a "
    "WHERE a.booking_id = $1::uuid AND $8::boolean), "
    TELL_WHAT("CASE WHEN noted.dead_at IS NOT NULL THEN 'dead' END", "$9",
    "noted") " "
    "SELECT n.attempts::bigint, n.dead_at IS NOT NULL, "
    "extract(epoch FROM n.next_attempt_at - now())::float8, " IS_UNKNOWN " "
    "FROM noted n" };

/* The row fails without a text; that of the dead letter counts. */
static const struct bookings_sql mark_failed_sql = { "mark failed",
    "WITH changed AS (UPDATE {T} b SET task_status = 'failed' "
    "WHERE b.id = $1::uuid "
    "AND " BOOKINGS_STATUS " IN ('pending', 'scheduled') RETURNING 1) "
    "SELECT count(*) FROM changed" };

/* What history says of ${failure}, which is ${error} and may be the last. */
static struct history_row
failure_row(const struct booking_failure *failure, const char *error,
    int is_last)
{

	return ((struct history_row){ .what = is_last ? "dead" :
	    failure->unknown ? "unknown" : "failed",
	    .http_status = failure->http_status, .ms = failure->ms,
	    .reason = error });
}

/* Keep ${failure} in our own table; ${refusal} is set as by booking_refused. */
static enum db_outcome
keep_failure(struct bookings *b, const struct booking *booking,
    const struct booking_failure *failure, int ended,
    struct booking_refusal *refusal)
{
	char retry_in[BOOKING_NUMBER_LEN], http_status[BOOKING_NUMBER_LEN];
	char max[BOOKING_NUMBER_LEN];
	char *error = kept_error(failure->error);
	struct bookings_call call = { .sql = &refused_sql, .nparams = 9,
	    .params = { booking->id, booking_stage_name(failure->stage),
	    booking->tenant_id, failure->retry_in >= 0 ? retry_in : NULL,
	    http_status, error, max, ended ? "true" : "false" } };
	struct bookings_call mark = { .sql = &mark_failed_sql, .nparams = 1,
	    .params = { booking->id }, .booking = booking->id };
	enum db_outcome outcome = DB_LOST;

	(void)snprintf(retry_in, sizeof(retry_in), "%.3f", failure->retry_in);
	(void)snprintf(http_status, sizeof(http_status), "%ld",
	    failure->http_status);
	(void)snprintf(max, sizeof(max), "%d", refusal->max_attempts);
	if (error != NULL)
		outcome = run_told(b, &call, 8, booking,
		    failure_row(failure, error, 0));
	free(error);
	if (outcome != DB_OK)
		return (outcome);
	refusal->attempts = (int)db_int(call.result, 0, 0);
	refusal->given_up = *PQgetvalue(call.result, 0, 1) == 't';
	refusal->retry_in = strtod(PQgetvalue(call.result, 0, 2), NULL);
	refusal->unknown = *PQgetvalue(call.result, 0, 3) == 't';
	PQclear(call.result);

	/* If the row refuses this too, the dead letter stands alone. */
	if (refusal->given_up && bookings_changed(b, &mark, NULL) == DB_LOST)
		outcome = DB_LOST;
	return (outcome);
}

/**
 * booking_refused(bookings, booking, refusal):
 * The database refused a statement because of the row of ${booking}, which
 * need not have been read: count that as an attempt, in our own table, and
 * postpone the next one.  With the last attempt it becomes a dead letter, which
 * says if the outcome of an attempt at the call is unknown, and the row failed
 * if it lets us.
 */
enum db_outcome
booking_refused(struct bookings *b, const struct booking *booking,
    struct booking_refusal *refusal)
{
	struct booking_failure failure = { .stage = refusal->stage,
	    .error = refusal->error, .retry_in = -1 };

	return (keep_failure(b, booking, &failure, 0, refusal));
}

/*
 * Write a failure by one of the two statements that share ${nparams} of their
 * parameters; if the row refuses, then without it.  That an attempt at the call
 * has ended is written without it, too, while somebody has locked the row: it
 * would be taken for one that nobody knows of.
 */
static enum db_outcome
write_failure(struct bookings *b, const struct bookings_sql *sql, int nparams,
    const struct booking *booking, const struct booking_failure *failure,
    int max_attempts, int *changed)
{
	char retry_in[BOOKING_NUMBER_LEN], http_status[BOOKING_NUMBER_LEN];
	char due[BOOKING_NUMBER_LEN];
	char *error = kept_error(failure->error);
	struct bookings_call call = { .sql = sql, .nparams = nparams,
	    .params = { booking->id, booking_stage_name(failure->stage),
	    booking->tenant_id, retry_in, http_status, error,
	    booking->due != BOOKING_NO_TIME ? due : NULL, NULL,
	    failure->unknown ? "t" : "f" }, .booking = booking->id };
	struct booking_refusal refusal = { .max_attempts = max_attempts };
	enum db_outcome outcome;

	if (error == NULL)
		return (DB_LOST);
	(void)snprintf(retry_in, sizeof(retry_in), "%.3f", failure->retry_in);
	(void)snprintf(http_status, sizeof(http_status), "%ld",
	    failure->http_status);
	(void)snprintf(due, sizeof(due), "%" PRId64, booking->due);
	outcome = booking_state_told(b, &call, 7, booking,
	    failure_row(failure, error, max_attempts == 1), changed);
	if (outcome != DB_OK && outcome != DB_LOST && (outcome != DB_LOCKED ||
	    (failure->stage == BOOKING_EXECUTE && max_attempts > 1))) {
		if (changed != NULL)
			*changed = 1;
		outcome = keep_failure(b, booking, failure,
		    failure->stage == BOOKING_EXECUTE &&
		    (max_attempts == 1 || !failure->unknown), &refusal);
	}
	free(error);
	return (outcome);
}

/*
 * A task may fire before followup-schedule knows that it made it.  What that
 * one writes on the row then must not stand over the call's own error.
 */
static const struct bookings_sql failed_once_sql = { "failed once",
    "WITH noted AS (" UPSERT_FAILURE("NULL::timestamptz",
    "FROM {T} b WHERE b.id = $1::uuid AND " DUE " = $7::bigint") "), "
    END_ATTEMPT(" AND NOT $9::boolean") ", "
    TELL("$8", "noted") ", "
    "changed AS (UPDATE {T} b SET last_execution_error = "
    FIT("$6", "last_execution_error") " "
    "WHERE b.id = $1::uuid "
    "AND " BOOKINGS_STATUS " IN ('pending', 'scheduled') "
    "AND ($2::text = 'execute' OR coalesce(b.execution_attempts, 0) = 0) "
    "AND " DUE " = $7::bigint RETURNING b.id) "
    "SELECT count(*) FROM changed" };

/**
 * booking_failed_once(bookings, booking, failure):
 * An attempt failed and another one may follow: remember it, without the row
 * if that refuses, or is locked while an attempt at the call failed.  Such an
 * attempt has ended thereby, unless its outcome is unknown.
 */
enum db_outcome
booking_failed_once(struct bookings *b, const struct booking *booking,
    const struct booking_failure *failure)
{

	return (write_failure(b, &failed_once_sql, 9, booking, failure,
	    INT_MAX, NULL));
}

/* No failure is on record, since those count. */
static const struct bookings_sql spared_sql = { "spared",
    "WITH ended AS (DELETE FROM {S}.followup_attempts a "
    "WHERE a.booking_id = $1::uuid AND NOT $4::boolean), "
    "changed AS (UPDATE {T} b SET last_execution_error = "
    FIT("$2", "last_execution_error") ", "
    "execution_attempts = greatest(b.execution_attempts - 1, 0) "
    "WHERE b.id = $1::uuid "
    "AND " BOOKINGS_STATUS " IN ('pending', 'scheduled') "
    "AND " DUE " = $3::bigint RETURNING b.id), "
    TELL("$5", "changed") " "
    "SELECT count(*) FROM changed" };

/**
 * booking_spared(bookings, booking, failure):
 * An attempt at the call failed through no fault of its booking: what
 * booking_begun counted is taken back.  It has ended thereby, unless its
 * outcome is unknown; on DB_LOCKED, too, but then it counts.
 */
enum db_outcome
booking_spared(struct bookings *b, const struct booking *booking,
    const struct booking_failure *failure)
{
	char due[BOOKING_NUMBER_LEN], *error = kept_error(failure->error);
	struct bookings_call call = { .sql = &spared_sql, .nparams = 5,
	    .params = { booking->id, error, due,
	    failure->unknown ? "t" : "f" }, .booking = booking->id };
	struct booking_refusal refusal = { .max_attempts = INT_MAX };
	enum db_outcome outcome = DB_LOST;

	(void)snprintf(due, sizeof(due), "%" PRId64, booking->due);
	if (error != NULL)
		outcome = booking_state_told(b, &call, 4, booking,
		    (struct history_row){ .what = "spared",
		    .http_status = failure->http_status, .ms = failure->ms,
		    .reason = error }, NULL);
	if (outcome == DB_LOCKED)
		(void)keep_failure(b, booking, failure, !failure->unknown,
		    &refusal);
	free(error);
	return (outcome);
}

static const struct bookings_sql cleared_sql = { "cleared",
    "WITH fewer AS (UPDATE {S}.followup_failures f "
    "SET attempts = f.attempts - $2::int WHERE f.booking_id = $1::uuid "
    "AND f.stage = 'execute' AND f.dead_at IS NULL "
    "AND f.attempts > $2::int), "
    "gone AS (DELETE FROM {S}.followup_failures f "
    "WHERE f.booking_id = $1::uuid AND f.stage = 'execute' "
    "AND f.dead_at IS NULL AND f.attempts <= $2::int), "
    "changed AS (UPDATE {T} b "
    "SET execution_attempts = greatest(b.execution_attempts - $2::int, 0) "
    "WHERE b.id = $1::uuid "
    "AND " BOOKINGS_STATUS " IN ('pending', 'scheduled') RETURNING b.id) "
    "SELECT count(*) FROM changed" };

/**
 * booking_cleared(bookings, id, n):
 * Stop counting ${n} failed attempts at the call of the booking ${id}, because
 * they turned out not to be its own fault.
 */
enum db_outcome
booking_cleared(struct bookings *b, const char *id, int n)
{
	char number[BOOKING_NUMBER_LEN];
	struct bookings_call call = { .sql = &cleared_sql, .nparams = 2,
	    .params = { id, number }, .booking = id };

	(void)snprintf(number, sizeof(number), "%d", n);
	return (bookings_changed(b, &call, NULL));
}

/* A due time that is not determinable is compared as such. */
static const struct bookings_sql failed_sql = { "failed",
    "WITH before AS (SELECT b.id FROM {T} b WHERE b.id = $1::uuid "
    "AND " BOOKINGS_STATUS " IN ('pending', 'scheduled') "
    "AND " DUE " IS NOT DISTINCT FROM $7::bigint FOR UPDATE), "
    "changed AS (UPDATE {T} b SET task_status = 'failed', "
    "last_execution_error = " FIT("$6", "last_execution_error") " "
    "FROM before WHERE " BOOKINGS_ONE_OF("b.id", "before.id")
    " RETURNING b.id), "
    "noted AS (" UPSERT_FAILURE("now()", "FROM changed WHERE true") "), "
    END_ATTEMPT("") ", " TELL("$8", "changed") " "
    "SELECT CASE WHEN EXISTS (SELECT FROM before) "
    "AND NOT EXISTS (SELECT FROM changed) THEN " IGNORED " "
    "ELSE (SELECT count(*) FROM changed) END" };

/**
 * booking_failed(bookings, booking, failure, changed):
 * Give up: the booking becomes failed and a dead letter says why, unless it
 * changed meanwhile (${changed} is 0).  If the row refuses, the dead letter
 * stands alone.
 */
enum db_outcome
booking_failed(struct bookings *b, const struct booking *booking,
    const struct booking_failure *failure, int *changed)
{

	return (write_failure(b, &failed_sql, 8, booking, failure, 1,
	    changed));
}

/*
 * Run ${sql}, whose parameters are the id, the name of the task and what
 * history says of ${booking}.
 */
static enum db_outcome
change(struct bookings *b, const struct bookings_sql *sql,
    const struct booking *booking, struct history_row row, int *changed)
{
	struct bookings_call call = { .sql = sql, .nparams = 3,
	    .params = { booking->id, booking->task_name },
	    .booking = booking->id };

	return (booking_state_told(b, &call, 2, booking, row, changed));
}

static const struct bookings_sql unschedule_sql = { "unschedule",
    "WITH changed AS (UPDATE {T} b SET task_status = 'pending', "
    "task_name = NULL, task_scheduled_at = NULL, "
    "idempotency_key = NULL, execution_attempts = 0, "
    "last_execution_error = NULL "
    "WHERE b.id = $1::uuid AND " BOOKINGS_STATUS " = 'scheduled' "
    "AND b.task_name = $2 RETURNING b.id), "
    "obsolete AS (INSERT INTO {S}.followup_obsolete_tasks "
    "(task_name, booking_id) SELECT $2, changed.id FROM changed "
    "ON CONFLICT DO NOTHING), "
    "forgotten AS (DELETE FROM {S}.followup_failures f USING changed "
    "WHERE " BOOKINGS_ONE_OF("f.booking_id", "changed.id") "), "
    "ended AS (DELETE FROM {S}.followup_attempts a USING changed "
    "WHERE " BOOKINGS_ONE_OF("a.booking_id", "changed.id") "), "
    TELL("$3", "changed") " "
    "SELECT count(*) FROM changed" };

/**
 * booking_unschedule(bookings, booking, changed):
 * Put a scheduled ${booking} whose task is for another time back to pending,
 * as if it were new; its task is obsolete.
 */
enum db_outcome
booking_unschedule(struct bookings *b, const struct booking *booking,
    int *changed)
{

	return (change(b, &unschedule_sql, booking,
	    (struct history_row){ .what = "superseded" }, changed));
}

static const struct bookings_sql task_gone_sql = { "task gone",
    "WITH changed AS (UPDATE {T} b SET task_status = 'pending', "
    "task_name = NULL, task_scheduled_at = NULL "
    "WHERE b.id = $1::uuid AND " BOOKINGS_STATUS " = 'scheduled' "
    "AND b.task_name IS NOT DISTINCT FROM $2 RETURNING b.id), "
    TELL("$3", "changed") " "
    "SELECT count(*) FROM changed" };

/**
 * booking_task_gone(bookings, booking, why, changed):
 * Put a scheduled ${booking} back to pending because its task is gone before it
 * was executed (${why} is NULL), or fired in vain because the booking has to
 * wait (${why} says for what).  The attempts at its call still count.
 */
enum db_outcome
booking_task_gone(struct bookings *b, const struct booking *booking,
    const char *why, int *changed)
{
	char *kept = why != NULL ? kept_error(why) : NULL;
	enum db_outcome outcome;

	outcome = change(b, &task_gone_sql, booking, (struct history_row){
	    .what = why != NULL ? "waiting" : "task gone", .reason = kept },
	    changed);
	free(kept);
	return (outcome);
}

/*
 * The sentence tells the row from a copy of the time before, which somebody may
 * save over it.
 */
static const struct bookings_sql cancel_sql = { "cancel",
    "WITH before AS (SELECT b.id, b.task_name FROM {T} b "
    "WHERE b.id = $1::uuid FOR UPDATE), "
    "changed AS (UPDATE {T} b SET task_status = 'cancelled', "
    "task_name = NULL, task_scheduled_at = NULL, "
    "last_execution_error = " FIT("'cancelled at ' || pg_catalog.to_char("
    "now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
    "last_execution_error") " "
    "FROM before WHERE " BOOKINGS_ONE_OF("b.id", "before.id") " "
    "AND " BOOKINGS_STATUS " <> 'executed' RETURNING b.id), "
    "obsolete AS (INSERT INTO {S}.followup_obsolete_tasks "
    "(task_name, booking_id) SELECT before.task_name, before.id "
    "FROM before JOIN changed USING (id) "
    "WHERE before.task_name IS NOT NULL ON CONFLICT DO NOTHING), "
    "forgotten AS (DELETE FROM {S}.followup_failures f USING changed "
    "WHERE " BOOKINGS_ONE_OF("f.booking_id", "changed.id") "), "
    "act AS (INSERT INTO {S}.followup_acts (by, what) "
    "SELECT $3::text, 'cancelled booking ' || c.id FROM changed c "
    "WHERE $3::text IS NOT NULL), "
    TELL("$2", "changed") " "
    "SELECT count(*) FROM changed" };

/**
 * booking_cancel(bookings, booking, by, changed):
 * Make ${booking} cancelled, because ${by} (or NULL) asks for it, unless it is
 * executed (${changed} is 0).  Its
 * task becomes obsolete.  An attempt that was begun and has not ended cannot
 * be stopped: it stays noted, and if the call is started the booking becomes
 * executed after all.
 */
enum db_outcome
booking_cancel(struct bookings *b, const struct booking *booking,
    const char *by, int *changed)
{
	struct bookings_call call = { .sql = &cancel_sql, .nparams = 3,
	    .params = { booking->id, NULL, by }, .booking = booking->id };

	return (booking_state_told(b, &call, 1, booking, (struct history_row){
	    .what = "cancelled", .by = by }, changed));
}

static const struct bookings_sql retry_sql = { "retry",
    "SELECT CASE WHEN {S}.followup_retry($1::uuid, $2::boolean, $3) "
    "THEN 1 ELSE 0 END" };

/**
 * booking_retry(bookings, id, late, by, changed):
 * Put a failed booking back to pending, and keep its failures as retried; or
 * make it executed, if booking_called was told of it.  With ${late} it is
 * called however late it is.  ${by} asks for it (NULL: the session's role).
 */
enum db_outcome
booking_retry(struct bookings *b, const char *id, int late, const char *by,
    int *changed)
{
	struct bookings_call call = { .sql = &retry_sql, .nparams = 3,
	    .params = { id, late ? "t" : "f", by }, .booking = id };

	return (bookings_changed(b, &call, changed));
}

static const struct bookings_sql obsolete_deleted_sql = { "obsolete deleted",
    "WITH changed AS (DELETE FROM {S}.followup_obsolete_tasks o "
    "WHERE o.task_name = $1 RETURNING o.booking_id), "
    "told AS (" HISTORY_INSERT(HISTORY_AS_TOLD, "changed.booking_id", "$2",
    "changed") ") SELECT count(*) FROM changed" };

/**
 * booking_obsolete_deleted(bookings, task_name, booking, how):
 * Forget an obsolete task of ${booking}, which is gone or is left alone; ${how}
 * says which, for the history.
 */
enum db_outcome
booking_obsolete_deleted(struct bookings *b, const char *task_name,
    const struct booking *booking, const char *how)
{
	struct bookings_call call = { .sql = &obsolete_deleted_sql,
	    .nparams = 2, .params = { task_name } };

	return (booking_state_told(b, &call, 1, booking, (struct history_row){
	    .what = "task deleted", .reason = how }, NULL));
}

static const struct bookings_sql obsolete_later_sql = { "obsolete later",
    "WITH changed AS (UPDATE {S}.followup_obsolete_tasks o "
    "SET attempts = o.attempts + 1, "
    "next_attempt_at = now() + $2::float8 * interval '1 s' "
    "WHERE o.booking_id = $1::uuid RETURNING 1) "
    "SELECT count(*) FROM changed" };

/**
 * booking_obsolete_later(bookings, id, seconds):
 * Obsolete tasks of booking ${id} could not be deleted now: try again in
 * ${seconds}.
 */
enum db_outcome
booking_obsolete_later(struct bookings *b, const char *id, double seconds)
{
	char text[BOOKING_NUMBER_LEN];
	struct bookings_call call = { .sql = &obsolete_later_sql,
	    .nparams = 2, .params = { id, text } };

	(void)snprintf(text, sizeof(text), "%.3f", seconds);
	return (bookings_changed(b, &call, NULL));
}

const struct bookings_sql *const booking_state_schedule[] = { &scheduled_sql,
    &scheduled_one_sql, &failed_once_sql, &obsolete_deleted_sql, NULL };
const struct bookings_sql *const booking_state_execute[] = { &begun_sql,
    &executed_sql, &failed_once_sql, &spared_sql, &cleared_sql, &failed_sql,
    NULL };
const struct bookings_sql *const booking_state_statements[] = { &scheduled_sql,
    &scheduled_one_sql, &begun_sql, &executed_sql, &name_executed_sql,
    &failed_once_sql, &spared_sql, &cleared_sql, &failed_sql, &unschedule_sql,
    &task_gone_sql, &cancel_sql, &retry_sql, &obsolete_deleted_sql,
    &obsolete_later_sql, &called_sql, &refused_sql, &mark_failed_sql, NULL };
