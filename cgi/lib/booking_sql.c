#include "booking_sql.h"

/*
 * The families of advisory locks ("FolS", "FolE" and "FolL" in ASCII): the
 * first of the two keys, so that they do not meet an application's own.
 */
#define LOCK_FAMILY(stage)						\
	"CASE " stage " WHEN 'schedule' THEN 1181707347 ELSE 1181707333 END"

/* A time as ISO 8601 in UTC, to the millisecond or microsecond. */
#define ISO_MS(time)							\
	"to_char(" time " AT TIME ZONE 'UTC', "				\
	"'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define ISO_US(time)							\
	"to_char(" time " AT TIME ZONE 'UTC', "				\
	"'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* A row b that is a follow-up booking; and which somebody still wants. */
#define IS_FOLLOWUP							\
	"{S}.followup_is_followup_type(b.booking_type::text)"
#define IS_WANTED							\
	IS_FOLLOWUP " AND NOT coalesce((to_jsonb(b) ->> 'is_deleted')::boolean, false)"

/* What the row says from the beginning of an attempt to its end. */
#define OUTCOME_UNKNOWN							\
	"'an attempt to start the call was begun, and its outcome is not "	\
	"known'"

/*
 * A task may fire before followup-schedule knows that it made it: what it
 * writes then, ${text}, must not hide that an attempt is under way.
 */
#define UNLESS_UNKNOWN(text)						\
	"CASE WHEN b.last_execution_error = " OUTCOME_UNKNOWN		\
	" THEN b.last_execution_error ELSE " text " END"

/* Remember a failure $2..$6 of booking $1; attempts are counted here. */
#define UPSERT_FAILURE(dead, from)					\
	"INSERT INTO {S}.followup_failures AS f (booking_id, stage, "	\
	"tenant_id, attempts, next_attempt_at, http_status, error, dead_at) " \
	"SELECT $1::uuid, $2, $3, 1, now() + $4::float8 * interval '1 s', " \
	"nullif($5::int, 0), $6, " dead from "ON CONFLICT (booking_id, stage) "	\
	"DO UPDATE SET attempts = f.attempts + 1, last_failed_at = now(), " \
	"next_attempt_at = excluded.next_attempt_at, "			\
	"http_status = excluded.http_status, error = excluded.error, "	\
	"dead_at = excluded.dead_at "

const char *const booking_sql[SQL_COUNT] = {
	[SQL_LOCK] =
	    "SELECT pg_advisory_lock(" LOCK_FAMILY("$1::text") ", "
	    "hashtext($2))",

	[SQL_TRY_LOCK] =
	    "SELECT pg_try_advisory_lock(" LOCK_FAMILY("$1::text") ", "
	    "hashtext($2))",

	[SQL_UNLOCK] =
	    "SELECT pg_advisory_unlock(" LOCK_FAMILY("$1::text") ", "
	    "hashtext($2))",

	/* The order of the columns is that of enum column in booking.c. */
	[SQL_READ] =
	    "SELECT b.task_status, x.j ->> 'tenant_id', x.j ->> 'lead_id', "
	    "x.j ->> 'assigned_user_id', b.booking_type, "
	    "{S}.followup_is_followup_type(b.booking_type::text), "
	    "coalesce((x.j ->> 'is_deleted')::boolean, false), "
	    "b.task_name, " ISO_MS("b.task_scheduled_at") ", "
	    ISO_MS("b.executed_at") ", b.execution_attempts, "
	    "b.last_execution_error, x.j ->> 'scheduled_at', "
	    "x.j ->> 'timezone', x.due::text, " ISO_MS("x.due") ", "
	    ISO_US("x.due") ", floor(extract(epoch FROM x.due))::bigint, "
	    "extract(epoch FROM x.due - now())::float8, "
	    "coalesce(f.attempts, 0), "
	    "greatest(extract(epoch FROM f.next_attempt_at - now()), 0)"
	    "::float8, "
	    "coalesce(b.last_execution_error = " OUTCOME_UNKNOWN ", false) "
	    "FROM {T} b CROSS JOIN LATERAL (SELECT to_jsonb(b) AS j, "
	    "{S}.followup_due_at(b) AS due OFFSET 0) x "
	    "LEFT JOIN {S}.followup_failures f "
	    "ON f.booking_id = b.id AND f.stage = 'schedule' "
	    "WHERE b.id = $1::uuid",

	[SQL_SCHEDULED] =
	    "WITH changed AS (UPDATE {T} b SET task_name = $2, "
	    "task_scheduled_at = $3::timestamptz, idempotency_key = $4, "
	    "task_status = 'scheduled', "
	    "last_execution_error = " UNLESS_UNKNOWN("NULL") " "
	    "WHERE b.id = $1::uuid AND b.task_status = 'pending' "
	    "AND {S}.followup_due_at(b) = $3::timestamptz AND " IS_WANTED
	    " RETURNING b.id), "
	    "forgotten AS (DELETE FROM {S}.followup_failures f "
	    "USING changed WHERE f.booking_id = changed.id "
	    "AND f.stage = 'schedule') "
	    "SELECT count(*) FROM changed",

	[SQL_EXECUTION_BEGUN] =
	    "WITH changed AS (UPDATE {T} b "
	    "SET execution_attempts = b.execution_attempts + 1, "
	    "last_execution_error = " OUTCOME_UNKNOWN " "
	    "WHERE b.id = $1::uuid "
	    "AND b.task_status IN ('pending', 'scheduled') "
	    "AND {S}.followup_due_at(b) = $2::timestamptz AND " IS_WANTED
	    " RETURNING b.id) "
	    "SELECT count(*) FROM changed",

	/*
	 * Reading the row first, and updating from what was read, keeps the
	 * two in order within the statement.
	 *
	 * The task that made the call has the id $2; its full name is that of
	 * any other task of the queue up to the id.  A task that the row was
	 * given meanwhile, for another time, must not be left in the queue;
	 * it would find the row executed.
	 */
	[SQL_EXECUTED] =
	    "WITH before AS (SELECT b.id, b.task_name AS old, "
	    "coalesce(regexp_replace(b.task_name, '[^/]*$', $2), b.task_name) "
	    "AS name FROM {T} b WHERE b.id = $1::uuid FOR UPDATE), "
	    "changed AS (UPDATE {T} b SET task_status = 'executed', "
	    "executed_at = now(), last_execution_error = NULL, "
	    "task_name = before.name, "
	    "task_scheduled_at = $3::timestamptz, idempotency_key = $4 "
	    "FROM before WHERE b.id = before.id "
	    "AND b.task_status <> 'executed' RETURNING b.id), "
	    "obsolete AS (INSERT INTO {S}.followup_obsolete_tasks "
	    "(task_name, booking_id) SELECT before.old, before.id "
	    "FROM before WHERE before.old <> before.name "
	    "ON CONFLICT DO NOTHING), "
	    "forgotten AS (DELETE FROM {S}.followup_failures f "
	    "USING changed WHERE f.booking_id = changed.id) "
	    "SELECT count(*) FROM changed",

	[SQL_NAME_EXECUTED] =
	    "WITH changed AS (UPDATE {T} b SET task_name = $2 "
	    "WHERE b.id = $1::uuid AND b.task_status = 'executed' "
	    "AND b.task_name IS NULL RETURNING b.id) "
	    "SELECT count(*) FROM changed",

	[SQL_FAILED_ONCE] =
	    "WITH noted AS (" UPSERT_FAILURE("NULL::timestamptz ",
	    "FROM {T} b WHERE b.id = $1::uuid "
	    "AND {S}.followup_due_at(b) = $7::timestamptz ")
	    "RETURNING booking_id), "
	    "changed AS (UPDATE {T} b SET last_execution_error = "
	    "CASE $2::text WHEN 'schedule' THEN " UNLESS_UNKNOWN("$6")
	    " ELSE $6 END "
	    "WHERE b.id = $1::uuid "
	    "AND b.task_status IN ('pending', 'scheduled') "
	    "AND {S}.followup_due_at(b) = $7::timestamptz RETURNING b.id) "
	    "SELECT count(*) FROM changed",

	/* A due time that cannot be told is compared as such. */
	[SQL_FAILED] =
	    "WITH changed AS (UPDATE {T} b SET task_status = 'failed', "
	    "last_execution_error = $6 WHERE b.id = $1::uuid "
	    "AND b.task_status IN ('pending', 'scheduled') "
	    "AND {S}.followup_due_at(b) IS NOT DISTINCT FROM $7::timestamptz "
	    "RETURNING b.id), "
	    "noted AS (" UPSERT_FAILURE("now() ", "FROM changed WHERE true ")
	    "RETURNING booking_id) "
	    "SELECT count(*) FROM changed",

	/* Spelled out, since the triggers may be disabled. */
	[SQL_UNSCHEDULE] =
	    "WITH changed AS (UPDATE {T} b SET task_status = 'pending', "
	    "task_name = NULL, task_scheduled_at = NULL, "
	    "idempotency_key = NULL, execution_attempts = 0, "
	    "last_execution_error = NULL "
	    "WHERE b.id = $1::uuid AND b.task_status = 'scheduled' "
	    "AND b.task_name = $2 RETURNING b.id), "
	    "obsolete AS (INSERT INTO {S}.followup_obsolete_tasks "
	    "(task_name, booking_id) SELECT $2, changed.id FROM changed "
	    "ON CONFLICT DO NOTHING) "
	    "SELECT count(*) FROM changed",

	/* No new start, which the trigger tells by the key that stays. */
	[SQL_TASK_GONE] =
	    "WITH changed AS (UPDATE {T} b SET task_status = 'pending', "
	    "task_name = NULL, task_scheduled_at = NULL "
	    "WHERE b.id = $1::uuid AND b.task_status = 'scheduled' "
	    "AND b.task_name = $2 RETURNING b.id) "
	    "SELECT count(*) FROM changed",

	[SQL_CANCEL] =
	    "WITH before AS (SELECT b.id, b.task_name FROM {T} b "
	    "WHERE b.id = $1::uuid FOR UPDATE), "
	    "changed AS (UPDATE {T} b SET task_status = 'cancelled', "
	    "task_name = NULL, task_scheduled_at = NULL "
	    "FROM before WHERE b.id = before.id "
	    "AND b.task_status <> 'executed' RETURNING b.id), "
	    "obsolete AS (INSERT INTO {S}.followup_obsolete_tasks "
	    "(task_name, booking_id) SELECT before.task_name, before.id "
	    "FROM before JOIN changed USING (id) "
	    "WHERE before.task_name IS NOT NULL ON CONFLICT DO NOTHING) "
	    "SELECT count(*) FROM changed",

	/*
	 * A statement of its own: the trigger has deleted them as part of the
	 * cancellation, and a row is not deleted twice in one statement.
	 */
	[SQL_FORGET_FAILURES] =
	    "DELETE FROM {S}.followup_failures f "
	    "WHERE f.booking_id = $1::uuid",

	[SQL_RETRY] =
	    "SELECT CASE WHEN {S}.followup_retry($1::uuid) THEN 1 ELSE 0 END",

	[SQL_RETRY_ALL] =
	    "SELECT {S}.followup_retry_all($1, "
	    "coalesce($2::timestamptz, '-infinity'), "
	    "coalesce($3::timestamptz, 'infinity'))",

	[SQL_OBSOLETE_TASKS] =
	    "SELECT o.task_name FROM {S}.followup_obsolete_tasks o "
	    "WHERE o.booking_id = $1::uuid ORDER BY o.obsolete_at",

	[SQL_OBSOLETE_DELETED] =
	    "DELETE FROM {S}.followup_obsolete_tasks o "
	    "WHERE o.task_name = $1",

	[SQL_OBSOLETE_LATER] =
	    "UPDATE {S}.followup_obsolete_tasks o "
	    "SET attempts = o.attempts + 1, "
	    "next_attempt_at = now() + $2::float8 * interval '1 s' "
	    "WHERE o.booking_id = $1::uuid",

	[SQL_CALL_REQUEST] =
	    "SELECT {S}.followup_call_request($1::uuid)::text",

	[SQL_DEAD_LETTERS] =
	    "SELECT d.booking_id, d.tenant_id, d.stage, d.attempts, "
	    ISO_MS("d.first_failed_at") ", " ISO_MS("d.last_failed_at") ", "
	    "d.http_status, d.error, " ISO_US("d.dead_at") " "
	    "FROM {S}.followup_dead_letters d "
	    "WHERE $1::timestamptz IS NULL "
	    "OR (d.dead_at, d.booking_id) < ($1::timestamptz, $2::uuid) "
	    "ORDER BY d.dead_at DESC, d.booking_id DESC LIMIT $3::int",

	/*
	 * NULL, or the first thing that is missing.  $1 is the schema, $2 the
	 * schema and $3 the table as quoted names.
	 */
	[SQL_CHECK] =
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
	    "--grant-to with it' END",

	/*
	 * The range over the bare column is what the index serves; it is a
	 * day wider on both sides because a timestamp without time zone may
	 * be due up to that much earlier or later than it reads.  Of those
	 * that are overdue a page is drawn by lot, so that many that wait in
	 * a paused queue do not keep others from being looked at.
	 */
	[SQL_SWEEP] =
	    "WITH pending AS (SELECT b.id, b.tenant_id::text AS tenant_id, "
	    "b.scheduled_at::timestamp::text AS place "
	    "FROM {T} b CROSS JOIN LATERAL "
	    "(SELECT {S}.followup_due_at(b) AS due OFFSET 0) x "
	    "WHERE b.task_status = 'pending' AND " IS_WANTED " "
	    "AND b.scheduled_at > (now() AT TIME ZONE 'UTC') "
	    "- $1::float8 * interval '1 s' - interval '1 day' "
	    "AND b.scheduled_at < (now() AT TIME ZONE 'UTC') "
	    "+ interval '31 days' "
	    "AND (x.due IS NULL OR x.due BETWEEN "
	    "now() - $1::float8 * interval '1 s' AND now() + {H}) "
	    "AND NOT EXISTS (SELECT FROM {S}.followup_failures f "
	    "WHERE f.booking_id = b.id AND f.stage = 'schedule' "
	    "AND f.next_attempt_at > now()) "
	    "AND NOT EXISTS (SELECT FROM {S}.followup_obsolete_tasks o "
	    "WHERE o.booking_id = b.id AND o.next_attempt_at > now()) "
	    "AND ($2::timestamp IS NULL "
	    "OR (b.scheduled_at::timestamp, b.id) > "
	    "($2::timestamp, $3::uuid)) "
	    "ORDER BY b.scheduled_at::timestamp, b.id LIMIT $4::int), "
	    "obsolete AS (SELECT DISTINCT o.booking_id AS id, "
	    "NULL::text AS tenant_id, NULL::text AS place "
	    "FROM {S}.followup_obsolete_tasks o "
	    "WHERE $2::timestamp IS NULL AND (o.next_attempt_at IS NULL "
	    "OR o.next_attempt_at <= now()) LIMIT $4::int), "
	    "overdue AS (SELECT b.id, b.tenant_id::text AS tenant_id "
	    "FROM {T} b CROSS JOIN LATERAL "
	    "(SELECT {S}.followup_due_at(b) AS due OFFSET 0) x "
	    "WHERE $5::float8 IS NOT NULL AND $2::timestamp IS NULL "
	    "AND b.task_status = 'scheduled' AND " IS_FOLLOWUP " "
	    "AND b.scheduled_at > (now() AT TIME ZONE 'UTC') "
	    "- $1::float8 * interval '1 s' - interval '1 day' "
	    "AND (x.due BETWEEN now() - $1::float8 * interval '1 s' "
	    "AND now() - $5::float8 * interval '1 s' "
	    "OR x.due <> b.task_scheduled_at) "
	    "ORDER BY random() LIMIT $4::int) "
	    "SELECT id, tenant_id, place FROM obsolete UNION ALL "
	    "SELECT id, tenant_id, NULL FROM overdue UNION ALL "
	    "SELECT id, tenant_id, place FROM pending",
};
