-- Bloat of one table and its B-tree indexes, measured (it reads every index whole). Variable: table.
SELECT 'table ' || c.oid::pg_catalog.regclass AS name, b.table_len AS size_bytes,
       b.approx_free_space::bigint + b.dead_tuple_len AS bloat_bytes,
       pg_catalog.round((b.approx_free_percent + b.dead_tuple_percent)::numeric, 1) AS bloat_pct
FROM pg_catalog.pg_class AS c
CROSS JOIN LATERAL pg_catalog.pgstattuple_approx(c.oid) AS b
WHERE c.oid = :'table'::pg_catalog.regclass AND c.relkind IN ('r', 'm')
UNION ALL
SELECT 'index ' || i.indexrelid::pg_catalog.regclass, b.index_size,
       -- against the 90 % that a new B-tree is filled to; an empty one has no density
       GREATEST(b.index_size * (1 - NULLIF(b.avg_leaf_density, 'NaN') / 90.0), 0)::bigint,
       pg_catalog.round(GREATEST(100 * (1 - NULLIF(b.avg_leaf_density, 'NaN') / 90.0), 0)::numeric, 1)
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid AND c.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree')
CROSS JOIN LATERAL pg_catalog.pgstatindex(i.indexrelid::pg_catalog.regclass) AS b
WHERE i.indrelid = :'table'::pg_catalog.regclass AND i.indisvalid
ORDER BY 1 DESC;
