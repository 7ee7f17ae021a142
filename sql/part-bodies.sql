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

-- Which columns say that a booking is deleted without its row going away:
-- is_deleted and deleted_at, by their types, with %1$s for the row's name.  A
-- generated column has no value yet where a row is about to be written, so
-- that the triggers look at the others only.
WITH soft AS (
    SELECT attname, attgenerated OPERATOR(pg_catalog.=) '' AS plain,
        replace(CASE t.typcategory
        WHEN 'B' THEN '(%1$s.COLUMN IS TRUE)'
        WHEN 'N' THEN
            'coalesce(%1$s.COLUMN OPERATOR(pg_catalog.<>) 0, false)'
        WHEN 'D' THEN '(%1$s.COLUMN IS NOT NULL)'
        ELSE CASE attname WHEN 'deleted_at' THEN 'coalesce('
            '%1$s.COLUMN::pg_catalog.text OPERATOR(pg_catalog.<>) '''', false)'
            ELSE 'coalesce(pg_catalog.lower(%1$s.COLUMN::pg_catalog.text '
            'COLLATE pg_catalog."C") OPERATOR(pg_catalog.=) ANY ('
            '''{true,t,yes,y,on,1}''::pg_catalog.text[]), false)' END
        END, 'COLUMN', attname) AS test
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND attname IN ('is_deleted', 'deleted_at') AND NOT attisdropped
)
SELECT coalesce(string_agg(format(test, 'booking'), ' OR '), 'false')
        AS followup_is_deleted,
    coalesce(string_agg(format(test, 't'), ' OR '), 'false')
        AS followup_row_deleted,
    CASE WHEN bool_or(plain) THEN format('(%s) AND NOT (%s)',
        string_agg(format(test, 'NEW'), ' OR ') FILTER (WHERE plain),
        string_agg(format(test, 'OLD'), ' OR ') FILTER (WHERE plain))
        ELSE 'false' END
        AS followup_deleted,
    coalesce(string_agg(format(' OR OLD.%1$s IS DISTINCT FROM NEW.%1$s',
        attname), '') FILTER (WHERE plain), '') AS followup_soft_changed,
    coalesce(string_agg(', ' || attname, '') FILTER (WHERE plain), '')
        AS followup_soft_columns
FROM soft
\gset

-- What the shape of the table makes of "moved", and of the fields of a hint.
SELECT '((OLD.scheduled_at IS NULL) OPERATOR(pg_catalog.<>) '
        '(NEW.scheduled_at IS NULL) '
        'OR coalesce(OLD.scheduled_at OPERATOR(pg_catalog.<>) '
        'NEW.scheduled_at, false)'
        || CASE WHEN :'followup_zoned' THEN
        ' OR pg_catalog.concat(OLD.timezone) OPERATOR(pg_catalog.<>) '
        'pg_catalog.concat(NEW.timezone)' ELSE '' END || ')'
        AS followup_moved,
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

-- followup_type_meant guesses which follow-up type a misspelt one stands for:
-- the text has one letter too many, two swapped, a wrong one or one missing.
-- It is null for a follow-up type, and where no type is that near.
SELECT format($body$
SELECT v.e FROM (SELECT lower(btrim($1)) AS t) s,
    generate_series(1, length(s.t) + 1) AS i,
    LATERAL (SELECT s.t AS e
        UNION ALL SELECT left(s.t, i - 1) || substr(s.t, i + 1)
        UNION ALL SELECT left(s.t, i - 1) || substr(s.t, i + 1, 1)
            || substr(s.t, i, 1) || substr(s.t, i + 2)
        UNION ALL SELECT left(s.t, i - 1) || c || substr(s.t, i + n)
        FROM regexp_split_to_table('abcdefghijklmnopqrstuvwxyz_-', '') AS c,
            generate_series(0, 1) AS n) AS v
WHERE length(s.t) BETWEEN 5 AND 40
    AND %1$I.followup_is_followup_type(v.e)
    AND NOT %1$I.followup_is_followup_type($1) LIMIT 1
$body$, :'schema') AS followup_body_type_meant
\gset

-- followup_is_deleted can be inlined likewise.
SELECT format($body$
SELECT %s
$body$, :'followup_is_deleted') AS followup_body_is_deleted
\gset

-- followup_due_at says when a booking is due.  A timestamptz says so itself; a
-- timestamp is read in the row's zone, or in UTC if the table has no zones.
\if :followup_zoned
\set followup_language plpgsql
SELECT format($body$
DECLARE
    due timestamp;
    zone text;
BEGIN
    due := booking.scheduled_at;
    zone := btrim(booking.timezone::text, E' \t\r\n');
    IF due IS NULL OR NOT isfinite(due) THEN
        RETURN NULL;
    END IF;
    IF zone IS NULL OR zone = '' THEN
        RETURN due AT TIME ZONE 'UTC';
    END IF;
    RETURN due AT TIME ZONE %1$I.followup_zone(zone);
EXCEPTION WHEN data_exception THEN
    -- There is no such zone, or no such time in it.
    RETURN NULL;
END
$body$, :'schema') AS followup_body_due
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
-- three times as much.  PL/pgSQL prepares each expression anew in each
-- transaction, all of it, whether it comes to be evaluated or not; so what is
-- rarely asked stands in an expression of its own, behind what is cheap.
-- Further, the function names columns instead of turning the row into JSON,
-- calls nothing by PERFORM, which runs the whole executor, and changes settings
-- outside of any block, because PostgreSQL looks at all settings at the end of
-- every block in which one was changed.
--
-- It has the rights of the table's owner, but whatever search_path the session
-- has, because SET clauses would cost more than the rest of it; so it qualifies
-- every name, operators and types included.
--
-- What a hint costs, an application that writes thousands of bookings a second
-- would pay thousands of times, although the listener reads the table again and
-- again for 200 ms after each hint.  So there are two limits, and what is
-- beyond them is left to those reads.  A transaction sends 100 hints at most:
-- the setting followup.hints has one dot for each, and 100 where no more is
-- sent; being the transaction's own, it is undone with a savepoint like the
-- hints themselves.  A session sends 1000 at once, and one in 10 ms from then
-- on: the setting followup.paced is a moment, in hundredths of a second since
-- 1970, that each hint puts off by one, and that is at least now; where it is
-- 1000 ahead, a hint was sent within this hundredth, and none is now.  Anybody
-- may set both: what cannot be ours counts for nothing, and no value raises an
-- error.
--
-- Every commit with a NOTIFY takes one lock of the whole cluster, and holds it
-- until that commit has ended: where one hangs, in whatever database, all
-- others hang behind it, and the application's lock_timeout would cancel its
-- COMMIT.  So no hint is sent while that lock is taken.  It may be taken
-- between that look and our commit, hence no lock_timeout from there on.
SELECT format($body$
DECLARE
    hints pg_catalog.text;
    paced pg_catalog.text COLLATE pg_catalog."C";
    daemon pg_catalog.text;
    payload pg_catalog.text;
    query pg_catalog.text;
    message pg_catalog.text;
    centisecond pg_catalog.int8;
    ahead pg_catalog.int8 := 0;
    first pg_catalog.bool := true;
    amends pg_catalog.bool;
    competes pg_catalog.bool;
    silent pg_catalog.bool;
BEGIN
    -- Most rows end here: a new booking of another type, ...
    IF TG_OP OPERATOR(pg_catalog.=) 'INSERT'
        AND (pg_catalog.lower(NEW.booking_type COLLATE pg_catalog."C")
        OPERATOR(pg_catalog.=) ANY (%3$L::pg_catalog.text[])) IS NOT TRUE THEN
        RETURN NULL;
    END IF;

    -- ... of a session that has sent its share, ...
    centisecond := pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())
        OPERATOR(pg_catalog.*) 100;
    paced := pg_catalog.current_setting('followup.paced', true);
    IF paced OPERATOR(pg_catalog.>=)
            (centisecond OPERATOR(pg_catalog.+) 1000)::pg_catalog.text
        AND paced OPERATOR(pg_catalog.<=)
            (centisecond OPERATOR(pg_catalog.+) 1005)::pg_catalog.text
        AND NEW.task_status OPERATOR(pg_catalog.=) 'pending' THEN
        RETURN NULL;
    END IF;

    -- ... or of a transaction that has.
    hints := pg_catalog.current_setting('followup.hints', true);
    IF hints OPERATOR(pg_catalog.<>) '' THEN
        IF pg_catalog.octet_length(hints) OPERATOR(pg_catalog.>=) 100
            AND (TG_OP OPERATOR(pg_catalog.<>) 'INSERT'
            OR NEW.task_status OPERATOR(pg_catalog.=) 'pending') THEN
            RETURN NULL;
        END IF;
        first := pg_catalog.ltrim(hints, '.') OPERATOR(pg_catalog.<>) '';
        IF first THEN
            hints := NULL;
        END IF;
    END IF;

    -- A new booking is pending, or becomes it, or is history or a daemon's.
    -- One that was changed is a follow-up or was one; OLD of a new row and NEW
    -- of a deleted one read as null.
    IF TG_OP OPERATOR(pg_catalog.<>) 'INSERT' THEN
        IF (pg_catalog.lower(NEW.booking_type COLLATE pg_catalog."C")
            OPERATOR(pg_catalog.=) ANY (%3$L::pg_catalog.text[])
            OR pg_catalog.lower(OLD.booking_type COLLATE pg_catalog."C")
            OPERATOR(pg_catalog.=) ANY (%3$L::pg_catalog.text[])) IS NOT TRUE
            THEN
            RETURN NULL;
        END IF;
    ELSIF pg_catalog.current_setting('followup.daemon', true)
        OPERATOR(pg_catalog.=) 'on' THEN
        RETURN NULL;
    ELSIF (NEW.task_status OPERATOR(pg_catalog.=) 'pending') IS NOT TRUE THEN
        IF NEW.task_status::pg_catalog.text OPERATOR(pg_catalog.<>) ALL
            ('{scheduled,""}'::pg_catalog.text[]) THEN
            RETURN NULL;
        END IF;
        amends := true;
    END IF;

    BEGIN
        -- Only a daemon makes a booking scheduled.  One that an application
        -- inserts so, or without a status, is pending.
        IF amends THEN
            daemon := pg_catalog.concat(
                pg_catalog.current_setting('followup.daemon', true));
            PERFORM pg_catalog.set_config('followup.daemon', 'on', true);
            UPDATE %1$I.%4$I SET task_status = 'pending', task_name = NULL,
                task_scheduled_at = NULL, executed_at = NULL,
                execution_attempts = 0, last_execution_error = NULL,
                idempotency_key = NULL
            WHERE id OPERATOR(pg_catalog.=) NEW.id
                AND (task_status IS NULL OR task_status::pg_catalog.text
                OPERATOR(pg_catalog.=) ANY
                ('{scheduled,""}'::pg_catalog.text[]));
            PERFORM pg_catalog.set_config('followup.daemon', daemon, true);
        END IF;

        -- PREPARE TRANSACTION refuses a transaction that has run NOTIFY.  A
        -- long text is not searched for it: a single statement cannot be it,
        -- and several may contain it.  Even to copy it for each of its
        -- transactions would take long, so followup.query has the time of the
        -- message and the answer.
        IF first AND pg_catalog.current_setting('max_prepared_transactions')
            OPERATOR(pg_catalog.<>) '0' THEN
            query := pg_catalog.current_setting('followup.query', true);
            message := pg_catalog.date_part('epoch',
                pg_catalog.statement_timestamp());
            IF pg_catalog.split_part(query, ' ', 1)
                OPERATOR(pg_catalog.=) message THEN
                silent := pg_catalog.split_part(query, ' ', 2)
                    OPERATOR(pg_catalog.<>) 'no';
                message := NULL;
            ELSE
                query := pg_catalog.current_query();
                IF pg_catalog.octet_length(query)
                    OPERATOR(pg_catalog.<=) 4000 THEN
                    silent := query
                        OPERATOR(pg_catalog.~*) 'prepare.*transaction';
                    message := NULL;
                ELSE
                    silent := pg_catalog.btrim(pg_catalog.concat(
                        pg_catalog.split_part(query, ';', 2),
                        pg_catalog.split_part(query, ';', 3)), E' \t\r\n')
                        OPERATOR(pg_catalog.<>) '';
                    message := pg_catalog.concat(message, CASE WHEN silent
                        THEN ' perhaps' ELSE ' no' END);
                END IF;
            END IF;
        END IF;

        -- Of the transactions that commit at the same time one sends hints.
        -- A full queue would raise its error at COMMIT, where nobody can catch
        -- it, so we stay far from that.  The first hint of a transaction
        -- decides for all of them.
        IF first AND silent IS NOT TRUE THEN
            competes := NOT pg_catalog.pg_try_advisory_xact_lock(
                7382912092064737638);
            IF NOT competes THEN
                silent := pg_catalog.pg_notification_queue_usage()
                    OPERATOR(pg_catalog.>=) 0.5
                    OR EXISTS (SELECT FROM pg_catalog.pg_locks l
                    WHERE l.locktype OPERATOR(pg_catalog.=) 'object'
                    AND l.classid OPERATOR(pg_catalog.=) 1262::pg_catalog.oid
                    AND l.objid OPERATOR(pg_catalog.=) 0::pg_catalog.oid);
            END IF;
        END IF;

        IF competes THEN
            -- Another session's hint is on its way.
        ELSIF silent THEN
            hints := pg_catalog.repeat('.', 100);
        ELSIF pg_catalog.octet_length(hints) OPERATOR(pg_catalog.>=) 100 THEN
            -- A booking beyond the transaction's share that was made pending.
            hints := NULL;
        ELSE
            -- NOTIFY takes 7999 bytes, and a deleted row or a canary has
            -- nothing more to tell; the id is all that the receiver needs.
            IF TG_TABLE_NAME OPERATOR(pg_catalog.<>) 'followup_canary' THEN
                payload := pg_catalog.json_build_object('booking_id', NEW.id,
                    %2$s, 'schema', %1$L)::pg_catalog.text;
            END IF;
            IF payload IS NULL OR NEW.id IS NULL
                OR pg_catalog.octet_length(payload)
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
        RAISE WARNING 'no notification for a follow-up booking: %% (it is '
            'found by the sweep of followup-listener)', SQLERRM;
    END;

    -- Who competes leaves the next 50 ms to the others, too.
    IF competes THEN
        paced := pg_catalog.set_config('followup.paced', (centisecond
            OPERATOR(pg_catalog.+) 1005)::pg_catalog.text, false);
    ELSIF hints IS NOT NULL THEN
        hints := pg_catalog.set_config('followup.hints', hints, true);
        IF first AND pg_catalog.current_setting('lock_timeout')
            OPERATOR(pg_catalog.<>) '0' THEN
            query := pg_catalog.set_config('lock_timeout', '0', true);
        END IF;
        IF message IS NOT NULL THEN
            message := pg_catalog.set_config('followup.query', message, false);
        END IF;
        IF pg_catalog.octet_length(paced) OPERATOR(pg_catalog.=) 12
            AND pg_catalog.ltrim(paced, '0123456789') OPERATOR(pg_catalog.=) ''
            AND paced OPERATOR(pg_catalog.>=) centisecond::pg_catalog.text
            AND paced OPERATOR(pg_catalog.<=)
            (centisecond OPERATOR(pg_catalog.+) 1005)::pg_catalog.text THEN
            ahead := least(paced::pg_catalog.int8
                OPERATOR(pg_catalog.-) centisecond, 999);
        END IF;
        paced := pg_catalog.set_config('followup.paced', (centisecond
            OPERATOR(pg_catalog.+) ahead
            OPERATOR(pg_catalog.+) 1)::pg_catalog.text, false);
    END IF;
    RETURN NULL;
END
$body$, :'schema', :'followup_payload', :'followup_types', :'table')
    AS followup_body_notify
\gset

-- What is left behind by a booking that starts anew, is cancelled or deleted:
-- its task is noted for deletion, and its earlier failures and attempts are
-- forgotten, because a new time has a new key; history keeps them.  The
-- statement does not wait for a row that a daemon is writing at this moment.
-- A name that is longer than any task's cannot be the name of a task.
SELECT format($body$
        WITH left_behind AS (
            INSERT INTO %1$I.followup_obsolete_tasks (task_name, booking_id)
            SELECT OLD.task_name, OLD.id WHERE OLD.task_name IS NOT NULL
                AND pg_catalog.octet_length(OLD.task_name)
                OPERATOR(pg_catalog.<=) 1000
            ON CONFLICT DO NOTHING
        ), told AS (
            INSERT INTO %1$I.followup_history (booking_id, tenant_id, what,
                reason)
            SELECT OLD.id, %1$I.followup_fields(OLD)
                OPERATOR(pg_catalog.->>) 'tenant_id', change, because
            WHERE change IS NOT NULL
        ), failures AS (
            DELETE FROM %1$I.followup_failures f
            WHERE f.booking_id OPERATOR(pg_catalog.=) OLD.id AND f.stage
                OPERATOR(pg_catalog.=) ANY (ARRAY(
                SELECT l.stage FROM %1$I.followup_failures l
                WHERE l.booking_id OPERATOR(pg_catalog.=) OLD.id
                FOR UPDATE SKIP LOCKED))
        )
        DELETE FROM %1$I.followup_attempts a
        WHERE a.booking_id OPERATOR(pg_catalog.=) OLD.id;$body$, :'schema')
    AS followup_leave
\gset

-- followup_booking_changed, the function of the triggers for a booking that is
-- changed or deleted by plain SQL.
--
-- Only the daemons make a booking scheduled or executed.  Where the columns of
-- the task differ as well, somebody saved a whole row as it had been some time
-- ago: then the columns of the task stay as they are.  So whoever means it
-- writes task_status alone.  A cancellation leaves a sentence, which a copy of
-- the time before does not have.
--
-- Like the function above it qualifies every name.  A SET clause would also
-- undo the setting followup.changes, which holds, for this transaction,
-- whether what is left behind can be written down: the transaction's id, the
-- statement's time, and a dot for each attempt.  Each attempt costs a
-- subtransaction id, so that there is one a statement and 32 a transaction.
-- After one that went well nothing can go wrong, because all locks are held,
-- unless the transaction sees a snapshot that others have written over since;
-- after one that failed nothing more is written.
SELECT format($body$
DECLARE
    before pg_catalog.text;
    wanted pg_catalog.text;
    meant pg_catalog.text;
    by_hand pg_catalog.bool;
    moved pg_catalog.bool;
    as_asked pg_catalog.record;
    change pg_catalog.text;
    because pg_catalog.text;
    this_transaction pg_catalog.text;
    this_statement pg_catalog.text;
    known pg_catalog.text;
    attempts pg_catalog.text;
BEGIN
    BEGIN
        as_asked := NEW;
        change := 'deleted';

        -- A booking of another type, before and after, is not ours.
        IF NOT %1$I.followup_is_followup_type(
            OLD.booking_type::pg_catalog.text)
            AND (TG_OP OPERATOR(pg_catalog.=) 'DELETE' OR NOT
            %1$I.followup_is_followup_type(
            NEW.booking_type::pg_catalog.text)) THEN
            RETURN NEW;
        END IF;

        IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
            before := OLD.task_status;
            IF before IS NULL OR before OPERATOR(pg_catalog.=) '' THEN
                before := 'pending';
            END IF;
            wanted := NEW.task_status;
            IF wanted IS NULL OR wanted OPERATOR(pg_catalog.=) '' THEN
                wanted := 'pending';
            END IF;

            -- Many clients know a time to the second or the millisecond only:
            -- one that saves the time that it has read moves nothing.
            IF NEW.scheduled_at OPERATOR(pg_catalog.<>) OLD.scheduled_at
                AND NEW.scheduled_at OPERATOR(pg_catalog.=) ANY (ARRAY[
                pg_catalog.date_trunc('ms', OLD.scheduled_at),
                pg_catalog.date_trunc('ms', OLD.scheduled_at
                OPERATOR(pg_catalog.+) '0.5 ms'::pg_catalog.interval),
                pg_catalog.date_trunc('s', OLD.scheduled_at),
                pg_catalog.date_trunc('s', OLD.scheduled_at
                OPERATOR(pg_catalog.+) '0.5 s'::pg_catalog.interval)]) THEN
                NEW.scheduled_at := OLD.scheduled_at;
            END IF;

            -- These types can be altered at any time, and a session that has
            -- read the columns as they were cannot read them any more.
            IF wanted OPERATOR(pg_catalog.<>) before THEN
                BEGIN
                    by_hand := pg_catalog.current_setting('followup.daemon',
                        true) OPERATOR(pg_catalog.=) 'retry'
                        OR ROW(OLD.task_name, OLD.execution_attempts,
                        OLD.last_execution_error, OLD.idempotency_key,
                        pg_catalog.date_trunc('ms', OLD.task_scheduled_at),
                        pg_catalog.date_trunc('ms', OLD.executed_at))
                        ::pg_catalog.text OPERATOR(pg_catalog.=)
                        ROW(NEW.task_name, NEW.execution_attempts,
                        NEW.last_execution_error, NEW.idempotency_key,
                        pg_catalog.date_trunc('ms', NEW.task_scheduled_at),
                        pg_catalog.date_trunc('ms', NEW.executed_at))
                        ::pg_catalog.text;
                EXCEPTION WHEN datatype_mismatch THEN
                    by_hand := true;
                END;
            END IF;
            moved := %3$s;
            meant := wanted;
            IF wanted OPERATOR(pg_catalog.=) ANY
                    ('{scheduled,executed}'::pg_catalog.text[])
                OR (by_hand IS NOT TRUE
                    AND (wanted OPERATOR(pg_catalog.<>) 'cancelled'
                    OR before OPERATOR(pg_catalog.=) 'executed')) THEN
                meant := before;
            END IF;

            -- Nobody wants the call any more: the booking is set to cancelled,
            -- or soft-deleted while its call is still to come or was given up.
            IF (meant OPERATOR(pg_catalog.=) 'cancelled'
                    AND before OPERATOR(pg_catalog.<>) 'cancelled')
                OR (meant OPERATOR(pg_catalog.=) ANY
                    ('{pending,scheduled,failed}'::pg_catalog.text[])
                    AND %2$s) THEN
                change := 'cancelled';
                because := CASE WHEN meant
                    OPERATOR(pg_catalog.<>) 'cancelled' THEN 'deleted' END;
                NEW.task_status := 'cancelled';
                NEW.task_name := NULL;
                NEW.task_scheduled_at := NULL;
                BEGIN
                    NEW.executed_at := OLD.executed_at;
                    NEW.execution_attempts := OLD.execution_attempts;
                    NEW.idempotency_key := OLD.idempotency_key;
                    NEW.last_execution_error := pg_catalog.left(
                        pg_catalog.concat('cancelled at ', pg_catalog.to_char(
                        pg_catalog.timezone('UTC',
                        pg_catalog.clock_timestamp()),
                        'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), CASE
                        WHEN pg_catalog.concat(NEW.last_execution_error)
                        OPERATOR(pg_catalog.<>)
                        pg_catalog.concat(OLD.last_execution_error) THEN
                        pg_catalog.concat(': ', NEW.last_execution_error)
                        END), 200);
                EXCEPTION WHEN datatype_mismatch THEN
                    -- As above.
                END;

            -- The booking starts anew: it is set to pending; or it is moved
            -- while its call is still to come or was given up; or it has
            -- become a booking of another type, so that its task must go.
            ELSIF (meant OPERATOR(pg_catalog.=) 'pending'
                    AND before OPERATOR(pg_catalog.<>) 'pending')
                OR (meant OPERATOR(pg_catalog.=) before AND moved
                    AND (meant OPERATOR(pg_catalog.=) ANY
                    ('{pending,scheduled}'::pg_catalog.text[])
                    OR (meant OPERATOR(pg_catalog.=) 'failed'
                    AND wanted OPERATOR(pg_catalog.=) 'failed')))
                OR (meant OPERATOR(pg_catalog.=) 'scheduled'
                    AND NOT %1$I.followup_is_followup_type(
                    NEW.booking_type::pg_catalog.text)) THEN
                -- followup_retry tells its own.
                change := CASE WHEN pg_catalog.current_setting(
                    'followup.daemon', true) OPERATOR(pg_catalog.=) 'retry'
                    THEN NULL WHEN meant OPERATOR(pg_catalog.=) before
                    AND moved THEN 'moved' ELSE 'reset' END;
                NEW.task_status := 'pending';
                NEW.task_name := NULL;
                NEW.task_scheduled_at := NULL;
                NEW.executed_at := NULL;
                NEW.execution_attempts := 0;
                NEW.last_execution_error := NULL;
                NEW.idempotency_key := NULL;

            -- Everything else stays, such as an executed booking that is
            -- moved, or is given up by hand.
            ELSE
                NEW.task_status := meant;
                IF meant OPERATOR(pg_catalog.=) before THEN
                    BEGIN
                        NEW.task_name := OLD.task_name;
                        NEW.task_scheduled_at := OLD.task_scheduled_at;
                        NEW.executed_at := OLD.executed_at;
                        NEW.execution_attempts := OLD.execution_attempts;
                        NEW.last_execution_error := OLD.last_execution_error;
                        NEW.idempotency_key := OLD.idempotency_key;
                    EXCEPTION WHEN datatype_mismatch THEN
                        -- As above.
                    END;

                    -- Who did mean it reads this, once a statement.
                    this_statement := pg_catalog.statement_timestamp();
                    IF wanted OPERATOR(pg_catalog.<>) before AND coalesce(
                        pg_catalog.current_setting('followup.told', true)
                        OPERATOR(pg_catalog.<>) this_statement, true) THEN
                        RAISE NOTICE 'follow-up booking %% stays %%, though '
                            'saved as %%: to change it, set task_status alone, '
                            'to pending or cancelled', OLD.id, before, wanted;
                        PERFORM pg_catalog.set_config('followup.told',
                            this_statement, true);
                    END IF;
                END IF;
                RETURN NEW;
            END IF;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'a follow-up booking is written without our rules: %%',
            SQLERRM;
        RETURN as_asked;
    END;

    -- A row without an id has never been a booking.
    IF OLD.id IS NULL THEN
        RETURN NEW;
    END IF;
    this_transaction := pg_catalog.pg_current_xact_id();
    this_statement := pg_catalog.date_part('epoch',
        pg_catalog.statement_timestamp());
    known := pg_catalog.current_setting('followup.changes', true);
    IF pg_catalog.split_part(known, ' ', 1)
        OPERATOR(pg_catalog.=) this_transaction THEN
        attempts := pg_catalog.split_part(known, ' ', 3);
        IF attempts OPERATOR(pg_catalog.=) 'failed' THEN
            RETURN NEW;
        ELSIF (pg_catalog.split_part(known, ' ', 2)
            OPERATOR(pg_catalog.=) this_statement
            OR pg_catalog.octet_length(attempts)
            OPERATOR(pg_catalog.>=) 32)
            AND pg_catalog.current_setting('transaction_isolation')
            OPERATOR(pg_catalog.=) 'read committed' THEN%4$s
            RETURN NEW;
        END IF;
    END IF;

    -- If this fails, the old task still calls nobody: followup-execute
    -- compares it with the row.
    BEGIN%4$s
        attempts := pg_catalog.concat(attempts, '.');
    EXCEPTION WHEN OTHERS THEN
        attempts := 'failed';
        RAISE WARNING 'the old Cloud Task of a follow-up booking is not '
            'deleted: %% (it will find the booking changed and do nothing)',
            SQLERRM;
    END;
    known := pg_catalog.set_config('followup.changes', pg_catalog.concat_ws(
        ' ', this_transaction, this_statement, attempts), true);
    RETURN NEW;
END
$body$, :'schema', :'followup_deleted', :'followup_moved', :'followup_leave')
    AS followup_body_changed
\gset

-- followup_fields(booking) has the columns of a booking that a deployment may
-- lack, alter or drop, by their names.  A column of type json may hold what
-- jsonb does not take, such as half of a character: then only those columns
-- count that we know.  Ids are as casts to text have them, without the blanks
-- at the end of a char(n).
--
-- The triggers call it for each row that is moved, so it has no SET clause, and
-- qualifies every name.
SELECT format($body$
DECLARE
    fields pg_catalog.jsonb;
BEGIN
    BEGIN
        fields := pg_catalog.to_jsonb(booking);
    EXCEPTION WHEN OTHERS THEN
        EXECUTE (SELECT pg_catalog.format(
                'SELECT pg_catalog.jsonb_build_object(%%s)',
                pg_catalog.string_agg(pg_catalog.format('%%L, ($1).%%I',
                a.attname, a.attname), ', '))
            FROM pg_catalog.pg_attribute a
            WHERE a.attrelid OPERATOR(pg_catalog.=)
                    pg_catalog.to_regclass(%1$L)::pg_catalog.oid
                AND a.attname OPERATOR(pg_catalog.=) ANY ('{tenant_id,lead_id,'
                'assigned_user_id,timezone,notes,call_before,call_not_before}'
                ::pg_catalog.name[])
                AND NOT a.attisdropped AND a.atttypid
                OPERATOR(pg_catalog.<>) 'pg_catalog.json'::pg_catalog.regtype)
            INTO fields USING booking;
    END;
    IF (fields OPERATOR(pg_catalog.->>) 'tenant_id')
            OPERATOR(pg_catalog.~~) '%% '
        OR (fields OPERATOR(pg_catalog.->>) 'lead_id')
            OPERATOR(pg_catalog.~~) '%% '
        OR (fields OPERATOR(pg_catalog.->>) 'assigned_user_id')
            OPERATOR(pg_catalog.~~) '%% ' THEN
        fields := fields OPERATOR(pg_catalog.||) (SELECT
            pg_catalog.jsonb_object_agg(k.name, pg_catalog.rtrim(fields
            OPERATOR(pg_catalog.->>) k.name))
            FROM pg_catalog.unnest('{tenant_id,lead_id,assigned_user_id}'
            ::pg_catalog.text[]) AS k (name)
            WHERE pg_catalog.jsonb_typeof(fields OPERATOR(pg_catalog.->)
                k.name) OPERATOR(pg_catalog.=) 'string');
    END IF;
    RETURN fields;
END
$body$, format('%I.%I', :'schema', :'table')) AS followup_body_fields
\gset

-- followup_bookings_truncated, of the trigger after a TRUNCATE, forgets what is
-- known of the bookings that are gone: a new one may come to have the id of one
-- of them.  Tasks that are still to be deleted stay, and so does what was
-- overdue at the first install, because a table may be filled again with what
-- it had.  It waits for no lock: what a daemon is writing at this moment, or is
-- locked as a whole, stays.
SELECT format($body$
BEGIN
    LOCK TABLE %1$I.followup_failures, %1$I.followup_attempts,
        %1$I.followup_waits, %1$I.followup_late, %1$I.followup_acts
        IN ROW EXCLUSIVE MODE NOWAIT;
    DELETE FROM %1$I.followup_failures f
    WHERE f.ctid = ANY (ARRAY(SELECT l.ctid
        FROM %1$I.followup_failures l FOR UPDATE SKIP LOCKED));
    DELETE FROM %1$I.followup_attempts a
    WHERE a.ctid = ANY (ARRAY(SELECT l.ctid
        FROM %1$I.followup_attempts l FOR UPDATE SKIP LOCKED));
    DELETE FROM %1$I.followup_waits w
    WHERE w.ctid = ANY (ARRAY(SELECT l.ctid
        FROM %1$I.followup_waits l FOR UPDATE SKIP LOCKED));
    DELETE FROM %1$I.followup_late p
    WHERE p.ctid = ANY (ARRAY(SELECT l.ctid
        FROM %1$I.followup_late l FOR UPDATE SKIP LOCKED));
    INSERT INTO %1$I.followup_acts (what) VALUES (%2$L);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'what is known of follow-up bookings that are gone stays: %%',
        SQLERRM;
    RETURN NULL;
END
$body$, :'schema', 'truncated the table ' || :'table')
    AS followup_body_truncated
\gset

-- followup_queue(booking) names the queue that the task of a booking is made
-- in, by its short name; NULL and '' are FOLLOWUP_QUEUE_NAME.
SELECT 'SELECT NULL::pg_catalog.text' AS followup_body_queue
\gset

-- followup_call_request is the body of the request that starts the call.
-- Columns are taken by their names, so that one which this deployment lacks is
-- null, not an error.
SELECT format($body$
DECLARE
    booking %1$I.%2$I%%ROWTYPE;
    fields jsonb;
    lead jsonb;
    lead_query text;
    phone text;
    name text;
BEGIN
    SELECT * INTO booking FROM %1$I.%2$I t
    WHERE t.id = followup_call_request.booking_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    fields := %1$I.followup_fields(booking);

    -- By the type that leads.id has, so that its index is used; without its
    -- length, which would cut the id off.
    SELECT format('SELECT jsonb_build_object(%%s) FROM %%s l '
        'WHERE l.id = $1::%%s',
        string_agg(format('%%L, l.%%I', a.attname, a.attname), ', ')
        FILTER (WHERE a.attname IN ('phone_number', 'phone', 'mobile',
        'phone_e164', 'name', 'full_name', 'first_name', 'last_name')),
        to_regclass(%3$L), max(format_type(a.atttypid, -1))
        FILTER (WHERE a.attname = 'id'))
    INTO lead_query FROM pg_attribute a
    WHERE a.attrelid = to_regclass(%3$L) AND a.attnum > 0
        AND NOT a.attisdropped HAVING bool_or(a.attname = 'id');
    -- What is no such id, as an empty text, is no lead, and so no number.
    IF lead_query IS NOT NULL AND fields ->> 'lead_id' IS NOT NULL THEN
        BEGIN
            EXECUTE lead_query INTO lead USING fields ->> 'lead_id';
        EXCEPTION WHEN data_exception THEN
            NULL;
        END;
    END IF;

    SELECT btrim(lead ->> k, E' \t\r\n') INTO phone
    FROM unnest(ARRAY['phone_number', 'phone', 'mobile', 'phone_e164'])
        WITH ORDINALITY AS u (k, n)
    WHERE btrim(lead ->> k, E' \t\r\n') <> '' ORDER BY n LIMIT 1;
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

-- followup_retry lets a failed booking start anew: also one whose row did not
-- take that it failed, so that only its dead letter says so.  Where the call
-- was started and the row did not take that, the row is written once more
-- instead.  History keeps what is known of the failures; what takes their
-- place, with no attempt, has the sweep find the booking however
-- late it is, and not before its turn (not_before).  The triggers, which would
-- do nothing for a daemon, are let in for this one write, so that the booking
-- is announced at commit like any other; what they do to the rows is done here
-- all the same, because they may be disabled.
--
-- Triggers of the application fire within: the search_path is the caller's.  A
-- column of theirs may be called what a variable is.
SELECT format($body$
#variable_conflict use_variable
DECLARE
    old_task pg_catalog.text;
    called pg_catalog.timestamptz;
    who pg_catalog.text := coalesce(asked_by, session_user);
    tenant pg_catalog.text;
    whose pg_catalog.text;
    said pg_catalog.text;
    daemon pg_catalog.text := pg_catalog.current_setting('followup.daemon',
        true);
BEGIN
    SELECT t.task_name, (SELECT a.called_at FROM %1$I.followup_attempts a
        WHERE a.booking_id = t.id),
        %1$I.followup_fields(t.*) ->> 'tenant_id'
        INTO old_task, called, whose FROM %1$I.%2$I t
    WHERE t.id = followup_retry.booking_id
        AND (t.task_status = 'failed'
            OR (t.task_status IN ('pending', 'scheduled')
                AND EXISTS (SELECT FROM %1$I.followup_dead_letters d
                    WHERE d.booking_id = t.id)))
        AND %1$I.followup_is_followup_type(t.booking_type::pg_catalog.text)
        AND NOT (%3$s)
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- Before the triggers delete them.
    WITH letter AS (
        DELETE FROM %1$I.followup_failures f
        WHERE f.booking_id = followup_retry.booking_id RETURNING f.*
    ), told AS (
        INSERT INTO %1$I.followup_history (booking_id, tenant_id, what, by,
            http_status, reason)
        SELECT followup_retry.booking_id, whose, 'retried', who,
            l.http_status, nullif(pg_catalog.concat_ws(', ',
            CASE WHEN followup_retry.late THEN 'however late' END,
            'after: ' || l.error), '')
        FROM (VALUES (1)) AS once LEFT JOIN letter l ON l.attempts > 0
    )
    SELECT l.tenant_id, l.error INTO tenant, said FROM letter l
    ORDER BY l.dead_at DESC NULLS LAST LIMIT 1;
    IF called IS NOT NULL THEN
        UPDATE %1$I.%2$I t SET task_status = 'executed', executed_at = called,
            last_execution_error = NULL
        WHERE t.id = followup_retry.booking_id;
    ELSE
        PERFORM pg_catalog.set_config('followup.daemon', CASE
            WHEN not_before > pg_catalog.now() THEN 'on' ELSE 'retry' END,
            true);
        UPDATE %1$I.%2$I t SET task_status = 'pending', task_name = NULL,
            task_scheduled_at = NULL, idempotency_key = NULL,
            executed_at = NULL, execution_attempts = 0,
            last_execution_error = NULL
        WHERE t.id = followup_retry.booking_id;
        PERFORM pg_catalog.set_config('followup.daemon', daemon, true);
        IF late THEN
            INSERT INTO %1$I.followup_late AS l (booking_id, due_at, asked_by)
            SELECT t.id, %1$I.followup_due_at(t.*), who FROM %1$I.%2$I t
            WHERE t.id = followup_retry.booking_id
            ON CONFLICT ON CONSTRAINT followup_late_pkey DO UPDATE
            SET due_at = excluded.due_at, asked_by = excluded.asked_by,
                asked_at = now();
        ELSE
            DELETE FROM %1$I.followup_late l
            WHERE l.booking_id = followup_retry.booking_id;
        END IF;
        IF old_task IS NOT NULL THEN
            INSERT INTO %1$I.followup_obsolete_tasks (task_name, booking_id)
            VALUES (old_task, followup_retry.booking_id)
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF called IS NULL THEN
        INSERT INTO %1$I.followup_failures (booking_id, stage, tenant_id,
            attempts, next_attempt_at, error)
        VALUES (followup_retry.booking_id, 'schedule', tenant, 0,
            coalesce(not_before, pg_catalog.now()),
            pg_catalog.concat('retried by ', who, ', after: ', said))
        ON CONFLICT DO NOTHING;
    END IF;
    DELETE FROM %1$I.followup_attempts a
    WHERE a.booking_id = followup_retry.booking_id;
    DELETE FROM %1$I.followup_waits w
    WHERE w.booking_id = followup_retry.booking_id;
    RETURN true;
END
$body$, :'schema', :'table', :'followup_row_deleted') AS followup_body_retry
\gset
