-- Databases that restores have retained: the application's before each. Variable: database.
SELECT d.datname::text AS name,
       pg_catalog.to_timestamp(pg_catalog.right(d.datname, 15), 'YYYYMMDD"t"HH24MISS') AS replaced,
       pg_catalog.pg_database_size(d.oid) AS size_bytes
FROM pg_catalog.pg_database AS d
WHERE pg_catalog.starts_with(d.datname::text, :'database' || '_before_')
ORDER BY d.datname;
