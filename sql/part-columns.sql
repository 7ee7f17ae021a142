-- part-columns.sql: the columns of the bookings table.  A default that is
-- constant rewrites no row, so the lock that this takes is held for moments.
--
-- The columns that are added are marked, for uninstall --purge.
SELECT format('ALTER TABLE %I.%I ADD COLUMN %I %s', :'schema', :'table',
        c.name, c.type),
    format('COMMENT ON COLUMN %I.%I.%I IS %L', :'schema', :'table', c.name,
        'followup-scheduler: added by create-booking-cloud-task-trigger.sql')
FROM (VALUES
    ('task_name', 'text'),
    ('task_scheduled_at', 'timestamptz'),
    ('task_status', 'varchar(30) NOT NULL DEFAULT ''pending'''),
    ('executed_at', 'timestamptz'),
    ('execution_attempts', 'int NOT NULL DEFAULT 0'),
    ('last_execution_error', 'text'),
    ('idempotency_key', 'varchar(255)')) AS c (name, type)
WHERE NOT EXISTS (SELECT FROM pg_attribute a
    WHERE a.attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND a.attname = c.name AND NOT a.attisdropped)
\gexec
