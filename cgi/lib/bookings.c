#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"
#include "monotime.h"
#include "refusals.h"
#include "troubles.h"

#include "bookings.h"

/* The most statements that one handle has. */
#define MAX_STATEMENTS	48

/* Room for a statement's name within the session. */
#define NAME_LEN	8

struct bookings {
	struct db *db;
	struct refusals *refusals;	/* or NULL */
	const char *schema;		/* as configured, like the next */
	const char *table;
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
 * bookings_sql(conf, text):
 * Return the statement ${text} with the names of ${conf} in it, as a string
 * the caller frees; NULL when memory is short.
 */
char *
bookings_sql(const struct config *conf, const char *text)
{
	char *schema, *table, *sql = NULL;

	if (quote_names(conf, &schema, &table) == 0)
		sql = expand(text, schema, table, bookings_key(conf));
	free(schema);
	free(table);
	return (sql);
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
	b->table = conf->table;
	b->key = bookings_key(conf);
	if (quote_names(conf, &b->quoted_schema, &b->quoted_table) != 0) {
		bookings_free(b);
		return (NULL);
	}
	return (b);
}

/**
 * bookings_share(bookings, refusals):
 * Let the workers that share ${refusals} tell together whether a refusal is
 * the row's fault; it must outlive ${bookings}.
 */
void
bookings_share(struct bookings *b, struct refusals *refusals)
{

	b->refusals = refusals;
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

/**
 * bookings_holds(bookings):
 * Return DB_OK if the locks taken in this session are still ours, as far as
 * db_holds can tell, or DB_LOST.
 */
enum db_outcome
bookings_holds(struct bookings *b)
{

	return (db_holds(b->db));
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

static int
is_refusal(enum db_outcome outcome)
{

	return (outcome == DB_FAILED || outcome == DB_MANY ||
	    outcome == DB_BROKEN);
}

/* Hold what came of ${call} against what came of it for other bookings. */
static void
judge(struct bookings *b, struct bookings_call *call)
{
	const char *name = call->as != NULL ? call->as : call->sql->name;
	struct refusal refusal = { .booking = call->booking,
	    .outcome = call->outcome, .state = db_state(b->db),
	    .error = db_error(b->db) };
	struct log_about about = { .booking_id = call->booking };

	if (b->refusals != NULL && call->outcome == DB_OK)
		refusals_succeeded(b->refusals, name);
	if (!is_refusal(call->outcome))
		return;
	if (b->refusals != NULL)
		call->outcome = refusals_judge(b->refusals, name, &refusal,
		    monotime_ms());
	if (call->outcome == DB_FAILED)
		log_warning(&about, "the database refused the statement "
		    "\"%s\": %s", call->sql->name, db_error(b->db));
	else
		log_error(&about, "the database refused the statement "
		    "\"%s\": %s; is the trigger installed in this version, "
		    "and are the grants complete? (followup-trigger verify)",
		    call->sql->name, db_error(b->db));
}

/**
 * bookings_run(bookings, calls, ncalls):
 * Run up to BOOKINGS_CALLS ${calls} in one round trip, as db_run does, and
 * log what the database refused.  Where the same statement fared otherwise
 * for other bookings, a refusal has the outcome that this makes of it.
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
	(void)db_run(b->db, run, ncalls);
	for (i = 0, outcome = DB_OK; i < ncalls; i++) {
		calls[i].outcome = run[i].outcome;
		calls[i].result = run[i].result;
		judge(b, &calls[i]);
		if (outcome == DB_OK)
			outcome = calls[i].outcome;
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
 * bookings_timed_out(bookings):
 * Return non-zero iff the last refusal was of a statement that took longer than
 * it may.  That is DB_LOCKED, too, but nobody need hold a lock.
 */
int
bookings_timed_out(const struct bookings *b)
{

	return (strcmp(db_state(b->db), "57014") == 0);
}

/**
 * bookings_ignored(bookings):
 * A statement had no effect on a row that it was for, as when a trigger of the
 * application returns NULL: return DB_FAILED, with bookings_error saying so.
 */
enum db_outcome
bookings_ignored(struct bookings *b)
{

	db_refuse(b->db, "the row does not take what is written to it: a "
	    "trigger of the application ignores that, or it keeps changing");
	return (DB_FAILED);
}

/**
 * bookings_limit(bookings, ms):
 * Give the database ${ms} milliseconds from now on, as db_limit does.
 */
void
bookings_limit(struct bookings *b, long ms)
{

	db_limit(b->db, ms);
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
 * The sweep evaluates nothing that the data of one row could make fail, or that
 * row would keep all others from being found: no function of the deployment,
 * no cast that may refuse, no arithmetic on what is stored.  What is found here
 * is only looked at; followup-schedule judges each booking by itself.
 *
 * So the due time is not worked out either.  A timestamptz is one, as is a
 * timestamp in a row without a zone (our sessions read it as UTC); any other
 * timestamp may be due up to SWEEP_ZONE earlier or later than it reads.  Such
 * rows are found that much longer after their time, and that much nearer to
 * it, so that none is found again and again beyond the horizon.
 *
 * What the index serves is the range over the bare column, in its order.  An
 * infinite time is in no range, and is no time either: such rows are found by
 * themselves, to be told so.
 */
#define SWEEP_ZONE	"interval '16 h'"
#define SWEEP_NOW	"(now() AT TIME ZONE 'UTC')"
#define SWEEP_WINDOW	"(SELECT r.span FROM reach r)"

/*
 * A column of any type as text, empty where it is NULL or this deployment has
 * none of that name: see BOOKINGS_ABSENT.  format() uses the type's own output
 * function, where a cast to text may be somebody's function; but a cast takes
 * the blanks from the end of a char(n).
 */
#define SWEEP_TEXT(column)						\
    "(SELECT rtrim(format('%s', " column ")) FROM (SELECT b.*) AS r)"
#define SWEEP_ABSENT							\
    "(SELECT NULL AS tenant_id, NULL AS timezone) AS absent"

/*
 * Most of the time these tables are empty, which is asked once for a page, and
 * not for each booking.
 */
#define SWEEP_ANY(table)	"EXISTS (SELECT FROM {S}." table ") "

/*
 * To be tried again later?  What seems to have failed, or was looked at, later
 * than now was written while the server's clock was ahead, so that it says
 * nothing about when.  So does a time further away than any that we choose.
 */
#define SWEEP_LATER							\
    "(f.stage = 'schedule' AND f.next_attempt_at > now() "		\
    "AND f.last_failed_at <= now())"
#define SWEEP_KEPT							\
    "o.next_attempt_at BETWEEN now() AND now() + interval '10 min'"

/* Given up, though the row may not say so; or to be tried again later. */
#define SWEEP_WAITS							\
    "(" SWEEP_ANY("followup_failures") "AND EXISTS "			\
    "(SELECT FROM {S}.followup_failures f "				\
    "WHERE f.booking_id = b.id AND (f.dead_at IS NOT NULL "		\
    "OR " SWEEP_LATER ") OFFSET 0))"

/* How far the due time may be from what the row says. */
#define SWEEP_UNSURE							\
    "CROSS JOIN LATERAL (SELECT CASE WHEN "				\
    "pg_typeof(b.scheduled_at + interval '0') = 'timestamptz'::regtype " \
    "OR btrim(" SWEEP_TEXT("timezone") ", E' \\t\\r\\n') = '' "		\
    "THEN interval '0' ELSE " SWEEP_ZONE " END AS unsure OFFSET 0) x "

/*
 * Overdue are those whose task's time has passed without a call, and those
 * that are due soon and have a task for another time, because they were moved
 * while the triggers were off: where the zone is not known, that is a time
 * which no zone makes of it; and those that name no task.  Of them a page is
 * drawn by lot, so that many that wait in a paused queue do not keep others
 * from being looked at.
 *
 * What a pause holds for which no task can be made, because it has no end or
 * one beyond the horizon, is not looked at.  After the pause, its bookings have
 * a whole window again: they are found if they became due in the pause, or in
 * the window before it.  A pause that began before another one of theirs was
 * over, or within an hour after it, is the same pause for them.  The backlog is
 * left alone.
 */
#define SWEEP_PAUSED	"p.until IS NULL OR p.until > now() + {H}"
#define SWEEP_RESUMED							\
    "p.until BETWEEN now() - " SWEEP_WINDOW " AND now()"
#define SWEEP_TENANT	"'tenant:' || " SWEEP_TEXT("tenant_id")
#define SWEEP_ALL_HELD							\
    "EXISTS (SELECT FROM {S}.followup_pauses p "			\
    "WHERE p.scope = 'all' AND cardinality(p.except_tenants) = 0 "	\
    "AND (" SWEEP_PAUSED "))"
#define SWEEP_HELD							\
    "EXISTS (SELECT FROM {S}.followup_pauses p "			\
    "WHERE (" SWEEP_PAUSED ") AND (p.scope = " SWEEP_TENANT " "		\
    "OR (p.scope = 'all' "						\
    "AND " SWEEP_TEXT("tenant_id") " <> ALL (p.except_tenants))))"

/*
 * Does it wait, as of the time it is due at: with a task for later, or (until
 * is NULL) without one?  Only of those whose zone may be another one is the due
 * time worked out.
 */
#define SWEEP_NOTED(until)						\
    "(" SWEEP_ANY("followup_waits") "AND EXISTS "			\
    "(SELECT FROM {S}.followup_waits w "				\
    "WHERE w.booking_id = b.id AND w.until " until " "			\
    "AND CASE WHEN x.unsure = interval '0' "				\
    "THEN w.due_at = b.scheduled_at ELSE w.due_at "			\
    "IS NOT DISTINCT FROM {S}.followup_due_at(b.*) END OFFSET 0))"

/*
 * When somebody has last changed what the gate goes by, with pauses that were
 * ended and hours that were removed.  Such a change may commit some seconds
 * later.  One that was made by a clock that was ahead is noticed when its time
 * has come.
 */
#define SWEEP_CHANGED							\
    "(SELECT max(c.at) FROM (SELECT max(s.changed_at) "			\
    "FROM {S}.followup_settings s UNION ALL SELECT max(p.changed_at) "	\
    "FROM {S}.followup_pauses p UNION ALL SELECT max(p.until) "		\
    "FROM {S}.followup_past_pauses p UNION ALL SELECT max(h.until) "	\
    "FROM {S}.followup_past_hours h) AS c (at) WHERE c.at <= now())"

/* Only of the few that are in the backlog is the due time worked out. */
#define SWEEP_IN_BACKLOG						\
    "(" SWEEP_ANY("followup_backlog") "AND EXISTS "			\
    "(SELECT FROM {S}.followup_backlog k "				\
    "WHERE k.booking_id = b.id AND CASE WHEN x.unsure = interval '0' "	\
    "THEN k.due_at = b.scheduled_at ELSE k.due_at IS NOT DISTINCT FROM " \
    "{S}.followup_due_at(b.*) END OFFSET 0))"

/* In parts, because C promises no longer texts. */
static const char sweep_pending_sql[] =
    "WITH RECURSIVE reach AS (SELECT " BOOKINGS_WINDOW("$1") " AS span), "
    "paused AS (SELECT p.scope, p.paused_at, p.until "
    "FROM {S}.followup_pauses p UNION ALL "
    "SELECT p.scope, p.paused_at, p.until FROM {S}.followup_past_pauses p), "
    "resumed AS (SELECT p.* FROM paused p WHERE " SWEEP_RESUMED " UNION "
    "SELECT CASE r.scope WHEN 'all' THEN p.scope ELSE r.scope END, "
    "p.paused_at, r.until FROM resumed r JOIN paused p "
    "ON p.paused_at < r.paused_at AND p.until >= r.paused_at - interval '1 h' "
    "AND (p.scope = r.scope OR 'all' IN (p.scope, r.scope))), "
    "pending AS (SELECT b.id, "
    SWEEP_TEXT("tenant_id") " AS tenant_id, b.scheduled_at::text AS place "
    "FROM " SWEEP_ABSENT ", {T} b " SWEEP_UNSURE
    "WHERE b.task_status = 'pending' AND " BOOKINGS_IS_FOLLOWUP " "
    "AND NOT " BOOKINGS_IS_DELETED " "
    "AND (b.scheduled_at, b.id) > ($2, $3::uuid) "
    "AND b.scheduled_at > ((SELECT least(now(), min(p.paused_at)) "
    "FROM resumed p) AT TIME ZONE 'UTC') - " SWEEP_WINDOW " - " SWEEP_ZONE " "
    "AND b.scheduled_at <= " SWEEP_NOW " + {H} "
    "AND b.scheduled_at <= " SWEEP_NOW " + {H} - x.unsure "
    "AND (b.scheduled_at >= " SWEEP_NOW " - " SWEEP_WINDOW " - x.unsure "
    "OR EXISTS (SELECT FROM resumed p "
    "WHERE b.scheduled_at BETWEEN (p.paused_at AT TIME ZONE 'UTC') "
    "- " SWEEP_WINDOW " - x.unsure AND (p.until AT TIME ZONE 'UTC') "
    "+ x.unsure AND p.scope IN ('all', " SWEEP_TENANT "))) "
    "AND NOT " SWEEP_ALL_HELD " "
    "AND (NOT " SWEEP_ANY("followup_pauses")
    "OR coalesce(" SWEEP_TEXT("tenant_id") " = ANY ((SELECT "
    "p.except_tenants FROM {S}.followup_pauses p WHERE p.scope = 'all' "
    "AND (" SWEEP_PAUSED "))::text[]), true) "
    "AND " SWEEP_TENANT " NOT IN (SELECT p.scope "
    "FROM {S}.followup_pauses p WHERE " SWEEP_PAUSED ")) "
    "AND NOT " SWEEP_IN_BACKLOG " AND NOT " SWEEP_WAITS " "
    "AND NOT " SWEEP_NOTED("IS NULL") " "
    "AND NOT (" SWEEP_ANY("followup_obsolete_tasks") "AND EXISTS "
    "(SELECT FROM {S}.followup_obsolete_tasks o "
    "WHERE o.booking_id = b.id AND " SWEEP_KEPT " OFFSET 0)) "
    "ORDER BY b.scheduled_at, b.id LIMIT $4::int), ";
static const char sweep_others_sql[] =
    "obsolete AS (SELECT DISTINCT o.booking_id AS id "
    "FROM {S}.followup_obsolete_tasks o "
    "WHERE $2 = '-infinity' AND (" SWEEP_KEPT ") IS NOT TRUE "
    "LIMIT $4::int), "
    "waits AS (SELECT w.booking_id AS id, " SWEEP_TEXT("tenant_id")
    " AS tenant_id FROM " SWEEP_ABSENT ", (SELECT w.* "
    "FROM {S}.followup_waits w, (SELECT " SWEEP_CHANGED " AS at) AS c "
    "WHERE $2 = '-infinity' AND NOT " SWEEP_ALL_HELD " "
    "AND (w.look_at NOT BETWEEN now() AND now() + interval '2 h' "
    "OR w.looked_at > now() + interval '1 min' "
    "OR (w.looked_at < c.at + interval '5 s' AND (w.until IS NULL "
    "OR w.until > c.at + interval '1 min')))) AS w "
    "LEFT JOIN {T} b ON b.id = w.booking_id WHERE NOT " SWEEP_HELD " "
    "AND NOT EXISTS (SELECT FROM {S}.followup_failures f "
    "WHERE f.booking_id = w.booking_id AND f.dead_at IS NULL "
    "AND " SWEEP_LATER " OFFSET 0) "
    "ORDER BY w.look_at LIMIT $4::int), "
    "retried AS (SELECT b.id, " SWEEP_TEXT("tenant_id") " AS tenant_id "
    "FROM " SWEEP_ABSENT ", (SELECT f.booking_id "
    "FROM {S}.followup_failures f WHERE $2 = '-infinity' "
    "AND f.dead_at IS NULL AND f.stage = 'schedule' "
    "AND f.next_attempt_at <= now()) AS f "
    "JOIN {T} b ON b.id = f.booking_id WHERE b.task_status = 'pending' "
    "AND " BOOKINGS_IS_FOLLOWUP " AND NOT " BOOKINGS_IS_DELETED " "
    "AND NOT EXISTS (SELECT FROM pending WHERE pending.id = b.id) "
    "AND NOT EXISTS (SELECT FROM {S}.followup_failures d "
    "WHERE d.booking_id = b.id AND d.dead_at IS NOT NULL) "
    "AND NOT EXISTS (SELECT FROM {S}.followup_waits w "
    "WHERE w.booking_id = b.id AND w.until IS NULL) "
    "AND NOT " SWEEP_HELD " "
    "ORDER BY random() LIMIT $4::int), ";
static const char sweep_overdue_sql[] =
    "endless AS (SELECT b.id, " SWEEP_TEXT("tenant_id") " AS tenant_id "
    "FROM " SWEEP_ABSENT ", {T} b WHERE $2 = '-infinity' "
    "AND b.task_status = 'pending' AND " BOOKINGS_IS_FOLLOWUP " "
    "AND NOT " BOOKINGS_IS_DELETED " "
    "AND b.scheduled_at IN ('-infinity', 'infinity') "
    "AND NOT EXISTS (SELECT FROM {S}.followup_backlog k "
    "WHERE k.booking_id = b.id AND k.due_at IS NULL OFFSET 0) "
    "AND NOT " SWEEP_WAITS " LIMIT $4::int), "
    "overdue AS (SELECT b.id, " SWEEP_TEXT("tenant_id") " AS tenant_id "
    "FROM " SWEEP_ABSENT ", {T} b " SWEEP_UNSURE
    "WHERE $5::float8 IS NOT NULL AND $2 = '-infinity' "
    "AND b.task_status = 'scheduled' AND " BOOKINGS_IS_FOLLOWUP " "
    "AND b.scheduled_at > " SWEEP_NOW " - " SWEEP_WINDOW " - " SWEEP_ZONE " "
    "AND b.scheduled_at < " SWEEP_NOW " + interval '15 min' + " SWEEP_ZONE " "
    "AND (coalesce(b.task_scheduled_at, b.scheduled_at) BETWEEN "
    "now() - " SWEEP_WINDOW " AND now() - $5::float8 * interval '1 s' "
    "OR b.task_name IS NULL "
    "OR (b.scheduled_at < " SWEEP_NOW " + interval '15 min' + x.unsure "
    "AND CASE WHEN x.unsure = interval '0' "
    "THEN b.task_scheduled_at <> b.scheduled_at "
    "WHEN isfinite(b.task_scheduled_at) "
    "THEN b.task_scheduled_at NOT BETWEEN b.scheduled_at - x.unsure "
    "AND b.scheduled_at + x.unsure "
    "ELSE b.task_scheduled_at IS NOT NULL END "
    "AND NOT " SWEEP_NOTED("IS NOT NULL") ")) "
    "AND NOT " SWEEP_IN_BACKLOG " AND NOT " SWEEP_WAITS " "
    "ORDER BY random() LIMIT $4::int) "
    "SELECT id, NULL AS tenant_id, NULL AS place, 'obsolete' AS kind "
    "FROM obsolete UNION ALL "
    "SELECT id, tenant_id, NULL, 'retried' FROM waits UNION ALL "
    "SELECT id, tenant_id, NULL, 'retried' FROM retried UNION ALL "
    "SELECT id, tenant_id, NULL, 'overdue' FROM overdue UNION ALL "
    "SELECT id, tenant_id, NULL, 'pending' FROM endless UNION ALL "
    "SELECT id, tenant_id, place, 'pending' FROM pending";

/**
 * bookings_sweep_sql(conf):
 * Return the statement that finds bookings with something to do that no
 * notification announced, as a string the caller frees.  Parameters: $1 the
 * sweep window in seconds, as of BOOKINGS_WINDOW; $2, $3 the place and id where
 * the last page ended, BOOKINGS_SWEEP_START at the start; $4 the length of a
 * page; $5 the grace in seconds after which scheduled bookings are found too,
 * or NULL.
 * Columns: id, tenant_id, the place, which is NULL for rows that do not belong
 * to a page, and why it was found: pending, retried (its next attempt is due),
 * overdue or obsolete (a task to delete).  No row of the table can make it
 * fail.  Where scheduled_at is a timestamp and the row has a time zone, the
 * window reaches back up to 16 hours more.
 */
char *
bookings_sweep_sql(const struct config *conf)
{
	char *text, *sql;

	if (asprintf(&text, "%s%s%s", sweep_pending_sql, sweep_others_sql,
	    sweep_overdue_sql) < 0)
		return (NULL);
	sql = bookings_sql(conf, text);
	free(text);
	return (sql);
}

/*
 * The process id of the session that is the listener of the table with this
 * bookings_key, or NULL.
 */
#define LEADER_PID(key)							\
    "(SELECT l.pid FROM pg_locks l WHERE l.locktype = 'advisory' "	\
    "AND l.classid = 1181707340 AND l.objsubid = 2 AND l.granted "	\
    "AND l.objid = (" key ")::oid "					\
    "AND l.database = (SELECT d.oid FROM pg_database d "		\
    "WHERE d.datname = current_database()))"

/**
 * bookings_leader_sql():
 * Return the statement that tries to become the one listener of the table
 * with the bookings_key $1, as long as the session lasts.  Columns: 't' or
 * 'f'; the process id of the session that is, or NULL; 'on' if the server is
 * read-only, or 'off'.
 */
const char *
bookings_leader_sql(void)
{

	return ("SELECT pg_try_advisory_lock(1181707340, $1::int), "
	    LEADER_PID("$1::int") ", "
	    "current_setting('transaction_read_only')");
}

/* What of ours there is, in the schema $1 for the table $2. */
#define OURS								\
    "WITH home AS (SELECT n.oid FROM pg_namespace n "			\
    "WHERE n.nspname = $1), "						\
    "ours AS (SELECT c.* FROM pg_class c "				\
    "JOIN home ON c.relnamespace = home.oid "				\
    "WHERE c.relkind IN ('r', 'p') AND c.relname IN ($2, "		\
    "'followup_failures', 'followup_attempts', "			\
    "'followup_obsolete_tasks', 'followup_waits')), "			\
    "bookings AS (SELECT * FROM ours WHERE relname = $2), "

/*
 * What is missing, as rows of a code and a sentence.  The catalogs are asked
 * about objects by their names, because a name in a schema that may not be
 * used is an error.  What the first sentence can say stands alone: without
 * that, the others say nothing new.
 */
static const struct bookings_sql check_sql = { "check", OURS
"triggers AS (SELECT g.* FROM pg_trigger g "
    "JOIN bookings b ON g.tgrelid = b.oid "
    "JOIN pg_proc p ON p.oid = g.tgfoid "
    "JOIN home ON p.pronamespace = home.oid "
    "WHERE NOT g.tgisinternal "
    "AND g.tgname ~ '^trigger_.*followup_cloud_task'), "
"tables AS (SELECT c.* FROM pg_class c JOIN home "
    "ON c.relnamespace = home.oid), "
"base AS (SELECT CASE "
    "WHEN NOT EXISTS (SELECT FROM home) "
    "THEN 'the schema does not exist: check POSTGRES_SCHEMA' "
    "WHEN NOT (SELECT has_schema_privilege(oid, 'USAGE') FROM home) "
    "THEN 'the role may not use the schema: run followup-trigger "
    "install --grant-to ' || current_user "
    "WHEN NOT EXISTS (SELECT FROM bookings) "
    "THEN 'the bookings table does not exist: check FOLLOWUP_TABLE' "
    "WHEN NOT EXISTS (SELECT FROM ours WHERE relname = 'followup_failures') "
    "OR NOT EXISTS (SELECT FROM tables WHERE relname = 'followup_waits') "
    "OR NOT EXISTS (SELECT FROM tables WHERE relname = 'followup_history') "
    "OR NOT EXISTS (SELECT FROM triggers) "
    "THEN 'the trigger is not installed: run followup-trigger install' "
    "END AS sentence), "
"missing AS (SELECT string_agg('trigger_' || t.name, ', ') AS names "
    "FROM (VALUES ('schedule_followup_cloud_task'), "
    "('followup_cloud_task_changed'), "
    "('followup_cloud_task_reschedule'), "
    "('followup_cloud_task_deleted'), "
    "('followup_cloud_task_release'), "
    "('followup_cloud_task_truncated')) AS t (name) WHERE NOT EXISTS "
    "(SELECT FROM triggers WHERE tgname = 'trigger_' || t.name)), "
"columns (name) AS (VALUES ('task_name'), ('task_scheduled_at'), "
    "('task_status'), ('executed_at'), ('execution_attempts'), "
    "('last_execution_error'), ('idempotency_key')), "
"found AS (SELECT a.* FROM bookings b "
    "JOIN pg_attribute a ON a.attrelid = b.oid "
    "JOIN columns c ON c.name = a.attname), "
"absent AS (SELECT string_agg(c.name, ', ') AS names FROM columns c "
    "WHERE NOT EXISTS (SELECT FROM found f WHERE f.attname = c.name)), "
"disabled AS (SELECT string_agg(tgname, ', ' ORDER BY tgname) AS names "
    "FROM triggers WHERE tgenabled NOT IN ('O', 'A')), "
"grants AS (SELECT string_agg(what, ', ') AS names FROM ("
    "SELECT 'SELECT on ' || b.relname FROM bookings b "
    "WHERE NOT has_table_privilege(b.oid, 'SELECT') "
    "UNION ALL SELECT 'UPDATE of ' || f.attname FROM found f "
    "WHERE NOT has_column_privilege(f.attrelid, f.attnum, 'UPDATE') "
    "UNION ALL SELECT format('%s on %s', p.privilege, o.relname) "
    "FROM ours o, (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) "
    "AS p (privilege) WHERE o.relname <> $2 "
    "AND NOT has_table_privilege(o.oid, p.privilege) "
    "UNION ALL SELECT format('%s on %s', p.privilege, t.relname) "
    "FROM tables t, (VALUES ('SELECT'), ('INSERT'), ('DELETE')) "
    "AS p (privilege) WHERE t.relname = 'followup_history' "
    "AND NOT has_table_privilege(t.oid, p.privilege) "
    "UNION ALL SELECT format('EXECUTE on %s', f.name) FROM (VALUES "
    "('followup_is_followup_type'), ('followup_due_at'), ('followup_gate'), "
    "('followup_queue'), ('followup_call_request')) AS f (name) "
    "WHERE NOT EXISTS (SELECT FROM pg_proc p "
    "JOIN home ON p.pronamespace = home.oid "
    "WHERE p.proname = f.name AND has_function_privilege(p.oid, 'EXECUTE'))"
    ") AS g (what)) "
"SELECT 'not-installed' AS code, sentence FROM base "
    "WHERE sentence IS NOT NULL "
"UNION ALL SELECT s.code, format(s.text, s.names, current_user) FROM base, "
    "LATERAL (VALUES "
    "('trigger-missing', 'there is no trigger %s: run followup-trigger "
    "install', (SELECT names FROM missing)), "
    "('column-missing', 'the bookings table has no column %s: run "
    "followup-trigger install', (SELECT names FROM absent)), "
    "('trigger-disabled', 'of the triggers %s is disabled, so that new and "
    "changed bookings are noticed late or never: run followup-trigger "
    "enable', "
    "(SELECT names FROM disabled)), "
    "('grants', 'the role lacks grants (%s): run followup-trigger install "
    "--grant-to %s', (SELECT names FROM grants))"
    ") AS s (code, text, names) "
    "WHERE base.sentence IS NULL AND s.names IS NOT NULL" };

/*
 * Likewise, what keeps the daemons from writing, from seeing all rows or from
 * seeing that one is deleted, and whether there is a listener.  It asks the
 * server something every three seconds, and its longest query may take nine and
 * a half.  Commits that hang do so in sessions of ours, which the server keeps
 * after we gave them up.
 */
static const struct bookings_sql surroundings_sql = { "surroundings", OURS
"hidden AS (SELECT string_agg(relname, ', ') AS names FROM ours "
    "WHERE row_security_active(oid)), "
/* The same for those as whom our SECURITY DEFINER functions run. */
"blind AS (SELECT DISTINCT r.rolname FROM bookings b, pg_proc p "
    "JOIN home ON p.pronamespace = home.oid "
    "JOIN pg_roles r ON r.oid = p.proowner "
    "WHERE p.prosecdef AND p.proname IN ('schedule_followup_cloud_task', "
    "'followup_booking_changed', 'followup_call_request') "
    "AND b.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls "
    "AND (b.relforcerowsecurity "
    "OR NOT pg_has_role(r.oid, b.relowner, 'USAGE'))), "
"leader AS (SELECT " LEADER_PID("{K}") " AS pid), "
"added AS (SELECT string_agg(a.attname, ', ') AS names FROM bookings b "
    "JOIN pg_attribute a ON a.attrelid = b.oid "
    "JOIN home ON true JOIN pg_proc p ON p.pronamespace = home.oid "
    "WHERE p.proname = 'followup_is_deleted' "
    "AND a.attname IN ('is_deleted', 'deleted_at') AND NOT a.attisdropped "
    "AND strpos(p.prosrc, a.attname) = 0), "
"silent AS (SELECT extract(epoch FROM now() - greatest(a.query_start, "
    "a.state_change))::int AS seconds FROM pg_stat_activity a, leader "
    "WHERE a.pid = leader.pid) "
"SELECT 'read-only', 'the database server is a standby, which takes no "
    "writes: have DATABASE_URL or POSTGRES_HOST name the primary' "
    "WHERE pg_is_in_recovery() "
"UNION ALL SELECT 'read-only', format('sessions of %I are read-only "
    "(default_transaction_read_only): set it to off for this role, database "
    "and server', current_user) WHERE NOT pg_is_in_recovery() "
    "AND current_setting('transaction_read_only') = 'on' "
"UNION ALL SELECT 'database', 'commits wait for a synchronous standby: start "
    "it, or take it out of synchronous_standby_names' WHERE EXISTS (SELECT "
    "FROM pg_stat_activity a WHERE a.wait_event = 'SyncRep' "
    "AND a.query_start < now() - interval '5 s') "
"UNION ALL SELECT 'row-security', format('row level security hides rows of "
    "%s from the role %s: ALTER ROLE %2$I BYPASSRLS', names, current_user) "
    "FROM hidden WHERE names IS NOT NULL "
"UNION ALL SELECT 'row-security', format('row level security hides rows of "
    "%s from %s, who owns our functions: ALTER ROLE %2$I BYPASSRLS', $2, "
    "rolname) FROM blind "
"UNION ALL SELECT 'column-added', format('the bookings table has got the "
    "column %s since the install, so that what it deletes is called all the "
    "same: run followup-trigger install', names) FROM added "
    "WHERE names IS NOT NULL "
"UNION ALL SELECT 'listener', 'no followup-listener is connected: new "
    "bookings wait until one is started (systemctl status "
    "followup-listener)' FROM leader WHERE pid IS NULL "
"UNION ALL SELECT 'listener', format('followup-listener has been silent for "
    "%s s: restart it (systemctl restart followup-listener)', seconds) "
    "FROM silent WHERE seconds > 12" };

/**
 * bookings_check(bookings, troubles):
 * Look whether what the programs need is installed, granted and enabled,
 * whether it can be written and is seen whole, and whether a listener is
 * there: add to ${troubles} what is not so, and what to do.
 */
enum db_outcome
bookings_check(struct bookings *b, struct troubles *troubles)
{
	struct bookings_call calls[] = {
		{ .sql = &check_sql, .nparams = 2,
		    .params = { b->schema, b->table } },
		{ .sql = &surroundings_sql, .nparams = 2,
		    .params = { b->schema, b->table } },
	};
	enum db_outcome outcome;
	size_t i;
	int row;

	outcome = bookings_run(b, calls, 2);
	for (i = 0; i < 2; i++) {
		for (row = 0; row < PQntuples(calls[i].result); row++)
			troubles_add(troubles,
			    PQgetvalue(calls[i].result, row, 0), "%s",
			    PQgetvalue(calls[i].result, row, 1));
		PQclear(calls[i].result);
	}
	if (is_refusal(outcome)) {
		/* To be refused already here says as much. */
		troubles_add(troubles, "refused", "%s: run followup-trigger "
		    "install --grant-to with the role of the daemons",
		    db_error(b->db));
		return (DB_OK);
	}
	return (outcome);
}

/*
 * The condition on scheduled_at is for the index, and wider than the one on
 * the task's time, as in the sweep's statement.
 */
static const struct bookings_sql overdue_sql = { "overdue",
"SELECT (EXISTS (SELECT FROM {T} b WHERE b.task_status = 'scheduled' "
    "AND " BOOKINGS_IS_FOLLOWUP " "
    "AND b.scheduled_at > (now() AT TIME ZONE 'UTC') - interval '2 days' "
    "AND b.scheduled_at < (now() AT TIME ZONE 'UTC') + interval '1 day' "
    "AND b.task_scheduled_at BETWEEN now() - interval '1 day' "
    "AND now() - interval '1 s') "
    "OR EXISTS (SELECT FROM {S}.followup_waits w "
    "JOIN {T} b ON b.id = w.booking_id WHERE b.task_status = 'scheduled' "
    "AND b.task_scheduled_at = w.until AND w.until "
    "BETWEEN now() - interval '1 day' AND now() - interval '1 s'))::int" };

/**
 * bookings_overdue(bookings, overdue):
 * Set ${overdue} to whether there is a booking whose task was due within the
 * last day and has not led to a call.
 */
enum db_outcome
bookings_overdue(struct bookings *b, int *overdue)
{
	struct bookings_call call = { .sql = &overdue_sql };

	*overdue = 0;
	return (bookings_changed(b, &call, overdue));
}

/**
 * bookings_trouble(bookings, trouble, len):
 * Is there a statement that the database refuses for every booking?  If so,
 * say which and why in one sentence in ${trouble}, and return non-zero.
 */
int
bookings_trouble(struct bookings *b, char *trouble, size_t len)
{

	return (b->refusals != NULL &&
	    refusals_trouble(b->refusals, monotime_ms(), trouble, len));
}
