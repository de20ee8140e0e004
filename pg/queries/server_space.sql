-- What takes space beside the application's tables: other databases, the write-ahead log, temporary files, WAL kept for a slot.
SELECT 'database ' || datname AS what, pg_catalog.pg_database_size(oid) AS size_bytes
FROM pg_catalog.pg_database WHERE datname <> pg_catalog.current_database() AND datallowconn
UNION ALL
SELECT 'write-ahead log', COALESCE(pg_catalog.sum(size), 0)::bigint FROM pg_catalog.pg_ls_waldir()
UNION ALL
SELECT 'temporary files of running queries', COALESCE(pg_catalog.sum(size), 0)::bigint FROM pg_catalog.pg_ls_tmpdir()
UNION ALL
SELECT 'WAL kept for the replication slot ' || slot_name, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint
FROM pg_catalog.pg_replication_slots WHERE restart_lsn IS NOT NULL
ORDER BY 2 DESC;
