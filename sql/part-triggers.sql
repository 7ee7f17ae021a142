-- part-triggers.sql: the view and the triggers, and the marks by which the
-- uninstall finds what was made, and verify what was changed since.

-- They are made anew only where they differ from what
-- they should be: dropping a trigger waits for every writer.
SELECT CASE kind WHEN 'TRIGGER' THEN
    format('DROP TRIGGER IF EXISTS %s', identity) END, defined.source
FROM :followup_defined LEFT JOIN :followup_found USING (kind, identity)
WHERE kind IN ('VIEW', 'TRIGGER')
    AND (mark_source, mark_text) IS DISTINCT FROM
        (md5(defined.source), found.text)
ORDER BY kind DESC
\gexec
SELECT format('ALTER TABLE %s ENABLE TRIGGER %I',
    substr(identity, strpos(identity, ' ON ') + 4),
    split_part(identity, ' ', 1))
FROM :followup_defined JOIN :followup_found USING (kind, identity)
WHERE kind = 'TRIGGER' AND NOT enabled
\gexec
REVOKE ALL ON :"schema".followup_failures, :"schema".followup_attempts,
    :"schema".followup_obsolete_tasks, :"schema".followup_dead_letters,
    :"schema".followup_settings, :"schema".followup_pauses,
    :"schema".followup_backlog, :"schema".followup_past_pauses,
    :"schema".followup_past_hours,
    :"schema".followup_late, :"schema".followup_waits,
    :"schema".followup_history, :"schema".followup_acts FROM PUBLIC;

-- Settings that were written while nothing looked at them.
UPDATE :"schema".followup_settings SET value = value;

SELECT format('COMMENT ON %s %s IS %L', kind, identity, format(
    'followup-scheduler %s %s', md5(defined.source), found.text))
FROM :followup_defined JOIN :followup_found USING (kind, identity)
WHERE kind <> 'INDEX' AND (kind <> 'FUNCTION'
    OR found.source = md5(defined.source))
\gexec

-- The table that all of it belongs to, for when the triggers are gone.
SELECT format('COMMENT ON TABLE %I.followup_obsolete_tasks IS %L', :'schema',
    regexp_replace(obj_description(c.oid, 'pg_class'), '; table: .*$', '')
    || '; table: ' || quote_ident(:'table'))
FROM pg_class c
WHERE c.oid = to_regclass(format('%I.followup_obsolete_tasks', :'schema'))
    AND obj_description(c.oid, 'pg_class') LIKE 'followup-scheduler:%'
\gexec
