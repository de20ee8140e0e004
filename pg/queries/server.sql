-- The server in one line: version, since when, how many connections are used, is it a replica, does it archive?
SELECT pg_catalog.current_setting('server_version') AS version, pg_catalog.pg_postmaster_start_time() AS up_since,
       pg_catalog.current_setting('max_connections')::int AS max_connections,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') AS connections,
       pg_catalog.pg_is_in_recovery() AS replica, pg_catalog.current_setting('archive_mode') AS archive_mode;
