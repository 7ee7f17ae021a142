-- part-bodies.sql: the list of follow-up types, and the bodies of the
-- functions as the variables followup_body_*.
--
-- psql replaces no variables within dollar quotes, so a body in which names
-- have to go goes through format(): %1$I is the schema, %2$I the table.

-- THE list of follow-up types, as the text of an array.  It is written out
-- where it has to be quick, because a function in an index is parsed anew by
-- every statement that writes the table.
SELECT '{follow_up,follow-up,auto-follow-up,followup,auto_follow_up,'
    'auto_followup,manual_followup,manual_follow_up,scheduled_call}'
    AS followup_types
\gset

-- What the shape of the table makes of "moved", of "soft-deleted", and of the
-- fields of a hint.
SELECT 'OLD.scheduled_at IS DISTINCT FROM NEW.scheduled_at'
        || CASE WHEN :'followup_zoned' THEN
        ' OR OLD.timezone IS DISTINCT FROM NEW.timezone' ELSE '' END
        AS followup_moved,
    CASE WHEN :'followup_has_is_deleted' THEN
        'OLD.is_deleted IS NOT TRUE AND NEW.is_deleted IS TRUE'
        ELSE 'false' END AS followup_deleted,
    CASE WHEN :'followup_has_is_deleted' THEN
        't.is_deleted IS NOT TRUE' ELSE 'true' END AS followup_row_alive,
    -- The due time is written in UTC; one that is not known, as it stands.
    (SELECT string_agg(format('%L, %s', name, CASE name
            WHEN 'scheduled_at' THEN format('coalesce(pg_catalog.to_char('
                'pg_catalog.timezone(''UTC'', %s), '
                '''YYYY-MM-DD"T"HH24:MI:SS.MS"Z"''), '
                'NEW.scheduled_at::pg_catalog.text)',
                CASE WHEN :'followup_local_time' THEN
                format('%I.followup_due_at(NEW)', :'schema')
                ELSE 'CASE WHEN pg_catalog.isfinite(NEW.scheduled_at) '
                'THEN NEW.scheduled_at END' END)
            ELSE coalesce('NEW.' || attname, 'NULL') END), ', ' ORDER BY n)
        FROM unnest(ARRAY['tenant_id', 'lead_id', 'assigned_user_id',
            'scheduled_at', 'timezone', 'booking_type', 'created_at'])
            WITH ORDINALITY AS field (name, n)
        LEFT JOIN pg_attribute
            ON attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
            AND attname = name AND NOT attisdropped) AS followup_payload
\gset

-- followup_is_followup_type has no SET clause, so that the planner can inline
-- it; then it is the very expression in the predicate of the index.
SELECT format($body$
SELECT coalesce(pg_catalog.lower($1 COLLATE pg_catalog."C")
    OPERATOR(pg_catalog.=) ANY (%1$L::pg_catalog.text[]), false)
$body$, :'followup_types') AS followup_body_type
\gset

-- followup_due_at says when a booking is due.  A timestamptz says so itself; a
-- timestamp is read in the row's zone, or in UTC if the table has no zones.
--
-- A zone is an offset, in which '+04:00' and 'UTC+4' mean east of Greenwich, or
-- a name of pg_timezone_names.  That view reads a whole directory, so names are
-- told by their shape, and AT TIME ZONE says whether there is such a zone.  It
-- also takes abbreviations that several countries share ('IST'), and POSIX
-- strings ('GST+4', '(UTC+04:00) Yerevan'), whose sign is the other way round
-- and which never fail.  A POSIX string has a digit, so that a name with a
-- slash and without digits is none; the other names are listed.
\if :followup_zoned
\set followup_language plpgsql
SELECT $body$
DECLARE
    due timestamp;
    zone text;
    shift text[];
BEGIN
    due := booking.scheduled_at;
    zone := btrim(booking.timezone::text, E' \t\r\n') COLLATE "C";
    IF due IS NULL OR NOT isfinite(due) THEN
        RETURN NULL;
    END IF;
    IF zone IS NULL OR zone = '' OR zone IN ('Z', 'z') THEN
        RETURN due AT TIME ZONE 'UTC';
    END IF;
    shift := regexp_match(zone COLLATE "C",
        '^(?:(?:UTC|GMT) ?)?([+-])(0?[0-9]|1[0-5])(?::?([0-5][0-9]))?$', 'i');
    IF shift IS NOT NULL THEN
        RETURN due AT TIME ZONE (shift[1] || shift[2] || ':'
            || coalesce(shift[3], '00'))::interval;
    END IF;
    IF zone COLLATE "C" ~* ('^(?!right/)(?:[a-z_-]+(?:/[a-z_-]+)+|(?:posix/)?'
        '(?:Etc/GMT(?:\+(?:[1-9]|1[0-2])|-(?:[1-9]|1[0-4]))|(?:Etc/)?GMT[+-]?0|'
        'CET|CST6CDT|Cuba|EET|EST|EST5EDT|Egypt|Eire|Factory|GB|GB-Eire|GMT|'
        'Greenwich|HST|Hongkong|Iceland|Iran|Israel|Jamaica|Japan|Kwajalein|'
        'Libya|MET|MST|MST7MDT|NZ|NZ-CHAT|Navajo|PRC|PST8PDT|Poland|Portugal|'
        'ROC|ROK|Singapore|Turkey|UCT|UTC|Universal|W-SU|WET|Zulu|localtime|'
        'posixrules))$') THEN
        RETURN due AT TIME ZONE zone;
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    -- There is no such zone, or no such time in it.
    RETURN NULL;
END
$body$ AS followup_body_due
\gset
\elif :followup_local_time
\set followup_language sql
SELECT $body$
SELECT CASE WHEN pg_catalog.isfinite(booking.scheduled_at)
    THEN pg_catalog.timezone('UTC', booking.scheduled_at) END
$body$ AS followup_body_due
\gset
\else
\set followup_language sql
SELECT $body$
SELECT CASE WHEN pg_catalog.isfinite(booking.scheduled_at)
    THEN booking.scheduled_at END
$body$ AS followup_body_due
\gset
\endif

-- schedule_followup_cloud_task, the function of the three deferred triggers,
-- sends the hint.  It runs at commit, once for each row that was inserted, of
-- whatever type: the list in a WHEN clause, read anew by every statement, costs
-- three times as much.  So few and cheap expressions matter: it names columns
-- instead of turning the row into JSON, calls nothing by PERFORM, which runs
-- the whole executor, and changes a setting once at most and outside of any
-- block, because PostgreSQL looks at all settings at the end of every block in
-- which one was changed.
--
-- It has the rights of the table's owner, but whatever search_path the session
-- has, because SET clauses would cost more than the rest of it; so it qualifies
-- every name, operators and types included.
--
-- The setting followup.hints has one dot for each hint of the transaction, and
-- 100 where no more is sent.  Being the transaction's own, it is undone with a
-- savepoint like the hints themselves.  Only its length counts, so that no
-- value which the application may give it can raise an error.
SELECT format($body$
DECLARE
    hints pg_catalog.text := pg_catalog.current_setting('followup.hints', true);
    payload pg_catalog.text;
BEGIN
    -- Most rows end here: the transaction has sent its share; or the booking
    -- is no follow-up and was none before; or it is a new one, for which there
    -- is no WHEN clause, and not pending or a daemon's.  Whichever of NEW and
    -- OLD is missing reads as null.
    IF pg_catalog.length(hints) OPERATOR(pg_catalog.>=) 100
        OR (pg_catalog.lower(NEW.booking_type COLLATE pg_catalog."C")
            OPERATOR(pg_catalog.=) ANY (%3$L::pg_catalog.text[])
            OR pg_catalog.lower(OLD.booking_type COLLATE pg_catalog."C")
            OPERATOR(pg_catalog.=) ANY (%3$L::pg_catalog.text[])) IS NOT TRUE
        OR (OLD.id IS NULL
            AND (NEW.task_status OPERATOR(pg_catalog.<>) 'pending'
            OR pg_catalog.current_setting('followup.daemon', true)
                OPERATOR(pg_catalog.=) 'on')) THEN
        RETURN NULL;
    END IF;

    BEGIN
        -- The first hint of a transaction decides for all of them.  PREPARE
        -- TRANSACTION refuses a transaction that has run NOTIFY; of those that
        -- commit at the same time one sends hints, and the others leave it to
        -- the listener's rescan; and a full queue raises its error at COMMIT,
        -- where nobody can catch it, so we stay far from that.
        IF (hints IS NULL OR hints OPERATOR(pg_catalog.=) '')
            AND ((pg_catalog.current_setting('max_prepared_transactions')
                    OPERATOR(pg_catalog.<>) '0'
                    AND pg_catalog.current_query()
                    OPERATOR(pg_catalog.~*) 'prepare\s+transaction')
                OR NOT pg_catalog.pg_try_advisory_xact_lock(7382912092064737638)
                OR pg_catalog.pg_notification_queue_usage()
                    OPERATOR(pg_catalog.>=) 0.5) THEN
            -- To remember that costs more than to ask once more, so it is
            -- remembered by lot: a single row rarely pays for it, and of many
            -- rows only the first few ask.
            hints := CASE WHEN pg_catalog.random() OPERATOR(pg_catalog.<) 0.1
                THEN pg_catalog.repeat('.', 100) END;
        ELSE
            -- NOTIFY takes 7999 bytes, and a deleted row has nothing more to
            -- tell; the id is all that the receiver needs.
            payload := pg_catalog.json_build_object('booking_id', NEW.id,
                %2$s, 'schema', %1$L)::pg_catalog.text;
            IF NEW.id IS NULL OR pg_catalog.octet_length(payload)
                OPERATOR(pg_catalog.>) 7999 THEN
                payload := pg_catalog.json_build_object('booking_id',
                    coalesce(NEW.id, OLD.id), 'schema', %1$L)::pg_catalog.text;
            END IF;

            -- What pg_notify returns is empty, and so adds nothing to the dot.
            hints := pg_catalog.concat(hints, '.', pg_catalog.pg_notify(
                'booking_followup_created', payload));
            RAISE NOTICE 'Notification sent for follow-up booking: %%',
                coalesce(NEW.id, OLD.id);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        -- The application's transaction is worth more than a hint.  One such
        -- warning is enough.
        hints := pg_catalog.repeat('.', 100);
        RAISE WARNING 'no notification for follow-up booking %%: %% (it is '
            'found by the sweep of followup-listener)',
            coalesce(NEW.id, OLD.id), SQLERRM;
    END;
    IF hints IS NOT NULL THEN
        hints := pg_catalog.set_config('followup.hints', hints, true);
    END IF;
    RETURN NULL;
END
$body$, :'schema', :'followup_payload', :'followup_types')
    AS followup_body_notify
\gset

-- followup_booking_changed, the function of the triggers for a booking that is
-- changed or deleted by plain SQL.  Their WHEN clauses let in whatever may
-- concern us, and are short; the rules stand here.
SELECT format($body$
DECLARE
    cancelled boolean;
    anew boolean;
BEGIN
    -- A booking of another type, before and after, is not ours.
    IF NOT %1$I.followup_is_followup_type(OLD.booking_type::text)
        AND (TG_OP = 'DELETE' OR NOT
            %1$I.followup_is_followup_type(NEW.booking_type::text)) THEN
        RETURN NEW;
    END IF;

    IF TG_OP = 'UPDATE' THEN
        -- Nobody wants the call any more: the booking is set to cancelled, or
        -- soft-deleted while its call is still to come or was given up.
        cancelled := (NEW.task_status = 'cancelled'
                AND OLD.task_status <> 'cancelled')
            OR (NEW.task_status IN ('pending', 'scheduled', 'failed')
                AND %2$s);

        -- The booking starts anew: it is set to pending; or it is moved while
        -- its call is still to come or was given up; or it has become a
        -- booking of another type, so that its task must go.
        anew := (NEW.task_status = 'pending' AND OLD.task_status <> 'pending')
            OR (NEW.task_status IN ('pending', 'scheduled', 'failed')
                AND NEW.task_status = OLD.task_status AND (%3$s))
            OR (NEW.task_status = 'scheduled' AND OLD.task_status = 'scheduled'
                AND NOT %1$I.followup_is_followup_type(NEW.booking_type::text));

        -- Everything else stays, such as an executed booking that is moved.
        IF cancelled THEN
            NEW.task_status := 'cancelled';
        ELSIF anew THEN
            NEW.task_status := 'pending';
            NEW.executed_at := NULL;
            NEW.execution_attempts := 0;
            NEW.last_execution_error := NULL;
            NEW.idempotency_key := NULL;
        ELSE
            RETURN NEW;
        END IF;
        NEW.task_name := NULL;
        NEW.task_scheduled_at := NULL;
    END IF;

    -- The old task is left behind, to be deleted, and what is known of earlier
    -- attempts is forgotten, because a new time has a new key.  If this fails,
    -- the old task still calls nobody: followup-execute compares it with the
    -- row.
    BEGIN
        IF OLD.task_name IS NOT NULL THEN
            INSERT INTO %1$I.followup_obsolete_tasks (task_name, booking_id)
            VALUES (OLD.task_name, OLD.id) ON CONFLICT DO NOTHING;
        END IF;
        DELETE FROM %1$I.followup_failures f WHERE f.booking_id = OLD.id;
        DELETE FROM %1$I.followup_attempts a WHERE a.booking_id = OLD.id;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING USING MESSAGE = concat('the old Cloud Task of follow-up '
            'booking ', OLD.id, ' is not deleted: ', SQLERRM,
            ' (it will find the booking changed and do nothing)');
    END;
    RETURN NEW;
END
$body$, :'schema', :'followup_deleted', :'followup_moved')
    AS followup_body_changed
\gset

-- followup_call_request is the body of the request that starts the call.
-- Columns are taken through jsonb, so that one which this deployment lacks is
-- null, not an error.
SELECT format($body$
DECLARE
    booking %1$I.%2$I%%ROWTYPE;
    fields jsonb;
    lead jsonb;
    lead_id_type text;
    phone text;
    name text;
BEGIN
    SELECT * INTO booking FROM %1$I.%2$I t
    WHERE t.id = followup_call_request.booking_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    fields := to_jsonb(booking);

    -- By the type that leads.id has, so that its index is used.
    SELECT format_type(a.atttypid, NULL) INTO lead_id_type
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass(%3$L) AND a.attname = 'id'
        AND a.attnum > 0 AND NOT a.attisdropped;
    IF lead_id_type IS NOT NULL AND fields ->> 'lead_id' IS NOT NULL THEN
        EXECUTE format('SELECT to_jsonb(l) FROM %%s l WHERE l.id = $1::%%s',
            to_regclass(%3$L), lead_id_type)
            INTO lead USING fields ->> 'lead_id';
    END IF;

    SELECT nullif(btrim(lead ->> k), '') INTO phone
    FROM unnest(ARRAY['phone_number', 'phone', 'mobile', 'phone_e164'])
        WITH ORDINALITY AS u (k, n)
    WHERE btrim(lead ->> k) <> '' ORDER BY n LIMIT 1;
    name := coalesce(nullif(btrim(lead ->> 'name'), ''),
        nullif(btrim(lead ->> 'full_name'), ''),
        nullif(btrim(concat_ws(' ', nullif(btrim(lead ->> 'first_name'), ''),
            nullif(btrim(lead ->> 'last_name'), ''))), ''));

    RETURN jsonb_build_object(
        'bookingId', booking.id,
        'tenantId', fields -> 'tenant_id',
        'leadId', fields -> 'lead_id',
        'assignedUserId', fields -> 'assigned_user_id',
        'phoneNumber', phone,
        'leadName', name,
        'context', jsonb_build_object(
            'bookingType', booking.booking_type,
            'scheduledAt', to_char(
                %1$I.followup_due_at(booking) AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'timezone', fields -> 'timezone',
            'notes', fields -> 'notes'));
END
$body$, :'schema', :'table', format('%I.leads', :'schema'))
    AS followup_body_call_request
\gset

-- followup_retry lets a failed booking start anew.  The triggers, which would
-- do nothing for a daemon, are let in for this one write, so that the booking
-- is announced at commit like any other; what they do to the rows is done here
-- all the same, because they may be disabled.
SELECT format($body$
DECLARE
    old_task text;
    daemon text := current_setting('followup.daemon', true);
BEGIN
    SELECT t.task_name INTO old_task FROM %1$I.%2$I t
    WHERE t.id = followup_retry.booking_id AND t.task_status = 'failed'
        AND %1$I.followup_is_followup_type(t.booking_type::text) AND %3$s
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM set_config('followup.daemon', '', true);
    UPDATE %1$I.%2$I t SET task_status = 'pending', task_name = NULL,
        task_scheduled_at = NULL, idempotency_key = NULL, executed_at = NULL,
        execution_attempts = 0, last_execution_error = NULL
    WHERE t.id = followup_retry.booking_id;
    PERFORM set_config('followup.daemon', daemon, true);
    IF old_task IS NOT NULL THEN
        INSERT INTO %1$I.followup_obsolete_tasks (task_name, booking_id)
        VALUES (old_task, followup_retry.booking_id) ON CONFLICT DO NOTHING;
    END IF;
    DELETE FROM %1$I.followup_failures f
    WHERE f.booking_id = followup_retry.booking_id;
    DELETE FROM %1$I.followup_attempts a
    WHERE a.booking_id = followup_retry.booking_id;
    RETURN true;
END
$body$, :'schema', :'table', :'followup_row_alive') AS followup_body_retry
\gset

-- followup_retry_all does so for every dead letter of a stage and of a time.
SELECT format($body$
BEGIN
    RETURN (SELECT count(*) FROM (
        SELECT DISTINCT d.booking_id FROM %1$I.followup_dead_letters d
        WHERE d.stage = coalesce(followup_retry_all.stage, d.stage)
            AND d.dead_at >= since AND d.dead_at < until) letter
    WHERE %1$I.followup_retry(letter.booking_id));
END
$body$, :'schema') AS followup_body_retry_all
\gset
