#include <stdio.h>

#include "bookings.h"
#include "config.h"
#include "time_limit.h"

#include "status_figures.h"

/* A time as ISO 8601 in UTC. */
#define ISO(time)							\
	"pg_catalog.to_char(" time " AT TIME ZONE 'UTC', "		\
	"'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* Dead letters, whatever their row says. */
#define IS_TO_COME(due)							\
	"AND " BOOKINGS_IS_WANTED " "					\
	"AND NOT " BOOKINGS_IN_BACKLOG("b.id", due) " "			\
	"AND NOT EXISTS (SELECT FROM {S}.followup_failures f "		\
	"WHERE f.booking_id = b.id AND f.dead_at IS NOT NULL OFFSET 0) "

#define DUE_AT								\
	"CROSS JOIN LATERAL (SELECT {S}.followup_due_at(b.*) AS due "	\
	"OFFSET 0) AS d "

/* When a task comes: at its time, if that is one, and else when it is due. */
#define COMES_AT							\
	"coalesce(CASE WHEN isfinite(b.task_scheduled_at) "		\
	"THEN b.task_scheduled_at END, d.due)"

/* The most rows that a statement considers, plus one. */
#define LIMIT		"10001"
#define LETTERS		"5001"

/*
 * Overdue are those whose task's time has passed by a minute, and those that
 * have no task a minute after they were due.  $1 is the sweep's window in
 * seconds: what is older and has no task is left alone, and is not counted as
 * overdue.  $2 is a tenant, whose bookings are listed besides; or null.
 */
static const struct bookings_sql overdue_sql = { "status overdue",
    "WITH open AS (SELECT b.* FROM " BOOKINGS_ABSENT " CROSS JOIN LATERAL ("
    "(SELECT b.id, tenant_id::text AS tenant_id, 'pending' AS status, "
    "d.due, timezone::text AS timezone FROM {T} b " DUE_AT
    "WHERE b.task_status = 'pending' "
    "AND b.scheduled_at > " BOOKINGS_NOW " - interval '35 days' "
    "AND b.scheduled_at < " BOOKINGS_NOW " + " BOOKINGS_UNSURE " "
    "AND d.due < now() " IS_TO_COME("d.due")
    "ORDER BY b.scheduled_at LIMIT " LIMIT ") UNION ALL "
    "(SELECT b.id, tenant_id::text, 'scheduled', "
    COMES_AT ", timezone::text "
    "FROM {T} b " DUE_AT "WHERE b.task_status = 'scheduled' "
    "AND b.scheduled_at > " BOOKINGS_NOW " - interval '35 days' "
    "AND b.scheduled_at < " BOOKINGS_NOW " + " BOOKINGS_UNSURE " "
    "AND " COMES_AT " < now() "
    IS_TO_COME("d.due")
    "ORDER BY b.scheduled_at LIMIT " LIMIT ")) AS b), "
    "late AS (SELECT * FROM open WHERE due < now() - interval '60 s' "
    "AND (status = 'scheduled' "
    "OR due > now() - " BOOKINGS_WINDOW("$1") ")), "
    "oldest AS (SELECT *, true AS of_all FROM (SELECT * FROM late "
    "ORDER BY due LIMIT 20) AS a UNION ALL SELECT *, false "
    "FROM (SELECT * FROM late WHERE tenant_id = $2::text "
    "ORDER BY due LIMIT 20) AS t), "
    "shown AS (SELECT o.of_all, pg_catalog.json_agg("
    "pg_catalog.json_build_object('bookingId', o.id, 'tenantId', o.tenant_id, "
    "'taskStatus', o.status, 'dueAt', " ISO("o.due") ", "
    "'timezone', o.timezone, 'dueThere', pg_catalog.to_char(o.due "
    "AT TIME ZONE {S}.followup_zone(o.timezone), 'YYYY-MM-DD HH24:MI')) "
    "ORDER BY o.due) AS list FROM oldest o GROUP BY 1) "
    "SELECT pg_catalog.json_build_object("
    "'count', (SELECT count(*) FROM late), "
    "'atLeast', (SELECT count(*) FROM open) >= " LIMIT ", "
    "'waiting', (SELECT count(*) FROM open), "
    "'left', (SELECT count(*) FROM open WHERE status = 'pending' "
    "AND due <= now() - " BOOKINGS_WINDOW("$1") "), "
    "'oldestSeconds', (SELECT extract(epoch FROM now() - min(due))::bigint "
    "FROM late), "
    "'bookings', coalesce((SELECT list FROM shown WHERE of_all), '[]'), "
    "'ofTenant', coalesce((SELECT list FROM shown WHERE NOT of_all), '[]'), "
    "'tenants', (SELECT coalesce(pg_catalog.json_object_agg(t.tenant_id, t.n "
    "ORDER BY t.n DESC), pg_catalog.json_build_object()) "
    "FROM (SELECT tenant_id, count(*) AS n FROM late "
    "WHERE tenant_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 10) AS t))"
};

/* What comes due within the hour, by minute, and the first that does. */
static const struct bookings_sql next_sql = { "status next",
    "WITH coming AS ((SELECT d.due FROM {T} b " DUE_AT
    "WHERE b.task_status = 'pending' AND " BOOKINGS_IS_WANTED " "
    "AND b.scheduled_at > " BOOKINGS_NOW " - " BOOKINGS_UNSURE " "
    "AND b.scheduled_at < " BOOKINGS_NOW " + interval '1 h' "
    "+ " BOOKINGS_UNSURE " "
    "AND d.due BETWEEN now() AND now() + interval '1 h' "
    "ORDER BY b.scheduled_at LIMIT " LIMIT ") "
    "UNION ALL (SELECT " COMES_AT " "
    "FROM {T} b " DUE_AT
    "WHERE b.task_status = 'scheduled' AND " BOOKINGS_IS_WANTED " "
    "AND b.scheduled_at > " BOOKINGS_NOW " - interval '3 days' "
    "AND b.scheduled_at < " BOOKINGS_NOW " + interval '1 h' "
    "+ " BOOKINGS_UNSURE " "
    "AND " COMES_AT " BETWEEN now() "
    "AND now() + interval '1 h' ORDER BY b.scheduled_at LIMIT " LIMIT ")), "
    "ahead AS ((SELECT d.due FROM {T} b " DUE_AT
    "WHERE b.task_status = 'pending' AND " BOOKINGS_IS_WANTED " "
    "AND b.scheduled_at > " BOOKINGS_NOW " AND d.due > now() "
    "ORDER BY b.scheduled_at LIMIT 20) UNION ALL "
    "(SELECT d.due FROM {T} b " DUE_AT
    "WHERE b.task_status = 'scheduled' AND " BOOKINGS_IS_WANTED " "
    "AND b.scheduled_at > " BOOKINGS_NOW " AND d.due > now() "
    "ORDER BY b.scheduled_at LIMIT 20)) "
    "SELECT pg_catalog.json_build_object("
    "'in15Minutes', count(*) FILTER (WHERE due < now() + interval '15 min'), "
    "'in60Minutes', count(*), 'atLeast', count(*) >= " LIMIT ", "
    "'minutes', (SELECT pg_catalog.json_agg(coalesce(c.n, 0) ORDER BY m) "
    "FROM generate_series(0, 59) AS m LEFT JOIN (SELECT "
    "floor(extract(epoch FROM due - now()) / 60)::int AS minute, "
    "count(*) AS n FROM coming GROUP BY 1) AS c ON c.minute = m), "
    "'nextAt', (SELECT " ISO("least(min(a.due), (SELECT min(due) "
    "FROM coming))") " FROM ahead a)) FROM coming" };

/*
 * The newest dead letters, in groups that died of the same: of the tenant $1,
 * unless that is null.
 */
static const struct bookings_sql letters_sql = { "status letters",
    "WITH newest AS (SELECT d.* FROM {S}.followup_dead_letters d "
    "ORDER BY d.dead_at DESC LIMIT " LETTERS "), "
    "asked AS (SELECT n.*, {S}.followup_cause(n.error) AS cause "
    "FROM newest n WHERE $1::text IS NULL OR n.tenant_id = $1::text), "
    "causes AS (SELECT stage, http_status, cause, count(*) AS n, "
    "count(DISTINCT tenant_id) AS tenants, min(dead_at) AS first_at, "
    "max(dead_at) AS last_at, "
    "(pg_catalog.array_agg(booking_id::text ORDER BY dead_at DESC))[1:3] "
    "AS ids FROM asked GROUP BY 1, 2, 3 ORDER BY 4 DESC, 7 DESC LIMIT 20) "
    "SELECT pg_catalog.json_build_object("
    "'count', (SELECT count(*) FROM asked), "
    "'atLeast', (SELECT count(*) FROM newest) >= " LETTERS ", "
    "'causes', (SELECT coalesce(pg_catalog.json_agg("
    "pg_catalog.json_build_object('stage', stage, 'httpStatus', http_status, "
    "'error', cause, 'count', n, 'tenants', tenants, "
    "'first', " ISO("first_at") ", 'last', " ISO("last_at") ", "
    "'bookingIds', ids) ORDER BY n DESC, last_at DESC), '[]') FROM causes), "
    "'tenants', (SELECT coalesce(pg_catalog.json_object_agg(t.tenant_id, "
    "t.n), pg_catalog.json_build_object()) "
    "FROM (SELECT tenant_id, count(*) AS n FROM newest "
    "WHERE tenant_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 10) AS t))"
};

/* The acts of operators; a bulk retry is one act. */
static const struct bookings_sql acts_sql = { "status acts",
    "WITH retried AS (SELECT r.at AS retried_at, r.by AS retried_by, "
    "coalesce(r.reason LIKE 'however late%', false) AS late, "
    "r.booking_id FROM {S}.followup_history r WHERE r.what = 'retried' "
    "ORDER BY r.at DESC LIMIT 1000), "
    "acts AS (SELECT max(r.retried_at) AS at, r.retried_by AS who, "
    "CASE count(DISTINCT r.booking_id) WHEN 1 "
    "THEN 'retried booking ' || min(r.booking_id::text) "
    "ELSE format('retried %s bookings', count(DISTINCT r.booking_id)) END "
    "|| CASE WHEN r.late THEN ', however late' ELSE '' END AS what "
    "FROM retried r GROUP BY r.retried_by, r.late, "
    "date_trunc('minute', r.retried_at) "
    "UNION ALL (SELECT p.at, p.by, p.what FROM {S}.followup_acts p "
    "ORDER BY p.id DESC LIMIT 20)) "
    "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object("
    "'at', " ISO("a.at") ", 'by', a.who, 'what', a.what) "
    "ORDER BY a.at DESC), '[]') FROM (SELECT * FROM acts ORDER BY at DESC "
    "LIMIT 20) AS a" };

/*
 * The installation; closedUntil is when the calling hours of the zone that
 * bookings without one have begin again, or null while they last.
 */
static const struct bookings_sql installation_sql = { "status installation",
    "SELECT pg_catalog.json_build_object("
    "'database', pg_catalog.current_database(), "
    "'server', pg_catalog.current_setting('server_version'), "
    "'role', current_user, "
    "'settings', (SELECT pg_catalog.json_object_agg(s.name, s.value "
    "ORDER BY s.name) FROM {S}.followup_settings s), "
    "'triggers', (SELECT pg_catalog.json_object_agg(g.tgname, "
    "g.tgenabled IN ('O', 'A') ORDER BY g.tgname) "
    "FROM pg_catalog.pg_trigger g WHERE g.tgrelid = (SELECT t.typrelid "
    "FROM pg_catalog.pg_type t WHERE t.oid = pg_typeof(NULL::{T})) "
    "AND NOT g.tgisinternal "
    "AND g.tgname ~ '^trigger_.*followup_cloud_task'), "
    "'canary', (SELECT pg_catalog.json_build_object("
    "'isOn', c.every IS NOT NULL, 'isStale', c.is_stale, "
    "'succeededAt', " ISO("c.succeeded_at") ", 'sentence', c.sentence) "
    "FROM {S}.followup_canary_state() AS c), "
    "'closedUntil', (SELECT CASE WHEN o.opens > now() THEN "
    ISO("o.opens") " END FROM {S}.followup_settings s, "
    "LATERAL {S}.followup_open(s.week, coalesce((SELECT z.value "
    "FROM {S}.followup_settings z WHERE z.name = 'calling_zone'), 'UTC'), "
    "now()) AS o WHERE s.name = 'calling_hours' AND s.week IS NOT NULL))" };

/*
 * Types that are misspelt, among the rows that were written last: the end of
 * the table is read, and no more, and of one that is partitioned nothing.
 */
static const struct bookings_sql types_sql = { "status types",
    "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object("
    "'type', t.type, 'meant', t.meant, 'count', t.n) ORDER BY t.n DESC), "
    "'[]') FROM (SELECT r.type, {S}.followup_type_meant(r.type) AS meant, r.n "
    "FROM (SELECT left(b.booking_type::text, 60) AS type, count(*) AS n "
    "FROM {T} b WHERE b.ctid >= (SELECT format('(%s,0)', CASE s.bytes "
    "WHEN 0 THEN 4294967295 ELSE greatest(0, s.bytes "
    "/ pg_catalog.current_setting('block_size')::int - 100) END)::tid "
    "FROM (SELECT pg_catalog.pg_relation_size(pg_typeof(NULL::{T})::text"
    "::regclass) AS bytes) AS s) AND NOT " BOOKINGS_IS_FOLLOWUP " "
    "GROUP BY 1 ORDER BY 2 DESC LIMIT 20) AS r) AS t "
    "WHERE t.meant IS NOT NULL" };

/* Run ${sql} and parse the JSON that is its one value; NULL: it failed. */
static json_t *
ask(struct bookings *b, const struct bookings_sql *sql, int nparams,
    const char *const *params, enum db_outcome *outcome)
{
	struct bookings_call call = { .sql = sql, .nparams = nparams };
	json_t *json;
	int i;

	for (i = 0; i < nparams; i++)
		call.params[i] = params[i];
	if ((*outcome = time_limit_run(b, &call)) != DB_OK)
		return (NULL);
	json = json_loads(PQgetvalue(call.result, 0, 0), JSON_DECODE_ANY,
	    NULL);
	PQclear(call.result);
	if (json == NULL)
		*outcome = DB_FAILED;
	return (json);
}

/* Move the object ${from}.tenants into ${tenants} as the count ${name}. */
static void
take_tenants(json_t *from, const char *name, json_t *tenants)
{
	json_t *counts = json_object_get(from, "tenants"), *tenant, *n;
	const char *id;

	json_object_foreach(counts, id, n) {
		if ((tenant = json_object_get(tenants, id)) == NULL) {
			tenant = json_pack("{s:s, s:i, s:i}", "tenantId", id,
			    "overdue", 0, "dead", 0);
			(void)json_object_set_new(tenants, id, tenant);
		}
		(void)json_object_set(tenant, name, n);
	}
	(void)json_object_del(from, "tenants");
}

static json_int_t
trouble_of(const json_t *tenant)
{

	return (json_integer_value(json_object_get(tenant, "overdue")) +
	    json_integer_value(json_object_get(tenant, "dead")));
}

/* The 10 of ${tenants} that have most trouble, as an array. */
static json_t *
worst_tenants(json_t *tenants)
{
	json_t *list = json_array(), *tenant, *worst;
	const char *id, *worst_id = NULL;

	while (json_object_size(tenants) > 0 && json_array_size(list) < 10) {
		worst = NULL;
		json_object_foreach(tenants, id, tenant) {
			if (worst == NULL ||
			    trouble_of(tenant) > trouble_of(worst)) {
				worst = tenant;
				worst_id = id;
			}
		}
		(void)json_array_append(list, worst);
		(void)json_object_del(tenants, worst_id);
	}
	json_decref(tenants);
	return (list);
}

/**
 * status_figures(bookings, conf, tenant):
 * Return an object of what could be found out, a member a section, for the
 * caller to drop; or NULL if the database cannot be asked.
 */
json_t *
status_figures(struct bookings *b, const struct config *conf,
    const char *tenant)
{
	char window[16];
	const char *const of_overdue[] = { window, tenant };
	const struct {
		const char *name;
		const struct bookings_sql *sql;
		int nparams;
		const char *const *params;
	} sections[] = { { "overdue", &overdue_sql, 2, of_overdue },
	    { "next", &next_sql, 0, NULL },
	    { "deadLetters", &letters_sql, 1, &tenant },
	    { "acts", &acts_sql, 0, NULL },
	    { "installation", &installation_sql, 0, NULL },
	    { "types", &types_sql, 0, NULL } };
	json_t *figures, *missing, *tenants, *found;
	enum db_outcome outcome;
	size_t i;
	int slow = 0;

	(void)snprintf(window, sizeof(window), "%d", conf->sweep_window);
	if (bookings_ready(b) != DB_OK)
		return (NULL);
	figures = json_object();
	missing = json_array();
	tenants = json_object();
	outcome = DB_OK;
	for (i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		found = NULL;
		if (!slow && outcome != DB_LOST)
			found = ask(b, sections[i].sql, sections[i].nparams,
			    sections[i].params, &outcome);
		slow |= outcome == DB_LOCKED;
		if (found == NULL) {
			(void)json_array_append_new(missing, json_pack(
			    "{s:s, s:s}", "section", sections[i].name, "why",
			    slow ? "the database took longer than a second" :
			    bookings_error(b)));
			continue;
		}
		take_tenants(found, i == 0 ? "overdue" : "dead", tenants);
		(void)json_object_set_new(figures, sections[i].name, found);
	}
	(void)json_object_set_new(figures, "tenants", worst_tenants(tenants));
	(void)json_object_set_new(figures, "missing", missing);
	return (figures);
}

const struct bookings_sql *const status_figures_statements[] = {
    &overdue_sql, &next_sql, &letters_sql, &acts_sql, &installation_sql,
    &types_sql, NULL };
