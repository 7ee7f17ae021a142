#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"

#include "bookings.h"

/* The most statements that one handle has. */
#define MAX_STATEMENTS	48

/* Room for a statement's name within the session. */
#define NAME_LEN	8

struct bookings {
	struct db *db;
	const char *schema;		/* as configured */
	char *quoted_schema;
	char *quoted_table;		/* with its schema */
	int32_t key;			/* of its locks */
	const struct bookings_sql *sources[MAX_STATEMENTS];
	struct db_statement statements[MAX_STATEMENTS];
	char names[MAX_STATEMENTS][NAME_LEN];
	size_t nstatements;
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

/**
 * bookings_key(conf):
 * Return the number by which locks know the table that ${conf} names from
 * other tables of the same database.
 */
int32_t
bookings_key(const struct config *conf)
{
	const char *names[] = { conf->schema, conf->table };
	uint32_t hash = 2166136261;
	const char *p;
	size_t i;

	/* FNV-1a over both names, each with its NUL. */
	for (i = 0; i < 2; i++) {
		p = names[i];
		do
			hash = (hash ^ (unsigned char)*p) * 16777619;
		while (*p++ != '\0');
	}
	return ((int32_t)(hash & INT32_MAX));
}

/*
 * Return ${sql} with the quoted names in place of {S} and {T}, the table's
 * ${key} in place of {K}, and the horizon in place of {H}; to be freed.
 */
static char *
expand(const char *sql, const char *schema, const char *table, int32_t key)
{
	char horizon[48], number[16], *expanded = NULL;
	const char *brace, *insert;
	size_t len;
	FILE *f;

	(void)snprintf(horizon, sizeof(horizon), "interval '%d s'",
	    BOOKINGS_HORIZON);
	(void)snprintf(number, sizeof(number), "%" PRId32, key);
	if ((f = open_memstream(&expanded, &len)) == NULL)
		return (NULL);
	while ((brace = strchr(sql, '{')) != NULL) {
		insert = brace[1] == 'S' ? schema :
		    brace[1] == 'T' ? table :
		    brace[1] == 'K' ? number : horizon;
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

	if ((b = calloc(1, sizeof(*b))) == NULL)
		return (NULL);
	b->db = db;
	b->schema = conf->schema;
	b->key = bookings_key(conf);
	if (quote_names(conf, &b->quoted_schema, &b->quoted_table) != 0) {
		bookings_free(b);
		return (NULL);
	}
	return (b);
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
	for (i = 0; i < b->nstatements; i++)
		free(b->statements[i].sql);
	free(b->quoted_schema);
	free(b->quoted_table);
	free(b);
}

/**
 * bookings_ready(bookings):
 * Make sure that there is a live connection, as db_ready does.
 */
enum db_outcome
bookings_ready(struct bookings *b)
{

	return (db_ready(b->db));
}

/* Find ${sql} with this installation's names in it; NULL: no memory. */
static const struct db_statement *
statement(struct bookings *b, const struct bookings_sql *sql)
{
	struct db_statement *new;
	size_t i;

	for (i = 0; i < b->nstatements; i++) {
		if (b->sources[i] == sql)
			return (&b->statements[i]);
	}
	if (i == MAX_STATEMENTS)
		return (NULL);
	new = &b->statements[i];
	(void)snprintf(b->names[i], NAME_LEN, "s%zu", i);
	new->name = b->names[i];
	if ((new->sql = expand(sql->text, b->quoted_schema,
	    b->quoted_table, b->key)) == NULL)
		return (NULL);
	b->sources[i] = sql;
	b->nstatements++;
	return (new);
}

/**
 * bookings_prepare(bookings, list):
 * Prepare the statements of ${list}, which NULL ends, so that the first
 * booking need not wait for that.
 */
enum db_outcome
bookings_prepare(struct bookings *b, const struct bookings_sql *const *list)
{
	const struct db_statement *statements[MAX_STATEMENTS];
	enum db_outcome outcome;
	size_t n = 0;

	for (; *list != NULL; list++) {
		if ((statements[n] = statement(b, *list)) != NULL)
			n++;
	}
	if ((outcome = db_ready(b->db)) == DB_OK)
		outcome = db_prepare(b->db, statements, n);
	return (outcome);
}

/**
 * bookings_run(bookings, calls, ncalls):
 * Run up to BOOKINGS_CALLS ${calls} in one round trip, as db_run does, and
 * log what the database refused.
 */
enum db_outcome
bookings_run(struct bookings *b, struct bookings_call *calls, size_t ncalls)
{
	struct db_call run[BOOKINGS_CALLS];
	enum db_outcome outcome;
	size_t i;

	for (i = 0; i < ncalls; i++) {
		calls[i].outcome = DB_LOST;
		calls[i].result = NULL;
		run[i].statement = statement(b, calls[i].sql);
		run[i].params = calls[i].params;
		run[i].nparams = calls[i].nparams;
		if (run[i].statement == NULL)
			return (DB_LOST);
	}
	outcome = db_run(b->db, run, ncalls);
	for (i = 0; i < ncalls; i++) {
		calls[i].outcome = run[i].outcome;
		calls[i].result = run[i].result;
		if (run[i].outcome == DB_FAILED)
			log_error(NULL, "the database refused the statement "
			    "\"%s\": %s; is the trigger installed in this "
			    "version, and are the grants complete? "
			    "(followup-trigger verify)", calls[i].sql->name,
			    db_error(b->db));
	}
	return (outcome);
}

/**
 * bookings_changed(bookings, call, changed):
 * Run ${call}, whose one value says how many rows it changed; ${changed} is
 * set to that number.  ${changed} may be NULL.
 */
enum db_outcome
bookings_changed(struct bookings *b, struct bookings_call *call, int *changed)
{
	enum db_outcome outcome;

	if ((outcome = bookings_run(b, call, 1)) == DB_OK) {
		if (changed != NULL)
			*changed = (int)db_int(call->result, 0, 0);
		PQclear(call->result);
		call->result = NULL;
	}
	return (outcome);
}

/**
 * bookings_error(bookings):
 * Return what the last failure was, in one line.
 */
const char *
bookings_error(const struct bookings *b)
{

	return (db_error(b->db));
}

/**
 * bookings_disconnect(bookings):
 * Drop the connection, and the locks of its session with it.
 */
void
bookings_disconnect(struct bookings *b)
{

	db_close(b->db);
}

/*
 * What the index serves is the range over the bare column, in its order.  It
 * is a day wider on both sides because a timestamp without time zone may be
 * due up to that much earlier or later than it reads.  OFFSET 0 has each row
 * looked up by its key instead of joining whole tables.
 *
 * Overdue are those whose time has passed without a call, and those that are
 * due soon and have a task for another time, because they were moved while
 * the triggers were off.  Of them a page is drawn by lot, so that many that
 * wait in a paused queue do not keep others from being looked at.
 */
static const char sweep_sql[] =
    "WITH pending AS (SELECT b.id, "
    "(SELECT tenant_id::text FROM (SELECT b.*) AS r) AS tenant_id, "
    "b.scheduled_at::text AS place "
    "FROM " BOOKINGS_ABSENT ", {T} b CROSS JOIN LATERAL "
    "(SELECT {S}.followup_due_at(b) AS due OFFSET 0) x "
    "WHERE b.task_status = 'pending' AND " BOOKINGS_IS_WANTED " "
    "AND (b.scheduled_at, b.id) > ($2, $3::uuid) "
    "AND b.scheduled_at > (now() AT TIME ZONE 'UTC') "
    "- $1::float8 * interval '1 s' - interval '1 day' "
    "AND b.scheduled_at < (now() AT TIME ZONE 'UTC') "
    "+ interval '31 days' "
    "AND (x.due IS NULL OR x.due BETWEEN "
    "now() - $1::float8 * interval '1 s' AND now() + {H}) "
    "AND NOT EXISTS (SELECT FROM {S}.followup_failures f "
    "WHERE f.booking_id = b.id AND f.stage = 'schedule' "
    "AND f.next_attempt_at > now() OFFSET 0) "
    "AND NOT EXISTS (SELECT FROM {S}.followup_obsolete_tasks o "
    "WHERE o.booking_id = b.id AND o.next_attempt_at > now() OFFSET 0) "
    "ORDER BY b.scheduled_at, b.id LIMIT $4::int), "
    "obsolete AS (SELECT DISTINCT o.booking_id AS id, "
    "NULL::text AS tenant_id, NULL::text AS place "
    "FROM {S}.followup_obsolete_tasks o "
    "WHERE $2 = '-infinity' AND (o.next_attempt_at IS NULL "
    "OR o.next_attempt_at <= now()) LIMIT $4::int), "
    "overdue AS (SELECT b.id, "
    "(SELECT tenant_id::text FROM (SELECT b.*) AS r) AS tenant_id "
    "FROM " BOOKINGS_ABSENT ", {T} b CROSS JOIN LATERAL "
    "(SELECT {S}.followup_due_at(b) AS due OFFSET 0) x "
    "WHERE $5::float8 IS NOT NULL AND $2 = '-infinity' "
    "AND b.task_status = 'scheduled' AND " BOOKINGS_IS_FOLLOWUP " "
    "AND b.scheduled_at > (now() AT TIME ZONE 'UTC') "
    "- $1::float8 * interval '1 s' - interval '1 day' "
    "AND b.scheduled_at < (now() AT TIME ZONE 'UTC') "
    "+ interval '1 day 15 min' "
    "AND (x.due BETWEEN now() - $1::float8 * interval '1 s' "
    "AND now() - $5::float8 * interval '1 s' "
    "OR (x.due <> b.task_scheduled_at "
    "AND x.due < now() + interval '15 min')) "
    "ORDER BY random() LIMIT $4::int) "
    "SELECT id, tenant_id, place FROM obsolete UNION ALL "
    "SELECT id, tenant_id, NULL FROM overdue UNION ALL "
    "SELECT id, tenant_id, place FROM pending";

/**
 * bookings_sweep_sql(conf):
 * Return the statement that finds bookings with something to do that no
 * notification announced, as a string the caller frees.  Parameters: $1 the
 * sweep window in seconds; $2, $3 the place and id where the last page
 * ended, BOOKINGS_SWEEP_START at the start; $4 the length of a page; $5 the
 * grace in seconds after which scheduled bookings are found too, or NULL.
 * Columns: id, tenant_id, and the place, which is NULL for rows that do not
 * belong to a page.
 */
char *
bookings_sweep_sql(const struct config *conf)
{
	char *schema, *table, *sql = NULL;

	if (quote_names(conf, &schema, &table) == 0)
		sql = expand(sweep_sql, schema, table, bookings_key(conf));
	free(schema);
	free(table);
	return (sql);
}

/**
 * bookings_leader_sql():
 * Return the statement that tries to become the one listener of the table
 * with the bookings_key $1, as long as the session lasts.  Columns: 't' or
 * 'f'; the process id of the session that is, or NULL.
 */
const char *
bookings_leader_sql(void)
{

	return ("SELECT pg_try_advisory_lock(1181707340, $1::int), "
	    "(SELECT l.pid FROM pg_locks l WHERE l.locktype = 'advisory' "
	    "AND l.classid = 1181707340 AND l.objsubid = 2 AND l.granted "
	    "AND l.objid = $1::int::oid "
	    "AND l.database = (SELECT d.oid FROM pg_database d "
	    "WHERE d.datname = current_database()))");
}

/*
 * NULL, or the first thing that is missing.  $1 is the schema, $2 the schema
 * and $3 the table as quoted names.
 */
static const struct bookings_sql check_sql = { "check",
"SELECT CASE "
    "WHEN to_regnamespace($2) IS NULL "
    "THEN 'the schema does not exist: check POSTGRES_SCHEMA' "
    "WHEN NOT has_schema_privilege($1, 'USAGE') "
    "THEN 'the role may not use the schema: run followup-trigger "
    "install --grant-to with it' "
    "WHEN to_regclass($3) IS NULL "
    "THEN 'the bookings table does not exist: check FOLLOWUP_TABLE' "
    "WHEN to_regclass($2 || '.followup_failures') IS NULL "
    "OR NOT EXISTS (SELECT FROM pg_trigger g "
    "WHERE g.tgrelid = to_regclass($3) "
    "AND g.tgname = 'trigger_schedule_followup_cloud_task') "
    "THEN 'the trigger is not installed: run followup-trigger install' "
    "WHEN NOT has_table_privilege($3, 'SELECT') "
    "OR NOT has_column_privilege($3, 'task_status', 'UPDATE') "
    "OR NOT has_table_privilege($2 || '.followup_failures', 'INSERT') "
    "THEN 'the role lacks grants: run followup-trigger install "
    "--grant-to with it' END" };

/**
 * bookings_check(bookings, missing, len):
 * Look whether what the programs need is installed and granted: ${missing}
 * (${len} bytes) is empty if so, otherwise it says what is not, and what to
 * do.
 */
enum db_outcome
bookings_check(struct bookings *b, char *missing, size_t len)
{
	struct bookings_call call = { .sql = &check_sql, .nparams = 3,
	    .params = { b->schema, b->quoted_schema, b->quoted_table } };
	enum db_outcome outcome;

	*missing = '\0';
	outcome = bookings_run(b, &call, 1);
	if (outcome == DB_FAILED) {
		/* To be refused already here says as much. */
		(void)snprintf(missing, len, "%s: run followup-trigger "
		    "install --grant-to with the role of the daemons",
		    db_error(b->db));
		return (DB_OK);
	}
	if (outcome == DB_OK) {
		(void)snprintf(missing, len, "%s",
		    PQgetvalue(call.result, 0, 0));
		PQclear(call.result);
	}
	return (outcome);
}
