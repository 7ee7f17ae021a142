-- part-begin.sql: opens a transaction in which nothing of the user's own setup
-- counts, and in which no lock is waited for longer than :lock_timeout.

BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SET LOCAL standard_conforming_strings = on;
SET LOCAL quote_all_identifiers = off;
SET LOCAL DateStyle = 'ISO';
SELECT set_config('lock_timeout', :'lock_timeout', true) AS followup_unused
\gset
