-- part-gate.sql: the body of followup_gate as the variable followup_body_gate.
--
-- followup_gate(booking) says whether somebody may be rung now.  The daemons
-- ask it when they make a task, and again as the last act before the call:
--   call   yes
--   wait   not now; until says how long (null: until somebody ends it)
--   never  not at all
-- reason is for people, and null where the verdict is call.  A deployment may
-- replace it: a function that is not what was installed stays.
--
-- What was overdue at the first install is left alone.  Where several pauses
-- hold a booking, the one that lasts longest counts.
SELECT format($body$
BEGIN
    IF EXISTS (SELECT FROM %1$I.followup_backlog k
        WHERE k.booking_id = booking.id AND k.due_at
            IS NOT DISTINCT FROM %1$I.followup_due_at(booking)) THEN
        verdict := 'never';
        reason := 'was already overdue when follow-up scheduling was '
            'installed';
        RETURN;
    END IF;
    SELECT 'wait', p.until, 'paused: ' || p.reason
    INTO verdict, until, reason FROM %1$I.followup_pauses p
    WHERE (p.until IS NULL OR p.until > now())
        AND CASE p.scope WHEN 'all' THEN %2$s <> ALL (p.except_tenants)
            ELSE p.scope = 'tenant:' || %2$s END
    ORDER BY p.until DESC NULLS FIRST LIMIT 1;
    verdict := coalesce(verdict, 'call');
END
$body$, :'schema', CASE WHEN EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND attname = 'tenant_id' AND NOT attisdropped)
    THEN 'coalesce(booking.tenant_id::text, '''')' ELSE '''''::text' END)
    AS followup_body_gate
\gset
