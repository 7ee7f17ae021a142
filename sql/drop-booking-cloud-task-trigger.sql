-- drop-booking-cloud-task-trigger.sql: takes away the triggers and functions
-- that create-booking-cloud-task-trigger.sql made, and the index.  Columns,
-- tables and grants stay, with the state of every booking, so that installing
-- again goes on where it was.
--
--   psql -v schema=lad_dev -v table=lead_bookings [-v purge=on] -f THIS
--
-- With purge=on those go, too: all that the install made, and nothing else.
-- What was made carries a COMMENT that starts with 'followup-scheduler'.  So
-- a column of the bookings table goes only if the install added it; a grant
-- only if the install gave it; and a followup_call_request, followup_gate or
-- followup_queue which the deployment has replaced stays in any case.  It may
-- be run again; one transaction.

\set followup_quiet :QUIET
\set QUIET on
\ir part-defaults.sql
\ir part-begin.sql
\ir part-owner.sql

SELECT to_regclass(format('%I.%I', :'schema', :'table'))::oid
        IS NOT NULL AS followup_has_table,
    coalesce(to_regclass(format('%I.%I', :'schema', :'table'))::oid, 0)
        AS followup_table,
    coalesce(to_regnamespace(quote_ident(:'schema'))::oid, 0)
        AS followup_schema
\gset

-- Triggers, index (also one whose build was interrupted: that has no COMMENT
-- yet), functions: what depends on another goes first.
SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
FROM pg_trigger t
WHERE t.tgrelid IN (:followup_table,
        to_regclass(format('%I.followup_settings', :'schema')),
        to_regclass(format('%I.followup_pauses', :'schema')),
        to_regclass(format('%I.followup_canary', :'schema')))
    AND obj_description(t.oid, 'pg_trigger') LIKE 'followup-scheduler %'
\gexec
SELECT format('DROP INDEX %s', i.indexrelid::regclass)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = :followup_table
    AND (c.relname = 'followup_bookings_due_idx'
    OR obj_description(c.oid, 'pg_class') LIKE 'followup-scheduler %')
\gexec
SELECT format('DROP FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
WHERE p.pronamespace = :followup_schema
    AND obj_description(p.oid, 'pg_proc') LIKE 'followup-scheduler %'
    AND (p.proname NOT IN ('followup_call_request', 'followup_gate',
        'followup_queue')
    OR split_part(obj_description(p.oid, 'pg_proc'), ' ', 2) = md5(p.prosrc))
\gexec

\if :purge
-- The grants on what is not ours, as far as the role did not have them before.
SELECT CASE granted ->> 'on'
    WHEN 'database' THEN format('REVOKE CONNECT ON DATABASE %I FROM %I',
        current_database(), granted ->> 'role')
    WHEN 'schema' THEN format('REVOKE USAGE ON SCHEMA %I FROM %I', :'schema',
        granted ->> 'role')
    WHEN 'table' THEN format('REVOKE SELECT ON %I.%I FROM %I', :'schema',
        :'table', granted ->> 'role')
    WHEN 'column' THEN format('REVOKE UPDATE (%I) ON %I.%I FROM %I',
        granted ->> 'column', :'schema', :'table', granted ->> 'role') END
FROM jsonb_array_elements(substring(obj_description(to_regclass(format(
    '%I.followup_failures', :'schema')), 'pg_class')
    FROM '^followup-scheduler.*; granted: (.*)$')::jsonb) AS granted
WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = granted ->> 'role')
    AND (granted ->> 'on' IN ('database', 'schema') OR :'followup_has_table')
    AND (granted ->> 'on' <> 'column' OR EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = :followup_table
        AND attname = granted ->> 'column' AND NOT attisdropped))
\gexec

SELECT format('DROP VIEW %s', c.oid::regclass) FROM pg_class c
WHERE c.relkind = 'v' AND c.relnamespace = :followup_schema
    AND obj_description(c.oid, 'pg_class') LIKE 'followup-scheduler %'
\gexec
SELECT format('DROP TABLE %s', c.oid::regclass) FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = :followup_schema
    AND c.relname IN ('followup_failures', 'followup_attempts',
        'followup_obsolete_tasks', 'followup_settings', 'followup_pauses',
        'followup_past_pauses', 'followup_past_hours', 'followup_late',
        'followup_waits', 'followup_history', 'followup_backlog',
        'followup_canary', 'followup_acts', 'followup_events')
    AND obj_description(c.oid, 'pg_class') LIKE 'followup-scheduler%'
\gexec
SELECT format('ALTER TABLE %I.%I DROP COLUMN %I', :'schema', :'table',
    a.attname)
FROM pg_attribute a
WHERE a.attrelid = :followup_table AND a.attnum > 0 AND NOT a.attisdropped
    AND col_description(a.attrelid, a.attnum) LIKE 'followup-scheduler:%'
\gexec

\endif

SELECT coalesce(string_agg(format('kept %s: this deployment has its own',
    p.oid::regprocedure), E'\n'), '') AS followup_kept
FROM pg_proc p WHERE p.pronamespace = :followup_schema
    AND p.proname IN ('followup_call_request', 'followup_gate',
        'followup_queue')
\gset
COMMIT;

SELECT :'followup_kept' <> '' AS followup_has_kept
\gset
\if :followup_has_kept
\echo :followup_kept
\endif
\echo follow-up scheduling is not installed on :"schema".:"table" any more
\if :purge
\else
\echo -n 'its columns and tables are kept: install goes on where it was, '
\echo 'uninstall --purge removes them'
\endif
\set QUIET :followup_quiet
