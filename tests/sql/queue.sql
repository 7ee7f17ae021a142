-- followup_queue: ours names none, costs nothing, and makes way for one of the
-- deployment's own.

\set schema test_queue
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
SET search_path = test_queue, public;

SELECT plan(9);

INSERT INTO lead_bookings (notes, booking_type, scheduled_at)
VALUES ('a', 'follow_up', now()), ('b', 'follow_up', now());
SELECT is(count(*), 2::bigint, 'the configured one, unless it is replaced')
FROM lead_bookings b WHERE followup_queue(b) IS NULL;

CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    lines text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN VERBOSE ' || query LOOP
        lines := lines || line;
    END LOOP;
    RETURN lines;
END
$$;
SELECT is(pg_temp.plan_of('SELECT followup_queue(b) FROM lead_bookings b')
    LIKE '%followup_queue%', false, 'it is inlined, so that no row pays for it');

-- A replaced one survives install, uninstall and purge, whatever it calls its
-- parameter.
CREATE OR REPLACE FUNCTION followup_queue(booking lead_bookings) RETURNS text
    LANGUAGE sql STABLE AS $$SELECT 'tenant-' || booking.notes$$;
SET client_min_messages = warning;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT set_eq('SELECT followup_queue(b) FROM lead_bookings b',
    ARRAY['tenant-a', 'tenant-b'], 'a replaced one survives a reinstall');
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT set_eq('SELECT followup_queue(b) FROM lead_bookings b',
    ARRAY['tenant-a', 'tenant-b'], 'and an uninstall');
DROP FUNCTION followup_queue;
CREATE FUNCTION followup_queue(b lead_bookings) RETURNS text
    LANGUAGE sql STABLE AS $$SELECT 'own-' || b.notes$$;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT set_eq('SELECT followup_queue(b) FROM lead_bookings b',
    ARRAY['own-a', 'own-b'], 'an install takes one that was made before');
\set purge on
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT set_eq('SELECT followup_queue(b) FROM lead_bookings b',
    ARRAY['own-a', 'own-b'], 'a purge leaves it');
\set purge off
DROP FUNCTION followup_queue;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT is(count(*), 2::bigint, 'dropped: ours is back')
FROM lead_bookings b WHERE followup_queue(b) IS NULL;
\ir ../../sql/create-booking-cloud-task-trigger.sql
SELECT has_function('test_queue', 'followup_queue', 'and stays');
\ir ../../sql/drop-booking-cloud-task-trigger.sql
SELECT hasnt_function('test_queue', 'followup_queue', 'ours goes');

SELECT * FROM finish();
DROP SCHEMA test_queue CASCADE;
