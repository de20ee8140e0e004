-- Dead rows, and when each table was vacuumed and analyzed last, by hand or by autovacuum; the one with most dead rows first.
SELECT relid::pg_catalog.regclass::text AS table, n_live_tup AS live_rows, n_dead_tup AS dead_rows,
       pg_catalog.round(100.0 * n_dead_tup / NULLIF(n_live_tup + n_dead_tup, 0), 1) AS dead_pct,
       GREATEST(last_vacuum, last_autovacuum) AS last_vacuum,
       n_mod_since_analyze AS changed_since_analyze, GREATEST(last_analyze, last_autoanalyze) AS last_analyze
FROM pg_catalog.pg_stat_user_tables
ORDER BY n_dead_tup DESC, 1;
