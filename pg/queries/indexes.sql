-- Indexes: definition, size, how often used, valid? Variable: table, or '' for those of every table.
SELECT s.relname AS table, s.indexrelname AS name,
       pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(s.indexrelid), '^.* USING ', '') AS definition,
       i.indisunique AS unique, i.indisvalid AS valid, s.idx_scan AS scans,
       pg_catalog.pg_relation_size(s.indexrelid) AS size_bytes
FROM pg_catalog.pg_stat_user_indexes AS s
JOIN pg_catalog.pg_index AS i ON i.indexrelid = s.indexrelid
WHERE s.relid = pg_catalog.to_regclass(:'table') OR :'table' = ''
ORDER BY s.schemaname, s.relname, s.indexrelname;
