#include <stdlib.h>
#include <string.h>

#include "bookings.h"
#include "config.h"
#include "log.h"
#include "metrics.h"
#include "monotime.h"
#include "time_limit.h"

#include "figures.h"

/*
 * The bookings that wait for their call, and their due time, which is worked
 * out only where it may be within the hour and needs the row's zone.  A dead
 * letter waits for nothing, even if its row could not be set to failed.  An
 * infinite time counts as no due time: nothing can be subtracted from it.
 * ${more} is a further column and ${from} its source; both may be empty.
 */
#define WAITING(more, from)						\
    "waiting AS (SELECT b.task_status = 'pending' AS is_pending, "	\
    "CASE WHEN NOT isfinite(b.scheduled_at) THEN NULL "			\
    "WHEN u.unsure = interval '0' "					\
    "OR b.scheduled_at > " BOOKINGS_NOW " + interval '1 h' "		\
    "+ u.unsure "							\
    "THEN b.scheduled_at::timestamptz "					\
    "ELSE {S}.followup_due_at(b.*) END "				\
    "AS due, b.task_scheduled_at, b.id " more				\
    "FROM " from "(SELECT " BOOKINGS_UNSURE " AS unsure OFFSET 0) u, "	\
    "{T} b "								\
    "WHERE b.task_status IN ('pending', 'scheduled') "			\
    "AND " BOOKINGS_IS_WANTED " "					\
    "AND NOT EXISTS (SELECT FROM {S}.followup_failures f "		\
    "WHERE f.booking_id = b.id AND f.dead_at IS NOT NULL OFFSET 0)), "	\
    "open AS (SELECT w.*, CASE WHEN w.is_pending THEN w.due "		\
    "WHEN isfinite(w.task_scheduled_at) THEN w.task_scheduled_at "	\
    "ELSE w.due END AS planned "					\
    "FROM waiting w WHERE NOT EXISTS (SELECT "				\
    "FROM {S}.followup_backlog k WHERE k.booking_id = w.id "		\
    "AND k.due_at IS NOT DISTINCT FROM w.due OFFSET 0)) "

#define MS(interval)	"(extract(epoch FROM " interval ") * 1000)::bigint"

static const struct bookings_sql figures_sql = { "figures",
"WITH " WAITING("", "") ", "
"home AS (SELECT n.oid FROM pg_namespace n WHERE n.nspname = $1), "
"canary AS (SELECT * FROM {S}.followup_canary_state()) "
"SELECT count(*) FILTER (WHERE is_pending), "
    "count(*) FILTER (WHERE NOT is_pending), "
    "(SELECT count(*) FROM {S}.followup_dead_letters), "
    "count(*) FILTER (WHERE is_pending AND planned < now()), "
    "count(*) FILTER (WHERE NOT is_pending AND planned < now()), "
    "coalesce(" MS("greatest(now() - min(planned) "
    "FILTER (WHERE is_pending), interval '0')") ", 0), "
    "coalesce(" MS("greatest(now() - min(planned) "
    "FILTER (WHERE NOT is_pending), interval '0')") ", 0), "
    MS("min(planned) FILTER (WHERE planned >= now())") ", "
    "count(*) FILTER (WHERE planned >= now() "
    "AND planned < now() + interval '1 h'), "
    "(SELECT count(*) FROM {S}.followup_obsolete_tasks), "
    "(SELECT count(*) FROM {S}.followup_pauses p WHERE p.scope = 'all' "
    "AND (p.until IS NULL OR p.until > now())), "
    "(SELECT count(*) FROM {S}.followup_pauses p WHERE p.scope <> 'all' "
    "AND (p.until IS NULL OR p.until > now())), "
    "(SELECT count(*) >= 6 AND bool_and(g.tgenabled IN ('O', 'A')) "
    "FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid "
    "JOIN home ON c.relnamespace = home.oid WHERE c.relname = $2 "
    "AND NOT g.tgisinternal "
    "AND g.tgname ~ '^trigger_.*followup_cloud_task')::int, "
    "(SELECT " MS("c.succeeded_at") " FROM canary c), "
    "(SELECT " MS("c.notified") " FROM canary c), "
    "(SELECT " MS("c.created") " FROM canary c), "
    "(SELECT " MS("c.called_back") " FROM canary c), "
    "(SELECT left(md5(string_agg(d.description, ',' "
    "ORDER BY p.proname, p.pronargs)), 12) FROM pg_proc p "
    "JOIN home ON p.pronamespace = home.oid "
    "JOIN pg_description d ON d.objoid = p.oid "
    "AND d.classoid = 'pg_proc'::regclass "
    "WHERE d.description LIKE 'followup-scheduler %') "
"FROM open" };

/* The metric and label of each column of the figures; one is a text. */
static const struct {
	enum metric metric;
	int label;
} columns[] = {
	{ METRICS_OPEN_BOOKINGS, METRICS_OPEN_PENDING },
	{ METRICS_OPEN_BOOKINGS, METRICS_OPEN_SCHEDULED },
	{ METRICS_OPEN_BOOKINGS, METRICS_OPEN_FAILED },
	{ METRICS_OVERDUE_BOOKINGS, METRICS_OPEN_PENDING },
	{ METRICS_OVERDUE_BOOKINGS, METRICS_OPEN_SCHEDULED },
	{ METRICS_OLDEST_OVERDUE, METRICS_OPEN_PENDING },
	{ METRICS_OLDEST_OVERDUE, METRICS_OPEN_SCHEDULED },
	{ METRICS_NEXT_DUE, 0 },
	{ METRICS_DUE_NEXT_HOUR, 0 },
	{ METRICS_OBSOLETE_TASKS, 0 },
	{ METRICS_PAUSED, METRICS_PAUSED_ALL },
	{ METRICS_PAUSED, METRICS_PAUSED_TENANTS },
	{ METRICS_TRIGGERS_ENABLED, 0 },
	{ METRICS_CANARY_SUCCESS, 0 },
	{ METRICS_CANARY_DURATION, METRICS_CANARY_NOTIFIED },
	{ METRICS_CANARY_DURATION, METRICS_CANARY_CREATED },
	{ METRICS_CANARY_DURATION, METRICS_CANARY_CALLED_BACK },
};

#define NCOLUMNS	(int)(sizeof(columns) / sizeof(columns[0]))

/* Set all metrics from the one row of ${result}. */
static void
take_figures(const PGresult *result)
{
	int i;

	for (i = 0; i < NCOLUMNS; i++)
		metrics_set(columns[i].metric, columns[i].label,
		    PQgetisnull(result, 0, i) ? METRICS_UNSET :
		    (long)db_int(result, 0, i));
	metrics_schema(PQgetisnull(result, 0, NCOLUMNS) ? "unknown" :
	    PQgetvalue(result, 0, NCOLUMNS));
}

/* Run ${call} on a connection that works; see time_limit_run. */
static enum db_outcome
run(struct bookings *b, struct bookings_call *call)
{
	enum db_outcome outcome;

	if ((outcome = bookings_ready(b)) != DB_OK)
		return (outcome);
	return (time_limit_run(b, call));
}

/**
 * figures_collect(conf, bookings, now):
 * Set the metrics of what the database knows, unless some worker has done so
 * within the FIGURES_MS before ${now} (monotime_ms).  If the database does not
 * answer, they are no longer shown.
 */
void
figures_collect(const struct config *conf, struct bookings *b, long now)
{
	struct bookings_call call = { .sql = &figures_sql, .nparams = 2,
	    .params = { conf->schema, conf->table } };
	static const char failed[] = "the figures of /metrics could not be "
	    "read: %s";
	enum db_outcome outcome;

	if (!metrics_collect_begin(now, FIGURES_MS))
		return;
	outcome = run(b, &call);
	metrics_set(METRICS_COLLECT_DURATION, 0, monotime_ms() - now);
	if (outcome != DB_OK) {
		log_warning(NULL, failed, bookings_error(b));
		metrics_collect_end(0);
		metrics_add(METRICS_COLLECT_ERRORS, 0, 1);
		return;
	}
	take_figures(call.result);
	PQclear(call.result);
	metrics_collect_end(now);
	metrics_set(METRICS_COLLECT_ERRORS, 0, 0);
}

/* The tenant, whatever its type, as text; the column may be missing. */
#define TENANT								\
    "(SELECT rtrim(format('%s', tenant_id)) FROM (SELECT b.*) AS r)"

static const struct bookings_sql tenants_sql = { "figures by tenant",
"WITH " WAITING(", " TENANT " AS tenant ", BOOKINGS_ABSENT ", ") ", "
"numbers AS (SELECT o.tenant, 1 AS open, "
    "(o.planned < now())::int AS overdue, 0 AS dead, "
    "greatest(now() - o.planned, interval '0') AS age "
    "FROM open o "
    "UNION ALL SELECT coalesce(rtrim(d.tenant_id), ''), 0, 0, 1, NULL "
    "FROM {S}.followup_dead_letters d), "
"tenants AS (SELECT n.tenant, sum(n.open) AS open, "
    "sum(n.overdue) AS overdue, sum(n.dead) AS dead, "
    "coalesce(" MS("max(n.age)") ", 0) AS age FROM numbers n "
    "GROUP BY n.tenant ORDER BY 3 DESC, 4 DESC, 2 DESC, 1 LIMIT $1::int) "
"SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object("
    "'tenantId', t.tenant, 'open', t.open, 'overdue', t.overdue, "
    "'dead', t.dead, 'oldestOverdueSeconds', t.age / 1000) "
    "ORDER BY t.overdue DESC, t.dead DESC, t.open DESC, t.tenant), '[]') "
    "FROM tenants t" };

/**
 * figures_by_tenant(bookings, limit, tenants):
 * Set ${tenants} to an array of the up to ${limit} (a number as text) tenants
 * with most bookings that are overdue, dead or open, in this order.  The caller
 * drops the reference.
 */
enum db_outcome
figures_by_tenant(struct bookings *b, const char *limit, json_t **tenants)
{
	struct bookings_call call = { .sql = &tenants_sql, .nparams = 1,
	    .params = { limit } };
	enum db_outcome outcome;

	*tenants = NULL;
	if ((outcome = run(b, &call)) != DB_OK)
		return (outcome);
	*tenants = json_loads(PQgetvalue(call.result, 0, 0), 0, NULL);
	PQclear(call.result);
	return (*tenants != NULL ? DB_OK : DB_LOST);
}

const struct bookings_sql *const figures_statements[] = { &figures_sql,
    &tenants_sql, NULL };
