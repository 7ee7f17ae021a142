-- switch-booking-cloud-task-trigger.sql: enables or disables the triggers that
-- create-booking-cloud-task-trigger.sql made, all of them in one transaction.
-- Run it by `followup-trigger enable` and `followup-trigger disable`.
--
-- Variables: schema, table, action (ENABLE or DISABLE), lock_timeout.

\set ON_ERROR_STOP on
\if :{?lock_timeout}
\else
\set lock_timeout 10s
\endif
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
\ir part-owner.sql
SELECT set_config('lock_timeout', :'lock_timeout', true) AS followup_unused,
    set_config('followup.table', format('%I.%I', :'schema', :'table'), true)
        AS followup_unused
\gset
DO $$BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger
        WHERE tgrelid = to_regclass(current_setting('followup.table'))
        AND obj_description(oid, 'pg_trigger') LIKE 'followup-scheduler %')
    THEN
        RAISE EXCEPTION 'no follow-up triggers on %',
            current_setting('followup.table')
            USING HINT = 'run followup-trigger install, or name the table by '
            '--schema and --table';
    END IF;
END$$;
SELECT format('ALTER TABLE %s %s TRIGGER %I', tgrelid::regclass,
    CASE :'action' WHEN 'ENABLE' THEN 'ENABLE' ELSE 'DISABLE' END, tgname)
FROM pg_trigger
WHERE tgrelid IN (to_regclass(format('%I.%I', :'schema', :'table')),
        to_regclass(format('%I.followup_canary', :'schema')))
    AND obj_description(oid, 'pg_trigger') LIKE 'followup-scheduler %'
\gexec
COMMIT;
SELECT :'action' = 'ENABLE' AS followup_enable
\gset
\if :followup_enable
\ir part-unset.sql
\endif
