-- Table bloat, estimated from statistics as of the last ANALYZE: space beyond what the rows need. Exact: pgstattuple_approx('table').
WITH tables AS (
    SELECT c.oid, c.oid::pg_catalog.regclass::text AS name, c.reltuples, c.relpages,
           COALESCE(pg_catalog.substring(pg_catalog.array_to_string(c.reloptions, ' '), 'fillfactor=([0-9]+)')::int, 100) / 100.0 AS fill,
           pg_catalog.current_setting('block_size')::int AS page,
           pg_catalog.sum((1 - s.null_frac) * s.avg_width) AS width, pg_catalog.max(s.null_frac) > 0 AS nulls,
           pg_catalog.count(*) AS attributes, pg_catalog.count(s.attname) = pg_catalog.count(*) AS known
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_stats AS s ON (s.schemaname, s.tablename, s.attname, s.inherited) = (n.nspname, c.relname, a.attname, false)
    WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    GROUP BY c.oid, n.nspname, c.relname
), needed AS (
    -- a row: 4 bytes of line pointer, a 23-byte header with its null bitmap, the values; header and row aligned to 8
    SELECT *, pg_catalog.ceil(reltuples / NULLIF(pg_catalog.floor((page - 24) * fill
                  / (4 + 8 * pg_catalog.ceil((23 + CASE WHEN nulls THEN (attributes + 7) / 8 ELSE 0 END) / 8.0) + 8 * pg_catalog.ceil(width / 8))), 0)) AS pages
    FROM tables
)
SELECT name AS table, NULLIF(reltuples, -1)::bigint AS rows, relpages * page::bigint AS size_bytes,
       CASE WHEN known AND reltuples >= 0 THEN GREATEST(relpages - pages, 0)::bigint * page END AS bloat_bytes,
       CASE WHEN known AND reltuples >= 0 THEN pg_catalog.round((100 * GREATEST(relpages - pages, 0) / NULLIF(relpages, 0))::numeric, 1) END AS bloat_pct,
       GREATEST(t.last_analyze, t.last_autoanalyze) AS as_of
FROM needed
JOIN pg_catalog.pg_stat_user_tables AS t ON t.relid = needed.oid
ORDER BY bloat_bytes DESC NULLS LAST, name;
