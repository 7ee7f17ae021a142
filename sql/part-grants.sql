-- part-grants.sql: the rights of the daemons' role.  Of what it is given on
-- objects that are not ours, the COMMENT of followup_failures keeps what it did
-- not have, for the uninstall.

-- Whoever has had the rights of a daemon, from an earlier version or before an
-- uninstall, gets those to what has come since.
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON '
        '%1$I.followup_attempts, %1$I.followup_late, '
        '%1$I.followup_waits, %1$I.followup_canary, '
        '%1$I.followup_events TO %2$s', :'schema',
        a.grantee::regrole),
    format('GRANT SELECT, INSERT, DELETE ON %I.followup_history TO %s',
        :'schema', a.grantee::regrole),
    format('GRANT INSERT, UPDATE ON %I.followup_pauses TO %s', :'schema',
        a.grantee::regrole),
    format('GRANT SELECT, INSERT ON %I.followup_acts TO %s', :'schema',
        a.grantee::regrole),
    format('GRANT SELECT ON %1$I.followup_dead_letters, '
        '%1$I.followup_pauses, %1$I.followup_past_pauses, '
        '%1$I.followup_past_hours, %1$I.followup_settings, '
        '%1$I.followup_backlog TO %2$s', :'schema',
        a.grantee::regrole),
    format('GRANT EXECUTE ON FUNCTION %1$I.followup_due_at(%1$I.%2$I), '
        '%1$I.followup_fields(%1$I.%2$I), '
        '%1$I.followup_gate(%1$I.%2$I), '
        '%1$I.followup_verdict(%1$I.%2$I), '
        '%1$I.followup_queue(%1$I.%2$I), '
        '%1$I.followup_judge(%1$I.%2$I, timestamptz), '
        '%1$I.followup_gate_at(%1$I.%2$I, timestamptz), '
        '%1$I.followup_gate_for_all(), '
        '%1$I.followup_allowed(text, int4multirange, text, timestamptz), '
        '%1$I.followup_open(int4multirange, text, timestamptz), '
        '%1$I.followup_within(int4multirange, text, timestamptz), '
        '%1$I.followup_week(text), %1$I.followup_call_request(uuid), '
        '%1$I.followup_canary_state(), '
        '%1$I.followup_scope(text), %1$I.followup_resume(text, text), '
        '%1$I.followup_pause(text, text, timestamptz, text), '
        '%1$I.followup_retry(uuid, boolean, text, timestamptz), '
        '%1$I.followup_cause(text), %1$I.followup_letters(jsonb), '
        '%1$I.followup_retry_preview(jsonb, boolean), '
        '%1$I.followup_retry_all(jsonb, boolean, text, int, int) TO %3$s',
        :'schema', :'table', a.grantee::regrole)
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.oid = to_regclass(format('%I.followup_failures', :'schema'))
    AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
\gexec

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
    UNION ALL
    SELECT 'database', NULL FROM role
    WHERE NOT has_database_privilege(oid, current_database(), 'CONNECT')
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
-- Mostly everybody may connect.
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), rolname)
FROM pg_roles WHERE rolname = :'grant_to'
    AND NOT has_database_privilege(oid, current_database(), 'CONNECT')
\gexec
GRANT USAGE ON SCHEMA :"schema" TO :"grant_to";
GRANT SELECT, UPDATE (task_name, task_scheduled_at, task_status, executed_at,
    execution_attempts, last_execution_error, idempotency_key)
    ON :"schema".:"table" TO :"grant_to";
GRANT SELECT, INSERT, UPDATE, DELETE ON :"schema".followup_failures,
    :"schema".followup_attempts, :"schema".followup_obsolete_tasks,
    :"schema".followup_late, :"schema".followup_waits,
    :"schema".followup_canary, :"schema".followup_events TO :"grant_to";
GRANT SELECT ON :"schema".followup_dead_letters, :"schema".followup_pauses,
    :"schema".followup_past_pauses, :"schema".followup_past_hours,
    :"schema".followup_settings, :"schema".followup_backlog TO :"grant_to";
GRANT SELECT, INSERT, DELETE ON :"schema".followup_history TO :"grant_to";
GRANT INSERT, UPDATE ON :"schema".followup_pauses TO :"grant_to";
GRANT SELECT, INSERT ON :"schema".followup_acts TO :"grant_to";
GRANT EXECUTE ON FUNCTION :"schema".followup_scope(text),
    :"schema".followup_pause(text, text, timestamptz, text),
    :"schema".followup_resume(text, text) TO :"grant_to";
GRANT EXECUTE ON FUNCTION :"schema".followup_is_followup_type(text),
    :"schema".followup_due_at(:"schema".:"table"),
    :"schema".followup_canary_state(),
    :"schema".followup_fields(:"schema".:"table"),
    :"schema".followup_gate(:"schema".:"table"),
    :"schema".followup_verdict(:"schema".:"table"),
    :"schema".followup_queue(:"schema".:"table"),
    :"schema".followup_judge(:"schema".:"table", timestamptz),
    :"schema".followup_gate_at(:"schema".:"table", timestamptz),
    :"schema".followup_gate_for_all(),
    :"schema".followup_allowed(text, int4multirange, text, timestamptz),
    :"schema".followup_open(int4multirange, text, timestamptz),
    :"schema".followup_within(int4multirange, text, timestamptz),
    :"schema".followup_week(text),
    :"schema".followup_call_request(uuid),
    :"schema".followup_retry(uuid, boolean, text, timestamptz),
    :"schema".followup_cause(text), :"schema".followup_letters(jsonb),
    :"schema".followup_retry_preview(jsonb, boolean),
    :"schema".followup_retry_all(jsonb, boolean, text, int, int)
    TO :"grant_to";
\endif
