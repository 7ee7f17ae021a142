#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "booking_sql.h"
#include "config.h"
#include "log.h"

#include "booking.h"

struct bookings {
	struct db *db;
	const char *schema;		/* as configured */
	char *quoted_schema;
	char *quoted_table;		/* with its schema */
	char names[SQL_COUNT][8];
	struct db_statement statements[SQL_COUNT];
};

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

/* Return ${name} as a quoted SQL identifier, to be freed. */
static char *
quote_identifier(const char *name)
{
	char *quoted, *p;

	if ((p = quoted = malloc(2 * strlen(name) + 3)) == NULL)
		return (NULL);
	*p++ = '"';
	for (; *name != '\0'; name++) {
		if (*name == '"')
			*p++ = '"';
		*p++ = *name;
	}
	*p++ = '"';
	*p = '\0';
	return (quoted);
}

/*
 * Return ${sql} with the quoted names in place of {S} and {T}, and the
 * horizon in place of {H}; to be freed.
 */
static char *
expand(const char *sql, const char *schema, const char *table)
{
	char horizon[48], *expanded = NULL;
	const char *brace, *insert;
	size_t len;
	FILE *f;

	(void)snprintf(horizon, sizeof(horizon), "interval '%d s'",
	    BOOKING_HORIZON);
	if ((f = open_memstream(&expanded, &len)) == NULL)
		return (NULL);
	while ((brace = strchr(sql, '{')) != NULL) {
		insert = brace[1] == 'S' ? schema :
		    brace[1] == 'T' ? table : horizon;
		(void)fprintf(f, "%.*s%s", (int)(brace - sql), sql, insert);
		sql = brace + 3;
	}
	(void)fprintf(f, "%s", sql);
	if (fclose(f) != 0) {
		free(expanded);
		return (NULL);
	}
	return (expanded);
}

/* Set the quoted names of ${conf}; 0, or -1 when memory is short. */
static int
quote_names(const struct config *conf, char **schema, char **table)
{
	char *name = NULL;
	int rc = -1;

	*table = NULL;
	if ((*schema = quote_identifier(conf->schema)) != NULL &&
	    (name = quote_identifier(conf->table)) != NULL &&
	    asprintf(table, "%s.%s", *schema, name) >= 0)
		rc = 0;
	else
		*table = NULL;
	free(name);
	return (rc);
}

/**
 * bookings_new(conf, db):
 * Return a handle on the tables that ${conf} names, over ${db}; both must
 * outlive it.  NULL when memory is short.
 */
struct bookings *
bookings_new(const struct config *conf, struct db *db)
{
	struct bookings *b;
	size_t i;

	if ((b = calloc(1, sizeof(*b))) == NULL)
		return (NULL);
	b->db = db;
	b->schema = conf->schema;
	if (quote_names(conf, &b->quoted_schema, &b->quoted_table) != 0)
		goto err;
	for (i = 0; i < SQL_COUNT; i++) {
		(void)snprintf(b->names[i], sizeof(b->names[i]), "s%zu", i);
		b->statements[i].name = b->names[i];
		b->statements[i].sql = expand(booking_sql[i],
		    b->quoted_schema, b->quoted_table);
		if (b->statements[i].sql == NULL)
			goto err;
	}
	return (b);

err:
	bookings_free(b);
	return (NULL);
}

/**
 * bookings_free(bookings):
 * Free ${bookings}; NULL is fine.
 */
void
bookings_free(struct bookings *b)
{
	size_t i;

	if (b == NULL)
		return;
	for (i = 0; i < SQL_COUNT; i++)
		free(b->statements[i].sql);
	free(b->quoted_schema);
	free(b->quoted_table);
	free(b);
}

/**
 * bookings_warm_up(bookings):
 * Connect and prepare all statements, so that the first booking need not wait
 * for that.
 */
enum db_outcome
bookings_warm_up(struct bookings *b)
{
	enum db_outcome outcome;
	size_t i;

	outcome = db_ready(b->db);
	for (i = 0; i < SQL_COUNT && outcome == DB_OK; i++)
		outcome = db_prepare(b->db, &b->statements[i]);
	return (outcome);
}

/**
 * bookings_sweep_sql(conf):
 * Return the statement that finds bookings with something to do and no
 * notification to tell, as a string the caller frees.  Parameters: $1 the
 * sweep window in seconds; $2, $3 the place and id where the last page
 * ended, or NULL; $4 the length of a page; $5 the grace in seconds after
 * which scheduled bookings are found too, or NULL.  Columns: id, tenant_id,
 * and the place, which is NULL for rows that do not belong to a page.
 */
char *
bookings_sweep_sql(const struct config *conf)
{
	char *schema, *table, *sql = NULL;

	if (quote_names(conf, &schema, &table) == 0)
		sql = expand(booking_sql[SQL_SWEEP], schema, table);
	free(schema);
	free(table);
	return (sql);
}

/**
 * bookings_leader_sql():
 * Return the statement that tries to become the one listener of schema $1 in
 * this database, as long as the session lasts.  Columns: 't' or 'f'; the
 * process id of the session that is, or NULL.
 */
const char *
bookings_leader_sql(void)
{

	return ("SELECT pg_try_advisory_lock(1181707340, hashtext($1)), "
	    "(SELECT l.pid FROM pg_locks l WHERE l.locktype = 'advisory' "
	    "AND l.classid = 1181707340 AND l.objsubid = 2 AND l.granted "
	    "AND l.objid = (hashtext($1)::bigint & 4294967295)::oid "
	    "AND l.database = (SELECT d.oid FROM pg_database d "
	    "WHERE d.datname = current_database()))");
}

/* Run a statement and log what the database refused. */
static enum db_outcome
query(struct bookings *b, enum booking_sql sql, const char *const *params,
    int nparams, PGresult **result)
{
	enum db_outcome outcome;

	outcome = db_query(b->db, &b->statements[sql], params, nparams,
	    result);
	if (outcome == DB_FAILED)
		log_error(NULL, "the database refused a statement: %s; is "
		    "the trigger installed in this version, and are the "
		    "grants complete? (followup-trigger verify)",
		    db_error(b->db));
	return (outcome);
}

/* Run a statement whose one value says how many rows it changed. */
static enum db_outcome
query_changed(struct bookings *b, enum booking_sql sql,
    const char *const *params, int nparams, int *changed)
{
	enum db_outcome outcome;
	PGresult *result;

	outcome = query(b, sql, params, nparams, &result);
	if (outcome == DB_OK) {
		*changed = atoi(PQgetvalue(result, 0, 0)) > 0;
		PQclear(result);
	}
	return (outcome);
}

/* Run a statement whose result nobody needs. */
static enum db_outcome
query_void(struct bookings *b, enum booking_sql sql,
    const char *const *params, int nparams)
{
	enum db_outcome outcome;
	PGresult *result;

	if ((outcome = query(b, sql, params, nparams, &result)) == DB_OK)
		PQclear(result);
	return (outcome);
}

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

	outcome = query(b, wait ? SQL_LOCK : SQL_TRY_LOCK, params, 2, &result);
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

	if (query_void(b, SQL_UNLOCK, params, 2) != DB_OK)
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
	const char *text = get(row, column);

	return (text != NULL ? atoi(text) : 0);
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
	const char *epoch = get(row, COL_DUE_EPOCH);

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
	booking->due_epoch = epoch != NULL ? strtoll(epoch, NULL, 10) : 0;
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
	if ((outcome = query(b, SQL_READ, params, 1, &row)) != DB_OK)
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

	return (query_changed(b, SQL_SCHEDULED, params, 4, changed));
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

	return (query_changed(b, SQL_EXECUTION_BEGUN, params, 2, changed));
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

	return (query_void(b, SQL_EXECUTED, params, 4));
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

	return (query_void(b, SQL_NAME_EXECUTED, params, 2));
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
	return (query_changed(b, sql, params, 7, changed));
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

	return (query_changed(b, SQL_UNSCHEDULE, params, 2, changed));
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

	outcome = query_changed(b, SQL_CANCEL, params, 1, changed);
	if (outcome == DB_OK && *changed)
		outcome = query_void(b, SQL_FORGET_FAILURES, params, 1);
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

	return (query_changed(b, SQL_RETRY, params, 1, changed));
}

/**
 * bookings_retry(bookings, stage, since, until, retried):
 * Put all failed bookings back to pending whose dead letter is of ${stage}
 * ("schedule", "execute", NULL for any) and died from ${since} to before
 * ${until} (RFC 3339, NULL for no bound); ${retried} is set to their number.
 */
enum db_outcome
bookings_retry(struct bookings *b, const char *stage, const char *since,
    const char *until, long *retried)
{
	const char *params[] = { stage, since, until };
	enum db_outcome outcome;
	PGresult *result;

	outcome = query(b, SQL_RETRY_ALL, params, 3, &result);
	if (outcome == DB_OK) {
		*retried = strtol(PQgetvalue(result, 0, 0), NULL, 10);
		PQclear(result);
	}
	return (outcome);
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

	return (query(b, SQL_OBSOLETE_TASKS, params, 1, tasks));
}

/**
 * booking_obsolete_deleted(bookings, task_name):
 * An obsolete task is gone.
 */
enum db_outcome
booking_obsolete_deleted(struct bookings *b, const char *task_name)
{
	const char *params[] = { task_name };

	return (query_void(b, SQL_OBSOLETE_DELETED, params, 1));
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
	return (query_void(b, SQL_OBSOLETE_LATER, params, 2));
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
	outcome = query(b, SQL_CALL_REQUEST, params, 1, &result);
	if (outcome != DB_OK)
		return (outcome);
	if (PQntuples(result) == 1 && !PQgetisnull(result, 0, 0))
		*body = json_loads(PQgetvalue(result, 0, 0), 0, NULL);
	PQclear(result);
	return (DB_OK);
}

/* One dead letter as the API shows it. */
static json_t *
dead_letter(const PGresult *r, int row)
{
#define TEXT(column)							\
	(PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column))
	const char *status = TEXT(6);

	return (json_pack("{s:s?, s:s?, s:s?, s:i, s:s?, s:s?, s:o, s:s?, "
	    "s:s?}", "bookingId", TEXT(0), "tenantId", TEXT(1),
	    "stage", TEXT(2), "attempts", atoi(PQgetvalue(r, row, 3)),
	    "firstFailedAt", TEXT(4), "lastFailedAt", TEXT(5),
	    "httpStatus", status != NULL ? json_integer(atoi(status)) :
	    json_null(), "error", TEXT(7), "diedAt", TEXT(8)));
#undef TEXT
}

/**
 * bookings_dead_letters(bookings, before_time, before_id, limit, letters):
 * Set ${letters} to an array of up to ${limit} dead letters, newest first,
 * from behind the place that ${before_time} and ${before_id} name (NULL: from
 * the start).  The caller drops the reference.
 */
enum db_outcome
bookings_dead_letters(struct bookings *b, const char *before_time,
    const char *before_id, const char *limit, json_t **letters)
{
	const char *params[] = { before_time, before_id, limit };
	enum db_outcome outcome;
	PGresult *result;
	int row;

	*letters = NULL;
	outcome = query(b, SQL_DEAD_LETTERS, params, 3, &result);
	if (outcome != DB_OK)
		return (outcome);
	*letters = json_array();
	for (row = 0; row < PQntuples(result); row++)
		(void)json_array_append_new(*letters,
		    dead_letter(result, row));
	PQclear(result);
	return (DB_OK);
}

/**
 * bookings_check(bookings, missing, len):
 * Look whether what the programs need is installed and granted: ${missing}
 * (${len} bytes) is empty if so, otherwise it says what is not, and what to
 * do.
 */
enum db_outcome
bookings_check(struct bookings *b, char *missing, size_t len)
{
	const char *params[] = { b->schema, b->quoted_schema,
	    b->quoted_table };
	enum db_outcome outcome;
	PGresult *result;

	*missing = '\0';
	outcome = query(b, SQL_CHECK, params, 3, &result);
	if (outcome == DB_FAILED) {
		/* To be refused already here says as much. */
		(void)snprintf(missing, len, "%s: run followup-trigger "
		    "install --grant-to with the role of the daemons",
		    db_error(b->db));
		return (DB_OK);
	}
	if (outcome != DB_OK)
		return (outcome);
	(void)snprintf(missing, len, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return (DB_OK);
}
