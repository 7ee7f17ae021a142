#include <stdio.h>
#include <stdlib.h>

#include "bookings.h"
#include "json_text.h"

#include "dead_letters.h"

/* A time as ISO 8601 in UTC, to the millisecond or microsecond. */
#define ISO(time, fraction)						\
	"pg_catalog.to_char(" time " AT TIME ZONE 'UTC', "		\
	"'YYYY-MM-DD\"T\"HH24:MI:SS." fraction "\"Z\"')"

static const struct bookings_sql list_sql = { "dead letters",
    "SELECT d.booking_id, d.tenant_id, d.stage, d.attempts, "
    ISO("d.first_failed_at", "MS") ", " ISO("d.last_failed_at", "MS") ", "
    "d.http_status, d.error, " ISO("d.dead_at", "US") " "
    "FROM {S}.followup_dead_letters d "
    "WHERE $1::timestamptz IS NULL "
    "OR (d.dead_at, d.booking_id) < ($1::timestamptz, $2::uuid) "
    "ORDER BY d.dead_at DESC, d.booking_id DESC LIMIT $3::int" };

/* The text in ${column}, or NULL. */
static const char *
text(const PGresult *r, int row, int column)
{

	return (PQgetisnull(r, row, column) ? NULL :
	    PQgetvalue(r, row, column));
}

/* One dead letter as the API shows it. */
static json_t *
letter(const PGresult *r, int row)
{

	return (json_pack("{s:s?, s:s?, s:s?, s:i, s:s?, s:s?, s:o, s:s?, "
	    "s:s?}", "bookingId", text(r, row, 0),
	    "tenantId", text(r, row, 1), "stage", text(r, row, 2),
	    "attempts", (int)db_int(r, row, 3),
	    "firstFailedAt", text(r, row, 4),
	    "lastFailedAt", text(r, row, 5),
	    "httpStatus", PQgetisnull(r, row, 6) ? json_null() :
	    json_integer(db_int(r, row, 6)), "error", text(r, row, 7),
	    "diedAt", text(r, row, 8)));
}

/**
 * dead_letters_list(bookings, before_time, before_id, limit, letters):
 * Set ${letters} to an array of up to ${limit} (a number as text) dead
 * letters, newest first, from behind the place that ${before_time} (RFC 3339)
 * and ${before_id} name (NULL: from the start).  The caller drops the
 * reference.
 */
enum db_outcome
dead_letters_list(struct bookings *b, const char *before_time,
    const char *before_id, const char *limit, json_t **letters)
{
	struct bookings_call call = { .sql = &list_sql, .nparams = 3,
	    .params = { before_time, before_id, limit } };
	enum db_outcome outcome;
	int row;

	*letters = NULL;
	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	*letters = json_array();
	for (row = 0; row < PQntuples(call.result); row++)
		(void)json_array_append_new(*letters,
		    letter(call.result, row));
	PQclear(call.result);
	return (DB_OK);
}

static const struct bookings_sql causes_sql = { "causes",
    "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object("
    "'stage', c.stage, 'httpStatus', c.http_status, 'error', c.cause, "
    "'count', c.n, 'first', " ISO("c.first_at", "US") ", "
    "'last', " ISO("c.last_at", "US") ", 'bookingId', c.id) "
    "ORDER BY c.n DESC, c.last_at DESC), '[]') "
    "FROM (SELECT d.stage, d.http_status, "
    "{S}.followup_cause(d.error) AS cause, count(*) AS n, "
    "min(d.dead_at) AS first_at, max(d.dead_at) AS last_at, "
    "min(d.booking_id::text) AS id FROM {S}.followup_dead_letters d "
    "GROUP BY 1, 2, 3 ORDER BY 4 DESC, 6 DESC LIMIT 100) AS c" };

/**
 * dead_letters_causes(bookings, causes):
 * Set ${causes} to an array of up to 100 groups of dead letters that died of
 * the same, the largest first.  The caller drops the reference.
 */
enum db_outcome
dead_letters_causes(struct bookings *b, json_t **causes)
{
	struct bookings_call call = { .sql = &causes_sql };
	enum db_outcome outcome;

	*causes = NULL;
	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	*causes = json_loads(PQgetvalue(call.result, 0, 0), 0, NULL);
	PQclear(call.result);
	return (*causes != NULL ? DB_OK : DB_LOST);
}

/* For the rehearsal, "none" is a filter that names no letter. */
#define FILTER								\
    "CASE $1 WHEN 'none' THEN pg_catalog.jsonb_build_object('stage', '') " \
    "ELSE $1::jsonb END"

static const struct bookings_sql group_sql = { "group of dead letters",
    "SELECT EXISTS (SELECT FROM {S}.followup_letters(" FILTER "))::int" };

/**
 * dead_letters_narrow(bookings, filter):
 * Where the "error" of ${filter} is the whole cause of letters that it names,
 * as of a group of dead_letters_causes, have it name those alone, by "cause".
 */
enum db_outcome
dead_letters_narrow(struct bookings *b, json_t *filter)
{
	struct bookings_call call = { .sql = &group_sql, .nparams = 1 };
	enum db_outcome outcome = DB_LOST;
	json_t *group;
	char *dumped;
	int is_group = 0;

	if (json_text(filter, "error") == NULL)
		return (DB_OK);
	group = json_copy(filter);
	(void)json_object_set(group, "cause", json_object_get(group, "error"));
	(void)json_object_del(group, "error");
	if ((dumped = json_dumps(group, JSON_COMPACT)) != NULL) {
		call.params[0] = dumped;
		outcome = bookings_changed(b, &call, &is_group);
	}
	if (is_group) {
		(void)json_object_clear(filter);
		(void)json_object_update(filter, group);
	}
	free(dumped);
	json_decref(group);
	return (outcome);
}

static const struct bookings_sql preview_sql = { "preview of a retry",
    "SELECT matching, call_now, wait, " ISO("wait_until", "MS") ", "
    "too_late, never, looked_at FROM {S}.followup_retry_preview(" FILTER ", "
    "$2::boolean)" };

/**
 * dead_letters_preview(bookings, filter, late, counts):
 * Set ${counts} to an object that says what a retry of the dead letters that
 * ${filter} names would come to now.  The caller drops the reference.
 */
enum db_outcome
dead_letters_preview(struct bookings *b, const char *filter, int late,
    json_t **counts)
{
	struct bookings_call call = { .sql = &preview_sql, .nparams = 2,
	    .params = { filter, late ? "t" : "f" } };
	enum db_outcome outcome;
	json_int_t n, looked_at, known;

	*counts = NULL;
	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	n = db_int(call.result, 0, 0);
	looked_at = db_int(call.result, 0, 6);
	known = db_int(call.result, 0, 1) + db_int(call.result, 0, 2) +
	    db_int(call.result, 0, 4) + db_int(call.result, 0, 5);
	*counts = json_pack("{s:b, s:b, s:I, s:I, s:I, s:s?, s:I, s:I, s:I, "
	    "s:b}",
	    "success", 1, "dryRun", 1, "matching", n,
	    "callNow", (json_int_t)db_int(call.result, 0, 1),
	    "wait", (json_int_t)db_int(call.result, 0, 2),
	    "waitUntil", text(call.result, 0, 3),
	    "tooLate", (json_int_t)db_int(call.result, 0, 4),
	    "never", (json_int_t)db_int(call.result, 0, 5),
	    "notRetried", looked_at > known ? looked_at - known : 0,
	    "more", n > looked_at);
	PQclear(call.result);
	return (DB_OK);
}

/* Letters a statement, so that none holds its locks for long. */
#define STEP	"500"

static const struct bookings_sql retry_sql = { "retry dead letters",
    "SELECT retried, more, " ISO("until", "MS") ", " ISO("last_at", "US") ", "
    "last_id, " ISO("as_of", "US") " FROM {S}.followup_retry_all(" FILTER ", "
    "$2::boolean, $3, $4::int, " STEP ")" };

/**
 * dead_letters_retry(bookings, filter, retry):
 * Retry a step of the dead letters that ${filter}, a JSON object as
 * followup_letters takes it, names; see struct dead_letters_retry.
 */
enum db_outcome
dead_letters_retry(struct bookings *b, const char *filter,
    struct dead_letters_retry *retry)
{
	struct bookings_call call = { .sql = &retry_sql, .nparams = 4,
	    .params = { filter, retry->late ? "t" : "f", retry->by,
	    retry->per_minute } };
	enum db_outcome outcome;

	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	retry->retried += db_int(call.result, 0, 0);
	retry->more = *PQgetvalue(call.result, 0, 1) == 't';
	if (!PQgetisnull(call.result, 0, 2))
		(void)snprintf(retry->until, sizeof(retry->until), "%s",
		    PQgetvalue(call.result, 0, 2));
	(void)snprintf(retry->after, sizeof(retry->after), "%s",
	    PQgetvalue(call.result, 0, 3));
	(void)snprintf(retry->after_id, sizeof(retry->after_id), "%s",
	    PQgetvalue(call.result, 0, 4));
	(void)snprintf(retry->as_of, sizeof(retry->as_of), "%s",
	    PQgetvalue(call.result, 0, 5));
	PQclear(call.result);
	return (DB_OK);
}

const struct bookings_sql *const dead_letters_statements[] = { &list_sql,
    &causes_sql, &group_sql, &preview_sql, &retry_sql, NULL };
