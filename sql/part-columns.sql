-- part-columns.sql: the columns of the bookings table, and what is done about
-- the bookings of the time before.
--
-- The columns that are added are marked, for the uninstall.
SELECT format('ALTER TABLE %I.%I ADD COLUMN %I %s', :'schema', :'table',
        c.name, c.type),
    format('COMMENT ON COLUMN %I.%I.%I IS %L', :'schema', :'table', c.name,
        'followup-scheduler: added by create-booking-cloud-task-trigger.sql'
        || CASE c.name WHEN 'task_status' THEN
            '; history is not judged yet' ELSE '' END)
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

-- History must not start ringing: what was overdue before there was a status
-- is not called.  Before the triggers exist, so it fires none of them.  Of
-- millions of rows this takes a while, so not under the lock that adding a
-- column takes; nor, for the sake of who waits for one of the rows, before the
-- lock that making a trigger takes.  Without our tables nothing is called yet.
-- Two functions live for this transaction only; the right to make temporary
-- ones may be missing.
\if :followup_has_history
COMMIT;
\ir part-begin.sql
CREATE FUNCTION :"schema".followup_judge_due_at(booking :"schema".:"table")
    RETURNS timestamptz LANGUAGE :followup_language STABLE
    AS :'followup_body_due';
CREATE FUNCTION :"schema".followup_judge_type(booking_type text)
    RETURNS boolean LANGUAGE sql IMMUTABLE AS :'followup_body_type';
UPDATE :"schema".:"table" t SET task_status = 'cancelled',
    last_execution_error =
    'was already overdue when follow-up scheduling was installed'
WHERE t.task_status = 'pending'
    AND :"schema".followup_judge_type(t.booking_type::text)
    AND :"schema".followup_judge_due_at(t) < now();
DROP FUNCTION :"schema".followup_judge_due_at(:"schema".:"table"),
    :"schema".followup_judge_type(text);
COMMENT ON COLUMN :"schema".:"table".task_status IS
    'followup-scheduler: added by create-booking-cloud-task-trigger.sql';
COMMIT;
\ir part-begin.sql
\endif
