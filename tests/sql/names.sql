-- Names that need quoting, and a table that lacks every optional column.

\set schema 'My "Schema" $body$ %I'
\set table 'Bookings''s %1$s\\'
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\ir lib/fired.psql
SELECT set_config('search_path', quote_ident(:'schema') || ', public', false)
    AS unused
\gset
SELECT plan(13);
BEGIN;
SELECT is(pg_temp.fired(format('INSERT INTO %I DEFAULT VALUES', :'table')),
    'notify', 'an INSERT is announced');
SET LOCAL followup.daemon = 'on';
INSERT INTO :"table" (id, task_status, task_name)
VALUES ('00000000-0000-4000-8000-00000000000b', 'scheduled', 'old');
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
SET LOCAL followup.daemon = '';
SELECT is(pg_temp.fired(format('DELETE FROM %I', :'table')), 'changed notify',
    'a DELETE is noticed');
UPDATE :"table" SET scheduled_at = '2031-01-01';
SELECT is((SELECT array_agg(task_name) FROM followup_obsolete_tasks),
    ARRAY['old'], 'a move is noticed');
UPDATE :"table" SET task_status = 'failed';
SELECT is(followup_call_request(id) ->> 'bookingId', id::text, 'a call request')
FROM :"table";
SELECT is(followup_retry(id), true, 'a retry') FROM :"table";
UPDATE :"table" SET task_status = 'failed';
INSERT INTO followup_failures (booking_id, stage, attempts, error, dead_at)
SELECT id, 'execute', 1, 'x', now() FROM :"table";
SELECT is((followup_retry_all()).retried, 1::bigint, 'a retry of all');
ROLLBACK;
\set purge on
\ir ../../sql/drop-booking-cloud-task-trigger.sql
\set purge off
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace
    = quote_ident(:'schema')::regnamespace), 0::bigint, 'uninstalled');
SELECT hasnt_column(:'schema', :'table', 'task_status', 'columns as well');

SET search_path = public;
DROP SCHEMA :"schema" CASCADE;
\set schema test_bare
\set table lead_bookings
CREATE SCHEMA test_bare;
CREATE TABLE test_bare.lead_bookings (id uuid PRIMARY KEY, booking_type text,
    scheduled_at timestamp(0));
\ir ../../sql/create-booking-cloud-task-trigger.sql
DROP FUNCTION pg_temp.fired, pg_temp.calls;
\ir lib/fired.psql
SET search_path = test_bare, public;
BEGIN;
SELECT is(pg_temp.fired('INSERT INTO lead_bookings VALUES '
    '(gen_random_uuid(), ''follow_up'', ''2030-01-01'')'), 'notify',
    'three columns are enough for an announcement');
INSERT INTO lead_bookings VALUES ('00000000-0000-4000-8000-00000000000b',
    'follow_up', '2030-01-01');
SELECT is(followup_call_request(id), '{"bookingId":
    "00000000-0000-4000-8000-00000000000b", "tenantId": null, "leadId": null,
    "assignedUserId": null, "phoneNumber": null, "leadName": null, "context":
    {"bookingType": "follow_up", "scheduledAt": "2030-01-01T00:00:00.000Z",
    "timezone": null, "notes": null}}', 'and for a call request')
FROM lead_bookings;
SET LOCAL followup.daemon = 'on';
UPDATE lead_bookings SET task_status = 'scheduled', task_name = 'old';
SET LOCAL followup.daemon = '';
UPDATE lead_bookings SET scheduled_at = '2031-01-01';
SELECT is(task_status::text, 'pending', 'and for a move') FROM lead_bookings;
UPDATE lead_bookings SET task_status = 'failed';
SELECT is(followup_retry(id), true, 'and for a retry') FROM lead_bookings;
ROLLBACK;

SELECT is(count(*), 6::bigint, 'all triggers') FROM pg_trigger
WHERE tgrelid = 'test_bare.lead_bookings'::regclass;

SELECT * FROM finish();
DROP SCHEMA test_bare CASCADE;
