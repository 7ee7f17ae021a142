-- What the first install does to a table that is there already: it adds what is
-- missing, writes to no row, and lets nobody be called who was overdue.

\set schema test_history
\set due timestamp
\ir lib/app.psql
SET search_path = test_history, public;
SELECT plan(36);

-- No row is written, so no trigger of the application fires.
CREATE TABLE written (id uuid);
CREATE FUNCTION written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO test_history.written VALUES (OLD.id);
    RETURN NEW;
END $$;
CREATE TRIGGER written BEFORE UPDATE OR DELETE ON lead_bookings
    FOR EACH ROW EXECUTE FUNCTION written();
INSERT INTO lead_bookings (notes, booking_type, scheduled_at, timezone) VALUES
    ('overdue', 'follow_up', now() at time zone 'UTC' - interval '1 hour',
        NULL),
    ('ahead', 'follow_up', now() at time zone 'UTC' + interval '1 hour', NULL),
    -- Two hours ahead in UTC's reading, two hours overdue in Dubai's.
    ('overdue there', 'Follow-Up', now() at time zone 'UTC'
        + interval '2 hours', 'Asia/Dubai'),
    ('nowhere', 'follow_up', '2001-01-01', 'nowhere'),
    ('nowhere yet', 'follow_up', '2999-01-01', 'nowhere'),
    ('meeting', 'meeting', '2001-01-01', NULL);
CREATE TEMP TABLE before AS
    SELECT notes, xmin::text AS x, ctid AS at FROM lead_bookings;

-- The verdict on a booking, as the daemons ask for it.
CREATE FUNCTION pg_temp.verdict(which text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT concat_ws(' ', g.verdict, g.reason) FROM lead_bookings b,
        LATERAL followup_gate(b) g WHERE b.notes = which);
END $$;
SELECT pg_relation_filenode('lead_bookings') AS file
\gset
\set overdue 'never was already overdue when follow-up scheduling was installed'
\set late 'never more than 4h late'
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(pg_temp.verdict(w), v, w) FROM (VALUES ('overdue', :'overdue'),
    ('ahead', 'call'), ('overdue there', :'overdue'), ('nowhere', :'overdue'),
    ('nowhere yet', 'call')) AS t (w, v);
SELECT is_empty('TABLE written', 'no trigger of the application fired');
SELECT set_eq('SELECT notes, xmin::text AS x, ctid AS at FROM lead_bookings',
    'TABLE before', 'no row was written');
SELECT is(pg_relation_filenode('lead_bookings'), :file::oid, 'nor the table');
SELECT is(count(*), 6::bigint, 'all are pending') FROM lead_bookings
WHERE task_status = 'pending';
SELECT col_type_is('test_history', 'lead_bookings', c, t, c)
FROM (VALUES ('task_name', 'text'),
    ('task_scheduled_at', 'timestamp with time zone'),
    ('task_status', 'character varying(30)'),
    ('executed_at', 'timestamp with time zone'),
    ('execution_attempts', 'integer'), ('last_execution_error', 'text'),
    ('idempotency_key', 'character varying(255)')) AS c (c, t);
SELECT col_not_null('test_history', 'lead_bookings', c, c || ' is not null')
FROM unnest(ARRAY['task_status', 'execution_attempts']) AS c;
DROP TRIGGER written ON lead_bookings;

-- What is moved is judged by its new time, overdue or not, as is what comes
-- later.  Only the first install looks back.
UPDATE lead_bookings SET scheduled_at = scheduled_at + interval '1 minute'
WHERE notes = 'overdue';
UPDATE lead_bookings SET timezone = 'UTC' WHERE notes = 'nowhere';
INSERT INTO lead_bookings (notes, scheduled_at) VALUES ('late', '2001-01-01');
CREATE TEMP TABLE made AS SELECT oid FROM pg_trigger
    WHERE tgrelid = 'lead_bookings'::regclass;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(pg_temp.verdict(w), v, w || ', after a second install')
FROM (VALUES ('overdue', 'call'), ('nowhere', :'late'), ('late', :'late'))
    AS t (w, v);
SELECT is(pg_temp.verdict('overdue there'), :'overdue', 'what was not moved');
SELECT set_eq('SELECT oid FROM pg_trigger WHERE tgrelid = '
    '''lead_bookings''::regclass', 'SELECT oid FROM made',
    'triggers that are as they should be are not touched');

-- Disabled, damaged, an older version's: install puts it right.
ALTER TABLE lead_bookings DISABLE TRIGGER trigger_followup_cloud_task_deleted;
DROP TRIGGER trigger_schedule_followup_cloud_task ON lead_bookings;
CREATE TRIGGER trigger_schedule_followup_cloud_task AFTER INSERT
    ON lead_bookings FOR EACH ROW
    EXECUTE FUNCTION schedule_followup_cloud_task();
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(count(*), 6::bigint, 'six triggers, all enabled')
FROM pg_trigger WHERE tgrelid = 'lead_bookings'::regclass AND tgenabled = 'O';
SELECT is(tgdeferrable, true, 'a trigger of the same name is replaced')
FROM pg_trigger WHERE tgname = 'trigger_schedule_followup_cloud_task'
    AND tgrelid = 'lead_bookings'::regclass;

-- An earlier version has done its work: nothing is judged again.
INSERT INTO lead_bookings (notes, scheduled_at) VALUES ('later', '2001-01-01');
DROP TABLE followup_settings, followup_pauses, followup_backlog;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(pg_temp.verdict('later'), :'late', 'after an earlier version');

-- A deployment that has some of the columns, with its own rules and states.
\set purge on
\ir ../../sql/drop-booking-cloud-task-trigger.sql
\set purge off
SELECT hasnt_column('test_history', 'lead_bookings', 'task_status',
    'a purge takes the columns away that install added');
ALTER TABLE lead_bookings
    ADD task_status varchar(20) DEFAULT 'pending'
    CHECK (task_status IN ('pending', 'scheduled', 'executed', 'cancelled',
        'failed', '')),
    ADD task_name varchar(500), ADD executed_at timestamptz;
UPDATE lead_bookings SET scheduled_at = '2001-01-01', timezone = NULL,
    booking_type = 'follow_up', task_status = s.status,
    notes = coalesce(s.status, 'null')
FROM (SELECT id, row_number() OVER () AS n FROM lead_bookings) AS o
JOIN (VALUES (1, 'pending'), (2, 'scheduled'), (3, 'executed'),
    (4, 'cancelled'), (5, 'failed'), (6, ''), (7, NULL)) AS s (n, status) USING (n)
WHERE o.id = lead_bookings.id;
DELETE FROM lead_bookings WHERE notes = 'later';
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(pg_temp.verdict(w), :'overdue',
    format('what reads as to come (%s)', w))
FROM unnest(ARRAY['pending', 'scheduled', '', 'null']) AS w;
SELECT is(pg_temp.verdict(w), :'late', format('what is over (%s)', w))
FROM unnest(ARRAY['executed', 'cancelled', 'failed']) AS w;
SELECT col_type_is('test_history', 'lead_bookings', 'task_status',
    'character varying(20)', 'its columns stay as they are');
SELECT lives_ok($$UPDATE lead_bookings SET scheduled_at = '2031-01-01',
    task_status = 'pending'$$, 'its CHECK is respected');

SELECT * FROM finish();
DROP SCHEMA test_history CASCADE;
