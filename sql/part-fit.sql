-- part-fit.sql: followup_columns_fit, as a FROM item: our columns of the
-- bookings table (col), the type that each has there (null: missing), and the
-- reason why it will not do (null: it will).  They are judged by kind: the
-- table may have had them before.  A time without a zone will do because the
-- daemons' sessions are in UTC; that errors are cut is of no harm.

SELECT format($sql$(SELECT n.col, format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN a.attname IS NULL THEN 'missing: run followup-trigger install'
    WHEN y.typcategory = 'E' AND n.col = 'task_status' AND missing <> '' THEN
        format('is of the enum %%s, which lacks %%s: ALTER TYPE %%1$s ADD '
        'VALUE each of them', y.oid::regtype, missing)
    WHEN n.kind = 'text' AND NOT (y.typcategory = 'S'
            OR y.typcategory = 'E' AND n.col = 'task_status')
        OR n.kind = 'integer' AND y.oid NOT IN ('int2'::regtype,
            'int4'::regtype, 'int8'::regtype)
        OR n.kind = 'timestamp with time zone' AND y.oid NOT IN (
            'timestamptz'::regtype, 'timestamp'::regtype) THEN
        format('is %%s and must be %%s: change its type',
        format_type(a.atttypid, a.atttypmod), n.kind)
    WHEN n.kind = 'text' AND CASE WHEN d.typtype = 'd' THEN d.typtypmod
            ELSE a.atttypmod END - 4 BETWEEN 0 AND n.len - 1 THEN
        format('is %%s and too short, it takes %%s characters: change its type',
        format_type(a.atttypid, a.atttypmod), n.len) END AS reason
FROM (VALUES ('task_name', 'text', 255),
    ('task_scheduled_at', 'timestamp with time zone', 0),
    ('task_status', 'text', 9), ('executed_at', 'timestamp with time zone', 0),
    ('execution_attempts', 'integer', 0), ('last_execution_error', 'text', 0),
    ('idempotency_key', 'text', 128)) AS n (col, kind, len)
LEFT JOIN pg_attribute a ON a.attrelid = to_regclass(%L) AND a.attname = n.col
    AND NOT a.attisdropped
LEFT JOIN pg_type d ON d.oid = a.atttypid
LEFT JOIN pg_type y ON y.oid = coalesce(nullif(d.typbasetype, 0), d.oid)
LEFT JOIN LATERAL (SELECT string_agg(quote_literal(s), ', ') AS missing
    FROM unnest(ARRAY['pending', 'scheduled', 'executed', 'cancelled',
        'failed']) AS s
    WHERE NOT EXISTS (SELECT FROM pg_enum e
        WHERE e.enumtypid = y.oid AND e.enumlabel = s)) AS e ON true
    )$sql$, format('%I.%I', :'schema', :'table')) AS followup_columns_fit
\gset
