-- part-operations.sql: the bodies of what operators do, as the variables
-- followup_body_*: pausing and resuming.  followup-trigger and the local API
-- call the same functions.

-- followup_scope gives the scope of a pause as followup_pauses has it: 'all',
-- or 'tenant:' and the id in the form of tenant_id::text.  It is null where
-- there can be no such tenant.
SELECT format($body$
DECLARE
    tenant text := substr(scope, 8);
    type oid := (SELECT a.atttypid FROM pg_attribute a
        WHERE a.attrelid = to_regclass(%1$L) AND a.attname = 'tenant_id'
        AND NOT a.attisdropped);
BEGIN
    IF scope = 'all' THEN
        RETURN scope;
    ELSIF scope NOT LIKE 'tenant:_%%' OR type IS NULL THEN
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
-- of who asks is no error of the database.  Who is paused again within moments
-- may still wait for the sweep, so that such a pause goes on.
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
        RETURN format('the end of the pause, %%s, has passed, or is none: '
            'give a time to come, or none for a pause without end',
            followup_pause.until);
    END IF;
    INSERT INTO %1$I.followup_pauses AS p (scope, reason, until, paused_by)
    VALUES (kept, followup_pause.reason, followup_pause.until,
        coalesce(asked_by, session_user))
    ON CONFLICT ON CONSTRAINT followup_pauses_pkey DO UPDATE
    SET reason = excluded.reason,
        paused_by = excluded.paused_by, until = excluded.until,
        except_tenants = '{}', paused_at = CASE
            WHEN p.until < now() - interval '10 min' THEN excluded.paused_at
            ELSE p.paused_at END;
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
    UPDATE %1$I.followup_pauses p SET until = now()
    WHERE p.scope = kept AND (p.until IS NULL OR p.until > now());
    ended := FOUND;
    IF kept <> 'all' THEN
        UPDATE %1$I.followup_pauses p
        SET except_tenants = except_tenants || tenant
        WHERE p.scope = 'all' AND (p.until IS NULL OR p.until > now())
            AND tenant <> ALL (except_tenants);
        excepted := FOUND;
    END IF;
    RETURN ended OR excepted;
END
$body$, :'schema') AS followup_body_resume
\gset
