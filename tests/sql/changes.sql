-- Bookings that change by plain SQL, and our own writes, which must fire
-- nothing.

\set schema test_changes
\set due timestamp
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\ir lib/fired.psql
SET search_path = test_changes, public;
\ir lib/changes.psql

BEGIN;
SELECT plan(58);

\set kept 'old failures=1 obsolete= calls='
\set reset 'pending - anew failures=0 obsolete=old calls=changed notify'
\set cancelled 'cancelled - failures=0 obsolete=old calls=changed notify'

-- Set to pending by hand.
SELECT is(pg_temp.after(jsonb_build_object('task_status', s),
    'task_status = ''pending'''), :'reset', s || ' is set to pending')
FROM unnest(ARRAY['scheduled', 'executed', 'cancelled', 'failed']) AS s;
SELECT is(pg_temp.after('{"task_status": "failed", "task_name": null}',
    'task_status = ''pending'''),
    'pending - anew failures=0 obsolete= calls=changed notify',
    'set to pending, without a task');
SELECT is(pg_temp.after('{"task_status": "failed"}',
    'task_status = ''pending'', task_name = ''mine'', execution_attempts = 7'),
    :'reset', 'set to pending with left-overs: reset all the same');
SELECT is(pg_temp.after('{"task_status": "pending"}',
    'task_status = ''pending'''), 'pending ' || :'kept',
    'pending again is no change');

-- Moved.
\set by 'scheduled_at = scheduled_at + interval ''1 hour'''
SELECT is(pg_temp.after(jsonb_build_object('task_status', s), :'by'),
    :'reset', s || ' is moved')
FROM unnest(ARRAY['scheduled', 'failed']) AS s;
SELECT is(pg_temp.after('{"task_status": "pending", "task_name": null}',
    :'by'), 'pending - anew failures=0 obsolete= calls=changed notify',
    'pending is moved: its attempts start anew');
SELECT is(pg_temp.after(jsonb_build_object('task_status', s), :'by'),
    s || ' ' || :'kept', s || ' is moved and stays')
FROM unnest(ARRAY['executed', 'cancelled']) AS s;
SELECT is(pg_temp.after('{}', 'timezone = ''Asia/Dubai'''), :'reset',
    'scheduled gets another time zone');
SELECT is(pg_temp.after('{}', 'timezone = NULL'), :'reset',
    'scheduled loses its time zone');
SELECT is(pg_temp.after('{}', 'scheduled_at = NULL'), :'reset',
    'scheduled loses its time');
SELECT is(pg_temp.after('{}', 'scheduled_at = scheduled_at, '
    'timezone = timezone, task_status = task_status, '
    'booking_type = booking_type, is_deleted = is_deleted'),
    'scheduled ' || :'kept', 'every column written, none changed');
SELECT is(pg_temp.after('{"task_status": "scheduled"}', :'by'
    || ', task_status = ''cancelled'''), :'cancelled', 'moved and cancelled');
SELECT is(pg_temp.after('{"task_status": "executed"}', :'by'
    || ', task_status = ''pending'''), :'reset',
    'executed is moved and set to pending: called again');

-- Cancelled, deleted.
SELECT is(pg_temp.after(jsonb_build_object('task_status', s),
    'task_status = ''cancelled'''), :'cancelled', s || ' is cancelled')
FROM unnest(ARRAY['pending', 'scheduled', 'executed', 'failed']) AS s;
SELECT is(pg_temp.after('{"task_status": "pending", "task_name": null}',
    'task_status = ''cancelled'''),
    'cancelled - failures=0 obsolete= calls=changed',
    'pending without a task is cancelled: nobody needs to know');
SELECT is(pg_temp.after(jsonb_build_object('task_status', s),
    'is_deleted = true'), :'cancelled', s || ' is soft-deleted')
FROM unnest(ARRAY['pending', 'scheduled', 'failed']) AS s;
SELECT is(pg_temp.after(jsonb_build_object('task_status', s),
    'is_deleted = true'), s || ' ' || :'kept', s || ' is soft-deleted and stays')
FROM unnest(ARRAY['executed', 'cancelled']) AS s;
SELECT is(pg_temp.after('{"task_status": "failed"}',
    'is_deleted = true, task_status = ''pending'''), :'cancelled',
    'soft-deleted wins over set to pending');
SELECT is(pg_temp.after('{"task_status": "cancelled", "is_deleted": true,
    "task_name": null}', 'is_deleted = false, task_status = ''pending'''),
    'pending - anew failures=0 obsolete= calls=changed notify',
    'undeleted and set to pending');
SELECT is(pg_temp.after('{"task_status": "pending", "is_deleted": true,
    "task_name": null}', 'is_deleted = false'),
    'pending - failures=1 obsolete= calls=notify',
    'a pending booking is undeleted: announced');

-- Another type.
SELECT is(pg_temp.after('{}', 'booking_type = ''meeting'''), :'reset',
    'scheduled becomes a meeting');
SELECT is(pg_temp.after('{"task_status": "pending", "task_name": null}',
    'booking_type = ''meeting'''), 'pending - failures=1 obsolete= calls=',
    'pending becomes a meeting: left alone');
SELECT is(pg_temp.after('{"task_status": "pending", "task_name": null,
    "booking_type": "meeting"}', 'booking_type = ''FOLLOW_UP'''),
    'pending - failures=1 obsolete= calls=notify',
    'a meeting becomes a follow-up: announced');
SELECT is(pg_temp.after('{}', 'booking_type = ''auto_followup'''),
    'scheduled ' || :'kept', 'one follow-up type for another is no change');
SELECT is(pg_temp.after(jsonb_build_object('booking_type', 'meeting'), c),
    w || ' old failures=1 obsolete= calls=', 'a meeting is not ours: ' || c)
FROM (VALUES ('task_status = ''pending''', 'pending'),
    ('task_status = ''cancelled''', 'cancelled'), (:'by', 'scheduled'),
    ('is_deleted = true', 'scheduled')) AS t (c, w);

-- The task is gone: no new start, unless there is more to it.
\set gone 'task_status = ''pending'', task_name = NULL, task_scheduled_at = NULL'
\set goes_on 'pending - failures=0 obsolete=old calls=changed notify'
SELECT is(pg_temp.after('{"executed_at": null}', :'gone'), :'goes_on',
    'our own: the task is gone, the attempts stay');
SELECT is(pg_temp.after('{}', :'gone' || ', idempotency_key = NULL'),
    :'reset', 'our own: the task is not right');
SELECT is(pg_temp.after('{}', :'gone' || ', ' || :'by'), :'reset',
    'moved, and its task taken away');
SELECT is(pg_temp.after('{"task_status": "failed"}', :'gone'), :'reset',
    'failed, set to pending, and its task taken away');

-- The daemons' own writes.
SELECT is(pg_temp.after('{"task_status": "pending", "task_name": null}',
    'task_status = ''scheduled'', task_name = ''new'', '
    'task_scheduled_at = now(), idempotency_key = ''k'''),
    'scheduled new failures=1 obsolete= calls=', 'our own: scheduled');
SELECT is(pg_temp.after('{}', 'task_status = ''scheduled'', '
    'task_name = ''new'', ' || :'by'),
    'scheduled new failures=1 obsolete= calls=', 'our own: another task');
SELECT is(pg_temp.after('{}', 'task_status = ''executed'', '
    'executed_at = now(), execution_attempts = execution_attempts + 1, '
    'last_execution_error = NULL'), 'executed ' || :'kept',
    'our own: executed');
SELECT is(pg_temp.after('{"task_status": "pending", "task_name": null}',
    'task_status = ''executed'', executed_at = now()'),
    'executed - failures=1 obsolete= calls=',
    'our own: executed before it was known to be scheduled');
SELECT is(pg_temp.after(jsonb_build_object('task_status', s),
    'task_status = ''failed'', last_execution_error = ''x'''),
    'failed ' || :'kept', 'our own: failed while ' || s)
FROM unnest(ARRAY['pending', 'scheduled']) AS s;
SELECT is(pg_temp.after('{}', 'execution_attempts = 4, '
    'last_execution_error = ''x'''), 'scheduled ' || :'kept',
    'our own: an attempt failed');
SELECT is(pg_temp.after('{}', 'notes = ''x'', created_at = now(), '
    'lead_id = gen_random_uuid()'), 'scheduled ' || :'kept',
    'the application''s own columns');

-- Deleted.
INSERT INTO lead_bookings (id, task_status, task_name) VALUES
    (:'b', 'scheduled', 'task of a deleted booking');
INSERT INTO followup_failures (booking_id, stage, attempts, error, dead_at)
VALUES (:'b', 'schedule', 1, 'x', now());
SELECT is(pg_temp.fired(format('DELETE FROM lead_bookings WHERE id = %L',
    :'b')), 'changed notify', 'a scheduled booking is deleted');
DELETE FROM lead_bookings WHERE id = :'b';
SELECT results_eq('SELECT task_name, booking_id, attempts, next_attempt_at '
    'FROM followup_obsolete_tasks', format('VALUES ('
    '''task of a deleted booking'', %L::uuid, 0, NULL::timestamptz)', :'b'),
    'its task is to be deleted');
SELECT is_empty('SELECT * FROM followup_failures',
    'and it is no dead letter any more');
INSERT INTO lead_bookings (id, task_status) VALUES (:'b', 'pending');
SELECT is(pg_temp.fired('DELETE FROM lead_bookings'), 'changed',
    'a pending booking without a task is deleted: nobody needs to know');
UPDATE lead_bookings SET task_status = 'executed', task_name = 'done';
SELECT is(pg_temp.fired('DELETE FROM lead_bookings'), '',
    'an executed booking is deleted: nothing to do');
UPDATE lead_bookings SET booking_type = 'meeting', task_status = 'scheduled';
SELECT is(pg_temp.fired('DELETE FROM lead_bookings'), '',
    'a meeting is deleted: not ours');

-- Twice the same name is no error.
DELETE FROM lead_bookings;
DELETE FROM followup_obsolete_tasks;
INSERT INTO followup_obsolete_tasks (task_name, booking_id)
VALUES ('old', :'b');
SELECT is(pg_temp.after('{}', 'task_status = ''cancelled'''), :'cancelled',
    'a task that is on the list already');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_changes CASCADE;
