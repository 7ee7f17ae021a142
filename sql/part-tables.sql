-- part-tables.sql: the tables of what went wrong, of attempts whose outcome is
-- not known, of what is left to delete, of what waits, of what is left alone
-- and of what is called although it is late.
--
-- This comes before the columns, whose lock would keep writers waiting while
-- history is looked through.

SELECT to_regclass(format('%I.followup_failures', :'schema')) IS NULL
        AS followup_make_failures,
    to_regclass(format('%I.followup_settings', :'schema')) IS NULL
        AS followup_make_settings,
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

-- An earlier version kept the same fact in the row, as this sentence.
\if :followup_make_failures
\else
INSERT INTO :"schema".followup_attempts (booking_id)
SELECT b.id FROM :"schema".:"table" b
WHERE b.task_status IN ('pending', 'scheduled')
    AND :"schema".followup_is_followup_type(b.booking_type::text)
    AND b.last_execution_error = 'an attempt to start the call was begun, '
        'and its outcome is not known';
\endif
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
-- What an earlier version kept of retried failures becomes history.
SELECT to_regclass(format('%I.followup_history', :'schema')) IS NULL
        AS followup_make_history,
    coalesce(obj_description(to_regclass(format('%I.followup_retried',
        :'schema')), 'pg_class') LIKE 'followup-scheduler%', false)
        AS followup_take_retried
\gset
\if :followup_make_history
CREATE TABLE :"schema".followup_history (
    id bigint GENERATED ALWAYS AS IDENTITY,
    booking_id uuid NOT NULL,
    tenant_id text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL CHECK (what IN (
        'scheduled',        -- a task was created
        'adopted',          -- likewise, by an attempt before
        'waiting',          -- not to be called now: reason
        'superseded',       -- its task was for another time
        'task gone',        -- its task was found to be gone
        'task deleted',     -- an obsolete one
        'attempt',          -- at its call, begun
        'executed',         -- the call was started
        'called',           -- likewise, and its row does not take that
        'failed',           -- an attempt at its task or its call
        'spared',           -- likewise, through no fault of the booking
        'unknown',          -- an attempt at its call: started or not?
        'dead',             -- given up
        'retried',          -- by request, after the error: reason
        'moved', 'cancelled', 'deleted',
        'reset')),          -- back to pending by plain SQL
    by text NOT NULL DEFAULT session_user,
    http_status int,
    ms int,
    reason text,
    trace_id text,
    PRIMARY KEY (booking_id, id));
CREATE INDEX followup_history_at_idx ON :"schema".followup_history (at);
COMMENT ON TABLE :"schema".followup_history IS 'followup-scheduler: each '
    'decision about a booking, and each attempt at its task or its call';
\endif
\if :followup_take_retried
INSERT INTO :"schema".followup_history (booking_id, tenant_id, at, what, by,
    http_status, reason)
SELECT r.booking_id, r.tenant_id, r.retried_at, 'retried', r.retried_by,
    r.http_status, r.error
FROM :"schema".followup_retried r ORDER BY r.retried_at;
DROP TABLE :"schema".followup_retried;
\endif
CREATE INDEX IF NOT EXISTS followup_failures_next_idx
    ON :"schema".followup_failures (next_attempt_at)
    WHERE dead_at IS NULL AND stage = 'schedule';
CREATE INDEX IF NOT EXISTS followup_failures_dead_idx
    ON :"schema".followup_failures (dead_at, booking_id)
    WHERE dead_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS followup_history_retried_idx
    ON :"schema".followup_history (at) WHERE what = 'retried';
CREATE INDEX IF NOT EXISTS followup_obsolete_tasks_booking_idx
    ON :"schema".followup_obsolete_tasks (booking_id);

\if :followup_make_settings
CREATE TABLE :"schema".followup_settings (
    name text PRIMARY KEY CHECK (name <> ''),
    value text NOT NULL);
COMMENT ON TABLE :"schema".followup_settings IS 'followup-scheduler: settings; '
    'installed_at is when scheduling was first installed';
CREATE TABLE :"schema".followup_pauses (
    scope text PRIMARY KEY
        CHECK (scope = 'all' OR scope LIKE 'tenant:_%'),
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    paused_by text NOT NULL DEFAULT session_user,
    paused_at timestamptz NOT NULL DEFAULT now(),
    until timestamptz CHECK (until >= paused_at AND isfinite(until)),
    except_tenants text[] NOT NULL DEFAULT '{}'
        CHECK (array_position(except_tenants, NULL) IS NULL),
    CHECK (scope = 'all' OR except_tenants = '{}'));
COMMENT ON TABLE :"schema".followup_pauses IS 'followup-scheduler: whose calls '
    'wait, and for how long; a pause that has ended is kept, because bookings '
    'that became due in it are still looked for';
CREATE TABLE :"schema".followup_backlog (
    booking_id uuid PRIMARY KEY,
    due_at timestamptz);
COMMENT ON TABLE :"schema".followup_backlog IS 'followup-scheduler: bookings '
    'that were overdue when scheduling was first installed, which are left '
    'alone unless they are moved';

-- History must not start ringing: what is overdue at the first install is not
-- called.  No row of the application is written for that, and what is moved
-- later has another time, by which it is judged.  What an earlier service has
-- scheduled counts too.  Where the time cannot be determined, the reading of
-- scheduled_at itself tells whether it has passed.  A policy that hides rows
-- must raise an error here instead.
\if :followup_make_failures
SET LOCAL row_security = off;
SELECT CASE WHEN EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND attname = 'task_status' AND NOT attisdropped)
    THEN 'coalesce(b.task_status::text, '''') NOT IN (''executed'', '
        '''cancelled'', ''failed'')'
    ELSE 'true' END AS followup_to_come
\gset
INSERT INTO :"schema".followup_backlog (booking_id, due_at)
SELECT b.id, x.due FROM :"schema".:"table" b CROSS JOIN LATERAL
    (SELECT :"schema".followup_due_at(b.*) AS due OFFSET 0) x
WHERE :"schema".followup_is_followup_type(b.booking_type::text)
    AND :followup_to_come AND (x.due < now()
        OR (x.due IS NULL AND b.scheduled_at < now() AT TIME ZONE 'UTC'));
\endif
INSERT INTO :"schema".followup_settings VALUES ('installed_at', now()::text);
\endif

-- What an earlier version did not have.
SELECT format('ALTER TABLE %I.%I ADD COLUMN %s', :'schema', c.tab, c.definition)
FROM (VALUES ('followup_settings', 'week int4multirange'),
    ('followup_settings', 'changed_at timestamptz'),
    ('followup_pauses', 'changed_at timestamptz')) AS c (tab, definition)
WHERE NOT EXISTS (SELECT FROM pg_attribute a
    WHERE a.attrelid = to_regclass(format('%I.%I', :'schema', c.tab))
        AND a.attname = split_part(c.definition, ' ', 1)
        AND NOT a.attisdropped)
\gexec
SELECT to_regclass(format('%I.followup_past_pauses', :'schema')) IS NULL
        AS followup_make_past,
    to_regclass(format('%I.followup_past_hours', :'schema')) IS NULL
        AS followup_make_past_hours,
    to_regclass(format('%I.followup_acts', :'schema')) IS NULL
        AS followup_make_acts,
    to_regclass(format('%I.followup_late', :'schema')) IS NULL
        AS followup_make_late,
    to_regclass(format('%I.followup_waits', :'schema')) IS NULL
        AS followup_make_waits
\gset
\if :followup_make_past
CREATE TABLE :"schema".followup_past_pauses (
    scope text NOT NULL,
    reason text NOT NULL,
    paused_at timestamptz NOT NULL,
    until timestamptz NOT NULL,
    except_tenants text[] NOT NULL DEFAULT '{}');
COMMENT ON TABLE :"schema".followup_past_pauses IS 'followup-scheduler: what '
    'pauses have held that are not in followup_pauses any more, because that '
    'does not make a booking late';
\endif
-- Without a key, no row of this one could be deleted while a publication FOR
-- ALL TABLES has it, and no pause be ended.
SELECT format('ALTER TABLE %I.followup_past_pauses REPLICA IDENTITY FULL',
    :'schema')
FROM pg_class c
WHERE c.oid = to_regclass(format('%I.followup_past_pauses', :'schema'))
    AND c.relreplident = 'd'
\gexec
\if :followup_make_past_hours
CREATE TABLE :"schema".followup_past_hours (
    until timestamptz PRIMARY KEY,
    week int4multirange);
COMMENT ON TABLE :"schema".followup_past_hours IS 'followup-scheduler: former '
    'calling hours, and until when each were in force (week is null: none were '
    'set), because what they have held is not late';
\endif
\if :followup_make_acts
CREATE TABLE :"schema".followup_acts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL DEFAULT session_user,
    what text NOT NULL);
COMMENT ON TABLE :"schema".followup_acts IS 'followup-scheduler: what people '
    'asked for that followup_history does not tell: pauses, and who ended '
    'them; cancellations by name';
INSERT INTO :"schema".followup_acts (at, by, what)
SELECT p.paused_at, p.paused_by, format('paused %s: %s', CASE p.scope
    WHEN 'all' THEN 'everything' ELSE 'tenant ' || substr(p.scope, 8) END,
    p.reason)
FROM :"schema".followup_pauses p ORDER BY p.paused_at;
\endif
\if :followup_make_waits
CREATE TABLE :"schema".followup_waits (
    booking_id uuid PRIMARY KEY,
    due_at timestamptz NOT NULL,
    until timestamptz,
    looked_at timestamptz NOT NULL,
    look_at timestamptz NOT NULL);
COMMENT ON TABLE :"schema".followup_waits IS 'followup-scheduler: bookings '
    'that followup_gate makes wait: until when, if they have a task for that, '
    'and when they are looked at again';
\endif
\if :followup_make_late
CREATE TABLE :"schema".followup_late (
    booking_id uuid PRIMARY KEY,
    due_at timestamptz,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now());
COMMENT ON TABLE :"schema".followup_late IS 'followup-scheduler: bookings that '
    'a person wants to have called however late it is, as long as they are due '
    'at due_at';
\endif

-- In the transaction that makes the triggers, so that nobody is rung before.
\if :paused
WITH paused AS (INSERT INTO :"schema".followup_pauses AS p (scope, reason)
    VALUES ('all', 'installed with --paused')
    ON CONFLICT (scope) DO UPDATE SET reason = excluded.reason,
        paused_by = excluded.paused_by, paused_at = excluded.paused_at,
        until = NULL, except_tenants = '{}'
    WHERE p.until <= now() RETURNING p.reason)
INSERT INTO :"schema".followup_acts (what)
SELECT 'paused everything: ' || reason FROM paused;
\endif
