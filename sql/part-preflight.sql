-- part-preflight.sql: what would stop an install halfway, or would be
-- overwritten by it, is refused here, before anything is changed; everything
-- that is wrong is told at once.  What only shows when the daemons' statements
-- are run is left to part-rehearsal.sql.

SELECT set_config('followup.problem', coalesce(string_agg(problem, E'\n'), ''),
    true) AS followup_unused
FROM (
    SELECT pg_roles.*, current_setting('transaction_read_only') = 'on'
        AS is_readonly, c.oid AS tab, c.relowner, n.oid AS schema_oid,
        format('%I.%I', :'schema', :'table') AS t
    FROM pg_roles, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE pg_roles.rolname = current_user
        AND c.oid = to_regclass(format('%I.%I', :'schema', :'table'))
    ) AS me, LATERAL (
    SELECT 'this server is read-only: run install on the primary server'
        AS problem
    WHERE is_readonly
    UNION ALL
    -- Whoever installs.
    SELECT format('only the owner of %s can install: run install as %I, or '
        'as a superuser', t, pg_get_userbyid(relowner))
    WHERE NOT pg_has_role(me.oid, relowner, 'USAGE')
    UNION ALL
    SELECT format('%I must not create anything in schema %I: GRANT CREATE ON '
        'SCHEMA %2$I TO %1$I', current_user, :'schema')
    WHERE NOT has_schema_privilege(schema_oid, 'CREATE')
    UNION ALL
    SELECT format('row level security of %s hides rows from %I, who owns our '
        'functions then: ALTER ROLE %2$I BYPASSRLS', t, current_user)
    WHERE row_security_active(tab)
    UNION ALL
    -- The daemons' role.
    SELECT format('role "%s" does not exist: CREATE ROLE it, or name another '
        'one by --grant-to', :'grant_to')
    WHERE :'grant_to' <> '' AND to_regrole(quote_ident(:'grant_to')) IS NULL
    UNION ALL
    SELECT format('%I may not give others the schema %I, which %I needs: run '
        'this as the owner of the schema: GRANT USAGE ON SCHEMA %2$I TO %3$I',
        current_user, :'schema', r.rolname)
    FROM pg_roles r WHERE r.rolname = :'grant_to'
        AND NOT has_schema_privilege(r.oid, schema_oid, 'USAGE')
        AND NOT has_schema_privilege(schema_oid, 'USAGE WITH GRANT OPTION')
    UNION ALL
    SELECT format('%I may not let %I connect to the database %I: run this as '
        'its owner: GRANT CONNECT ON DATABASE %3$I TO %2$I', current_user,
        r.rolname, current_database())
    FROM pg_roles r WHERE r.rolname = :'grant_to'
        AND NOT has_database_privilege(r.oid, current_database(), 'CONNECT')
        AND NOT has_database_privilege(current_database(),
        'CONNECT WITH GRANT OPTION')
    UNION ALL
    -- The table.
    SELECT format('%s is temporary: name the table that lasts', t)
    FROM pg_class c WHERE c.oid = tab AND c.relpersistence = 't'
    UNION ALL
    SELECT format('%s has children (%s) whose rows fire no trigger of ours: '
        'keep the bookings in one ordinary table', t,
        string_agg(i.inhrelid::regclass::text, ', '))
    FROM pg_inherits i WHERE i.inhparent = tab HAVING count(*) > 0
    UNION ALL
    SELECT format('column %I of %s is generated, and %s: make it an ordinary '
        'column, kept by a trigger of yours if need be (ALTER TABLE %2$s ALTER '
        '%1$I DROP EXPRESSION)', a.attname, t, CASE WHEN c.col IS NULL
        THEN 'no trigger can see whether it changes'
        ELSE 'the daemons have to write it' END)
    FROM pg_attribute a LEFT JOIN :followup_columns_fit AS c
        ON c.col = a.attname
    WHERE a.attrelid = tab AND NOT a.attisdropped AND a.attgenerated <> ''
        AND (c.col IS NOT NULL OR a.attname IN ('id', 'booking_type',
        'scheduled_at', 'timezone', 'is_deleted', 'deleted_at'))
        -- A column that only follows from deleted_at adds nothing to it.
        AND NOT (a.attname = 'is_deleted' AND EXISTS (
            SELECT FROM pg_attribute o WHERE o.attrelid = tab
                AND o.attname = 'deleted_at' AND NOT o.attisdropped
                AND o.attgenerated = ''
                AND NOT EXISTS (SELECT FROM pg_attrdef e JOIN pg_depend d
                    ON (d.classid, d.objid) = ('pg_attrdef'::regclass, e.oid)
                    OR (d.classid, d.objid, d.objsubid)
                        = ('pg_class'::regclass, tab, a.attnum)
                WHERE (e.adrelid, e.adnum) = (tab, a.attnum)
                    AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = tab
                    AND d.refobjsubid NOT IN (0, a.attnum, o.attnum))))
    UNION ALL
    SELECT format('column %I of %s %s', c.col, t, c.reason)
    FROM :followup_columns_fit AS c WHERE c.type IS NOT NULL
        AND c.reason IS NOT NULL
    UNION ALL
    SELECT :'followup_same_id_told' WHERE :'followup_same_id' <> ''
    UNION ALL
    -- What is there under our names, and is not ours.
    SELECT format('there is another %s already, which is not ours: rename it, '
        'or keep the bookings in a schema of their own', r::regclass)
    FROM unnest(ARRAY['followup_failures', 'followup_attempts',
        'followup_obsolete_tasks', 'followup_settings', 'followup_pauses',
        'followup_past_pauses', 'followup_past_hours', 'followup_late',
        'followup_waits', 'followup_backlog', 'followup_canary',
        'followup_history', 'followup_acts', 'followup_events',
        'followup_dead_letters'])
        AS o (name),
        LATERAL (SELECT to_regclass(format('%I.%I', :'schema', o.name))::oid
            AS r) AS rel
    WHERE r IS NOT NULL AND coalesce(obj_description(r, 'pg_class'), '')
        NOT LIKE 'followup-scheduler%'
    UNION ALL
    SELECT format('there is another %s already, which is not ours: rename it, '
        'or keep the bookings in a schema of their own', c.oid::regclass)
    FROM :followup_defined JOIN pg_class c ON c.oid = to_regclass(identity)
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE kind = 'INDEX' AND i.indrelid IS DISTINCT FROM tab
    UNION ALL
    -- A function may have been made anew by the deployment, and the one that
    -- notifies may be of what did this before us.
    SELECT format('there is another function %s already, which is not ours: '
        'rename it, or keep the bookings in a schema of their own', identity)
    FROM :followup_defined JOIN :followup_found USING (kind, identity)
    WHERE kind = 'FUNCTION' AND mark_source IS NULL
        AND identity NOT LIKE '%.followup_call_request(uuid)'
        AND identity NOT LIKE '%.followup_queue(%'
        AND identity NOT LIKE '%.schedule_followup_cloud_task()'
    ) AS problems
\gset
DO $$BEGIN
    IF current_setting('followup.problem') <> '' THEN
        RAISE EXCEPTION USING MESSAGE = current_setting('followup.problem'),
            HINT = 'nothing was changed';
    END IF;
END$$;
