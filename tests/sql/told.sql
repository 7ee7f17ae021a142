-- followup_history: what an application changes by plain SQL, and what an
-- earlier version kept elsewhere.  What the daemons write is in history_rows.c.

\set schema test_told
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql

-- An earlier version had another table.
CREATE TABLE test_told.followup_retried (booking_id uuid, stage text,
    tenant_id text, attempts int, first_failed_at timestamptz,
    last_failed_at timestamptz, http_status int, error text,
    dead_at timestamptz, retried_at timestamptz, retried_by text,
    late boolean);
COMMENT ON TABLE test_told.followup_retried IS 'followup-scheduler: failures';
INSERT INTO test_told.followup_retried VALUES (
    '00000000-0000-4000-8000-00000000000b', 'execute', 't', 8, now(), now(),
    503, 'boom', now(), '2030-01-02 00:00+00', 'ann', false);
\ir ../../sql/create-booking-cloud-task-trigger.sql
SET search_path = test_told, public;

BEGIN;
SELECT plan(16);
SELECT results_eq('SELECT tenant_id, at, what, by, http_status, ms, reason, '
    'trace_id FROM followup_history',
    $$VALUES ('t', timestamptz '2030-01-02 00:00+00', 'retried', 'ann', 503,
    NULL::int, 'boom', NULL::text)$$, 'what was retried is history');
SELECT hasnt_table('test_told', 'followup_retried', 'and is kept once');

-- What is told of one change of a booking.
CREATE FUNCTION pg_temp.told(before text, change text) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    b constant uuid := '00000000-0000-4000-8000-00000000000b';
    outcome text;
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    DELETE FROM lead_bookings;
    DELETE FROM followup_history;
    ALTER TABLE lead_bookings DISABLE TRIGGER USER;
    EXECUTE format('INSERT INTO lead_bookings (id, task_status, task_name, '
        'booking_type) SELECT %L, %s, ''old'', ''follow_up''', b, before);
    ALTER TABLE lead_bookings ENABLE TRIGGER USER;
    EXECUTE format(change, b);
    SELECT string_agg(concat_ws(' ', what, by, tenant_id, reason), ',')
    INTO outcome FROM followup_history WHERE booking_id = b;
    RETURN coalesce(outcome, 'nothing');
END
$$;
SELECT id || ' ' AS tenant, session_user || ' ' || id AS who
FROM (VALUES ('11111111-1111-4111-8111-111111111111')) AS t (id)
\gset
\set cancel 'UPDATE lead_bookings SET task_status = ''cancelled'''
\set reset 'UPDATE lead_bookings SET task_status = ''pending'''
\set move 'UPDATE lead_bookings SET scheduled_at = scheduled_at + interval ''1 h'''
SELECT is(pg_temp.told('''scheduled''', :'move'), 'moved ' || :'who', 'moved');
SELECT is(pg_temp.told('''pending''', :'move'), 'moved ' || :'who',
    'moved before it has a task');
SELECT is(pg_temp.told('''executed''', :'move'), 'nothing',
    'executed is not called again');
SELECT is(pg_temp.told('''scheduled''', :'cancel'), 'cancelled ' || :'who',
    'cancelled');
SELECT is(pg_temp.told('''cancelled''', :'cancel'), 'nothing', 'only once');
SELECT is(pg_temp.told('''scheduled''',
    'UPDATE lead_bookings SET is_deleted = true'),
    'cancelled ' || :'who' || ' deleted', 'soft-deleted');
SELECT is(pg_temp.told('''scheduled''', 'DELETE FROM lead_bookings'),
    'deleted ' || :'who', 'deleted');
SELECT is(pg_temp.told('''failed''', :'reset'), 'reset ' || :'who', 'reset');
SELECT is(pg_temp.told('''scheduled''',
    'UPDATE lead_bookings SET booking_type = ''meeting'''),
    'reset ' || :'who', 'of another type');
SELECT is(pg_temp.told('''scheduled''',
    'UPDATE lead_bookings SET timezone = timezone'), 'nothing', 'no change');
SELECT is(pg_temp.told('''failed''', 'SELECT followup_retry(%L, '
    'asked_by => ''ann'')'), 'retried ann '
    '11111111-1111-4111-8111-111111111111', 'retried, and told once');

-- A history that cannot be written does not keep the application.
SELECT is(pg_temp.told('''scheduled''', 'ALTER TABLE followup_history '
    'ADD CHECK (booking_id IS NULL) NOT VALID'), 'nothing', 'a broken history');
SELECT lives_ok(:'cancel', 'fails no statement');
SELECT is((SELECT task_status::text FROM lead_bookings), 'cancelled',
    'and no change');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_told CASCADE;
