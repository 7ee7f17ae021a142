-- part-functions.sql: the functions.  Everybody may ask whether a type is a
-- follow-up type and whether a booking is deleted, even where functions are
-- closed by default; the others are for those they are granted to.

CREATE OR REPLACE FUNCTION
    :"schema".followup_is_followup_type(booking_type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS :'followup_body_type';
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
    :"schema".followup_is_deleted(:"schema".:"table") TO PUBLIC;

CREATE OR REPLACE FUNCTION
    :"schema".schedule_followup_cloud_task() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS :'followup_body_notify';
CREATE OR REPLACE FUNCTION
    :"schema".followup_booking_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS :'followup_body_changed';
CREATE OR REPLACE FUNCTION
    :"schema".followup_retry(booking_id uuid) RETURNS boolean
    LANGUAGE plpgsql AS :'followup_body_retry';
CREATE OR REPLACE FUNCTION
    :"schema".followup_retry_all(stage text DEFAULT NULL,
    since timestamptz DEFAULT '-infinity',
    until timestamptz DEFAULT 'infinity') RETURNS bigint
    LANGUAGE plpgsql AS :'followup_body_retry_all';
REVOKE ALL ON FUNCTION :"schema".schedule_followup_cloud_task(),
    :"schema".followup_booking_changed(), :"schema".followup_retry(uuid),
    :"schema".followup_retry_all(text, timestamptz, timestamptz) FROM PUBLIC;

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
    :"schema".followup_resume(scope text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS :'followup_body_resume';
REVOKE ALL ON FUNCTION :"schema".followup_scope(text),
    :"schema".followup_pause(text, text, timestamptz, text),
    :"schema".followup_resume(text) FROM PUBLIC;

-- A followup_call_request or followup_gate that is not what we installed is
-- the deployment's own: it stays.
SELECT coalesce(bool_and(identity NOT LIKE '%.followup\_call\_request(%'), true)
        AS followup_ours,
    coalesce(bool_and(identity NOT LIKE '%.followup\_gate(%'), true)
        AS followup_gate_ours
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
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_gate';
\endif
