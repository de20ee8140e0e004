-- The databases that Django's test runner made: named test_<application's database>, with _1 or _gw0 for parallel runs, and owned by
-- its role. Variables: database, owner.
SELECT d.datname AS name, pg_catalog.pg_get_userbyid(d.datdba) AS owner,
       pg_catalog.pg_database_size(d.oid) AS size_bytes,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datid = d.oid) AS sessions
FROM pg_catalog.pg_database AS d
WHERE pg_catalog.starts_with(d.datname, 'test_' || :'database')
  -- what follows is nothing, _3 or _gw3: compared as a pattern of its own, so that no `_` or `.` in the name is one
  AND pg_catalog.substr(d.datname, pg_catalog.length('test_' || :'database') + 1) ~ '^(_(gw)?[0-9]+)?$'
  AND pg_catalog.pg_get_userbyid(d.datdba) = :'owner'
  AND NOT d.datistemplate
ORDER BY d.datname;
