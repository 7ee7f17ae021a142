-- part-operations.sql: the bodies of what operators do, as the variables
-- followup_body_*: pausing and resuming, the canary.  followup-trigger and
-- the local API call the same functions.

-- followup_scope gives the scope of a pause as followup_pauses has it: 'all',
-- or 'tenant:' and the id in the form of tenant_id::text, without blanks at its
-- end, which a char(n) has in some forms and not in others.  It is null where
-- there can be no such tenant.
SELECT format($body$
DECLARE
    tenant text := rtrim(substr(scope, 8));
    type oid := (SELECT a.atttypid FROM pg_attribute a
        WHERE a.attrelid = to_regclass(%1$L) AND a.attname = 'tenant_id'
        AND NOT a.attisdropped);
BEGIN
    IF scope = 'all' THEN
        RETURN scope;
    ELSIF scope NOT LIKE 'tenant:%%' OR tenant = '' OR type IS NULL THEN
        RETURN NULL;
    END IF;
    IF (SELECT t.typcategory FROM pg_type t WHERE t.oid = type) <> 'S' THEN
        EXECUTE format('SELECT %%L::%%s::text', tenant,
            format_type(type, NULL)) INTO tenant;
    END IF;
    RETURN 'tenant:' || tenant;
EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
    RETURN NULL;
END
$body$, format('%I.%I', :'schema', :'table')) AS followup_body_scope
\gset

-- followup_pause returns null, or what is wrong with its arguments: a mistake
-- of who asks is no error of the database.  A pause that is changed goes on;
-- one that has ended, or that did not hold some tenants, is another one, and
-- followup_past_pauses keeps it.
SELECT format($body$
DECLARE
    kept text := %1$I.followup_scope(followup_pause.scope);
BEGIN
    IF kept IS NULL THEN
        RETURN format('"%%s" is no scope: it must be "all", or "tenant:" and '
            'the id of a tenant', followup_pause.scope);
    ELSIF coalesce(btrim(followup_pause.reason, E' \t\r\n'), '') = '' THEN
        RETURN 'a pause needs a reason: others will ask why';
    ELSIF followup_pause.until <= now()
        OR NOT isfinite(followup_pause.until) THEN
        RETURN format('the end of the pause, %%s, must be a finite '
            'time to come: give one, or none for a pause without end',
            followup_pause.until);
    END IF;
    INSERT INTO %1$I.followup_pauses AS p (scope, reason, until, paused_by,
        changed_at)
    VALUES (kept, followup_pause.reason, followup_pause.until,
        coalesce(asked_by, session_user), clock_timestamp())
    ON CONFLICT ON CONSTRAINT followup_pauses_pkey DO UPDATE
    SET reason = excluded.reason,
        paused_by = excluded.paused_by, until = excluded.until,
        changed_at = excluded.changed_at,
        except_tenants = '{}', paused_at = CASE
            WHEN p.until <= now() OR p.except_tenants <> '{}'
                THEN excluded.paused_at
            ELSE least(p.paused_at, excluded.paused_at) END;
    INSERT INTO %1$I.followup_acts (by, what)
    VALUES (coalesce(asked_by, session_user), format('paused %%s: %%s%%s',
        CASE kept WHEN 'all' THEN 'everything'
            ELSE 'tenant ' || substr(kept, 8) END, followup_pause.reason,
        ', until ' || to_char(followup_pause.until AT TIME ZONE 'UTC',
            'YYYY-MM-DD HH24:MI "UTC"')));
    RETURN NULL;
END
$body$, :'schema') AS followup_body_pause
\gset

-- followup_resume ends the pause of a scope.  A tenant is called all the same
-- while everything is paused.  It returns whether there was such a pause.
SELECT format($body$
DECLARE
    kept text := %1$I.followup_scope(followup_resume.scope);
    tenant text := substr(kept, 8);
    ended boolean;
    excepted boolean := false;
BEGIN
    -- It may have begun by a clock that was ahead.
    UPDATE %1$I.followup_pauses p
    SET until = now(), paused_at = least(p.paused_at, now()),
        changed_at = clock_timestamp()
    WHERE p.scope = kept AND (p.until IS NULL OR p.until > now());
    ended := FOUND;
    IF kept <> 'all' THEN
        UPDATE %1$I.followup_pauses p
        SET except_tenants = except_tenants || tenant,
            changed_at = clock_timestamp()
        WHERE p.scope = 'all' AND (p.until IS NULL OR p.until > now())
            AND tenant <> ALL (except_tenants);
        excepted := FOUND;
    END IF;
    IF ended OR excepted THEN
        INSERT INTO %1$I.followup_acts (by, what)
        VALUES (coalesce(asked_by, session_user), 'resumed ' || CASE kept
            WHEN 'all' THEN 'everything' ELSE 'tenant ' || tenant END);
    END IF;
    RETURN ended OR excepted;
END
$body$, :'schema') AS followup_body_resume
\gset

-- followup_cause is an error without what differs from booking to booking.
SELECT $body$
SELECT pg_catalog.regexp_replace(pg_catalog.regexp_replace(error,
    '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}', '<id>', 'g'),
    '[0-9]+', '<n>', 'g')
$body$ AS followup_body_cause
\gset

-- followup_letters finds the dead letters that a filter names, oldest first:
-- an object of stage, since, until (of their death), tenantId, httpStatus (0:
-- none), error, a part of the error or of its cause, and cause, the whole of
-- it.  A retry in steps goes on behind the place after, afterId, and leaves out
-- what died since asOf, so that what dies once more is not retried for ever.
SELECT format($body$
SELECT d.* FROM %1$I.followup_dead_letters d
WHERE d.stage = coalesce(filter ->> 'stage', d.stage)
    AND d.dead_at >= coalesce((filter ->> 'since')::timestamptz, '-infinity')
    AND d.dead_at <= coalesce((filter ->> 'asOf')::timestamptz, 'infinity')
    AND (filter ->> 'after' IS NULL OR (d.dead_at, d.booking_id)
        > ((filter ->> 'after')::timestamptz, (filter ->> 'afterId')::uuid))
    AND d.dead_at < coalesce((filter ->> 'until')::timestamptz, 'infinity')
    AND (filter ->> 'tenantId' IS NULL OR rtrim(d.tenant_id) = substr(
        %1$I.followup_scope('tenant:' || (filter ->> 'tenantId')), 8))
    AND (filter ->> 'httpStatus' IS NULL
        OR coalesce(d.http_status, 0) = (filter ->> 'httpStatus')::int)
    AND (filter ->> 'error' IS NULL OR strpos(d.error, filter ->> 'error') > 0
        OR strpos(%1$I.followup_cause(d.error), filter ->> 'error') > 0)
    AND (filter ->> 'cause' IS NULL
        OR %1$I.followup_cause(d.error) = filter ->> 'cause')
ORDER BY d.dead_at, d.booking_id, d.stage
$body$, :'schema') AS followup_body_letters
\gset

-- followup_retry_preview counts the outcomes that a retry would have now, by
-- the gate.  Too late are bookings that it lets through only if late is asked
-- for.
-- The function grants that to see the difference, and raises an error to undo
-- it.  A column of the table may be called what a variable is.
--
-- Whoever asks waits for the answer, and a gate may take long: after two
-- seconds no more are looked at.  It is the oldest that were, with which a
-- retry begins, too.
SELECT format($body$
#variable_conflict use_variable
DECLARE
    ids uuid[] := ARRAY(SELECT l.booking_id
        FROM %1$I.followup_letters(filter) WITH ORDINALITY AS l
        GROUP BY l.booking_id ORDER BY min(l.ordinality));
    ends constant timestamptz := clock_timestamp() + interval '2 s';
    letter uuid;
    now_is record;
    then_is record;
BEGIN
    matching := cardinality(ids);
    looked_at := 0;
    call_now := 0;
    wait := 0;
    too_late := 0;
    never := 0;
    BEGIN
        FOREACH letter IN ARRAY ids LOOP
            EXIT WHEN clock_timestamp() > ends;
            looked_at := looked_at + 1;
            SELECT g.verdict, g.until, %1$I.followup_due_at(b.*) AS due
            INTO now_is FROM %1$I.%2$I b
            CROSS JOIN LATERAL %1$I.followup_verdict(b.*) g
            WHERE b.id = letter AND NOT %1$I.followup_is_deleted(b.*)
                AND b.task_status::text IN ('failed', 'pending', 'scheduled')
            LIMIT 1;
            CONTINUE WHEN NOT FOUND;
            IF now_is.verdict = 'never' THEN
                INSERT INTO %1$I.followup_late AS o (booking_id, due_at,
                    asked_by)
                VALUES (letter, now_is.due, session_user)
                ON CONFLICT ON CONSTRAINT followup_late_pkey DO UPDATE
                SET due_at = excluded.due_at;
                SELECT g.verdict, g.until INTO then_is FROM %1$I.%2$I b
                CROSS JOIN LATERAL %1$I.followup_verdict(b.*) g
                WHERE b.id = letter LIMIT 1;
                IF then_is.verdict <> 'never' AND NOT late THEN
                    too_late := too_late + 1;
                    CONTINUE;
                END IF;
                now_is.verdict := then_is.verdict;
                now_is.until := then_is.until;
            END IF;
            CASE now_is.verdict
            WHEN 'call' THEN
                call_now := call_now + 1;
            WHEN 'wait' THEN
                wait := wait + 1;
                wait_until := greatest(wait_until, now_is.until);
            WHEN 'never' THEN
                never := never + 1;
            ELSE
                NULL;
            END CASE;
        END LOOP;
        RAISE EXCEPTION USING ERRCODE = 'FU002';
    EXCEPTION WHEN SQLSTATE 'FU002' THEN
        NULL;
    END;
END
$body$, :'schema', :'table') AS followup_body_retry_preview
\gset

-- followup_retry_all retries up to at_most dead letters that a filter names,
-- so that no lock is held for long; more says whether there may be others.  A
-- row that refuses stays as it is, and keeps no other one.  With per_minute
-- their turns follow one another, behind all that have one.
SELECT format($body$
DECLARE
    letter record;
    step interval := coalesce(interval '1 min' / per_minute, interval '0');
    place timestamptz := CASE WHEN per_minute IS NOT NULL THEN greatest(now(),
        (SELECT max(f.next_attempt_at) + step FROM %1$I.followup_failures f
        WHERE f.stage = 'schedule' AND f.attempts = 0
            AND f.dead_at IS NULL)) END;
BEGIN
    retried := 0;
    more := false;
    as_of := coalesce((filter ->> 'asOf')::timestamptz, clock_timestamp());
    FOR letter IN SELECT l.booking_id AS id, l.dead_at
        FROM %1$I.followup_letters(filter) l LIMIT at_most
    LOOP
        more := true;
        last_at := letter.dead_at;
        last_id := letter.id;
        BEGIN
            IF %1$I.followup_retry(letter.id, late, asked_by, place) THEN
                retried := retried + 1;
                until := place;
                place := place + step;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'follow-up booking %% is not retried: %%',
                letter.id, SQLERRM;
        END;
    END LOOP;
END
$body$, :'schema') AS followup_body_retry_all
\gset

-- followup_canary_state says how the canary is, in one sentence.  It is stale
-- when none has come back for three intervals: then the sentence names where
-- the last one that has had half a minute is stuck.
SELECT format($body$
DECLARE
    since timestamptz;
    c record;
    enabled boolean;
    what text;
    plain text;
BEGIN
    SELECT nullif(s.value, '')::interval,
        coalesce(s.changed_at, '-infinity') INTO every, since
    FROM %1$I.followup_settings s WHERE s.name = 'canary_every';
    IF every IS NULL THEN
        is_stale := false;
        sentence := 'the canary is off';
        RETURN;
    END IF;
    plain := CASE WHEN extract(epoch FROM every) %% 60 = 0
        THEN extract(epoch FROM every)::int / 60 || ' min'
        ELSE extract(epoch FROM every)::int || ' s' END;
    SELECT max(k.created_at) INTO sent_at FROM %1$I.followup_canary k;
    SELECT k.* INTO c FROM %1$I.followup_canary k
    WHERE k.called_back_at IS NOT NULL
    ORDER BY k.called_back_at DESC LIMIT 1;
    succeeded_at := c.called_back_at;
    notified := greatest(c.notified_at - c.created_at, interval '0');
    created := greatest(c.task_created_at - c.created_at, interval '0');
    called_back := c.called_back_at - c.created_at;
    is_stale := coalesce(greatest(succeeded_at, since), since)
        < now() - 3 * every;
    IF NOT is_stale THEN
        sentence := CASE WHEN succeeded_at IS NULL THEN format('a canary is '
            'sent every %%s, and none has come back yet', plain)
            ELSE format('the canary of %%s came back after %%s s (one is sent '
            'every %%s)', to_char(c.created_at AT TIME ZONE 'UTC',
            'HH24:MI "UTC"'), round(extract(epoch FROM called_back), 1),
            plain) END;
        RETURN;
    END IF;

    SELECT k.* INTO c FROM %1$I.followup_canary k
    WHERE k.created_at < now() - interval '30 s'
    ORDER BY k.created_at DESC LIMIT 1;
    IF c.id IS NULL OR c.created_at < now() - 2 * every
        OR c.called_back_at IS NOT NULL THEN
        sentence := format('no canary has been sent since %%s, and one is due '
            'every %%s: see that followup-listener runs and may write %%I.%%I '
            '(systemctl status followup-listener)',
            to_char(coalesce(c.created_at, since) AT TIME ZONE 'UTC',
            'YYYY-MM-DD HH24:MI "UTC"'), plain, %1$L, 'followup_canary');
        RETURN;
    END IF;
    enabled := coalesce((SELECT t.tgenabled IN ('O', 'A') FROM pg_trigger t
        WHERE t.tgrelid = to_regclass(format('%%I.followup_canary', %1$L))
            AND t.tgname = 'trigger_schedule_followup_cloud_task'), false);
    what := CASE
        WHEN c.called_back_at IS NULL AND c.task_created_at IS NOT NULL THEN
            'had its task created, but was not called back: see that the '
            'queue is not paused, and that the public server, its name and '
            'followup-execute can be reached from it'
        WHEN c.error IS NOT NULL THEN
            'was announced, but no task was created: ' || c.error
        WHEN c.received_at IS NOT NULL THEN
            'was announced, but no task was created: see the log of '
            'followup-schedule'
        WHEN c.notified_at IS NOT NULL THEN
            'was announced, but did not reach followup-schedule, so that no '
            'task was created: see to nginx and the log of followup-listener'
        WHEN NOT enabled THEN
            'was not announced, because the trigger is disabled: run '
            'followup-trigger enable'
        ELSE 'was not announced, though it was inserted: NOTIFY is lost; run '
            'followup-trigger verify' END;
    sentence := format('the canary of %%s %%s', to_char(c.created_at
        AT TIME ZONE 'UTC', 'HH24:MI "UTC"'), what);
END
$body$, :'schema') AS followup_body_canary_state
\gset
