-- Sessions that have been at work, or idle inside a transaction, for longer than a time. Variable: over (like '5 s').
SELECT a.pid, a.usename AS role, a.application_name AS application, a.client_addr, a.state, t.for,
       pg_catalog.concat_ws(': ', a.wait_event_type, a.wait_event) AS waits_for, a.query
FROM pg_catalog.pg_stat_activity AS a
-- a failed transaction has no start any more
CROSS JOIN LATERAL (SELECT pg_catalog.clock_timestamp() - CASE a.state WHEN 'active' THEN a.query_start
                                                          ELSE COALESCE(a.xact_start, a.state_change) END AS for) AS t
WHERE a.backend_type = 'client backend' AND a.pid <> pg_catalog.pg_backend_pid() AND a.state <> 'idle'
  AND t.for >= :'over'::interval
ORDER BY t.for DESC;
