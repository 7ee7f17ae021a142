-- part-tables.sql: the tables of what went wrong, of attempts whose outcome is
-- not known, and of what is left to delete.

SELECT to_regclass(format('%I.followup_failures', :'schema')) IS NULL
        AS followup_make_failures,
    to_regclass(format('%I.followup_attempts', :'schema')) IS NULL
        AS followup_make_attempts,
    to_regclass(format('%I.followup_obsolete_tasks', :'schema')) IS NULL
        AS followup_make_obsolete
\gset
\if :followup_make_failures
CREATE TABLE :"schema".followup_failures (
    booking_id uuid NOT NULL,
    stage text NOT NULL CHECK (stage IN ('schedule', 'execute')),
    tenant_id text,
    attempts int NOT NULL,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz,
    http_status int,
    error text NOT NULL,
    dead_at timestamptz,
    PRIMARY KEY (booking_id, stage));
COMMENT ON TABLE :"schema".followup_failures IS 'followup-scheduler: bookings '
    'that could not be scheduled or called; with dead_at: given up';
\endif
\if :followup_make_attempts
CREATE TABLE :"schema".followup_attempts (
    booking_id uuid PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT now(),
    called_at timestamptz);
COMMENT ON TABLE :"schema".followup_attempts IS 'followup-scheduler: attempts '
    'at a call that were begun and whose outcome is not known';

-- The version before this one kept the same fact in the row, as this sentence.
INSERT INTO :"schema".followup_attempts (booking_id)
SELECT b.id FROM :"schema".:"table" b
WHERE b.task_status IN ('pending', 'scheduled')
    AND :"schema".followup_is_followup_type(b.booking_type::text)
    AND b.last_execution_error = 'an attempt to start the call was begun, '
        'and its outcome is not known';
\endif
\if :followup_make_obsolete
CREATE TABLE :"schema".followup_obsolete_tasks (
    task_name text PRIMARY KEY,
    booking_id uuid NOT NULL,
    obsolete_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz);
COMMENT ON TABLE :"schema".followup_obsolete_tasks IS 'followup-scheduler: '
    'Cloud Tasks that followup-schedule still has to delete';
\endif

-- Of a call that was started and whose row refuses to be executed: since when.
SELECT format('ALTER TABLE %I.followup_attempts '
    'ADD COLUMN called_at timestamptz', :'schema')
WHERE NOT EXISTS (SELECT FROM pg_attribute a
    WHERE a.attrelid = to_regclass(format('%I.followup_attempts', :'schema'))
        AND a.attname = 'called_at' AND NOT a.attisdropped)
\gexec
CREATE INDEX IF NOT EXISTS followup_obsolete_tasks_booking_idx
    ON :"schema".followup_obsolete_tasks (booking_id);
