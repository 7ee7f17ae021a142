-- What uninstall leaves, and what a purge leaves of it; installing again.

\set schema test_uninstall
\ir lib/app.psql
SET search_path = test_uninstall, public;
SELECT plan(14);

-- A deployment that had some of the columns before, and more of its own.
ALTER TABLE lead_bookings ADD task_name varchar(500),
    ADD executed_at timestamptz;
COMMENT ON COLUMN lead_bookings.task_name IS 'of the application';
CREATE TABLE followup_dead_letters_of_mine (id int);
CREATE FUNCTION followup_mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
INSERT INTO lead_bookings (notes, scheduled_at)
VALUES ('history', '2001-01-01');
\ir ../../sql/create-booking-cloud-task-trigger.sql

-- States as the daemons have left them.
SET followup.daemon = 'on';
INSERT INTO lead_bookings (notes, task_status, task_name)
SELECT s, s, 'task ' || s FROM unnest(ARRAY['scheduled', 'executed', 'cancelled', 'failed']) AS s;
RESET followup.daemon;
INSERT INTO followup_failures (booking_id, stage, attempts, error, dead_at)
SELECT id, 'execute', 8, 'boom', now() FROM lead_bookings
WHERE notes = 'failed';
INSERT INTO followup_obsolete_tasks VALUES ('obsolete', gen_random_uuid());
INSERT INTO followup_attempts SELECT id FROM lead_bookings
WHERE notes = 'scheduled';
INSERT INTO followup_canary (id, slot, try, scheduled_at)
VALUES (gen_random_uuid(), now(), 1, now());
INSERT INTO followup_pauses (scope, reason) VALUES ('tenant:x', 'why not');
CREATE VIEW everything AS
    SELECT 'b' AS t, to_jsonb(b) AS r FROM lead_bookings b
    UNION ALL SELECT 'f', to_jsonb(f) FROM followup_failures f
    UNION ALL SELECT 'o', to_jsonb(o) FROM followup_obsolete_tasks o
    UNION ALL SELECT 'a', to_jsonb(a) FROM followup_attempts a
    UNION ALL SELECT 'p', to_jsonb(p) FROM followup_pauses p
    UNION ALL SELECT 's', to_jsonb(s) FROM followup_settings s
    UNION ALL SELECT 'k', to_jsonb(k) FROM followup_backlog k
    UNION ALL SELECT 'c', to_jsonb(c) FROM followup_canary c;
CREATE TEMP TABLE before AS TABLE everything;

\ir ../../sql/drop-booking-cloud-task-trigger.sql
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT set_eq('TABLE everything', 'TABLE before', 'uninstall keeps every state');
SELECT is(count(*), 0::bigint, 'no trigger') FROM pg_trigger
WHERE tgrelid = 'lead_bookings'::regclass;
SELECT is((SELECT string_agg(proname, ' ') FROM pg_proc
    WHERE pronamespace = 'test_uninstall'::regnamespace), 'followup_mine',
    'no function but the application''s');
SELECT hasnt_index('test_uninstall', 'lead_bookings',
    'followup_bookings_due_idx', 'no index that slows writers down');
SELECT is(count(*), 1::bigint, 'the dead letters can be read') FROM
    followup_dead_letters;

INSERT INTO lead_bookings (notes, scheduled_at)
VALUES ('meanwhile', now() - interval '1 hour');
INSERT INTO before SELECT 'b', to_jsonb(b) FROM lead_bookings b
WHERE notes = 'meanwhile';
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT set_eq('TABLE everything', 'TABLE before',
    'installed again, it goes on where it was');
SELECT is((SELECT g.verdict FROM lead_bookings b, LATERAL followup_gate(b) g
    WHERE b.notes = w), v, w) FROM (VALUES ('meanwhile', 'call'),
    ('history', 'never')) AS t (w, v);

-- Functions of the deployment's own stay, whatever goes.
CREATE OR REPLACE FUNCTION followup_gate(booking lead_bookings,
    OUT verdict text, OUT until timestamptz, OUT reason text)
    LANGUAGE sql AS $$SELECT 'call', NULL::timestamptz, NULL::text$$;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is((SELECT g.verdict FROM lead_bookings b, LATERAL followup_gate(b) g
    WHERE b.notes = 'history'), 'call', 'the deployment''s gate is kept');
DROP VIEW everything;
\set purge on
\ir ../../sql/drop-booking-cloud-task-trigger.sql
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute
    WHERE attrelid = 'lead_bookings'::regclass AND attnum > 0
        AND NOT attisdropped AND attname IN ('task_status', 'task_name',
        'executed_at', 'idempotency_key', 'task_scheduled_at')),
    'executed_at task_name', 'of the columns, those that were there before');
SELECT is(col_description('lead_bookings'::regclass, attnum),
    'of the application', 'with their comments') FROM pg_attribute
WHERE attrelid = 'lead_bookings'::regclass AND attname = 'task_name';
SELECT is((SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc
    WHERE pronamespace = 'test_uninstall'::regnamespace),
    'followup_gate followup_mine', 'and its functions');
SELECT is((SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = 'test_uninstall'::regnamespace
        AND relkind IN ('r', 'v', 'i')), 'followup_dead_letters_of_mine '
    'lead_bookings lead_bookings_pkey leads leads_pkey',
    'no table, view or index but the application''s');
SELECT is((SELECT string_agg(notes, ' ' ORDER BY notes) FROM lead_bookings),
    'cancelled executed failed history meanwhile scheduled', 'and every row');

SELECT * FROM finish();
DROP SCHEMA test_uninstall CASCADE;
