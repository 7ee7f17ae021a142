-- Which inserted rows are announced.

\set schema test_insert
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\ir lib/fired.psql
SET search_path = test_insert, public;

BEGIN;
SELECT plan(48);

SELECT is(pg_temp.fired(format(
    'INSERT INTO lead_bookings (booking_type) VALUES (%L)', t)), 'notify',
    format('%s is a follow-up', t))
FROM unnest(ARRAY['follow_up', 'follow-up', 'auto-follow-up', 'followup',
    'auto_follow_up', 'auto_followup', 'manual_followup', 'manual_follow_up',
    'scheduled_call', 'FOLLOW_UP', 'Follow-Up', 'Auto-Follow-Up', 'FollowUp',
    'AUTO_follow_UP', 'Auto_Followup', 'Manual_FOLLOWUP', 'mANUAL_fOLLOW_uP',
    'Scheduled_Call']) AS t;
SELECT is(pg_temp.fired(format(
    'INSERT INTO lead_bookings (booking_type) VALUES (%L)', t)), '',
    format('%s is not', to_json(t)))
FROM unnest(ARRAY['meeting', 'demo', '', ' follow_up', 'follow_up ',
    'follow up', 'followups', 'scheduled-call', 'manual-follow-up',
    'auto-followup', E'follow_up\n']) AS t;
SELECT is(followup_is_followup_type(NULL), false, 'null is not');

SELECT is(pg_temp.fired(format(
    'INSERT INTO lead_bookings (task_status) VALUES (%L)', s)), '',
    format('task_status %s is not announced', s))
FROM unnest(ARRAY['executed', 'cancelled', 'failed']) AS s;
SELECT is(pg_temp.fired('INSERT INTO lead_bookings (scheduled_at) '
    'VALUES (NULL)'), 'notify', 'a row without a time is announced');

-- What the trigger looks like to the operator.
SELECT is((SELECT string_agg(concat_ws(' ', action_timing, event_manipulation,
        action_orientation), ',') FROM information_schema.triggers
    WHERE event_object_schema = 'test_insert'
        AND event_object_table = 'lead_bookings'
        AND trigger_name = 'trigger_schedule_followup_cloud_task'),
    'AFTER INSERT ROW', 'the operator''s query finds it');
SELECT results_eq($$SELECT tgdeferrable, tginitdeferred FROM pg_trigger
    WHERE tgname = 'trigger_schedule_followup_cloud_task'
        AND tgrelid = 'lead_bookings'::regclass$$,
    $$VALUES (true, true)$$, 'it runs at commit');

-- Nothing in the way of the INSERT can make it fail.
CREATE ROLE test_insert_app;
GRANT USAGE, CREATE ON SCHEMA test_insert TO test_insert_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON lead_bookings TO test_insert_app;
CREATE FUNCTION test_insert.lower(text) RETURNS text LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'shadowed lower'; END$$;
CREATE FUNCTION test_insert.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'shadowed to_jsonb'; END$$;
CREATE FUNCTION test_insert.pg_notify(text, text) RETURNS void LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'shadowed pg_notify'; END$$;
CREATE FUNCTION test_insert.never(text, text) RETURNS boolean LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'shadowed ='; END$$;
CREATE OPERATOR test_insert.= (LEFTARG = text, RIGHTARG = text,
    FUNCTION = test_insert.never);
CREATE FUNCTION pg_temp.as_app(statement text) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    outcome text := 'done';
BEGIN
    SET LOCAL ROLE test_insert_app;
    SET LOCAL search_path = test_insert, pg_catalog;
    BEGIN
        EXECUTE statement;
        SET CONSTRAINTS ALL IMMEDIATE;
    EXCEPTION WHEN OTHERS THEN
        outcome := SQLSTATE;
    END;
    RESET ROLE;
    SET LOCAL search_path = test_insert, public;
    RETURN outcome;
END$$;
SET LOCAL search_path = pg_catalog, public;
SELECT is(pg_temp.as_app($$INSERT INTO lead_bookings (id, timezone, task_name)
    VALUES ('00000000-0000-4000-8000-000000000001', repeat('x', 10240),
    't1')$$), 'done',
    'an INSERT by a role without any right of ours, with a hostile path');
SET LOCAL search_path = pg_catalog, public;
SELECT is(pg_temp.as_app($$UPDATE lead_bookings SET scheduled_at = '2031-01-01'
    WHERE id OPERATOR(pg_catalog.=) '00000000-0000-4000-8000-000000000001'
    $$), 'done', 'its move');
SET LOCAL search_path = pg_catalog, public;
SELECT is(pg_temp.as_app($$DELETE FROM lead_bookings
    WHERE id OPERATOR(pg_catalog.=) '00000000-0000-4000-8000-000000000001'
    $$), 'done', 'its deletion');
SET LOCAL search_path = pg_catalog, public;
SELECT is((SELECT string_agg(DISTINCT rest[1], ' ') FROM pg_proc,
    regexp_replace(prosrc, '--[^\n]*|''[^'']*''|OPERATOR\(pg_catalog\.[^)]*\)|:=|'
    '\mSET ([a-z_]+ = [^,\s]+,?\s+)+',
    ' ', 'g') AS code, regexp_matches(code,
    '[-+*/<>=~!@#%^&|]|(?<![.\w])(?!IF|OR|AND|NOT|coalesce|least|ROW|'
    'ARRAY)\w+\(|'
    '\m(?:text|jsonb|bool)\M(?<!pg_catalog\.(?:text|jsonb|bool))', 'g') AS rest
    WHERE pronamespace OPERATOR(pg_catalog.=) 'test_insert'::regnamespace
    AND proname OPERATOR(pg_catalog.=) ANY ('{schedule_followup_cloud_task,'
    'followup_booking_changed}'::name[])), NULL,
    'what has no search_path of its own qualifies every name');
SELECT is(pg_temp.as_app('SELECT * FROM followup_obsolete_tasks'), '42501',
    'and yet that role cannot read our tables');
SET LOCAL search_path = pg_catalog, test_insert, public;
SELECT is((SELECT array_agg(task_name) FROM followup_obsolete_tasks),
    ARRAY['t1'], 'its task is to be deleted');
SET CONSTRAINTS ALL DEFERRED;

-- Nor can the loss of what is ours.
INSERT INTO lead_bookings (id, task_status, task_name)
VALUES ('00000000-0000-4000-8000-000000000002', 'scheduled', 't2');
SET LOCAL client_min_messages = error;
ALTER TABLE followup_obsolete_tasks RENAME TO gone;
DROP FUNCTION followup_due_at(lead_bookings);
SELECT lives_ok('INSERT INTO lead_bookings DEFAULT VALUES',
    'an INSERT without followup_due_at');
SELECT lives_ok('SET CONSTRAINTS ALL IMMEDIATE', 'its announcement');
SET CONSTRAINTS ALL DEFERRED;
SELECT lives_ok($$UPDATE lead_bookings SET scheduled_at = '2031-01-01'
    WHERE id = '00000000-0000-4000-8000-000000000002'$$,
    'a move without the table of obsolete tasks');
SELECT is(task_status::text, 'pending', 'which still sends the booking back')
FROM lead_bookings WHERE id = '00000000-0000-4000-8000-000000000002';
SELECT lives_ok($$DELETE FROM lead_bookings
    WHERE id = '00000000-0000-4000-8000-000000000002'$$, 'a deletion');
SELECT lives_ok('SET CONSTRAINTS ALL IMMEDIATE', 'its announcement');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_insert CASCADE;
