-- What a chaos run keeps in the database, in a schema of its own: the plan of
-- the load, what of it was committed, and at the end the calls.
-- psql variables: start, when the plan's time 0 is.

\set ON_ERROR_STOP on
CREATE SCHEMA chaos;

-- By how much PostgreSQL's clock is ahead (the fault "clock"), and what time it
-- is by the machine's clock, which is the one of the plan.
CREATE FUNCTION chaos.ahead() RETURNS interval LANGUAGE sql STABLE AS $$
	SELECT coalesce(nullif(current_setting('chaos.ahead', true), ''),
	    '0')::interval
$$;
CREATE FUNCTION chaos.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
	SELECT clock_timestamp() - chaos.ahead()
$$;

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
-- With track_commit_timestamp xmin says when, by a clock that was so far ahead.
CREATE TABLE chaos.done (
	seq int PRIMARY KEY,
	too_late boolean NOT NULL,
	ahead interval NOT NULL DEFAULT chaos.ahead()
);

-- Rows as somebody read them, to be saved some time later.
CREATE TABLE chaos.copies (
	booking uuid NOT NULL,
	fields jsonb NOT NULL
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
		-- Somebody else has read it, and is going to save it.
		INSERT INTO chaos.copies
		SELECT id, to_jsonb(b) FROM lad_dev.lead_bookings b
		WHERE id = step.booking AND n % 4 = 0;
		UPDATE lad_dev.lead_bookings SET scheduled_at = step.due
		WHERE id = step.booking AND scheduled_at > chaos.now()
			AND task_status <> 'executed';
	WHEN 'cancel' THEN
		UPDATE lad_dev.lead_bookings SET task_status = 'cancelled'
		WHERE id = step.booking AND scheduled_at > chaos.now();
	WHEN 'hide' THEN
		UPDATE lad_dev.lead_bookings SET is_deleted = true
		WHERE id = step.booking AND scheduled_at > chaos.now();
	WHEN 'delete' THEN
		DELETE FROM lad_dev.lead_bookings
		WHERE id = step.booking AND scheduled_at > chaos.now();
	END CASE;
	INSERT INTO chaos.done (seq, too_late) VALUES (n, NOT FOUND);
	RETURN n;
END
$$;

-- What the lanes did to bookings, beyond the plan.
--
-- bulk     booked with many others
-- stale    moved to ${due} by an old copy that was saved over it
-- harmless an old copy was saved over it, and moved nothing
-- revived  executed or cancelled, and no longer so after such a copy
CREATE TABLE chaos.changes (
	transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
	booking uuid NOT NULL,
	operation text NOT NULL,
	due timestamptz,
	type text NOT NULL,
	ahead interval NOT NULL DEFAULT chaos.ahead()
);

-- Insert n bookings with one statement.
CREATE FUNCTION chaos.book(n int) RETURNS void LANGUAGE sql AS $$
	WITH booked AS (
		INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
		    booking_type, booking_source, scheduled_at, timezone)
		SELECT t, l, 'auto_followup', 'chaos',
		    date_trunc('milliseconds', chaos.now()
		    + interval '0.5 s' + random() * interval '8 s'), 'UTC'
		FROM (VALUES ('11111111-1111-4111-8111-111111111111'::uuid,
		    'b1111111-1111-4111-8111-111111111111'::uuid)) AS v (t, l),
		    generate_series(1, n)
		RETURNING id, scheduled_at, booking_type
	)
	INSERT INTO chaos.changes (booking, operation, due, type)
	SELECT id, 'bulk', scheduled_at, booking_type FROM booked
$$;

-- Move half of those that this transaction has inserted, with one statement.
CREATE FUNCTION chaos.postpone() RETURNS void LANGUAGE sql AS $$
	WITH moved AS (
		UPDATE lad_dev.lead_bookings b
		SET scheduled_at = b.scheduled_at + interval '2 s'
		FROM chaos.changes c
		WHERE c.booking = b.id AND c.booking::text < '8'
			AND c.transaction = pg_current_xact_id()
		RETURNING b.id, b.scheduled_at
	)
	UPDATE chaos.changes c SET due = m.scheduled_at FROM moved m
	WHERE c.booking = m.id
$$;

-- Read up to n bookings, most of them still to be called.
CREATE FUNCTION chaos.copy(n int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO chaos.copies
	SELECT id, to_jsonb(b) FROM lad_dev.lead_bookings b
	ORDER BY random() - (task_status IN ('pending', 'scheduled'))::int
	LIMIT n
$$;

-- Save copies of up to n bookings, as an ORM does that writes every column.
-- Like the writers this moves nobody who is due: a call may have begun.
CREATE FUNCTION chaos.save(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	copy record;
	old lad_dev.lead_bookings;
	stale lad_dev.lead_bookings;
	new lad_dev.lead_bookings;
	columns text;
	open boolean;
	moves boolean;
BEGIN
	SELECT string_agg(quote_ident(attname), ', ') INTO columns
	FROM pg_attribute WHERE attrelid = 'lad_dev.lead_bookings'::regclass
		AND attnum > 0 AND NOT attisdropped;
	FOR copy IN SELECT * FROM (SELECT DISTINCT ON (booking) *
		FROM chaos.copies ORDER BY booking, random()) AS c
		ORDER BY random() LIMIT n
	LOOP
		SELECT * INTO old FROM lad_dev.lead_bookings
		WHERE id = copy.booking FOR UPDATE;
		CONTINUE WHEN NOT FOUND;
		stale := jsonb_populate_record(old, copy.fields);
		open := old.task_status IN ('pending', 'scheduled', 'failed');
		moves := open AND stale.scheduled_at <> old.scheduled_at;
		CONTINUE WHEN moves AND (old.task_status = 'failed'
			OR old.scheduled_at <= chaos.now());
		EXECUTE format('UPDATE lad_dev.lead_bookings SET (%s) = '
		    '(SELECT ($1).*) WHERE id = $2', columns)
		USING stale, copy.booking;
		SELECT * INTO new FROM lad_dev.lead_bookings
		WHERE id = copy.booking;
		INSERT INTO chaos.changes (booking, operation, due, type)
		VALUES (new.id, CASE WHEN moves THEN 'stale'
			WHEN NOT open AND new.task_status <> old.task_status
			THEN 'revived' ELSE 'harmless' END,
			new.scheduled_at, new.booking_type);
	END LOOP;
END
$$;

-- What is not finished yet.  The driver adds the tasks in the queue.  A view
-- would keep the columns' types from being altered.
CREATE FUNCTION chaos.unfinished() RETURNS TABLE (id uuid, what text)
LANGUAGE sql AS $$
SELECT b.id, b.task_status FROM lad_dev.lead_bookings b
WHERE b.task_status IN ('pending', 'scheduled') AND NOT b.is_deleted
	AND lad_dev.followup_is_followup_type(b.booking_type)
UNION ALL
SELECT o.booking_id, 'obsolete task' FROM lad_dev.followup_obsolete_tasks o
$$;

-- The attempts at calls: when the gate let each pass, by the machine's clock
-- and by PostgreSQL's.  Both times are the beginning of the transaction, which
-- sees everything that was committed before.
CREATE TABLE chaos.attempts (
	booking uuid NOT NULL,
	tenant text NOT NULL,
	due timestamptz NOT NULL,
	at timestamptz NOT NULL DEFAULT now() - chaos.ahead(),
	clock timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON chaos.attempts (booking);
CREATE FUNCTION chaos.attempted() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER AS $$
BEGIN
	INSERT INTO chaos.attempts (booking, tenant, due)
	VALUES (NEW.id, NEW.tenant_id, lad_dev.followup_due_at(NEW));
	RETURN NULL;
END
$$;
CREATE TRIGGER chaos_attempted AFTER UPDATE ON lad_dev.lead_bookings
FOR EACH ROW WHEN (NEW.execution_attempts > OLD.execution_attempts)
EXECUTE FUNCTION chaos.attempted();

-- What the gate was told, and when: in force for certain since then (the
-- command had come to its end) until then (the next one had not begun).
--
-- all, tenant  paused: scope is the tenant that is, or that is not
-- hours        closed from value to value2, times of the day in UTC
-- within       call_within
CREATE TABLE chaos.gate (
	what text NOT NULL,
	scope text NOT NULL,
	value text NOT NULL,
	value2 text NOT NULL,
	since timestamptz NOT NULL,
	until timestamptz NOT NULL
);

CREATE TABLE chaos.calls (
	key text,
	at timestamptz NOT NULL,
	started boolean NOT NULL
);
