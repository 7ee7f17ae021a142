-- part-rehearsal.sql: a booking is made up and goes through every statement
-- that the daemons have (part-statements.sql), as their role and with their
-- session's settings; then all of it is undone.  Whatever stands in the way is
-- found here, and not by bookings that are never called: rights, row level
-- security, types, constraints, and the application's own triggers.
--
-- In: schema, table, grant_to (empty: a role that was granted the rights of the
-- daemons before, or else the current role).  Runs within a transaction of the
-- caller's, who has to see to its end.
-- Out: the setting followup.rehearsed, a JSON array of {"ok", "text"}.

\ir part-statements.sql
SELECT set_config('followup.rehearsal', jsonb_build_object(
        'schema', :'schema', 'table', :'table', 'role', :'grant_to',
        'types', :'followup_types', 'statements',
        :'followup_statements'::jsonb)::text, true) AS followup_unused,
    set_config('followup.rehearsed', '[]', true) AS followup_unused
\gset

DO $rehearsal$
DECLARE
    -- What each scenario does, step by step: a statement, its parameters, the
    -- first value that it has to return, and what is in the row then.  A word
    -- is the name of a value below, or stands for itself.
    steps constant jsonb := $json$[
["a new booking is found", [
  ["sweep", ["86400", "place", "zero", "100", null], "id", {}],
  ["try lock", ["ids", "schedule"], "true", {}],
  ["read", ["ids", "t", "t"], "true", {}],
  ["unlock", ["ids", "schedule"], "1", {}]]],
["a booking is scheduled, and its task goes", [
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled one", ["ids", "names", "dues", "keys", "dues", "dues",
    "manyfacts"], "id", {"task_status": "scheduled", "task_name": "name",
    "task_scheduled_at": "due", "idempotency_key": "key"}],
  ["task gone", ["id", "name", "facts"], "1",
    {"task_status": "pending", "task_name": null, "task_scheduled_at": null}],
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled", ["ids", "names", "dues", "keys", "dues", "dues",
    "manyfacts"], "id", {"task_status": "scheduled", "task_name": "name",
    "task_scheduled_at": "due", "idempotency_key": "key"}],
  ["unschedule", ["id", "name", "facts"], "1",
    {"task_status": "pending", "task_name": null, "task_scheduled_at": null,
    "idempotency_key": null}],
  ["obsolete later", ["id", "1"], "1", {}],
  ["obsolete deleted", ["name", "facts"], "1", {}]]],
["a booking waits, and is called sooner", [
  ["noted", ["ids", "dues", "zeros", "dues", "looks", "manyfacts"], "1", {}],
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled one", ["ids", "names", "dues", "keys", "later", "dues",
    "manyfacts"], "id",
    {"task_status": "scheduled", "task_name": "name",
    "task_scheduled_at": "then", "idempotency_key": "key"}],
  ["held", ["id", "name", "error", "due", "facts"], "1",
    {"task_status": "pending",
    "task_name": null, "task_scheduled_at": null,
    "last_execution_error": "error"}],
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled", ["ids", "names", "dues", "keys", "later", "dues",
    "manyfacts"], "id",
    {"task_status": "scheduled", "last_execution_error": null}],
  ["replan", ["id", "name", "facts"], "1", {"task_status": "pending",
    "task_name": null, "task_scheduled_at": null}],
  ["noted", ["ids", "zeros", "zeros", "dues", "zeros", "manyfacts"], "1", {}]]],
["a booking that the application moves starts anew", [
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled one", ["ids", "names", "dues", "keys", "dues", "dues",
    "manyfacts"], "id", {"task_status": "scheduled"}],
  ["move", [], null, {"task_status": "pending", "task_name": null}],
  ["obsolete deleted", ["name", "facts"], "1", {}]]],
["a call fails, and is tried again", [
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled one", ["ids", "names", "dues", "keys", "dues", "dues",
    "manyfacts"], "id", {"task_status": "scheduled"}],
  ["begun", ["id", "due", "facts"], "request", {"execution_attempts": "1"}],
  ["failed once", ["id", "execute", "tenant", "1", "500", "error", "due",
    "facts", "f"], "1",
    {"task_status": "scheduled", "last_execution_error": "error"}],
  ["cleared", ["id", "1"], "1", {"execution_attempts": "0"}],
  ["spared", ["id", "error", "due", "f", "facts"], "1",
    {"task_status": "scheduled", "last_execution_error": "error"}],
  ["failed", ["id", "execute", "tenant", "1", "500", "error", "due",
    "facts"], "1",
    {"task_status": "failed", "last_execution_error": "error"}],
  ["dead letters", [null, null, "1"], null, {}],
  ["retry dead letters", ["none", "f", null, null], "0", {}],
  ["group of dead letters", ["none"], "0", {}],
  ["preview of a retry", ["none", "t"], "0", {}],
  ["causes", [], null, {}],
  ["retry", ["id", "f", null], "1", {"task_status": "pending",
    "task_name": null, "execution_attempts": "0",
    "last_execution_error": null}],
  ["failed", ["id", "schedule", "tenant", "1", "500", "error", "due",
    "facts"], "1", {"task_status": "failed"}],
  ["retry", ["id", "t", null], "1", {"task_status": "pending"}]]],
["a row that refuses is remembered", [
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled one", ["ids", "names", "dues", "keys", "dues", "dues",
    "manyfacts"], "id", {"task_status": "scheduled"}],
  ["begun", ["id", "due", "facts"], "request", {}],
  ["refused", ["id", "execute", "tenant", null, "500", "error", "1", "true",
    "facts"], "1", {}],
  ["mark failed", ["id"], "1", {"task_status": "failed"}],
  ["called", ["id", "tenant", "error", "facts"], "1", {}],
  ["retry", ["id", "f", null], "1", {"task_status": "executed"}]]],
["figures are shown", [
  ["time limit", [], null, {}],
  ["figures", ["schema", "bookings"], null, {}],
  ["figures by tenant", ["20"], null, {}],
  ["time limit over", [], null, {}]]],
["calls are paused, and resumed", [
  ["pause", ["all", "rehearsal", null, null], null, {}],
  ["pauses", [], null, {}],
  ["resume", ["all", "rehearsal"], "1", {}]]],
["a canary is sent, and comes back", [
  ["canary sent", ["zero"], "1", {}],
  ["canary heard", ["zero", "0"], "1", {}],
  ["canary received", ["zero"], null, {}],
  ["canary task", ["zero", "name"], "1", {}],
  ["canary failed", ["zero", "error"], "1", {}],
  ["canary called back", ["zero"], "1", {}],
  ["canary", [], null, {}]]],
["people ask how it stands", [
  ["status overdue", ["86400", "tenant"], null, {}],
  ["status next", [], null, {}],
  ["status letters", ["tenant"], null, {}],
  ["status acts", [], null, {}],
  ["status installation", [], null, {}],
  ["status types", [], null, {}],
  ["window", ["86400"], null, {}],
  ["type meant", ["folow_up"], "follow_up", {}],
  ["then never", ["id"], null, {}]]],
["people are told", [
  ["events seen", ["begins", "{}"], "overdue", {}],
  ["events seen", ["ends", "{}"], "overdue", {}],
  ["event next", [], null, {}],
  ["event told", ["id", "retry", "error", "1"], "0", {}],
  ["events forgotten", [], null, {}]]],
["a booking is cancelled", [
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled one", ["ids", "names", "dues", "keys", "dues", "dues",
    "manyfacts"], "id", {"task_status": "scheduled"}],
  ["cancel", ["id", "facts", "rehearsal"], "1",
    {"task_status": "cancelled", "task_name": null}],
  ["history", ["id", "1"], null, {}],
  ["prune", ["500"], null, {}]]],
["a booking is executed", [
  ["try lock", ["ids", "schedule"], "true", {}],
  ["scheduled one", ["ids", "names", "dues", "keys", "dues", "dues",
    "manyfacts"], "id", {"task_status": "scheduled"}],
  ["begun", ["id", "due", "facts"], "request", {"execution_attempts": "1"}],
  ["executed", ["id", "task", "due", "key", "facts"], "1",
    {"task_status": "executed", "task_name": "name",
    "task_scheduled_at": "due", "idempotency_key": "key",
    "executed_at": "now", "last_execution_error": null}],
  ["name executed", ["id", "name"], "0", {}]]]]$json$;
    ours constant text[] := ARRAY['task_name', 'task_scheduled_at',
        'task_status', 'executed_at', 'execution_attempts',
        'last_execution_error', 'idempotency_key'];
    by_index constant text[] := ARRAY['sweep', 'figures', 'figures by tenant',
        'status overdue', 'status next'];
    given constant jsonb := current_setting('followup.rehearsal');
    s constant text := quote_ident(given ->> 'schema');
    t constant text := s || '.' || quote_ident(given ->> 'table');
    tab constant oid := to_regclass(t);
    types constant text[] := given ->> 'types';
    me constant text := current_user;
    -- Without a name it is one that install was given before.
    role constant text := coalesce(nullif(given ->> 'role', ''), (
        SELECT pg_get_userbyid(a.grantee)
        FROM pg_proc p, aclexplode(p.proacl) a
        WHERE p.oid = to_regprocedure(s || '.followup_resume(text, text)')
            AND a.grantee NOT IN (0, p.proowner)
            AND pg_has_role(me, a.grantee, 'MEMBER')
        ORDER BY a.grantee LIMIT 1), me);
    actor text := role;             -- whom we can rehearse as
    b text := gen_random_uuid();
    due constant timestamp := date_trunc('second',
        now() AT TIME ZONE 'UTC') + interval '1 hour 0.123456 s';
    path text;                      -- the application's search_path
    leads regclass := to_regclass(s || '.leads');
    lead text;
    value jsonb;                    -- what the words above stand for
    have jsonb;                     -- what is in the row
    scenario jsonb;
    step jsonb;
    field record;
    returned record;
    setting text;
    mode text;
    type text;
    plain boolean := false;
    is_ours boolean;
    made boolean := false;
    replaced constant boolean := EXISTS (SELECT FROM pg_proc p
        WHERE p.oid = to_regprocedure(s || '.followup_call_request(uuid)')
            AND split_part(obj_description(p.oid, 'pg_proc'), ' ', 2)
                IS DISTINCT FROM md5(p.prosrc));
    place text;
    actual text;
    wanted text;
    reason text;
    code text;
    culprit text;
    context text;
    later text;                     -- a day after the booking is due
    told text[] := '{}';
    told_as text[];
    lines jsonb := '[]';
BEGIN
    -- Who are they, and what is hidden from them?  Their sessions set
    -- row_security = off, so that a policy is an error and not silence.
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', role);
        RAISE EXCEPTION USING ERRCODE = 'FU000';
    EXCEPTION
        WHEN SQLSTATE 'FU000' THEN
            NULL;
        WHEN insufficient_privilege THEN
            -- A role may have others' rights without becoming them.
            actor := me;
    END;
    SELECT string_agg(format('row level security of %s hides rows from %I%s: '
            'ALTER ROLE %2$I BYPASSRLS', c.oid::regclass, r.rolname,
            ', who owns ' || who.func), '; ')
    INTO reason
    FROM (VALUES (tab, role::name, NULL)
        UNION ALL
        SELECT rel, pg_get_userbyid(p.proowner), min(p.oid::regprocedure::text)
        FROM pg_proc p, unnest(ARRAY[tab, leads::oid]) AS rel
        WHERE p.prosecdef AND p.pronamespace = to_regnamespace(s)
            AND (p.proname = 'followup_call_request' OR (rel = tab
            AND obj_description(p.oid, 'pg_proc') LIKE 'followup-scheduler%'))
        GROUP BY rel, p.proowner) AS who (rel, name, func)
    JOIN pg_class c ON c.oid = who.rel
    JOIN pg_roles r ON r.rolname = who.name
    WHERE c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
        AND (c.relforcerowsecurity
        OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'));

    BEGIN
        IF reason IS NOT NULL THEN
            lines := lines || jsonb_build_object('ok', false, 'text', reason);
            RAISE EXCEPTION USING ERRCODE = 'FU000';
        END IF;

        -- A real lead, if there is one: the call's request is made from it.
        IF leads IS NOT NULL THEN
            BEGIN
                EXECUTE format('SELECT l.id::text FROM %s l LIMIT 1', leads)
                INTO lead;
            EXCEPTION WHEN OTHERS THEN
                lead := NULL;
            END;
        END IF;

        -- Make up a booking: of what is required, with a lead or without; or
        -- like one that is there; or of what is required, like one that is
        -- there.  The application's triggers may need its search_path; its
        -- CHECKs take what is due in an hour by UTC for that.
        SET LOCAL TimeZone = 'UTC';
        <<making>>
        FOREACH path IN ARRAY ARRAY['DEFAULT', s || ', public'] LOOP
            FOREACH mode IN ARRAY ARRAY['lead', 'least', 'copy',
                'required'] LOOP
                FOREACH type IN ARRAY types LOOP
                BEGIN
                    CONTINUE WHEN mode = 'lead' AND lead IS NULL;
                    EXECUTE 'SET LOCAL search_path TO ' || path;
                    SELECT format('INSERT INTO %s (%s) SELECT %s FROM %s', t,
                        string_agg(quote_ident(name), ', '),
                        string_agg(expression, ', '), CASE
                        WHEN mode IN ('copy', 'required')
                        THEN '(SELECT * FROM ' || t || ' LIMIT 1) AS r'
                        ELSE '(VALUES (1)) AS r' END)
                    INTO setting
                    FROM (SELECT a.attname AS name, CASE
                        WHEN a.attname = 'id' THEN quote_literal(b)
                        WHEN a.attname = 'booking_type'
                            THEN quote_literal(type)
                        WHEN a.attname = 'scheduled_at' THEN quote_literal(
                            due || CASE y.typname WHEN 'timestamptz'
                            THEN '+00' ELSE '' END)
                        WHEN a.attname = 'timezone' THEN quote_literal('UTC')
                        WHEN a.attname = 'lead_id' AND mode = 'lead'
                            THEN quote_literal(lead)
                        WHEN mode IN ('copy', 'required') AND NOT is_unique
                            AND a.attname NOT IN ('is_deleted', 'deleted_at')
                            THEN 'r.' || quote_ident(a.attname)
                        WHEN f.rel IS NOT NULL THEN format('(SELECT f.%I '
                            'FROM %s f LIMIT 1)', f.col, f.rel)
                        ELSE quote_literal(CASE y.typcategory
                            WHEN 'N' THEN CASE a.attname
                                WHEN 'is_deleted' THEN '0' ELSE '1' END
                            WHEN 'B' THEN 'false'
                            WHEN 'D' THEN due::text WHEN 'T' THEN '1 hour'
                            WHEN 'A' THEN '{}' WHEN 'I' THEN '127.0.0.1'
                            WHEN 'R' THEN 'empty' WHEN 'V' THEN '0'
                            WHEN 'G' THEN '(0,0)'
                            WHEN 'E' THEN (SELECT e.enumlabel FROM pg_enum e
                                WHERE e.enumtypid = y.oid
                                ORDER BY e.enumsortorder LIMIT 1)
                            ELSE CASE y.typname
                            WHEN 'uuid' THEN gen_random_uuid()::text
                            WHEN 'json' THEN '{}' WHEN 'jsonb' THEN '{}'
                            WHEN 'bytea' THEN ''
                            ELSE left(md5(b), CASE WHEN a.atttypmod > 4
                                THEN a.atttypmod - 4 ELSE 32 END) END END)
                        || '::' || format_type(a.atttypid, a.atttypmod)
                        END AS expression
                    FROM pg_attribute a
                    JOIN pg_type d ON d.oid = a.atttypid
                    JOIN pg_type y ON y.oid
                        = coalesce(nullif(d.typbasetype, 0), d.oid),
                    LATERAL (SELECT EXISTS (SELECT FROM pg_index i
                        WHERE i.indrelid = tab AND i.indisunique
                            AND i.indkey[0] = a.attnum
                            AND i.indnkeyatts = 1) AS is_unique) AS u
                    LEFT JOIN LATERAL (SELECT k.confrelid::regclass AS rel,
                            g.attname AS col
                        FROM pg_constraint k JOIN pg_attribute g
                            ON g.attrelid = k.confrelid AND g.attnum
                            = k.confkey[array_position(k.conkey, a.attnum)]
                        WHERE k.conrelid = tab AND k.contype = 'f'
                            AND a.attnum = ANY (k.conkey) LIMIT 1) AS f
                        ON true
                    WHERE a.attrelid = tab AND a.attnum > 0
                        AND NOT a.attisdropped AND a.attgenerated = ''
                        AND a.attidentity <> 'a' AND a.attname <> ALL (ours)
                        AND (a.attname IN ('id', 'booking_type',
                            'scheduled_at', 'timezone')
                        OR (a.attname = 'lead_id' AND mode = 'lead')
                        OR (mode = 'copy' AND NOT is_unique AND a.attname
                            NOT IN ('is_deleted', 'deleted_at'))
                        OR ((a.attnotnull OR d.typnotnull)
                        AND NOT a.atthasdef AND a.attidentity = ''))
                    ) AS columns;
                    EXECUTE setting;
                    SET CONSTRAINTS ALL IMMEDIATE;
                    SET CONSTRAINTS ALL DEFERRED;
                    EXECUTE format('SELECT b.scheduled_at::text, '
                        'jsonb_build_object(''status'', b.task_status::text, '
                        '''tenant'', to_jsonb(b.*) ->> ''tenant_id'') '
                        'FROM %s b WHERE b.id = $1::uuid', t)
                    INTO STRICT place, have USING b;
                    made := true;
                    reason := NULL;
                    EXIT making;
                EXCEPTION WHEN OTHERS THEN
                    -- The first failure is of the plainest booking.
                    IF reason IS NULL OR mode = 'least' AND NOT plain THEN
                        plain := mode = 'least';
                        GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT,
                            code = RETURNED_SQLSTATE,
                            culprit = CONSTRAINT_NAME,
                            actual = COLUMN_NAME;
                        IF code = 'P0002' THEN
                            reason := 'an INSERT leaves no row that can be '
                                'seen';
                        END IF;
                    END IF;
                END;
                EXIT making WHEN code IN ('25006', '55P03');
                END LOOP;
            END LOOP;
        END LOOP;

        -- What refuses it may be a rule for our columns, or the server;
        -- otherwise another booking will do, as if it were new.
        IF NOT made THEN
            is_ours := coalesce(code IN ('25006', '42501', '55P03', 'P0002')
                OR actual = ANY (ours) OR EXISTS (SELECT FROM pg_constraint k
                JOIN pg_attribute a ON a.attrelid = tab
                    AND a.attnum = ANY (k.conkey)
                WHERE k.conrelid = tab AND k.conname = culprit
                    AND a.attname = ANY (ours)), false);
        END IF;
        IF NOT made AND NOT is_ours THEN
        BEGIN
            PERFORM set_config('followup.daemon', 'on', true);
            EXECUTE format('UPDATE %1$s b SET booking_type = %2$L, '
                'scheduled_at = %3$L, task_status = ''pending'', '
                'task_name = NULL, task_scheduled_at = NULL, '
                'executed_at = NULL, execution_attempts = 0, '
                'last_execution_error = NULL, idempotency_key = NULL '
                'WHERE b.id = (SELECT o.id FROM %1$s o '
                'WHERE coalesce(to_jsonb(o.*) ->> ''is_deleted'', ''false'') '
                'IN (''false'', ''0'') AND to_jsonb(o.*) ->> ''deleted_at'' '
                'IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED) '
                'RETURNING b.id, b.scheduled_at::text, jsonb_build_object('
                '''status'', b.task_status::text, '
                '''tenant'', to_jsonb(b.*) ->> ''tenant_id'')', t,
                types[1], due || '+00')
            INTO STRICT b, place, have;
            FOREACH culprit IN ARRAY ARRAY['failures', 'attempts',
                'obsolete_tasks', 'waits']
            LOOP
                EXECUTE format('DELETE FROM %s.followup_%s '
                    'WHERE booking_id = $1::uuid', s, culprit) USING b;
            END LOOP;
            PERFORM set_config('followup.daemon', '', true);
            path := 'DEFAULT';
            made := true;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
        END IF;
        IF NOT made THEN
            lines := lines || jsonb_build_object('ok', NOT is_ours, 'text',
                format('no booking could be made up, so nothing was '
                'rehearsed: %s: %s', reason, CASE
                WHEN code = '25006' THEN 'run this on the primary server'
                WHEN code = '42501' THEN 'run this as the owner of the table'
                WHEN code = 'P0002' THEN 'see to the trigger or the rule that '
                    'turns it away'
                WHEN code = '55P03' THEN 'run this again when nobody has '
                    'locked the table'
                WHEN is_ours THEN 'let the columns of followup-trigger have '
                    'their defaults, and task_status be each of pending, '
                    'scheduled, executed, cancelled and failed'
                ELSE 'run followup-trigger verify again when there are '
                    'bookings' END));
        ELSIF have ->> 'status' IS DISTINCT FROM 'pending' THEN
            lines := lines || jsonb_build_object('ok', false, 'text', format(
                'a new booking has the task_status %s, so nobody is called: '
                'ALTER TABLE %s ALTER task_status SET DEFAULT ''pending''%s',
                coalesce(quote_literal(have ->> 'status'), 'NULL'), t,
                (SELECT ', or see to the triggers ' || string_agg(quote_ident(
                    g.tgname), ', ' ORDER BY g.tgname) FROM pg_trigger g
                WHERE g.tgrelid = tab AND NOT g.tgisinternal
                    AND coalesce(obj_description(g.oid, 'pg_trigger'), '')
                    NOT LIKE 'followup-scheduler%')));
        ELSE
            -- A task's name in the limits of Google Cloud: a project of 30
            -- characters, a location of 23, a queue of 100.  The key holds the
            -- tenant's id, which may be long where it is no UUID.
            value := jsonb_build_object('id', b, 'ids', '{' || b || '}',
                'begins', '[{"kind": "overdue", "key": "rehearsal", '
                    '"on": true, "state": "began", "over": "ended", '
                    '"by": "", "data": {}}]',
                'ends', '[{"kind": "overdue", "key": "rehearsal", '
                    '"on": false, "over": "ended", "by": "", "data": {}}]',
                'place', place,
                'zero', '00000000-0000-0000-0000-000000000000',
                'task', 'followup-' || b || '-4102444800-2',
                'tenant', have ->> 'tenant', 'key', rpad('followup:' || b,
                CASE WHEN EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = tab AND a.attname = 'tenant_id'
                        AND NOT a.attisdropped
                        AND a.atttypid <> 'uuid'::regtype)
                    THEN 255 ELSE 128 END, '.'),
                'error', rpad('rehearsal', 1024, '.'));
            told := ARRAY['attempt', value ->> 'tenant', '', '500', '1',
                value ->> 'error', md5(b)];
            value := value || jsonb_build_object('facts', told::text,
                'manyfacts', ARRAY[(ARRAY['waiting'] || told[2:])::text]
                ::text);
            told := '{}';
            value := value || jsonb_build_object('name', rpad(
                'projects/p', 255 - 7 - length(value ->> 'task'), '.')
                || '/tasks/' || (value ->> 'task'));
            value := value || jsonb_build_object('names', '{"'
                || (value ->> 'name') || '"}', 'keys', '{"'
                || (value ->> 'key') || '"}');

            FOR scenario IN SELECT jsonb_array_elements(steps) LOOP
            BEGIN
                reason := NULL;
                step := NULL;

                -- A pause of calls is no fault.
                IF to_regclass(s || '.followup_pauses') IS NOT NULL THEN
                    EXECUTE format('DELETE FROM %s.followup_pauses', s);
                END IF;

                -- Nor is a canary that is off, or has just been sent.
                IF scenario ->> 0 LIKE 'a canary %' THEN
                    EXECUTE format('INSERT INTO %1$s.followup_settings '
                        '(name, value) VALUES (''canary_every'', ''1min'') '
                        'ON CONFLICT (name) DO UPDATE '
                        'SET value = excluded.value', s);
                    EXECUTE format('DELETE FROM %s.followup_canary', s);
                END IF;

                -- A booking that is called is due.  Where triggers cannot be
                -- left out, or a CHECK is against it, this one stays ahead.
                IF scenario -> 1 @> '[["begun"]]' THEN
                BEGIN
                    BEGIN
                        SET LOCAL session_replication_role = replica;
                    EXCEPTION WHEN insufficient_privilege THEN
                        EXECUTE 'SET LOCAL search_path TO ' || path;
                    END;
                    EXECUTE format('UPDATE %s SET scheduled_at = scheduled_at '
                        '- interval ''1 hour 2 s'' WHERE id = $1::uuid', t)
                    USING b;
                    SET CONSTRAINTS ALL IMMEDIATE;
                    SET CONSTRAINTS ALL DEFERRED;
                    IF current_setting('session_replication_role') = 'replica'
                    THEN
                        SET LOCAL session_replication_role = origin;
                    END IF;
                EXCEPTION WHEN OTHERS THEN
                    NULL;
                END;
                END IF;

                -- Nor is a gate that does not let this booking be called now.
                EXECUTE format('SELECT g.verdict FROM %s b, '
                    'LATERAL %s.followup_gate(b.*) AS g '
                    'WHERE b.id = $1::uuid', t, s) INTO actual USING b;
                IF actual <> 'call' THEN
                    EXECUTE format('CREATE OR REPLACE FUNCTION '
                        '%s.followup_gate(booking %s, OUT verdict text, '
                        'OUT until timestamptz, OUT reason text) '
                        'LANGUAGE sql AS $gate$SELECT ''call'', '
                        'NULL::timestamptz, NULL::text$gate$', s, t);
                END IF;

                -- A session of the daemons', by the settings of its database
                -- and role, and by its own.
                SELECT format('SET LOCAL search_path TO %s', CASE
                    WHEN EXISTS (SELECT FROM pg_db_role_setting
                        WHERE setrole = quote_ident(session_user)::regrole)
                    THEN '"$user", public' ELSE 'DEFAULT' END) INTO setting;
                EXECUTE format('SET LOCAL ROLE %I', actor);
                EXECUTE setting;
                FOR field IN SELECT split_part(c, '=', 1) AS name,
                        substr(c, strpos(c, '=') + 1) AS value
                    FROM pg_db_role_setting, unnest(setconfig) AS c
                    WHERE setdatabase IN (0, (SELECT oid FROM pg_database
                            WHERE datname = current_database()))
                        AND setrole IN (0, quote_ident(actor)::regrole)
                    ORDER BY setrole <> 0, setdatabase <> 0
                LOOP
                    BEGIN
                        PERFORM set_config(field.name, field.value, true);
                    EXCEPTION WHEN OTHERS THEN
                        NULL;   -- one that only a new session can have
                    END;
                END LOOP;
                EXECUTE given -> 'statements' ->> 'session';
                IF current_setting('default_transaction_read_only')::boolean
                THEN
                    reason := format('sessions of %I are read-only: ALTER '
                        'ROLE %1$I SET default_transaction_read_only = off',
                        actor);
                    RAISE EXCEPTION USING ERRCODE = 'FU001';
                END IF;

                EXECUTE format('SELECT (extract(epoch FROM '
                    '%s.followup_due_at(b.*)) * 1000000)::bigint '
                    'FROM %s b WHERE b.id = $1::uuid', s, t)
                INTO actual USING b;
                IF actual IS NULL THEN
                    reason := format('%s does not see a new booking, or when '
                        'it is due: see to its rights and to row level '
                        'security', actor);
                    RAISE EXCEPTION USING ERRCODE = 'FU001';
                END IF;
                value := value || jsonb_build_object('due', actual,
                    'dues', '{' || actual || '}', 'zeros', '{0}',
                    'looks', '{1000}', 'then', actual::bigint + 60000000,
                    'later', '{' || actual::bigint + 60000000 || '}');

                FOR step IN SELECT jsonb_array_elements(scenario -> 1) LOOP
                    IF step ->> 0 = 'move' THEN
                        -- This one is the application's, with the
                        -- search_path that its triggers need.
                        EXECUTE format('SET LOCAL ROLE %I', me);
                        PERFORM set_config('followup.daemon', '', true);
                        setting := current_setting('search_path');
                        FOREACH mode IN ARRAY ARRAY[path, s || ', public'] LOOP
                        BEGIN
                            EXECUTE 'SET LOCAL search_path TO ' || mode;
                            EXECUTE format('UPDATE %s SET scheduled_at '
                                '= scheduled_at + interval ''1 hour'' '
                                'WHERE id = $1::uuid', t) USING b;
                            SET CONSTRAINTS ALL IMMEDIATE;
                            EXIT;
                        EXCEPTION WHEN undefined_table OR undefined_function
                        THEN
                            IF mode <> 'DEFAULT' THEN
                                RAISE;
                            END IF;
                        END;
                        END LOOP;
                        PERFORM set_config('search_path', setting, true);
                        PERFORM set_config('followup.daemon', 'on', true);
                        EXECUTE format('SET LOCAL ROLE %I', actor);
                        actual := NULL;
                    ELSE
                        culprit := 'followup rehearsal: ' || (step ->> 0);
                        IF NOT EXISTS (SELECT FROM pg_prepared_statements p
                            WHERE p.name = culprit) THEN
                            -- {K} tells the locks of this table from
                            -- those of others; any number will do.
                            EXECUTE format('PREPARE %I AS %s', culprit,
                                replace(replace(replace(given -> 'statements'
                                ->> (step ->> 0), '{S}', s), '{T}', t),
                                '{K}', '1'));
                        END IF;

                        SELECT format('EXECUTE %I%s', culprit,
                            ' (' || string_agg(quote_nullable(
                            coalesce(value ->> p.word, p.word)),
                            ', ' ORDER BY p.n) || ')')
                        INTO setting FROM jsonb_array_elements_text(step -> 1)
                            WITH ORDINALITY AS p (word, n);

                        -- Before the index is made, these would read the whole
                        -- table while an install keeps writers waiting.
                        IF step ->> 0 = ANY (by_index) AND to_regclass(
                            s || '.followup_bookings_due_idx') IS NULL THEN
                            EXECUTE 'EXPLAIN ' || setting;
                            CONTINUE;
                        END IF;
                        EXECUTE setting INTO returned;
                        actual := (SELECT f.value FROM json_each_text(
                            row_to_json(returned)) AS f LIMIT 1);
                        SET CONSTRAINTS ALL IMMEDIATE;
                    END IF;
                    SET CONSTRAINTS ALL DEFERRED;

                    -- What it returned, and what it left.
                    wanted := coalesce(value ->> (step ->> 2), step ->> 2);
                    IF wanted = 'request' THEN
                        -- A function of the deployment's own may refuse a
                        -- booking that is made up.
                        IF coalesce(jsonb_typeof(actual::jsonb), CASE
                            WHEN replaced THEN 'object' END)
                            IS DISTINCT FROM 'object' THEN
                            reason := format('followup_call_request makes '
                                'no request, but %s: see to that function',
                                coalesce(left(actual, 60), 'NULL'));
                        END IF;
                    ELSIF actual IS DISTINCT FROM wanted
                        AND wanted IS NOT NULL THEN
                        reason := format('the statement "%s" does nothing to '
                            'the row: see whether a trigger, a rule or row '
                            'level security of %s hides it', step ->> 0, t);
                    END IF;
                    EXECUTE format('SELECT jsonb_build_object('
                        '''task_status'', b.task_status::text, '
                        '''task_name'', b.task_name::text, '
                        '''task_scheduled_at'', (extract(epoch FROM '
                        'b.task_scheduled_at) * 1000000)::bigint::text, '
                        '''executed_at'', CASE WHEN abs(extract(epoch FROM '
                        'b.executed_at) - extract(epoch FROM now())) < 2 '
                        'THEN ''now'' ELSE b.executed_at::text END, '
                        '''execution_attempts'', b.execution_attempts::text, '
                        '''last_execution_error'', '
                        'b.last_execution_error::text, '
                        '''idempotency_key'', b.idempotency_key::text) '
                        'FROM %s b WHERE b.id = $1::uuid', t)
                    INTO have USING b;
                    FOR field IN SELECT key, word FROM
                        jsonb_each_text(step -> 3) AS f (key, word)
                    LOOP
                        wanted := coalesce(value ->> field.word, field.word);
                        actual := have ->> field.key;
                        CONTINUE WHEN actual IS NOT DISTINCT FROM wanted
                            OR (field.word = 'error' AND actual <> ''
                            AND starts_with(wanted, actual));
                        SELECT array_agg(CASE
                            WHEN word IS NULL THEN 'NULL'
                            WHEN field.key <> 'task_scheduled_at' THEN word
                            ELSE (to_timestamp(0) + word::bigint
                            * interval '1 us')::text END ORDER BY n)
                        INTO told_as FROM unnest(ARRAY[wanted, actual])
                            WITH ORDINALITY AS w (word, n);
                        reason := coalesce(reason, format('%s was written as '
                            '%s and is %s then: see to the type of the column '
                            '(%s)%s', field.key,
                            left(told_as[1], 60), left(told_as[2], 60),
                            (SELECT format_type(a.atttypid, a.atttypmod)
                            FROM pg_attribute a WHERE a.attrelid = tab
                                AND a.attname = field.key),
                            (SELECT ' and to the triggers ' || string_agg(
                                quote_ident(g.tgname), ', '
                                ORDER BY g.tgname) FROM pg_trigger g
                            WHERE g.tgrelid = tab AND NOT g.tgisinternal
                                AND coalesce(obj_description(g.oid,
                                'pg_trigger'), '')
                                NOT LIKE 'followup-scheduler%')));
                    END LOOP;

                    -- Would a CHECK let it be written a day later, too?  All
                    -- that differs then is what the time is.
                    later := quote_literal(to_timestamp((value ->> 'due')
                        ::numeric / 1000000 + 86399)) || '::timestamptz';
                    FOR field IN SELECT k.conname AS name,
                            regexp_replace(regexp_replace(regexp_replace(e.rule,
                            '\mLOCALTIMESTAMP\M(\(\d\))?', '(' || later
                            || '::timestamp)', 'g'), '\mCURRENT_DATE\M',
                            '(' || later || '::date)', 'g'),
                            '\mCURRENT_TIMESTAMP\M(\(\d\))?|\m(now|(clock|'
                            'statement|transaction)_timestamp)\(\)',
                            '(' || later || ')', 'g') AS word,
                            e.rule
                        FROM pg_constraint k,
                            pg_get_expr(k.conbin, tab) AS e (rule)
                        WHERE k.conrelid = tab AND k.contype = 'c'
                            AND step -> 3 <> '{}'
                    LOOP
                        CONTINUE WHEN field.word = field.rule;
                        BEGIN
                            EXECUTE format('SELECT (%s)::text FROM %s '
                                'WHERE id = $1::uuid', field.word, t)
                            INTO actual USING b;
                        EXCEPTION WHEN OTHERS THEN
                            actual := NULL;     -- not so simply said
                        END;
                        IF actual = 'false' THEN
                            reason := coalesce(reason, format('the CHECK %I '
                                'of %s does not let a booking be written any '
                                'more once it is due: have a trigger look at '
                                'the time, where scheduled_at is written, '
                                'instead', field.name, t));
                        END IF;
                    END LOOP;
                    IF reason IS NOT NULL THEN
                        RAISE EXCEPTION USING ERRCODE = 'FU001';
                    END IF;
                END LOOP;
                RAISE EXCEPTION USING ERRCODE = 'FU000';
            EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE,
                    context = PG_EXCEPTION_CONTEXT;
                IF code NOT IN ('FU000', 'FU001') THEN
                    reason := format('the statement "%s" fails: %s%s: %s',
                        coalesce(step ->> 0, 'when is it due?'), SQLERRM,
                        coalesce(' (' || substring(
                        context FROM '(PL/pgSQL function (?!inline)[^\n]*)')
                        || ')', ''), CASE
                        WHEN SQLERRM LIKE '%row-level security%' THEN format(
                            'ALTER ROLE %I BYPASSRLS', actor)
                        WHEN code = '42501' THEN format('run followup-trigger '
                            'install --grant-to %I', actor)
                        WHEN code = '23514'
                            OR SQLERRM LIKE '%for enum%' THEN 'let task_status '
                            'be each of pending, scheduled, executed, '
                            'cancelled and failed'
                        WHEN code = '23502' THEN 'let the column be NULL'
                        WHEN code = '22001' THEN 'make the column longer'
                        WHEN code IN ('42P01', '42703', '42883', '3F000')
                            AND context NOT LIKE 'PL/pgSQL%'
                            THEN 'run followup-trigger install'
                        WHEN code IN ('42P01', '42883') THEN format('let '
                            'that function name its objects with their '
                            'schemas, or ALTER ROLE %I SET search_path to '
                            'where they are', role)
                        ELSE format('see to what raises it, for it does so to '
                            '%I too', role) END);
                END IF;
            END;
            -- The same reason is told once.
            IF reason IS NULL OR reason <> ALL (told) THEN
                told := told || coalesce(reason, '');
                lines := lines || jsonb_build_object('ok', reason IS NULL,
                    'text', (scenario ->> 0) || coalesce(': ' || reason, ''));
            END IF;
            END LOOP;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'FU000';
    EXCEPTION WHEN SQLSTATE 'FU000' THEN
        NULL;   -- all of it is undone
    END;

    FOR culprit IN SELECT p.name FROM pg_prepared_statements p
        WHERE p.name LIKE 'followup rehearsal: %'
    LOOP
        EXECUTE format('DEALLOCATE %I', culprit);
    END LOOP;
    PERFORM set_config('followup.rehearsed', (SELECT jsonb_agg(
        jsonb_build_object('ok', line -> 'ok', 'text', format(
        'rehearsal as %s: %s', quote_ident(actor), line ->> 'text')))
        FROM jsonb_array_elements(lines) AS line)::text, true);
END
$rehearsal$;
