-- The roles: attributes, connection limit, what they are members of, their settings. PostgreSQL's own (pg_…) are left out.
SELECT r.rolname AS name,
       pg_catalog.concat_ws(', ', CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN r.rolcanlogin THEN 'login' ELSE 'no login' END,
           CASE WHEN r.rolcreatedb THEN 'create databases' END, CASE WHEN r.rolcreaterole THEN 'create roles' END,
           CASE WHEN r.rolreplication THEN 'replication' END, CASE WHEN r.rolbypassrls THEN 'bypass row security' END) AS attributes,
       NULLIF(r.rolconnlimit, -1) AS connection_limit, r.rolvaliduntil AS valid_until,
       ARRAY(SELECT granted.rolname FROM pg_catalog.pg_auth_members AS m
             JOIN pg_catalog.pg_roles AS granted ON granted.oid = m.roleid
             WHERE m.member = r.oid ORDER BY granted.rolname) AS member_of,
       ARRAY(SELECT setting FROM pg_catalog.pg_db_role_setting AS s, pg_catalog.unnest(s.setconfig) AS setting
             WHERE s.setrole = r.oid ORDER BY setting) AS settings
FROM pg_catalog.pg_roles AS r
WHERE r.rolname !~ '^pg_'
ORDER BY r.rolname;
