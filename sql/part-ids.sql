-- part-ids.sql: does the id of a booking name one row?
--
-- Sets followup_ids_unique; and followup_same_id, an id that several follow-up
-- bookings have, or nothing.  The table is looked through only where it has no
-- unique index that keeps them apart.

SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a
        ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = to_regclass(format('%I.%I', :'schema', :'table'))
        AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
        AND i.indpred IS NULL AND a.attname = 'id') AS followup_ids_unique,
    has_table_privilege(to_regclass(format('%I.%I', :'schema', :'table')),
        'SELECT') AS followup_ids_seen
\gset
\set followup_same_id ''
\if :followup_ids_unique
\elif :followup_ids_seen
SELECT coalesce(min(id::text), '') AS followup_same_id
FROM (SELECT b.id FROM :"schema".:"table" b
    WHERE coalesce(lower(b.booking_type::text COLLATE "C")
        = ANY (:'followup_types'::text[]), false)
    GROUP BY b.id HAVING count(*) > 1 LIMIT 1) AS several
\gset
\endif
SELECT format('several follow-up bookings of %I.%I have the same id (%s), by '
    'which tasks and calls name a booking: give each its own, and keep it so: '
    'ALTER TABLE %1$I.%2$I ADD UNIQUE (id)', :'schema', :'table',
    :'followup_same_id') AS followup_same_id_told
\gset
