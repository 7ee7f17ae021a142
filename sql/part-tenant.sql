-- part-tenant.sql: brings :tenant, which may be empty, to the form in which
-- tenant_id::text has it, without blanks at its end.

SELECT set_config('followup.tenant', :'tenant', true) AS followup_unused
\gset
DO $$
DECLARE
    tenant text := rtrim(current_setting('followup.tenant'));
    type oid := (SELECT a.atttypid FROM pg_attribute a
        WHERE a.attrelid = to_regclass(format('%I.%I',
            current_setting('followup.schema'),
            current_setting('followup.table')))
        AND a.attname = 'tenant_id' AND NOT a.attisdropped);
BEGIN
    IF tenant = '' THEN
        RETURN;
    END IF;
    IF type IS NULL THEN
        RAISE EXCEPTION 'the table has no column tenant_id'
            USING HINT = 'leave out --tenant';
    END IF;
    IF (SELECT typcategory FROM pg_type WHERE oid = type) <> 'S' THEN
        EXECUTE format('SELECT %L::%s::text', tenant, format_type(type, NULL))
            INTO tenant;
    END IF;
    PERFORM set_config('followup.tenant', tenant, true);
END$$;
SELECT current_setting('followup.tenant') AS tenant
\gset
