-- part-events.sql: the table of events for FOLLOWUP_EVENTS_URL.  A row is an
-- event, delivered or to be delivered.  While seen is not NULL, what began with
-- the event has not ended, and seen names the hosts that saw it, and when.

SELECT to_regclass(format('%I.followup_events', :'schema')) IS NULL
        AS followup_make_events
\gset
\if :followup_make_events
CREATE TABLE :"schema".followup_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    key text NOT NULL,
    state text NOT NULL,
    data jsonb NOT NULL,
    seen jsonb,
    happened_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz DEFAULT now(),
    delivered_at timestamptz,
    last_error text);
COMMENT ON TABLE :"schema".followup_events IS 'followup-scheduler: events that '
    'were told, or are to be, and what has begun and not ended';
\endif

-- Nothing begins twice, whoever sees it.
CREATE UNIQUE INDEX IF NOT EXISTS followup_events_seen_idx
    ON :"schema".followup_events (kind, key) WHERE seen IS NOT NULL;
CREATE INDEX IF NOT EXISTS followup_events_next_idx
    ON :"schema".followup_events (next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS followup_events_happened_idx
    ON :"schema".followup_events (happened_at);
REVOKE ALL ON :"schema".followup_events FROM PUBLIC;
