-- settings-booking-cloud-task-trigger.sql: writes a setting, and shows
-- settings.  Run it by `followup-trigger set` and `followup-trigger settings`.
--
-- Variables: schema, table, name (empty: show all), value, write (on or off).

\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL standard_conforming_strings = on;
\ir part-owner.sql
\ir part-installed.sql
-- When scheduling was first installed is for install to say.
SELECT :'write'::boolean AND :'name' <> 'installed_at' AS write
\gset
\if :write
INSERT INTO :"schema".followup_settings (name, value) VALUES (:'name', :'value')
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
\endif
SELECT format('%s %s', d.name, coalesce(nullif(s.value, ''), CASE
    WHEN s.value = '' THEN 'none' ELSE d.value || ' (default)' END))
FROM (VALUES ('call_within', '4h'), ('calling_hours', 'none'),
    ('calling_zone', 'UTC'), ('history_days', '90'),
    ('canary_every', 'none')) AS d (name, value)
LEFT JOIN :"schema".followup_settings s ON s.name = d.name
WHERE :'name' IN ('', d.name) ORDER BY d.name;
COMMIT;
