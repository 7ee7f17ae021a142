-- What a transaction of many bookings is announced with, and what that costs,
-- by counting.

\set schema test_hints
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
SET search_path = test_hints, public;
SET track_functions = 'all';

-- The functions that PostgreSQL is asked by, replaced for this transaction: by
-- ones that count their calls, and say what the test wants to hear.
BEGIN;
SELECT plan(53);
ALTER FUNCTION pg_catalog.pg_notification_queue_usage() RENAME TO true_usage;
ALTER FUNCTION pg_catalog.current_query() RENAME TO true_query;
ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO true_notify;
CREATE FUNCTION pg_catalog.pg_notification_queue_usage() RETURNS float8
    LANGUAGE plpgsql AS $$BEGIN
    RETURN current_setting('test.usage')::float8;
END$$;
CREATE FUNCTION pg_catalog.current_query() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN current_setting('test.query');
END$$;
ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO true_clock;
CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz
    LANGUAGE plpgsql AS $$BEGIN
    RETURN to_timestamp(current_setting('test.centisecond')::float8 / 100);
END$$;
ALTER FUNCTION pg_catalog.pg_try_advisory_xact_lock(bigint)
    RENAME TO true_lock;
CREATE FUNCTION pg_catalog.pg_try_advisory_xact_lock(bigint) RETURNS boolean
    LANGUAGE plpgsql AS $$BEGIN
    RETURN current_setting('test.free')::boolean;
END$$;
CREATE FUNCTION pg_catalog.pg_notify(channel text, payload text) RETURNS void
    LANGUAGE plpgsql AS $$BEGIN
    IF current_setting('test.broken') = 'yes' THEN
        RAISE EXCEPTION 'broken';
    END IF;
    PERFORM pg_catalog.true_notify(channel, payload);
END$$;
SET LOCAL test.usage = 0;
SET LOCAL test.query = 'COMMIT';
SET LOCAL test.broken = 'no';
SET LOCAL test.free = 'yes';
SET LOCAL test.centisecond = 190000000000;

CREATE FUNCTION pg_temp.calls(name text) RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce(sum(pg_stat_get_xact_function_calls(p.oid)), 0)::bigint
    FROM pg_proc p WHERE p.proname = name
$$;
CREATE FUNCTION pg_temp.hints() RETURNS int LANGUAGE sql AS $$
    SELECT coalesce(length(current_setting('followup.hints', true)), 0)
$$;

-- What ${rows} bookings are announced with, as if they were a transaction of
-- their own: NOTIFYs sent, calls of the trigger's function, and of what need be
-- asked only once.
CREATE FUNCTION pg_temp.announced(n int) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    names constant text[] := ARRAY['pg_notify', 'schedule_followup_cloud_task',
        'current_query', 'pg_notification_queue_usage'];
    before bigint[];
    outcome text;
BEGIN
    before := ARRAY(SELECT pg_temp.calls(u) FROM unnest(names) WITH ORDINALITY
        AS t (u, o) ORDER BY o);
    BEGIN
        SET CONSTRAINTS ALL DEFERRED;
        SET LOCAL followup.hints = '';
        INSERT INTO lead_bookings (notes) SELECT 'x' FROM generate_series(1, n);
        SET CONSTRAINTS ALL IMMEDIATE;
        RAISE EXCEPTION USING ERRCODE = 'FU002';
    EXCEPTION WHEN SQLSTATE 'FU002' THEN
        NULL;
    END;
    SELECT string_agg((pg_temp.calls(u) - before[o])::text, ' ' ORDER BY o)
    INTO outcome FROM unnest(names) WITH ORDINALITY AS t (u, o);
    RETURN outcome;
END$$;
SELECT is(pg_temp.announced(1), '1 1 1 1', 'one booking');
SELECT is(pg_temp.announced(3), '3 3 1 1',
    'three bookings: what need be asked only once is asked only once');
SELECT is(pg_temp.announced(100), '100 100 1 1', 'a hundred bookings');
SELECT is(pg_temp.announced(101), '100 101 1 1', 'and one more');
SELECT is(pg_temp.announced(1000), '100 1000 1 1', 'a thousand bookings');
SET LOCAL test.usage = 0.49;
SELECT is(pg_temp.announced(2), '2 2 1 1', 'a queue that is nearly half full');
SET LOCAL client_min_messages = error;
SET LOCAL test.broken = 'yes';
SELECT is(pg_temp.announced(1000), '0 1000 1 1',
    'NOTIFY fails: tried once, and the bookings stand');
SET LOCAL test.usage = 'nonsense';
SELECT is(pg_temp.announced(1000), '0 1000 1 0',
    'so when the queue cannot be asked');
SET LOCAL client_min_messages = warning;
SET LOCAL test.usage = 0;
SET LOCAL test.broken = 'no';

-- That a transaction sends none is asked once.
SET LOCAL test.query = 'prepare TRANSACTION ''x''';
SELECT is(pg_temp.announced(1000), '0 1000 1 0', 'PREPARE TRANSACTION: none');
SET LOCAL test.query = 'COMMIT; Prepare /* in two phases */
    Transaction ''x''';
SELECT is(pg_temp.announced(2), '0 2 1 0', 'in other words');
SELECT set_config('test.query', repeat('SELECT 1; ', 500)
    || 'PREPARE TRANSACTION ''x''', true) AS unused
\gset
SELECT is(pg_temp.announced(2), '0 2 1 0', 'behind many statements');
SELECT set_config('test.query', repeat('INSERT INTO ', 500) || ';', true)
    AS unused
\gset
SELECT is(pg_temp.announced(2), '2 2 1 1', 'one long statement is none');
SELECT pg_temp.calls('current_query') AS before
\gset
DO $$BEGIN
    FOR i IN 1 .. 3 LOOP
        SET LOCAL followup.hints = '';
        INSERT INTO lead_bookings DEFAULT VALUES;
        SET CONSTRAINTS ALL IMMEDIATE;
        SET CONSTRAINTS ALL DEFERRED;
    END LOOP;
END$$;
SELECT is(pg_temp.calls('current_query') - :before, 1::bigint,
    'a long text is copied once, however many transactions it has');
SET LOCAL test.query = 'COMMIT';
SET LOCAL test.usage = 0.5;
SELECT is(pg_temp.announced(1000), '0 1000 1 1',
    'a queue that is half full: none');
SET LOCAL test.usage = 0;

-- The counter is the transaction's, across statements.
SET LOCAL followup.hints = '';
SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO lead_bookings (notes) SELECT 'x' FROM generate_series(1, 60);
SELECT is(pg_temp.hints(), 60, 'a statement');
INSERT INTO lead_bookings (notes) SELECT 'x' FROM generate_series(1, 60);
SELECT is(pg_temp.hints(), 100, 'another statement');
SET LOCAL followup.hints = '';
INSERT INTO lead_bookings (id) VALUES ('00000000-0000-4000-8000-00000000000b');
UPDATE lead_bookings SET scheduled_at = '2031-01-01'
WHERE id = '00000000-0000-4000-8000-00000000000b';
SELECT is(pg_temp.hints(), 2, 'a move counts as well');
SET LOCAL followup.daemon = 'on';
UPDATE lead_bookings SET task_status = 'scheduled', task_name = 't'
WHERE id = '00000000-0000-4000-8000-00000000000b';
SET LOCAL followup.daemon = '';
DELETE FROM lead_bookings WHERE id = '00000000-0000-4000-8000-00000000000b';
SELECT is(pg_temp.hints(), 3, 'and so does a deletion');

-- What is undone does not count.
SAVEPOINT a;
INSERT INTO lead_bookings (notes) SELECT 'x' FROM generate_series(1, 90);
SELECT is(pg_temp.hints(), 93, 'hints after a savepoint');
ROLLBACK TO a;
SELECT is(pg_temp.hints(), 3, 'are taken back with it');
INSERT INTO lead_bookings (notes) SELECT 'x' FROM generate_series(1, 90);
SELECT is(pg_temp.hints(), 93, 'and sent again');

-- Whatever an application has put there.
SELECT lives_ok(format('SELECT set_config(''followup.hints'', %L, true); '
    'INSERT INTO lead_bookings DEFAULT VALUES', v),
    format('followup.hints is %s', to_json(left(v, 10))))
FROM unnest(ARRAY['', 'nonsense', '-1', '99999999999999999999', 'ü',
    repeat('x', 10000)]) AS v;
SET LOCAL followup.hints = 'nonsense';
INSERT INTO lead_bookings DEFAULT VALUES;
SELECT is(current_setting('followup.hints'), '.', 'and it is not counted');

-- A session sends 1000 at once, and one in 10 ms from then on.
CREATE FUNCTION pg_temp.sent(transactions int, moment bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    before bigint := pg_temp.calls('pg_notify');
BEGIN
    PERFORM set_config('test.centisecond', moment::text, true);
    FOR i IN 1 .. transactions LOOP
        SET LOCAL followup.hints = '';
        SET CONSTRAINTS ALL DEFERRED;
        INSERT INTO lead_bookings DEFAULT VALUES;
        SET CONSTRAINTS ALL IMMEDIATE;
    END LOOP;
    RETURN pg_temp.calls('pg_notify') - before;
END$$;
SET LOCAL followup.paced = '';
SELECT is(pg_temp.sent(1000, 190000000000), 1000::bigint,
    'a thousand transactions');
SELECT is(pg_temp.sent(10, 190000000000), 0::bigint, 'and no more at once');
SELECT is(pg_temp.sent(10, 190000000001), 1::bigint, 'one 10 ms later');
SELECT is(pg_temp.sent(10, 190000000002), 1::bigint, 'another 20 ms later');
SELECT is(pg_temp.sent(600, 190000000502), 500::bigint,
    'half of the share after five seconds');
SELECT is(pg_temp.sent(1001, 190000009999), 1000::bigint,
    'and never more than the whole');
SELECT is(pg_temp.sent(1, 190000009000), 1::bigint,
    'a clock that was set back keeps nobody silent');
SELECT is(pg_temp.sent(2, 190000009001), 2::bigint, 'and counts anew');

-- Other types take no part in it, nor does what is made pending wait for it.
SELECT is(pg_temp.sent(1000, 190000020000), 1000::bigint, 'the share is used');
SET LOCAL followup.hints = '';
INSERT INTO lead_bookings (id, task_status)
    VALUES ('00000000-0000-4000-8000-00000000000c', 'scheduled');
INSERT INTO lead_bookings (task_status)
    SELECT 'scheduled' FROM generate_series(1, 20);
SELECT is((SELECT task_status::text FROM lead_bookings
    WHERE id = '00000000-0000-4000-8000-00000000000c'), 'pending',
    'only a daemon makes a booking scheduled, whatever was sent before');

SELECT is(pg_temp.sent(10, 190000020000), 0::bigint,
    'and what was sent for it beyond the share gives none back');
SELECT is(pg_temp.sent(10, 190000020001), 1::bigint, 'nor does it cost more');

-- A session that competes with another one leaves 50 ms to it.
SET LOCAL followup.paced = '';
SET LOCAL test.free = 'no';
SELECT is(pg_temp.sent(1, 190000030000), 0::bigint, 'another session sends');
SET LOCAL test.free = 'yes';
SELECT is(pg_temp.sent(1, 190000030005), 0::bigint, 'as it did 50 ms ago');
SELECT is(pg_temp.sent(3, 190000030006), 1::bigint, 'but not 60 ms ago');

-- Whatever an application has put there.
CREATE FUNCTION pg_temp.paced_by(value text) RETURNS bigint
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('followup.paced', value, true);
    RETURN pg_temp.sent(1, 190000040000);
END$$;
SELECT is(pg_temp.paced_by(v), 1::bigint,
    format('followup.paced is %s', to_json(left(v, 14))))
FROM unnest(ARRAY['nonsense', '-1', '1900000400001', '19000004000x',
    '999999999999', repeat('9', 10000)]) AS v;
SET LOCAL followup.paced = '';

-- The commit may have to wait for the lock of NOTIFY.
SELECT is(current_setting('lock_timeout'), '0', 'before');
SET LOCAL lock_timeout = '1s';
INSERT INTO lead_bookings (booking_type) VALUES ('meeting');
SELECT is(current_setting('lock_timeout'), '1s',
    'lock_timeout is the application''s');
SET LOCAL followup.hints = '';
INSERT INTO lead_bookings DEFAULT VALUES;
SELECT is(current_setting('lock_timeout'), '0',
    'a hint is not lost to it, and no booking with the hint');

-- Memory: that of the queue of events is PostgreSQL's own; the rest must not
-- grow with the rows.
CREATE FUNCTION pg_temp.memory(n int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    SET LOCAL followup.hints = '';
    INSERT INTO lead_bookings (notes) SELECT 'x' FROM generate_series(1, n);
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN (SELECT sum(total_bytes) FROM pg_backend_memory_contexts
        WHERE name <> 'AfterTriggerEvents');
END$$;
SELECT pg_temp.memory(200) AS few
\gset
SELECT pg_temp.memory(200) AS few, pg_temp.memory(5000) AS many
\gset
SELECT cmp_ok(:many::bigint - :few, '<', 2000000::bigint,
    '4 800 bookings more leave less than 2 MB behind');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_hints CASCADE;
