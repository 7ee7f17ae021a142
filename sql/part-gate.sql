-- part-gate.sql: the bodies of followup_gate and of what it is made of, as the
-- variables followup_body_*.
--
-- followup_gate(booking) says whether somebody may be rung: now, or when the
-- booking is due, if that is still to come.  The daemons ask it when they make
-- a task, and again as the last act before the call:
--   call   yes
--   wait   not yet; until says how long (null: until somebody ends it)
--   never  not at all
-- reason is for people, and null where the verdict is call.  A deployment may
-- replace it: a function that is not what was installed stays.  One that only
-- adds rules can ask followup_gate_at(booking, now()) for ours.
--
-- Our rules, the first that applies counts:
--   1. What was overdue at the first install is left alone: never.
--   2. Calls are paused: wait.
--   3. The booking is late by more than call_within: never, unless a person has
--      asked for the call all the same (followup_late).  A booking is late by
--      the time for which it could have been called, that is not by pauses, nor
--      by what lies outside of the calling hours that were in force then
--      (followup_past_hours).  Former values of calling_zone and call_within
--      are not kept: all is judged by those that are set now.
--   4. Outside of the calling hours of the booking's zone: wait.
-- A column call_not_before of the table has a booking wait until then; a column
-- call_before is this booking's own deadline, in place of call_within.
--
-- The time that comes with wait is one at which nothing else holds the booking,
-- as far as pauses and hours are known now.

-- The overrides that the table has.  Columns are taken by their names, so that
-- their types can be altered while sessions have the function in use.  A time
-- without a zone is read in the booking's zone, and does not count where that
-- is unknown: such a booking has no due time either.
SELECT coalesce(format('fields := %I.followup_fields(booking); ', :'schema')
        || 'BEGIN ' || string_agg(format(
        '%s := %s; ', CASE attname WHEN 'call_before' THEN 'deadline'
        ELSE 'not_before' END, CASE coalesce(nullif(t.typbasetype, 0), t.oid)
        WHEN 'timestamp'::regtype THEN format('(fields ->> %L)::timestamp '
            'AT TIME ZONE %I.followup_zone(coalesce(nullif(btrim(fields ->> '
            '''timezone'', E'' \t\r\n''), ''''), ''UTC''))', attname, :'schema')
        ELSE format('(fields ->> %L)::timestamptz', attname) END), '')
        || 'EXCEPTION WHEN data_exception THEN END;', '') AS followup_overrides
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
    AND attname IN ('call_before', 'call_not_before') AND NOT attisdropped
\gset

-- followup_zone(zone) is the zone in the form in which AT TIME ZONE reads it,
-- or null where it is neither an offset nor looks like a name.
--
-- In an offset '+04:00' and 'UTC+4' mean east of Greenwich; a name is one of
-- pg_timezone_names.  That view reads a whole directory, so names are told by
-- their shape, and AT TIME ZONE says whether there is such a zone.  It also
-- takes abbreviations that several countries share ('IST'), and POSIX strings
-- ('GST+4', '(UTC+04:00) Yerevan'), whose sign is the other way round and which
-- never fail.  A POSIX string has a digit, so that a name with a slash and
-- without digits is not one; the other names are listed.  Four of those are
-- abbreviations as well, of a time without summer time, which come first.
SELECT $body$
DECLARE
    name text COLLATE "C" := btrim(zone, E' \t\r\n');
    shift text[];
BEGIN
    -- Mostly it is one of these two, which are quick to tell.
    IF name ~ '^[A-Za-z_-]+(/[A-Za-z_-]+)+$' THEN
        RETURN CASE WHEN lower(left(name, 6)) <> 'right/' THEN name END;
    ELSIF name IN ('UTC', 'Z', 'z') THEN
        RETURN 'UTC';
    END IF;
    shift := regexp_match(name,
        '^(?:(?:UTC|GMT) ?)?([+-])(0?[0-9]|1[0-5])(?::?([0-5][0-9]))?$', 'i');
    IF shift IS NOT NULL THEN
        RETURN 'UTC' || translate(shift[1], '+-', '-+') || shift[2] || ':'
            || coalesce(shift[3], '00');
    END IF;
    IF name ~* ('^(?:posix/)?'
        '(?:Etc/GMT(?:[+](?:[1-9]|1[0-2])|-(?:[1-9]|1[0-4]))|'
        '(?:Etc/)?GMT[+-]?0|'
        'CET|CST6CDT|Cuba|EET|EST|EST5EDT|Egypt|Eire|Factory|GB|GB-Eire|GMT|'
        'Greenwich|HST|Hongkong|Iceland|Iran|Israel|Jamaica|Japan|Kwajalein|'
        'Libya|MET|MST|MST7MDT|NZ|NZ-CHAT|Navajo|PRC|PST8PDT|Poland|Portugal|'
        'ROC|ROK|Singapore|Turkey|UCT|UTC|Universal|W-SU|WET|Zulu|localtime|'
        'posixrules)$') THEN
        RETURN CASE upper(name) WHEN 'CET' THEN 'Europe/Brussels'
            WHEN 'MET' THEN 'Europe/Brussels' WHEN 'EET' THEN 'Europe/Athens'
            WHEN 'WET' THEN 'Europe/Lisbon' ELSE name END;
    END IF;
    RETURN NULL;
END
$body$ AS followup_body_zone
\gset

-- followup_within(week, zone, at) says whether the time ${at} is within the
-- calling hours ${week}, by the clock of ${zone}; it is null where there is no
-- such zone, and false where ${week} is null.
SELECT format($body$
DECLARE
    clock timestamp;
BEGIN
    clock := at AT TIME ZONE %1$I.followup_zone(zone);
    RETURN CASE WHEN clock IS NOT NULL THEN coalesce(week @> floor(extract(
        epoch FROM clock - date_trunc('week', clock)) / 60)::int, false) END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$body$, :'schema') AS followup_body_within
\gset

-- followup_week(hours) reads calling hours such as 'mon-fri 09:00-20:00; sat
-- 10:00-16:00' as minutes of a week that begins on Monday at midnight, and
-- raises an error that says what is wrong with them.  Days may be a list
-- ('mon,wed-thu') and pass Sunday ('sat-mon'); hours that end before they begin
-- pass midnight.
SELECT $body$
DECLARE
    names constant text[] := '{mon,tue,wed,thu,fri,sat,sun}';
    week int4multirange := '{}';
    line text;
    days text;
    part text[];
    day int;
    last int;
    opens int;
    closes int;
BEGIN
    FOREACH line IN ARRAY string_to_array(lower(hours), ';') LOOP
        CONTINUE WHEN btrim(line, E' \t\r\n') = '';
        part := regexp_match(line, '^[[:space:]]*([a-z][a-z, -]*?)'
            '[[:space:]]+([01]?[0-9]|2[0-3]):([0-5][0-9])'
            '[[:space:]]*-[[:space:]]*'
            '(?:([01]?[0-9]|2[0-3]):([0-5][0-9])|24:00)[[:space:]]*$');
        IF part IS NULL THEN
            RAISE EXCEPTION 'calling hours "%" are not days and hours', line
                USING ERRCODE = 'invalid_parameter_value',
                HINT = 'such as: mon-fri 09:00-20:00; sat 10:00-16:00';
        END IF;
        days := part[1];
        opens := part[2]::int * 60 + part[3]::int;
        closes := coalesce(part[4]::int * 60 + part[5]::int, 1440);
        IF opens = closes THEN
            RAISE EXCEPTION 'calling hours "%" end when they begin', line
                USING ERRCODE = 'invalid_parameter_value',
                HINT = 'the whole day is 00:00-24:00';
        ELSIF closes < opens THEN
            closes := closes + 1440;
        END IF;
        FOREACH days IN ARRAY string_to_array(days, ',') LOOP
            part := string_to_array(btrim(days), '-');
            day := array_position(names, btrim(part[1]));
            last := array_position(names, btrim(part[cardinality(part)]));
            IF day IS NULL OR last IS NULL OR cardinality(part) > 2 THEN
                RAISE EXCEPTION 'calling hours name the days "%"', days
                    USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'days are mon tue wed thu fri sat sun, such as '
                    'mon-fri or sat,sun';
            END IF;
            LOOP
                week := week + int4multirange(
                    int4range((day - 1) * 1440 + opens,
                        least((day - 1) * 1440 + closes, 10080)),
                    -- Sunday night goes on on Monday morning.
                    int4range(0, greatest((day - 1) * 1440 + closes - 10080,
                        0)));
                EXIT WHEN day = last;
                day := day % 7 + 1;
            END LOOP;
        END LOOP;
    END LOOP;
    RETURN week;
END
$body$ AS followup_body_week
\gset

-- followup_open(week, zone, after) is the first stretch of calling hours that
-- has not ended ${after}, cut off at ${after}: opens and closes, or null where
-- none begins within 15 days.  Calling hours follow local time: they come twice
-- when the clocks go back, and may be skipped when the clocks go forward, so
-- that two weeks can pass between one week's hours and the next.
--
-- It looks at one stretch of time after the other, of a day or of what is left
-- until the clock changes, in which times of the wall and of the world differ
-- by a constant.
SELECT $body$
DECLARE
    from_at timestamptz := after;
    to_at timestamptz;
    middle timestamptz;
    shift interval;
    clock timestamp;
    monday timestamp;
BEGIN
    WHILE from_at < after + interval '360 hours' LOOP
        clock := from_at AT TIME ZONE zone;
        shift := clock - (from_at AT TIME ZONE 'UTC');
        to_at := from_at + interval '24 hours';

        -- When does the clock change?
        IF (to_at AT TIME ZONE zone) - (to_at AT TIME ZONE 'UTC') <> shift THEN
            middle := from_at;
            WHILE to_at - middle > interval '1 microsecond' LOOP
                IF ((middle + (to_at - middle) / 2) AT TIME ZONE zone)
                    - ((middle + (to_at - middle) / 2) AT TIME ZONE 'UTC')
                    = shift THEN
                    middle := middle + (to_at - middle) / 2;
                ELSE
                    to_at := middle + (to_at - middle) / 2;
                END IF;
            END LOOP;
        END IF;

        -- The week may end within this day.
        monday := date_trunc('week', clock);
        SELECT (greatest(w.opens, clock) - shift) AT TIME ZONE 'UTC',
            (w.closes - shift) AT TIME ZONE 'UTC'
        INTO opens, closes
        FROM (SELECT monday + lower(r) * interval '1 min'
                + n * interval '7 days' AS opens,
                monday + upper(r) * interval '1 min' + n * interval '7 days'
                AS closes
            FROM unnest(week) AS r, generate_series(0, 1) AS n) AS w
        WHERE w.closes > clock
        ORDER BY w.opens LIMIT 1;
        IF opens < to_at THEN
            closes := least(closes, to_at);
            RETURN;
        END IF;
        from_at := to_at;
    END LOOP;
    opens := NULL;
    closes := NULL;
END
$body$ AS followup_body_open
\gset

-- followup_allowed(tenant, week, zone, after) is the first stretch of time from
-- ${after} on in which neither a pause nor the calling hours ${week} (null:
-- none are set) hold the bookings of ${tenant}: it begins, and it ends at the
-- latest then (null: never).  held says what holds them at ${after}, and paused
-- whether that is a pause.  Where no such stretch is known, begins is null, and
-- held says why; closed is true where the hours are to blame.  For the past it
-- is the hours of that time that count, and a stretch ends where they were
-- changed; a ${zone} that is null is never within hours.
--
-- A pause that is not over has begun, by the beginning of this transaction at
-- the latest, and one that is over has ended by then: that may have come before
-- it, and the clock by which the pause began or ended may have been ahead.
SELECT format($body$
DECLARE
    pause record;
    hours record;
    in_force int4multirange;
    change timestamptz;
BEGIN
    begins := after;
    paused := false;
    closed := false;
    LOOP
        -- The pause that holds the longest, or else the next one that began.
        SELECT p.starts, p.until, 'paused: ' || p.reason AS reason INTO pause
        FROM (SELECT scope, reason, until, except_tenants,
                least(paused_at, now()) AS starts
            FROM %1$I.followup_pauses
            UNION ALL
            SELECT scope, reason, least(until, now()), except_tenants, paused_at
            FROM %1$I.followup_past_pauses) AS p
        WHERE (p.until > begins OR p.until IS NULL)
            AND CASE p.scope WHEN 'all' THEN tenant <> ALL (p.except_tenants)
                ELSE p.scope = 'tenant:' || tenant END
        ORDER BY p.starts > begins, CASE WHEN p.starts <= begins
            THEN coalesce(p.until, 'infinity') END DESC, p.starts LIMIT 1;
        IF pause.starts <= begins THEN
            paused := paused OR begins = after;
            held := CASE WHEN pause.until IS NULL THEN pause.reason
                ELSE coalesce(held, pause.reason) END;
            begins := pause.until;
            EXIT WHEN begins IS NULL;
            CONTINUE;
        END IF;
        ends := pause.starts;

        -- Which hours were in force?
        in_force := week;
        change := NULL;
        IF begins < now() THEN
            SELECT h.week, h.until INTO in_force, change
            FROM %1$I.followup_past_hours h
            WHERE h.until > begins ORDER BY h.until LIMIT 1;
            IF NOT FOUND THEN
                in_force := week;
            END IF;
        END IF;
        ends := least(ends, change);
        EXIT WHEN in_force IS NULL;

        hours := %1$I.followup_open(in_force, zone, begins);
        hours.opens := least(hours.opens, change);
        IF hours.opens IS NULL THEN
            begins := NULL;
            closed := true;
            held := coalesce(held, 'no calling hours within 15 days');
            EXIT;
        END IF;
        ends := least(ends, hours.closes);
        EXIT WHEN hours.opens = begins;
        held := coalesce(held, 'outside of calling hours');
        begins := hours.opens;
    END LOOP;
END
$body$, :'schema') AS followup_body_allowed
\gset

-- followup_judge(booking, at) is the gate at the time ${at}.  Of a booking that
-- waits for a pause, then_never says why it will not be called once that ends,
-- by what is known now; it is null where it will.  A pause without an end is
-- taken to end at once.
SELECT format($body$
DECLARE
    due timestamptz := %1$I.followup_due_at(booking);
    not_before timestamptz;
    deadline timestamptz;
    fields jsonb;
    tenant text;
    given_zone text;
    wanted timestamptz;
    earliest timestamptz;
    begins timestamptz;
    unheld timestamptz;
    within text;
    week int4multirange;
    zone text;
    is_within boolean;
    is_late boolean;
    is_held boolean;
    paused boolean;
    closed boolean;
    held text;
    seen record;
    place timestamptz;
    late interval := '0';
    windows int := 0;
BEGIN
    IF EXISTS (SELECT FROM %1$I.followup_backlog k
        WHERE k.booking_id = booking.id
            AND k.due_at IS NOT DISTINCT FROM due) THEN
        verdict := 'never';
        reason := 'was already overdue when follow-up scheduling was '
            'installed';
        RETURN;
    END IF;

    -- It is about the time when the booking is due, if that is to come.  Whoever
    -- is about to call more than a minute before, because somebody had the task
    -- run, is told about now.
    %2$s
    wanted := CASE WHEN due > at + interval '1 minute'
        AND current_setting('application_name') = 'followup-execute'
        THEN at ELSE greatest(at, due) END;
    earliest := greatest(coalesce(greatest(due, not_before), at),
        wanted - interval '10 years');
    begins := greatest(wanted, not_before);
    IF begins = 'infinity' THEN
        verdict := 'never';
        reason := 'its call_not_before never comes';
        RETURN;
    END IF;

    SELECT coalesce(max(s.value) FILTER (WHERE s.name = 'call_within'), '4h'),
        coalesce(max(s.value) FILTER (WHERE s.name = 'calling_zone'), 'UTC'),
        max(s.week::text)::int4multirange
    INTO within, zone, week FROM %1$I.followup_settings s;
    is_late := begins - earliest > within::interval;
    is_held := EXISTS (SELECT FROM %1$I.followup_pauses p
        WHERE p.until > begins OR p.until IS NULL);
    IF is_late OR is_held OR week IS NOT NULL THEN
        fields := %1$I.followup_fields(booking);
        tenant := coalesce(fields ->> 'tenant_id', '');
    END IF;
    -- Whoever is late may have been held by hours that are not set any more.
    IF week IS NOT NULL OR is_late THEN
        given_zone := coalesce(nullif(btrim(fields ->> 'timezone',
            E' \t\r\n'), ''), zone);
        is_within := %1$I.followup_within(week, given_zone, begins);
        zone := CASE WHEN is_within IS NOT NULL
            THEN %1$I.followup_zone(given_zone) END;
    END IF;

    -- Most bookings are for a time within calling hours, which those of the
    -- past do not concern.  Where the zone is not known, pauses still are.
    is_held := is_held OR (week IS NOT NULL AND coalesce(begins < now()
        AND is_within IS NOT NULL OR NOT is_within, false));
    unheld := begins;
    IF is_held THEN
        SELECT a.begins, a.paused, a.closed, a.held
        INTO begins, paused, closed, held
        FROM %1$I.followup_allowed(tenant,
            CASE WHEN is_within IS NOT NULL THEN week END, zone, begins) AS a;
    END IF;

    -- Too late, or never within hours?
    IF week IS NOT NULL AND is_within IS NULL THEN
        then_never := format('the time zone %%L is unknown, so that calling '
            'hours cannot be kept', left(given_zone, 60));
    ELSIF deadline <= coalesce(begins, unheld) THEN
        then_never := CASE WHEN deadline <= at
            THEN 'its call_before has passed' ELSE 'its call_before comes '
            'before it may be called' END;
    ELSIF deadline IS NULL AND is_late AND NOT EXISTS (
        SELECT FROM %1$I.followup_late l WHERE l.booking_id = booking.id
            AND l.due_at IS NOT DISTINCT FROM due) THEN
        place := earliest;
        WHILE place < wanted LOOP
            seen := %1$I.followup_allowed(tenant, week, zone, place);
            EXIT WHEN seen.begins IS NULL AND NOT seen.closed;
            place := coalesce(seen.begins, place + interval '360 hours');
            CONTINUE WHEN seen.begins IS NULL;
            EXIT WHEN place >= wanted;
            place := least(seen.ends, wanted);
            late := late + (place - seen.begins);
            windows := windows + 1;
            IF late > within::interval OR windows = 1000 THEN
                then_never := format('more than %%s late', within);
                EXIT;
            END IF;
        END LOOP;
    END IF;
    IF closed THEN
        then_never := coalesce(then_never, 'no calling hours within 15 days');
    END IF;

    IF paused THEN
        verdict := 'wait';
        until := begins;
        reason := held;
    ELSIF then_never IS NOT NULL THEN
        verdict := 'never';
        reason := then_never;
        then_never := NULL;
    ELSIF begins > wanted OR begins IS NULL THEN
        verdict := 'wait';
        until := begins;
        reason := coalesce(held, 'not before its call_not_before');
    ELSE
        verdict := 'call';
    END IF;
END
$body$, :'schema', :'followup_overrides') AS followup_body_judge,
format($body$
BEGIN
    SELECT j.verdict, j.until, j.reason INTO verdict, until, reason
    FROM %1$I.followup_judge(booking, at) AS j;
END
$body$, :'schema') AS followup_body_gate_at,
format($body$
BEGIN
    SELECT j.verdict, j.until, j.reason INTO verdict, until, reason
    FROM %1$I.followup_judge(booking, pg_catalog.now()) AS j;
END
$body$, :'schema') AS followup_body_gate
\gset

SELECT format('%1$I.followup_gate(%1$I.%2$I)', :'schema', :'table')
    AS followup_gate
\gset

-- followup_verdict(booking) is what becomes of one of many bookings, for people
-- to read: what followup_gate says, but never where ours says why it will not
-- be called once the pause that it waits for ends (then_never).  If the gate
-- fails for this one, that is the reason why nobody is called, and keeps the
-- others from nothing.
SELECT format($body$
BEGIN
    SELECT g.verdict, g.until, g.reason INTO verdict, until, reason
    FROM %1$I.followup_gate(booking) AS g;
    IF verdict OPERATOR(pg_catalog.=) 'wait'
        AND EXISTS (SELECT FROM pg_catalog.pg_proc p
        WHERE p.oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure(%2$L)
            AND p.prosrc OPERATOR(pg_catalog.=) %3$L) THEN
        then_never := (SELECT j.then_never
            FROM %1$I.followup_judge(booking, pg_catalog.now()) AS j);
        IF then_never IS NOT NULL THEN
            verdict := 'never';
            until := NULL;
            reason := pg_catalog.concat(reason, '; when that ends: ',
                then_never);
        END IF;
    END IF;
EXCEPTION WHEN OTHERS THEN
    verdict := 'never';
    reason := pg_catalog.concat('followup_gate fails for it: ', SQLERRM);
END
$body$, :'schema', :'followup_gate', :'followup_body_gate')
    AS followup_body_verdict
\gset

-- followup_gate_for_all() says of which bookings that are due now or later
-- followup_gate says "call": of all of them (is_open), where week is not null
-- only of those that are due within these calling hours, by the clock of their
-- own zone or else of ${zone}; or it has to be asked about each.  Mostly it has
-- not: it is ours, there are no pauses, nor has the table a column for
-- overrides; what was overdue at the first install is due before now.  Whoever
-- reads many bookings asks this once.  Whoever calls may be long before the due
-- time, and asks about each where there are hours.
SELECT format($body$
BEGIN
    is_open := %2$s AND NOT EXISTS (SELECT FROM %1$I.followup_pauses p
            WHERE p.until > now() OR p.until IS NULL)
        AND EXISTS (SELECT FROM pg_proc p
            WHERE p.oid = to_regprocedure(%3$L) AND p.prosrc = %4$L);
    SELECT max(s.week::text)::int4multirange,
        coalesce(max(s.value) FILTER (WHERE s.name = 'calling_zone'), 'UTC')
    INTO week, zone FROM %1$I.followup_settings s;
    is_open := is_open AND (week IS NULL
        OR current_setting('application_name') <> 'followup-execute');
END
$body$, :'schema', CASE :'followup_overrides' WHEN '' THEN 'true'
    ELSE 'false' END, :'followup_gate', :'followup_body_gate')
    AS followup_body_gate_for_all
\gset

-- followup_setting_written, of the trigger on followup_settings, refuses
-- invalid settings.  It keeps the calling hours in the form in which they are
-- looked up, and the time of the change, after which waiting bookings are
-- looked at again.
SELECT format($body$
DECLARE
    problem text;
    length numeric;
    clock timestamp;
BEGIN
    NEW.week := NULL;
    IF TG_OP = 'INSERT' OR NEW.value <> OLD.value THEN
        NEW.changed_at := clock_timestamp();
    END IF;
    BEGIN
        CASE NEW.name
        WHEN 'call_within' THEN
            problem := 'is a time between 1m and 366d, such as 90m, 4h or 2d';
            length := CASE WHEN NEW.value ~ '[a-z:]'
                THEN extract(epoch FROM NEW.value::interval) END;
            IF length BETWEEN 60 AND 366 * 86400 THEN
                problem := NULL;
            END IF;
        WHEN 'calling_hours' THEN
            NEW.week := nullif(%1$I.followup_week(NEW.value), '{}');
        WHEN 'calling_zone' THEN
            problem := 'is a time zone, such as Europe/Berlin or +04:00';
            clock := now() AT TIME ZONE %1$I.followup_zone(NEW.value);
            IF clock IS NOT NULL THEN
                problem := NULL;
            END IF;
        WHEN 'history_days' THEN
            IF NEW.value !~ '^[1-9][0-9]{0,3}$' THEN
                problem := 'is a number of days from 1 to 9999';
            END IF;
        WHEN 'canary_every' THEN
            problem := 'is a time between 1m and 1d, such as 5min, or 0 '
                'for none';
            length := CASE WHEN NEW.value ~ '[a-z:]'
                THEN extract(epoch FROM NEW.value::interval)
                WHEN btrim(NEW.value) IN ('', '0') THEN 0 END;
            IF length = 0 THEN
                NEW.value := '';
                problem := NULL;
            ELSIF length BETWEEN 60 AND 86400 THEN
                problem := NULL;
            END IF;
        WHEN 'installed_at' THEN
            problem := 'is the time of the first install';
            length := extract(epoch FROM NEW.value::timestamptz);
            problem := NULL;
        ELSE
            IF TG_OP = 'INSERT' OR NEW.name <> OLD.name THEN
                RAISE EXCEPTION 'there is no setting %%', NEW.name
                    USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'settings are call_within, calling_hours, '
                    'calling_zone, history_days and canary_every';
            END IF;
        END CASE;
    EXCEPTION WHEN data_exception THEN
        IF problem IS NULL THEN
            RAISE;
        END IF;
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%% %%, and not "%%"', NEW.name, problem, NEW.value
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN NEW;
END
$body$, :'schema') AS followup_body_setting,

-- followup_hours_changed, of another trigger on followup_settings, keeps former
-- calling hours, since the gate judges the past by them; a week that is null is
-- kept as well.  It comes after the row is written: what "ON CONFLICT" turns
-- into an UPDATE has passed the triggers before the INSERT.
format($body$
DECLARE
    changed constant timestamptz := clock_timestamp();
BEGIN
    IF OLD.week IS DISTINCT FROM NEW.week THEN
        -- A time to come is that of a clock that was ahead.
        DELETE FROM %1$I.followup_past_hours h
        WHERE h.until NOT BETWEEN changed - interval '366 days' AND changed;
        INSERT INTO %1$I.followup_past_hours (until, week)
        VALUES (changed, OLD.week) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$body$, :'schema') AS followup_body_hours_changed,

-- followup_pause_changed, of the trigger on followup_pauses, keeps what a pause
-- that is replaced, deleted or lifted for a tenant has held, since that does
-- not make a booking late.
format($body$
DECLARE
    ended constant timestamptz := least(OLD.until, now());
BEGIN
    INSERT INTO %1$I.followup_past_pauses (scope, reason, paused_at, until,
        except_tenants)
    SELECT h.scope, OLD.reason, OLD.paused_at, ended, h.except_tenants
    FROM (SELECT OLD.scope, OLD.except_tenants
        WHERE TG_OP = 'DELETE' OR NEW.paused_at > OLD.paused_at
            OR NEW.scope <> OLD.scope
        UNION ALL
        SELECT 'tenant:' || t, '{}'
        FROM unnest(NEW.except_tenants) AS t
        WHERE t <> '' AND t <> ALL (OLD.except_tenants)
            AND OLD.scope = 'all') AS h
    WHERE ended > OLD.paused_at;
    DELETE FROM %1$I.followup_past_pauses p
    WHERE p.until < now() - interval '366 days';
    DELETE FROM %1$I.followup_acts a
    WHERE a.at < now() - interval '366 days';
    RETURN NULL;
END
$body$, :'schema') AS followup_body_pause_changed
\gset
