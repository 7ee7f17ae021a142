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
\ir part-tenant.sql
SELECT set_config('followup.until', :'until', true) AS followup_unused,
    CASE :'tenant' WHEN '' THEN 'all' ELSE 'tenant:' || :'tenant' END AS scope,
    CASE :'tenant' WHEN '' THEN 'calls' ELSE 'calls of tenant ' || :'tenant'
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
WITH ended AS (UPDATE :"schema".followup_pauses SET until = now()
    WHERE scope = :'scope' AND (until IS NULL OR until > now()) RETURNING 1),
excepted AS (UPDATE :"schema".followup_pauses
    SET except_tenants = except_tenants || :'tenant'::text
    WHERE :'tenant' <> '' AND scope = 'all'
        AND (until IS NULL OR until > now())
        AND :'tenant' <> ALL (except_tenants) RETURNING 1)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM excepted) > 0
    AS followup_resumed
\gset
:followup_waiting
\gset followup_after_
SELECT CASE WHEN :'followup_resumed' THEN format('%s are resumed: %s bookings '
        'waited, %s of them are overdue and called within seconds',
        :'followup_calls', :followup_before_n - :followup_after_n,
        :followup_before_overdue - :followup_after_overdue)
    ELSE format('%s were not paused', :'followup_calls') END;
\ir part-pauses.sql
\else
DO $$BEGIN
    IF nullif(current_setting('followup.until'), '')::timestamptz <= now() THEN
        RAISE EXCEPTION 'the end of the pause, %, has passed',
            current_setting('followup.until')::timestamptz
            USING HINT = 'give a time to come, or leave out --until';
    END IF;
END$$;
-- Who is paused again within moments may still wait for the sweep.
INSERT INTO :"schema".followup_pauses AS p (scope, reason, until)
VALUES (:'scope', :'reason', nullif(:'until', '')::timestamptz)
ON CONFLICT (scope) DO UPDATE SET reason = excluded.reason,
    paused_by = excluded.paused_by, until = excluded.until,
    except_tenants = '{}', paused_at = CASE
        WHEN p.until < now() - interval '10 min' THEN excluded.paused_at
        ELSE p.paused_at END;
\ir part-pauses.sql
:followup_waiting
\gset
SELECT format('bookings that wait: %s, of them overdue: %s', :n, :overdue);
\endif
COMMIT;
