-- part-notes.sql: says what of the table is not what it may look like to its
-- owner.

SELECT coalesce(string_agg(note, E'\n' ORDER BY note), '') AS followup_notes,
    count(note) > 0 AS followup_has_notes
FROM (
    SELECT format('note: column %I looks like soft deletion and does not count '
        'as such: only is_deleted and deleted_at do', attname) AS note
    FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND attnum > 0 AND NOT attisdropped
        AND attname NOT IN ('is_deleted', 'deleted_at')
        AND attname ~* '(^|_)(deleted|archived|removed|trashed|discarded)(_|$)'
        AND attname !~* '_(by|id|reason|from)$'
    UNION ALL
    SELECT format('note: nothing keeps two bookings from having the same id, '
        'by which tasks and calls name them: ALTER TABLE %I.%I ADD UNIQUE '
        '(id)', :'schema', :'table') WHERE NOT :'followup_ids_unique'
    ) AS n
\gset
\if :followup_has_notes
\echo :followup_notes
\endif
