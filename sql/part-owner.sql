-- part-owner.sql: a schema holds one bookings table, because our functions and
-- tables in it belong to that one.  Fails where it is another than the one
-- asked for.
--
-- A table that was renamed keeps its triggers; where there are none, the
-- COMMENT of followup_obsolete_tasks names the table as it was called.  The
-- canary's table, which is ours, has a trigger in any case.

WITH installed AS (
    SELECT c.oid, quote_ident(c.relname) AS name FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgfoid = to_regprocedure(
        format('%I.schedule_followup_cloud_task()', :'schema'))
        AND t.tgrelid IS DISTINCT FROM to_regclass(
        format('%I.followup_canary', :'schema'))
), noted AS (
    SELECT substring(obj_description(to_regclass(format(
        '%I.followup_obsolete_tasks', :'schema')), 'pg_class')
        FROM '^followup-scheduler:.*; table: (.*)$') AS name
), asked AS (
    SELECT to_regclass(format('%I.%I', :'schema', :'table'))::oid AS oid
)
SELECT set_config('followup.problem', coalesce((
    SELECT format('the follow-up scheduling of schema %I belongs to its table '
        '%s, not to %I', :'schema', name, :'table')
    FROM (SELECT oid, name FROM installed
        UNION ALL
        SELECT to_regclass(format('%I.%s', :'schema', name)), name FROM noted
        WHERE name IS NOT NULL
            AND NOT EXISTS (SELECT FROM installed)) AS owner
    WHERE owner.oid IS DISTINCT FROM asked.oid AND owner.oid IS NOT NULL
        AND NOT EXISTS (SELECT FROM installed WHERE installed.oid = asked.oid)
    LIMIT 1), ''), true) AS followup_unused
FROM asked
\gset
DO $$BEGIN
    IF current_setting('followup.problem') <> '' THEN
        RAISE EXCEPTION '%', current_setting('followup.problem')
            USING HINT = 'name that table by --table, or move this one to a '
            'schema of its own, or run followup-trigger uninstall --purge for '
            'that one first';
    END IF;
END$$;
