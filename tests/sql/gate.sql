-- followup_gate: which pause holds which booking, and until when; hours and the
-- clock on the wall; what a pause that is over has held.

\set schema test_gate
\ir lib/app.psql
SET search_path = test_gate, public;
SET TimeZone = 'UTC';
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT plan(124);

-- pg_temp.gate(pauses): the verdicts on a booking of tenant 1 and one of tenant
-- 2, under ${pauses}: their scopes, reasons, ends and exceptions.
ALTER TABLE lead_bookings ALTER tenant_id DROP DEFAULT,
    ALTER tenant_id DROP NOT NULL, ALTER tenant_id TYPE int USING NULL;
INSERT INTO lead_bookings (tenant_id) VALUES (1), (2);
CREATE FUNCTION pg_temp.gate(pauses text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM followup_pauses;
    EXECUTE 'INSERT INTO followup_pauses SELECT p.scope, p.reason, ''me'', '
        '''2001-01-01'', p.until::timestamptz, p.except_tenants::text[] '
        'FROM (VALUES ' || pauses || ') AS p (scope, reason, until, '
        'except_tenants)';
    RETURN (SELECT string_agg(concat_ws(' ', g.verdict, g.until::date,
        g.reason), '; ' ORDER BY b.tenant_id)
        FROM lead_bookings b, LATERAL followup_gate(b) g);
END $$;
SELECT is(pg_temp.gate(pauses), verdicts, pauses) FROM (VALUES
    ($$('all', 'a', NULL, '{}')$$, 'wait paused: a; wait paused: a'),
    ($$('tenant:1', 'a', NULL, '{}')$$, 'wait paused: a; call'),
    ($$('all', 'a', NULL, '{1}')$$, 'call; wait paused: a'),
    ($$('all', 'a', NULL, '{1}'), ('tenant:1', 'b', NULL, '{}')$$,
        'wait paused: b; wait paused: a'),
    ($$('all', 'a', '2999-01-01', '{}')$$,
        'wait 2999-01-01 paused: a; wait 2999-01-01 paused: a'),
    -- What has ended holds nobody; of several the last to end counts.
    ($$('all', 'a', '2002-01-01', '{}')$$, 'call; call'),
    ($$('all', 'a', '2002-01-01', '{}'), ('tenant:2', 'b', NULL, '{}')$$,
        'call; wait paused: b'),
    ($$('all', 'a', '2999-01-01', '{}'), ('tenant:1', 'b', NULL, '{}')$$,
        'wait paused: b; wait 2999-01-01 paused: a'),
    ($$('tenant:1', 'b', '2999-1-2', '{}'), ('all', 'a', '2999-1-1', '{}')$$,
        'wait 2999-01-02 paused: b; wait 2999-01-01 paused: a'),
    ($$('all', 'a', NULL, '{}'), ('tenant:1', 'b', '2999-01-02', '{}')$$,
        'wait paused: a; wait paused: a'),
    ($$('tenant:11', 'a', NULL, '{}')$$, 'call; call')) AS t (pauses, verdicts);

-- A booking of no tenant is held by a pause of everything only.
UPDATE lead_bookings SET tenant_id = NULL;
SELECT is(pg_temp.gate($$('all', 'a', NULL, '{1}')$$),
    'wait paused: a; wait paused: a', 'no tenant: held by a pause of all');
SELECT is(pg_temp.gate($$('tenant:1', 'a', NULL, '{}')$$), 'call; call',
    'and by no other');

-- The backlog comes first.
INSERT INTO followup_backlog SELECT id, scheduled_at FROM lead_bookings;
SELECT alike(pg_temp.gate($$('all', 'a', NULL, '{}')$$),
    'never was already overdue %; never %', 'the backlog never waits');
UPDATE lead_bookings SET scheduled_at = scheduled_at + interval '1 us';
SELECT is(pg_temp.gate($$('tenant:1', 'a', NULL, '{}')$$), 'call; call',
    'unless it is moved');

-- What is no pause is refused.
SELECT throws_ok(format('INSERT INTO followup_pauses (scope, reason, until, '
    'except_tenants) VALUES %s', v), '23514', NULL, v) FROM unnest(ARRAY[
    $$('everything', 'a', NULL, '{}')$$, $$('tenant:', 'a', NULL, '{}')$$,
    $$('all', ' ', NULL, '{}')$$, $$('tenant:1', 'a', NULL, '{2}')$$]) AS v;

-- Hours in words, as minutes of the week.
SELECT is(followup_week(h), w::int4multirange, h) FROM (VALUES
    ('mon 09:00-20:00', '{[540,1200)}'), ('', '{}'),
    (' Sat , TUE-wed 9:00 - 24:00;', '{[1980,2880),[3420,4320),[7740,8640)}'),
    ('sun 22:00-02:00', '{[0,120),[9960,10080)}'),
    ('sun-mon 10:00-11:00', '{[600,660),[9240,9300)}')) AS t (h, w);
SELECT throws_ok(format('SELECT followup_week(%L)', h), '22023', NULL, h)
FROM unnest(ARRAY['mon', '9-17', 'mon 9:00-9:00', 'day 9:00-10:00',
    'mon-tue-wed 9:00-10:00', 'mon 24:00-25:00']) AS h;

-- The clock goes from 02:00 to 03:00, and from 03:00 back to 02:00.
SELECT is(concat_ws(' ', o.opens, o.closes), w, after) FROM (VALUES
    ('2030-03-31 00:00+01', '2030-03-31 01:00:00+00 2030-03-31 02:00:00+00'),
    ('2030-10-27 00:00+02', '2030-10-27 00:30:00+00 2030-10-27 01:00:00+00'),
    ('2030-10-27 03:00+02', '2030-10-27 01:30:00+00 2030-10-27 03:00:00+00'))
    AS t (after, w), followup_open(followup_week('sun 02:30-04:00'),
    'Europe/Berlin', after::timestamptz) AS o;

-- Hours that the clock skips come a week later.
SELECT is(concat_ws(' ', o.opens, o.closes), '2030-04-07 00:00:00+00 '
    '2030-04-07 01:00:00+00', 'skipped, after ' || after)
FROM (VALUES ('2030-03-24 03:00+01'), ('2030-03-31 04:00+02')) AS t (after),
    followup_open(followup_week('sun 02:00-03:00'), 'Europe/Berlin',
    after::timestamptz) AS o;

-- What a pause has held is not late when it is lifted for one tenant, or when
-- another pause has taken its place.
DELETE FROM followup_pauses;
DELETE FROM followup_backlog;
TRUNCATE followup_past_pauses;
UPDATE lead_bookings SET tenant_id = 1,
    scheduled_at = now() - interval '9 hours';
INSERT INTO followup_pauses (scope, reason, paused_at)
VALUES ('all', 'a', now() - interval '10 hours');
UPDATE followup_pauses SET except_tenants = '{1}';
SELECT is(string_agg(g.verdict, ' '), 'call call', 'lifted for one tenant')
FROM lead_bookings b, followup_gate(b) g;
TRUNCATE followup_past_pauses;
UPDATE followup_pauses SET except_tenants = '{}', until = now();
UPDATE followup_pauses SET paused_at = now(), until = NULL;
UPDATE followup_pauses SET until = now();
SELECT is(string_agg(g.verdict, ' '), 'call call', 'paused once more')
FROM lead_bookings b, followup_gate(b) g;
-- The clock was put back since the pause began: it is in force, and can be
-- renewed and ended.
UPDATE followup_pauses SET paused_at = now() + interval '30 min', until = NULL;
SELECT is(string_agg(g.verdict, ' '), 'wait wait',
    'a pause that began by a clock that was ahead is in force')
FROM lead_bookings b, followup_gate(b) g;
SELECT is(followup_pause('all', 'a', now() + interval '10 min'), NULL,
    'it can be given an end');
UPDATE followup_pauses SET paused_at = now() + interval '30 min', until = NULL;
SELECT is(followup_resume('all'), true, 'it can be ended');
SELECT is(string_agg(g.verdict, ' '), 'call call', 'and then it is over')
FROM lead_bookings b, followup_gate(b) g;
-- A tenant that was called while everything was paused was not held then, even
-- if everything is paused anew.
DELETE FROM followup_pauses;
TRUNCATE followup_past_pauses;
INSERT INTO followup_pauses (scope, reason, paused_at, except_tenants)
VALUES ('all', 'a', now() - interval '10 hours', '{1}');
SELECT followup_pause('all', 'b') \g /dev/null
SELECT is(string_agg(g.verdict, ' '), 'wait wait', 'it is held now')
FROM lead_bookings b, followup_gate(b) g;
SELECT followup_resume('all') \g /dev/null
SELECT is(string_agg(g.verdict, ' '), 'never never', 'and was late before')
FROM lead_bookings b, followup_gate(b) g;
UPDATE lead_bookings SET tenant_id = 2;
SELECT is(string_agg(g.verdict, ' '), 'call call', 'others were held')
FROM lead_bookings b, followup_gate(b) g;
UPDATE lead_bookings SET tenant_id = 1;
TRUNCATE followup_past_pauses;

-- What is due later is judged by then.
DELETE FROM followup_pauses;
DELETE FROM followup_settings;
UPDATE lead_bookings SET scheduled_at = now() + interval '1 day';
INSERT INTO followup_settings (name, value) VALUES ('calling_hours',
    to_char(now() + interval '3 days', 'dy') || ' 00:00-24:00');
SELECT is(string_agg(g.verdict, ' '), 'wait wait', 'by the hours')
FROM lead_bookings b, followup_gate(b) g;
DELETE FROM followup_settings;
SELECT is(string_agg(g.verdict, ' '), 'call call', 'there are none')
FROM lead_bookings b, followup_gate(b) g;
INSERT INTO followup_backlog (booking_id, due_at)
SELECT id, followup_due_at(b) FROM lead_bookings b;
SELECT is(string_agg(g.verdict, ' '), 'never never', 'by the backlog')
FROM lead_bookings b, followup_gate(b) g;
DELETE FROM followup_backlog;

-- Pausing and resuming: the tenant by its type; what is wrong is told.
DELETE FROM followup_pauses;
SELECT is(followup_pause(scope, reason, until), wrong, wrong) FROM (VALUES
    ('all', ' ', NULL, 'a pause needs a reason: others will ask why'),
    ('tenant:x', 'a', NULL, '"tenant:x" is no scope: it must be "all", or '
        '"tenant:" and the id of a tenant'),
    ('ALL', 'a', NULL, '"ALL" is no scope: it must be "all", or "tenant:" '
        'and the id of a tenant'),
    ('all', 'a', timestamptz '2001-01-01', 'the end of the pause, 2001-01-01 '
        '00:00:00+00, must be a finite time to come: give one, or none '
        'for a pause without end'),
    ('all', 'a', 'infinity', 'the end of the pause, infinity, must be a '
        'finite time to come: give one, or none for a pause without end'))
    AS t (scope, reason, until, wrong);
SELECT is((SELECT count(*) FROM followup_pauses), 0::bigint, 'and not done');
SELECT is(followup_pause('tenant:007', 'a', asked_by => 'ann'), NULL,
    'a tenant is paused');
SELECT is((SELECT array_agg(scope || ' ' || paused_by) FROM followup_pauses),
    ARRAY['tenant:7 ann'], 'in its own form, by whom');
SELECT is(followup_resume('tenant:7'), true, 'it is resumed');
SELECT is(followup_resume('tenant:7'), false, 'once');
SELECT is(followup_resume('tenant:x'), false, 'or is none');
SELECT is(followup_pause('all', 'a'), NULL, 'everything is paused');
SELECT is(followup_resume('tenant:+8'), true, 'but for a tenant');
SELECT is((SELECT except_tenants FROM followup_pauses WHERE scope = 'all'),
    ARRAY['8'], 'which is excepted');
SELECT is(followup_resume('all', 'bob'), true, 'everything is resumed');
SELECT is((SELECT array_agg(replace(by, session_user, 'me') || ' ' || what
    ORDER BY id DESC) FROM (SELECT * FROM followup_acts ORDER BY id DESC
    LIMIT 5) AS a), ARRAY['bob resumed everything', 'me resumed tenant 8',
    'me paused everything: a', 'me resumed tenant 7', 'ann paused tenant 7: a'],
    'each act is kept, with who asked for it');

-- What becomes of a booking once the pause that it waits for ends is told to
-- people only: the gate has it wait.
DELETE FROM followup_pauses;
TRUNCATE followup_past_pauses;
DELETE FROM lead_bookings;
ALTER TABLE lead_bookings ADD call_before timestamptz;
\ir ../../sql/create-booking-cloud-task-trigger.sql
CREATE FUNCTION pg_temp.then(due text, before text, pauses text,
    zone text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    b lead_bookings := jsonb_populate_record(NULL::lead_bookings,
        jsonb_build_object('id', '00000000-0000-4000-8000-000000000001',
        'booking_type', 'follow_up', 'scheduled_at', now() + due::interval,
        'call_before', now() + before::interval, 'timezone', zone));
BEGIN
    DELETE FROM followup_pauses;
    DELETE FROM followup_past_pauses;
    EXECUTE 'INSERT INTO followup_pauses (scope, reason, paused_at, until) '
        'SELECT ''all'', ''x'', now() + p.since::interval, now() '
        '+ p.until::interval FROM (VALUES (' || pauses || ')) AS p '
        '(since, until)';
    RETURN (SELECT concat_ws(', ', g.verdict, v.verdict, v.reason,
        CASE WHEN g.until IS NOT NULL THEN 'has an end' END)
        FROM followup_gate(b) AS g, followup_verdict(b) AS v);
END $$;
SELECT is(pg_temp.then(due, before, pauses), says, concat_ws(', ', due, before,
    pauses)) FROM (VALUES
    ('-9h', NULL, $$'-10h', NULL$$, 'wait, wait, paused: x'),
    ('-9h', NULL, $$'-4h', NULL$$, 'wait, never, paused: x; when that ends: '
        'more than 4h late'),
    ('-9h', NULL, $$'-4h', '1d'$$, 'wait, never, paused: x; when that ends: '
        'more than 4h late, has an end'),
    ('-9h', NULL, $$'-6h', '1d'$$, 'wait, wait, paused: x, has an end'),
    ('-3h', NULL, $$'0h', NULL$$, 'wait, wait, paused: x'),
    ('1h', NULL, $$'0h', NULL$$, 'wait, wait, paused: x'),
    ('-1h', '-1s', $$'-2h', NULL$$, 'wait, never, paused: x; when that ends: '
        'its call_before has passed'),
    ('-1h', '1h', $$'-2h', NULL$$, 'wait, wait, paused: x'),
    ('-1h', '1h', $$'-2h', '1h'$$, 'wait, never, paused: x; when that ends: '
        'its call_before comes before it may be called, has an end'),
    ('-1h', '2h', $$'-2h', '1h'$$, 'wait, wait, paused: x, has an end'))
    AS t (due, before, pauses, says);
-- Whom a person wants to have called all the same is not too late.
BEGIN;
INSERT INTO followup_late (booking_id, due_at, asked_by) VALUES
    ('00000000-0000-4000-8000-000000000001', now() - interval '9h', 'me');
SELECT is(pg_temp.then('-9h', NULL, $$'-4h', NULL$$), 'wait, wait, paused: x',
    'however late');
DELETE FROM followup_late;
COMMIT;
-- The hours are those at the end of the pause.
INSERT INTO followup_settings (name, value) SELECT 'calling_hours', format(
    'mon-sun %s-%s', to_char(t, 'HH24:MI'), to_char(t + interval '2h',
    'HH24:MI')) FROM (SELECT now() AT TIME ZONE 'UTC' + interval '5h' AS t) x;
SELECT is(pg_temp.then('-1h', before, $$'-2h', '1h'$$, zone), says,
    concat_ws(', ', before, zone)) FROM (VALUES
    ('3h', NULL, 'wait, never, paused: x; when that ends: its call_before '
        'comes before it may be called, has an end'),
    ('6h', NULL, 'wait, wait, paused: x, has an end'),
    (NULL, 'Mars/Olympus', 'wait, never, paused: x; when that ends: the time '
        'zone ''Mars/Olympus'' is unknown, so that calling hours cannot be '
        'kept, has an end')) AS t (before, zone, says);
-- Who retries is told, and so is who resumes.
DELETE FROM followup_settings WHERE name = 'calling_hours';
INSERT INTO lead_bookings (id, scheduled_at, task_status) VALUES
    ('00000000-0000-4000-8000-000000000001', now() - interval '9h', 'failed'),
    ('00000000-0000-4000-8000-000000000002', now(), 'failed');
INSERT INTO followup_failures (booking_id, stage, attempts, error, dead_at)
SELECT id, 'execute', 1, 'x', now() FROM lead_bookings;
SELECT is(pg_temp.then('-9h', NULL, $$'-4h', '1d'$$) IS NULL, false, 'paused');
SELECT results_eq('SELECT wait, too_late, never, call_now, wait_until '
    'FROM followup_retry_preview(''{}'', false)', 'SELECT 1::bigint, '
    '1::bigint, 0::bigint, 0::bigint, until FROM followup_pauses',
    'a retry is too late once the pause ends');
SELECT results_eq('SELECT wait, too_late FROM followup_retry_preview(''{}'', '
    'true)', 'VALUES (2::bigint, 0::bigint)', 'unless it is asked for');
-- Somebody's own gate is asked alone.
CREATE OR REPLACE FUNCTION followup_gate(booking lead_bookings,
    OUT verdict text, OUT until timestamptz, OUT reason text)
    LANGUAGE sql STABLE AS $$SELECT * FROM test_gate.followup_gate_at(booking,
    now())$$;
SELECT is(pg_temp.then('-9h', NULL, $$'-4h', NULL$$), 'wait, wait, paused: x',
    'by a gate of its own');
DROP FUNCTION followup_gate(lead_bookings), followup_verdict(lead_bookings);
DELETE FROM followup_failures;
DELETE FROM lead_bookings;
ALTER TABLE lead_bookings DROP call_before;
-- An earlier version's gave three columns.
CREATE FUNCTION followup_verdict(booking lead_bookings, OUT verdict text,
    OUT until timestamptz, OUT reason text) LANGUAGE sql
    AS $$SELECT 'call', now(), 'x'$$;
COMMENT ON FUNCTION followup_verdict IS 'followup-scheduler x y';
\ir ../../sql/create-booking-cloud-task-trigger.sql
DELETE FROM followup_pauses;
TRUNCATE followup_past_pauses;

-- What former hours have held is not late, and what they have not is.  Each
-- "change" is how many hours ago hours were set, and between which times, in
-- hours from now; '-' deletes them, '' sets none.  The booking is due 6 hours
-- ago.
DELETE FROM followup_pauses;
TRUNCATE followup_past_pauses;
DELETE FROM lead_bookings;
CREATE FUNCTION pg_temp.gate_after(changes text[][], zone text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    clock constant timestamp := now() AT TIME ZONE 'Asia/Kolkata';
    change text[];
    shift text[];
BEGIN
    DELETE FROM followup_settings WHERE name = 'calling_hours';
    TRUNCATE followup_past_hours;
    FOREACH change SLICE 1 IN ARRAY changes LOOP
        shift := string_to_array(change[2], '..');
        IF change[2] = '-' THEN
            DELETE FROM followup_settings WHERE name = 'calling_hours';
        ELSE
            INSERT INTO followup_settings (name, value)
            VALUES ('calling_hours', coalesce('mon-sun '
                || to_char(clock + shift[1]::interval, 'HH24:MI') || '-'
                || to_char(clock + shift[2]::interval, 'HH24:MI'), ''))
            ON CONFLICT (name) DO UPDATE SET value = excluded.value;
        END IF;
        UPDATE followup_past_hours SET until = now() - change[1]::interval
        WHERE until > now();
    END LOOP;
    RETURN (SELECT concat_ws(' ', g.verdict, g.reason)
        FROM jsonb_populate_record(NULL::lead_bookings, jsonb_build_object(
            'id', gen_random_uuid(), 'booking_type', 'follow_up',
            'scheduled_at', now() - interval '6 hours', 'timezone', zone)) AS b,
        LATERAL followup_gate(b) g);
END $$;
SELECT alike(pg_temp.gate_after(c, zone), says, format('%s in %s', c, zone))
FROM (VALUES
    ('{{9d,5h..-7h},{0h,-12h..11h}}', 'Asia/Kolkata', 'call'),
    ('{{9d,5h..-7h},{5h,-12h..11h}}', 'Asia/Kolkata', 'never more than 4h %'),
    ('{{9d,5h..-7h},{0h,""}}', 'Asia/Kolkata', 'call'),
    ('{{9d,5h..-7h},{5h,""}}', 'Asia/Kolkata', 'never more than 4h late'),
    ('{{9d,5h..-7h},{0h,-}}', 'Asia/Kolkata', 'call'),
    ('{{9d,5h..-7h},{5h,-}}', 'Asia/Kolkata', 'never more than 4h late'),
    ('{{9d,-12h..11h},{0h,-1h..5h}}', 'Asia/Kolkata', 'never more than %'),
    ('{{9d,-12h..11h},{5h,-1h..5h}}', 'Asia/Kolkata', 'call'),
    ('{{0h,-1h..5h}}', 'Asia/Kolkata', 'never more than 4h late'),
    ('{{5h,-1h..5h}}', 'Asia/Kolkata', 'call'),
    -- One after the other: only the first half hour and the last hour count.
    ('{{330m,5h..-7h},{1h,""}}', 'Asia/Kolkata', 'call'),
    ('{{9d,5h..-7h},{5h,-},{3h,-1h..5h}}', 'Asia/Kolkata', 'call'),
    -- The zone of the booking counts, or else calling_zone, here 5:30 behind.
    ('{{9d,5h..-7h},{0h,""}}', NULL, 'never more than 4h late'),
    -- What has none could not be called as long as hours were set.
    ('{{9d,5h..-7h},{0h,""}}', 'Mars/Olympus', 'call'),
    ('{{9d,5h..-7h},{5h,""}}', 'Mars/Olympus', 'never more than 4h late'),
    ('{{9d,""},{5h,-12h..11h}}', 'Mars/Olympus', 'never the time zone %'))
    AS t (changes, zone, says), LATERAL (SELECT changes::text[]) AS x (c);
-- An installation that was made by an earlier version keeps them from then on.
DROP FUNCTION followup_hours_changed() CASCADE;
DROP TABLE followup_past_hours;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is_empty('TABLE followup_past_hours', 'an update changes no hours');
SELECT value AS hours FROM followup_settings WHERE name = 'calling_hours'
\gset
UPDATE followup_settings SET value = upper(value);
SELECT is_empty('TABLE followup_past_hours', 'nor does another spelling');
DELETE FROM followup_settings WHERE name = 'calling_hours';
INSERT INTO followup_settings (name, value) VALUES ('calling_hours', 'mon 9:00-'
    '10:00') ON CONFLICT DO NOTHING;
SELECT is(array_agg(h.week ORDER BY h.until), ARRAY[followup_week(:'hours'),
    NULL], 'former hours are kept') FROM followup_past_hours h
WHERE h.until BETWEEN now() - interval '1 min' AND now();
-- Hours begin at their minute, not half of one before.
DELETE FROM followup_pauses;
DELETE FROM followup_settings;
DELETE FROM lead_bookings;
INSERT INTO followup_settings (name, value)
VALUES ('calling_hours', 'mon-sun 09:00-10:00');
INSERT INTO lead_bookings (scheduled_at)
SELECT date_trunc('day', now()) + interval '2 days' + t::interval
FROM unnest(ARRAY['08:59:40', '09:00', '09:59:40', '10:00']) AS t;
SELECT is(string_agg(concat_ws(' ', g.verdict, to_char(g.until, 'HH24:MI:SS')),
    ', ' ORDER BY b.scheduled_at), 'wait 09:00:00, call, call, wait 09:00:00',
    'to the minute') FROM lead_bookings b, followup_gate(b) g;
-- A task that somebody has run long before its time calls nobody then.
UPDATE followup_settings SET value = '' WHERE name = 'calling_hours';
DELETE FROM lead_bookings;
INSERT INTO lead_bookings (scheduled_at) VALUES (now() + interval '20 min');
INSERT INTO followup_pauses (scope, reason, until)
VALUES ('all', 'x', now() + interval '10 min');
SELECT is(g.verdict, 'call', 'for its time') FROM lead_bookings b,
    followup_gate(b) g;
SET application_name = 'followup-execute';
SELECT is(concat_ws(' ', g.verdict, g.until = p.until), 'wait t', 'but not now')
FROM lead_bookings b, followup_gate(b) g, followup_pauses p;
UPDATE lead_bookings SET scheduled_at = now() + interval '50 s';
UPDATE followup_pauses SET until = now() + interval '40 s';
SELECT is(g.verdict, 'call', 'a clock may be ahead') FROM lead_bookings b,
    followup_gate(b) g;
RESET application_name;
DELETE FROM followup_pauses;
-- A pause that was lifted by a clock that was ahead has ended all the same.
UPDATE followup_settings SET value = '' WHERE name = 'calling_hours';
DELETE FROM lead_bookings;
INSERT INTO lead_bookings (tenant_id, scheduled_at) VALUES (1, now());
INSERT INTO followup_past_pauses (scope, reason, paused_at, until)
VALUES ('all', 'x', now() - interval '1 min', now() + interval '1 hour');
INSERT INTO followup_pauses (scope, reason, until)
VALUES ('tenant:1', 'x', now() + interval '1 min');
SELECT is(g.until, p.until, 'it holds nobody any more')
FROM lead_bookings b, followup_gate(b) g, followup_pauses p;
DELETE FROM followup_pauses;
TRUNCATE followup_past_pauses;
-- For the past it is the hours of then that count.
UPDATE followup_settings SET value = 'mon-sun 00:00-24:00';
UPDATE followup_past_hours SET week = '{}';
DELETE FROM lead_bookings;
INSERT INTO lead_bookings (scheduled_at) VALUES (now() - interval '1 day');
SELECT is(g.reason, 'outside of calling hours', 'by the hours of then')
FROM lead_bookings b, followup_gate_at(b, b.scheduled_at) g;
DELETE FROM lead_bookings;
-- A column that is added counts from the next install on.
DELETE FROM followup_pauses;
ALTER TABLE lead_bookings ADD call_before timestamptz;
\ir ../../sql/create-booking-cloud-task-trigger.sql
DELETE FROM followup_settings;
INSERT INTO lead_bookings (tenant_id, scheduled_at, call_before)
VALUES (1, now() + interval '1 day', now() + interval '1 hour');
SELECT is(string_agg(g.verdict, ' '), 'never', 'by its call_before')
FROM lead_bookings b, followup_gate(b) g;
SELECT results_eq('SELECT g.reason FROM lead_bookings b, '
    'unnest(''{59,60}''::int[]) AS n, '
    'followup_gate_at(b, now() + n * interval ''1 min'') g ORDER BY n',
    $$VALUES ('its call_before comes before it may be called'),
    ('its call_before has passed')$$, 'which has passed once it has');
SELECT is(is_open, false, 'each booking is asked about then')
FROM followup_gate_for_all();
ALTER TABLE lead_bookings DROP call_before;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(g, ROW(true, NULL::int4multirange, 'UTC'::text),
    'and none where nothing holds any') FROM followup_gate_for_all() AS g;
INSERT INTO followup_settings (name, value) VALUES
    ('calling_hours', 'mon 00:00-01:00'), ('calling_zone', '+04:00');
SELECT is(g, ROW(true, '{[0,60)}'::int4multirange, '+04:00'::text),
    'nor whoever is due within calling hours')
FROM followup_gate_for_all() AS g;
SELECT is(followup_within(week, zone, at), within, format('%s in %s', at, zone))
FROM (VALUES (timestamptz '2031-01-06 00:00+04', '+04:00', true),
    ('2031-01-06 00:59:59.9+04', '+04:00', true),
    ('2031-01-06 01:00+04', '+04:00', false),
    ('2031-01-05 23:59+04', '+04:00', false),
    ('2031-01-06 00:30+01', 'Europe/Berlin', true),
    ('2031-01-06 00:30+01', 'Europe/Nowhere', NULL),
    ('2031-01-06 00:30+01', 'CEST', NULL), ('infinity', 'UTC', NULL))
    AS t (at, zone, within), followup_week('mon 00:00-01:00') AS week;
SELECT is(followup_within(NULL, zone, now()), within, 'no hours, and ' || zone)
FROM (VALUES ('Asia/Dubai', false), ('Asia/Nowhere', NULL)) AS t (zone, within);
DELETE FROM followup_settings;

-- A tenant's id of a fixed length ends with blanks, or not.
ALTER TABLE lead_bookings ALTER tenant_id TYPE char(9) USING tenant_id;
SELECT is(followup_pause(' tenant:1 ', 'a'), '" tenant:1 " is no scope: it '
    'must be "all", or "tenant:" and the id of a tenant', 'not at its begin');
SELECT is(followup_pause('tenant:  ', 'a'), '"tenant:  " is no scope: it '
    'must be "all", or "tenant:" and the id of a tenant', 'nothing but blanks');
SELECT followup_pause('tenant:1  ', 'a');
SELECT is(string_agg(g.reason, '; '), 'paused: a', 'an id of a fixed length')
FROM lead_bookings b, followup_gate(b) g WHERE b.tenant_id = '1';

SELECT * FROM finish();
DROP SCHEMA test_gate CASCADE;
