-- part-alter.sql: changes the type of a column that our triggers or our index
-- name, which PostgreSQL refuses while they are there.  What comes behind it in
-- the same transaction makes them anew, to the table's new shape; the index
-- follows.  Nobody can write the table meanwhile, so nothing is missed.
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
ALTER TABLE :"schema".:"table"
    ALTER COLUMN :"alter_column" TYPE :alter_type :alter_using;
