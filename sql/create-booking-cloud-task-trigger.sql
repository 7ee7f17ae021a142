-- create-booking-cloud-task-trigger.sql: follow-up scheduling for a bookings
-- table, run by `psql -f`, by \i or by `followup-trigger install`.
--
--   psql -v schema=lad_dev -v table=lead_bookings -v grant_to=followup -f THIS
--
--   schema        default lad_dev
--   table         default lead_bookings
--   grant_to      role of the daemons; default empty: no grants
--   paused        on: with a pause of everything in place; default off
--   lock_timeout  how long to wait for the table's lock; default 10s
--   alter_column, alter_type, alter_using
--                 alter a column's type first: see part-alter.sql
--
-- It may be run again at any time, brings an older version up to date, and
-- leaves all triggers enabled.  It is one transaction, and after that the
-- index, which is built without blocking writers: so not with psql -1, and not
-- within a transaction of yours.  A run that was interrupted while it built
-- the index is repaired by running this again.
--
-- It makes, on the table:
--   trigger_schedule_followup_cloud_task     AFTER INSERT, deferred: NOTIFY
--   trigger_followup_cloud_task_changed      BEFORE UPDATE: moved, cancelled,
--                                            set to pending, soft-deleted
--   trigger_followup_cloud_task_reschedule   AFTER UPDATE, deferred: NOTIFY
--   trigger_followup_cloud_task_deleted      AFTER DELETE: the task to delete
--   trigger_followup_cloud_task_release      AFTER DELETE, deferred: NOTIFY
--   trigger_followup_cloud_task_truncated    AFTER TRUNCATE: what is known of
--                                            bookings that are gone
-- and in the schema:
--   schedule_followup_cloud_task()  followup_booking_changed()
--   followup_bookings_truncated()
--   followup_is_followup_type(text)  followup_due_at(booking)
--   followup_is_deleted(booking)  followup_type_meant(text)
--   followup_fields(booking)
--   followup_call_request(uuid)  followup_queue(booking)
--   followup_gate(booking), and what it is made of: followup_judge
--   followup_gate_at  followup_allowed  followup_open  followup_within
--   followup_week
--   followup_gate_for_all()  followup_verdict(booking)
--   followup_zone(text)  followup_setting_written()  followup_hours_changed()
--   followup_pause_changed()
--   followup_scope(text)  followup_pause(text, text, timestamptz, text)
--   followup_resume(text, text)  followup_canary_state()
--   followup_retry(uuid, ...)  followup_retry_all(jsonb, ...)
--   followup_retry_preview(jsonb, boolean)  followup_letters(jsonb)
--   followup_cause(text)
--   followup_failures  followup_dead_letters  followup_attempts
--   followup_obsolete_tasks  followup_settings  followup_pauses
--   followup_past_pauses  followup_past_hours  followup_late  followup_waits
--   followup_backlog
--   followup_canary  followup_history  followup_acts  followup_events
--   followup_bookings_due_idx
--
-- The triggers do nothing in a session with the setting followup.daemon = 'on',
-- which the daemons' sessions have.  A transaction sends at most 100 hints, a
-- session 1000 and one in 10 ms from then on.
--
-- What it made carries a COMMENT that starts with 'followup-scheduler', by
-- which drop-booking-cloud-task-trigger.sql finds it; behind that, the md5 of
-- the source it was made from and of its definition in the catalogue, by
-- which verify-booking-cloud-task-trigger.sql finds what was changed since.
--
-- A session that has run NOTIFY cannot PREPARE TRANSACTION, so the trigger
-- leaves such commits to the sweep; an application that uses both two-phase
-- commit and SET CONSTRAINTS ... IMMEDIATE would still meet that limit.

\set followup_quiet :QUIET
\set QUIET on
\set followup_autocommit :AUTOCOMMIT
\set AUTOCOMMIT on
\ir part-defaults.sql

-- One install at a time: two would undo each other's half-built index.  It is
-- never waited for, because an index build waits for whoever waits for it.
SELECT pg_catalog.pg_try_advisory_lock(7382912092064737639) AS followup_alone
\gset
\if :followup_alone
\else
DO $$BEGIN RAISE EXCEPTION 'another install is running on this database'
    USING HINT = 'wait for it to end, then run this again'; END$$;
\endif

-- What there is, and what there should be.
\ir part-begin.sql
\ir part-owner.sql
\if :{?alter_column}
\ir part-dues.sql
\ir part-alter.sql
\endif
\ir part-shape.sql
\ir part-bodies.sql
\ir part-gate.sql
\ir part-operations.sql
\ir part-definitions.sql
\ir part-fit.sql
\ir part-ids.sql
\ir part-preflight.sql

-- Make it so.
SELECT EXISTS (SELECT FROM :followup_found WHERE identity = format(
        '%1$I.followup_due_at(%1$I.%2$I)', :'schema', :'table')
        AND source <> md5(:'followup_body_due'))
    AND coalesce(current_setting('followup.dues', true), '') = ''
    AS followup_reshaped
\gset
\if :followup_reshaped
\ir part-dues.sql
\endif
\ir part-functions.sql
\ir part-tables.sql
\ir part-due-again.sql
\ir part-events.sql
\ir part-canary.sql
\ir part-columns.sql
\ir part-triggers.sql
\ir part-grants.sql

-- Nothing stays that does not work.
\ir part-rehearsal.sql
DO $$BEGIN
    IF current_setting('followup.rehearsed')::jsonb @> '[{"ok": false}]' THEN
        RAISE EXCEPTION USING MESSAGE = (SELECT string_agg(line ->> 'text',
                E'\n') FROM jsonb_array_elements(current_setting(
                'followup.rehearsed')::jsonb) AS line
            WHERE NOT (line -> 'ok')::boolean),
            HINT = 'nothing was changed';
    END IF;
END$$;
SELECT coalesce((SELECT line ->> 'text' FROM jsonb_array_elements(
    current_setting('followup.rehearsed')::jsonb) AS line
    WHERE line ->> 'text' LIKE '%nothing was rehearsed%'), '')
    AS followup_unrehearsed, current_setting('followup.rehearsed')
    LIKE '%nothing was rehearsed%' AS followup_warn
\gset
COMMIT;
\ir part-index.sql
\if :followup_make_failures
\else
\ir part-unset.sql
\endif
\if :followup_warn
\echo :followup_unrehearsed
\endif

SELECT pg_catalog.pg_advisory_unlock(7382912092064737639) AS followup_unused
\gset
\if :followup_ours
\else
\echo kept :"schema".followup_call_request(uuid): this deployment has its own
\endif
\if :followup_gate_ours
\else
\echo kept :"schema".followup_gate: this deployment has its own
\endif
\if :followup_queue_ours
\else
\echo kept :"schema".followup_queue: this deployment has its own
\endif
\echo follow-up scheduling is installed on :"schema".:"table"
\if :paused
\echo calls are paused: followup-trigger preview shows them, resume starts them
\endif
\ir part-notes.sql
\set AUTOCOMMIT :followup_autocommit
\set QUIET :followup_quiet
