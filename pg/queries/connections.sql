-- Who is connected: one line per session, with its state and how long it has been in it.
SELECT pid, usename, application_name, client_addr, state,
       pg_catalog.now() - state_change AS in_state_for,
       wait_event_type, wait_event, ssl.version AS tls
FROM pg_catalog.pg_stat_activity
LEFT JOIN pg_catalog.pg_stat_ssl AS ssl USING (pid)
WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
ORDER BY state_change DESC;
