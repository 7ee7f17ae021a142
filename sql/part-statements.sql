-- part-statements.sql: the statements of the daemons, for the rehearsal.  It is
-- printed from their sources: change those, and run `make statements`.

SELECT pg_catalog.jsonb_object_agg(name, pg_catalog.replace(text, '{H}',
    $$interval '2588400 s'$$)) AS followup_statements
FROM (VALUES
('session', $statement$
    SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ',
    CASE WHEN pg_catalog.array_position(pg_catalog.current_schemas(false),
    'pg_catalog') OPERATOR(pg_catalog.>) 1 THEN (SELECT
    pg_catalog.string_agg(pg_catalog.quote_ident(s), ', ' ORDER BY n) FROM
    pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u
    (s, n) WHERE s OPERATOR(pg_catalog.<>) 'pg_catalog') ELSE
    nullif(pg_catalog.current_setting('search_path'), '') END, 'pg_temp'),
    false); SELECT pg_catalog.set_config(name, value, false) FROM (VALUES
    ('synchronous_commit', 'on', '{off,local}'), ('idle_session_timeout',
    '0', NULL), ('transaction_timeout', '0', NULL)) AS s (name, value,
    instead) WHERE pg_catalog.current_setting(name, true) = ANY
    (instead::text[]) OR (instead IS NULL AND
    pg_catalog.current_setting(name, true) <> '0'); SET followup.daemon =
    'on'; SET row_security = off; SET client_min_messages = error; SET
    TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres';
    SET standard_conforming_strings = on; SET array_nulls = on; SET
    transform_null_equals = off; SET exit_on_error = off; SET
    default_transaction_isolation = 'read committed'; SET statement_timeout =
    '9s'; SET lock_timeout = '3s'; SET idle_in_transaction_session_timeout =
    '10s'; SET enable_indexscan = on; SET enable_nestloop = on; SET
    enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin =
    off; SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode =
    force_generic_plan; SET max_parallel_workers_per_gather = 0; SET
    tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET
    tcp_keepalives_count = 3; SET tcp_user_timeout = 6000; SELECT
    pg_catalog.pg_backend_pid()
$statement$),
('sweep', $statement$
    WITH RECURSIVE reach AS (SELECT greatest($1::float8 * interval '1 s',
    coalesce((SELECT s.value FROM {S}.followup_settings s WHERE s.name =
    'call_within'), '4h')::interval) AS span), paused AS (SELECT p.scope,
    p.paused_at, p.until FROM {S}.followup_pauses p UNION ALL SELECT p.scope,
    p.paused_at, p.until FROM {S}.followup_past_pauses p), resumed AS (SELECT
    p.* FROM paused p WHERE p.until BETWEEN now() - (SELECT r.span FROM reach
    r) AND now() UNION SELECT CASE r.scope WHEN 'all' THEN p.scope ELSE
    r.scope END, p.paused_at, r.until FROM resumed r JOIN paused p ON
    p.paused_at < r.paused_at AND p.until >= r.paused_at - interval '1 h' AND
    (p.scope = r.scope OR 'all' IN (p.scope, r.scope))), pending AS (SELECT
    b.id, (SELECT rtrim(format('%s', tenant_id)) FROM (SELECT b.*) AS r) AS
    tenant_id, b.scheduled_at::text AS place FROM (SELECT NULL AS tenant_id,
    NULL AS timezone) AS absent, {T} b CROSS JOIN LATERAL (SELECT CASE WHEN
    pg_typeof(b.scheduled_at + interval '0') = 'timestamptz'::regtype OR
    btrim((SELECT rtrim(format('%s', timezone)) FROM (SELECT b.*) AS r), E' '
    '\t\r\n') = '' THEN interval '0' ELSE interval '16 h' END AS unsure
    OFFSET 0) x WHERE b.task_status = 'pending' AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND (b.scheduled_at, b.id) > ($2, $3::uuid)
    AND b.scheduled_at > ((SELECT least(now(), min(p.paused_at)) FROM resumed
    p) AT TIME ZONE 'UTC') - (SELECT r.span FROM reach r) - interval '16 h'
    AND b.scheduled_at <= (now() AT TIME ZONE 'UTC') + interval '2588400 s'
    AND b.scheduled_at <= (now() AT TIME ZONE 'UTC') + interval '2588400 s' -
    x.unsure AND (b.scheduled_at >= (now() AT TIME ZONE 'UTC') - (SELECT
    r.span FROM reach r) - x.unsure OR EXISTS (SELECT FROM resumed p WHERE
    b.scheduled_at BETWEEN (p.paused_at AT TIME ZONE 'UTC') - (SELECT r.span
    FROM reach r) - x.unsure AND (p.until AT TIME ZONE 'UTC') + x.unsure AND
    p.scope IN ('all', 'tenant:' || (SELECT rtrim(format('%s', tenant_id))
    FROM (SELECT b.*) AS r)))) AND NOT EXISTS (SELECT FROM
    {S}.followup_pauses p WHERE p.scope = 'all' AND
    cardinality(p.except_tenants) = 0 AND (p.until IS NULL OR p.until > now()
    + interval '2588400 s')) AND (NOT EXISTS (SELECT FROM
    {S}.followup_pauses) OR coalesce((SELECT rtrim(format('%s', tenant_id))
    FROM (SELECT b.*) AS r) = ANY ((SELECT p.except_tenants FROM
    {S}.followup_pauses p WHERE p.scope = 'all' AND (p.until IS NULL OR
    p.until > now() + interval '2588400 s'))::text[]), true) AND 'tenant:' ||
    (SELECT rtrim(format('%s', tenant_id)) FROM (SELECT b.*) AS r) NOT IN
    (SELECT p.scope FROM {S}.followup_pauses p WHERE p.until IS NULL OR
    p.until > now() + interval '2588400 s')) AND NOT (EXISTS (SELECT FROM
    {S}.followup_backlog) AND EXISTS (SELECT FROM {S}.followup_backlog k
    WHERE k.booking_id = b.id AND CASE WHEN x.unsure = interval '0' THEN
    k.due_at = b.scheduled_at ELSE k.due_at IS NOT DISTINCT FROM
    {S}.followup_due_at(b.*) END OFFSET 0)) AND NOT (EXISTS (SELECT FROM
    {S}.followup_failures) AND EXISTS (SELECT FROM {S}.followup_failures f
    WHERE f.booking_id = b.id AND (f.dead_at IS NOT NULL OR (f.stage =
    'schedule' AND f.next_attempt_at > now() AND f.last_failed_at <= now()))
    OFFSET 0)) AND NOT (EXISTS (SELECT FROM {S}.followup_waits) AND EXISTS
    (SELECT FROM {S}.followup_waits w WHERE w.booking_id = b.id AND w.until
    IS NULL AND CASE WHEN x.unsure = interval '0' THEN w.due_at =
    b.scheduled_at ELSE w.due_at IS NOT DISTINCT FROM
    {S}.followup_due_at(b.*) END OFFSET 0)) AND NOT (EXISTS (SELECT FROM
    {S}.followup_obsolete_tasks) AND EXISTS (SELECT FROM
    {S}.followup_obsolete_tasks o WHERE o.booking_id = b.id AND
    o.next_attempt_at BETWEEN now() AND now() + interval '10 min' OFFSET 0))
    ORDER BY b.scheduled_at, b.id LIMIT $4::int), obsolete AS (SELECT
    DISTINCT o.booking_id AS id FROM {S}.followup_obsolete_tasks o WHERE $2 =
    '-infinity' AND (o.next_attempt_at BETWEEN now() AND now() + interval '10 '
    'min') IS NOT TRUE LIMIT $4::int), waits AS (SELECT w.booking_id AS id,
    (SELECT rtrim(format('%s', tenant_id)) FROM (SELECT b.*) AS r) AS
    tenant_id FROM (SELECT NULL AS tenant_id, NULL AS timezone) AS absent,
    (SELECT w.* FROM {S}.followup_waits w, (SELECT (SELECT max(c.at) FROM
    (SELECT max(s.changed_at) FROM {S}.followup_settings s UNION ALL SELECT
    max(p.changed_at) FROM {S}.followup_pauses p UNION ALL SELECT
    max(p.until) FROM {S}.followup_past_pauses p UNION ALL SELECT
    max(h.until) FROM {S}.followup_past_hours h) AS c (at) WHERE c.at <=
    now()) AS at) AS c WHERE $2 = '-infinity' AND NOT EXISTS (SELECT FROM
    {S}.followup_pauses p WHERE p.scope = 'all' AND
    cardinality(p.except_tenants) = 0 AND (p.until IS NULL OR p.until > now()
    + interval '2588400 s')) AND (w.look_at NOT BETWEEN now() AND now() +
    interval '2 h' OR w.looked_at > now() + interval '1 min' OR (w.looked_at
    < c.at + interval '5 s' AND (w.until IS NULL OR w.until > c.at + interval
    '1 min')))) AS w LEFT JOIN {T} b ON b.id = w.booking_id WHERE NOT EXISTS
    (SELECT FROM {S}.followup_pauses p WHERE (p.until IS NULL OR p.until >
    now() + interval '2588400 s') AND (p.scope = 'tenant:' || (SELECT
    rtrim(format('%s', tenant_id)) FROM (SELECT b.*) AS r) OR (p.scope =
    'all' AND (SELECT rtrim(format('%s', tenant_id)) FROM (SELECT b.*) AS r)
    <> ALL (p.except_tenants)))) AND NOT EXISTS (SELECT FROM
    {S}.followup_failures f WHERE f.booking_id = w.booking_id AND f.dead_at
    IS NULL AND (f.stage = 'schedule' AND f.next_attempt_at > now() AND
    f.last_failed_at <= now()) OFFSET 0) ORDER BY w.look_at LIMIT $4::int),
    retried AS (SELECT b.id, (SELECT rtrim(format('%s', tenant_id)) FROM
    (SELECT b.*) AS r) AS tenant_id FROM (SELECT NULL AS tenant_id, NULL AS
    timezone) AS absent, (SELECT f.booking_id FROM {S}.followup_failures f
    WHERE $2 = '-infinity' AND f.dead_at IS NULL AND f.stage = 'schedule' AND
    f.next_attempt_at <= now()) AS f JOIN {T} b ON b.id = f.booking_id WHERE
    b.task_status = 'pending' AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND NOT EXISTS (SELECT FROM pending WHERE
    pending.id = b.id) AND NOT EXISTS (SELECT FROM {S}.followup_failures d
    WHERE d.booking_id = b.id AND d.dead_at IS NOT NULL) AND NOT EXISTS
    (SELECT FROM {S}.followup_waits w WHERE w.booking_id = b.id AND w.until
    IS NULL) AND NOT EXISTS (SELECT FROM {S}.followup_pauses p WHERE (p.until
    IS NULL OR p.until > now() + interval '2588400 s') AND (p.scope =
    'tenant:' || (SELECT rtrim(format('%s', tenant_id)) FROM (SELECT b.*) AS
    r) OR (p.scope = 'all' AND (SELECT rtrim(format('%s', tenant_id)) FROM
    (SELECT b.*) AS r) <> ALL (p.except_tenants)))) ORDER BY random() LIMIT
    $4::int), endless AS (SELECT b.id, (SELECT rtrim(format('%s', tenant_id))
    FROM (SELECT b.*) AS r) AS tenant_id FROM (SELECT NULL AS tenant_id, NULL
    AS timezone) AS absent, {T} b WHERE $2 = '-infinity' AND b.task_status =
    'pending' AND {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND b.scheduled_at IN ('-infinity',
    'infinity') AND NOT EXISTS (SELECT FROM {S}.followup_backlog k WHERE
    k.booking_id = b.id AND k.due_at IS NULL OFFSET 0) AND NOT (EXISTS
    (SELECT FROM {S}.followup_failures) AND EXISTS (SELECT FROM
    {S}.followup_failures f WHERE f.booking_id = b.id AND (f.dead_at IS NOT
    NULL OR (f.stage = 'schedule' AND f.next_attempt_at > now() AND
    f.last_failed_at <= now())) OFFSET 0)) LIMIT $4::int), overdue AS (SELECT
    b.id, (SELECT rtrim(format('%s', tenant_id)) FROM (SELECT b.*) AS r) AS
    tenant_id FROM (SELECT NULL AS tenant_id, NULL AS timezone) AS absent,
    {T} b CROSS JOIN LATERAL (SELECT CASE WHEN pg_typeof(b.scheduled_at +
    interval '0') = 'timestamptz'::regtype OR btrim((SELECT
    rtrim(format('%s', timezone)) FROM (SELECT b.*) AS r), E' \t\r\n') = ''
    THEN interval '0' ELSE interval '16 h' END AS unsure OFFSET 0) x WHERE
    $5::float8 IS NOT NULL AND $2 = '-infinity' AND b.task_status =
    'scheduled' AND {S}.followup_is_followup_type(b.booking_type::text) AND
    b.scheduled_at > (now() AT TIME ZONE 'UTC') - (SELECT r.span FROM reach
    r) - interval '16 h' AND b.scheduled_at < (now() AT TIME ZONE 'UTC') +
    interval '15 min' + interval '16 h' AND (coalesce(b.task_scheduled_at,
    b.scheduled_at) BETWEEN now() - (SELECT r.span FROM reach r) AND now() -
    $5::float8 * interval '1 s' OR b.task_name IS NULL OR (b.scheduled_at <
    (now() AT TIME ZONE 'UTC') + interval '15 min' + x.unsure AND CASE WHEN
    x.unsure = interval '0' THEN b.task_scheduled_at <> b.scheduled_at WHEN
    isfinite(b.task_scheduled_at) THEN b.task_scheduled_at NOT BETWEEN
    b.scheduled_at - x.unsure AND b.scheduled_at + x.unsure ELSE
    b.task_scheduled_at IS NOT NULL END AND NOT (EXISTS (SELECT FROM
    {S}.followup_waits) AND EXISTS (SELECT FROM {S}.followup_waits w WHERE
    w.booking_id = b.id AND w.until IS NOT NULL AND CASE WHEN x.unsure =
    interval '0' THEN w.due_at = b.scheduled_at ELSE w.due_at IS NOT DISTINCT
    FROM {S}.followup_due_at(b.*) END OFFSET 0)))) AND NOT (EXISTS (SELECT
    FROM {S}.followup_backlog) AND EXISTS (SELECT FROM {S}.followup_backlog k
    WHERE k.booking_id = b.id AND CASE WHEN x.unsure = interval '0' THEN
    k.due_at = b.scheduled_at ELSE k.due_at IS NOT DISTINCT FROM
    {S}.followup_due_at(b.*) END OFFSET 0)) AND NOT (EXISTS (SELECT FROM
    {S}.followup_failures) AND EXISTS (SELECT FROM {S}.followup_failures f
    WHERE f.booking_id = b.id AND (f.dead_at IS NOT NULL OR (f.stage =
    'schedule' AND f.next_attempt_at > now() AND f.last_failed_at <= now()))
    OFFSET 0)) ORDER BY random() LIMIT $4::int) SELECT id, NULL AS tenant_id,
    NULL AS place, 'obsolete' AS kind FROM obsolete UNION ALL SELECT id,
    tenant_id, NULL, 'retried' FROM waits UNION ALL SELECT id, tenant_id,
    NULL, 'retried' FROM retried UNION ALL SELECT id, tenant_id, NULL,
    'overdue' FROM overdue UNION ALL SELECT id, tenant_id, NULL, 'pending'
    FROM endless UNION ALL SELECT id, tenant_id, place, 'pending' FROM
    pending
$statement$),
('read', $statement$
    WITH gate AS MATERIALIZED (SELECT * FROM {S}.followup_gate_for_all())
    SELECT b.id IS NOT NULL, b.task_status, b.tenant_id, b.lead_id,
    b.assigned_user_id, b.booking_type, b.is_followup, b.is_deleted,
    b.task_name, (extract(epoch FROM b.task_scheduled_at) *
    1000000::numeric)::bigint, (extract(epoch FROM b.executed_at) *
    1000000::numeric)::bigint, greatest(b.execution_attempts, f.calls),
    coalesce(b.last_execution_error, f.error), b.scheduled_at, b.timezone,
    (extract(epoch FROM b.due) * 1000000::numeric)::bigint, extract(epoch
    FROM b.due - now())::float8, coalesce(f.attempts, 0), CASE WHEN
    f.next_attempt_at IS NOT NULL THEN greatest(extract(epoch FROM
    f.next_attempt_at - now()), 0) END::float8, a.begun_at IS NOT NULL,
    k.key, pg_catalog.json_build_object('tenantId', b.tenant_id, 'bookingId',
    b.id, 'leadId', b.lead_id, 'assignedUserId', b.assigned_user_id,
    'idempotencyKey', k.key, 'scheduledAt', k.due), (SELECT
    string_agg(o.task_name || E'\n', '' ORDER BY o.obsolete_at) FROM
    {S}.followup_obsolete_tasks o WHERE o.booking_id = u.id), b.verdict, CASE
    WHEN isfinite(b.until) THEN (extract(epoch FROM b.until) *
    1000000::numeric)::bigint END, b.reason, EXISTS (SELECT FROM
    {S}.followup_backlog k WHERE k.booking_id = u.id AND k.due_at IS NOT
    DISTINCT FROM b.due OFFSET 0), f.dead, (extract(epoch FROM a.called_at) *
    1000000::numeric)::bigint, b.queue, b.traceparent, (extract(epoch FROM
    now()) * 1000000::numeric)::bigint, (extract(epoch FROM w.due_at) *
    1000000::numeric)::bigint FROM pg_catalog.unnest($1::uuid[]) WITH
    ORDINALITY AS u (id, n) CROSS JOIN (SELECT NULL::text AS tenant_id,
    NULL::text AS lead_id, NULL::text AS assigned_user_id, NULL::text AS
    timezone, NULL::text AS traceparent, NULL::text AS trace_parent) AS
    absent LEFT JOIN LATERAL (SELECT b.id, b.task_status::text AS
    task_status, tenant_id::text AS tenant_id, lead_id::text AS lead_id,
    assigned_user_id::text AS assigned_user_id, b.booking_type::text AS
    booking_type, {S}.followup_is_followup_type(b.booking_type::text) AS
    is_followup, {S}.followup_is_deleted(b.*) AS is_deleted,
    b.task_name::text AS task_name, b.task_scheduled_at, b.executed_at,
    b.execution_attempts::bigint AS execution_attempts,
    b.last_execution_error::text AS last_execution_error,
    b.scheduled_at::text AS scheduled_at, timezone::text AS timezone,
    coalesce(traceparent::text, trace_parent::text) AS traceparent, d.due,
    CASE WHEN l.lets_through THEN 'call' ELSE g.verdict END AS verdict,
    g.until, g.reason, CASE WHEN $3::boolean AND b.task_status IN ('pending',
    'scheduled') THEN {S}.followup_queue(b.*)::text END AS queue FROM {T} b
    CROSS JOIN LATERAL (SELECT {S}.followup_due_at(b.*) AS due OFFSET 0) AS d
    CROSS JOIN LATERAL (SELECT b.task_status IN ('pending', 'scheduled') AND
    d.due >= now() AND is_open AND (week IS NULL OR {S}.followup_within(week,
    coalesce(nullif(btrim(timezone::text, E' \t\r\n'), ''), zone), d.due)) AS
    lets_through FROM gate OFFSET 0) AS l LEFT JOIN LATERAL (SELECT
    g.verdict, g.until, g.reason FROM {S}.followup_gate(b.*) AS g WHERE
    $2::boolean AND b.task_status IN ('pending', 'scheduled') AND
    l.lets_through IS NOT TRUE OFFSET 0) AS g ON true WHERE b.id = u.id LIMIT
    1) AS b ON true LEFT JOIN LATERAL (SELECT i.due, 'followup:' ||
    left(coalesce(b.tenant_id, ''), 182) || ':' || b.id::text || ':' || i.due
    AS key FROM (SELECT pg_catalog.to_char(b.due AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS due OFFSET 0) AS i OFFSET 0) AS k ON
    true LEFT JOIN LATERAL (SELECT max(f.attempts) FILTER (WHERE f.stage =
    'schedule') AS attempts, max(f.next_attempt_at) FILTER (WHERE f.stage =
    'schedule' AND f.last_failed_at <= now()) AS next_attempt_at,
    max(f.attempts) FILTER (WHERE f.stage = 'execute') AS calls, max(f.error)
    AS error, max(f.error) FILTER (WHERE f.dead_at IS NOT NULL) AS dead FROM
    {S}.followup_failures f WHERE f.booking_id = u.id OFFSET 0) AS f ON true
    LEFT JOIN LATERAL (SELECT a.begun_at, a.called_at FROM
    {S}.followup_attempts a WHERE a.booking_id = u.id OFFSET 0) AS a ON true
    LEFT JOIN LATERAL (SELECT w.due_at FROM {S}.followup_waits w WHERE
    w.booking_id = u.id OFFSET 0) AS w ON true ORDER BY u.n
$statement$),
('try lock', $statement$
    SELECT pg_try_advisory_lock(CASE $2::text WHEN 'schedule' THEN 1181707347
    ELSE 1181707333 END, hashtext(u.id::text) # {K}) FROM
    pg_catalog.unnest($1::uuid[]) WITH ORDINALITY AS u (id, n) ORDER BY u.n
$statement$),
('unlock', $statement$
    SELECT pg_catalog.count(pg_advisory_unlock(CASE $2::text WHEN 'schedule'
    THEN 1181707347 ELSE 1181707333 END, hashtext(u.id::text) # {K})) FROM
    pg_catalog.unnest($1::uuid[]) AS u (id)
$statement$),
('type meant', $statement$
    SELECT {S}.followup_type_meant($1)
$statement$),
('then never', $statement$
    SELECT g.then_never FROM {T} b CROSS JOIN LATERAL
    {S}.followup_verdict(b.*) AS g WHERE b.id = $1::uuid LIMIT 1
$statement$),
('window', $statement$
    SELECT extract(epoch FROM greatest($1::float8 * interval '1 s',
    coalesce((SELECT s.value FROM {S}.followup_settings s WHERE s.name =
    'call_within'), '4h')::interval))::float8
$statement$),
('scheduled', $statement$
    WITH t AS (SELECT * FROM ROWS FROM (pg_catalog.unnest($1::uuid[]),
    pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::bigint[]),
    pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::bigint[]),
    pg_catalog.unnest($6::bigint[]), pg_catalog.unnest($7::text[])) AS t (id,
    name, due, key, planned, read_at, facts)), mine AS (SELECT t.* FROM t,
    {T} l WHERE l.id = ANY (ARRAY[t.id]) FOR NO KEY UPDATE OF l SKIP LOCKED),
    changed AS (UPDATE {T} b SET task_name = mine.name, task_scheduled_at =
    'epoch'::timestamptz + mine.planned / 1000000 * interval '1 s' +
    mine.planned % 1000000 * interval '1 microsecond', idempotency_key =
    left(mine.key, coalesce((SELECT nullif(greatest(l.atttypmod,
    y.typtypmod), -1) - 4 FROM pg_catalog.pg_type r JOIN
    pg_catalog.pg_attribute l ON l.attrelid = r.typrelid JOIN
    pg_catalog.pg_type y ON y.oid = l.atttypid WHERE r.oid =
    pg_catalog.pg_typeof(NULL::{T}) AND l.attname = 'idempotency_key'),
    2147483647)), task_status = 'scheduled', last_execution_error = CASE WHEN
    b.execution_attempts > 0 THEN b.last_execution_error END FROM mine WHERE
    b.id = ANY (ARRAY[mine.id]) AND (b.task_status OPERATOR(pg_catalog.||)
    '') = 'pending' AND (extract(epoch FROM {S}.followup_due_at(b.*)) *
    1000000::numeric)::bigint = mine.due AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) RETURNING b.id, mine.due, mine.planned,
    mine.read_at, mine.facts), forgotten AS (DELETE FROM
    {S}.followup_failures f USING changed WHERE f.booking_id = ANY
    (ARRAY[changed.id]) AND f.stage = 'schedule'), told AS (INSERT INTO
    {S}.followup_history (booking_id, what, tenant_id, by, http_status, ms,
    reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2],
    ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT changed.id AS id,
    NULL::text AS what, (changed.facts)::text[] AS f FROM changed OFFSET 0)
    AS f), waits AS (INSERT INTO {S}.followup_waits (booking_id, due_at,
    until, looked_at, look_at) SELECT changed.id, 'epoch'::timestamptz +
    changed.due / 1000000 * interval '1 s' + changed.due % 1000000 * interval
    '1 microsecond', 'epoch'::timestamptz + changed.planned / 1000000 *
    interval '1 s' + changed.planned % 1000000 * interval '1 microsecond',
    'epoch'::timestamptz + changed.read_at / 1000000 * interval '1 s' +
    changed.read_at % 1000000 * interval '1 microsecond', least(now(),
    'epoch'::timestamptz + changed.planned / 1000000 * interval '1 s' +
    changed.planned % 1000000 * interval '1 microsecond' - interval '55 min')
    + interval '1 hour' FROM changed WHERE changed.planned > changed.due ON
    CONFLICT (booking_id) DO UPDATE SET due_at = excluded.due_at, until =
    excluded.until, looked_at = excluded.looked_at, look_at =
    excluded.look_at), waited AS (DELETE FROM {S}.followup_waits w USING
    changed WHERE w.booking_id = ANY (ARRAY[changed.id]) AND changed.planned
    = changed.due) SELECT changed.id::text, CASE WHEN
    pg_try_advisory_xact_lock(CASE 'schedule' WHEN 'schedule' THEN 1181707347
    ELSE 1181707333 END, hashtext(changed.id::text) # {K}) THEN
    pg_advisory_unlock(CASE 'schedule' WHEN 'schedule' THEN 1181707347 ELSE
    1181707333 END, hashtext(changed.id::text) # {K}) END FROM changed WHERE
    (SELECT count(*) FROM changed) > 0
$statement$),
('scheduled one', $statement$
    WITH t AS (SELECT * FROM ROWS FROM (pg_catalog.unnest($1::uuid[]),
    pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::bigint[]),
    pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::bigint[]),
    pg_catalog.unnest($6::bigint[]), pg_catalog.unnest($7::text[])) AS t (id,
    name, due, key, planned, read_at, facts)), mine AS (SELECT t.* FROM t),
    changed AS (UPDATE {T} b SET task_name = mine.name, task_scheduled_at =
    'epoch'::timestamptz + mine.planned / 1000000 * interval '1 s' +
    mine.planned % 1000000 * interval '1 microsecond', idempotency_key =
    left(mine.key, coalesce((SELECT nullif(greatest(l.atttypmod,
    y.typtypmod), -1) - 4 FROM pg_catalog.pg_type r JOIN
    pg_catalog.pg_attribute l ON l.attrelid = r.typrelid JOIN
    pg_catalog.pg_type y ON y.oid = l.atttypid WHERE r.oid =
    pg_catalog.pg_typeof(NULL::{T}) AND l.attname = 'idempotency_key'),
    2147483647)), task_status = 'scheduled', last_execution_error = CASE WHEN
    b.execution_attempts > 0 THEN b.last_execution_error END FROM mine WHERE
    b.id = ANY (ARRAY[mine.id]) AND (b.task_status OPERATOR(pg_catalog.||)
    '') = 'pending' AND (extract(epoch FROM {S}.followup_due_at(b.*)) *
    1000000::numeric)::bigint = mine.due AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) RETURNING b.id, mine.due, mine.planned,
    mine.read_at, mine.facts), forgotten AS (DELETE FROM
    {S}.followup_failures f USING changed WHERE f.booking_id = ANY
    (ARRAY[changed.id]) AND f.stage = 'schedule'), told AS (INSERT INTO
    {S}.followup_history (booking_id, what, tenant_id, by, http_status, ms,
    reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2],
    ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT changed.id AS id,
    NULL::text AS what, (changed.facts)::text[] AS f FROM changed OFFSET 0)
    AS f), waits AS (INSERT INTO {S}.followup_waits (booking_id, due_at,
    until, looked_at, look_at) SELECT changed.id, 'epoch'::timestamptz +
    changed.due / 1000000 * interval '1 s' + changed.due % 1000000 * interval
    '1 microsecond', 'epoch'::timestamptz + changed.planned / 1000000 *
    interval '1 s' + changed.planned % 1000000 * interval '1 microsecond',
    'epoch'::timestamptz + changed.read_at / 1000000 * interval '1 s' +
    changed.read_at % 1000000 * interval '1 microsecond', least(now(),
    'epoch'::timestamptz + changed.planned / 1000000 * interval '1 s' +
    changed.planned % 1000000 * interval '1 microsecond' - interval '55 min')
    + interval '1 hour' FROM changed WHERE changed.planned > changed.due ON
    CONFLICT (booking_id) DO UPDATE SET due_at = excluded.due_at, until =
    excluded.until, looked_at = excluded.looked_at, look_at =
    excluded.look_at), waited AS (DELETE FROM {S}.followup_waits w USING
    changed WHERE w.booking_id = ANY (ARRAY[changed.id]) AND changed.planned
    = changed.due) SELECT changed.id::text, CASE WHEN
    pg_try_advisory_xact_lock(CASE 'schedule' WHEN 'schedule' THEN 1181707347
    ELSE 1181707333 END, hashtext(changed.id::text) # {K}) THEN
    pg_advisory_unlock(CASE 'schedule' WHEN 'schedule' THEN 1181707347 ELSE
    1181707333 END, hashtext(changed.id::text) # {K}) END FROM changed WHERE
    (SELECT count(*) FROM changed) > 0
$statement$),
('begun', $statement$
    WITH before AS (SELECT b.id FROM {T} b WHERE b.id = $1::uuid AND
    (b.task_status OPERATOR(pg_catalog.||) '') IN ('pending', 'scheduled')
    AND (extract(epoch FROM {S}.followup_due_at(b.*)) *
    1000000::numeric)::bigint = $2::bigint AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND (SELECT g.verdict FROM
    {S}.followup_gate(b.*) AS g) = 'call' FOR UPDATE OF b), changed AS
    (UPDATE {T} b SET execution_attempts = coalesce(b.execution_attempts, 0)
    + 1, last_execution_error = left('an attempt to start the call was begun, '
    'and its outcome is not known', coalesce((SELECT
    nullif(greatest(l.atttypmod, y.typtypmod), -1) - 4 FROM
    pg_catalog.pg_type r JOIN pg_catalog.pg_attribute l ON l.attrelid =
    r.typrelid JOIN pg_catalog.pg_type y ON y.oid = l.atttypid WHERE r.oid =
    pg_catalog.pg_typeof(NULL::{T}) AND l.attname = 'last_execution_error'),
    2147483647)) FROM before WHERE b.id = ANY (ARRAY[before.id]) RETURNING
    b.id), begun AS (INSERT INTO {S}.followup_attempts (booking_id) SELECT
    changed.id FROM changed ON CONFLICT (booking_id) DO UPDATE SET begun_at =
    now()), told AS (INSERT INTO {S}.followup_history (booking_id, what,
    tenant_id, by, http_status, ms, reason, trace_id) SELECT f.id,
    coalesce(f.what, f.f[1]), nullif(f.f[2], ''), coalesce(nullif(f.f[3],
    ''), nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($3)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    CASE WHEN changed.id IS NOT NULL THEN
    {S}.followup_call_request(changed.id)::text END, changed.id IS NULL FROM
    before LEFT JOIN changed ON true
$statement$),
('executed', $statement$
    WITH before AS (SELECT b.id, b.task_status, b.task_name AS old,
    coalesce(pg_catalog.regexp_replace(b.task_name, '[^/]*$', $2),
    b.task_name) AS name FROM {T} b WHERE b.id = $1::uuid FOR UPDATE),
    changed AS (UPDATE {T} b SET task_status = 'executed', executed_at =
    now(), last_execution_error = NULL, task_name = before.name,
    task_scheduled_at = coalesce(CASE WHEN before.old = before.name THEN
    b.task_scheduled_at END, 'epoch'::timestamptz + $3::bigint / 1000000 *
    interval '1 s' + $3::bigint % 1000000 * interval '1 microsecond'),
    idempotency_key = left($4, coalesce((SELECT nullif(greatest(l.atttypmod,
    y.typtypmod), -1) - 4 FROM pg_catalog.pg_type r JOIN
    pg_catalog.pg_attribute l ON l.attrelid = r.typrelid JOIN
    pg_catalog.pg_type y ON y.oid = l.atttypid WHERE r.oid =
    pg_catalog.pg_typeof(NULL::{T}) AND l.attname = 'idempotency_key'),
    2147483647)) FROM before WHERE b.id = ANY (ARRAY[before.id]) AND
    (b.task_status OPERATOR(pg_catalog.||) '') <> 'executed' RETURNING b.id),
    obsolete AS (INSERT INTO {S}.followup_obsolete_tasks (task_name,
    booking_id) SELECT before.old, before.id FROM before WHERE before.old <>
    before.name ON CONFLICT DO NOTHING), ignored AS (SELECT FROM before b
    WHERE (b.task_status OPERATOR(pg_catalog.||) '') <> 'executed' AND NOT
    EXISTS (SELECT FROM changed)), forgotten AS (DELETE FROM
    {S}.followup_failures f WHERE f.booking_id = $1::uuid AND NOT EXISTS
    (SELECT FROM ignored)), waited AS (DELETE FROM {S}.followup_waits w WHERE
    w.booking_id = $1::uuid), ended AS (DELETE FROM {S}.followup_attempts a
    WHERE a.booking_id = $1::uuid AND NOT EXISTS (SELECT FROM ignored)), told
    AS (INSERT INTO {S}.followup_history (booking_id, what, tenant_id, by,
    http_status, ms, reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]),
    nullif(f.f[2], ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($5)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    CASE WHEN EXISTS (SELECT FROM ignored) THEN -1 ELSE (SELECT count(*) FROM
    changed) END
$statement$),
('name executed', $statement$
    WITH changed AS (UPDATE {T} b SET task_name = $2 WHERE b.id = $1::uuid
    AND (b.task_status OPERATOR(pg_catalog.||) '') = 'executed' AND
    b.task_name IS NULL RETURNING b.id) SELECT count(*) FROM changed
$statement$),
('failed once', $statement$
    WITH noted AS (INSERT INTO {S}.followup_failures AS f (booking_id, stage,
    tenant_id, attempts, next_attempt_at, http_status, error, dead_at) SELECT
    $1::uuid, $2, $3, 1, now() + $4::float8 * interval '1 s', nullif($5::int,
    0), $6, NULL::timestamptz FROM {T} b WHERE b.id = $1::uuid AND
    (extract(epoch FROM {S}.followup_due_at(b.*)) * 1000000::numeric)::bigint
    = $7::bigint ON CONFLICT (booking_id, stage) DO UPDATE SET attempts =
    f.attempts + 1, last_failed_at = now(), next_attempt_at =
    excluded.next_attempt_at, http_status = excluded.http_status, error =
    excluded.error, dead_at = excluded.dead_at RETURNING booking_id), ended
    AS (DELETE FROM {S}.followup_attempts a WHERE a.booking_id = $1::uuid AND
    $2::text = 'execute' AND NOT $9::boolean), told AS (INSERT INTO
    {S}.followup_history (booking_id, what, tenant_id, by, http_status, ms,
    reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2],
    ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($8)::text[] AS f FROM noted OFFSET 0) AS f), changed
    AS (UPDATE {T} b SET last_execution_error = left($6, coalesce((SELECT
    nullif(greatest(l.atttypmod, y.typtypmod), -1) - 4 FROM
    pg_catalog.pg_type r JOIN pg_catalog.pg_attribute l ON l.attrelid =
    r.typrelid JOIN pg_catalog.pg_type y ON y.oid = l.atttypid WHERE r.oid =
    pg_catalog.pg_typeof(NULL::{T}) AND l.attname = 'last_execution_error'),
    2147483647)) WHERE b.id = $1::uuid AND (b.task_status
    OPERATOR(pg_catalog.||) '') IN ('pending', 'scheduled') AND ($2::text =
    'execute' OR coalesce(b.execution_attempts, 0) = 0) AND (extract(epoch
    FROM {S}.followup_due_at(b.*)) * 1000000::numeric)::bigint = $7::bigint
    RETURNING b.id) SELECT count(*) FROM changed
$statement$),
('spared', $statement$
    WITH ended AS (DELETE FROM {S}.followup_attempts a WHERE a.booking_id =
    $1::uuid AND NOT $4::boolean), changed AS (UPDATE {T} b SET
    last_execution_error = left($2, coalesce((SELECT
    nullif(greatest(l.atttypmod, y.typtypmod), -1) - 4 FROM
    pg_catalog.pg_type r JOIN pg_catalog.pg_attribute l ON l.attrelid =
    r.typrelid JOIN pg_catalog.pg_type y ON y.oid = l.atttypid WHERE r.oid =
    pg_catalog.pg_typeof(NULL::{T}) AND l.attname = 'last_execution_error'),
    2147483647)), execution_attempts = greatest(b.execution_attempts - 1, 0)
    WHERE b.id = $1::uuid AND (b.task_status OPERATOR(pg_catalog.||) '') IN
    ('pending', 'scheduled') AND (extract(epoch FROM
    {S}.followup_due_at(b.*)) * 1000000::numeric)::bigint = $3::bigint
    RETURNING b.id), told AS (INSERT INTO {S}.followup_history (booking_id,
    what, tenant_id, by, http_status, ms, reason, trace_id) SELECT f.id,
    coalesce(f.what, f.f[1]), nullif(f.f[2], ''), coalesce(nullif(f.f[3],
    ''), nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($5)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    count(*) FROM changed
$statement$),
('cleared', $statement$
    WITH fewer AS (UPDATE {S}.followup_failures f SET attempts = f.attempts -
    $2::int WHERE f.booking_id = $1::uuid AND f.stage = 'execute' AND
    f.dead_at IS NULL AND f.attempts > $2::int), gone AS (DELETE FROM
    {S}.followup_failures f WHERE f.booking_id = $1::uuid AND f.stage =
    'execute' AND f.dead_at IS NULL AND f.attempts <= $2::int), changed AS
    (UPDATE {T} b SET execution_attempts = greatest(b.execution_attempts -
    $2::int, 0) WHERE b.id = $1::uuid AND (b.task_status
    OPERATOR(pg_catalog.||) '') IN ('pending', 'scheduled') RETURNING b.id)
    SELECT count(*) FROM changed
$statement$),
('failed', $statement$
    WITH before AS (SELECT b.id FROM {T} b WHERE b.id = $1::uuid AND
    (b.task_status OPERATOR(pg_catalog.||) '') IN ('pending', 'scheduled')
    AND (extract(epoch FROM {S}.followup_due_at(b.*)) *
    1000000::numeric)::bigint IS NOT DISTINCT FROM $7::bigint FOR UPDATE),
    changed AS (UPDATE {T} b SET task_status = 'failed', last_execution_error
    = left($6, coalesce((SELECT nullif(greatest(l.atttypmod, y.typtypmod),
    -1) - 4 FROM pg_catalog.pg_type r JOIN pg_catalog.pg_attribute l ON
    l.attrelid = r.typrelid JOIN pg_catalog.pg_type y ON y.oid = l.atttypid
    WHERE r.oid = pg_catalog.pg_typeof(NULL::{T}) AND l.attname =
    'last_execution_error'), 2147483647)) FROM before WHERE b.id = ANY
    (ARRAY[before.id]) RETURNING b.id), noted AS (INSERT INTO
    {S}.followup_failures AS f (booking_id, stage, tenant_id, attempts,
    next_attempt_at, http_status, error, dead_at) SELECT $1::uuid, $2, $3, 1,
    now() + $4::float8 * interval '1 s', nullif($5::int, 0), $6, now() FROM
    changed WHERE true ON CONFLICT (booking_id, stage) DO UPDATE SET attempts
    = f.attempts + 1, last_failed_at = now(), next_attempt_at =
    excluded.next_attempt_at, http_status = excluded.http_status, error =
    excluded.error, dead_at = excluded.dead_at RETURNING booking_id), ended
    AS (DELETE FROM {S}.followup_attempts a WHERE a.booking_id = $1::uuid AND
    $2::text = 'execute'), told AS (INSERT INTO {S}.followup_history
    (booking_id, what, tenant_id, by, http_status, ms, reason, trace_id)
    SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2], ''),
    coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($8)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    CASE WHEN EXISTS (SELECT FROM before) AND NOT EXISTS (SELECT FROM
    changed) THEN -1 ELSE (SELECT count(*) FROM changed) END
$statement$),
('unschedule', $statement$
    WITH changed AS (UPDATE {T} b SET task_status = 'pending', task_name =
    NULL, task_scheduled_at = NULL, idempotency_key = NULL,
    execution_attempts = 0, last_execution_error = NULL WHERE b.id = $1::uuid
    AND (b.task_status OPERATOR(pg_catalog.||) '') = 'scheduled' AND
    b.task_name = $2 RETURNING b.id), obsolete AS (INSERT INTO
    {S}.followup_obsolete_tasks (task_name, booking_id) SELECT $2, changed.id
    FROM changed ON CONFLICT DO NOTHING), forgotten AS (DELETE FROM
    {S}.followup_failures f USING changed WHERE f.booking_id = ANY
    (ARRAY[changed.id])), ended AS (DELETE FROM {S}.followup_attempts a USING
    changed WHERE a.booking_id = ANY (ARRAY[changed.id])), told AS (INSERT
    INTO {S}.followup_history (booking_id, what, tenant_id, by, http_status,
    ms, reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]),
    nullif(f.f[2], ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($3)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    count(*) FROM changed
$statement$),
('task gone', $statement$
    WITH changed AS (UPDATE {T} b SET task_status = 'pending', task_name =
    NULL, task_scheduled_at = NULL WHERE b.id = $1::uuid AND (b.task_status
    OPERATOR(pg_catalog.||) '') = 'scheduled' AND b.task_name IS NOT DISTINCT
    FROM $2 RETURNING b.id), told AS (INSERT INTO {S}.followup_history
    (booking_id, what, tenant_id, by, http_status, ms, reason, trace_id)
    SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2], ''),
    coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($3)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    count(*) FROM changed
$statement$),
('cancel', $statement$
    WITH before AS (SELECT b.id, b.task_name FROM {T} b WHERE b.id = $1::uuid
    FOR UPDATE), changed AS (UPDATE {T} b SET task_status = 'cancelled',
    task_name = NULL, task_scheduled_at = NULL, last_execution_error =
    left('cancelled at ' || pg_catalog.to_char(now() AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), coalesce((SELECT
    nullif(greatest(l.atttypmod, y.typtypmod), -1) - 4 FROM
    pg_catalog.pg_type r JOIN pg_catalog.pg_attribute l ON l.attrelid =
    r.typrelid JOIN pg_catalog.pg_type y ON y.oid = l.atttypid WHERE r.oid =
    pg_catalog.pg_typeof(NULL::{T}) AND l.attname = 'last_execution_error'),
    2147483647)) FROM before WHERE b.id = ANY (ARRAY[before.id]) AND
    (b.task_status OPERATOR(pg_catalog.||) '') <> 'executed' RETURNING b.id),
    obsolete AS (INSERT INTO {S}.followup_obsolete_tasks (task_name,
    booking_id) SELECT before.task_name, before.id FROM before JOIN changed
    USING (id) WHERE before.task_name IS NOT NULL ON CONFLICT DO NOTHING),
    forgotten AS (DELETE FROM {S}.followup_failures f USING changed WHERE
    f.booking_id = ANY (ARRAY[changed.id])), act AS (INSERT INTO
    {S}.followup_acts (by, what) SELECT $3::text, 'cancelled booking ' ||
    c.id FROM changed c WHERE $3::text IS NOT NULL), told AS (INSERT INTO
    {S}.followup_history (booking_id, what, tenant_id, by, http_status, ms,
    reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2],
    ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($2)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    count(*) FROM changed
$statement$),
('retry', $statement$
    SELECT CASE WHEN {S}.followup_retry($1::uuid, $2::boolean, $3) THEN 1
    ELSE 0 END
$statement$),
('obsolete deleted', $statement$
    WITH changed AS (DELETE FROM {S}.followup_obsolete_tasks o WHERE
    o.task_name = $1 RETURNING o.booking_id), told AS (INSERT INTO
    {S}.followup_history (booking_id, what, tenant_id, by, http_status, ms,
    reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2],
    ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT changed.booking_id AS
    id, NULL::text AS what, ($2)::text[] AS f FROM changed OFFSET 0) AS f)
    SELECT count(*) FROM changed
$statement$),
('obsolete later', $statement$
    WITH changed AS (UPDATE {S}.followup_obsolete_tasks o SET attempts =
    o.attempts + 1, next_attempt_at = now() + $2::float8 * interval '1 s'
    WHERE o.booking_id = $1::uuid RETURNING 1) SELECT count(*) FROM changed
$statement$),
('called', $statement$
    WITH noted AS (INSERT INTO {S}.followup_failures AS f (booking_id, stage,
    tenant_id, attempts, error, dead_at) VALUES ($1::uuid, 'execute', $2, 1,
    $3, now()) ON CONFLICT (booking_id, stage) DO UPDATE SET last_failed_at =
    now(), http_status = NULL, error = excluded.error, dead_at = now()),
    called AS (INSERT INTO {S}.followup_attempts AS a (booking_id, called_at)
    VALUES ($1::uuid, now()) ON CONFLICT (booking_id) DO UPDATE SET called_at
    = coalesce(a.called_at, now()) RETURNING 1), told AS (INSERT INTO
    {S}.followup_history (booking_id, what, tenant_id, by, http_status, ms,
    reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2],
    ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($4)::text[] AS f FROM called OFFSET 0) AS f) SELECT
    count(*) FROM called
$statement$),
('refused', $statement$
    WITH begun AS (SELECT FROM {S}.followup_attempts a WHERE a.booking_id =
    $1::uuid AND a.called_at IS NULL AND NOT $8::boolean), noted AS (INSERT
    INTO {S}.followup_failures AS f (booking_id, stage, tenant_id, attempts,
    next_attempt_at, http_status, error, dead_at) VALUES ($1::uuid, $2::text,
    $3, 1, now() + coalesce($4::float8, 1) * interval '1 s', nullif($5::int,
    0), CASE WHEN $7::int > 1 THEN $6::text ELSE CASE WHEN EXISTS (SELECT
    FROM begun) THEN 'an attempt was begun and its outcome is not known: ask '
    'the voice agent whether the call was made, then retry or cancel (' || $6
    || ')' ELSE $6 END END, CASE WHEN $7::int <= 1 THEN now() END) ON
    CONFLICT (booking_id, stage) DO UPDATE SET attempts = f.attempts + 1,
    last_failed_at = now(), next_attempt_at = now() + coalesce($4::float8,
    least(1 << least(f.attempts, 9), 300)::float8) * interval '1 s',
    http_status = excluded.http_status, error = CASE WHEN f.attempts + 1 <
    $7::int THEN $6 ELSE CASE WHEN EXISTS (SELECT FROM begun) THEN 'an '
    'attempt was begun and its outcome is not known: ask the voice agent '
    'whether the call was made, then retry or cancel (' || $6 || ')' ELSE $6
    END END, dead_at = CASE WHEN f.attempts + 1 >= $7::int THEN now() END
    RETURNING attempts, dead_at, next_attempt_at), ended AS (DELETE FROM
    {S}.followup_attempts a WHERE a.booking_id = $1::uuid AND $8::boolean),
    told AS (INSERT INTO {S}.followup_history (booking_id, what, tenant_id,
    by, http_status, ms, reason, trace_id) SELECT f.id, coalesce(f.what,
    f.f[1]), nullif(f.f[2], ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id, CASE
    WHEN noted.dead_at IS NOT NULL THEN 'dead' END AS what, ($9)::text[] AS f
    FROM noted OFFSET 0) AS f) SELECT n.attempts::bigint, n.dead_at IS NOT
    NULL, extract(epoch FROM n.next_attempt_at - now())::float8, EXISTS
    (SELECT FROM begun) FROM noted n
$statement$),
('mark failed', $statement$
    WITH changed AS (UPDATE {T} b SET task_status = 'failed' WHERE b.id =
    $1::uuid AND (b.task_status OPERATOR(pg_catalog.||) '') IN ('pending',
    'scheduled') RETURNING 1) SELECT count(*) FROM changed
$statement$),
('held', $statement$
    WITH changed AS (UPDATE {T} b SET task_status = 'pending', task_name =
    NULL, task_scheduled_at = NULL, last_execution_error = left($3,
    coalesce((SELECT nullif(greatest(l.atttypmod, y.typtypmod), -1) - 4 FROM
    pg_catalog.pg_type r JOIN pg_catalog.pg_attribute l ON l.attrelid =
    r.typrelid JOIN pg_catalog.pg_type y ON y.oid = l.atttypid WHERE r.oid =
    pg_catalog.pg_typeof(NULL::{T}) AND l.attname = 'last_execution_error'),
    2147483647)) WHERE b.id = $1::uuid AND (b.task_status
    OPERATOR(pg_catalog.||) '') = 'scheduled' AND b.task_name IS NOT DISTINCT
    FROM $2 RETURNING b.id), waits AS (INSERT INTO {S}.followup_waits
    (booking_id, due_at, looked_at, look_at) SELECT changed.id,
    'epoch'::timestamptz + $4::bigint / 1000000 * interval '1 s' + $4::bigint
    % 1000000 * interval '1 microsecond', now(), now() FROM changed ON
    CONFLICT (booking_id) DO UPDATE SET due_at = excluded.due_at, until =
    NULL, looked_at = now(), look_at = now()), told AS (INSERT INTO
    {S}.followup_history (booking_id, what, tenant_id, by, http_status, ms,
    reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2],
    ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($5)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    count(*) FROM changed
$statement$),
('replan', $statement$
    WITH changed AS (UPDATE {T} b SET task_status = 'pending', task_name =
    NULL, task_scheduled_at = NULL WHERE b.id = $1::uuid AND (b.task_status
    OPERATOR(pg_catalog.||) '') = 'scheduled' AND b.task_name = $2 RETURNING
    b.id), obsolete AS (INSERT INTO {S}.followup_obsolete_tasks (task_name,
    booking_id) SELECT $2, changed.id FROM changed ON CONFLICT DO NOTHING),
    told AS (INSERT INTO {S}.followup_history (booking_id, what, tenant_id,
    by, http_status, ms, reason, trace_id) SELECT f.id, coalesce(f.what,
    f.f[1]), nullif(f.f[2], ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT $1::uuid AS id,
    NULL::text AS what, ($3)::text[] AS f FROM changed OFFSET 0) AS f) SELECT
    count(*) FROM changed
$statement$),
('noted', $statement$
    WITH t AS (SELECT * FROM ROWS FROM (pg_catalog.unnest($1::uuid[]),
    pg_catalog.unnest($2::bigint[]), pg_catalog.unnest($3::bigint[]),
    pg_catalog.unnest($4::bigint[]), pg_catalog.unnest($5::bigint[]),
    pg_catalog.unnest($6::text[])) AS t (id, due, until, read_at, look,
    facts)), kept AS (INSERT INTO {S}.followup_waits AS w (booking_id,
    due_at, until, looked_at, look_at) SELECT t.id, 'epoch'::timestamptz +
    t.due / 1000000 * interval '1 s' + t.due % 1000000 * interval '1 '
    'microsecond', 'epoch'::timestamptz + nullif(t.until, 0) / 1000000 *
    interval '1 s' + nullif(t.until, 0) % 1000000 * interval '1 microsecond',
    'epoch'::timestamptz + t.read_at / 1000000 * interval '1 s' + t.read_at %
    1000000 * interval '1 microsecond', now() + t.look * interval '1 ms' FROM
    t WHERE t.look > 0 ON CONFLICT (booking_id) DO UPDATE SET due_at =
    excluded.due_at, until = excluded.until, looked_at = excluded.looked_at,
    look_at = excluded.look_at WHERE w.looked_at NOT BETWEEN
    excluded.looked_at AND now() OR w.looked_at = excluded.looked_at), gone
    AS (DELETE FROM {S}.followup_waits w USING t WHERE w.booking_id = ANY
    (ARRAY[t.id]) AND t.look = 0 AND (w.looked_at <= 'epoch'::timestamptz +
    t.read_at / 1000000 * interval '1 s' + t.read_at % 1000000 * interval '1 '
    'microsecond' OR w.looked_at > now())), told AS (INSERT INTO
    {S}.followup_history (booking_id, what, tenant_id, by, http_status, ms,
    reason, trace_id) SELECT f.id, coalesce(f.what, f.f[1]), nullif(f.f[2],
    ''), coalesce(nullif(f.f[3], ''),
    nullif(pg_catalog.current_setting('application_name'), ''),
    session_user), nullif(f.f[4], '')::int, nullif(f.f[5], '')::int,
    nullif(f.f[6], ''), nullif(f.f[7], '') FROM (SELECT t.id AS id,
    NULL::text AS what, (t.facts)::text[] AS f FROM t WHERE
    (t.facts::text[])[1] IS NOT NULL AND NOT EXISTS (SELECT FROM (SELECT
    h.what, h.reason FROM {S}.followup_history h WHERE h.booking_id = t.id
    ORDER BY h.id DESC LIMIT 1) AS h WHERE h.what = 'waiting' AND h.reason =
    (t.facts::text[])[6]) OFFSET 0) AS f) SELECT count(*) FROM t
$statement$),
('history', $statement$
    SELECT pg_catalog.to_char(h.at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), h.what, h.by, h.http_status, h.ms,
    h.reason, h.trace_id FROM {S}.followup_history h WHERE h.booking_id =
    $1::uuid ORDER BY h.id DESC LIMIT $2::int
$statement$),
('prune', $statement$
    WITH old AS (SELECT h.ctid FROM {S}.followup_history h WHERE (SELECT
    pg_catalog.pg_try_advisory_xact_lock(1181707336, {K})) AND h.at < now() -
    coalesce((SELECT s.value::int FROM {S}.followup_settings s WHERE s.name =
    'history_days'), 90) * interval '1 day' ORDER BY h.at LIMIT $1::int),
    gone AS (DELETE FROM {S}.followup_history g WHERE g.ctid = ANY
    (ARRAY(SELECT old.ctid FROM old)) RETURNING 1) SELECT count(*) FROM gone
$statement$),
('dead letters', $statement$
    SELECT d.booking_id, d.tenant_id, d.stage, d.attempts,
    pg_catalog.to_char(d.first_failed_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), pg_catalog.to_char(d.last_failed_at AT
    TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), d.http_status,
    d.error, pg_catalog.to_char(d.dead_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM {S}.followup_dead_letters d WHERE
    $1::timestamptz IS NULL OR (d.dead_at, d.booking_id) < ($1::timestamptz,
    $2::uuid) ORDER BY d.dead_at DESC, d.booking_id DESC LIMIT $3::int
$statement$),
('causes', $statement$
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('stage',
    c.stage, 'httpStatus', c.http_status, 'error', c.cause, 'count', c.n,
    'first', pg_catalog.to_char(c.first_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'last', pg_catalog.to_char(c.last_at AT
    TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'bookingId', c.id)
    ORDER BY c.n DESC, c.last_at DESC), '[]') FROM (SELECT d.stage,
    d.http_status, {S}.followup_cause(d.error) AS cause, count(*) AS n,
    min(d.dead_at) AS first_at, max(d.dead_at) AS last_at,
    min(d.booking_id::text) AS id FROM {S}.followup_dead_letters d GROUP BY
    1, 2, 3 ORDER BY 4 DESC, 6 DESC LIMIT 100) AS c
$statement$),
('group of dead letters', $statement$
    SELECT EXISTS (SELECT FROM {S}.followup_letters(CASE $1 WHEN 'none' THEN
    pg_catalog.jsonb_build_object('stage', '') ELSE $1::jsonb END))::int
$statement$),
('preview of a retry', $statement$
    SELECT matching, call_now, wait, pg_catalog.to_char(wait_until AT TIME
    ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), too_late, never, looked_at
    FROM {S}.followup_retry_preview(CASE $1 WHEN 'none' THEN
    pg_catalog.jsonb_build_object('stage', '') ELSE $1::jsonb END,
    $2::boolean)
$statement$),
('retry dead letters', $statement$
    SELECT retried, more, pg_catalog.to_char(until AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), pg_catalog.to_char(last_at AT TIME ZONE
    'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), last_id,
    pg_catalog.to_char(as_of AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM {S}.followup_retry_all(CASE $1 WHEN
    'none' THEN pg_catalog.jsonb_build_object('stage', '') ELSE $1::jsonb
    END, $2::boolean, $3, $4::int, 500)
$statement$),
('pauses', $statement$
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('scope',
    p.scope, 'reason', p.reason, 'pausedBy', p.paused_by, 'pausedAt',
    pg_catalog.to_char(p.paused_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'until', pg_catalog.to_char(p.until AT
    TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'exceptTenants',
    pg_catalog.to_json(p.except_tenants)) ORDER BY p.scope <> 'all',
    p.scope), '[]') FROM {S}.followup_pauses p WHERE p.until IS NULL OR
    p.until > now()
$statement$),
('pause', $statement$
    SELECT {S}.followup_pause($1, $2, $3::timestamptz, $4)
$statement$),
('resume', $statement$
    SELECT CASE WHEN {S}.followup_resume($1, $2) THEN 1 ELSE 0 END
$statement$),
('figures', $statement$
    WITH waiting AS (SELECT b.task_status = 'pending' AS is_pending, CASE
    WHEN NOT isfinite(b.scheduled_at) THEN NULL WHEN u.unsure = interval '0'
    OR b.scheduled_at > (now() AT TIME ZONE 'UTC') + interval '1 h' +
    u.unsure THEN b.scheduled_at::timestamptz ELSE {S}.followup_due_at(b.*)
    END AS due, b.task_scheduled_at, b.id FROM (SELECT (SELECT CASE WHEN
    pg_typeof((NULL::{T}).scheduled_at + interval '0') =
    'timestamptz'::regtype THEN interval '0' ELSE interval '16 h' END) AS
    unsure OFFSET 0) u, {T} b WHERE b.task_status IN ('pending', 'scheduled')
    AND {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND NOT EXISTS (SELECT FROM
    {S}.followup_failures f WHERE f.booking_id = b.id AND f.dead_at IS NOT
    NULL OFFSET 0)), open AS (SELECT w.*, CASE WHEN w.is_pending THEN w.due
    WHEN isfinite(w.task_scheduled_at) THEN w.task_scheduled_at ELSE w.due
    END AS planned FROM waiting w WHERE NOT EXISTS (SELECT FROM
    {S}.followup_backlog k WHERE k.booking_id = w.id AND k.due_at IS NOT
    DISTINCT FROM w.due OFFSET 0)) , home AS (SELECT n.oid FROM pg_namespace
    n WHERE n.nspname = $1), canary AS (SELECT * FROM
    {S}.followup_canary_state()) SELECT count(*) FILTER (WHERE is_pending),
    count(*) FILTER (WHERE NOT is_pending), (SELECT count(*) FROM
    {S}.followup_dead_letters), count(*) FILTER (WHERE is_pending AND planned
    < now()), count(*) FILTER (WHERE NOT is_pending AND planned < now()),
    coalesce((extract(epoch FROM greatest(now() - min(planned) FILTER (WHERE
    is_pending), interval '0')) * 1000)::bigint, 0), coalesce((extract(epoch
    FROM greatest(now() - min(planned) FILTER (WHERE NOT is_pending),
    interval '0')) * 1000)::bigint, 0), (extract(epoch FROM min(planned)
    FILTER (WHERE planned >= now())) * 1000)::bigint, count(*) FILTER (WHERE
    planned >= now() AND planned < now() + interval '1 h'), (SELECT count(*)
    FROM {S}.followup_obsolete_tasks), (SELECT count(*) FROM
    {S}.followup_pauses p WHERE p.scope = 'all' AND (p.until IS NULL OR
    p.until > now())), (SELECT count(*) FROM {S}.followup_pauses p WHERE
    p.scope <> 'all' AND (p.until IS NULL OR p.until > now())), (SELECT
    count(*) >= 6 AND bool_and(g.tgenabled IN ('O', 'A')) FROM pg_trigger g
    JOIN pg_class c ON c.oid = g.tgrelid JOIN home ON c.relnamespace =
    home.oid WHERE c.relname = $2 AND NOT g.tgisinternal AND g.tgname ~
    '^trigger_.*followup_cloud_task')::int, (SELECT (extract(epoch FROM
    c.succeeded_at) * 1000)::bigint FROM canary c), (SELECT (extract(epoch
    FROM c.notified) * 1000)::bigint FROM canary c), (SELECT (extract(epoch
    FROM c.created) * 1000)::bigint FROM canary c), (SELECT (extract(epoch
    FROM c.called_back) * 1000)::bigint FROM canary c), (SELECT
    left(md5(string_agg(d.description, ',' ORDER BY p.proname, p.pronargs)),
    12) FROM pg_proc p JOIN home ON p.pronamespace = home.oid JOIN
    pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass
    WHERE d.description LIKE 'followup-scheduler %') FROM open
$statement$),
('figures by tenant', $statement$
    WITH waiting AS (SELECT b.task_status = 'pending' AS is_pending, CASE
    WHEN NOT isfinite(b.scheduled_at) THEN NULL WHEN u.unsure = interval '0'
    OR b.scheduled_at > (now() AT TIME ZONE 'UTC') + interval '1 h' +
    u.unsure THEN b.scheduled_at::timestamptz ELSE {S}.followup_due_at(b.*)
    END AS due, b.task_scheduled_at, b.id , (SELECT rtrim(format('%s',
    tenant_id)) FROM (SELECT b.*) AS r) AS tenant FROM (SELECT NULL::text AS
    tenant_id, NULL::text AS lead_id, NULL::text AS assigned_user_id,
    NULL::text AS timezone, NULL::text AS traceparent, NULL::text AS
    trace_parent) AS absent, (SELECT (SELECT CASE WHEN
    pg_typeof((NULL::{T}).scheduled_at + interval '0') =
    'timestamptz'::regtype THEN interval '0' ELSE interval '16 h' END) AS
    unsure OFFSET 0) u, {T} b WHERE b.task_status IN ('pending', 'scheduled')
    AND {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND NOT EXISTS (SELECT FROM
    {S}.followup_failures f WHERE f.booking_id = b.id AND f.dead_at IS NOT
    NULL OFFSET 0)), open AS (SELECT w.*, CASE WHEN w.is_pending THEN w.due
    WHEN isfinite(w.task_scheduled_at) THEN w.task_scheduled_at ELSE w.due
    END AS planned FROM waiting w WHERE NOT EXISTS (SELECT FROM
    {S}.followup_backlog k WHERE k.booking_id = w.id AND k.due_at IS NOT
    DISTINCT FROM w.due OFFSET 0)) , numbers AS (SELECT o.tenant, 1 AS open,
    (o.planned < now())::int AS overdue, 0 AS dead, greatest(now() -
    o.planned, interval '0') AS age FROM open o UNION ALL SELECT
    coalesce(rtrim(d.tenant_id), ''), 0, 0, 1, NULL FROM
    {S}.followup_dead_letters d), tenants AS (SELECT n.tenant, sum(n.open) AS
    open, sum(n.overdue) AS overdue, sum(n.dead) AS dead,
    coalesce((extract(epoch FROM max(n.age)) * 1000)::bigint, 0) AS age FROM
    numbers n GROUP BY n.tenant ORDER BY 3 DESC, 4 DESC, 2 DESC, 1 LIMIT
    $1::int) SELECT
    coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('tenantId',
    t.tenant, 'open', t.open, 'overdue', t.overdue, 'dead', t.dead,
    'oldestOverdueSeconds', t.age / 1000) ORDER BY t.overdue DESC, t.dead
    DESC, t.open DESC, t.tenant), '[]') FROM tenants t
$statement$),
('status overdue', $statement$
    WITH open AS (SELECT b.* FROM (SELECT NULL::text AS tenant_id, NULL::text
    AS lead_id, NULL::text AS assigned_user_id, NULL::text AS timezone,
    NULL::text AS traceparent, NULL::text AS trace_parent) AS absent CROSS
    JOIN LATERAL ((SELECT b.id, tenant_id::text AS tenant_id, 'pending' AS
    status, d.due, timezone::text AS timezone FROM {T} b CROSS JOIN LATERAL
    (SELECT {S}.followup_due_at(b.*) AS due OFFSET 0) AS d WHERE
    b.task_status = 'pending' AND b.scheduled_at > (now() AT TIME ZONE 'UTC')
    - interval '35 days' AND b.scheduled_at < (now() AT TIME ZONE 'UTC') +
    (SELECT CASE WHEN pg_typeof((NULL::{T}).scheduled_at + interval '0') =
    'timestamptz'::regtype THEN interval '0' ELSE interval '16 h' END) AND
    d.due < now() AND {S}.followup_is_followup_type(b.booking_type::text) AND
    NOT {S}.followup_is_deleted(b.*) AND NOT EXISTS (SELECT FROM
    {S}.followup_backlog k WHERE k.booking_id = b.id AND k.due_at IS NOT
    DISTINCT FROM d.due OFFSET 0) AND NOT EXISTS (SELECT FROM
    {S}.followup_failures f WHERE f.booking_id = b.id AND f.dead_at IS NOT
    NULL OFFSET 0) ORDER BY b.scheduled_at LIMIT 10001) UNION ALL (SELECT
    b.id, tenant_id::text, 'scheduled', coalesce(CASE WHEN
    isfinite(b.task_scheduled_at) THEN b.task_scheduled_at END, d.due),
    timezone::text FROM {T} b CROSS JOIN LATERAL (SELECT
    {S}.followup_due_at(b.*) AS due OFFSET 0) AS d WHERE b.task_status =
    'scheduled' AND b.scheduled_at > (now() AT TIME ZONE 'UTC') - interval
    '35 days' AND b.scheduled_at < (now() AT TIME ZONE 'UTC') + (SELECT CASE
    WHEN pg_typeof((NULL::{T}).scheduled_at + interval '0') =
    'timestamptz'::regtype THEN interval '0' ELSE interval '16 h' END) AND
    coalesce(CASE WHEN isfinite(b.task_scheduled_at) THEN b.task_scheduled_at
    END, d.due) < now() AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND NOT EXISTS (SELECT FROM
    {S}.followup_backlog k WHERE k.booking_id = b.id AND k.due_at IS NOT
    DISTINCT FROM d.due OFFSET 0) AND NOT EXISTS (SELECT FROM
    {S}.followup_failures f WHERE f.booking_id = b.id AND f.dead_at IS NOT
    NULL OFFSET 0) ORDER BY b.scheduled_at LIMIT 10001)) AS b), late AS
    (SELECT * FROM open WHERE due < now() - interval '60 s' AND (status =
    'scheduled' OR due > now() - greatest($1::float8 * interval '1 s',
    coalesce((SELECT s.value FROM {S}.followup_settings s WHERE s.name =
    'call_within'), '4h')::interval))), oldest AS (SELECT *, true AS of_all
    FROM (SELECT * FROM late ORDER BY due LIMIT 20) AS a UNION ALL SELECT *,
    false FROM (SELECT * FROM late WHERE tenant_id = $2::text ORDER BY due
    LIMIT 20) AS t), shown AS (SELECT o.of_all,
    pg_catalog.json_agg(pg_catalog.json_build_object('bookingId', o.id,
    'tenantId', o.tenant_id, 'taskStatus', o.status, 'dueAt',
    pg_catalog.to_char(o.due AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'timezone', o.timezone, 'dueThere',
    pg_catalog.to_char(o.due AT TIME ZONE {S}.followup_zone(o.timezone),
    'YYYY-MM-DD HH24:MI')) ORDER BY o.due) AS list FROM oldest o GROUP BY 1)
    SELECT pg_catalog.json_build_object('count', (SELECT count(*) FROM late),
    'atLeast', (SELECT count(*) FROM open) >= 10001, 'waiting', (SELECT
    count(*) FROM open), 'left', (SELECT count(*) FROM open WHERE status =
    'pending' AND due <= now() - greatest($1::float8 * interval '1 s',
    coalesce((SELECT s.value FROM {S}.followup_settings s WHERE s.name =
    'call_within'), '4h')::interval)), 'oldestSeconds', (SELECT extract(epoch
    FROM now() - min(due))::bigint FROM late), 'bookings', coalesce((SELECT
    list FROM shown WHERE of_all), '[]'), 'ofTenant', coalesce((SELECT list
    FROM shown WHERE NOT of_all), '[]'), 'tenants', (SELECT
    coalesce(pg_catalog.json_object_agg(t.tenant_id, t.n ORDER BY t.n DESC),
    pg_catalog.json_build_object()) FROM (SELECT tenant_id, count(*) AS n
    FROM late WHERE tenant_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT
    10) AS t))
$statement$),
('status next', $statement$
    WITH coming AS ((SELECT d.due FROM {T} b CROSS JOIN LATERAL (SELECT
    {S}.followup_due_at(b.*) AS due OFFSET 0) AS d WHERE b.task_status =
    'pending' AND {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND b.scheduled_at > (now() AT TIME ZONE
    'UTC') - (SELECT CASE WHEN pg_typeof((NULL::{T}).scheduled_at + interval
    '0') = 'timestamptz'::regtype THEN interval '0' ELSE interval '16 h' END)
    AND b.scheduled_at < (now() AT TIME ZONE 'UTC') + interval '1 h' +
    (SELECT CASE WHEN pg_typeof((NULL::{T}).scheduled_at + interval '0') =
    'timestamptz'::regtype THEN interval '0' ELSE interval '16 h' END) AND
    d.due BETWEEN now() AND now() + interval '1 h' ORDER BY b.scheduled_at
    LIMIT 10001) UNION ALL (SELECT coalesce(CASE WHEN
    isfinite(b.task_scheduled_at) THEN b.task_scheduled_at END, d.due) FROM
    {T} b CROSS JOIN LATERAL (SELECT {S}.followup_due_at(b.*) AS due OFFSET
    0) AS d WHERE b.task_status = 'scheduled' AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND b.scheduled_at > (now() AT TIME ZONE
    'UTC') - interval '3 days' AND b.scheduled_at < (now() AT TIME ZONE
    'UTC') + interval '1 h' + (SELECT CASE WHEN
    pg_typeof((NULL::{T}).scheduled_at + interval '0') =
    'timestamptz'::regtype THEN interval '0' ELSE interval '16 h' END) AND
    coalesce(CASE WHEN isfinite(b.task_scheduled_at) THEN b.task_scheduled_at
    END, d.due) BETWEEN now() AND now() + interval '1 h' ORDER BY
    b.scheduled_at LIMIT 10001)), ahead AS ((SELECT d.due FROM {T} b CROSS
    JOIN LATERAL (SELECT {S}.followup_due_at(b.*) AS due OFFSET 0) AS d WHERE
    b.task_status = 'pending' AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT
    {S}.followup_is_deleted(b.*) AND b.scheduled_at > (now() AT TIME ZONE
    'UTC') AND d.due > now() ORDER BY b.scheduled_at LIMIT 20) UNION ALL
    (SELECT d.due FROM {T} b CROSS JOIN LATERAL (SELECT
    {S}.followup_due_at(b.*) AS due OFFSET 0) AS d WHERE b.task_status =
    'scheduled' AND {S}.followup_is_followup_type(b.booking_type::text) AND
    NOT {S}.followup_is_deleted(b.*) AND b.scheduled_at > (now() AT TIME ZONE
    'UTC') AND d.due > now() ORDER BY b.scheduled_at LIMIT 20)) SELECT
    pg_catalog.json_build_object('in15Minutes', count(*) FILTER (WHERE due <
    now() + interval '15 min'), 'in60Minutes', count(*), 'atLeast', count(*)
    >= 10001, 'minutes', (SELECT pg_catalog.json_agg(coalesce(c.n, 0) ORDER
    BY m) FROM generate_series(0, 59) AS m LEFT JOIN (SELECT
    floor(extract(epoch FROM due - now()) / 60)::int AS minute, count(*) AS n
    FROM coming GROUP BY 1) AS c ON c.minute = m), 'nextAt', (SELECT
    pg_catalog.to_char(least(min(a.due), (SELECT min(due) FROM coming)) AT
    TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM ahead a)) FROM
    coming
$statement$),
('status letters', $statement$
    WITH newest AS (SELECT d.* FROM {S}.followup_dead_letters d ORDER BY
    d.dead_at DESC LIMIT 5001), asked AS (SELECT n.*,
    {S}.followup_cause(n.error) AS cause FROM newest n WHERE $1::text IS NULL
    OR n.tenant_id = $1::text), causes AS (SELECT stage, http_status, cause,
    count(*) AS n, count(DISTINCT tenant_id) AS tenants, min(dead_at) AS
    first_at, max(dead_at) AS last_at, (pg_catalog.array_agg(booking_id::text
    ORDER BY dead_at DESC))[1:3] AS ids FROM asked GROUP BY 1, 2, 3 ORDER BY
    4 DESC, 7 DESC LIMIT 20) SELECT pg_catalog.json_build_object('count',
    (SELECT count(*) FROM asked), 'atLeast', (SELECT count(*) FROM newest) >=
    5001, 'causes', (SELECT
    coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('stage', stage,
    'httpStatus', http_status, 'error', cause, 'count', n, 'tenants',
    tenants, 'first', pg_catalog.to_char(first_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'last', pg_catalog.to_char(last_at AT
    TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'bookingIds', ids)
    ORDER BY n DESC, last_at DESC), '[]') FROM causes), 'tenants', (SELECT
    coalesce(pg_catalog.json_object_agg(t.tenant_id, t.n),
    pg_catalog.json_build_object()) FROM (SELECT tenant_id, count(*) AS n
    FROM newest WHERE tenant_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT
    10) AS t))
$statement$),
('status acts', $statement$
    WITH retried AS (SELECT r.at AS retried_at, r.by AS retried_by,
    coalesce(r.reason LIKE 'however late%', false) AS late, r.booking_id FROM
    {S}.followup_history r WHERE r.what = 'retried' ORDER BY r.at DESC LIMIT
    1000), acts AS (SELECT max(r.retried_at) AS at, r.retried_by AS who, CASE
    count(DISTINCT r.booking_id) WHEN 1 THEN 'retried booking ' ||
    min(r.booking_id::text) ELSE format('retried %s bookings', count(DISTINCT
    r.booking_id)) END || CASE WHEN r.late THEN ', however late' ELSE '' END
    AS what FROM retried r GROUP BY r.retried_by, r.late,
    date_trunc('minute', r.retried_at) UNION ALL (SELECT p.at, p.by, p.what
    FROM {S}.followup_acts p ORDER BY p.id DESC LIMIT 20)) SELECT
    coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('at',
    pg_catalog.to_char(a.at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'by', a.who, 'what', a.what) ORDER BY
    a.at DESC), '[]') FROM (SELECT * FROM acts ORDER BY at DESC LIMIT 20) AS
    a
$statement$),
('status installation', $statement$
    SELECT pg_catalog.json_build_object('database',
    pg_catalog.current_database(), 'server',
    pg_catalog.current_setting('server_version'), 'role', current_user,
    'settings', (SELECT pg_catalog.json_object_agg(s.name, s.value ORDER BY
    s.name) FROM {S}.followup_settings s), 'triggers', (SELECT
    pg_catalog.json_object_agg(g.tgname, g.tgenabled IN ('O', 'A') ORDER BY
    g.tgname) FROM pg_catalog.pg_trigger g WHERE g.tgrelid = (SELECT
    t.typrelid FROM pg_catalog.pg_type t WHERE t.oid = pg_typeof(NULL::{T}))
    AND NOT g.tgisinternal AND g.tgname ~ '^trigger_.*followup_cloud_task'),
    'canary', (SELECT pg_catalog.json_build_object('isOn', c.every IS NOT
    NULL, 'isStale', c.is_stale, 'succeededAt',
    pg_catalog.to_char(c.succeeded_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'sentence', c.sentence) FROM
    {S}.followup_canary_state() AS c), 'closedUntil', (SELECT CASE WHEN
    o.opens > now() THEN pg_catalog.to_char(o.opens AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') END FROM {S}.followup_settings s,
    LATERAL {S}.followup_open(s.week, coalesce((SELECT z.value FROM
    {S}.followup_settings z WHERE z.name = 'calling_zone'), 'UTC'), now()) AS
    o WHERE s.name = 'calling_hours' AND s.week IS NOT NULL))
$statement$),
('status types', $statement$
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('type',
    t.type, 'meant', t.meant, 'count', t.n) ORDER BY t.n DESC), '[]') FROM
    (SELECT r.type, {S}.followup_type_meant(r.type) AS meant, r.n FROM
    (SELECT left(b.booking_type::text, 60) AS type, count(*) AS n FROM {T} b
    WHERE b.ctid >= (SELECT format('(%s,0)', CASE s.bytes WHEN 0 THEN
    4294967295 ELSE greatest(0, s.bytes /
    pg_catalog.current_setting('block_size')::int - 100) END)::tid FROM
    (SELECT pg_catalog.pg_relation_size(pg_typeof(NULL::{T})::text::regclass)
    AS bytes) AS s) AND NOT
    {S}.followup_is_followup_type(b.booking_type::text) GROUP BY 1 ORDER BY 2
    DESC LIMIT 20) AS r) AS t WHERE t.meant IS NOT NULL
$statement$),
('canary sent', $statement$
    WITH slot AS (SELECT pg_catalog.date_bin(s.value::interval, now(),
    'epoch'::timestamptz) AS slot FROM {S}.followup_settings s WHERE s.name =
    'canary_every' AND s.value <> ''), due AS (SELECT s.slot, coalesce(l.try,
    0) + 1 AS try FROM slot s LEFT JOIN LATERAL (SELECT c.try, c.created_at,
    coalesce(c.notified_at, c.received_at) AS heard_at FROM
    {S}.followup_canary c WHERE c.slot = s.slot ORDER BY c.try DESC LIMIT 1)
    AS l ON true WHERE l.try IS NULL OR (l.heard_at IS NULL AND l.try < 6 AND
    l.created_at < now() - interval '10 s')), pruned AS (DELETE FROM
    {S}.followup_canary c USING due d WHERE c.slot < now() - interval '1 day'
    AND c.slot < d.slot), sent AS (INSERT INTO {S}.followup_canary AS c (id,
    slot, try, scheduled_at) SELECT $1::uuid, d.slot, d.try, now() + interval
    '2 s' FROM due d ON CONFLICT DO NOTHING RETURNING
    pg_catalog.set_config('followup.daemon', '', true)) SELECT count(*) FROM
    sent
$statement$),
('canary heard', $statement$
    WITH changed AS (UPDATE {S}.followup_canary c SET notified_at =
    least(coalesce(c.notified_at, 'infinity'), greatest(c.created_at, now() -
    $2::float8 * interval '1 s')) WHERE c.id = $1::uuid RETURNING 1) SELECT
    count(*) FROM changed
$statement$),
('canary received', $statement$
    UPDATE {S}.followup_canary c SET received_at = coalesce(c.received_at,
    now()), notified_at = coalesce(c.notified_at, now()) WHERE c.id =
    $1::uuid RETURNING (extract(epoch FROM c.scheduled_at) *
    1000000::numeric)::bigint, pg_catalog.json_build_object('tenantId', NULL,
    'bookingId', c.id, 'leadId', NULL, 'assignedUserId', NULL,
    'idempotencyKey', 'followup:canary:' || c.id::text, 'scheduledAt',
    pg_catalog.to_char(c.scheduled_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
$statement$),
('canary task', $statement$
    WITH changed AS (UPDATE {S}.followup_canary c SET task_created_at =
    coalesce(c.task_created_at, now()), task_name = $2, error = NULL WHERE
    c.id = $1::uuid RETURNING 1) SELECT count(*) FROM changed
$statement$),
('canary failed', $statement$
    WITH changed AS (UPDATE {S}.followup_canary c SET error = $2 WHERE c.id =
    $1::uuid RETURNING 1) SELECT count(*) FROM changed
$statement$),
('canary called back', $statement$
    WITH changed AS (UPDATE {S}.followup_canary c SET called_back_at =
    coalesce(c.called_back_at, now()) WHERE c.id = $1::uuid RETURNING 1)
    SELECT count(*) FROM changed
$statement$),
('canary', $statement$
    SELECT (s.every IS NOT NULL)::int, s.is_stale::int, extract(epoch FROM
    s.succeeded_at)::float8, extract(epoch FROM s.notified)::float8,
    extract(epoch FROM s.created)::float8, extract(epoch FROM
    s.called_back)::float8, s.sentence FROM {S}.followup_canary_state() AS s
$statement$),
('time limit', $statement$
    SELECT pg_catalog.set_config('statement_timeout', '1s', false)
$statement$),
('time limit over', $statement$
    SELECT pg_catalog.set_config('statement_timeout', '9s', false)
$statement$),
('events seen', $statement$
    WITH t AS (SELECT * FROM pg_catalog.jsonb_to_recordset($1::jsonb) AS t
    (kind text, key text, "on" boolean, state text, over text, by text, data
    jsonb)), moved AS (UPDATE {S}.followup_events e SET seen = CASE WHEN
    t."on" THEN coalesce((SELECT pg_catalog.jsonb_object_agg(v.key, v.value)
    FROM pg_catalog.jsonb_each(e.seen) AS v WHERE v.key <> t.by AND (v.key =
    '' OR v.value::float8 > extract(epoch FROM now())::float8 - 60)),
    pg_catalog.jsonb_build_object()) || pg_catalog.jsonb_build_object(t.by,
    extract(epoch FROM now())::float8) ELSE (SELECT
    pg_catalog.jsonb_object_agg(v.key, v.value) FROM
    pg_catalog.jsonb_each(e.seen) AS v WHERE v.key <> t.by AND (v.key = '' OR
    v.value::float8 > extract(epoch FROM now())::float8 - 60)) END FROM t
    WHERE e.seen IS NOT NULL AND e.kind = t.kind AND e.key = t.key AND NOT
    (t."on" AND coalesce((e.seen ->> t.by)::float8 > CASE t.by WHEN '' THEN 0
    ELSE extract(epoch FROM now())::float8 - 20 END, false)) RETURNING
    t.kind, t.key, t.over, t.data, e.seen), ended AS (INSERT INTO
    {S}.followup_events (kind, key, state, data) SELECT m.kind, m.key,
    m.over, m.data FROM moved m WHERE m.seen IS NULL AND m.over IS NOT NULL
    RETURNING kind, key, state), gone AS (UPDATE {S}.followup_events e SET
    seen = NULL WHERE e.seen IS NOT NULL AND e.kind = ANY ($2::text[]) AND
    NOT EXISTS (SELECT FROM t WHERE t.kind = e.kind AND t.key = e.key)),
    begun AS (INSERT INTO {S}.followup_events (kind, key, state, data, seen)
    SELECT t.kind, t.key, t.state, t.data,
    pg_catalog.jsonb_build_object(t.by, extract(epoch FROM now())::float8)
    FROM t WHERE t."on" AND NOT EXISTS (SELECT FROM {S}.followup_events e
    WHERE e.kind = t.kind AND e.key = t.key AND (e.seen IS NOT NULL OR
    e.happened_at > now() - interval '60 s')) AND (SELECT count(*) FROM
    (SELECT FROM {S}.followup_events w WHERE w.next_attempt_at IS NOT NULL
    LIMIT 100) AS w) < 100 ON CONFLICT (kind, key) WHERE seen IS NOT NULL DO
    NOTHING RETURNING kind, key, state) SELECT kind, key, state FROM ended
    UNION ALL SELECT kind, key, state FROM begun
$statement$),
('event next', $statement$
    WITH next AS (SELECT e.id FROM {S}.followup_events e WHERE
    e.next_attempt_at <= now() AND NOT EXISTS (SELECT FROM
    {S}.followup_events o WHERE o.next_attempt_at IS NOT NULL AND o.kind =
    e.kind AND o.key = e.key AND o.happened_at < e.happened_at) ORDER BY
    e.happened_at, e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED) UPDATE
    {S}.followup_events e SET attempts = e.attempts + 1, next_attempt_at =
    now() + least(3600, 15 * 2 ^ least(e.attempts, 8)) * (1 + random() / 2) *
    interval '1 s' FROM next WHERE e.id = next.id RETURNING e.id, 'evt_' ||
    replace(e.id::text, '-', ''), 'followup.' || e.kind || '.' || e.state,
    pg_catalog.to_char(e.happened_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), e.data, e.attempts, extract(epoch FROM
    now() - e.happened_at)::bigint
$statement$),
('event told', $statement$
    WITH changed AS (UPDATE {S}.followup_events e SET next_attempt_at = CASE
    $2::text WHEN 'retry' THEN greatest(e.next_attempt_at, now() + $4::float8
    * interval '1 s') END, delivered_at = CASE $2::text WHEN 'delivered' THEN
    now() END, last_error = $3 WHERE e.id = $1::uuid AND (e.next_attempt_at
    IS NOT NULL OR $2::text = 'delivered') RETURNING 1) SELECT count(*) FROM
    changed
$statement$),
('events forgotten', $statement$
    WITH gone AS (DELETE FROM {S}.followup_events e WHERE e.seen IS NULL AND
    e.next_attempt_at IS NULL AND (e.happened_at < now() - interval '7 days'
    OR e.happened_at <= (SELECT o.happened_at FROM {S}.followup_events o
    ORDER BY o.happened_at DESC OFFSET 1000 LIMIT 1)) RETURNING 1) SELECT
    count(*) FROM gone
$statement$)) AS statement (name, text)
\gset
