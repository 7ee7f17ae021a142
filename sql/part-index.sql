-- part-index.sql: the index, outside of any transaction so that nobody waits
-- for it.  One that is invalid, or another than ours, goes first.
--
-- It waits for all transactions that have begun before, however long those
-- take; a timeout of the role would leave it half-built each time.

\ir part-begin.sql
SELECT coalesce((SELECT format('DROP INDEX CONCURRENTLY %s', identity)
    FROM :followup_defined JOIN :followup_found USING (kind, identity)
    WHERE kind = 'INDEX' AND (NOT enabled OR (mark_source, mark_text)
        IS DISTINCT FROM (md5(defined.source), found.text))), '')
    AS followup_drop, current_setting('statement_timeout')
    AS followup_statement_timeout
\gset
COMMIT;
SELECT current_setting('lock_timeout') AS followup_lock_timeout
\gset
SET lock_timeout = 0;
SET statement_timeout = 0;
:followup_drop ;
SELECT to_regclass(format('%I.followup_bookings_due_idx', :'schema')) IS NULL
    AS followup_make_index
\gset
\if :followup_make_index
:followup_index ;
\ir part-begin.sql
SELECT format('COMMENT ON INDEX %s IS %L', identity, format(
    'followup-scheduler %s %s', md5(defined.source), found.text))
FROM :followup_defined JOIN :followup_found USING (kind, identity)
WHERE kind = 'INDEX'
\gexec
COMMIT;
\endif
SET lock_timeout = :'followup_lock_timeout';
SET statement_timeout = :'followup_statement_timeout';
