-- status-booking-cloud-task-trigger.sql: how the follow-up bookings stand, as
-- lines for people.  Run it by `followup-trigger status`.
--
-- Variables: schema, table.

\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
BEGIN READ ONLY;
SET LOCAL search_path = pg_catalog, pg_temp;
\ir part-owner.sql
\ir part-installed.sql
\ir part-pauses.sql

SELECT format('scheduling on %I.%I: %s', :'schema', :'table', CASE
    WHEN count(*) = 0 THEN 'no triggers (run followup-trigger install)'
    WHEN bool_and(tgenabled IN ('O', 'A')) THEN 'enabled'
    WHEN bool_or(tgenabled IN ('O', 'A')) THEN 'partly disabled (run '
        'followup-trigger enable)'
    ELSE 'disabled (run followup-trigger enable)' END)
FROM pg_trigger
WHERE tgrelid = to_regclass(format('%I.%I', :'schema', :'table'))
    AND obj_description(oid, 'pg_trigger') LIKE 'followup-scheduler %';

SELECT format('%-10s %s', s.status, count(b.task_status))
FROM (VALUES ('pending', 1), ('scheduled', 2), ('executed', 3),
    ('cancelled', 4), ('failed', 5)) AS s (status, n)
LEFT JOIN :"schema".:"table" b ON b.task_status = s.status
    AND :"schema".followup_is_followup_type(b.booking_type::text)
GROUP BY s.status, s.n ORDER BY s.n;

SELECT format('dead letters of stage %s: %s', s.stage, count(d.booking_id))
FROM (VALUES ('schedule'), ('execute')) AS s (stage)
LEFT JOIN :"schema".followup_dead_letters d ON d.stage = s.stage
GROUP BY s.stage ORDER BY s.stage DESC;

SELECT format('obsolete tasks to delete: %s%s', count(*),
    ' (oldest since ' || min(obsolete_at) || ')')
FROM :"schema".followup_obsolete_tasks;

SELECT coalesce((SELECT format('oldest overdue pending booking: %s, due %s '
        '(%s ago)', o.id, o.due, date_trunc('second', now() - o.due))
    FROM (SELECT b.id, :"schema".followup_due_at(b) AS due
        FROM :"schema".:"table" b WHERE b.task_status = 'pending'
        AND :"schema".followup_is_followup_type(b.booking_type::text)) AS o
    WHERE o.due < now() AND NOT EXISTS (SELECT FROM
        :"schema".followup_backlog k WHERE (k.booking_id, k.due_at)
            = (o.id, o.due)) ORDER BY o.due LIMIT 1),
    'oldest overdue pending booking: none');

-- Those that were overdue at the first install are left alone.
SELECT format('left alone, overdue at the first install (%s): %s',
    date_trunc('second', s.value::timestamptz), count(b.id))
FROM :"schema".followup_settings s LEFT JOIN (:"schema".followup_backlog k
    JOIN :"schema".:"table" b ON b.id = k.booking_id
        AND b.task_status IN ('pending', 'scheduled')
        AND :"schema".followup_due_at(b) IS NOT DISTINCT FROM k.due_at) ON true
WHERE s.name = 'installed_at' GROUP BY s.value;

-- A row without a due time is never called.  Its zone is the likely reason.
SELECT format('pending bookings without a due time (unknown time zone): %s%s',
    count(*), coalesce(' ' || string_agg(format('%s=%s', id, zone), ', ')
        FILTER (WHERE n <= 5), ''))
FROM (SELECT b.id, coalesce(left(to_jsonb(b) ->> 'timezone', 60), '') AS zone,
        row_number() OVER (ORDER BY b.id) AS n
    FROM :"schema".:"table" b WHERE b.task_status = 'pending'
        AND :"schema".followup_is_followup_type(b.booking_type::text)
        AND :"schema".followup_due_at(b) IS NULL) AS lost;

SELECT upper(left(sentence, 1)) || substr(sentence, 2)
FROM :"schema".followup_canary_state();
ROLLBACK;
