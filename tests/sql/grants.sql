-- What the daemons' role can do, and what it cannot.

\set schema test_grants
\ir lib/app.psql
CREATE ROLE test_grants_daemon;
CREATE ROLE test_grants_other;
CREATE ROLE test_grants_old;
-- Functions are closed by default in this deployment.
ALTER DEFAULT PRIVILEGES IN SCHEMA test_grants
    GRANT SELECT ON TABLES TO test_grants_old;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT USAGE ON SCHEMA test_grants TO test_grants_other, test_grants_old;
GRANT SELECT ON test_grants.lead_bookings TO test_grants_old;
GRANT INSERT, UPDATE ON test_grants.lead_bookings TO test_grants_other;
\set grant_to test_grants_daemon
\ir ../../sql/create-booking-cloud-task-trigger.sql
SET search_path = test_grants, public;
INSERT INTO leads VALUES ('00000000-0000-4000-8000-00000000000a', 'Ada', NULL,
    '+15550100001');
INSERT INTO lead_bookings (id, lead_id)
VALUES ('00000000-0000-4000-8000-00000000000b',
    '00000000-0000-4000-8000-00000000000a');
SELECT plan(66);

-- 'done' or the SQLSTATE of ${statement} run by ${role}.
CREATE FUNCTION pg_temp.as_role(role name, statement text) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    outcome text := 'done';
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    BEGIN
        EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN
        outcome := SQLSTATE;
    END;
    RESET ROLE;
    RETURN outcome;
END$$;

SELECT is(pg_temp.as_role('test_grants_daemon', s), 'done', 'can: ' || s)
FROM unnest(ARRAY[
    'SELECT * FROM lead_bookings',
    'SELECT followup_due_at(b) FROM lead_bookings b',
    'SELECT followup_is_followup_type(''x'')',
    'UPDATE lead_bookings SET task_status = ''scheduled'', task_name = ''t'', '
        'task_scheduled_at = now(), idempotency_key = ''k''',
    'UPDATE lead_bookings SET task_status = ''executed'', '
        'executed_at = now(), execution_attempts = 1, '
        'last_execution_error = NULL',
    'UPDATE lead_bookings SET task_status = ''cancelled''',
    'UPDATE lead_bookings SET task_status = ''pending''',
    'SELECT followup_call_request(id) FROM lead_bookings',
    'SELECT g.verdict FROM lead_bookings b, followup_gate(b) g',
    'SELECT followup_queue(b) FROM lead_bookings b',
    'INSERT INTO followup_late VALUES (gen_random_uuid(), now(), ''me'')',
    'DELETE FROM followup_late',
    'INSERT INTO followup_canary (id, slot, try, scheduled_at) '
        'VALUES (gen_random_uuid(), now(), 1, now())',
    'UPDATE followup_canary SET notified_at = now()',
    'DELETE FROM followup_canary',
    'SELECT * FROM followup_acts',
    'SELECT followup_canary_state()',
    'SELECT followup_retry(id) FROM lead_bookings',
    'SELECT followup_retry_all()',
    'SELECT followup_retry_preview(''{}'', true)',
    'SELECT * FROM followup_dead_letters',
    'SELECT * FROM followup_failures FOR UPDATE',
    'INSERT INTO followup_failures (booking_id, stage, attempts, error) '
        'VALUES (gen_random_uuid(), ''schedule'', 1, ''x'')',
    'UPDATE followup_failures SET dead_at = now()',
    'DELETE FROM followup_failures',
    'INSERT INTO followup_attempts VALUES (gen_random_uuid()) '
        'ON CONFLICT (booking_id) DO UPDATE SET begun_at = now()',
    'DELETE FROM followup_attempts USING lead_bookings b '
        'WHERE booking_id = b.id',
    'INSERT INTO followup_obsolete_tasks (task_name, booking_id) '
        'VALUES (''another'', gen_random_uuid())',
    'UPDATE followup_obsolete_tasks SET attempts = attempts + 1',
    'SELECT * FROM followup_obsolete_tasks FOR UPDATE SKIP LOCKED',
    'SELECT followup_pause(''all'', ''x'')',
    'SELECT followup_resume(''all'')',
    'DELETE FROM followup_obsolete_tasks']) AS s;
SELECT is(pg_temp.as_role('test_grants_daemon', s), '42501', 'cannot: ' || s)
FROM unnest(ARRAY[
    'SELECT * FROM leads',
    'INSERT INTO lead_bookings DEFAULT VALUES',
    'DELETE FROM lead_bookings',
    'UPDATE lead_bookings SET scheduled_at = now()',
    'UPDATE lead_bookings SET booking_type = ''x''',
    'UPDATE lead_bookings SET tenant_id = gen_random_uuid()',
    'TRUNCATE lead_bookings',
    'TRUNCATE followup_failures',
    'DELETE FROM followup_acts',
    'ALTER TABLE lead_bookings DISABLE TRIGGER USER',
    'CREATE TABLE test_grants.mine (id int)',
    'INSERT INTO followup_dead_letters (booking_id) '
        'VALUES (gen_random_uuid())',
    'DROP FUNCTION followup_retry']) AS s;
SELECT is(pg_temp.as_role('test_grants_other', s), '42501',
    'others cannot: ' || s)
FROM unnest(ARRAY[
    'SELECT followup_call_request(''00000000-0000-4000-8000-00000000000b'')',
    'SELECT * FROM followup_failures',
    'SELECT * FROM followup_attempts',
    'SELECT * FROM followup_obsolete_tasks',
    'SELECT * FROM followup_canary',
    'SELECT * FROM followup_acts',
    'SELECT * FROM followup_dead_letters',
    'SELECT followup_retry(gen_random_uuid())',
    'SELECT followup_pause(''all'', ''x'')',
    'SELECT followup_resume(''all'')',
    'CREATE TEMP TABLE mine (id uuid); CREATE TRIGGER t BEFORE UPDATE ON mine '
        'FOR EACH ROW EXECUTE FUNCTION followup_booking_changed()']) AS s;
SELECT is(pg_temp.as_role('test_grants_other',
    'INSERT INTO lead_bookings DEFAULT VALUES; SET CONSTRAINTS ALL IMMEDIATE'),
    'done', 'others can insert, although functions are closed by default');

SELECT is((SELECT array_agg(proname ORDER BY proname) FROM pg_proc
    WHERE pronamespace = 'test_grants'::regnamespace AND prosecdef
        AND 'search_path=pg_catalog, pg_temp' = ANY (proconfig)),
    ARRAY['followup_bookings_truncated', 'followup_call_request',
    'followup_hours_changed', 'followup_pause_changed',
    'followup_setting_written']::name[],
    'what is SECURITY DEFINER has a safe search_path, but for the triggers, which need none');
SELECT is((SELECT count(*) FROM pg_proc
    WHERE pronamespace = 'test_grants'::regnamespace AND prosecdef), 7::bigint,
    'but schedule_followup_cloud_task, which qualifies every name');

-- Uninstall takes back what was given, and not what was there before.
\set grant_to test_grants_old
\ir ../../sql/create-booking-cloud-task-trigger.sql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\set grant_to ''
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(pg_temp.as_role('test_grants_daemon',
    'UPDATE lead_bookings SET task_status = ''cancelled'''), 'done',
    'a reinstall without --grant-to keeps the grants');
DROP TABLE followup_attempts;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(pg_temp.as_role('test_grants_daemon', 'DELETE FROM followup_attempts'),
    'done', 'and gives them to what the version before did not have');
\set purge on
\ir ../../sql/drop-booking-cloud-task-trigger.sql
\set purge off
SELECT is(has_schema_privilege('test_grants_daemon', 'test_grants', 'USAGE'),
    false, 'uninstall takes back USAGE');
SELECT is(has_table_privilege('test_grants_daemon', 'lead_bookings', 'SELECT'),
    false, 'and SELECT');
SELECT is(has_table_privilege('test_grants_old', 'lead_bookings', 'SELECT'),
    true, 'but not from whom had it before');
SELECT is(has_schema_privilege('test_grants_old', 'test_grants', 'USAGE'),
    true, 'likewise USAGE');

SELECT * FROM finish();
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
DROP SCHEMA test_grants CASCADE;
DROP ROLE test_grants_daemon, test_grants_other, test_grants_old;
