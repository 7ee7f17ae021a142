-- verify-booking-cloud-task-trigger.sql: is what this version of
-- create-booking-cloud-task-trigger.sql (beside this file) makes there,
-- unchanged and enabled?  One line a check, `ok ...` or `not ok ...: reason`.
-- It changes nothing: what it rehearses is undone.  Run it by `followup-trigger
-- verify`.
--
-- Variables: schema, table, and grant_to for the checks of a role's rights.

\set QUIET on
\ir part-defaults.sql
\ir part-begin.sql
\ir part-owner.sql
\ir part-shape.sql
\ir part-bodies.sql
\ir part-gate.sql
\ir part-operations.sql
\ir part-definitions.sql
\ir part-fit.sql
\ir part-ids.sql
\pset tuples_only on
\pset format unaligned

-- The operator's own query.
SELECT CASE WHEN EXISTS (SELECT FROM information_schema.triggers
    WHERE event_object_schema = :'schema' AND event_object_table = :'table'
        AND trigger_name = 'trigger_schedule_followup_cloud_task'
        AND event_manipulation = 'INSERT' AND action_timing = 'AFTER'
        AND action_orientation = 'ROW')
    THEN 'ok information_schema.triggers lists '
        'trigger_schedule_followup_cloud_task'
    ELSE 'not ok information_schema.triggers does not list '
        'trigger_schedule_followup_cloud_task: run followup-trigger install '
        '(if it is installed: verify as a role that may write the table, '
        'others do not see its triggers there)' END;

-- Each function, trigger, view and index: there, enabled, and as made here.
SELECT CASE WHEN reason IS NULL THEN format('ok %s %s%s', lower(kind),
        identity, CASE WHEN replaced THEN ' (replaced by this deployment)'
        ELSE '' END)
    ELSE format('not ok %s %s: %s', lower(kind), identity, reason) END
FROM (SELECT kind, identity, replaced, CASE
        WHEN found.text IS NULL THEN 'missing: run followup-trigger install'
        WHEN NOT enabled AND kind = 'TRIGGER' THEN 'disabled: run '
            'followup-trigger enable'
        WHEN NOT enabled THEN 'invalid, its build was interrupted: run '
            'followup-trigger install'
        WHEN replaced THEN NULL
        WHEN mark_source IS NULL THEN 'not made by followup-trigger: run '
            'followup-trigger install'
        WHEN mark_text IS DISTINCT FROM found.text
            OR found.source <> mark_source THEN 'changed since it was '
            'installed: run followup-trigger install'
        WHEN mark_source <> md5(defined.source) THEN 'made by another version '
            'or for another shape of the table: run followup-trigger install'
        END AS reason
    FROM :followup_defined LEFT JOIN :followup_found USING (kind, identity),
        LATERAL (SELECT coalesce(identity IN (format(
            '%I.followup_call_request(uuid)', :'schema'), format(
            '%1$I.followup_gate(%1$I.%2$I)', :'schema', :'table'), format(
            '%1$I.followup_queue(%1$I.%2$I)', :'schema', :'table'))
            AND found.source IS DISTINCT FROM mark_source
            AND found.text IS NOT NULL, false) AS replaced) AS r
    ) AS checked;

-- One list of types, wherever it is written out: sweep, trigger and index.
SELECT CASE WHEN stray IS NULL THEN 'ok follow-up types: the same list '
        'everywhere'
    ELSE format('not ok follow-up types: %s has another list: run '
        'followup-trigger install', stray) END
FROM (SELECT string_agg(identity, ', ' ORDER BY identity) AS stray FROM (
        SELECT p.oid::regprocedure::text AS identity, p.prosrc AS text
        FROM pg_proc p WHERE p.oid IN (
            to_regprocedure(format('%I.followup_is_followup_type(text)',
                :'schema')),
            to_regprocedure(format('%I.schedule_followup_cloud_task()',
                :'schema')))
        UNION ALL
        SELECT c.oid::regclass::text, pg_get_indexdef(c.oid) FROM pg_class c
        WHERE c.oid = to_regclass(format('%I.followup_bookings_due_idx',
            :'schema'))) AS place
    WHERE strpos(text, quote_literal(:'followup_types')) = 0) AS strays;

-- The columns of the bookings table, and of our own.
SELECT CASE WHEN reason IS NULL THEN format('ok column %I.%I.%I %s', :'schema',
        :'table', col, type)
    ELSE format('not ok column %I.%I.%I: %s', :'schema', :'table', col,
        reason) END
FROM :followup_columns_fit AS fit ORDER BY col;
SELECT CASE WHEN :'followup_same_id' <> '' THEN format('not ok ids: %s',
        :'followup_same_id_told')
    WHEN :'followup_ids_unique' THEN 'ok ids: each names one booking'
    ELSE format('ok ids: nothing keeps two bookings from having the same: '
        'ALTER TABLE %I.%I ADD UNIQUE (id)', :'schema', :'table') END;
WITH needed (tab, col, kind, len) AS (VALUES
    ('followup_failures', 'booking_id', 'uuid', 0),
    ('followup_failures', 'stage', 'text', 9),
    ('followup_failures', 'tenant_id', 'text', 36),
    ('followup_failures', 'attempts', 'integer', 0),
    ('followup_failures', 'first_failed_at', 'timestamp with time zone', 0),
    ('followup_failures', 'last_failed_at', 'timestamp with time zone', 0),
    ('followup_failures', 'next_attempt_at', 'timestamp with time zone', 0),
    ('followup_failures', 'http_status', 'integer', 0),
    ('followup_failures', 'error', 'text', 200),
    ('followup_failures', 'dead_at', 'timestamp with time zone', 0),
    ('followup_attempts', 'booking_id', 'uuid', 0),
    ('followup_attempts', 'begun_at', 'timestamp with time zone', 0),
    ('followup_obsolete_tasks', 'task_name', 'text', 200),
    ('followup_obsolete_tasks', 'booking_id', 'uuid', 0),
    ('followup_obsolete_tasks', 'obsolete_at', 'timestamp with time zone', 0),
    ('followup_obsolete_tasks', 'attempts', 'integer', 0),
    ('followup_obsolete_tasks', 'next_attempt_at',
        'timestamp with time zone', 0),
    ('followup_settings', 'name', 'text', 0),
    ('followup_settings', 'value', 'text', 0),
    ('followup_settings', 'week', 'int4multirange', 0),
    ('followup_pauses', 'scope', 'text', 0),
    ('followup_pauses', 'reason', 'text', 0),
    ('followup_pauses', 'paused_by', 'text', 0),
    ('followup_pauses', 'paused_at', 'timestamp with time zone', 0),
    ('followup_pauses', 'until', 'timestamp with time zone', 0),
    ('followup_pauses', 'except_tenants', 'text[]', 0),
    ('followup_past_pauses', 'scope', 'text', 0),
    ('followup_past_pauses', 'reason', 'text', 0),
    ('followup_past_pauses', 'paused_at', 'timestamp with time zone', 0),
    ('followup_past_pauses', 'until', 'timestamp with time zone', 0),
    ('followup_past_pauses', 'except_tenants', 'text[]', 0),
    ('followup_past_hours', 'until', 'timestamp with time zone', 0),
    ('followup_past_hours', 'week', 'int4multirange', 0),
    ('followup_settings', 'changed_at', 'timestamp with time zone', 0),
    ('followup_pauses', 'changed_at', 'timestamp with time zone', 0),
    ('followup_waits', 'booking_id', 'uuid', 0),
    ('followup_waits', 'due_at', 'timestamp with time zone', 0),
    ('followup_waits', 'until', 'timestamp with time zone', 0),
    ('followup_waits', 'looked_at', 'timestamp with time zone', 0),
    ('followup_waits', 'look_at', 'timestamp with time zone', 0),
    ('followup_late', 'booking_id', 'uuid', 0),
    ('followup_late', 'due_at', 'timestamp with time zone', 0),
    ('followup_late', 'asked_by', 'text', 0),
    ('followup_late', 'asked_at', 'timestamp with time zone', 0),
    ('followup_acts', 'id', 'bigint', 0),
    ('followup_acts', 'at', 'timestamp with time zone', 0),
    ('followup_acts', 'by', 'text', 0),
    ('followup_acts', 'what', 'text', 0),
    ('followup_canary', 'id', 'uuid', 0),
    ('followup_canary', 'slot', 'timestamp with time zone', 0),
    ('followup_canary', 'try', 'integer', 0),
    ('followup_canary', 'scheduled_at', 'timestamp with time zone', 0),
    ('followup_canary', 'created_at', 'timestamp with time zone', 0),
    ('followup_canary', 'notified_at', 'timestamp with time zone', 0),
    ('followup_canary', 'received_at', 'timestamp with time zone', 0),
    ('followup_canary', 'task_created_at', 'timestamp with time zone', 0),
    ('followup_canary', 'task_name', 'text', 200),
    ('followup_canary', 'called_back_at', 'timestamp with time zone', 0),
    ('followup_canary', 'error', 'text', 200),
    ('followup_backlog', 'booking_id', 'uuid', 0),
    ('followup_backlog', 'due_at', 'timestamp with time zone', 0),
    ('followup_events', 'id', 'uuid', 0),
    ('followup_events', 'kind', 'text', 24),
    ('followup_events', 'key', 'text', 640),
    ('followup_events', 'state', 'text', 24),
    ('followup_events', 'data', 'jsonb', 0),
    ('followup_events', 'seen', 'jsonb', 0),
    ('followup_events', 'happened_at', 'timestamp with time zone', 0),
    ('followup_events', 'attempts', 'integer', 0),
    ('followup_events', 'next_attempt_at', 'timestamp with time zone', 0),
    ('followup_events', 'delivered_at', 'timestamp with time zone', 0),
    ('followup_events', 'last_error', 'text', 512),
    ('followup_history', 'id', 'bigint', 0),
    ('followup_history', 'booking_id', 'uuid', 0),
    ('followup_history', 'tenant_id', 'text', 36),
    ('followup_history', 'at', 'timestamp with time zone', 0),
    ('followup_history', 'what', 'text', 12),
    ('followup_history', 'by', 'text', 64),
    ('followup_history', 'http_status', 'integer', 0),
    ('followup_history', 'ms', 'integer', 0),
    ('followup_history', 'reason', 'text', 1024),
    ('followup_history', 'trace_id', 'text', 32)
), found AS (
    SELECT n.*, format('%I.%I.%I', :'schema', n.tab, n.col) AS name,
        format_type(a.atttypid, a.atttypmod) AS type,
        CASE WHEN a.attname IS NULL THEN 'missing: run followup-trigger '
            'install'
        WHEN n.kind = 'text' AND t.typcategory <> 'S'
            OR n.kind = 'integer' AND a.atttypid NOT IN ('int2'::regtype,
                'int4'::regtype, 'int8'::regtype)
            OR n.kind NOT IN ('text', 'integer')
            AND format_type(a.atttypid, NULL) <> n.kind
            THEN format('is %s and must be %s: change its type',
                format_type(a.atttypid, a.atttypmod), n.kind)
        WHEN n.kind = 'text' AND a.atttypmod - 4 BETWEEN 0 AND n.len - 1
            THEN format('is %s and too short, it takes %s characters: change '
                'its type', format_type(a.atttypid, a.atttypmod), n.len)
        END AS reason
    FROM needed n LEFT JOIN pg_attribute a
        ON a.attrelid = to_regclass(format('%I.%I', :'schema', n.tab))
        AND a.attname = n.col AND NOT a.attisdropped
    LEFT JOIN pg_type t ON t.oid = a.atttypid
)
SELECT CASE WHEN reason IS NULL THEN format('ok column %s %s', name, type)
    ELSE format('not ok column %s: %s', name, reason) END
FROM found ORDER BY name;

-- The daemons write "ON CONFLICT" against these keys.
SELECT CASE WHEN EXISTS (SELECT FROM pg_constraint c
        WHERE c.conrelid = to_regclass(format('%I.%I', :'schema', k.tab))
            AND c.contype = 'p'
            AND pg_get_constraintdef(c.oid) = 'PRIMARY KEY ' || k.key)
    THEN format('ok primary key of %I.%I', :'schema', k.tab)
    ELSE format('not ok primary key of %I.%I: is not %s: add it', :'schema',
        k.tab, k.key) END
FROM (VALUES ('followup_failures', '(booking_id, stage)'),
    ('followup_attempts', '(booking_id)'),
    ('followup_obsolete_tasks', '(task_name)'),
    ('followup_settings', '(name)'), ('followup_pauses', '(scope)'),
    ('followup_past_hours', '(until)'),
    ('followup_late', '(booking_id)'), ('followup_waits', '(booking_id)'),
    ('followup_canary', '(id)'), ('followup_history', '(booking_id, id)'),
    ('followup_events', '(id)'),
    ('followup_backlog', '(booking_id)')) AS k (tab, key);

-- The shape by which followup_due_at reads scheduled_at.
SELECT CASE WHEN NOT EXISTS (SELECT FROM :followup_found
        WHERE identity = format('%1$I.followup_due_at(%1$I.%2$I)', :'schema',
            :'table') AND source = md5(:'followup_body_due'))
    THEN 'not ok time zones: followup_due_at does not fit the type of '
        'scheduled_at: run followup-trigger install'
    ELSE 'ok time zones: scheduled_at is ' || CASE
        WHEN NOT :'followup_local_time' THEN 'timestamptz, taken as it is'
        WHEN :'followup_zoned' THEN 'timestamp, read in the row''s timezone'
        ELSE 'timestamp without a timezone column, read as UTC' END END;

-- Phone numbers and error texts are for nobody but whom they are granted to.
SELECT CASE WHEN has_table_privilege('public', rel,
        'SELECT, INSERT, UPDATE, DELETE')
    THEN format('not ok privacy of %s: PUBLIC may use it: run '
        'followup-trigger install', rel::regclass)
    ELSE format('ok privacy of %s', rel::regclass) END
FROM (VALUES ('followup_failures'), ('followup_attempts'),
    ('followup_obsolete_tasks'), ('followup_dead_letters'),
    ('followup_settings'), ('followup_pauses'), ('followup_past_pauses'),
    ('followup_past_hours'), ('followup_late'), ('followup_waits'),
    ('followup_backlog'), ('followup_canary'), ('followup_history'),
    ('followup_acts'), ('followup_events'))
    AS t (name),
    LATERAL (SELECT to_regclass(format('%I.%I', :'schema', name))::oid AS rel)
    AS r
WHERE rel IS NOT NULL;
SELECT CASE WHEN has_function_privilege('public', f, 'EXECUTE')
    THEN format('not ok privacy of %1$s: PUBLIC may call it: REVOKE EXECUTE '
        'ON FUNCTION %1$s FROM PUBLIC', f::regprocedure)
    ELSE format('ok privacy of %s', f::regprocedure) END
FROM (SELECT to_regprocedure(format('%I.followup_call_request(uuid)',
    :'schema'))::oid AS f) AS t
WHERE f IS NOT NULL;

-- Whoever inserts a booking runs this one.
SELECT CASE WHEN has_function_privilege('public', f, 'EXECUTE')
    THEN format('ok everybody may call %s', f::regprocedure)
    ELSE format('not ok %s: not everybody may call it, so an INSERT may fail: '
        'run followup-trigger install', f::regprocedure) END
FROM (SELECT to_regprocedure(format('%I.followup_is_followup_type(text)',
    :'schema'))::oid AS f) AS t
WHERE f IS NOT NULL;

SELECT :'grant_to' <> '' AS followup_grant
\gset
\if :followup_grant
WITH object AS (
    SELECT 'CONNECT' AS privilege, 'database' AS kind, d.oid,
        format('database %I', d.datname) AS name, NULL::text AS col
    FROM pg_database d WHERE d.datname = current_database()
    UNION ALL
    SELECT 'USAGE', 'schema', n.oid, format('schema %I', n.nspname), NULL
    FROM pg_namespace n WHERE n.nspname = :'schema'
    UNION ALL
    SELECT p.privilege, 'table', c.oid, c.oid::regclass::text, NULL
    FROM (VALUES (:'table', 'SELECT'), ('followup_dead_letters', 'SELECT'),
        ('followup_failures', 'SELECT'), ('followup_failures', 'INSERT'),
        ('followup_failures', 'UPDATE'), ('followup_failures', 'DELETE'),
        ('followup_attempts', 'SELECT'), ('followup_attempts', 'INSERT'),
        ('followup_attempts', 'UPDATE'), ('followup_attempts', 'DELETE'),
        ('followup_obsolete_tasks', 'SELECT'),
        ('followup_obsolete_tasks', 'INSERT'),
        ('followup_obsolete_tasks', 'UPDATE'),
        ('followup_obsolete_tasks', 'DELETE'),
        ('followup_late', 'SELECT'), ('followup_late', 'INSERT'),
        ('followup_late', 'UPDATE'), ('followup_late', 'DELETE'),
        ('followup_events', 'SELECT'), ('followup_events', 'INSERT'),
        ('followup_events', 'UPDATE'), ('followup_events', 'DELETE'),
        ('followup_waits', 'SELECT'), ('followup_waits', 'INSERT'),
        ('followup_waits', 'UPDATE'), ('followup_waits', 'DELETE'),
        ('followup_canary', 'SELECT'), ('followup_canary', 'INSERT'),
        ('followup_canary', 'UPDATE'), ('followup_canary', 'DELETE'),
        ('followup_history', 'SELECT'), ('followup_history', 'INSERT'),
        ('followup_history', 'DELETE'),
        ('followup_acts', 'SELECT'), ('followup_acts', 'INSERT'),
        ('followup_pauses', 'INSERT'), ('followup_pauses', 'UPDATE'),
        ('followup_pauses', 'SELECT'), ('followup_past_pauses', 'SELECT'),
        ('followup_past_hours', 'SELECT'),
        ('followup_settings', 'SELECT'), ('followup_backlog', 'SELECT'))
        AS p (rel, privilege)
    JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', :'schema', p.rel))
    UNION ALL
    SELECT 'UPDATE', 'column', a.attrelid, a.attrelid::regclass || '.'
        || a.attname, a.attname
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND NOT a.attisdropped AND a.attname IN ('task_name',
        'task_scheduled_at', 'task_status', 'executed_at',
        'execution_attempts', 'last_execution_error', 'idempotency_key')
    UNION ALL
    SELECT 'EXECUTE', 'function', f::oid, f::text, NULL
    FROM :followup_defined, to_regprocedure(identity) AS f
    WHERE kind = 'FUNCTION' AND f IS NOT NULL
        AND f::oid NOT IN (SELECT oid FROM pg_proc
            WHERE prorettype = 'trigger'::regtype)
)
SELECT format(CASE CASE kind
        WHEN 'database' THEN has_database_privilege(:'grant_to', oid,
            privilege)
        WHEN 'schema' THEN has_schema_privilege(:'grant_to', oid, privilege)
        WHEN 'table' THEN has_table_privilege(:'grant_to', oid, privilege)
        WHEN 'column' THEN has_column_privilege(:'grant_to', oid, col,
            privilege)
        ELSE has_function_privilege(:'grant_to', oid, privilege) END
    WHEN true THEN 'ok %1$s has %2$s on %3$s'
    ELSE 'not ok %1$s lacks %2$s on %3$s: run followup-trigger install '
        '--grant-to %1$s' END, :'grant_to', privilege, name)
FROM object;
\endif

-- What all of this is for.
\ir part-rehearsal.sql
SELECT CASE WHEN (line -> 'ok')::boolean THEN 'ok ' ELSE 'not ok ' END
    || regexp_replace(line ->> 'text', '\s+', ' ', 'g')
FROM jsonb_array_elements(current_setting('followup.rehearsed')::jsonb) AS line;
ROLLBACK;
