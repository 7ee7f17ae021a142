-- A whole row saved as it had been some time ago, and what only the daemons may
-- make of a booking.

\set schema test_stale
\ir lib/app.psql
\ir ../../sql/create-booking-cloud-task-trigger.sql
SET search_path = test_stale, public;

BEGIN;
SELECT plan(13);

-- The columns of a booking, by the state it is in, or was when it was copied.
CREATE FUNCTION pg_temp.booking(state text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT '{"id": "00000000-0000-4000-8000-00000000000b",
        "tenant_id": "11111111-1111-4111-8111-111111111111",
        "booking_type": "follow_up", "scheduled_at": "2030-01-01 12:00+00",
        "is_deleted": false, "execution_attempts": 0}'::jsonb
        || jsonb_build_object('task_status', state) || CASE state
        WHEN 'scheduled' THEN '{"task_name": "t1",
            "task_scheduled_at": "2030-01-01 12:00+00",
            "idempotency_key": "k"}'
        WHEN 'executed' THEN '{"task_name": "t1", "idempotency_key": "k",
            "task_scheduled_at": "2030-01-01 12:00+00",
            "execution_attempts": 1, "executed_at":
            "2030-01-01 12:00:01.234567+00"}'
        WHEN 'failed' THEN '{"task_name": "t1", "execution_attempts": 8,
            "task_scheduled_at": "2030-01-01 12:00+00",
            "last_execution_error": "busy", "idempotency_key": "k"}'
        WHEN 'cancelled' THEN
            '{"last_execution_error": "cancelled at 2029-12-31T00:00:00Z"}'
        ELSE '{}' END::jsonb
$$;

-- What becomes of a booking in ${state} when every column of ${copy} is written
-- over it: 'kept' (nothing of its task changed), 'anew', 'cancelled', or what
-- there is.
CREATE FUNCTION pg_temp.saved(state text, copy jsonb) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    after lead_bookings;
    obsolete text;
    columns text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
    FROM pg_attribute WHERE attrelid = 'lead_bookings'::regclass
        AND attnum > 0 AND NOT attisdropped;
    BEGIN
        SET LOCAL followup.daemon = 'on';
        INSERT INTO lead_bookings SELECT * FROM jsonb_populate_record(
            NULL::lead_bookings, pg_temp.booking(state));
        SELECT to_jsonb(b) INTO before FROM lead_bookings b;
        SET CONSTRAINTS ALL IMMEDIATE;
        SET LOCAL followup.daemon = '';
        EXECUTE format('UPDATE lead_bookings SET (%1$s) = (SELECT %1$s FROM '
            'jsonb_populate_record(NULL::lead_bookings, $1))', columns)
            USING '{"notes": "saved"}' || copy;
        SELECT * INTO after FROM lead_bookings;
        SELECT string_agg(task_name, ' ') INTO obsolete
        FROM followup_obsolete_tasks;
        RAISE EXCEPTION USING ERRCODE = 'FU001';
    EXCEPTION WHEN SQLSTATE 'FU001' THEN
        NULL;
    END;
    IF after.notes IS NULL OR (copy ? 'scheduled_at' AND after.scheduled_at
        <> (copy ->> 'scheduled_at')::timestamptz) THEN
        RETURN 'not saved';
    END IF;
    RETURN CASE WHEN to_jsonb(after) - '{notes,scheduled_at}'::text[]
            = before - '{notes,scheduled_at}'::text[] THEN 'kept'
        WHEN after.task_status = 'pending' AND after.task_name IS NULL
            AND after.task_scheduled_at IS NULL AND after.executed_at IS NULL
            AND after.execution_attempts = 0 AND after.idempotency_key IS NULL
            AND after.last_execution_error IS NULL THEN 'anew'
        WHEN after.task_status = 'cancelled' AND after.task_name IS NULL
            AND after.last_execution_error LIKE 'cancelled at 20%Z%'
            THEN 'cancelled'
        ELSE after::text END || coalesce(', obsolete: ' || obsolete, '');
END
$$;

SELECT is((SELECT string_agg(pg_temp.saved(state, pg_temp.booking(copy)), '; '
        ORDER BY n) FROM unnest(copies) WITH ORDINALITY AS c (copy, n)),
    outcome, format('a %s booking, saved as it was when %s', state,
    array_to_string(copies, ', ')))
FROM (VALUES
    ('executed', '{pending,scheduled,failed,cancelled,executed}'::text[],
        'kept; kept; kept; kept; kept'),
    ('cancelled', '{pending,scheduled,failed,executed}',
        'kept; kept; kept; kept'),
    ('failed', '{pending,scheduled,executed,cancelled}',
        'kept; kept; kept; cancelled, obsolete: t1'),
    ('scheduled', '{pending,executed,failed,cancelled}',
        'kept; kept; kept; cancelled, obsolete: t1'),
    ('pending', '{pending,scheduled,executed,failed,cancelled}',
        'kept; kept; kept; kept; cancelled')) AS t (state, copies, outcome);

-- A save that also moves the booking is a move, of what is still to come.
SELECT is((SELECT string_agg(pg_temp.saved(c[1], pg_temp.booking(c[2])
        || '{"scheduled_at": "2031-01-01 12:00+00"}'), '; ' ORDER BY n)
    FROM (VALUES (1, '{scheduled,pending}'::text[]), (2, '{pending,scheduled}'),
        (3, '{scheduled,executed}'), (4, '{failed,failed}'),
        (5, '{failed,pending}'), (6, '{executed,pending}'),
        (7, '{cancelled,pending}')) AS t (n, c)),
    'anew, obsolete: t1; kept; anew, obsolete: t1; anew, obsolete: t1; '
    'kept; kept; kept', 'a stale copy that moves the booking');

-- One column by hand.
SELECT is((SELECT string_agg(pg_temp.saved(state, pg_temp.booking(state)
        || jsonb_build_object('task_status', wanted)), '; ' ORDER BY n)
    FROM unnest(ARRAY['pending', 'scheduled', 'failed', 'cancelled',
        'executed']) WITH ORDINALITY AS s (state, n)),
    outcome, format('task_status set to %s by hand',
    coalesce(to_json(wanted)::text, 'null')))
FROM (VALUES
    ('scheduled', 'kept; kept; kept; kept; kept'),
    ('executed', 'kept; kept; kept; kept; kept'),
    ('pending', 'kept; anew, obsolete: t1; anew, obsolete: t1; anew; '
        'anew, obsolete: t1'),
    ('', 'kept; anew, obsolete: t1; anew, obsolete: t1; anew; '
        'anew, obsolete: t1')) AS t (wanted, outcome);
SELECT is(pg_temp.saved('executed', pg_temp.booking('executed')
    || '{"task_status": "pending",
    "executed_at": "2030-01-01 12:00:01.234+00"}'),
    'anew, obsolete: t1', 'by a client that knows no microseconds');

-- What is inserted without a status, or with a daemon's, is pending and heard.
ALTER TABLE lead_bookings ALTER task_status DROP NOT NULL;
SET LOCAL followup.hints = '';
INSERT INTO lead_bookings (notes, task_status, task_name)
VALUES ('null', NULL, NULL), ('empty', '', NULL), ('scheduled', 'scheduled',
    NULL), ('with a task', 'scheduled', 'theirs'), ('done', 'executed', 'x'),
    ('failed', 'failed', NULL), ('cancelled', 'cancelled', NULL);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is((SELECT string_agg(concat_ws(' ', notes, task_status, task_name),
    ', ' ORDER BY notes) FROM lead_bookings), 'cancelled cancelled, '
    'done executed x, empty pending, failed failed, null pending, '
    'scheduled pending, with a task pending', 'inserted in other states');
SELECT is(current_setting('followup.hints') || coalesce(
    current_setting('followup.daemon', true), ''), '....',
    'those that are pending are heard');

SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA test_stale CASCADE;
