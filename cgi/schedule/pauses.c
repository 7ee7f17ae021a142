#include <string.h>

#include "bookings.h"

#include "pauses.h"

static const struct bookings_sql list_sql = { "pauses",
    "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object("
    "'scope', p.scope, 'reason', p.reason, 'pausedBy', p.paused_by, "
    "'pausedAt', pg_catalog.to_char(p.paused_at AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
    "'until', pg_catalog.to_char(p.until AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
    "'exceptTenants', pg_catalog.to_json(p.except_tenants)) "
    "ORDER BY p.scope <> 'all', p.scope), '[]') "
    "FROM {S}.followup_pauses p WHERE p.until IS NULL OR p.until > now()" };

/**
 * pauses_list(bookings, pauses):
 * Set ${pauses} to an array of the pauses in force, that of everything first.
 * The caller drops the reference.
 */
enum db_outcome
pauses_list(struct bookings *b, json_t **pauses)
{
	struct bookings_call call = { .sql = &list_sql };
	enum db_outcome outcome;

	*pauses = NULL;
	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	*pauses = json_loads(PQgetvalue(call.result, 0, 0), 0, NULL);
	PQclear(call.result);
	return (*pauses != NULL ? DB_OK : DB_LOST);
}

static const struct bookings_sql begin_sql = { "pause",
    "SELECT {S}.followup_pause($1, $2, $3::timestamptz, $4)" };

/**
 * pauses_begin(bookings, scope, reason, until, by, wrong):
 * Pause the calls of ${scope} for ${reason} until ${until} (RFC 3339; NULL: no
 * end), on behalf of ${by} (NULL: the role of the session).  ${wrong} is set
 * to what is wrong with that, for the caller to free, or to NULL.
 */
enum db_outcome
pauses_begin(struct bookings *b, const char *scope, const char *reason,
    const char *until, const char *by, char **wrong)
{
	struct bookings_call call = { .sql = &begin_sql, .nparams = 4,
	    .params = { scope, reason, until, by } };
	enum db_outcome outcome;

	*wrong = NULL;
	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	if (!PQgetisnull(call.result, 0, 0) &&
	    (*wrong = strdup(PQgetvalue(call.result, 0, 0))) == NULL)
		outcome = DB_LOST;
	PQclear(call.result);
	return (outcome);
}

static const struct bookings_sql end_sql = { "resume",
    "SELECT CASE WHEN {S}.followup_resume($1, $2) THEN 1 ELSE 0 END" };

/**
 * pauses_end(bookings, scope, by, ended):
 * End the pause of ${scope}, on behalf of ${by} (NULL: the role of the
 * session); a tenant is called also while everything is paused.  ${ended} is
 * 0 if there was no such pause.
 */
enum db_outcome
pauses_end(struct bookings *b, const char *scope, const char *by, int *ended)
{
	struct bookings_call call = { .sql = &end_sql, .nparams = 2,
	    .params = { scope, by } };

	return (bookings_changed(b, &call, ended));
}

const struct bookings_sql *const pauses_statements[] = { &list_sql,
    &begin_sql, &end_sql, NULL };
