-- Indexes that are not valid: an interrupted REINDEX CONCURRENTLY leaves …_ccnew or …_ccold, an interrupted CREATE INDEX its own name.
SELECT i.indexrelid AS oid, n.nspname AS schema, c.relname AS name, i.indrelid::pg_catalog.regclass::text AS table,
       c.relname ~ '_cc(new|old)[0-9]*$' AS leftover, p.pid AS being_built_by,
       pg_catalog.pg_relation_size(i.indexrelid) AS size_bytes
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class AS owning ON owning.reltoastrelid = i.indrelid
LEFT JOIN pg_catalog.pg_stat_progress_create_index AS p ON p.relid IN (i.indrelid, owning.oid)
WHERE NOT i.indisvalid AND c.relkind = 'i'
ORDER BY n.nspname, c.relname;
