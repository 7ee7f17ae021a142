#include "bookings.h"

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

static const struct bookings_sql retry_sql = { "retry dead letters",
    "SELECT {S}.followup_retry_all($1, "
    "coalesce($2::timestamptz, '-infinity'), "
    "coalesce($3::timestamptz, 'infinity'))" };

/**
 * dead_letters_retry(bookings, stage, since, until, retried):
 * Put all failed bookings back to pending whose dead letter is of ${stage}
 * ("schedule", "execute", NULL for any) and died from ${since} to before
 * ${until} (RFC 3339, NULL for no bound); ${retried} is set to their number.
 */
enum db_outcome
dead_letters_retry(struct bookings *b, const char *stage, const char *since,
    const char *until, int *retried)
{
	struct bookings_call call = { .sql = &retry_sql, .nparams = 3,
	    .params = { stage, since, until } };

	return (bookings_changed(b, &call, retried));
}

const struct bookings_sql *const dead_letters_statements[] = { &list_sql,
    &retry_sql, NULL };
