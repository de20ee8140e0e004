-- Indexes that no query used since the statistics were reset (never: since the server started at the latest), and that no constraint
-- needs. A replica may use them: look there too.
SELECT s.relid::pg_catalog.regclass::text AS table, s.indexrelid::pg_catalog.regclass::text AS index, pg_catalog.pg_relation_size(s.indexrelid) AS size_bytes,
       t.n_tup_ins + t.n_tup_upd + t.n_tup_del AS table_writes,
       COALESCE(d.stats_reset, pg_catalog.pg_postmaster_start_time()) AS since
FROM pg_catalog.pg_stat_user_indexes AS s
JOIN pg_catalog.pg_index AS i ON i.indexrelid = s.indexrelid
JOIN pg_catalog.pg_stat_user_tables AS t ON t.relid = s.relid
JOIN pg_catalog.pg_stat_database AS d ON d.datname = pg_catalog.current_database()
WHERE s.idx_scan = 0 AND i.indisvalid AND NOT i.indisunique AND NOT i.indisreplident
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conindid = s.indexrelid)
ORDER BY size_bytes DESC, 1, 2;
