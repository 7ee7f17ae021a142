-- part-unset.sql: makes pending what was inserted without a status while there
-- was no trigger to do so, in a transaction of its own.  Only a column that
-- may be null can have such rows.

SELECT NOT attnotnull AS followup_may_be_unset FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass(pg_catalog.format('%I.%I', :'schema',
        :'table')) AND attname = 'task_status'
\gset
\if :followup_may_be_unset
BEGIN;
SET LOCAL followup.daemon = 'on';
UPDATE :"schema".:"table" b SET task_status = 'pending'
WHERE b.task_status IS NULL
    AND :"schema".followup_is_followup_type(b.booking_type::pg_catalog.text)
    AND :"schema".followup_due_at(b.*)
        OPERATOR(pg_catalog.>) pg_catalog.now() - interval '1 day'
    AND NOT EXISTS (SELECT FROM :"schema".followup_backlog k
        WHERE k.booking_id OPERATOR(pg_catalog.=) b.id);
COMMIT;
\endif
