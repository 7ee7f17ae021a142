-- part-due-again.sql: what was noted of a booking as of the time that it was
-- due at (part-dues.sql) is noted as of the one that it is due at now, though
-- nobody has moved it.

SELECT format('UPDATE %1$I.%3$I k SET due_at = coalesce(x.due, %4$s) '
    'FROM %1$I.%2$I b JOIN jsonb_each_text(current_setting(''followup.dues'')'
    '::jsonb) was ON was.key::uuid = b.id '
    'CROSS JOIN LATERAL (SELECT %1$I.followup_due_at(b.*) AS due OFFSET 0) x '
    'WHERE k.booking_id = b.id AND k.due_at IS NOT DISTINCT FROM '
    'was.value::timestamptz AND k.due_at IS DISTINCT FROM x.due', :'schema',
    :'table', name, CASE name WHEN 'followup_waits' THEN 'k.due_at'
    ELSE 'NULL' END)
FROM unnest(ARRAY['followup_backlog', 'followup_late', 'followup_waits'])
    AS name
WHERE current_setting('followup.dues', true) <> ''
\gexec
