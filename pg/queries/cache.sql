-- How much of what is read comes from PostgreSQL's own cache (a miss may still be in the kernel's): the database, then its tables.
SELECT 'database ' || datname AS name, blks_hit AS hits, blks_read AS reads,
       pg_catalog.round(100.0 * blks_hit / NULLIF(blks_hit + blks_read, 0), 2) AS hit_pct, NULL::numeric AS index_hit_pct
FROM pg_catalog.pg_stat_database
WHERE datname = pg_catalog.current_database()
UNION ALL
(SELECT relid::pg_catalog.regclass::text, heap_blks_hit, heap_blks_read,
        pg_catalog.round(100.0 * heap_blks_hit / NULLIF(heap_blks_hit + heap_blks_read, 0), 2),
        pg_catalog.round(100.0 * idx_blks_hit / NULLIF(idx_blks_hit + idx_blks_read, 0), 2)
 FROM pg_catalog.pg_statio_user_tables
 ORDER BY heap_blks_hit + heap_blks_read DESC, 1);
