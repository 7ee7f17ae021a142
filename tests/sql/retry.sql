-- followup_retry and followup_retry_all: they do all that is to be done by
-- themselves, in an operator's session, in a daemon's, and with the triggers
-- disabled.

\set schema test_retry
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
SET search_path = test_retry, public;

BEGIN;
SELECT plan(54);

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
    INSERT INTO followup_waits SELECT pg_temp.id(n), now(), NULL, now(), now()
    FROM generate_series(1, 6) AS n ON CONFLICT DO NOTHING;
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
            WHERE f.booking_id = lead_bookings.id AND f.attempts > 0)
        AND NOT EXISTS (SELECT FROM followup_attempts a
            WHERE a.booking_id = lead_bookings.id)
        AND NOT EXISTS (SELECT FROM followup_waits w
            WHERE w.booking_id = lead_bookings.id)
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

SELECT is((followup_retry_all()).retried, 4::bigint, 'all that are left');
SELECT is(pg_temp.anew(), '1 2 3 4 5', 'start anew');
SELECT is((followup_retry_all()).retried, 0::bigint, 'then there is nothing left');

CALL pg_temp.fill();
SELECT is((followup_retry_all('{"stage": "schedule"}')).retried, 2::bigint, 'all of a stage');
SELECT is(pg_temp.anew(), '1 2', 'start anew');
SELECT is((followup_retry_all('{"stage": "execute", '
    '"since": "2030-01-05 00:00+00", "until": "2030-01-06 00:00+00"}')).retried, 1::bigint, 'since is in, until is out');
SELECT is(pg_temp.anew(), '1 2 4', 'the one in between');
SELECT is((followup_retry_all('{"until": "2030-01-05 00:00+00"}')).retried, 1::bigint,
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
SELECT is((followup_retry_all()).retried, 4::bigint, 'a daemon: all');
SELECT is(pg_temp.hints(), 5, 'a daemon: announced');
SELECT is(pg_temp.anew(), '1 2 3 4 5', 'a daemon: start anew');
SELECT is((SELECT array_agg(booking_id) FROM followup_failures
    WHERE attempts > 0), ARRAY[
    pg_temp.id(6)], 'the failure of an executed one stays');
SELECT is((SELECT array_agg(booking_id) FROM followup_attempts), ARRAY[
    pg_temp.id(6)], 'and so does its attempt');
SET LOCAL followup.daemon = '';
ALTER TABLE lead_bookings DISABLE TRIGGER USER;
CALL pg_temp.fill();
SELECT is((followup_retry_all()).retried, 5::bigint, 'triggers disabled: all');
SELECT is(pg_temp.anew(), '1 2 3 4 5', 'triggers disabled: start anew');

SELECT throws_ok('INSERT INTO followup_failures (booking_id, stage, attempts, '
    'error) VALUES (pg_temp.id(1), ''other'', 1, ''x'')', '23514', NULL,
    'there are two stages');
UPDATE lead_bookings SET task_status = 'failed', is_deleted = true
WHERE id = pg_temp.id(2);
SELECT is(followup_retry(pg_temp.id(2)), false, 'deleted: no');

-- What is known of the failures stays, and who asked.
ALTER TABLE lead_bookings ENABLE TRIGGER USER;
UPDATE lead_bookings SET is_deleted = false;
CALL pg_temp.fill();
SELECT is(followup_retry(pg_temp.id(1), asked_by => 'ann'), true, 'by ann');
SELECT results_eq('SELECT what, by, http_status, reason, tenant_id '
    'FROM followup_history WHERE by = ''ann'' ORDER BY reason',
    $$VALUES ('retried', 'ann', 503, 'after: boom',
        '11111111-1111-4111-8111-111111111111'),
    ('retried', 'ann', NULL::int, 'after: not dead yet',
        '11111111-1111-4111-8111-111111111111')$$,
    'history tells of the failures');
SELECT is((SELECT count(*) FROM followup_late), 0::bigint, 'it is not late');
SELECT is(followup_retry(pg_temp.id(2), true, 'ann'), true, 'late');
SELECT results_eq('SELECT booking_id, due_at, asked_by FROM followup_late',
    $$SELECT id, followup_due_at(b), 'ann' FROM lead_bookings b
    WHERE id = pg_temp.id(2)$$, 'is noted for its time');
UPDATE followup_failures SET dead_at = now(), attempts = 1
WHERE booking_id = pg_temp.id(2);
SELECT is(followup_retry(pg_temp.id(2)), true, 'then not late');
SELECT is((SELECT count(*) FROM followup_late), 0::bigint, 'is noted, too');

-- Filters.
CALL pg_temp.fill();
UPDATE followup_failures SET tenant_id = '11111111-1111-4111-8111-11111111111a',
    http_status = 400, error = format('lead %s: 7 of 8', booking_id)
WHERE booking_id IN (pg_temp.id(3), pg_temp.id(4)) OR attempts = 1;
UPDATE followup_failures SET http_status = NULL WHERE booking_id = pg_temp.id(4);
SELECT is((SELECT coalesce(string_agg(right(booking_id::text, 1), ' '), '')
    FROM followup_letters(filter)), found, filter::text)
FROM (VALUES (jsonb '{"tenantId": "11111111-1111-4111-8111-11111111111A"}',
    '3 4'), ('{"tenantId": "x"}', ''), ('{"httpStatus": 0}', '4'),
    ('{"httpStatus": 503}', '1 2 5'), ('{"error": "oo", "stage": "execute"}',
    '5'), ('{"error": "lead <id>: <n> of"}', '3 4'),
    ('{"cause": "lead <id>: <n> of <n>"}', '3 4'),
    ('{"cause": "lead <id>: <n> of"}', '')) AS t (filter, found);

-- In steps, and one after the other.
SELECT results_eq('SELECT retried, more, until, last_id FROM '
    'followup_retry_all(per_minute => 6, at_most => 2)',
    $$SELECT 2::bigint, true, now() + interval '10 s', pg_temp.id(2)$$,
    'the first step is paced');
SELECT results_eq('SELECT retried, until FROM followup_retry_all('
    'per_minute => 60, at_most => 1)', $$SELECT 1::bigint,
    now() + interval '11 s'$$, 'the next one comes behind it');

-- What it would come to.
CREATE OR REPLACE FUNCTION followup_gate(booking lead_bookings,
    OUT verdict text, OUT until timestamptz, OUT reason text)
    LANGUAGE sql STABLE AS $$SELECT CASE WHEN EXISTS (SELECT FROM
        test_retry.followup_late l WHERE l.booking_id = booking.id)
        THEN 'call' ELSE 'never' END, NULL::timestamptz, NULL::text$$;
SELECT results_eq('SELECT matching, call_now, too_late, never FROM '
    'followup_retry_preview(''{}'', ' || late || ')', n, 'preview, late: '
    || late) FROM (VALUES ('false', 'VALUES (2::bigint, 0::bigint, 2::bigint, '
    '0::bigint)'), ('true', 'VALUES (2::bigint, 2::bigint, 0::bigint, '
    '0::bigint)')) AS t (late, n);

-- A gate that fails for one booking keeps none from being counted.
CREATE OR REPLACE FUNCTION followup_gate(booking lead_bookings,
    OUT verdict text, OUT until timestamptz, OUT reason text)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF right(booking.id::text, 1) IN ('1', '3', '5') THEN
        RAISE 'no such list';
    END IF;
    verdict := CASE right(booking.id::text, 1) WHEN '2' THEN 'call'
        ELSE 'wait' END;
END
$$;
CALL pg_temp.fill();
SELECT results_eq('SELECT matching, call_now, wait, never FROM '
    'followup_retry_preview(''{}'', false)', 'VALUES (5::bigint, 1::bigint, '
    '1::bigint, 3::bigint)', 'preview: a gate that fails for some bookings');

-- A gate that takes long has the counts come in time: of the oldest.
SELECT is(looked_at, 5::bigint, 'all are looked at')
FROM followup_retry_preview('{}', false);
CREATE OR REPLACE FUNCTION followup_gate(booking lead_bookings,
    OUT verdict text, OUT until timestamptz, OUT reason text)
    LANGUAGE sql STABLE AS $$SELECT CASE WHEN pg_sleep(0.7) IS NOT NULL
        THEN CASE right(booking.id::text, 1) WHEN '1' THEN 'call' ELSE 'wait'
        END END, NULL::timestamptz, NULL::text$$;
SELECT results_eq('SELECT matching, looked_at, call_now, wait FROM '
    'followup_retry_preview(''{}'', false)', 'VALUES (5::bigint, 3::bigint, '
    '1::bigint, 2::bigint)', 'as many of the oldest as two seconds allow');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_retry CASCADE;
