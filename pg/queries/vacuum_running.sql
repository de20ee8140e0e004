-- The vacuums that run now, automatic or not, and how far they are.
SELECT p.pid, p.relid::pg_catalog.regclass::text AS table, a.backend_type = 'autovacuum worker' AS automatic, p.phase,
       pg_catalog.round(100.0 * p.heap_blks_scanned / NULLIF(p.heap_blks_total, 0), 1) AS scanned_pct,
       pg_catalog.now() - a.query_start AS for
FROM pg_catalog.pg_stat_progress_vacuum AS p
JOIN pg_catalog.pg_stat_activity AS a USING (pid)
WHERE p.datname = pg_catalog.current_database()
ORDER BY p.pid;
