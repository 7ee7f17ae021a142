-- part-dues.sql: keeps in the setting followup.dues when the bookings that our
-- tables name are due, as followup_due_at has it before this install changes
-- their columns or that function.  By such a time those tables know whether a
-- booking was moved since, so that part-due-again.sql writes the one that it
-- has become.

SELECT coalesce(string_agg(format('SELECT booking_id FROM %I.%I', :'schema',
        name), ' UNION '), 'SELECT NULL::uuid WHERE false') AS followup_named,
    to_regprocedure(format('%1$I.followup_due_at(%1$I.%2$I)', :'schema',
        :'table')) IS NOT NULL AS followup_keep_dues
FROM unnest(ARRAY['followup_backlog', 'followup_late', 'followup_waits'])
    AS name
WHERE to_regclass(format('%I.%I', :'schema', name)) IS NOT NULL
\gset
\if :followup_keep_dues
SELECT set_config('followup.dues', coalesce(jsonb_object_agg(b.id,
        :"schema".followup_due_at(b.*)), '{}')::text, true) IS NULL
        AS followup_unused
FROM (:followup_named) AS k JOIN :"schema".:"table" b ON b.id = k.booking_id
\gset
\endif
