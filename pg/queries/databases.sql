-- The databases: owner, encoding, locale, size, sessions, connection limit.
SELECT d.datname AS name, pg_catalog.pg_get_userbyid(d.datdba) AS owner,
       pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, COALESCE(d.datlocale, d.datcollate) AS locale,
       pg_catalog.pg_database_size(d.oid) AS size_bytes,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datid = d.oid) AS sessions,
       NULLIF(d.datconnlimit, -1) AS connection_limit, d.datallowconn AS lets_in
FROM pg_catalog.pg_database AS d
WHERE NOT d.datistemplate
ORDER BY d.datname;
