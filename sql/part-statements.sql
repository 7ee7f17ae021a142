-- part-statements.sql: the statements of the daemons, for the rehearsal.  It is
-- printed from their sources: change those, and run `make statements`.

SELECT pg_catalog.jsonb_object_agg(name, pg_catalog.replace(text, '{H}',
    $$interval '2588400 s'$$)) AS followup_statements
FROM (VALUES
('session', $statement$
    SET search_path = pg_catalog; SET followup.daemon = 'on'; SET
    client_min_messages = error; SET TimeZone = 'UTC'; SET DateStyle = 'ISO';
    SET standard_conforming_strings = on; SET statement_timeout = '9s'; SET
    lock_timeout = '3s'; SET idle_in_transaction_session_timeout = '10s'; SET
    enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin =
    off; SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode =
    force_generic_plan; SET max_parallel_workers_per_gather = 0; SET
    tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 1; SET
    tcp_keepalives_count = 3; SET tcp_user_timeout = 6000; SELECT
    pg_catalog.pg_backend_pid()
$statement$),
('sweep', $statement$
    WITH pending AS (SELECT b.id, (SELECT tenant_id::text FROM (SELECT b.*)
    AS r) AS tenant_id, b.scheduled_at::text AS place FROM (SELECT
    NULL::boolean AS is_deleted, NULL::text AS tenant_id, NULL::text AS
    lead_id, NULL::text AS assigned_user_id, NULL::text AS timezone) AS
    absent, {T} b CROSS JOIN LATERAL (SELECT {S}.followup_due_at(b) AS due
    OFFSET 0) x WHERE b.task_status = 'pending' AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT (SELECT
    coalesce(is_deleted::text::boolean, false) FROM (SELECT b.*) AS r) AND
    (b.scheduled_at, b.id) > ($2, $3::uuid) AND b.scheduled_at > (now() AT
    TIME ZONE 'UTC') - $1::float8 * interval '1 s' - interval '1 day' AND
    b.scheduled_at < (now() AT TIME ZONE 'UTC') + interval '31 days' AND
    (x.due IS NULL OR x.due BETWEEN now() - $1::float8 * interval '1 s' AND
    now() + interval '2588400 s') AND NOT EXISTS (SELECT FROM
    {S}.followup_failures f WHERE f.booking_id = b.id AND f.stage =
    'schedule' AND f.next_attempt_at > now() OFFSET 0) AND NOT EXISTS (SELECT
    FROM {S}.followup_obsolete_tasks o WHERE o.booking_id = b.id AND
    o.next_attempt_at > now() OFFSET 0) ORDER BY b.scheduled_at, b.id LIMIT
    $4::int), obsolete AS (SELECT DISTINCT o.booking_id AS id, NULL::text AS
    tenant_id, NULL::text AS place FROM {S}.followup_obsolete_tasks o WHERE
    $2 = '-infinity' AND (o.next_attempt_at IS NULL OR o.next_attempt_at <=
    now()) LIMIT $4::int), overdue AS (SELECT b.id, (SELECT tenant_id::text
    FROM (SELECT b.*) AS r) AS tenant_id FROM (SELECT NULL::boolean AS
    is_deleted, NULL::text AS tenant_id, NULL::text AS lead_id, NULL::text AS
    assigned_user_id, NULL::text AS timezone) AS absent, {T} b CROSS JOIN
    LATERAL (SELECT {S}.followup_due_at(b) AS due OFFSET 0) x WHERE
    $5::float8 IS NOT NULL AND $2 = '-infinity' AND b.task_status =
    'scheduled' AND {S}.followup_is_followup_type(b.booking_type::text) AND
    b.scheduled_at > (now() AT TIME ZONE 'UTC') - $1::float8 * interval '1 s'
    - interval '1 day' AND b.scheduled_at < (now() AT TIME ZONE 'UTC') +
    interval '1 day 15 min' AND (x.due BETWEEN now() - $1::float8 * interval
    '1 s' AND now() - $5::float8 * interval '1 s' OR (x.due <>
    b.task_scheduled_at AND x.due < now() + interval '15 min')) ORDER BY
    random() LIMIT $4::int) SELECT id, tenant_id, place FROM obsolete UNION
    ALL SELECT id, tenant_id, NULL FROM overdue UNION ALL SELECT id,
    tenant_id, place FROM pending
$statement$),
('read', $statement$
    SELECT b.id IS NOT NULL, b.task_status, b.tenant_id, b.lead_id,
    b.assigned_user_id, b.booking_type, b.is_followup, b.is_deleted,
    b.task_name, (extract(epoch FROM b.task_scheduled_at) * 1000000)::bigint,
    (extract(epoch FROM b.executed_at) * 1000000)::bigint,
    b.execution_attempts, b.last_execution_error, b.scheduled_at, b.timezone,
    (extract(epoch FROM b.due) * 1000000)::bigint, extract(epoch FROM b.due -
    now())::float8, coalesce(f.attempts, 0), greatest(extract(epoch FROM
    f.next_attempt_at - now()), 0)::float8, EXISTS (SELECT FROM
    {S}.followup_attempts a WHERE a.booking_id = u.id OFFSET 0), k.key,
    json_build_object('tenantId', b.tenant_id, 'bookingId', b.id, 'leadId',
    b.lead_id, 'assignedUserId', b.assigned_user_id, 'idempotencyKey', k.key,
    'scheduledAt', k.due), (SELECT string_agg(o.task_name || E'\n', '' ORDER
    BY o.obsolete_at) FROM {S}.followup_obsolete_tasks o WHERE o.booking_id =
    u.id) FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n) CROSS JOIN
    (SELECT NULL::boolean AS is_deleted, NULL::text AS tenant_id, NULL::text
    AS lead_id, NULL::text AS assigned_user_id, NULL::text AS timezone) AS
    absent LEFT JOIN LATERAL (SELECT b.id, b.task_status::text AS
    task_status, tenant_id::text AS tenant_id, lead_id::text AS lead_id,
    assigned_user_id::text AS assigned_user_id, b.booking_type::text AS
    booking_type, {S}.followup_is_followup_type(b.booking_type::text) AS
    is_followup, coalesce(is_deleted::text::boolean, false) AS is_deleted,
    b.task_name, b.task_scheduled_at, b.executed_at, b.execution_attempts,
    b.last_execution_error, b.scheduled_at::text AS scheduled_at,
    timezone::text AS timezone, {S}.followup_due_at(b) AS due FROM {T} b
    WHERE b.id = u.id OFFSET 0) AS b ON true LEFT JOIN LATERAL (SELECT i.due,
    left('followup:' || coalesce(b.tenant_id, '') || ':' || b.id || ':' ||
    i.due, 255) AS key FROM (SELECT to_char(b.due AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS due OFFSET 0) AS i OFFSET 0) AS k ON
    true LEFT JOIN LATERAL (SELECT f.attempts, f.next_attempt_at FROM
    {S}.followup_failures f WHERE f.booking_id = u.id AND f.stage =
    'schedule' OFFSET 0) AS f ON true ORDER BY u.n
$statement$),
('try lock', $statement$
    SELECT pg_try_advisory_lock(CASE $2::text WHEN 'schedule' THEN 1181707347
    ELSE 1181707333 END, hashtext(u.id::text)) FROM unnest($1::uuid[]) WITH
    ORDINALITY AS u (id, n) ORDER BY u.n
$statement$),
('unlock', $statement$
    SELECT count(pg_advisory_unlock(CASE $2::text WHEN 'schedule' THEN
    1181707347 ELSE 1181707333 END, hashtext(u.id::text))) FROM
    unnest($1::uuid[]) AS u (id)
$statement$),
('scheduled', $statement$
    WITH t AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[],
    $4::text[]) AS t (id, name, due, key)), mine AS (SELECT t.* FROM t, {T} l
    WHERE l.id = t.id FOR NO KEY UPDATE OF l SKIP LOCKED), changed AS (UPDATE
    {T} b SET task_name = mine.name, task_scheduled_at =
    {S}.followup_due_at(b), idempotency_key = mine.key, task_status =
    'scheduled', last_execution_error = CASE WHEN b.execution_attempts > 0
    THEN b.last_execution_error END FROM mine, (SELECT NULL::boolean AS
    is_deleted, NULL::text AS tenant_id, NULL::text AS lead_id, NULL::text AS
    assigned_user_id, NULL::text AS timezone) AS absent WHERE b.id = mine.id
    AND (b.task_status || '') = 'pending' AND (extract(epoch FROM
    {S}.followup_due_at(b)) * 1000000)::bigint = mine.due AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT (SELECT
    coalesce(is_deleted::text::boolean, false) FROM (SELECT b.*) AS r)
    RETURNING b.id), forgotten AS (DELETE FROM {S}.followup_failures f USING
    changed WHERE f.booking_id = changed.id AND f.stage = 'schedule') SELECT
    changed.id::text, pg_advisory_unlock(CASE 'schedule' WHEN 'schedule' THEN
    1181707347 ELSE 1181707333 END, hashtext(changed.id::text)) FROM changed
    WHERE (SELECT count(*) FROM changed) > 0
$statement$),
('scheduled one', $statement$
    WITH t AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[],
    $4::text[]) AS t (id, name, due, key)), mine AS (SELECT t.* FROM t),
    changed AS (UPDATE {T} b SET task_name = mine.name, task_scheduled_at =
    {S}.followup_due_at(b), idempotency_key = mine.key, task_status =
    'scheduled', last_execution_error = CASE WHEN b.execution_attempts > 0
    THEN b.last_execution_error END FROM mine, (SELECT NULL::boolean AS
    is_deleted, NULL::text AS tenant_id, NULL::text AS lead_id, NULL::text AS
    assigned_user_id, NULL::text AS timezone) AS absent WHERE b.id = mine.id
    AND (b.task_status || '') = 'pending' AND (extract(epoch FROM
    {S}.followup_due_at(b)) * 1000000)::bigint = mine.due AND
    {S}.followup_is_followup_type(b.booking_type::text) AND NOT (SELECT
    coalesce(is_deleted::text::boolean, false) FROM (SELECT b.*) AS r)
    RETURNING b.id), forgotten AS (DELETE FROM {S}.followup_failures f USING
    changed WHERE f.booking_id = changed.id AND f.stage = 'schedule') SELECT
    changed.id::text, pg_advisory_unlock(CASE 'schedule' WHEN 'schedule' THEN
    1181707347 ELSE 1181707333 END, hashtext(changed.id::text)) FROM changed
    WHERE (SELECT count(*) FROM changed) > 0
$statement$),
('begun', $statement$
    WITH changed AS (UPDATE {T} b SET execution_attempts =
    b.execution_attempts + 1, last_execution_error = 'an attempt to start the '
    'call was begun, and its outcome is not known' FROM (SELECT NULL::boolean
    AS is_deleted, NULL::text AS tenant_id, NULL::text AS lead_id, NULL::text
    AS assigned_user_id, NULL::text AS timezone) AS absent WHERE b.id =
    $1::uuid AND (b.task_status || '') IN ('pending', 'scheduled') AND
    (extract(epoch FROM {S}.followup_due_at(b)) * 1000000)::bigint =
    $2::bigint AND {S}.followup_is_followup_type(b.booking_type::text) AND
    NOT (SELECT coalesce(is_deleted::text::boolean, false) FROM (SELECT b.*)
    AS r) RETURNING b.id), begun AS (INSERT INTO {S}.followup_attempts
    (booking_id) SELECT changed.id FROM changed ON CONFLICT (booking_id) DO
    UPDATE SET begun_at = now()) SELECT
    {S}.followup_call_request(changed.id)::text FROM changed
$statement$),
('executed', $statement$
    WITH before AS (SELECT b.id, b.task_name AS old,
    coalesce(regexp_replace(b.task_name, '[^/]*$', $2), b.task_name) AS name
    FROM {T} b WHERE b.id = $1::uuid FOR UPDATE), changed AS (UPDATE {T} b
    SET task_status = 'executed', executed_at = now(), last_execution_error =
    NULL, task_name = before.name, task_scheduled_at = 'epoch'::timestamptz +
    $3::bigint * interval '1 microsecond', idempotency_key = $4 FROM before
    WHERE b.id = before.id AND (b.task_status || '') <> 'executed' RETURNING
    b.id), obsolete AS (INSERT INTO {S}.followup_obsolete_tasks (task_name,
    booking_id) SELECT before.old, before.id FROM before WHERE before.old <>
    before.name ON CONFLICT DO NOTHING), forgotten AS (DELETE FROM
    {S}.followup_failures f WHERE f.booking_id = $1::uuid), ended AS (DELETE
    FROM {S}.followup_attempts a WHERE a.booking_id = $1::uuid) SELECT
    count(*) FROM changed
$statement$),
('name executed', $statement$
    WITH changed AS (UPDATE {T} b SET task_name = $2 WHERE b.id = $1::uuid
    AND (b.task_status || '') = 'executed' AND b.task_name IS NULL RETURNING
    b.id) SELECT count(*) FROM changed
$statement$),
('failed once', $statement$
    WITH noted AS (INSERT INTO {S}.followup_failures AS f (booking_id, stage,
    tenant_id, attempts, next_attempt_at, http_status, error, dead_at) SELECT
    $1::uuid, $2, $3, 1, now() + $4::float8 * interval '1 s', nullif($5::int,
    0), $6, NULL::timestamptz FROM {T} b WHERE b.id = $1::uuid AND
    (extract(epoch FROM {S}.followup_due_at(b)) * 1000000)::bigint =
    $7::bigint ON CONFLICT (booking_id, stage) DO UPDATE SET attempts =
    f.attempts + 1, last_failed_at = now(), next_attempt_at =
    excluded.next_attempt_at, http_status = excluded.http_status, error =
    excluded.error, dead_at = excluded.dead_at RETURNING booking_id), ended
    AS (DELETE FROM {S}.followup_attempts a WHERE a.booking_id = $1::uuid AND
    $2::text = 'execute'), changed AS (UPDATE {T} b SET last_execution_error
    = $6 WHERE b.id = $1::uuid AND (b.task_status || '') IN ('pending',
    'scheduled') AND ($2::text = 'execute' OR b.execution_attempts = 0) AND
    (extract(epoch FROM {S}.followup_due_at(b)) * 1000000)::bigint =
    $7::bigint RETURNING b.id) SELECT count(*) FROM changed
$statement$),
('failed', $statement$
    WITH changed AS (UPDATE {T} b SET task_status = 'failed',
    last_execution_error = $6 WHERE b.id = $1::uuid AND (b.task_status || '')
    IN ('pending', 'scheduled') AND (extract(epoch FROM
    {S}.followup_due_at(b)) * 1000000)::bigint IS NOT DISTINCT FROM
    $7::bigint RETURNING b.id), noted AS (INSERT INTO {S}.followup_failures
    AS f (booking_id, stage, tenant_id, attempts, next_attempt_at,
    http_status, error, dead_at) SELECT $1::uuid, $2, $3, 1, now() +
    $4::float8 * interval '1 s', nullif($5::int, 0), $6, now() FROM changed
    WHERE true ON CONFLICT (booking_id, stage) DO UPDATE SET attempts =
    f.attempts + 1, last_failed_at = now(), next_attempt_at =
    excluded.next_attempt_at, http_status = excluded.http_status, error =
    excluded.error, dead_at = excluded.dead_at RETURNING booking_id), ended
    AS (DELETE FROM {S}.followup_attempts a WHERE a.booking_id = $1::uuid AND
    $2::text = 'execute') SELECT count(*) FROM changed
$statement$),
('unschedule', $statement$
    WITH changed AS (UPDATE {T} b SET task_status = 'pending', task_name =
    NULL, task_scheduled_at = NULL, idempotency_key = NULL,
    execution_attempts = 0, last_execution_error = NULL WHERE b.id = $1::uuid
    AND (b.task_status || '') = 'scheduled' AND b.task_name = $2 RETURNING
    b.id), obsolete AS (INSERT INTO {S}.followup_obsolete_tasks (task_name,
    booking_id) SELECT $2, changed.id FROM changed ON CONFLICT DO NOTHING),
    forgotten AS (DELETE FROM {S}.followup_failures f USING changed WHERE
    f.booking_id = changed.id), ended AS (DELETE FROM {S}.followup_attempts a
    USING changed WHERE a.booking_id = changed.id) SELECT count(*) FROM
    changed
$statement$),
('task gone', $statement$
    WITH changed AS (UPDATE {T} b SET task_status = 'pending', task_name =
    NULL, task_scheduled_at = NULL WHERE b.id = $1::uuid AND (b.task_status
    || '') = 'scheduled' AND b.task_name = $2 RETURNING b.id) SELECT count(*)
    FROM changed
$statement$),
('cancel', $statement$
    WITH before AS (SELECT b.id, b.task_name FROM {T} b WHERE b.id = $1::uuid
    FOR UPDATE), changed AS (UPDATE {T} b SET task_status = 'cancelled',
    task_name = NULL, task_scheduled_at = NULL FROM before WHERE b.id =
    before.id AND (b.task_status || '') <> 'executed' RETURNING b.id),
    obsolete AS (INSERT INTO {S}.followup_obsolete_tasks (task_name,
    booking_id) SELECT before.task_name, before.id FROM before JOIN changed
    USING (id) WHERE before.task_name IS NOT NULL ON CONFLICT DO NOTHING),
    forgotten AS (DELETE FROM {S}.followup_failures f USING changed WHERE
    f.booking_id = changed.id), ended AS (DELETE FROM {S}.followup_attempts a
    USING changed WHERE a.booking_id = changed.id) SELECT count(*) FROM
    changed
$statement$),
('retry', $statement$
    SELECT CASE WHEN {S}.followup_retry($1::uuid) THEN 1 ELSE 0 END
$statement$),
('obsolete deleted', $statement$
    WITH changed AS (DELETE FROM {S}.followup_obsolete_tasks o WHERE
    o.task_name = $1 RETURNING 1) SELECT count(*) FROM changed
$statement$),
('obsolete later', $statement$
    WITH changed AS (UPDATE {S}.followup_obsolete_tasks o SET attempts =
    o.attempts + 1, next_attempt_at = now() + $2::float8 * interval '1 s'
    WHERE o.booking_id = $1::uuid RETURNING 1) SELECT count(*) FROM changed
$statement$),
('dead letters', $statement$
    SELECT d.booking_id, d.tenant_id, d.stage, d.attempts,
    to_char(d.first_failed_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), to_char(d.last_failed_at AT TIME ZONE
    'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), d.http_status, d.error,
    to_char(d.dead_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    FROM {S}.followup_dead_letters d WHERE $1::timestamptz IS NULL OR
    (d.dead_at, d.booking_id) < ($1::timestamptz, $2::uuid) ORDER BY
    d.dead_at DESC, d.booking_id DESC LIMIT $3::int
$statement$),
('retry dead letters', $statement$
    SELECT {S}.followup_retry_all($1, coalesce($2::timestamptz, '-infinity'),
    coalesce($3::timestamptz, 'infinity'))
$statement$)) AS statement (name, text)
\gset
