-- followup_gate in a year of simulated time, which is past because no pause
-- begins in the future: random bookings, zones, hours,
-- pauses and overrides, many of them where the clock changes.  What it says is
-- compared with the same rules looked up minute by minute, and whatever waits
-- is asked again when it waits no longer.  SEED repeats a run.

\set schema test_gate_year
\ir lib/app.psql
SET search_path = test_gate_year, public;
SET TimeZone = 'Asia/Kolkata';
ALTER TABLE lead_bookings ADD call_before timestamptz,
    ADD call_not_before timestamp;
\ir ../../sql/create-booking-cloud-task-trigger.sql
\set seed `echo "${SEED:-$(date +%s)}"`
SELECT plan(3);
SELECT diag('SEED=' || :'seed');
SELECT setseed(sin(:'seed'::float8)) \g /dev/null

-- What the settings and pauses of one case are, not as followup_gate has them.
CREATE TEMP TABLE hours (d1 int, d2 int, opens int, closes int);
CREATE TEMP TABLE pauses (scope text, starts timestamptz, ends timestamptz,
    except_tenants text[]);
CREATE FUNCTION pg_temp.pick(low int, high int) RETURNS int LANGUAGE sql
    AS 'SELECT low + floor(random() * (high - low + 1))::int';

-- Whether a pause holds ${tenant} at ${t}; whether ${t} is within hours.
CREATE FUNCTION pg_temp.held(tenant text, t timestamptz) RETURNS boolean
    LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pauses p WHERE t >= p.starts
        AND (t < p.ends OR p.ends IS NULL)
        AND (p.scope = 'tenant:' || tenant
            OR p.scope = 'all' AND tenant <> ALL (p.except_tenants)))
$$;
CREATE FUNCTION pg_temp.open(zone text, t timestamptz) RETURNS boolean
    LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM hours) OR EXISTS (
        SELECT FROM hours h, (SELECT t AT TIME ZONE zone AS at) AS w,
            LATERAL (SELECT extract(isodow FROM w.at)::int AS day,
                extract(hour FROM w.at) * 60 + extract(minute FROM w.at)
                AS minute) AS c,
            LATERAL (VALUES (c.day, c.minute),
                ((c.day + 5) % 7 + 1, c.minute + 1440)) AS v (day, minute)
        WHERE CASE WHEN h.d1 <= h.d2 THEN v.day BETWEEN h.d1 AND h.d2
                ELSE v.day >= h.d1 OR v.day <= h.d2 END
            AND v.minute >= h.opens AND v.minute < h.closes
                + CASE WHEN h.closes <= h.opens THEN 1440 ELSE 0 END)
$$;

-- What the gate has to say of ${b} at ${at}, as its verdict and time.
CREATE FUNCTION pg_temp.truth(b lead_bookings, zone text, at timestamptz,
    within interval, asked boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    tenant constant text := b.tenant_id;
    wanted constant timestamptz := greatest(at, b.scheduled_at);
    not_before constant timestamptz := b.call_not_before
        AT TIME ZONE CASE WHEN coalesce(b.timezone, '') = '' THEN 'UTC'
        ELSE zone END;
    start constant timestamptz := greatest(wanted, not_before);
    first timestamptz;
BEGIN
    IF zone IS NULL AND EXISTS (SELECT FROM hours) THEN
        IF pg_temp.held(tenant, start) THEN
            RETURN 'wait';
        END IF;
        RETURN 'never';
    END IF;
    SELECT m INTO first
    FROM generate_series(start, start + interval '360 hours', '1 min') AS m
    WHERE NOT pg_temp.held(tenant, m) AND pg_temp.open(zone, m) LIMIT 1;
    IF pg_temp.held(tenant, start) THEN
        RETURN concat_ws(' ', 'wait', first);
    ELSIF b.call_before IS NULL AND NOT asked AND (SELECT count(*)
        FROM generate_series(greatest(b.scheduled_at, not_before),
            wanted - interval '1 min', '1 min') AS m
        WHERE NOT pg_temp.held(tenant, m) AND pg_temp.open(zone, m))
        > extract(epoch FROM within) / 60
        OR b.call_before <= first THEN
        RETURN 'never';
    ELSIF first IS NULL AND NOT EXISTS (SELECT FROM pauses
            WHERE ends IS NULL AND scope IN ('all', 'tenant:' || tenant)
            AND tenant <> ALL (except_tenants)) THEN
        RETURN 'never';
    ELSIF first > wanted OR first IS NULL THEN
        RETURN concat_ws(' ', 'wait', first);
    END IF;
    RETURN 'call';
END $$;

-- ${n} cases: those in which the gate is wrong, or leaves a booking hanging.  As
-- many follow, up to ten times ${n}, as it takes to meet ${rules} rules: chance
-- must not decide which of them are tested.
CREATE FUNCTION pg_temp.cases(n int, rules int, OUT wrong text,
    OUT hanging text, OUT seen text) LANGUAGE plpgsql AS $$
DECLARE
    names constant text[] := '{mon,tue,wed,thu,fri,sat,sun}';
    b lead_bookings;
    given record;
    g record;
    again record;
    at timestamptz;
    within interval;
    got text;
    want text;
    asked boolean;
    verdicts text[] := '{}';
BEGIN
    FOR i IN 1..10 * n LOOP
        EXIT WHEN i > n AND (SELECT count(DISTINCT v) FROM unnest(verdicts)
            AS v) >= rules;
        DELETE FROM followup_pauses;
        TRUNCATE hours, pauses, followup_past_pauses, followup_late;
        DELETE FROM followup_settings WHERE name <> 'installed_at';

        -- Half of it within days of a change of clocks somewhere.
        at := CASE WHEN random() < 0.5 THEN timestamptz '2024-01-01 00:00Z'
            + pg_temp.pick(0, 525599) * interval '1 min'
            ELSE ('{2024-03-10 10:00Z,2024-03-31 01:00Z,
            2024-04-07 00:00Z,2024-10-06 00:00Z,2024-10-27 01:00Z,
            2024-11-03 06:00Z}'::timestamptz[])[pg_temp.pick(1, 6)]
            + pg_temp.pick(-1500, 1500) * interval '1 min' END;
        SELECT * INTO given FROM (VALUES ('Europe/Berlin', 'Europe/Berlin'),
            ('America/New_York', 'America/New_York'),
            ('Australia/Lord_Howe', 'Australia/Lord_Howe'),
            ('+05:45', 'Asia/Kathmandu'), ('UTC-3', 'Etc/GMT+3'),
            ('', 'Europe/London'), (NULL, 'Europe/London'), ('IST', NULL),
            ('Mars/Olympus', NULL)) AS z (name, zone)
        ORDER BY random() LIMIT 1;
        INSERT INTO followup_settings VALUES ('calling_zone', 'Europe/London');
        within := pg_temp.pick(1, 600) * interval '1 min';
        INSERT INTO followup_settings VALUES ('call_within',
            (extract(epoch FROM within) / 60)::int || 'm');

        INSERT INTO hours SELECT pg_temp.pick(1, 7), pg_temp.pick(1, 7),
            10 * pg_temp.pick(0, 143), 10 * pg_temp.pick(0, 143)
        FROM generate_series(1, pg_temp.pick(-1, 3));
        UPDATE hours SET closes = (opens + 30) % 1440 WHERE closes = opens;
        INSERT INTO followup_settings SELECT 'calling_hours', string_agg(
            format('%s-%s %s-%s', names[d1], names[d2],
            to_char(opens * interval '1 min', 'HH24:MI'),
            to_char(closes * interval '1 min', 'HH24:MI')), '; ')
        FROM hours HAVING count(*) > 0;
        -- As if they had always been in force.
        TRUNCATE followup_past_hours;

        b := jsonb_populate_record(NULL::lead_bookings, jsonb_build_object(
            'id', gen_random_uuid(), 'tenant_id', gen_random_uuid(),
            'booking_type', 'follow_up', 'timezone', given.name,
            'scheduled_at', at - pg_temp.pick(-600, 3000) * interval '1 min'));
        IF random() < 0.2 THEN
            b.call_not_before := (at + pg_temp.pick(-2000, 2000)
                * interval '1 min') AT TIME ZONE coalesce(given.zone, 'UTC');
        END IF;
        IF random() < 0.2 THEN
            b.call_before := at + pg_temp.pick(-500, 3000) * interval '1 min';
        END IF;
        asked := random() < 0.1;
        INSERT INTO followup_late SELECT b.id, b.scheduled_at, 'me' WHERE asked;

        INSERT INTO pauses SELECT (ARRAY['all', 'tenant:' || b.tenant_id,
            'tenant:x'])[pg_temp.pick(1, 3)], p.starts, p.starts
            + pg_temp.pick(1, 2000) * interval '1 min', '{}'
        FROM (SELECT at + pg_temp.pick(-4000, 1500) * interval '1 min'
            AS starts FROM generate_series(1, pg_temp.pick(-2, 3))) AS p;
        UPDATE pauses SET except_tenants = ARRAY[b.tenant_id::text]
        WHERE scope = 'all' AND random() < 0.2;
        -- The last one of a scope may have no end.
        UPDATE pauses SET ends = NULL WHERE random() < 0.1 AND starts = (
            SELECT max(starts) FROM pauses p WHERE p.scope = pauses.scope);
        INSERT INTO followup_pauses SELECT DISTINCT ON (scope) scope, 'why',
            'me', starts, ends, except_tenants FROM pauses
        ORDER BY scope, ends DESC NULLS FIRST;
        INSERT INTO followup_past_pauses SELECT scope, 'why', starts, ends,
            except_tenants FROM pauses WHERE ends IS NOT NULL;

        g := followup_gate_at(b, at);
        got := concat_ws(' ', g.verdict, g.until);
        want := pg_temp.truth(b, given.zone, at, within, asked);
        verdicts := verdicts || concat_ws(' ', g.verdict,
            regexp_replace(g.reason, '[0-9"''].*', ''));
        -- Beyond eight days only the gate looks.
        IF got <> want AND NOT (want = 'wait' AND g.verdict = 'wait') THEN
            wrong := concat_ws(E'\n', wrong, format('case %s at %s: %s, not '
                '%s: %s within %s %s', i, at, got, want, b, within,
                (SELECT string_agg(concat(name, '=', value), ' ')
                FROM followup_settings)));
        END IF;
        again := followup_gate_at(b, coalesce(g.until, at));
        IF g.verdict NOT IN ('call', 'wait', 'never')
            OR (g.verdict = 'call') <> (g.reason IS NULL)
            OR g.until IS NOT NULL AND (g.verdict <> 'wait' OR g.until <= at
                OR again.verdict = 'wait' OR again.verdict = 'never'
                AND again.reason !~ 'late|call_before|zone')
            OR g.verdict = 'wait' AND g.until IS NULL
                AND NOT EXISTS (SELECT FROM pauses WHERE ends IS NULL) THEN
            hanging := concat_ws(E'\n', hanging, format('case %s at %s: %s %s, '
                'then %s: %s', i, at, got, g.reason, again, b));
        END IF;
    END LOOP;
    SELECT string_agg(v, ', ' ORDER BY v) INTO seen
    FROM (SELECT DISTINCT unnest(verdicts) AS v) AS s;
END $$;
CREATE TEMP TABLE outcome AS SELECT * FROM pg_temp.cases(120, 8);
SELECT is(wrong, NULL, 'the gate says what the rules say') FROM outcome;
SELECT is(hanging, NULL, 'and what waits is called, or has a reason')
FROM outcome;
SELECT is(seen, 'call, never its call_before comes before it may be called, '
    'never its call_before has passed, never more than , never the time zone , '
    'wait not before its call_not_before, wait outside of calling hours, '
    'wait paused: why', 'every rule was met') FROM outcome;

SELECT * FROM finish();
DROP SCHEMA test_gate_year CASCADE;
