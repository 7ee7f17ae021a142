-- Bookings that change by plain SQL, and the daemons' own writes, which must
-- fire nothing.

\set schema test_changes
\set due timestamp
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\ir lib/fired.psql
SET search_path = test_changes, public;
\ir lib/changes.psql

BEGIN;
SELECT plan(74);

\set kept 'old failures=1 obsolete= calls='
\set looked 'old failures=1 obsolete= calls=changed'
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
    'failed ' || :'looked', 'with other columns of the task: a stale copy');
SELECT is(pg_temp.after('{"task_status": "pending"}',
    'task_status = ''pending'''), 'pending ' || :'looked',
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
    s || ' ' || :'looked', s || ' is moved and stays')
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
    'scheduled ' || :'looked', 'every column written, none changed');
SELECT is(pg_temp.after('{"scheduled_at": "2030-01-01 12:00:00.567891"}',
    format('scheduled_at = %L', saved)), what, 'saved as ' || saved)
FROM (VALUES ('2030-01-01 12:00:00.567', 'scheduled ' || :'looked'),
    ('2030-01-01 12:00:00.568', 'scheduled ' || :'looked'),
    ('2030-01-01 12:00:00', 'scheduled ' || :'looked'),
    ('2030-01-01 12:00:01', 'scheduled ' || :'looked'),
    ('2030-01-01 12:00:00.569', :'reset'),
    ('2030-01-01 12:00:00.5678', :'reset'),
    ('infinity', :'reset')) AS v (saved, what);
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
    'is_deleted = true'), s || ' ' || :'looked', s || ' is soft-deleted and stays')
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
    'pending - failures=1 obsolete= calls=changed notify',
    'a pending booking is undeleted: announced');

-- Another type.
SELECT is(pg_temp.after('{}', 'booking_type = ''meeting'''), :'reset',
    'scheduled becomes a meeting');
SELECT is(pg_temp.after('{"task_status": "pending", "task_name": null}',
    'booking_type = ''meeting'''),
    'pending - failures=1 obsolete= calls=changed notify',
    'pending becomes a meeting: left alone');
SELECT is(pg_temp.after('{"task_status": "pending", "task_name": null,
    "booking_type": "meeting"}', 'booking_type = ''FOLLOW_UP'''),
    'pending - failures=1 obsolete= calls=changed notify',
    'a meeting becomes a follow-up: announced');
SELECT is(pg_temp.after('{}', 'booking_type = ''auto_followup'''),
    'scheduled ' || :'looked', 'one follow-up type for another is no change');
SELECT is(pg_temp.after(jsonb_build_object('booking_type', 'meeting'), c),
    w || ' ' || :'looked', 'a meeting is not ours: ' || c)
FROM (VALUES ('task_status = ''pending''', 'pending'),
    ('task_status = ''cancelled''', 'cancelled'), (:'by', 'scheduled'),
    ('is_deleted = true', 'scheduled')) AS t (c, w);

SELECT is(pg_temp.after('{}', 'notes = ''x'', created_at = now(), '
    'lead_id = gen_random_uuid()'),
    'scheduled ' || :'kept', 'columns that are nobody''s business');

-- A daemon's session fires nothing, whatever it writes.  Any other value of
-- the setting is not a daemon's.
SET LOCAL followup.daemon = 'on';
\set gone 'task_status = ''pending'', task_name = NULL'
SELECT is(pg_temp.after(jsonb_build_object('task_status', s), c), w
    || ' failures=1 obsolete= calls=', format('a daemon, %s: %s', s, c))
FROM (VALUES ('pending', 'task_status = ''scheduled'', task_name = ''new''',
        'scheduled new'),
    ('scheduled', 'task_status = ''scheduled'', task_name = ''new'', '
        || :'by', 'scheduled new'),
    ('scheduled', 'task_status = ''executed''', 'executed old'),
    ('pending', 'task_status = ''failed''', 'failed old'),
    ('scheduled', :'gone', 'pending -'),
    ('failed', :'gone', 'pending -'),
    ('scheduled', 'task_status = ''cancelled''', 'cancelled old'),
    ('scheduled', 'is_deleted = true', 'scheduled old'),
    ('failed', :'by', 'failed old'),
    ('scheduled', 'timezone = ''Asia/Dubai''', 'scheduled old'),
    ('scheduled', 'booking_type = ''meeting''', 'scheduled old'))
    AS t (s, c, w);
SELECT is(pg_temp.fired('INSERT INTO lead_bookings DEFAULT VALUES'), '',
    'a daemon''s INSERT');
INSERT INTO lead_bookings (id, task_status, task_name) VALUES
    (:'b', 'scheduled', 'task');
SELECT is(pg_temp.fired('DELETE FROM lead_bookings'), '',
    'a daemon''s DELETE');
DELETE FROM lead_bookings;
SELECT is((SELECT string_agg(tgname, ' ') FROM pg_trigger
    WHERE tgrelid = 'lead_bookings'::regclass AND NOT tgisinternal
    AND pg_get_triggerdef(oid) NOT LIKE '%(current_setting('
    '''followup.daemon''::text, true) IS DISTINCT FROM ''on''::text)%'),
    'trigger_schedule_followup_cloud_task',
    'every WHEN clause has the guard, and only the INSERT trigger has no WHEN');
SELECT is(set_config('followup.daemon', v, true) || pg_temp.after('{}', :'by'),
    v || :'reset', format('not a daemon: "%s"', v))
FROM unnest(ARRAY['', 'off', 'ON', 'true']) AS v;
SET LOCAL followup.daemon = '';

-- Deleted.
SET LOCAL followup.daemon = 'on';
INSERT INTO lead_bookings (id, task_status, task_name) VALUES
    (:'b', 'scheduled', 'task of a deleted booking');
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
SET LOCAL followup.daemon = '';
INSERT INTO followup_failures (booking_id, stage, attempts, error, dead_at)
VALUES (:'b', 'schedule', 1, 'x', now());
INSERT INTO followup_attempts (booking_id) VALUES (:'b');
SELECT is(pg_temp.fired(format('DELETE FROM lead_bookings WHERE id = %L',
    :'b')), 'changed notify', 'a scheduled booking is deleted');
DELETE FROM lead_bookings WHERE id = :'b';
SELECT results_eq('SELECT task_name, booking_id, attempts, next_attempt_at '
    'FROM followup_obsolete_tasks', format('VALUES ('
    '''task of a deleted booking'', %L::uuid, 0, NULL::timestamptz)', :'b'),
    'its task is to be deleted');
SELECT is_empty('SELECT booking_id FROM followup_failures UNION ALL '
    'SELECT booking_id FROM followup_attempts',
    'and nothing is known of it any more');
INSERT INTO lead_bookings (id, task_status) VALUES (:'b', 'pending');
SELECT is(pg_temp.fired('DELETE FROM lead_bookings'), 'changed',
    'a pending booking without a task is deleted: nobody needs to know');
SET LOCAL followup.daemon = 'on';
UPDATE lead_bookings SET task_status = 'executed', task_name = 'done';
SET LOCAL followup.daemon = '';
SELECT is(pg_temp.fired('DELETE FROM lead_bookings'), '',
    'an executed booking is deleted: nothing to do');
SET LOCAL followup.daemon = 'on';
UPDATE lead_bookings SET booking_type = 'meeting', task_status = 'scheduled';
SET LOCAL followup.daemon = '';
SELECT is(pg_temp.fired('DELETE FROM lead_bookings'), 'changed',
    'a meeting is deleted: not ours');
SELECT lives_ok('DELETE FROM lead_bookings', 'which leaves');
SELECT is_empty('SELECT * FROM followup_obsolete_tasks WHERE task_name = '
    '''done''', 'no task to delete');

-- Twice the same name is no error.
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
DELETE FROM followup_obsolete_tasks;
INSERT INTO followup_obsolete_tasks (task_name, booking_id)
VALUES ('old', :'b');
SELECT is(pg_temp.after('{}', 'task_status = ''cancelled'''), :'cancelled',
    'a task that is on the list already');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_changes CASCADE;
