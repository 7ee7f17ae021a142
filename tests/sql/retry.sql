-- followup_retry and followup_retry_all: they do all that is to be done by
-- themselves, in an operator's session, in a daemon's, and with the triggers
-- disabled.

\set schema test_retry
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
SET search_path = test_retry, public;

BEGIN;
SELECT plan(32);

-- Bookings 1 to 5 failed, with dead letters a day apart; 6 is executed with a
-- failure on its way, 7 is a failed meeting.
CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql AS $$
    SELECT format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid
$$;
CREATE PROCEDURE pg_temp.fill() LANGUAGE sql AS $$
    DELETE FROM lead_bookings;
    DELETE FROM followup_failures;
    DELETE FROM followup_obsolete_tasks;
    DELETE FROM followup_attempts;
    INSERT INTO followup_attempts
    SELECT pg_temp.id(n) FROM generate_series(1, 6) AS n;
    INSERT INTO lead_bookings (id, task_status, task_name, task_scheduled_at,
        execution_attempts, last_execution_error, idempotency_key)
    SELECT pg_temp.id(n), 'failed', 'task-' || n, now(), 8, 'boom', 'key'
    FROM generate_series(1, 5) AS n;
    INSERT INTO lead_bookings (id, task_status) VALUES (pg_temp.id(6),
        'executed');
    INSERT INTO lead_bookings (id, task_status, booking_type)
    VALUES (pg_temp.id(7), 'failed', 'meeting');
    INSERT INTO followup_failures (booking_id, stage, tenant_id, attempts,
        http_status, error, dead_at)
    SELECT pg_temp.id(n), CASE WHEN n <= 2 THEN 'schedule' ELSE 'execute' END,
        't', 8, 503, 'boom', timestamptz '2030-01-01 00:00+00'
        + n * interval '1 day'
    FROM generate_series(1, 5) AS n;
    INSERT INTO followup_failures (booking_id, stage, attempts, error)
    VALUES (pg_temp.id(6), 'execute', 1, 'boom');
    INSERT INTO followup_failures (booking_id, stage, attempts, error)
    VALUES (pg_temp.id(1), 'execute', 1, 'not dead yet')
$$;
CREATE FUNCTION pg_temp.anew() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(right(id::text, 1), ' ' ORDER BY id), '')
    FROM lead_bookings WHERE task_status = 'pending' AND task_name IS NULL
        AND task_scheduled_at IS NULL AND idempotency_key IS NULL
        AND execution_attempts = 0 AND last_execution_error IS NULL
        AND NOT EXISTS (SELECT FROM followup_failures f
            WHERE f.booking_id = lead_bookings.id)
        AND NOT EXISTS (SELECT FROM followup_attempts a
            WHERE a.booking_id = lead_bookings.id)
        AND EXISTS (SELECT FROM followup_obsolete_tasks o
            WHERE o.booking_id = lead_bookings.id
            AND o.task_name = 'task-' || right(lead_bookings.id::text, 1))
$$;

CALL pg_temp.fill();
SELECT results_eq('SELECT * FROM followup_dead_letters WHERE booking_id = '
    'pg_temp.id(1)', $$SELECT booking_id, tenant_id, stage, attempts,
    first_failed_at, last_failed_at, http_status, error, dead_at
    FROM followup_failures WHERE booking_id = pg_temp.id(1)
    AND stage = 'schedule'$$, 'a dead letter is a failure with dead_at');
SELECT is(count(*), 5::bigint, 'five dead letters') FROM followup_dead_letters;

SELECT is(followup_retry(pg_temp.id(1)), true, 'a failed booking');
SELECT is(pg_temp.anew(), '1', 'starts anew');
SELECT is((SELECT array_agg(task_name) FROM followup_obsolete_tasks),
    ARRAY['task-1'], 'its old task is to be deleted');
SELECT is(followup_retry(pg_temp.id(1)), false, 'not twice');
SELECT is(followup_retry(pg_temp.id(n)), false, w || ': no')
FROM (VALUES (6, 'executed'), (7, 'a meeting'), (99, 'no such booking'))
    AS t (n, w);
SELECT is(followup_retry(NULL), false, 'null: no');
SELECT is(pg_temp.anew(), '1', 'and nothing else has changed');

SELECT is(followup_retry_all(), 4::bigint, 'all that are left');
SELECT is(pg_temp.anew(), '1 2 3 4 5', 'start anew');
SELECT is(followup_retry_all(), 0::bigint, 'then there is nothing left');

CALL pg_temp.fill();
SELECT is(followup_retry_all('schedule'), 2::bigint, 'all of a stage');
SELECT is(pg_temp.anew(), '1 2', 'start anew');
SELECT is(followup_retry_all('execute', '2030-01-05 00:00+00',
    '2030-01-06 00:00+00'), 1::bigint, 'since is in, until is out');
SELECT is(pg_temp.anew(), '1 2 4', 'the one in between');
SELECT is(followup_retry_all(until => '2030-01-05 00:00+00'), 1::bigint,
    'by name');
SELECT is(pg_temp.anew(), '1 2 3 4', 'the older one');

-- In a daemon's session, and without the triggers.
CREATE FUNCTION pg_temp.hints() RETURNS int LANGUAGE sql AS $$
    SELECT coalesce(length(current_setting('followup.hints', true)), 0)
$$;
SET CONSTRAINTS ALL IMMEDIATE;
SET LOCAL followup.daemon = 'on';
SET LOCAL followup.hints = '';
CALL pg_temp.fill();
SELECT is(followup_retry(pg_temp.id(3)), true, 'a daemon: one');
SELECT is(pg_temp.hints(), 1, 'a daemon: announced');
SELECT is(current_setting('followup.daemon'), 'on', 'and still a daemon');
SELECT is(followup_retry_all(), 4::bigint, 'a daemon: all');
SELECT is(pg_temp.hints(), 5, 'a daemon: announced');
SELECT is(pg_temp.anew(), '1 2 3 4 5', 'a daemon: start anew');
SELECT is((SELECT array_agg(booking_id) FROM followup_failures), ARRAY[
    pg_temp.id(6)], 'the failure of an executed one stays');
SELECT is((SELECT array_agg(booking_id) FROM followup_attempts), ARRAY[
    pg_temp.id(6)], 'and so does its attempt');
SET LOCAL followup.daemon = '';
ALTER TABLE lead_bookings DISABLE TRIGGER USER;
CALL pg_temp.fill();
SELECT is(followup_retry_all(), 5::bigint, 'triggers disabled: all');
SELECT is(pg_temp.anew(), '1 2 3 4 5', 'triggers disabled: start anew');

SELECT throws_ok('INSERT INTO followup_failures (booking_id, stage, attempts, '
    'error) VALUES (pg_temp.id(1), ''other'', 1, ''x'')', '23514', NULL,
    'there are two stages');
UPDATE lead_bookings SET task_status = 'failed', is_deleted = true
WHERE id = pg_temp.id(2);
SELECT is(followup_retry(pg_temp.id(2)), false, 'deleted: no');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_retry CASCADE;
