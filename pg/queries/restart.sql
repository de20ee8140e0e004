-- What a planned restart would interrupt (open transactions, backups) or wait for (segments that are not archived).
SELECT (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
                 'pid', a.pid, 'role', a.usename, 'application', a.application_name, 'seconds', a.open)), '[]')
        FROM (SELECT pid, usename, application_name,
                     pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - COALESCE(xact_start, backend_start)) AS open
              FROM pg_catalog.pg_stat_activity
              WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_catalog.pg_backend_pid()
                -- pgBackRest's session of a backup is idle between the two ends of the backup
                AND (xact_start < pg_catalog.clock_timestamp() - interval '2 s' OR application_name LIKE 'pgBackRest%'
                     OR application_name = 'pg_basebackup')) AS a) AS sessions,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready') AS waiting_segments;
