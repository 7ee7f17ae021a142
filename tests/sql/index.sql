-- The index serves the sweep, whatever string type booking_type has.

\set schema test_index_varchar
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\set schema test_index_text
\set type text
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
CREATE SCHEMA test_index_types;
CREATE DOMAIN test_index_types.kind AS varchar(40) CHECK (VALUE <> '');
\set schema test_index_domain
\set type test_index_types.kind
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
\set schema test_index_char
\set type char(30)
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql

BEGIN;
SELECT plan(13);

CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    line text;
    whole text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || statement LOOP
        whole := whole || line || E'\n';
    END LOOP;
    RETURN whole;
END$$;

-- Many bookings that are over or not ours, few that are pending, all of them
-- in the range of time that the sweep asks for.
CREATE FUNCTION pg_temp.fill(schema text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.lead_bookings (booking_type, task_status, '
        'scheduled_at) SELECT CASE n %% 3 WHEN 0 THEN ''meeting'' '
        'ELSE ''Follow_Up'' END, CASE n %% 3 WHEN 1 THEN ''executed'' '
        'WHEN 2 THEN CASE n %% 150 WHEN 2 THEN ''pending'' ELSE ''failed'' END '
        'ELSE ''pending'' END, now() FROM generate_series(1, 3000) AS n',
        schema);
    EXECUTE format('ANALYZE %I.lead_bookings', schema);
END$$;
\set sweep 'SELECT b.id FROM %1$I.lead_bookings b WHERE b.task_status = ''pending'' AND %1$I.followup_is_followup_type(b.booking_type::text) AND b.scheduled_at > now() - interval ''1 day'''
SELECT count(pg_temp.fill('test_index_' || t)) AS unused
FROM unnest(ARRAY['varchar', 'text', 'domain', 'char']) AS t
\gset
SELECT ok(indisvalid, 'the index is valid') FROM pg_index
WHERE indexrelid = 'test_index_varchar.followup_bookings_due_idx'::regclass;

-- The daemons' sessions have no sequential scans; others find it, too.
SELECT matches(pg_temp.plan_of(format(:'sweep', 'test_index_' || t)),
    'followup_bookings_due_idx.*Index Cond: .*task_status.*scheduled_at',
    format('%s: the sweep uses the index, by its own choice', t))
FROM unnest(ARRAY['varchar', 'text', 'domain', 'char']) AS t;
SET LOCAL enable_seqscan = off;
SELECT matches(pg_temp.plan_of(format(:'sweep', 'test_index_' || t)),
    'followup_bookings_due_idx', format('%s: without sequential scans', t))
FROM unnest(ARRAY['varchar', 'text', 'domain', 'char']) AS t;
SELECT is(reltuples, 20::real, t || ': nothing else is in the index')
FROM unnest(ARRAY['varchar', 'text', 'domain', 'char']) AS t, pg_class
WHERE oid = format('test_index_%s.followup_bookings_due_idx', t)::regclass;

SELECT * FROM finish();
ROLLBACK;
SET client_min_messages = warning;
DROP SCHEMA test_index_varchar, test_index_text, test_index_domain,
    test_index_char, test_index_types CASCADE;
