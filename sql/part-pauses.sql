-- part-pauses.sql: tells which pauses are in force, a line each.

SELECT format('paused: %s since %s by %s%s: %s%s', CASE scope
        WHEN 'all' THEN 'everything' ELSE 'tenant ' || substr(scope, 8) END,
    date_trunc('second', paused_at), paused_by, ', until ' || until,
    regexp_replace(reason, '[[:space:]]+', ' ', 'g'), CASE
        WHEN except_tenants <> '{}' THEN ' (not paused: tenant '
        || array_to_string(except_tenants, ', tenant ') || ')' END)
FROM :"schema".followup_pauses WHERE until IS NULL OR until > now()
ORDER BY scope <> 'all', scope;
