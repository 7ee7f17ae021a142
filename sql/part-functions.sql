-- part-functions.sql: the functions.  Everybody may ask whether a type is a
-- follow-up type and whether a booking is deleted, even where functions are
-- closed by default; the others are for those they are granted to.

CREATE OR REPLACE FUNCTION
    :"schema".followup_is_followup_type(booking_type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS :'followup_body_type';
CREATE OR REPLACE FUNCTION
    :"schema".followup_type_meant(booking_type text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_type_meant';
CREATE OR REPLACE FUNCTION :"schema".followup_zone(zone text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_zone';
\if :followup_zoned
CREATE OR REPLACE FUNCTION
    :"schema".followup_due_at(booking :"schema".:"table") RETURNS timestamptz
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_due';
\else
CREATE OR REPLACE FUNCTION
    :"schema".followup_due_at(booking :"schema".:"table") RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE AS :'followup_body_due';
\endif
CREATE OR REPLACE FUNCTION
    :"schema".followup_is_deleted(booking :"schema".:"table") RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE AS :'followup_body_is_deleted';
GRANT EXECUTE ON FUNCTION :"schema".followup_is_followup_type(text),
    :"schema".followup_type_meant(text),
    :"schema".followup_zone(text),
    :"schema".followup_is_deleted(:"schema".:"table") TO PUBLIC;

CREATE OR REPLACE FUNCTION
    :"schema".followup_fields(booking :"schema".:"table") RETURNS jsonb
    LANGUAGE plpgsql STABLE AS :'followup_body_fields';

CREATE OR REPLACE FUNCTION
    :"schema".schedule_followup_cloud_task() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS :'followup_body_notify';
CREATE OR REPLACE FUNCTION
    :"schema".followup_booking_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS :'followup_body_changed';
CREATE OR REPLACE FUNCTION
    :"schema".followup_bookings_truncated() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS :'followup_body_truncated';
-- What an earlier version made and this one does not.
SELECT format('DROP FUNCTION %s', found.identity) FROM :followup_found
WHERE kind = 'FUNCTION' AND mark_source IS NOT NULL
    AND found.identity ~ '\.followup_(retry(_all)?|resume|gate_open)\('
    AND NOT EXISTS (SELECT FROM :followup_defined
        WHERE defined.identity = found.identity)
\gexec
-- Those of an earlier version give fewer columns.
SELECT format('DROP FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
JOIN (VALUES ('%1$I.followup_verdict(%1$I.%2$I)', 'then_never'),
    ('%1$I.followup_retry_preview(jsonb,boolean)', 'looked_at'))
    AS n (identity, col)
    ON p.oid = to_regprocedure(format(n.identity, :'schema', :'table'))
WHERE NOT coalesce(n.col = ANY (p.proargnames), false)
\gexec
CREATE OR REPLACE FUNCTION
    :"schema".followup_retry(booking_id uuid, late boolean DEFAULT false,
    asked_by text DEFAULT NULL, not_before timestamptz DEFAULT NULL)
    RETURNS boolean LANGUAGE plpgsql AS :'followup_body_retry';
CREATE OR REPLACE FUNCTION
    :"schema".followup_cause(error text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS :'followup_body_cause';
-- Its body needs a view that is made later.
SET LOCAL check_function_bodies = off;
CREATE OR REPLACE FUNCTION
    :"schema".followup_letters(filter jsonb) RETURNS TABLE (booking_id uuid,
    tenant_id text, stage text, attempts int, first_failed_at timestamptz,
    last_failed_at timestamptz, http_status int, error text,
    dead_at timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_letters';
SET LOCAL check_function_bodies = on;
CREATE OR REPLACE FUNCTION
    :"schema".followup_retry_preview(filter jsonb, late boolean,
    OUT matching bigint, OUT looked_at bigint, OUT call_now bigint,
    OUT wait bigint, OUT wait_until timestamptz, OUT too_late bigint,
    OUT never bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS :'followup_body_retry_preview';
CREATE OR REPLACE FUNCTION
    :"schema".followup_retry_all(filter jsonb DEFAULT '{}',
    late boolean DEFAULT false, asked_by text DEFAULT NULL,
    per_minute int DEFAULT NULL, at_most int DEFAULT NULL,
    OUT retried bigint, OUT more boolean, OUT until timestamptz,
    OUT last_at timestamptz, OUT last_id uuid, OUT as_of timestamptz)
    LANGUAGE plpgsql AS :'followup_body_retry_all';
REVOKE ALL ON FUNCTION :"schema".schedule_followup_cloud_task(),
    :"schema".followup_booking_changed(),
    :"schema".followup_bookings_truncated(),
    :"schema".followup_retry(uuid, boolean, text, timestamptz),
    :"schema".followup_cause(text), :"schema".followup_letters(jsonb),
    :"schema".followup_retry_preview(jsonb, boolean),
    :"schema".followup_retry_all(jsonb, boolean, text, int, int) FROM PUBLIC;

CREATE OR REPLACE FUNCTION
    :"schema".followup_scope(scope text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_scope';
CREATE OR REPLACE FUNCTION
    :"schema".followup_pause(scope text, reason text,
    until timestamptz DEFAULT NULL, asked_by text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS :'followup_body_pause';
CREATE OR REPLACE FUNCTION
    :"schema".followup_resume(scope text, asked_by text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS :'followup_body_resume';
REVOKE ALL ON FUNCTION :"schema".followup_scope(text),
    :"schema".followup_pause(text, text, timestamptz, text),
    :"schema".followup_resume(text, text) FROM PUBLIC;

-- What followup_gate is made of.
CREATE OR REPLACE FUNCTION :"schema".followup_week(hours text)
    RETURNS int4multirange LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp AS :'followup_body_week';
CREATE OR REPLACE FUNCTION :"schema".followup_within(week int4multirange,
    zone text, at timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_within';
CREATE OR REPLACE FUNCTION :"schema".followup_open(week int4multirange,
    zone text, after timestamptz, OUT opens timestamptz, OUT closes timestamptz)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_open';
CREATE OR REPLACE FUNCTION :"schema".followup_allowed(tenant text,
    week int4multirange, zone text, after timestamptz, OUT begins timestamptz,
    OUT ends timestamptz, OUT held text, OUT paused boolean,
    OUT closed boolean)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_allowed';
CREATE OR REPLACE FUNCTION
    :"schema".followup_judge(booking :"schema".:"table", at timestamptz,
    OUT verdict text, OUT until timestamptz, OUT reason text,
    OUT then_never text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_judge';
CREATE OR REPLACE FUNCTION
    :"schema".followup_gate_at(booking :"schema".:"table", at timestamptz,
    OUT verdict text, OUT until timestamptz, OUT reason text)
    LANGUAGE plpgsql STABLE AS :'followup_body_gate_at';
CREATE OR REPLACE FUNCTION :"schema".followup_gate_for_all(
    OUT is_open boolean, OUT week int4multirange, OUT zone text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_gate_for_all';
CREATE OR REPLACE FUNCTION :"schema".followup_setting_written()
    RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS :'followup_body_setting';
CREATE OR REPLACE FUNCTION :"schema".followup_hours_changed()
    RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS :'followup_body_hours_changed';
CREATE OR REPLACE FUNCTION :"schema".followup_pause_changed()
    RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS :'followup_body_pause_changed';
REVOKE ALL ON FUNCTION :"schema".followup_setting_written(),
    :"schema".followup_hours_changed(),
    :"schema".followup_pause_changed() FROM PUBLIC;

-- A followup_call_request, followup_gate or followup_queue that is not what we
-- installed is the deployment's own: it stays.
SELECT coalesce(bool_and(identity NOT LIKE '%.followup\_call\_request(%'), true)
        AS followup_ours,
    coalesce(bool_and(identity NOT LIKE '%.followup\_gate(%'), true)
        AS followup_gate_ours,
    coalesce(bool_and(identity NOT LIKE '%.followup\_queue(%'), true)
        AS followup_queue_ours
FROM :followup_defined JOIN :followup_found USING (kind, identity)
WHERE kind = 'FUNCTION' AND found.source IS DISTINCT FROM mark_source
\gset
\if :followup_ours
CREATE OR REPLACE FUNCTION
    :"schema".followup_call_request(booking_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS :'followup_body_call_request';
REVOKE ALL ON FUNCTION :"schema".followup_call_request(uuid) FROM PUBLIC;
\endif
\if :followup_gate_ours
CREATE OR REPLACE FUNCTION
    :"schema".followup_gate(booking :"schema".:"table", OUT verdict text,
    OUT until timestamptz, OUT reason text)
    LANGUAGE plpgsql STABLE AS :'followup_body_gate';
\endif
CREATE OR REPLACE FUNCTION
    :"schema".followup_verdict(booking :"schema".:"table", OUT verdict text,
    OUT until timestamptz, OUT reason text, OUT then_never text)
    LANGUAGE plpgsql STABLE AS :'followup_body_verdict';
\if :followup_queue_ours
CREATE OR REPLACE FUNCTION
    :"schema".followup_queue(booking :"schema".:"table") RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS :'followup_body_queue';
\endif
