-- part-shape.sql: the shape of the bookings table, on which some of the
-- definitions depend.
--
-- Sets followup_local_time and followup_zoned, and fails on a table that it
-- does not understand.

WITH col AS (
    SELECT a.attname::text AS name,
        format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) AS type,
        t.typcategory AS category
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND a.attnum > 0 AND NOT a.attisdropped
), shape AS (
    SELECT (SELECT relkind FROM pg_class
            WHERE oid = to_regclass(format('%I.%I', :'schema', :'table')))
            AS relkind,
        (SELECT type FROM col WHERE name = 'id') AS id_type,
        (SELECT type FROM col WHERE name = 'scheduled_at') AS due_type,
        (SELECT category FROM col WHERE name = 'booking_type') AS type_category,
        EXISTS (SELECT FROM col WHERE name = 'timezone') AS has_timezone
)
SELECT due_type IS NOT DISTINCT FROM 'timestamp without time zone'
        AS followup_local_time,
    due_type IS NOT DISTINCT FROM 'timestamp without time zone'
        AND has_timezone AS followup_zoned,
    set_config('followup.problem', CASE
        WHEN relkind IS NULL THEN 'there is no table %s'
        WHEN relkind <> 'r' THEN '%s is not an ordinary table, but '
            || CASE relkind WHEN 'p' THEN 'partitioned' WHEN 'v' THEN 'a view'
            WHEN 'm' THEN 'a materialized view' WHEN 'f' THEN 'a foreign table'
            ELSE 'something else' END || ': follow-up scheduling needs the '
            'bookings in one ordinary table; name it'
        WHEN id_type IS DISTINCT FROM 'uuid' THEN '%s has no column id of '
            'type uuid' || coalesce(' (it is ' || id_type || ')', '')
            || ', by which tasks and calls name a booking: keep follow-ups in '
            'a table that has one'
        WHEN due_type IS NULL OR due_type NOT IN ('timestamp with time zone',
            'timestamp without time zone') THEN '%s has no column '
            'scheduled_at of type timestamptz or timestamp'
            || coalesce(' (it is ' || due_type || ')', '')
            || ': add it, or change its type'
        WHEN type_category IS DISTINCT FROM 'S' THEN '%s has no column '
            'booking_type of type text or varchar: add it, or change its type'
        ELSE '' END, true) AS followup_problem,
    set_config('followup.table', format('%I.%I', :'schema', :'table'), true)
        AS followup_unused
FROM shape
\gset
DO $$BEGIN
    IF current_setting('followup.problem') <> '' THEN
        RAISE EXCEPTION '%', format(current_setting('followup.problem'),
            current_setting('followup.table'))
            USING HINT = 'name the bookings table by the psql variables '
            '"schema" and "table" (followup-trigger: --schema, --table)';
    END IF;
END$$;
