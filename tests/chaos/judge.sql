-- The verdict on a chaos run: reads the calls (lines "key, time, started",
-- tab-separated) from stdin, after them a line "\.", and what the gate was told
-- (chaos.gate); makes the views that the driver prints.

\set ON_ERROR_STOP on
\copy chaos.calls FROM pstdin
\copy chaos.gate FROM pstdin

-- The calls that began, with the parts of their key.
CREATE TABLE chaos.started AS
SELECT key, at, (string_to_array(key, ':'))[3]::uuid AS booking,
	substring(key FROM '^followup:[^:]*:[^:]*:(.*)$')::timestamptz AS due
FROM chaos.calls WHERE started;
CREATE INDEX ON chaos.started (booking);

-- What was committed, and when; next_at is when something else took its place.
-- Whoever changes a booking has its row locked until then.
CREATE TABLE chaos.history AS
SELECT c.*, lead(committed_at) OVER (PARTITION BY booking
	ORDER BY committed_at, seq) AS next_at
FROM (
	SELECT p.booking, p.seq, p.operation, p.due, p.type,
		pg_xact_commit_timestamp(d.xmin) - d.ahead AS committed_at
	FROM chaos.plan p JOIN chaos.done d USING (seq)
	WHERE NOT d.too_late
	UNION ALL
	SELECT booking, NULL, operation, due, type,
		pg_xact_commit_timestamp(xmin) - ahead
	FROM chaos.changes WHERE operation IN ('bulk', 'stale')
) AS c;
CREATE INDEX ON chaos.history (booking);

-- The times for which a booking may be called: those that still stood when
-- they were reached.  must: nothing else took its place.
CREATE TABLE chaos.right_times AS
SELECT booking, due, committed_at, next_at IS NULL AS must
FROM chaos.history
WHERE operation IN ('insert', 'move', 'bulk', 'stale')
	AND lad_dev.followup_is_followup_type(type)
	AND (next_at IS NULL OR next_at >= due);
CREATE INDEX ON chaos.right_times (booking);

-- Calls without a right time; given_up: because nobody wanted one any more.
CREATE TABLE chaos.wrongly_called AS
SELECT s.booking, NOT EXISTS (SELECT FROM chaos.right_times r
		WHERE r.booking = s.booking)
	AND EXISTS (SELECT FROM chaos.history h WHERE h.booking = s.booking
		AND h.operation IN ('cancel', 'hide', 'delete')) AS given_up
FROM chaos.started s
WHERE s.at < s.due OR NOT EXISTS (SELECT FROM chaos.right_times r
	WHERE r.booking = s.booking
	AND date_trunc('milliseconds', r.due) = s.due);

-- What the gate was told, and when it must be kept: within a second.
CREATE VIEW chaos.held AS
SELECT *, since + interval '1 s' AS begins FROM chaos.gate;

-- Requests to the voice agent beyond the attempts that the gate let pass.
CREATE VIEW chaos.unasked AS
SELECT c.booking FROM (SELECT (string_to_array(key, ':'))[3]::uuid AS booking,
		at, row_number() OVER (PARTITION BY key ORDER BY at) AS n,
		substring(key FROM '^followup:[^:]*:[^:]*:(.*)$')::timestamptz
		AS due
	FROM chaos.calls WHERE key LIKE 'followup:%') AS c
WHERE c.n > (SELECT count(*) FROM chaos.attempts a
	WHERE a.booking = c.booking
		AND date_trunc('milliseconds', a.at) <= c.at
		AND date_trunc('milliseconds', a.due) = c.due);

-- Dead letters because of call_within, and how late that takes.  The time of
-- death is by PostgreSQL's clock, as it was right then, like the gate's own.
CREATE VIEW chaos.too_late AS
SELECT d.booking_id AS booking, d.dead_at,
	substring(d.error FROM 'more than (\S+) late')::interval AS within
FROM lad_dev.followup_dead_letters d WHERE d.error ~ 'more than \S+ late';

CREATE VIEW chaos.findings AS
SELECT 1 AS place, 'not inserted or changed as planned' AS what, booking
FROM chaos.plan WHERE seq NOT IN (SELECT seq FROM chaos.done)
UNION
SELECT 2, 'called twice', booking FROM chaos.started
GROUP BY booking HAVING count(DISTINCT key) > 1
UNION
SELECT 3, 'called although cancelled before its due minute', booking
FROM chaos.wrongly_called WHERE given_up
UNION
SELECT 4, 'called for another time than the booking''s, or too early', booking
FROM chaos.wrongly_called WHERE NOT given_up
UNION
SELECT 5, 'not called and no dead letter', r.booking
FROM chaos.right_times r
LEFT JOIN lad_dev.lead_bookings b ON b.id = r.booking
WHERE r.must AND NOT EXISTS (SELECT FROM lad_dev.followup_dead_letters d
	WHERE d.booking_id = r.booking)
	AND NOT (coalesce(b.task_status = 'executed', false) AND EXISTS
	(SELECT FROM chaos.started s WHERE s.booking = r.booking))
UNION
SELECT 6, 'stuck pending or scheduled', id FROM chaos.unfinished()
WHERE what <> 'obsolete task'
UNION
SELECT 7, 'with a task that nobody deleted', id FROM chaos.unfinished()
WHERE what = 'obsolete task'
UNION
SELECT 8, 'brought back by an old copy saved over it', booking
FROM chaos.changes WHERE operation = 'revived'
UNION
-- The gate is about the time when the booking is due, if by PostgreSQL's clock
-- that is still to come: a clock that is behind does not prolong a pause that
-- has ended by then.
SELECT 9, 'called while paused', a.booking
FROM chaos.attempts a JOIN chaos.held h ON a.at BETWEEN h.begins AND h.until
WHERE (h.what = 'all' AND a.tenant <> h.scope
	OR h.what = 'tenant' AND a.tenant = h.scope)
	AND (h.value = '' OR greatest(a.clock, a.due) < h.value::timestamptz)
UNION
SELECT 10, 'called outside of calling hours', a.booking
FROM chaos.attempts a JOIN chaos.held h ON a.at BETWEEN h.begins AND h.until
WHERE h.what = 'hours'
	AND (greatest(a.clock, a.due) AT TIME ZONE 'UTC')::time >= h.value::time
	AND (h.value2 = '00:00'
	OR (greatest(a.clock, a.due) AT TIME ZONE 'UTC')::time < h.value2::time)
UNION
-- Pauses, closed hours and wrong clocks are good for an hour at most.
SELECT 11, 'called although later than call_within', a.booking
FROM chaos.attempts a
LEFT JOIN chaos.held h ON h.what = 'within'
	AND a.at BETWEEN h.begins AND h.until
WHERE a.clock - a.due > coalesce(h.value, '4h')::interval + interval '1 h'
UNION
SELECT 12, 'called without asking the gate', booking FROM chaos.unasked
UNION
SELECT 13, 'a dead letter without a reason', booking_id
FROM lad_dev.followup_dead_letters WHERE coalesce(btrim(error), '') = ''
UNION
SELECT 14, 'a dead letter as too late, which it was not', t.booking
FROM chaos.too_late t JOIN lad_dev.lead_bookings b ON b.id = t.booking
WHERE t.dead_at - lad_dev.followup_due_at(b) <= t.within;

-- The lines of the table, but for the faults injected.
CREATE VIEW chaos.verdict AS
SELECT 0.1 AS place, 'bookings' AS what, count(DISTINCT booking) AS n,
	NULL::int AS wanted
FROM chaos.history WHERE operation = 'insert'
UNION ALL
SELECT 0.2, 'changes by writers: ' || o.operation, count(h.seq), NULL
FROM (VALUES ('move'), ('cancel'), ('hide'), ('delete')) AS o (operation)
LEFT JOIN chaos.history h USING (operation) GROUP BY o.operation
UNION ALL
SELECT 0.22, 'bookings inserted in bulk', count(*), NULL
FROM chaos.changes WHERE operation = 'bulk'
UNION ALL
SELECT 0.24, 'old copies saved over bookings', count(*), NULL
FROM chaos.changes WHERE operation IN ('stale', 'harmless', 'revived')
UNION ALL
SELECT 0.26, 'bookings moved by such a copy', count(*), NULL
FROM chaos.changes WHERE operation = 'stale'
UNION ALL
SELECT 0.3, 'calls', count(DISTINCT key), NULL FROM chaos.started
UNION ALL
SELECT 0.4, 'repeats with the same key (the agent can tell)',
	count(*) - count(DISTINCT key), NULL FROM chaos.started
UNION ALL
SELECT 0.5, 'dead letters: later than call_within', count(*), NULL
FROM chaos.too_late
UNION ALL
SELECT 0.6, 'dead letters for other reasons', count(*), NULL
FROM lad_dev.followup_dead_letters
WHERE booking_id NOT IN (SELECT booking FROM chaos.too_late)
UNION ALL
SELECT 0.7, 'bookings due while their calls were paused',
	count(DISTINCT b.id), NULL
FROM lad_dev.lead_bookings b JOIN chaos.gate g
	ON lad_dev.followup_due_at(b) BETWEEN g.since AND g.until
	AND (g.what = 'all' AND b.tenant_id::text <> g.scope
	OR g.what = 'tenant' AND b.tenant_id::text = g.scope)
UNION ALL
SELECT c.place, c.what, count(f.booking), 0
FROM (VALUES (1, 'not inserted or changed as planned'), (2, 'called twice'),
	(3, 'called although cancelled before its due minute'),
	(4, 'called for another time than the booking''s, or too early'),
	(5, 'not called and no dead letter'),
	(6, 'stuck pending or scheduled'),
	(7, 'with a task that nobody deleted'),
	(8, 'brought back by an old copy saved over it'),
	(9, 'called while paused'), (10, 'called outside of calling hours'),
	(11, 'called although later than call_within'),
	(12, 'called without asking the gate'),
	(13, 'a dead letter without a reason'),
	(14, 'a dead letter as too late, which it was not')) AS c (place, what)
LEFT JOIN chaos.findings f USING (place) GROUP BY c.place, c.what;
