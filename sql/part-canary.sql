-- part-canary.sql: the table of the canary, a follow-up that is made up every
-- canary_every and goes the way of a booking up to, not including, the call;
-- and what is asked about it.  It is no row of the bookings table, so that no
-- report, foreign key or NOT NULL column of the application hears of it.
--
-- schedule_followup_cloud_task reads the type and the status of a booking, so
-- the table has those.  Only its NOTIFY makes a canary known, which proves that
-- NOTIFYs arrive.

SELECT to_regclass(format('%I.followup_canary', :'schema')) IS NULL
        AS followup_make_canary
\gset
\if :followup_make_canary
CREATE TABLE :"schema".followup_canary (
    id uuid PRIMARY KEY,
    slot timestamptz NOT NULL,
    try int NOT NULL,
    scheduled_at timestamptz NOT NULL,
    booking_type text NOT NULL DEFAULT 'follow_up',
    created_at timestamptz NOT NULL DEFAULT now(),
    task_status text NOT NULL DEFAULT 'pending',
    notified_at timestamptz,
    received_at timestamptz,
    task_created_at timestamptz,
    task_name text,
    called_back_at timestamptz,
    error text,
    UNIQUE (slot, try));
COMMENT ON TABLE :"schema".followup_canary IS 'followup-scheduler: made-up '
    'follow-ups of the last day that called nobody, and how far each came';
\endif

CREATE OR REPLACE FUNCTION :"schema".followup_canary_state(
    OUT every interval, OUT sent_at timestamptz, OUT succeeded_at timestamptz,
    OUT notified interval, OUT created interval, OUT called_back interval,
    OUT is_stale boolean, OUT sentence text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS :'followup_body_canary_state';
REVOKE ALL ON FUNCTION :"schema".followup_canary_state() FROM PUBLIC;
REVOKE ALL ON :"schema".followup_canary FROM PUBLIC;
