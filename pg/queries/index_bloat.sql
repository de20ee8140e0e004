-- B-tree bloat, estimated from statistics as of the last ANALYZE: space beyond what the entries need. Exact: pgstatindex('index').
WITH columns AS (
    SELECT i.indexrelid, i.indrelid, n.nspname, c.relname, c.reltuples, c.relpages, t.relname AS table_name,
           COALESCE(pg_catalog.substring(pg_catalog.array_to_string(c.reloptions, ' '), 'fillfactor=([0-9]+)')::int, 90) / 100.0 AS fill,
           pg_catalog.current_setting('block_size')::int AS page,
           -- an expression's statistics are kept under the index's own name
           COALESCE(a.attname, e.attname) AS attname, CASE WHEN a.attname IS NULL THEN c.relname ELSE t.relname END AS stats_of
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid AND c.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree')
    JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid AND t.relkind IN ('r', 'm')
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    JOIN pg_catalog.pg_attribute AS e ON e.attrelid = i.indexrelid
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[e.attnum - 1] AND a.attnum > 0
    WHERE i.indisvalid
), indexes AS (
    SELECT indexrelid, nspname, relname, table_name, reltuples, relpages, fill, page,
           pg_catalog.sum((1 - s.null_frac) * s.avg_width) AS width, pg_catalog.max(s.null_frac) > 0 AS nulls,
           pg_catalog.count(s.attname) = pg_catalog.count(*) AS known
    FROM columns
    LEFT JOIN pg_catalog.pg_stats AS s ON (s.schemaname, s.tablename, s.attname, s.inherited) = (nspname, stats_of, columns.attname, false)
    GROUP BY indexrelid, nspname, relname, table_name, reltuples, relpages, fill, page
), needed AS (
    -- an entry: 4 bytes of line pointer, an 8-byte header (16 with nulls), the key aligned to 8; a page: 24 bytes and 16 of its own; a root
    SELECT *, 1 + pg_catalog.ceil(reltuples / NULLIF(pg_catalog.floor((page - 40) * fill
                  / (4 + CASE WHEN nulls THEN 16 ELSE 8 END + 8 * pg_catalog.ceil(width / 8))), 0)) AS pages
    FROM indexes
)
SELECT indexrelid::pg_catalog.regclass::text AS index, table_name AS table, relpages * page::bigint AS size_bytes,
       -- equal keys are stored once (deduplication), so it may need less than this
       CASE WHEN known AND reltuples >= 0 THEN GREATEST(relpages - pages, 0)::bigint * page END AS bloat_bytes,
       CASE WHEN known AND reltuples >= 0 THEN pg_catalog.round((100 * GREATEST(relpages - pages, 0) / NULLIF(relpages, 0))::numeric, 1) END AS bloat_pct
FROM needed
ORDER BY bloat_bytes DESC NULLS LAST, 1;
