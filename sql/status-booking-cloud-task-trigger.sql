-- status-booking-cloud-task-trigger.sql: how the follow-up bookings stand, as
-- lines for people.  Run it by `followup-trigger status`.
--
-- Open bookings are found through our index, and what is over is not counted:
-- it may be years of history.  A count that reaches its limit says so.  A
-- booking that is deleted is nobody's concern, whatever its task_status.
--
-- Variables: schema, table.

\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
BEGIN READ ONLY;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL standard_conforming_strings = on;
\ir part-owner.sql
\ir part-installed.sql
\ir part-pauses.sql
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
-- What is switched off counts as dear, and dear plans would be compiled first.
SET LOCAL jit = off;
\set considered 100000

SELECT format('scheduling on %I.%I: %s', :'schema', :'table', CASE
    WHEN count(*) = 0 THEN 'no triggers (run followup-trigger install)'
    WHEN bool_and(tgenabled IN ('O', 'A')) THEN 'enabled'
    WHEN bool_or(tgenabled IN ('O', 'A')) THEN 'partly disabled (run '
        'followup-trigger enable)'
    ELSE 'disabled (run followup-trigger enable)' END)
FROM pg_trigger
WHERE tgrelid = to_regclass(format('%I.%I', :'schema', :'table'))
    AND obj_description(oid, 'pg_trigger') LIKE 'followup-scheduler %';

SELECT format('%-10s %s%s', 'pending', CASE WHEN count(*) > :considered
    THEN 'more than ' END, least(count(*), :considered))
FROM (SELECT FROM :"schema".:"table" b WHERE b.task_status = 'pending'
    AND :"schema".followup_is_followup_type(b.booking_type::text)
    AND NOT :"schema".followup_is_deleted(b.*)
    LIMIT :considered + 1) AS b;
SELECT format('%-10s %s%s', 'scheduled', CASE WHEN count(*) > :considered
    THEN 'more than ' END, least(count(*), :considered))
FROM (SELECT FROM :"schema".:"table" b WHERE b.task_status = 'scheduled'
    AND :"schema".followup_is_followup_type(b.booking_type::text)
    AND NOT :"schema".followup_is_deleted(b.*)
    LIMIT :considered + 1) AS b;

SELECT format('dead letters of stage %s: %s', s.stage, count(d.booking_id))
FROM (VALUES ('schedule'), ('execute')) AS s (stage)
LEFT JOIN :"schema".followup_dead_letters d ON d.stage = s.stage
GROUP BY s.stage ORDER BY s.stage DESC;

SELECT format('obsolete tasks to delete: %s%s', count(*),
    ' (oldest since ' || min(obsolete_at) || ')')
FROM :"schema".followup_obsolete_tasks;

-- Overdue bookings are due and have not been called, whatever they wait for;
-- dead letters are none, whatever their row says.
SELECT CASE WHEN pg_typeof((NULL:::"schema".:"table").scheduled_at
        + interval '0') = 'timestamptz'::regtype THEN 'now()'
    ELSE '(now() AT TIME ZONE ''UTC'') + interval ''16 h''' END
    AS followup_latest
\gset
SELECT format(E'overdue %s bookings: %s%s\noldest overdue %1$s booking: %4$s',
    o.status, CASE WHEN o.n > :considered THEN 'more than ' END,
    least(o.n, :considered), CASE WHEN o.n > 0 THEN format('%s, due %s '
        '(%s ago)', o.id, o.due, date_trunc('second', now() - o.due))
    ELSE 'none' END)
FROM (SELECT 'pending' AS status, count(*) AS n,
        min(o.due) AS due, (array_agg(o.id ORDER BY o.due))[1] AS id
    FROM (SELECT b.id, d.due FROM :"schema".:"table" b CROSS JOIN LATERAL
        (SELECT :"schema".followup_due_at(b.*) AS due OFFSET 0) AS d
        WHERE b.task_status = 'pending'
        AND :"schema".followup_is_followup_type(b.booking_type::text)
        AND NOT :"schema".followup_is_deleted(b.*)
        AND b.scheduled_at < :followup_latest
        AND NOT EXISTS (SELECT FROM :"schema".followup_failures f
            WHERE f.booking_id = b.id AND f.dead_at IS NOT NULL OFFSET 0)
        AND d.due < now() AND NOT EXISTS (SELECT FROM
            :"schema".followup_backlog k WHERE (k.booking_id, k.due_at)
            = (b.id, d.due) OFFSET 0)
        ORDER BY b.scheduled_at LIMIT :considered + 1) AS o
    UNION ALL
    SELECT 'scheduled', count(*), min(o.due),
        (array_agg(o.id ORDER BY o.due))[1]
    FROM (SELECT b.id, coalesce(p.at, d.due) AS due
        FROM :"schema".:"table" b CROSS JOIN LATERAL
        (SELECT :"schema".followup_due_at(b.*) AS due OFFSET 0) AS d
        CROSS JOIN LATERAL (SELECT CASE WHEN isfinite(b.task_scheduled_at)
            THEN b.task_scheduled_at END AS at) AS p
        WHERE b.task_status = 'scheduled'
        AND :"schema".followup_is_followup_type(b.booking_type::text)
        AND NOT :"schema".followup_is_deleted(b.*)
        AND b.scheduled_at < :followup_latest
        AND NOT EXISTS (SELECT FROM :"schema".followup_failures f
            WHERE f.booking_id = b.id AND f.dead_at IS NOT NULL OFFSET 0)
        AND coalesce(p.at, d.due) < now()
        AND NOT EXISTS (SELECT FROM :"schema".followup_backlog k
            WHERE (k.booking_id, k.due_at) = (b.id, d.due) OFFSET 0)
        ORDER BY b.scheduled_at LIMIT :considered + 1) AS o) AS o
ORDER BY o.status;

-- What keeps them from being called, as far as the database knows.
-- The listener of this table holds the lock with the table's bookings_key: both
-- names, each with its NUL, as FNV-1a.
WITH RECURSIVE key AS (
    SELECT 0 AS n, 2166136261 AS hash, convert_to(:'schema', 'UTF8')
        || decode('00', 'hex') || convert_to(:'table', 'UTF8')
        || decode('00', 'hex') AS names
    UNION ALL
    SELECT k.n + 1, (k.hash # get_byte(k.names, k.n)) * 16777619 % 4294967296,
        k.names FROM key k WHERE k.n < length(k.names))
SELECT 'no followup-listener is connected for this table: new bookings '
    'wait until one is started (systemctl status followup-listener)'
WHERE NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory'
    AND l.classid = 1181707340 AND l.objsubid = 2 AND l.granted
    AND l.objid = (SELECT k.hash & 2147483647 FROM key k
        WHERE k.n = length(k.names))::oid
    AND l.database = (SELECT d.oid FROM pg_database d
        WHERE d.datname = current_database()));
SELECT format('the calling hours are over until %s in the zone %s', o.opens,
    z.zone)
FROM :"schema".followup_settings s, LATERAL (SELECT coalesce((SELECT value
    FROM :"schema".followup_settings WHERE name = 'calling_zone'), 'UTC')
    AS zone) AS z, LATERAL :"schema".followup_open(s.week, z.zone, now()) AS o
WHERE s.name = 'calling_hours' AND s.week IS NOT NULL AND o.opens > now();

-- Types that are misspelt, among the rows that were written last.
SELECT format('%s bookings of the type "%s" are left alone: did you mean '
    '"%s"?', t.n, t.type, t.meant)
FROM (SELECT r.*, :"schema".followup_type_meant(r.type) AS meant
    FROM (SELECT left(b.booking_type::text, 60) AS type, count(*) AS n
        FROM :"schema".:"table" b WHERE b.ctid >= (SELECT format('(%s,0)',
            CASE s.bytes WHEN 0 THEN 4294967295
            ELSE greatest(0, s.bytes / current_setting('block_size')::int - 100)
            END)::tid
            FROM (SELECT pg_relation_size(to_regclass(format('%I.%I',
                :'schema', :'table'))) AS bytes) AS s)
        AND NOT :"schema".followup_is_followup_type(b.booking_type::text)
        GROUP BY 1 ORDER BY 2 DESC LIMIT 20) AS r) AS t
WHERE t.meant IS NOT NULL;

-- Those that were overdue at the first install are left alone.
SELECT format('left alone, overdue at the first install (%s): %s%s',
    date_trunc('second', s.value::timestamptz), CASE WHEN (SELECT count(*)
        FROM (SELECT FROM :"schema".followup_backlog
            LIMIT :considered + 1) AS k) > :considered
        THEN 'at least ' END, count(b.id))
FROM :"schema".followup_settings s LEFT JOIN ((SELECT * FROM
    :"schema".followup_backlog LIMIT :considered) AS k
    JOIN :"schema".:"table" b ON b.id = k.booking_id
        AND b.task_status IN ('pending', 'scheduled')
        AND :"schema".followup_due_at(b.*) IS NOT DISTINCT FROM k.due_at)
    ON true
WHERE s.name = 'installed_at' GROUP BY s.value;

-- A row without a due time is never called.  Its zone is the likely reason.
SELECT format('pending bookings without a due time (unknown time zone): %s%s',
    count(*), coalesce(' ' || string_agg(format('%s=%s', id, zone), ', ')
        FILTER (WHERE n <= 5), ''))
FROM (SELECT b.id, coalesce(left(:"schema".followup_fields(b.*)
        ->> 'timezone', 60), '') AS zone,
        row_number() OVER (ORDER BY b.id) AS n
    FROM (SELECT b.* FROM :"schema".:"table" b
        WHERE b.task_status = 'pending'
        AND :"schema".followup_is_followup_type(b.booking_type::text)
        AND NOT :"schema".followup_is_deleted(b.*)
        LIMIT :considered) AS b
    WHERE :"schema".followup_due_at(b.*) IS NULL) AS lost;

SELECT upper(left(sentence, 1)) || substr(sentence, 2)
FROM :"schema".followup_canary_state();
ROLLBACK;
