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
        'coalesce(bool_or(w.place = ' || :considered || '), false) AS more '
        'FROM (' || string_agg(format('(SELECT '
        '%1$I.followup_due_at(b.*) AS due, (SELECT g.verdict '
        'FROM %1$I.followup_verdict(b.*) g) = ''wait'' AS waits, '
        'row_number() OVER () AS place FROM (SELECT b.* FROM %1$I.%2$I b '
        'WHERE b.task_status = %3$L '
        'AND %1$I.followup_is_followup_type(b.booking_type::text) '
        'AND NOT %1$I.followup_is_deleted(b.*) '
        'ORDER BY b.scheduled_at, b.id LIMIT %4$s) AS b)', :'schema', :'table',
        s, :considered), ' UNION ALL ') || ') AS w' AS followup_waiting
FROM unnest('{pending,scheduled}'::text[]) AS s
\gset
COMMIT;

\if :resume
\set ON_ERROR_STOP off
:followup_waiting
\gset followup_before_
\set followup_uncounted :ERROR
\set ON_ERROR_STOP on
SELECT :"schema".followup_resume(:'scope') AS followup_resumed
\gset
\if :followup_resumed
\set ON_ERROR_STOP off
:followup_waiting
\gset followup_after_
\if :ERROR
\set followup_uncounted on
\endif
\set ON_ERROR_STOP on
\if :followup_uncounted
\echo :followup_calls are resumed; bookings that waited could not be counted
\else
SELECT format('%1$s are resumed; bookings that waited: %2$s%3$s, of them '
    'overdue and called as fast as the queue allows: %2$s%4$s',
    :'followup_calls', CASE WHEN :'followup_before_more' THEN 'at least ' END,
    greatest(:followup_before_n - :followup_after_n, 0),
    greatest(:followup_before_overdue - :followup_after_overdue, 0));
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
