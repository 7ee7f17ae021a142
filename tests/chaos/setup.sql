-- What a chaos run keeps in the database, in a schema of its own: the plan of
-- the load, what of it was committed, and at the end the calls.
-- psql variables: start, when the plan's time 0 is.

\set ON_ERROR_STOP on
CREATE SCHEMA chaos;

-- The plan; due is when the booking is to be called from then on.
CREATE TABLE chaos.plan (
	seq int PRIMARY KEY,
	writer int NOT NULL,
	at timestamptz NOT NULL,
	operation text NOT NULL,
	booking uuid NOT NULL,
	due timestamptz,
	type text NOT NULL,
	tenant uuid NOT NULL,
	lead uuid NOT NULL
);
CREATE INDEX ON chaos.plan (booking);
CREATE TEMPORARY TABLE load (seq int, writer int, at float8, operation text,
    booking uuid, due float8, type text, tenant uuid, lead uuid);
\copy load FROM pstdin
INSERT INTO chaos.plan
SELECT seq, writer, :'start'::timestamptz + at * interval '1 ms', operation,
    booking, :'start'::timestamptz + due * interval '1 ms', type, tenant, lead
FROM load;

-- What was committed; a change that came when the booking was due did nothing.
-- With track_commit_timestamp xmin says when.
CREATE TABLE chaos.done (
	seq int PRIMARY KEY,
	too_late boolean NOT NULL
);

-- Do step n of the plan, once, however often this is tried: the step and the
-- note that it is done are one transaction.
CREATE FUNCTION chaos.apply(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	step chaos.plan%ROWTYPE;
BEGIN
	IF EXISTS (SELECT FROM chaos.done d WHERE d.seq = n) THEN
		RETURN n;
	END IF;
	SELECT * INTO STRICT step FROM chaos.plan p WHERE p.seq = n;
	CASE step.operation
	WHEN 'insert' THEN
		INSERT INTO lad_dev.lead_bookings (id, tenant_id, lead_id,
		    booking_type, booking_source, scheduled_at, timezone)
		VALUES (step.booking, step.tenant, step.lead, step.type,
		    'chaos', step.due, 'UTC');
	WHEN 'move' THEN
		UPDATE lad_dev.lead_bookings SET scheduled_at = step.due
		WHERE id = step.booking AND scheduled_at > clock_timestamp();
	WHEN 'cancel' THEN
		UPDATE lad_dev.lead_bookings SET task_status = 'cancelled'
		WHERE id = step.booking AND scheduled_at > clock_timestamp();
	WHEN 'hide' THEN
		UPDATE lad_dev.lead_bookings SET is_deleted = true
		WHERE id = step.booking AND scheduled_at > clock_timestamp();
	WHEN 'delete' THEN
		DELETE FROM lad_dev.lead_bookings
		WHERE id = step.booking AND scheduled_at > clock_timestamp();
	END CASE;
	INSERT INTO chaos.done VALUES (n, NOT FOUND);
	RETURN n;
END
$$;

-- What is not finished yet.  The driver adds the tasks in the queue.
CREATE VIEW chaos.unfinished AS
SELECT b.id, b.task_status AS what FROM lad_dev.lead_bookings b
WHERE b.task_status IN ('pending', 'scheduled') AND NOT b.is_deleted
	AND lad_dev.followup_is_followup_type(b.booking_type)
UNION ALL
SELECT o.booking_id, 'obsolete task' FROM lad_dev.followup_obsolete_tasks o;

CREATE TABLE chaos.calls (
	key text,
	at timestamptz NOT NULL,
	started boolean NOT NULL
);
