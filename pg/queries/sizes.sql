-- How big each table is: rows, TOAST, indexes, all of it, and its share of the database; the database itself last.
WITH tables AS (
    SELECT c.oid::pg_catalog.regclass::text AS name, pg_catalog.pg_table_size(c.oid) - COALESCE(toast.size, 0) AS heap,
           COALESCE(toast.size, 0) AS toast, pg_catalog.pg_indexes_size(c.oid) AS indexes
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN LATERAL (SELECT pg_catalog.pg_total_relation_size(c.reltoastrelid) AS size WHERE c.reltoastrelid <> 0) AS toast ON true
    WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
), everything AS (
    SELECT pg_catalog.pg_database_size(pg_catalog.current_database()) AS size
)
(SELECT name, heap AS heap_bytes, toast AS toast_bytes, indexes AS indexes_bytes, heap + toast + indexes AS total_bytes,
        pg_catalog.round(100.0 * (heap + toast + indexes) / everything.size, 1) AS share_pct
 FROM tables, everything
 ORDER BY total_bytes DESC, name)
UNION ALL
SELECT 'database ' || pg_catalog.current_database(), NULL, NULL, NULL, size, 100.0 FROM everything;
