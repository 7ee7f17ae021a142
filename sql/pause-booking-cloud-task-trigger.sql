-- pause-booking-cloud-task-trigger.sql: pauses and resumes calls.  Run it by
-- `followup-trigger pause` and `followup-trigger resume`.
--
-- The change is committed before anything is counted: neither many bookings nor
-- a gate that fails must keep calls from being stopped.  Of each status the
-- count considers so many bookings, those that are due first.
--
-- Variables: schema, table, resume (on or off), tenant (empty: everything),
-- reason, until (empty: no end).

\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
\set considered 10000
SET search_path = pg_catalog, pg_temp;
SET standard_conforming_strings = on;
-- As the daemons have them: with a cost of 1e10, each gate would be compiled.
SET jit = off;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
BEGIN READ ONLY;
\ir part-installed.sql
-- followup_pause says itself what is no tenant.
\if :resume
\ir part-tenant.sql
\endif
SELECT CASE :'tenant' WHEN '' THEN 'all' ELSE 'tenant:' || :'tenant' END
    AS scope
\gset
SELECT coalesce(substr(:"schema".followup_scope(:'scope'), 8), :'tenant')
        AS tenant
\gset
SELECT CASE :'tenant' WHEN '' THEN 'calls' ELSE 'calls of tenant ' || :'tenant'
        END AS followup_calls,
    'SELECT count(*) FILTER (WHERE w.waits) AS n, '
        'count(*) FILTER (WHERE w.waits AND w.due < now()) AS overdue, '
        'coalesce(bool_or(w.place = ' || :considered || '), false) AS more, '
        'coalesce(array_agg(w.id) FILTER (WHERE w.waits), ''{}'') AS ids '
        'FROM (' || string_agg(format('(SELECT b.id, '
        '%1$I.followup_due_at(b.*) AS due, g.verdict = ''wait'' '
        'OR g.then_never IS NOT NULL AS waits, '
        'row_number() OVER () AS place FROM (SELECT b.* FROM %1$I.%2$I b '
        'WHERE b.task_status = %3$L '
        'AND %1$I.followup_is_followup_type(b.booking_type::text) '
        'AND NOT %1$I.followup_is_deleted(b.*) '
        'ORDER BY b.scheduled_at, b.id LIMIT %4$s) AS b '
        'CROSS JOIN LATERAL %1$I.followup_verdict(b.*) AS g)', :'schema',
        :'table', s, :considered), ' UNION ALL ') || ') AS w'
        AS followup_waiting
FROM unnest('{pending,scheduled}'::text[]) AS s
\gset
COMMIT;

\if :resume
\set ON_ERROR_STOP off
:followup_waiting
\gset
\set followup_uncounted :ERROR
\set ON_ERROR_STOP on
SELECT :"schema".followup_resume(:'scope') AS followup_resumed
\gset
\if :followup_resumed
\if :followup_uncounted
\else
\set ON_ERROR_STOP off
SELECT count(*) FILTER (WHERE g.verdict <> 'wait' AND g.then_never IS NULL)
        AS n,
    count(*) FILTER (WHERE g.verdict = 'call'
        AND :"schema".followup_due_at(b.*) < now()) AS overdue,
    count(*) FILTER (WHERE g.verdict = 'never' AND g.then_never IS NULL)
        AS too_late
FROM :"schema".:"table" b CROSS JOIN LATERAL :"schema".followup_verdict(b.*) g
WHERE b.id = ANY (:'ids')
\gset
\set followup_uncounted :ERROR
\set ON_ERROR_STOP on
\endif
\if :followup_uncounted
\echo :followup_calls are resumed; bookings that waited could not be counted
\else
SELECT format('%1$s are resumed; bookings that waited: %2$s%3$s, of them '
    'overdue and called as fast as the queue allows: %2$s%4$s%5$s',
    :'followup_calls', CASE WHEN :'more' THEN 'at least ' END, :n, :overdue,
    CASE WHEN :too_late > 0 THEN format('; too late, which become dead '
    'letters: %s%s', CASE WHEN :'more' THEN 'at least ' END, :too_late) END);
\endif
\else
\echo :followup_calls were not paused
\endif
\ir part-pauses.sql
\else
BEGIN;
SELECT set_config('followup.wrong', coalesce(:"schema".followup_pause(
    :'scope', :'reason', nullif(:'until', '')::timestamptz), ''), true)
    AS followup_unused
\gset
DO $$BEGIN
    IF current_setting('followup.wrong') <> '' THEN
        RAISE EXCEPTION '%', current_setting('followup.wrong')
            USING HINT = 'nothing was changed';
    END IF;
END$$;
COMMIT;
\ir part-pauses.sql
\set ON_ERROR_STOP off
:followup_waiting
\gset
\if :ERROR
\echo calls are paused; bookings that wait could not be counted
\else
SELECT format('bookings that wait: %1$s%2$s, of them overdue: %1$s%3$s', CASE
        WHEN :'more' THEN 'at least ' END, :n, :overdue);
\endif
\endif
