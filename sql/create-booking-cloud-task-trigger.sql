-- create-booking-cloud-task-trigger.sql: follow-up scheduling for a bookings
-- table, run by `psql -f`, by \i or by `followup-trigger install`.
--
--   psql -v schema=lad_dev -v table=lead_bookings -v grant_to=followup -f THIS
--
--   schema        default lad_dev
--   table         default lead_bookings
--   grant_to      role of the daemons; default empty: no grants
--   lock_timeout  how long to wait for the table's lock; default 10s
--
-- It may be run again at any time, brings an older version up to date, and
-- leaves all triggers enabled.  What takes long does not block writers and is
-- a transaction of its own: what was overdue is judged after the columns are
-- added, and the index is built at the end.  An interrupted run is repaired by
-- running this again.  So not with psql -1, and not within a transaction of
-- yours.
--
-- It makes, on the table:
--   trigger_schedule_followup_cloud_task     AFTER INSERT, deferred: NOTIFY
--   trigger_followup_cloud_task_changed      BEFORE UPDATE: moved, cancelled,
--                                            set to pending, soft-deleted
--   trigger_followup_cloud_task_reschedule   AFTER UPDATE, deferred: NOTIFY
--   trigger_followup_cloud_task_deleted      AFTER DELETE: the task to delete
--   trigger_followup_cloud_task_release      AFTER DELETE, deferred: NOTIFY
-- and in the schema:
--   schedule_followup_cloud_task()  followup_booking_changed()
--   followup_is_followup_type(text)  followup_due_at(booking)
--   followup_call_request(uuid)  followup_retry(uuid)
--   followup_retry_all(text, timestamptz, timestamptz)
--   followup_failures  followup_dead_letters  followup_obsolete_tasks
--   followup_bookings_due_idx
--
-- What it made carries a COMMENT that starts with 'followup-scheduler', by
-- which drop-booking-cloud-task-trigger.sql finds it; behind that, the md5 of
-- the source it was made from and of its definition in the catalogue, by
-- which verify-booking-cloud-task-trigger.sql finds what was changed since.
--
-- A session that has run NOTIFY cannot PREPARE TRANSACTION, so the trigger
-- leaves such commits to the sweep; an application that uses both two-phase
-- commit and SET CONSTRAINTS ... IMMEDIATE would still meet that limit.

\set ON_ERROR_STOP on
\set followup_quiet :QUIET
\set QUIET on
\if :{?schema}
\else
\set schema lad_dev
\endif
\if :{?table}
\else
\set table lead_bookings
\endif
\if :{?grant_to}
\else
\set grant_to ''
\endif
\if :{?lock_timeout}
\else
\set lock_timeout 10s
\endif

-- One install at a time: two would undo each other's half-built index.  It is
-- never waited for, because an index build waits for whoever waits for it.
\if :{?definitions_only}
\else
SELECT pg_catalog.pg_try_advisory_lock(7382912092064737639) AS followup_alone
\gset
\if :followup_alone
\else
DO $$BEGIN RAISE EXCEPTION 'another install is running on this database'
    USING HINT = 'wait for it to end, then run this again'; END$$;
\endif
\endif

BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SELECT set_config('lock_timeout', :'lock_timeout', true) AS followup_unused
\gset

--
-- The shape of the table, on which some of the definitions depend.
--
WITH col AS (
    SELECT a.attname::text AS name,
        format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) AS type,
        t.typcategory AS category,
        col_description(a.attrelid, a.attnum) AS comment
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND a.attnum > 0 AND NOT a.attisdropped
), shape AS (
    SELECT (SELECT relkind FROM pg_class
            WHERE oid = to_regclass(format('%I.%I', :'schema', :'table')))
            AS relkind,
        (SELECT type FROM col WHERE name = 'id') AS id_type,
        (SELECT type FROM col WHERE name = 'scheduled_at') AS due_type,
        (SELECT category FROM col WHERE name = 'booking_type') AS type_category,
        EXISTS (SELECT FROM col WHERE name = 'timezone') AS has_timezone,
        EXISTS (SELECT FROM col WHERE name = 'is_deleted'
            AND type = 'boolean') AS has_is_deleted,
        NOT EXISTS (SELECT FROM col WHERE name = 'task_status'
            AND coalesce(comment, '') NOT LIKE 'followup-scheduler%; history%')
            AS has_history
)
SELECT due_type IS NOT DISTINCT FROM 'timestamp without time zone'
        AS followup_local_time,
    due_type IS NOT DISTINCT FROM 'timestamp without time zone'
        AND has_timezone AS followup_zoned,
    has_is_deleted AS followup_has_is_deleted,
    has_history AS followup_has_history,
    set_config('followup.problem', CASE
        WHEN relkind IS NULL THEN 'there is no table %s'
        WHEN relkind <> 'r' THEN '%s is not an ordinary table'
        WHEN id_type IS DISTINCT FROM 'uuid' THEN '%s has no column id of '
            'type uuid'
        WHEN due_type IS NULL OR due_type NOT IN ('timestamp with time zone',
            'timestamp without time zone') THEN '%s has no column '
            'scheduled_at of type timestamptz or timestamp'
        WHEN type_category IS DISTINCT FROM 'S' THEN '%s has no column '
            'booking_type of type text or varchar'
        ELSE '' END, true) AS followup_problem,
    set_config('followup.table', format('%I.%I', :'schema', :'table'), true)
        AS followup_unused
FROM shape
\gset
DO $$BEGIN
    IF current_setting('followup.problem') <> '' THEN
        RAISE EXCEPTION '%', format(current_setting('followup.problem'),
            current_setting('followup.table'))
            USING HINT = 'name the bookings table by the psql variables '
            '"schema" and "table" (followup-trigger: --schema, --table)';
    END IF;
END$$;

--
-- Conditions that the definitions have in common.
--
SELECT format('%I.followup_is_followup_type(OLD.booking_type::text)',
        :'schema') AS followup_old_type,
    format('%I.followup_is_followup_type(NEW.booking_type::text)',
        :'schema') AS followup_new_type,
    'OLD.scheduled_at IS DISTINCT FROM NEW.scheduled_at'
        || CASE WHEN :'followup_zoned' THEN
        ' OR OLD.timezone IS DISTINCT FROM NEW.timezone' ELSE '' END
        AS followup_moved,
    CASE WHEN :'followup_has_is_deleted' THEN
        'OLD.is_deleted IS NOT TRUE AND NEW.is_deleted IS TRUE'
        ELSE 'false' END AS followup_deleted,
    CASE WHEN :'followup_has_is_deleted' THEN
        'OLD.is_deleted IS TRUE' ELSE 'false' END AS followup_was_deleted,
    CASE WHEN :'followup_has_is_deleted' THEN
        'NEW.is_deleted IS NOT TRUE' ELSE 'true' END AS followup_alive,
    CASE WHEN :'followup_has_is_deleted' THEN
        't.is_deleted IS NOT TRUE' ELSE 'true' END AS followup_row_alive,
    'scheduled_at, task_status, booking_type'
        || CASE WHEN :'followup_zoned' THEN ', timezone' ELSE '' END
        || CASE WHEN :'followup_has_is_deleted' THEN ', is_deleted' ELSE '' END
        AS followup_columns
\gset

-- THE list of follow-up types.  Written so that the planner can inline it
-- (no SET clause), hence with every name qualified.
SELECT $body$
SELECT coalesce(pg_catalog.lower($1 COLLATE pg_catalog."C")
    OPERATOR(pg_catalog.=) ANY (ARRAY['follow_up', 'follow-up',
    'auto-follow-up', 'followup', 'auto_follow_up', 'auto_followup',
    'manual_followup', 'manual_follow_up', 'scheduled_call'
    ]::pg_catalog.text[]), false)
$body$ AS followup_body_type
\gset

-- When a booking is due.  A timestamptz says so itself; a timestamp is read
-- in the row's zone.  '+04:00' and 'UTC+4' mean east of Greenwich, as
-- everybody but POSIX (and so PostgreSQL) reads them.
\if :followup_local_time
\set followup_language plpgsql
SELECT format($body$
DECLARE
    due timestamp := booking.scheduled_at;
    zone text := btrim(%1$s, E' \t\r\n');
    shift text[];
BEGIN
    IF due IS NULL OR NOT isfinite(due) THEN
        RETURN NULL;
    END IF;
    IF zone IS NULL OR zone = '' THEN
        RETURN due AT TIME ZONE 'UTC';
    END IF;
    shift := regexp_match(zone,
        '^(?:UTC|GMT)?([+-])(0?[0-9]|1[0-5])(?::?([0-5][0-9]))?$', 'i');
    IF shift IS NOT NULL THEN
        RETURN due AT TIME ZONE (shift[1] || shift[2] || ':'
            || coalesce(shift[3], '00'))::interval;
    END IF;
    RETURN due AT TIME ZONE zone;
EXCEPTION WHEN data_exception THEN
    -- No such zone, or a time that does not exist in it.
    RETURN NULL;
END
$body$, CASE WHEN :'followup_zoned' THEN 'booking.timezone::text'
    ELSE 'NULL::text' END) AS followup_body_due
\gset
\else
\set followup_language sql
SELECT $body$
SELECT CASE WHEN pg_catalog.isfinite(booking.scheduled_at)
    THEN booking.scheduled_at END
$body$ AS followup_body_due
\gset
\endif

-- The NOTIFY, from three deferred triggers: at commit, so that its lock, one
-- for the whole cluster, is held only then.  Whatever goes wrong is a WARNING:
-- the application's transaction is worth more than a hint.
SELECT format($body$
DECLARE
    id uuid := CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END;
    booking record;
    fields jsonb;
    payload text;
BEGIN
    -- PREPARE TRANSACTION refuses a transaction that has run NOTIFY.
    IF current_setting('max_prepared_transactions') <> '0'
        AND current_query() ~* 'prepare\s+transaction' THEN
        RETURN NULL;
    END IF;

    -- Who commits at the same time leaves the hint to the listener's rescan.
    IF NOT pg_try_advisory_xact_lock(7382912092064737638) THEN
        RETURN NULL;
    END IF;

    -- A full queue raises its error after us, at COMMIT: stay far from it.
    IF pg_notification_queue_usage() >= 0.5 THEN
        RETURN NULL;
    END IF;

    IF TG_OP = 'DELETE' THEN
        booking := OLD;
    ELSE
        booking := NEW;
    END IF;
    BEGIN
        fields := to_jsonb(booking);
        payload := jsonb_build_object(
            'booking_id', id,
            'tenant_id', fields -> 'tenant_id',
            'lead_id', fields -> 'lead_id',
            'assigned_user_id', fields -> 'assigned_user_id',
            'scheduled_at', coalesce(to_char(
                %1$I.followup_due_at(booking) AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), fields ->> 'scheduled_at'),
            'timezone', fields -> 'timezone',
            'booking_type', booking.booking_type,
            'created_at', fields -> 'created_at',
            'schema', TG_TABLE_SCHEMA)::text;
    EXCEPTION WHEN OTHERS THEN
        payload := NULL;
    END;

    -- NOTIFY takes 7999 bytes; the id is all that the receiver needs.
    IF payload IS NULL OR octet_length(payload) > 7999 THEN
        payload := jsonb_build_object('booking_id', id,
            'schema', TG_TABLE_SCHEMA)::text;
    END IF;
    PERFORM pg_notify('booking_followup_created', payload);
    RAISE NOTICE 'Notification sent for follow-up booking: %%', id;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'no notification for follow-up booking %%: %% (it is '
        'found by the sweep of followup-listener)', id, SQLERRM;
    RETURN NULL;
END
$body$, :'schema') AS followup_body_notify
\gset

-- A booking that changed by plain SQL.  The triggers' WHEN clauses let in only
-- what has to be cancelled (or was) and what starts anew; a deleted row has
-- but its task to leave behind.
SELECT format($body$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.task_status = 'cancelled' OR (%2$s) THEN
            NEW.task_status := 'cancelled';
        ELSE
            NEW.task_status := 'pending';
            NEW.executed_at := NULL;

            -- Where its task is gone, followup-schedule takes the name away
            -- and leaves the key.  That is no new start: what is known of
            -- earlier attempts at the call stays.
            IF OLD.task_status <> 'scheduled'
                OR NEW.task_name IS NOT NULL OR OLD.task_name IS NULL
                OR NEW.idempotency_key IS NULL
                OR NEW.idempotency_key IS DISTINCT FROM OLD.idempotency_key
                OR NEW.scheduled_at IS DISTINCT FROM OLD.scheduled_at
            THEN
                NEW.execution_attempts := 0;
                NEW.last_execution_error := NULL;
                NEW.idempotency_key := NULL;
            END IF;
        END IF;
        NEW.task_name := NULL;
        NEW.task_scheduled_at := NULL;
    END IF;

    -- If this fails, the old task still calls nobody: followup-execute
    -- compares it with the row.
    BEGIN
        IF OLD.task_name IS NOT NULL THEN
            INSERT INTO %1$I.followup_obsolete_tasks (task_name, booking_id)
            VALUES (OLD.task_name, OLD.id) ON CONFLICT DO NOTHING;
        END IF;
        DELETE FROM %1$I.followup_failures f WHERE f.booking_id = OLD.id;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'the old Cloud Task of follow-up booking %% is not '
            'deleted: %% (it will find the booking changed and do nothing)',
            OLD.id, SQLERRM;
    END;
    RETURN NEW;
END
$body$, :'schema', :'followup_deleted') AS followup_body_changed
\gset

-- The body of the request that starts the call.  Columns are taken through
-- jsonb, so that one which this deployment lacks is null, not an error.
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

-- Failed bookings start anew.  Everything is said here although the UPDATE
-- trigger would do most of it: it may be disabled.
SELECT format($body$
DECLARE
    retried boolean;
BEGIN
    UPDATE %1$I.%2$I t SET task_status = 'pending', task_name = NULL,
        task_scheduled_at = NULL, idempotency_key = NULL, executed_at = NULL,
        execution_attempts = 0, last_execution_error = NULL
    WHERE t.id = followup_retry.booking_id AND t.task_status = 'failed'
        AND %1$I.followup_is_followup_type(t.booking_type::text) AND %3$s;
    retried := FOUND;
    IF retried THEN
        DELETE FROM %1$I.followup_failures f
        WHERE f.booking_id = followup_retry.booking_id;
    END IF;
    RETURN retried;
END
$body$, :'schema', :'table', :'followup_row_alive') AS followup_body_retry,
    format($body$
BEGIN
    RETURN (SELECT count(*) FROM (
        SELECT DISTINCT d.booking_id FROM %1$I.followup_dead_letters d
        WHERE d.stage = coalesce(followup_retry_all.stage, d.stage)
            AND d.dead_at >= since AND d.dead_at < until) letter
    WHERE %1$I.followup_retry(letter.booking_id));
END
$body$, :'schema') AS followup_body_retry_all
\gset

-- Statements that depend on the shape, or whose text is compared.
SELECT format('CREATE OR REPLACE VIEW %1$I.followup_dead_letters AS '
        'SELECT booking_id, tenant_id, stage, attempts, first_failed_at, '
        'last_failed_at, http_status, error, dead_at '
        'FROM %1$I.followup_failures WHERE dead_at IS NOT NULL',
        :'schema') AS followup_view,
    format('CREATE INDEX CONCURRENTLY followup_bookings_due_idx '
        'ON %1$I.%2$I (task_status, scheduled_at) '
        'WHERE task_status IN (''pending'', ''scheduled'') '
        'AND %1$I.followup_is_followup_type(booking_type)',
        :'schema', :'table') AS followup_index,
    format('CREATE CONSTRAINT TRIGGER trigger_schedule_followup_cloud_task '
        'AFTER INSERT ON %1$I.%2$I DEFERRABLE INITIALLY DEFERRED FOR EACH ROW '
        'WHEN (NEW.task_status = ''pending'' AND %3$s AND %4$s) '
        'EXECUTE FUNCTION %1$I.schedule_followup_cloud_task()',
        :'schema', :'table', :'followup_new_type', :'followup_alive')
        AS followup_trigger_insert,
    -- Status set by hand; moved; another type; soft-deleted.  Not the write by
    -- which followup-schedule puts a new task in the place of an old one.
    format('CREATE TRIGGER trigger_followup_cloud_task_changed '
        'BEFORE UPDATE OF %3$s ON %1$I.%2$I FOR EACH ROW '
        'WHEN ((%4$s OR %5$s) AND ('
        '(OLD.task_status IS DISTINCT FROM NEW.task_status '
        'AND NEW.task_status IN (''pending'', ''cancelled'')) '
        'OR (OLD.task_status = NEW.task_status '
        'AND NEW.task_status IN (''pending'', ''scheduled'', ''failed'') '
        'AND (%6$s)) '
        'OR (OLD.task_status = ''scheduled'' '
        'AND NEW.task_status = ''scheduled'' AND %4$s AND NOT %5$s) '
        'OR (NEW.task_status IN (''pending'', ''scheduled'', ''failed'') '
        'AND %7$s)) '
        'AND NOT coalesce(NEW.task_status = ''scheduled'' '
        'AND NEW.task_name <> coalesce(OLD.task_name, ''''), false)) '
        'EXECUTE FUNCTION %1$I.followup_booking_changed()',
        :'schema', :'table', :'followup_columns', :'followup_old_type',
        :'followup_new_type', :'followup_moved', :'followup_deleted')
        AS followup_trigger_changed,
    -- Something to schedule, or a task to delete.
    format('CREATE CONSTRAINT TRIGGER trigger_followup_cloud_task_reschedule '
        'AFTER UPDATE OF %3$s ON %1$I.%2$I DEFERRABLE INITIALLY DEFERRED '
        'FOR EACH ROW WHEN ((NEW.task_status = ''pending'' '
        'AND %5$s AND %8$s AND (OLD.task_status IS DISTINCT FROM ''pending'' '
        'OR %6$s OR NOT %4$s OR %7$s)) '
        'OR (OLD.task_name IS NOT NULL AND NEW.task_name IS NULL '
        'AND (%4$s OR %5$s))) '
        'EXECUTE FUNCTION %1$I.schedule_followup_cloud_task()',
        :'schema', :'table', :'followup_columns', :'followup_old_type',
        :'followup_new_type', :'followup_moved', :'followup_was_deleted',
        :'followup_alive') AS followup_trigger_reschedule,
    format('CREATE TRIGGER trigger_followup_cloud_task_deleted '
        'AFTER DELETE ON %1$I.%2$I FOR EACH ROW WHEN (%3$s '
        'AND OLD.task_status IN (''pending'', ''scheduled'', ''failed'')) '
        'EXECUTE FUNCTION %1$I.followup_booking_changed()',
        :'schema', :'table', :'followup_old_type') AS followup_trigger_deleted,
    format('CREATE CONSTRAINT TRIGGER trigger_followup_cloud_task_release '
        'AFTER DELETE ON %1$I.%2$I DEFERRABLE INITIALLY DEFERRED '
        'FOR EACH ROW WHEN (%3$s AND OLD.task_name IS NOT NULL '
        'AND OLD.task_status IN (''pending'', ''scheduled'')) '
        'EXECUTE FUNCTION %1$I.schedule_followup_cloud_task()',
        :'schema', :'table', :'followup_old_type') AS followup_trigger_release
\gset

-- followup_defined: what this version makes, as a FROM item; identity is
-- written as regprocedure writes it with nothing but pg_catalog in the path.
SELECT '(VALUES ' || string_agg(format('(%L, %L, %L)', kind,
        format(identity, :'schema', :'table'), source), ', ')
        || ') AS defined (kind, identity, source)' AS followup_defined
FROM (VALUES
    ('FUNCTION', '%1$I.followup_is_followup_type(text)',
        :'followup_body_type'),
    ('FUNCTION', '%1$I.followup_due_at(%1$I.%2$I)', :'followup_body_due'),
    ('FUNCTION', '%1$I.followup_call_request(uuid)',
        :'followup_body_call_request'),
    ('FUNCTION', '%1$I.followup_retry(uuid)', :'followup_body_retry'),
    ('FUNCTION', '%1$I.followup_retry_all(text,timestamp with time zone,'
        'timestamp with time zone)', :'followup_body_retry_all'),
    ('FUNCTION', '%1$I.schedule_followup_cloud_task()',
        :'followup_body_notify'),
    ('FUNCTION', '%1$I.followup_booking_changed()', :'followup_body_changed'),
    ('TRIGGER', 'trigger_schedule_followup_cloud_task ON %1$I.%2$I',
        :'followup_trigger_insert'),
    ('TRIGGER', 'trigger_followup_cloud_task_changed ON %1$I.%2$I',
        :'followup_trigger_changed'),
    ('TRIGGER', 'trigger_followup_cloud_task_reschedule ON %1$I.%2$I',
        :'followup_trigger_reschedule'),
    ('TRIGGER', 'trigger_followup_cloud_task_deleted ON %1$I.%2$I',
        :'followup_trigger_deleted'),
    ('TRIGGER', 'trigger_followup_cloud_task_release ON %1$I.%2$I',
        :'followup_trigger_release'),
    ('VIEW', '%1$I.followup_dead_letters', :'followup_view'),
    -- An index of another list of types would silently miss rows.
    ('INDEX', '%1$I.followup_bookings_due_idx', :'followup_index'
        || :'followup_body_type')
    ) AS d (kind, identity, source)
\gset

-- followup_found: what there is, likewise; mark_source and mark_text are the
-- two md5 of its COMMENT, made when we made it.
SELECT format($sql$(SELECT o.kind, o.identity, o.source, o.text, o.mark,
    CASE WHEN o.mark LIKE 'followup-scheduler %%' THEN
        split_part(o.mark, ' ', 2) END AS mark_source,
    CASE WHEN o.mark LIKE 'followup-scheduler %%' THEN
        split_part(o.mark, ' ', 3) END AS mark_text, o.enabled
FROM (
    SELECT 'FUNCTION' AS kind, p.oid::regprocedure::text AS identity,
        md5(p.prosrc) AS source, md5(pg_get_functiondef(p.oid)) AS text,
        obj_description(p.oid, 'pg_proc') AS mark, true AS enabled
    FROM pg_proc p WHERE p.prokind IN ('f', 'p')
        AND p.pronamespace = to_regnamespace(%1$L)
    UNION ALL
    SELECT 'TRIGGER', format('%%I ON %%s', t.tgname, %2$L), NULL,
        md5(pg_get_triggerdef(t.oid)), obj_description(t.oid, 'pg_trigger'),
        t.tgenabled IN ('O', 'A')
    FROM pg_trigger t
    WHERE t.tgrelid = to_regclass(%2$L) AND NOT t.tgisinternal
    UNION ALL
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'INDEX' END,
        format('%%s.%%I', %1$L, c.relname), NULL, CASE c.relkind WHEN 'v'
        THEN md5(pg_get_viewdef(c.oid)) ELSE md5(pg_get_indexdef(c.oid)) END,
        obj_description(c.oid, 'pg_class'),
        coalesce((SELECT i.indisvalid AND i.indisready FROM pg_index i
            WHERE i.indexrelid = c.oid), true)
    FROM pg_class c WHERE c.relkind IN ('v', 'i')
        AND c.relnamespace = to_regnamespace(%1$L)
        AND c.relname IN ('followup_dead_letters', 'followup_bookings_due_idx')
    ) AS o) AS found$sql$, quote_ident(:'schema'),
        format('%I.%I', :'schema', :'table')) AS followup_found
\gset

-- verify-booking-cloud-task-trigger.sql goes on from here, in this
-- transaction and with these variables.
\if :{?definitions_only}
\quit
\endif

--
-- The columns.  Those that are added are marked, for the uninstall.
--
SELECT format('ALTER TABLE %I.%I ADD COLUMN %I %s', :'schema', :'table',
        c.name, c.type),
    format('COMMENT ON COLUMN %I.%I.%I IS %L', :'schema', :'table', c.name,
        'followup-scheduler: added by create-booking-cloud-task-trigger.sql'
        || CASE c.name WHEN 'task_status' THEN
            '; history is not judged yet' ELSE '' END)
FROM (VALUES
    ('task_name', 'text'),
    ('task_scheduled_at', 'timestamptz'),
    ('task_status', 'varchar(30) NOT NULL DEFAULT ''pending'''),
    ('executed_at', 'timestamptz'),
    ('execution_attempts', 'int NOT NULL DEFAULT 0'),
    ('last_execution_error', 'text'),
    ('idempotency_key', 'varchar(255)')) AS c (name, type)
WHERE NOT EXISTS (SELECT FROM pg_attribute a
    WHERE a.attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND a.attname = c.name AND NOT a.attisdropped)
\gexec

-- History must not start ringing: what was overdue before there was a status
-- is not called.  Before the triggers exist, so it fires none of them.  Of
-- millions of rows this takes a while, so not under the lock that adding a
-- column takes; nor, for the sake of who waits for one of the rows, before the
-- lock that making a trigger takes.  Without our tables nothing is called yet.
-- Two functions live for this transaction only; the right to make temporary
-- ones may be missing.
\if :followup_has_history
COMMIT;
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SELECT set_config('lock_timeout', :'lock_timeout', true) AS followup_unused
\gset
CREATE FUNCTION :"schema".followup_judge_due_at(booking :"schema".:"table")
    RETURNS timestamptz LANGUAGE :followup_language STABLE
    AS :'followup_body_due';
CREATE FUNCTION :"schema".followup_judge_type(booking_type text)
    RETURNS boolean LANGUAGE sql IMMUTABLE AS :'followup_body_type';
UPDATE :"schema".:"table" t SET task_status = 'cancelled',
    last_execution_error =
    'was already overdue when follow-up scheduling was installed'
WHERE t.task_status = 'pending'
    AND :"schema".followup_judge_type(t.booking_type::text)
    AND :"schema".followup_judge_due_at(t) < now();
DROP FUNCTION :"schema".followup_judge_due_at(:"schema".:"table"),
    :"schema".followup_judge_type(text);
COMMENT ON COLUMN :"schema".:"table".task_status IS
    'followup-scheduler: added by create-booking-cloud-task-trigger.sql';
COMMIT;
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SELECT set_config('lock_timeout', :'lock_timeout', true) AS followup_unused
\gset
\endif

--
-- The functions.  Whoever inserts runs the first through the WHEN clauses and
-- the index, so it is for everybody even where functions are closed by
-- default; the others are for those they are granted to.
--
CREATE OR REPLACE FUNCTION
    :"schema".followup_is_followup_type(booking_type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS :'followup_body_type';
\if :followup_local_time
CREATE OR REPLACE FUNCTION
    :"schema".followup_due_at(booking :"schema".:"table") RETURNS timestamptz
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_due';
\else
CREATE OR REPLACE FUNCTION
    :"schema".followup_due_at(booking :"schema".:"table") RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE AS :'followup_body_due';
\endif
GRANT EXECUTE ON FUNCTION :"schema".followup_is_followup_type(text) TO PUBLIC;

CREATE OR REPLACE FUNCTION
    :"schema".schedule_followup_cloud_task() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC' AS :'followup_body_notify';
CREATE OR REPLACE FUNCTION
    :"schema".followup_booking_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS :'followup_body_changed';
CREATE OR REPLACE FUNCTION
    :"schema".followup_retry(booking_id uuid) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS :'followup_body_retry';
CREATE OR REPLACE FUNCTION
    :"schema".followup_retry_all(stage text DEFAULT NULL,
    since timestamptz DEFAULT '-infinity',
    until timestamptz DEFAULT 'infinity') RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS :'followup_body_retry_all';
REVOKE ALL ON FUNCTION :"schema".schedule_followup_cloud_task(),
    :"schema".followup_booking_changed(), :"schema".followup_retry(uuid),
    :"schema".followup_retry_all(text, timestamptz, timestamptz) FROM PUBLIC;

-- A followup_call_request that is not what we installed is the deployment's
-- own: it stays.
SELECT NOT EXISTS (SELECT FROM :followup_found
    WHERE identity = format('%I.followup_call_request(uuid)', :'schema')
        AND source IS DISTINCT FROM mark_source) AS followup_ours
\gset
\if :followup_ours
CREATE OR REPLACE FUNCTION
    :"schema".followup_call_request(booking_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS :'followup_body_call_request';
REVOKE ALL ON FUNCTION :"schema".followup_call_request(uuid) FROM PUBLIC;
\endif

--
-- The tables of what went wrong and of what is left to delete.
--
SELECT to_regclass(format('%I.followup_failures', :'schema')) IS NULL
        AS followup_make_failures,
    to_regclass(format('%I.followup_obsolete_tasks', :'schema')) IS NULL
        AS followup_make_obsolete
\gset
\if :followup_make_failures
CREATE TABLE :"schema".followup_failures (
    booking_id uuid NOT NULL,
    stage text NOT NULL CHECK (stage IN ('schedule', 'execute')),
    tenant_id text,
    attempts int NOT NULL,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz,
    http_status int,
    error text NOT NULL,
    dead_at timestamptz,
    PRIMARY KEY (booking_id, stage));
COMMENT ON TABLE :"schema".followup_failures IS 'followup-scheduler: bookings '
    'that could not be scheduled or called; with dead_at: given up';
\endif
\if :followup_make_obsolete
CREATE TABLE :"schema".followup_obsolete_tasks (
    task_name text PRIMARY KEY,
    booking_id uuid NOT NULL,
    obsolete_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz);
COMMENT ON TABLE :"schema".followup_obsolete_tasks IS 'followup-scheduler: '
    'Cloud Tasks that followup-schedule still has to delete';
\endif

CREATE TABLE IF NOT EXISTS :"schema".followup_attempts (
    booking_id uuid PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT now());
-- The view and the triggers are made anew only where they differ from what
-- they should be: dropping a trigger waits for every writer.
SELECT CASE kind WHEN 'TRIGGER' THEN
    format('DROP TRIGGER IF EXISTS %s', identity) END, defined.source
FROM :followup_defined LEFT JOIN :followup_found USING (kind, identity)
WHERE kind IN ('VIEW', 'TRIGGER')
    AND (mark_source, mark_text) IS DISTINCT FROM
        (md5(defined.source), found.text)
ORDER BY kind DESC
\gexec
SELECT format('ALTER TABLE %I.%I ENABLE TRIGGER %I', :'schema', :'table',
    split_part(identity, ' ', 1))
FROM :followup_defined JOIN :followup_found USING (kind, identity)
WHERE kind = 'TRIGGER' AND NOT enabled
\gexec
REVOKE ALL ON :"schema".followup_failures, :"schema".followup_obsolete_tasks,
    :"schema".followup_dead_letters FROM PUBLIC;

SELECT format('COMMENT ON %s %s IS %L', kind, identity, format(
    'followup-scheduler %s %s', md5(defined.source), found.text))
FROM :followup_defined JOIN :followup_found USING (kind, identity)
WHERE kind <> 'INDEX' AND (kind <> 'FUNCTION'
    OR found.source = md5(defined.source))
\gexec

--
-- The daemons' role.  Of what it is given on objects that are not ours, the
-- COMMENT of followup_failures keeps what it did not have, for the uninstall.
--
SELECT :'grant_to' <> '' AS followup_grant
\gset
\if :followup_grant
WITH role AS (
    SELECT oid FROM pg_roles WHERE rolname = :'grant_to'
), had AS (
    SELECT 'schema' AS "on", NULL::name AS "column" FROM pg_namespace n,
        aclexplode(n.nspacl) a, role
    WHERE n.nspname = :'schema' AND a.grantee = role.oid
        AND a.privilege_type = 'USAGE'
    UNION ALL
    SELECT 'table', NULL FROM pg_class c, aclexplode(c.relacl) a, role
    WHERE c.oid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND a.grantee = role.oid AND a.privilege_type = 'SELECT'
    UNION ALL
    SELECT 'column', t.attname FROM pg_attribute t, aclexplode(t.attacl) a, role
    WHERE t.attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND a.grantee = role.oid AND a.privilege_type = 'UPDATE'
), given AS (
    SELECT * FROM (VALUES ('schema', NULL::name), ('table', NULL),
        ('column', 'task_name'), ('column', 'task_scheduled_at'),
        ('column', 'task_status'), ('column', 'executed_at'),
        ('column', 'execution_attempts'), ('column', 'last_execution_error'),
        ('column', 'idempotency_key')) AS g ("on", "column")
    EXCEPT SELECT * FROM had
), kept AS (
    SELECT coalesce(obj_description(to_regclass(format(
        '%I.followup_failures', :'schema')), 'pg_class'), '') AS mark
)
SELECT format('COMMENT ON TABLE %I.followup_failures IS %L', :'schema',
    regexp_replace(mark, '; granted: .*$', '') || '; granted: '
    || (coalesce(substring(mark FROM '; granted: (.*)$'), '[]')::jsonb
        || (SELECT jsonb_agg(jsonb_build_object('role', :'grant_to',
            'on', "on", 'column', "column")) FROM given))::text)
FROM kept WHERE mark LIKE 'followup-scheduler%' AND EXISTS (SELECT FROM given)
\gexec
GRANT USAGE ON SCHEMA :"schema" TO :"grant_to";
GRANT SELECT, UPDATE (task_name, task_scheduled_at, task_status, executed_at,
    execution_attempts, last_execution_error, idempotency_key)
    ON :"schema".:"table" TO :"grant_to";
GRANT SELECT, INSERT, UPDATE, DELETE ON :"schema".followup_attempts, :"schema".followup_failures,
    :"schema".followup_obsolete_tasks TO :"grant_to";
GRANT SELECT ON :"schema".followup_dead_letters TO :"grant_to";
GRANT EXECUTE ON FUNCTION :"schema".followup_is_followup_type(text),
    :"schema".followup_due_at(:"schema".:"table"),
    :"schema".followup_call_request(uuid), :"schema".followup_retry(uuid),
    :"schema".followup_retry_all(text, timestamptz, timestamptz)
    TO :"grant_to";
\endif
COMMIT;

--
-- The index, outside of any transaction so that nobody waits for it.  One
-- that is invalid, or another than ours, goes first.
--
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT coalesce((SELECT format('DROP INDEX CONCURRENTLY %s', identity)
    FROM :followup_defined JOIN :followup_found USING (kind, identity)
    WHERE kind = 'INDEX' AND (NOT enabled OR (mark_source, mark_text)
        IS DISTINCT FROM (md5(defined.source), found.text))), '')
    AS followup_drop
\gset
COMMIT;
:followup_drop ;
SELECT to_regclass(format('%I.followup_bookings_due_idx', :'schema')) IS NULL
    AS followup_make_index
\gset
\if :followup_make_index
:followup_index ;
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT format('COMMENT ON INDEX %s IS %L', identity, format(
    'followup-scheduler %s %s', md5(defined.source), found.text))
FROM :followup_defined JOIN :followup_found USING (kind, identity)
WHERE kind = 'INDEX'
\gexec
COMMIT;
\endif
SELECT pg_catalog.pg_advisory_unlock(7382912092064737639) AS followup_unused
\gset

\if :followup_ours
\else
\echo kept :"schema".followup_call_request(uuid): this deployment has its own
\endif
\echo follow-up scheduling is installed on :"schema".:"table"
\set QUIET :followup_quiet
