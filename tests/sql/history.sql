-- What install does to a table that is there already, and what uninstall
-- leaves of it.

\set schema test_history
\set due timestamp
\ir lib/app.psql
SET search_path = test_history, public;
SELECT plan(27);

INSERT INTO lead_bookings (notes, booking_type, scheduled_at, timezone) VALUES
    ('overdue', 'follow_up', now() at time zone 'UTC' - interval '1 hour', NULL),
    ('ahead', 'follow_up', now() at time zone 'UTC' + interval '1 hour', NULL),
    -- Two hours ahead in UTC's reading, two hours overdue in Dubai's.
    ('overdue there', 'Follow-Up', now() at time zone 'UTC'
        + interval '2 hours', 'Asia/Dubai'),
    ('nowhere', 'follow_up', '2001-01-01', 'nowhere'),
    ('meeting', 'meeting', '2001-01-01', NULL);
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(task_status::text, s, format('%s is %s', w, s))
FROM (VALUES ('overdue', 'cancelled'), ('ahead', 'pending'),
    ('overdue there', 'cancelled'), ('nowhere', 'pending'),
    ('meeting', 'pending')) AS t (w, s)
JOIN lead_bookings b ON b.notes = w;
SELECT is(last_execution_error, 'was already overdue when follow-up '
    'scheduling was installed', 'and it says why')
FROM lead_bookings WHERE notes = 'overdue';
SELECT col_type_is('test_history', 'lead_bookings', c, t, c)
FROM (VALUES ('task_name', 'text'),
    ('task_scheduled_at', 'timestamp with time zone'),
    ('task_status', 'character varying(30)'),
    ('executed_at', 'timestamp with time zone'),
    ('execution_attempts', 'integer'), ('last_execution_error', 'text'),
    ('idempotency_key', 'character varying(255)')) AS c (c, t);
SELECT col_not_null('test_history', 'lead_bookings', c, c || ' is not null')
FROM unnest(ARRAY['task_status', 'execution_attempts']) AS c;

-- Only the first install judges: what is overdue later is work.
INSERT INTO lead_bookings (notes, scheduled_at) VALUES ('late', '2001-01-01');
CREATE TEMP TABLE made AS SELECT oid FROM pg_trigger
    WHERE tgrelid = 'lead_bookings'::regclass;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(task_status::text, 'pending', 'a second install cancels nothing')
FROM lead_bookings WHERE notes = 'late';
SELECT set_eq('SELECT oid FROM pg_trigger WHERE tgrelid = '
    '''lead_bookings''::regclass', 'SELECT oid FROM made',
    'nor does it touch triggers that are as they should be');

-- Disabled, damaged, an older version's: install puts it right.
ALTER TABLE lead_bookings DISABLE TRIGGER trigger_followup_cloud_task_deleted;
DROP TRIGGER trigger_schedule_followup_cloud_task ON lead_bookings;
CREATE TRIGGER trigger_schedule_followup_cloud_task AFTER INSERT
    ON lead_bookings FOR EACH ROW
    EXECUTE FUNCTION schedule_followup_cloud_task();
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(count(*), 5::bigint, 'five triggers, all enabled')
FROM pg_trigger WHERE tgrelid = 'lead_bookings'::regclass AND tgenabled = 'O';
SELECT is(tgdeferrable, true, 'a trigger of the same name is replaced')
FROM pg_trigger WHERE tgname = 'trigger_schedule_followup_cloud_task'
    AND tgrelid = 'lead_bookings'::regclass;

-- A deployment that has some of the columns, with its own rules.
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT hasnt_column('test_history', 'lead_bookings', 'task_status',
    'uninstall takes the columns away that install added');
ALTER TABLE lead_bookings
    ADD task_status varchar(20) NOT NULL DEFAULT 'pending'
    CHECK (task_status IN ('pending', 'scheduled', 'executed', 'cancelled',
        'failed')),
    ADD task_name varchar(500), ADD executed_at timestamptz;
COMMENT ON COLUMN lead_bookings.task_name IS 'of the application';
CREATE TABLE followup_dead_letters_of_mine (id int);
CREATE FUNCTION followup_mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(count(*), 0::bigint, 'with a task_status of its own, nothing is '
    'cancelled') FROM lead_bookings WHERE task_status = 'cancelled';
SELECT col_type_is('test_history', 'lead_bookings', 'task_status',
    'character varying(20)', 'its columns stay as they are');
SELECT lives_ok($$UPDATE lead_bookings SET scheduled_at = '2031-01-01',
    task_status = 'pending'$$, 'its CHECK is respected');

\ir ../../sql/drop-booking-cloud-task-trigger.sql
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute
    WHERE attrelid = 'lead_bookings'::regclass AND attnum > 0
        AND NOT attisdropped AND attname IN ('task_status', 'task_name',
        'executed_at', 'idempotency_key', 'task_scheduled_at')),
    'executed_at task_name task_status', 'only what was there before is left');
SELECT is(count(*), 0::bigint, 'no trigger') FROM pg_trigger
WHERE tgrelid = 'lead_bookings'::regclass;
SELECT is((SELECT string_agg(proname, ' ') FROM pg_proc
    WHERE pronamespace = 'test_history'::regnamespace), 'followup_mine',
    'no function but the application''s');
SELECT is((SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = 'test_history'::regnamespace AND relkind IN ('r', 'v')),
    'followup_dead_letters_of_mine lead_bookings leads',
    'no table and no view but the application''s');

SELECT * FROM finish();
DROP SCHEMA test_history CASCADE;
