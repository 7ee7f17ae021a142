-- part-installed.sql: stops where follow-up scheduling is not installed, in a
-- transaction.

SELECT set_config('followup.schema', :'schema', true) AS followup_unused,
    set_config('followup.table', :'table', true) AS followup_unused
\gset
DO $$BEGIN
    IF to_regprocedure(format('%1$I.followup_gate(%1$I.%2$I)',
        current_setting('followup.schema'), current_setting('followup.table'))
        ) IS NULL THEN
        RAISE EXCEPTION 'follow-up scheduling is not installed on %.% in this '
            'version', current_setting('followup.schema'),
            current_setting('followup.table')
            USING HINT = 'run followup-trigger install, or name the table by '
            '--schema and --table';
    END IF;
END$$;
