-- followup_call_request: what the voice agent is sent.

\set schema test_call
\set due timestamp
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
SET search_path = test_call, public;
\set b 00000000-0000-4000-8000-00000000000b
\set l 00000000-0000-4000-8000-00000000000a

SELECT plan(32);

INSERT INTO leads VALUES (:'l', 'Ada', 'Lovelace', '+15550100001');
INSERT INTO lead_bookings (id, lead_id, assigned_user_id, booking_type,
    scheduled_at, timezone, notes, task_status)
VALUES (:'b', :'l', :'l', 'Follow_Up', '2030-06-01 12:00:00.25', 'Asia/Dubai',
    'call "her"', 'executed');

SELECT is(followup_call_request(:'b'), jsonb_build_object(
    'bookingId', :'b', 'tenantId', '11111111-1111-4111-8111-111111111111',
    'leadId', :'l', 'assignedUserId', :'l', 'phoneNumber', '+15550100001',
    'leadName', 'Ada Lovelace', 'context', jsonb_build_object(
    'bookingType', 'Follow_Up', 'scheduledAt', '2030-06-01T08:00:00.250Z',
    'timezone', 'Asia/Dubai', 'notes', 'call "her"')), 'the whole request');
SELECT is(followup_call_request('00000000-0000-4000-8000-00000000000c'),
    NULL::jsonb, 'no such booking');

-- The phone number and the name, wherever this deployment keeps them.
ALTER TABLE leads ADD mobile text, ADD phone_e164 text, ADD phone_number text,
    ADD name text, ADD full_name text;
CREATE FUNCTION pg_temp.of_lead(lead jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    request jsonb;
BEGIN
    DELETE FROM leads;
    INSERT INTO leads SELECT * FROM jsonb_populate_record(NULL::leads, lead
        || '{"id": "00000000-0000-4000-8000-00000000000a"}');
    request := followup_call_request('00000000-0000-4000-8000-00000000000b');
    RETURN concat_ws('/', coalesce(request ->> 'phoneNumber', '-'),
        coalesce(request ->> 'leadName', '-'));
END$$;
SELECT is(pg_temp.of_lead(lead::jsonb), w, lead)
FROM (VALUES
    ('{}', '-/-'),
    ('{"phone": "1"}', '1/-'),
    ('{"mobile": "2"}', '2/-'),
    ('{"phone_e164": "3"}', '3/-'),
    ('{"phone_number": "4", "phone": "1", "mobile": "2"}', '4/-'),
    ('{"phone_number": "", "phone": " ", "mobile": " 2 "}', '2/-'),
    ('{"phone": "", "phone_e164": ""}', '-/-'),
    ('{"phone": "\t", "mobile": "2\r\n"}', '2/-'),
    ('{"name": "N", "full_name": "F", "first_name": "A"}', '-/N'),
    ('{"name": "", "full_name": "F", "first_name": "A"}', '-/F'),
    ('{"first_name": "A", "last_name": " "}', '-/A'),
    ('{"last_name": "B"}', '-/B')) AS t (lead, w);

UPDATE lead_bookings SET timezone = 'nowhere';
SELECT is(followup_call_request(:'b') #> '{context,scheduledAt}', 'null',
    'an unknown time zone');
DELETE FROM leads;
SELECT is(followup_call_request(:'b') -> 'phoneNumber', 'null', 'no such lead');
DROP TABLE leads;
SELECT is(followup_call_request(:'b') -> 'phoneNumber', 'null',
    'no table of leads');
CREATE TABLE leads (id text PRIMARY KEY, phone bigint);
INSERT INTO leads VALUES (:'l', 15550100002);
SELECT is(followup_call_request(:'b') ->> 'phoneNumber', '15550100002',
    'leads with other types');
ALTER TABLE leads ALTER id TYPE char(40);
SELECT is(followup_call_request(:'b') ->> 'phoneNumber', '15550100002',
    'an id of a fixed length');
ALTER TABLE leads ALTER id TYPE text;
ALTER TABLE lead_bookings ALTER lead_id TYPE char(40),
    ALTER tenant_id TYPE char(40);
SELECT is(followup_call_request(:'b') ->> 'phoneNumber', '15550100002',
    'known by one of a fixed length');
SELECT is(concat(r ->> 'leadId', '/', r ->> 'tenantId', '.'), concat(:'l',
    '/11111111-1111-4111-8111-111111111111.'), 'told without its blanks')
FROM followup_call_request(:'b') AS r;

-- jsonb takes no half of a character, which json does.
ALTER TABLE leads ADD l json DEFAULT '"\ud83d"';
SELECT is(followup_call_request(:'b') ->> 'phoneNumber', '15550100002',
    'what is no text, in a column of the lead that nobody asks for');
SELECT followup_call_request(:'b') AS plain \gset
ALTER TABLE lead_bookings ADD odd json DEFAULT '"\ud83d"';
SELECT is(followup_call_request(:'b'), :'plain', 'or of the booking');
SET followup.daemon = 'on';
UPDATE lead_bookings SET task_status = 'failed';
SET followup.daemon = '';
INSERT INTO followup_failures (booking_id, stage, attempts, error, dead_at)
VALUES (:'b', 'schedule', 1, 'late', now());
UPDATE lead_bookings SET scheduled_at = '2031-01-01';
SELECT is_empty('SELECT * FROM followup_failures',
    'such a booking starts anew when it is moved');
INSERT INTO lead_bookings (booking_type, scheduled_at, odd)
VALUES ('follow_up', '2031-01-01', '0'),
    ('follow_up', '2031-01-01', '"\udc00"');
SELECT lives_ok('UPDATE lead_bookings SET scheduled_at = ''2032-01-01''',
    'as it does behind others');

-- Not for everybody.
CREATE ROLE test_call_other;
GRANT USAGE ON SCHEMA test_call TO test_call_other;
SELECT is(has_function_privilege('test_call_other',
    'followup_call_request(uuid)', 'EXECUTE'), false, 'PUBLIC may not call it');

-- A replaced one survives install and uninstall.
CREATE OR REPLACE FUNCTION followup_call_request(booking_id uuid) RETURNS jsonb
    LANGUAGE sql AS $$SELECT jsonb_build_object('own', booking_id)$$;
SET client_min_messages = warning;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(followup_call_request(:'b'), jsonb_build_object('own', :'b'),
    'a replaced one survives a reinstall');
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT is(followup_call_request(:'b'), jsonb_build_object('own', :'b'),
    'and an uninstall');
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(followup_call_request(:'b'), jsonb_build_object('own', :'b'),
    'and an install after that');
DROP FUNCTION followup_call_request(uuid);
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(followup_call_request(:'b') ->> 'bookingId', :'b',
    'dropped: ours is back');
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(followup_call_request(:'b') ->> 'bookingId', :'b',
    'ours is brought up to date');
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT hasnt_function('test_call', 'followup_call_request', 'ours goes');

SELECT * FROM finish();
DROP SCHEMA test_call CASCADE;
DROP ROLE test_call_other;
