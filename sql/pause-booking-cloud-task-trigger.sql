-- pause-booking-cloud-task-trigger.sql: pauses and resumes calls.  Run it by
-- `followup-trigger pause` and `followup-trigger resume`.
--
-- Variables: schema, table, resume (on or off), tenant (empty: everything),
-- reason, until (empty: no end).

\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
\ir part-installed.sql
SELECT CASE :'tenant' WHEN '' THEN 'all' ELSE 'tenant:' || :'tenant' END
    AS scope
\gset
SELECT coalesce(substr(:"schema".followup_scope(:'scope'), 8), :'tenant')
        AS tenant
\gset
SELECT CASE :'tenant' WHEN '' THEN 'calls' ELSE 'calls of tenant ' || :'tenant'
        END AS followup_calls,
    format('SELECT count(*) AS n, count(*) FILTER (WHERE '
        '%1$I.followup_due_at(b) < now()) AS overdue FROM %1$I.%2$I b '
        'WHERE b.task_status IN (''pending'', ''scheduled'') '
        'AND %1$I.followup_is_followup_type(b.booking_type::text) '
        'AND (SELECT g.verdict FROM %1$I.followup_gate(b) g) = ''wait''',
        :'schema', :'table') AS followup_waiting
\gset

\if :resume
:followup_waiting
\gset followup_before_
SELECT :"schema".followup_resume(:'scope') AS followup_resumed
\gset
:followup_waiting
\gset followup_after_
SELECT CASE WHEN :'followup_resumed' THEN format('%s are resumed; bookings '
        'that waited: %s, of them overdue and called within seconds: %s',
        :'followup_calls', :followup_before_n - :followup_after_n,
        :followup_before_overdue - :followup_after_overdue)
    ELSE format('%s were not paused', :'followup_calls') END;
\ir part-pauses.sql
\else
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
\ir part-pauses.sql
:followup_waiting
\gset
SELECT format('bookings that wait: %s, of them overdue: %s', :n, :overdue);
\endif
COMMIT;
