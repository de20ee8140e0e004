-- Who waits for whom: every session that waits for a lock, and every one that holds what another waits for.
WITH waiting AS (
    SELECT pid, pg_catalog.pg_blocking_pids(pid) AS blocked_by
    FROM pg_catalog.pg_stat_activity
    WHERE wait_event_type = 'Lock'
), involved AS (
    SELECT pid FROM waiting UNION SELECT pg_catalog.unnest(blocked_by) FROM waiting
)
SELECT i.pid, COALESCE(w.blocked_by, '{}') AS blocked_by, a.usename AS role, a.application_name AS application, a.state,
       pg_catalog.clock_timestamp() - COALESCE(wanted.waitstart, a.state_change) AS for,
       wanted.mode AS wants, wanted.relation::pg_catalog.regclass::text AS of_table, a.query
FROM involved AS i
LEFT JOIN waiting AS w USING (pid)
LEFT JOIN pg_catalog.pg_stat_activity AS a USING (pid)
LEFT JOIN LATERAL (SELECT l.mode, l.relation, l.waitstart FROM pg_catalog.pg_locks AS l WHERE l.pid = i.pid AND NOT l.granted LIMIT 1) AS wanted ON true
ORDER BY i.pid;
