-- part-definitions.sql: triggers, view and index as statements, and what this
-- version makes (followup_defined) beside what there is (followup_found).

-- Every statement that writes the table copies the WHEN clauses of all triggers
-- and reads those that it may fire from their stored text, so they are as short
-- as can be: what concerns few statements is left to the functions.  The
-- daemons say of their sessions that they know what they write.
--
-- The one before the UPDATE looks at every row whose plan is written, changed
-- or not, because a whole row that is saved as it had been some time ago may
-- differ in the columns of the task alone.  No trigger names those, so that
-- their types can be altered.
SELECT 'pg_catalog.current_setting(''followup.daemon'', true) '
        'IS DISTINCT FROM ''on''' AS followup_not_ours,
    '(OLD.task_status IS DISTINCT FROM NEW.task_status '
        'OR OLD.booking_type IS DISTINCT FROM NEW.booking_type '
        'OR OLD.scheduled_at IS DISTINCT FROM NEW.scheduled_at'
        || CASE WHEN :'followup_zoned' THEN
        ' OR OLD.timezone IS DISTINCT FROM NEW.timezone' ELSE '' END
        || :'followup_soft_changed' || ')' AS followup_changed,
    'scheduled_at, task_status, booking_type'
        || CASE WHEN :'followup_zoned' THEN ', timezone' ELSE '' END
        || :'followup_soft_columns' AS followup_columns
\gset

SELECT format('CREATE CONSTRAINT TRIGGER trigger_schedule_followup_cloud_task '
        'AFTER INSERT ON %1$I.%2$I DEFERRABLE INITIALLY DEFERRED FOR EACH ROW '
        'EXECUTE FUNCTION %1$I.schedule_followup_cloud_task()',
        :'schema', :'table') AS followup_trigger_insert,
    format('CREATE TRIGGER trigger_followup_cloud_task_changed '
        'BEFORE UPDATE OF %3$s ON %1$I.%2$I FOR EACH ROW WHEN (%4$s) '
        'EXECUTE FUNCTION %1$I.followup_booking_changed()',
        :'schema', :'table', :'followup_columns', :'followup_not_ours')
        AS followup_trigger_changed,
    -- Something to schedule, or a task to delete.
    format('CREATE CONSTRAINT TRIGGER trigger_followup_cloud_task_reschedule '
        'AFTER UPDATE OF %3$s ON %1$I.%2$I DEFERRABLE INITIALLY DEFERRED '
        'FOR EACH ROW WHEN ((NEW.task_status = ''pending'' '
        'OR (OLD.task_name IS NOT NULL AND NEW.task_name IS NULL)) '
        'AND %4$s AND %5$s) '
        'EXECUTE FUNCTION %1$I.schedule_followup_cloud_task()',
        :'schema', :'table', :'followup_columns', :'followup_changed',
        :'followup_not_ours') AS followup_trigger_reschedule,
    format('CREATE TRIGGER trigger_followup_cloud_task_deleted '
        'AFTER DELETE ON %1$I.%2$I FOR EACH ROW '
        'WHEN (OLD.task_status <> ''executed'' AND %3$s) '
        'EXECUTE FUNCTION %1$I.followup_booking_changed()',
        :'schema', :'table', :'followup_not_ours') AS followup_trigger_deleted,
    format('CREATE CONSTRAINT TRIGGER trigger_followup_cloud_task_release '
        'AFTER DELETE ON %1$I.%2$I DEFERRABLE INITIALLY DEFERRED '
        'FOR EACH ROW WHEN (OLD.task_name IS NOT NULL '
        'AND OLD.task_status <> ''executed'' AND %3$s) '
        'EXECUTE FUNCTION %1$I.schedule_followup_cloud_task()',
        :'schema', :'table', :'followup_not_ours') AS followup_trigger_release,
    format('CREATE TRIGGER trigger_followup_cloud_task_truncated '
        'AFTER TRUNCATE ON %1$I.%2$I FOR EACH STATEMENT WHEN (%3$s) '
        'EXECUTE FUNCTION %1$I.followup_bookings_truncated()',
        :'schema', :'table', :'followup_not_ours')
        AS followup_trigger_truncated,
    format('CREATE TRIGGER trigger_followup_setting_written '
        'BEFORE INSERT OR UPDATE ON %1$I.followup_settings FOR EACH ROW '
        'EXECUTE FUNCTION %1$I.followup_setting_written()', :'schema')
        AS followup_trigger_setting,
    format('CREATE TRIGGER trigger_followup_hours_changed '
        'AFTER INSERT OR UPDATE OR DELETE ON %1$I.followup_settings '
        'FOR EACH ROW EXECUTE FUNCTION %1$I.followup_hours_changed()',
        :'schema') AS followup_trigger_hours,
    format('CREATE TRIGGER trigger_followup_pause_changed '
        'AFTER UPDATE OR DELETE ON %1$I.followup_pauses FOR EACH ROW '
        'EXECUTE FUNCTION %1$I.followup_pause_changed()', :'schema')
        AS followup_trigger_pause,
    format('CREATE CONSTRAINT TRIGGER trigger_schedule_followup_cloud_task '
        'AFTER INSERT ON %1$I.followup_canary DEFERRABLE INITIALLY DEFERRED '
        'FOR EACH ROW EXECUTE FUNCTION %1$I.schedule_followup_cloud_task()',
        :'schema') AS followup_trigger_canary,
    format('CREATE OR REPLACE VIEW %1$I.followup_dead_letters AS '
        'SELECT booking_id, tenant_id, stage, attempts, first_failed_at, '
        'last_failed_at, http_status, error, dead_at '
        'FROM %1$I.followup_failures WHERE dead_at IS NOT NULL',
        :'schema') AS followup_view,
    -- The form that followup_is_followup_type has once it is inlined.  IN would
    -- read differently after it was dumped and restored.
    format('CREATE INDEX CONCURRENTLY followup_bookings_due_idx '
        'ON %1$I.%2$I (task_status, scheduled_at, id) '
        'WHERE (task_status = ''pending'' OR task_status = ''scheduled'') '
        'AND coalesce(pg_catalog.lower(booking_type::text '
        'COLLATE pg_catalog."C") OPERATOR(pg_catalog.=) '
        'ANY (%3$L::pg_catalog.text[]), false)',
        :'schema', :'table', :'followup_types') AS followup_index
\gset

-- followup_defined: what this version makes, as a FROM item; identity is
-- written as regprocedure writes it with nothing but pg_catalog in the path.
SELECT '(VALUES ' || string_agg(format('(%L, %L, %L)', kind,
        format(identity, :'schema', :'table'), source), ', ')
        || ') AS defined (kind, identity, source)' AS followup_defined
FROM (VALUES
    ('FUNCTION', '%1$I.followup_is_followup_type(text)',
        :'followup_body_type'),
    ('FUNCTION', '%1$I.followup_type_meant(text)',
        :'followup_body_type_meant'),
    ('FUNCTION', '%1$I.followup_zone(text)', :'followup_body_zone'),
    ('FUNCTION', '%1$I.followup_due_at(%1$I.%2$I)', :'followup_body_due'),
    ('FUNCTION', '%1$I.followup_is_deleted(%1$I.%2$I)',
        :'followup_body_is_deleted'),
    ('FUNCTION', '%1$I.followup_fields(%1$I.%2$I)', :'followup_body_fields'),
    ('FUNCTION', '%1$I.followup_call_request(uuid)',
        :'followup_body_call_request'),
    ('FUNCTION', '%1$I.followup_queue(%1$I.%2$I)', :'followup_body_queue'),
    ('FUNCTION', '%1$I.followup_gate(%1$I.%2$I)', :'followup_body_gate'),
    ('FUNCTION', '%1$I.followup_verdict(%1$I.%2$I)',
        :'followup_body_verdict'),
    ('FUNCTION', '%1$I.followup_judge(%1$I.%2$I,timestamp with time zone)',
        :'followup_body_judge'),
    ('FUNCTION', '%1$I.followup_gate_at(%1$I.%2$I,timestamp with time zone)',
        :'followup_body_gate_at'),
    ('FUNCTION', '%1$I.followup_gate_for_all()', :'followup_body_gate_for_all'),
    ('FUNCTION', '%1$I.followup_allowed(text,int4multirange,text,'
        'timestamp with time zone)', :'followup_body_allowed'),
    ('FUNCTION', '%1$I.followup_within(int4multirange,text,'
        'timestamp with time zone)', :'followup_body_within'),
    ('FUNCTION', '%1$I.followup_open(int4multirange,text,'
        'timestamp with time zone)', :'followup_body_open'),
    ('FUNCTION', '%1$I.followup_week(text)', :'followup_body_week'),
    ('FUNCTION', '%1$I.followup_setting_written()', :'followup_body_setting'),
    ('FUNCTION', '%1$I.followup_hours_changed()',
        :'followup_body_hours_changed'),
    ('FUNCTION', '%1$I.followup_pause_changed()',
        :'followup_body_pause_changed'),
    ('FUNCTION', '%1$I.followup_scope(text)', :'followup_body_scope'),
    ('FUNCTION', '%1$I.followup_pause(text,text,timestamp with time zone,'
        'text)', :'followup_body_pause'),
    ('FUNCTION', '%1$I.followup_resume(text,text)', :'followup_body_resume'),
    ('FUNCTION', '%1$I.followup_retry(uuid,boolean,text,'
        'timestamp with time zone)', :'followup_body_retry'),
    ('FUNCTION', '%1$I.followup_cause(text)', :'followup_body_cause'),
    ('FUNCTION', '%1$I.followup_letters(jsonb)', :'followup_body_letters'),
    ('FUNCTION', '%1$I.followup_retry_preview(jsonb,boolean)',
        :'followup_body_retry_preview'),
    ('FUNCTION', '%1$I.followup_retry_all(jsonb,boolean,text,integer,'
        'integer)', :'followup_body_retry_all'),
    ('FUNCTION', '%1$I.followup_canary_state()',
        :'followup_body_canary_state'),
    ('FUNCTION', '%1$I.schedule_followup_cloud_task()',
        :'followup_body_notify'),
    ('FUNCTION', '%1$I.followup_booking_changed()', :'followup_body_changed'),
    ('FUNCTION', '%1$I.followup_bookings_truncated()',
        :'followup_body_truncated'),
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
    ('TRIGGER', 'trigger_followup_cloud_task_truncated ON %1$I.%2$I',
        :'followup_trigger_truncated'),
    ('TRIGGER', 'trigger_followup_setting_written ON %1$I.followup_settings',
        :'followup_trigger_setting'),
    ('TRIGGER', 'trigger_followup_hours_changed ON %1$I.followup_settings',
        :'followup_trigger_hours'),
    ('TRIGGER', 'trigger_followup_pause_changed ON %1$I.followup_pauses',
        :'followup_trigger_pause'),
    ('TRIGGER', 'trigger_schedule_followup_cloud_task ON '
        '%1$I.followup_canary', :'followup_trigger_canary'),
    ('VIEW', '%1$I.followup_dead_letters', :'followup_view'),
    ('INDEX', '%1$I.followup_bookings_due_idx', :'followup_index')
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
    SELECT 'TRIGGER', format('%%I ON %%s', t.tgname, t.tgrelid::regclass), NULL,
        md5(pg_get_triggerdef(t.oid)), obj_description(t.oid, 'pg_trigger'),
        t.tgenabled IN ('O', 'A')
    FROM pg_trigger t
    WHERE NOT t.tgisinternal AND t.tgrelid IN (to_regclass(%2$L),
        to_regclass(%1$L || '.followup_settings'),
        to_regclass(%1$L || '.followup_pauses'),
        to_regclass(%1$L || '.followup_canary'))
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
