-- part-alter.sql: changes the type of a column that our triggers or our index
-- name, which PostgreSQL refuses while they are there.  What comes behind it in
-- the same transaction makes them anew, to the table's new shape; the index
-- follows.  Nobody can write the table meanwhile, so nothing is missed.  A
-- default that PostgreSQL does not cast by itself is cast like the values.
--
-- Variables: alter_column; alter_type and alter_using, as they stand in ALTER
-- TABLE.

SELECT set_config('followup.table', format('%I.%I', :'schema', :'table'),
    true) AS followup_unused
\gset
DO $$BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger
        WHERE tgrelid = to_regclass(current_setting('followup.table'))
        AND obj_description(oid, 'pg_trigger') LIKE 'followup-scheduler %')
    THEN
        RAISE EXCEPTION 'no follow-up triggers on %',
            current_setting('followup.table')
            USING HINT = 'nothing of ours is in the way of ALTER TABLE';
    END IF;
END$$;
SELECT format('DROP TRIGGER %I ON %I.%I', t.tgname, :'schema', :'table')
FROM pg_trigger t
WHERE t.tgrelid = to_regclass(format('%I.%I', :'schema', :'table'))
    AND NOT t.tgisinternal
    AND obj_description(t.oid, 'pg_trigger') LIKE 'followup-scheduler %'
\gexec
DROP INDEX IF EXISTS :"schema".followup_bookings_due_idx;
SELECT set_config('followup.alter', jsonb_build_object('column',
        :'alter_column', 'type', :'alter_type', 'using', :'alter_using')::text,
        true) AS followup_unused
\gset
DO $$
DECLARE
    asked constant jsonb := current_setting('followup.alter');
    tab constant text := current_setting('followup.table');
    col constant text := quote_ident(asked ->> 'column');
    change constant text := format('ALTER COLUMN %s TYPE %s %s', col,
        asked ->> 'type', asked ->> 'using');
    value constant text := (SELECT pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attrdef d JOIN pg_attribute a
            ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE a.attrelid = to_regclass(tab)
            AND a.attname = asked ->> 'column');
BEGIN
    EXECUTE format('ALTER TABLE %s %s', tab, change);
EXCEPTION WHEN datatype_mismatch THEN
    -- Without its default, task_status lets no booking be rehearsed.
    IF value IS NULL THEN
        RAISE;
    END IF;
    EXECUTE format('ALTER TABLE %1$s ALTER COLUMN %2$s DROP DEFAULT, %3$s',
        tab, col, change);
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %s SET DEFAULT CAST(%s AS %s)',
        tab, col, value, asked ->> 'type');
END$$;
