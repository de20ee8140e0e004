-- The statements that cost most, since the statistics were reset. Variables: database, order (total, mean or max), limit.
SELECT s.queryid, s.calls, s.total_exec_time AS total_ms, s.mean_exec_time AS mean_ms, s.max_exec_time AS max_ms, s.rows,
       pg_catalog.round(100.0 * s.shared_blks_hit / NULLIF(s.shared_blks_hit + s.shared_blks_read, 0), 1) AS cached_pct,
       pg_catalog.pg_get_userbyid(s.userid) AS role,
       pg_catalog.regexp_replace(s.query, '^/\* request_id=\S* \*/ ', '') AS query   -- the id of the first request that ran it
FROM public.pg_stat_statements AS s
WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = :'database'::pg_catalog.name)
ORDER BY CASE :'order' WHEN 'total' THEN s.total_exec_time WHEN 'mean' THEN s.mean_exec_time ELSE s.max_exec_time END DESC
LIMIT :'limit'::bigint;
