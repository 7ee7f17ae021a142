-- preview-booking-cloud-task-trigger.sql: who would be called, and when; and
-- who would not be, and why.  It changes nothing.  Run it by
-- `followup-trigger preview`.
--
-- Open bookings are found through our index, and those whose status is none of
-- ours among the rows that were written last: history is not read.
--
-- Variables: schema, table, tenant (empty: all), window (what
-- FOLLOWUP_SWEEP_WINDOW is).

\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
BEGIN READ ONLY;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL standard_conforming_strings = on;
\ir part-installed.sql
\ir part-tenant.sql
\ir part-pauses.sql
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;

WITH found AS MATERIALIZED (
    SELECT b.id FROM :"schema".:"table" b
    WHERE b.task_status IN ('pending', 'scheduled')
        AND :"schema".followup_is_followup_type(b.booking_type::text)
    UNION ALL
    SELECT b.id FROM :"schema".:"table" b
    WHERE b.ctid >= (SELECT format('(%s,0)', CASE s.bytes WHEN 0
            THEN 4294967295 ELSE greatest(0, s.bytes
            / current_setting('block_size')::int - 100) END)::tid
            FROM (SELECT pg_relation_size(to_regclass(format('%I.%I',
                :'schema', :'table'))) AS bytes) AS s)
        AND coalesce(b.task_status::text, '')
            NOT IN ('pending', 'scheduled', 'executed', 'cancelled', 'failed')
        AND :"schema".followup_is_followup_type(b.booking_type::text)
), booking AS MATERIALIZED (
    SELECT b.id, b.booking_type, b.task_status, x.due, g.verdict, g.reason,
        greatest(coalesce(g.until, greatest(x.due, now())), f.turn)
            AS called_at,
        g.verdict = 'wait' AND g.until IS NULL AS open_end, r.tenant, CASE
        WHEN b.task_status::text NOT IN ('pending', 'scheduled')
            OR b.task_status IS NULL THEN 'its task_status is none of ours: '
            'set it to pending to have it called'
        WHEN f.dead THEN 'it is a dead letter, though its row could not be '
            'set to failed: retry it once the cause is fixed'
        WHEN x.due IS NULL THEN 'the due time cannot be determined (unknown '
            'time zone?)'
        WHEN g.verdict NOT IN ('call', 'wait') THEN g.reason
        WHEN b.task_status = 'pending' AND x.due < now() - w.span
            AND NOT EXISTS (SELECT FROM :"schema".followup_pauses p
                WHERE p.scope IN ('all', 'tenant:' || r.tenant)
                AND (p.until > now() - w.span
                    OR p.until IS NULL)
                AND x.due >= p.paused_at - w.span)
            THEN 'overdue by more than FOLLOWUP_SWEEP_WINDOW' END AS why_not
    FROM found JOIN :"schema".:"table" b ON b.id = found.id
    CROSS JOIN (SELECT greatest(:'window'::interval, coalesce((SELECT s.value
        FROM :"schema".followup_settings s WHERE s.name = 'call_within'),
        '4h')::interval) AS span) w
    CROSS JOIN LATERAL (SELECT :"schema".followup_due_at(b.*) AS due,
        :"schema".followup_fields(b.*) AS fields OFFSET 0) x
    CROSS JOIN LATERAL (SELECT coalesce(x.fields ->> 'tenant_id', '')
        AS tenant) r
    CROSS JOIN LATERAL :"schema".followup_verdict(b.*) g
    CROSS JOIN LATERAL (SELECT bool_or(f.dead_at IS NOT NULL) AS dead,
        max(f.next_attempt_at) FILTER (WHERE b.task_status = 'pending'
            AND f.stage = 'schedule' AND f.last_failed_at <= now()) AS turn
        FROM :"schema".followup_failures f WHERE f.booking_id = b.id OFFSET 0) f
    WHERE NOT :"schema".followup_is_deleted(b.*)
        AND :'tenant' IN ('', r.tenant)
)
SELECT line FROM (
    SELECT 1 AS part, called_at AS place, format('call %s%s: %s (tenant %s, '
        '%s, %s)%s', CASE WHEN called_at > now()
            THEN 'at ' || date_trunc('second', called_at) ELSE 'at once' END,
        CASE WHEN due < called_at THEN ', due since '
            || date_trunc('second', due) END,
        id, tenant, booking_type, task_status, CASE WHEN verdict = 'wait'
            THEN '; waits: ' || reason || CASE WHEN open_end
            THEN ', until resumed' ELSE '' END END) AS line
    FROM booking WHERE why_not IS NULL
    UNION ALL
    SELECT 2, NULL, format('would be called: %s; of them overdue: %s; within '
        'an hour: %s; waiting now: %s', count(*),
        count(*) FILTER (WHERE due <= now()), count(*) FILTER (
            WHERE called_at > now()
            AND called_at <= now() + interval '1 hour'),
        count(*) FILTER (WHERE verdict = 'wait'))
    FROM booking WHERE why_not IS NULL
    UNION ALL
    SELECT 3, NULL, format('would not be called: %s, such as %s: %s', count(*),
        min(id::text), why_not)
    FROM booking WHERE why_not IS NOT NULL GROUP BY why_not
) AS lines ORDER BY part, place, line;
ROLLBACK;
