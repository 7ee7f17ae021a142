-- followup_due_at: the same bookings, as timestamptz and as timestamp with and
-- without a timezone column.

\set schema test_due_tz
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\set schema test_due_local
\set due timestamp
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\set schema test_due_utc
\set without timezone
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql

BEGIN;
SELECT plan(44);

-- Due time of an unsaved booking at local time ${due} in ${zone}.
CREATE FUNCTION pg_temp.due(due text, zone text) RETURNS timestamptz
    LANGUAGE sql AS $$
    SELECT test_due_local.followup_due_at(jsonb_populate_record(
        NULL::test_due_local.lead_bookings,
        jsonb_build_object('scheduled_at', due, 'timezone', zone)))
$$;
SELECT is(pg_temp.due(d, z), w::timestamptz, format('%s in %s', d,
    coalesce(to_json(left(z, 30))::text, 'null')))
FROM (VALUES
    ('2030-06-01 12:00:00.123', 'UTC', '2030-06-01 12:00:00.123+00'),
    ('2030-06-01 12:00', NULL, '2030-06-01 12:00+00'),
    ('2030-06-01 12:00', '', '2030-06-01 12:00+00'),
    ('2030-06-01 12:00', E' \t\n', '2030-06-01 12:00+00'),
    ('2030-06-01 12:00', 'Asia/Dubai', '2030-06-01 08:00+00'),
    ('2030-06-01 12:00', E'  Asia/Dubai\n', '2030-06-01 08:00+00'),
    ('2030-06-01 12:00', 'asia/dubai', '2030-06-01 08:00+00'),
    ('2030-06-01 12:00', 'EST', '2030-06-01 17:00+00'),
    ('2030-06-01 12:00', 'America/New_York', '2030-06-01 16:00+00'),
    ('2030-01-01 12:00', 'America/New_York', '2030-01-01 17:00+00'),
    -- 02:30 does not exist on that day: the clock goes from 02:00 to 03:00.
    ('2030-03-10 02:30', 'America/New_York', '2030-03-10 07:30+00'),
    -- 01:30 comes twice on that day: the second, in standard time.
    ('2030-11-03 01:30', 'America/New_York', '2030-11-03 06:30+00'),
    ('2030-06-01 12:00', '+04:00', '2030-06-01 08:00+00'),
    ('2030-06-01 12:00', '-0530', '2030-06-01 17:30+00'),
    ('2030-06-01 12:00', 'UTC+4', '2030-06-01 08:00+00'),
    ('2030-06-01 12:00', 'gmt-03:00', '2030-06-01 15:00+00'),
    ('2030-06-01 12:00', 'Etc/GMT+4', '2030-06-01 16:00+00'),
    ('2030-06-01 12:00', 'Mars/Olympus', NULL),
    ('2030-06-01 12:00', 'no such zone', NULL),
    ('2030-06-01 12:00', repeat('x', 10240), NULL),
    ('infinity', 'UTC', NULL),
    ('-infinity', NULL, NULL),
    ('infinity', 'Mars/Olympus', NULL),
    ('294276-12-31 23:59:59', 'America/New_York', NULL),
    (NULL, 'Asia/Dubai', NULL)) AS t (d, z, w);


-- Names and offsets, and what PostgreSQL would take for an abbreviation or for
-- a POSIX string, with the sign the other way round.
SELECT is((SELECT string_agg(concat_ws(' ', name, due), ', ')
    FROM pg_timezone_names,
    LATERAL unnest(ARRAY[name, lower(name), upper(name)]) AS zone,
    LATERAL (SELECT pg_temp.due('2030-06-01 12:00', zone) AS due) AS d
    WHERE due IS DISTINCT FROM timestamp '2030-06-01 12:00' AT TIME ZONE
        (CASE WHEN name IN ('CET', 'EET', 'MET', 'WET') THEN 'posix/' ELSE ''
        END || name)),
    NULL, 'every name of pg_timezone_names');
SELECT is((SELECT string_agg(concat_ws(' ', zone, due), ', ')
    FROM unnest(ARRAY['GST+4', 'GST-4', 'EST-5', 'IST+5:30', 'EST5', 'GMT5',
        'UTC0', '(UTC+04:00) Yerevan', '<+04>-4', 'EST5EDT,M3.2.0,M11.1.0',
        'Foo/Bar+3', 'Foo/Bar', 'Foo/3', 'Etc/GMT+13', 'Etc/GMT-15',
        'Etc/GMT+99', 'Etc/UTC+4', 'posix/GST+4', 'right/Asia/Dubai',
        'RIGHT/Asia/Dubai', 'IST', 'CST', 'BST', 'PDT', 'CEST', 'AST', 'Asia',
        'Asia/', '/Asia/Dubai', '../Asia/Dubai', ':Asia/Dubai', 'now',
        'America/New York', 'Asia/Dubai,', '5:30', '4', '+', '+16:00', '-16',
        '+4:60', '+00:00:01', 'UTC+24', 'UTC++4', 'GST +4', '+4 UTC',
        U&'\2212\0030\0034:00', 'UTC(+4)', 'DEFAULT', 'local', '-infinity',
        E'Asia/Dubai\nx']) AS zone,
    LATERAL (SELECT pg_temp.due('2030-06-01 12:00', zone) AS due) AS d
    WHERE due IS NOT NULL), NULL, 'no guess at what is neither');
SELECT is((SELECT string_agg(concat_ws(' ', zone, due), ', ')
    FROM unnest(ARRAY['+05:30', '+0530', '+5:30', 'UTC+5:30', 'utc+05:30',
        'GMT+0530', 'UTC +05:30', 'Asia/Kolkata  ']) AS zone,
    LATERAL (SELECT pg_temp.due('2030-06-01 12:00', zone) AS due) AS d
    WHERE due IS DISTINCT FROM '2030-06-01 06:30+00'), NULL,
    'all of them 5:30 east');
SELECT is((SELECT string_agg(concat_ws(' ', zone, due AT TIME ZONE 'UTC'), ', ')
    FROM unnest(ARRAY['CET', 'met', 'EET', 'posix/WET', 'WET']) AS zone,
    LATERAL (SELECT pg_temp.due('2030-06-01 12:00', zone) AS due) AS d),
    'CET 2030-06-01 10:00:00, met 2030-06-01 10:00:00, EET 2030-06-01 '
    '09:00:00, posix/WET 2030-06-01 11:00:00, WET 2030-06-01 11:00:00',
    'a zone that is an abbreviation, too, has summer time');
SELECT is(pg_temp.due('2030-06-01 12:00', '+15:59')
    - pg_temp.due('2030-06-01 12:00', '-15:59'), -interval '31:58',
    'the farthest offsets');

SELECT is(test_due_tz.followup_due_at(jsonb_populate_record(
    NULL::test_due_tz.lead_bookings,
    jsonb_build_object('scheduled_at', d, 'timezone', z))), w::timestamptz,
    format('timestamptz %s with zone %s', d, z))
FROM (VALUES
    ('2030-06-01 12:00+00', 'Asia/Dubai', '2030-06-01 12:00+00'),
    ('2030-06-01 12:00+04', NULL, '2030-06-01 08:00+00'),
    ('2030-06-01 12:00+00', 'Mars/Olympus', '2030-06-01 12:00+00'),
    ('infinity', NULL, NULL),
    ('-infinity', NULL, NULL),
    (NULL, NULL, NULL)) AS t (d, z, w);

SELECT is(test_due_utc.followup_due_at(jsonb_populate_record(
    NULL::test_due_utc.lead_bookings, jsonb_build_object('scheduled_at', d))),
    w::timestamptz, format('timestamp %s without a timezone column', d))
FROM (VALUES
    ('2030-06-01 12:00', '2030-06-01 12:00+00'),
    ('infinity', NULL)) AS t (d, w);

-- One bad row does not stop the others.
INSERT INTO test_due_local.lead_bookings (timezone)
VALUES ('Asia/Dubai'), ('nowhere'), (NULL);
SELECT is(count(test_due_local.followup_due_at(b)), 2::bigint,
    'a scan over good and bad rows') FROM test_due_local.lead_bookings b;
SELECT is(provolatile, 's', format('%s is STABLE', oid::regprocedure))
FROM pg_proc WHERE proname = 'followup_due_at' ORDER BY oid;

-- In every shape an UPDATE of what makes the due time counts as a move.
SELECT is(count(*), 1::bigint, 'the timezone is watched where it matters')
FROM information_schema.triggered_update_columns
WHERE trigger_name = 'trigger_followup_cloud_task_changed'
    AND event_object_column = 'timezone'
    AND event_object_schema = 'test_due_local';
SELECT is(count(*), 0::bigint, 'and not where it does not')
FROM information_schema.triggered_update_columns
WHERE trigger_name = 'trigger_followup_cloud_task_changed'
    AND event_object_column = 'timezone'
    AND event_object_schema IN ('test_due_tz', 'test_due_utc');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_due_tz, test_due_local, test_due_utc CASCADE;
