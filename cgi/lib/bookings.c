#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "booking_internal.h"
#include "config.h"
#include "log.h"

#include "booking.h"

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

/**
 * bookings_query(bookings, sql, params, nparams, result):
 * Run the statement ${sql} as db_query does, and log what the database
 * refused.
 */
enum db_outcome
bookings_query(struct bookings *b, enum booking_sql sql,
    const char *const *params, int nparams, PGresult **result)
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

/**
 * bookings_query_changed(bookings, sql, params, nparams, changed):
 * Run a statement whose one value says how many rows it changed.
 */
enum db_outcome
bookings_query_changed(struct bookings *b, enum booking_sql sql,
    const char *const *params, int nparams, int *changed)
{
	enum db_outcome outcome;
	PGresult *result;

	outcome = bookings_query(b, sql, params, nparams, &result);
	if (outcome == DB_OK) {
		*changed = db_int(result, 0, 0) > 0;
		PQclear(result);
	}
	return (outcome);
}

/**
 * bookings_query_void(bookings, sql, params, nparams):
 * Run a statement whose result nobody needs.
 */
enum db_outcome
bookings_query_void(struct bookings *b, enum booking_sql sql,
    const char *const *params, int nparams)
{
	enum db_outcome outcome;
	PGresult *result;

	if ((outcome = bookings_query(b, sql, params, nparams, &result)) == DB_OK)
		PQclear(result);
	return (outcome);
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

	outcome = bookings_query(b, SQL_RETRY_ALL, params, 3, &result);
	if (outcome == DB_OK) {
		*retried = (long)db_int(result, 0, 0);
		PQclear(result);
	}
	return (outcome);
}

/* One dead letter as the API shows it. */
static json_t *
dead_letter(const PGresult *r, int row)
{
#define TEXT(column)							\
	(PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column))

	return (json_pack("{s:s?, s:s?, s:s?, s:i, s:s?, s:s?, s:o, s:s?, "
	    "s:s?}", "bookingId", TEXT(0), "tenantId", TEXT(1),
	    "stage", TEXT(2), "attempts", (int)db_int(r, row, 3),
	    "firstFailedAt", TEXT(4), "lastFailedAt", TEXT(5),
	    "httpStatus", PQgetisnull(r, row, 6) ? json_null() :
	    json_integer(db_int(r, row, 6)), "error", TEXT(7),
	    "diedAt", TEXT(8)));
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
	outcome = bookings_query(b, SQL_DEAD_LETTERS, params, 3, &result);
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
	outcome = bookings_query(b, SQL_CHECK, params, 3, &result);
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
