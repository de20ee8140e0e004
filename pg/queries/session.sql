-- One session, and what may be done to it. Variable: pid.
SELECT a.pid, a.usename AS role, a.datname AS database, a.application_name AS application, a.client_addr, a.state, a.backend_start, a.backend_type,
       pg_catalog.clock_timestamp() - a.xact_start AS transaction_for, COALESCE(r.rolsuper, true) AS superuser,
       a.pid = pg_catalog.pg_backend_pid() AS ourselves, a.query
FROM pg_catalog.pg_stat_activity AS a
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.usesysid
WHERE a.pid = :'pid'::int;
