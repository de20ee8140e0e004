-- What pg/sql/apply.sql decides, as facts: roles, memberships, settings, owners, privileges, extensions. Variable: database.
WITH owned AS (  -- everything with an owner and privileges
    SELECT '' AS place, 'database ' || datname AS object, datdba AS owner, COALESCE(datacl, pg_catalog.acldefault('d', datdba)) AS acl
    FROM pg_catalog.pg_database WHERE datname IN (:'database', 'postgres', 'template1')
    UNION ALL
    SELECT pg_catalog.current_database(), 'schema ' || nspname, nspowner, COALESCE(nspacl, pg_catalog.acldefault('n', nspowner))
    FROM pg_catalog.pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
    UNION ALL
    SELECT pg_catalog.current_database(), CASE c.relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || c.relname, c.relowner,
           COALESCE(c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'public'
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT pg_catalog.current_database(), 'function ' || p.oid::pg_catalog.regprocedure, p.proowner, COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'pgbouncer' OR (n.nspname = 'pg_catalog' AND p.proname ~ '^(lo_|lowrite$|pg_backup_st|pg_create_restore_point$|pg_switch_wal$)')
)
SELECT '' AS place, 'role ' || rolname AS object,
       pg_catalog.concat_ws(', ', CASE WHEN rolcanlogin THEN 'login' ELSE 'no login' END, CASE WHEN rolsuper THEN 'superuser' END,
           CASE WHEN rolcreatedb THEN 'create databases' END, CASE WHEN rolcreaterole THEN 'create roles' END,
           CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypass row security' END,
           CASE WHEN NOT rolinherit THEN 'no inherit' END, 'connection limit ' || rolconnlimit,
           'valid until ' || COALESCE(rolvaliduntil::text, 'infinity'),
           CASE WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN 'SCRAM password' WHEN rolpassword IS NULL THEN 'no password' ELSE 'weak password' END) AS fact
-- the superuser's password opens nothing (pg_hba.conf), and the throw-away server has none
FROM pg_catalog.pg_authid WHERE rolname !~ '^pg_' AND rolname <> 'postgres'
UNION ALL
SELECT '', 'role ' || member::pg_catalog.regrole,
       'member of ' || roleid::pg_catalog.regrole || CASE WHEN admin_option THEN ', with admin' ELSE '' END
           || CASE WHEN inherit_option THEN '' ELSE ', no inherit' END || CASE WHEN set_option THEN '' ELSE ', no set' END
FROM pg_catalog.pg_auth_members WHERE member::pg_catalog.regrole::text !~ '^pg_'
UNION ALL
SELECT '', CASE s.setrole WHEN 0 THEN 'database ' || d.datname
                ELSE 'role ' || s.setrole::pg_catalog.regrole || COALESCE(' in database ' || d.datname, '') END,
       'setting ' || setting
FROM pg_catalog.pg_db_role_setting AS s
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS setting
WHERE s.setdatabase = 0::oid OR d.datname IN (:'database', 'postgres', 'template1')
UNION ALL
SELECT '', 'database ' || datname, pg_catalog.concat_ws(', ', 'connection limit ' || datconnlimit,
           CASE WHEN datallowconn THEN 'allows connections' ELSE 'allows no connections' END, CASE WHEN datistemplate THEN 'template' END)
FROM pg_catalog.pg_database WHERE datname IN (:'database', 'postgres', 'template1')
UNION ALL
SELECT place, object, 'owner ' || pg_catalog.pg_get_userbyid(owner) FROM owned
UNION ALL
SELECT place, object, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(grantee) END || ' may '
           || pg_catalog.string_agg(privilege_type || CASE WHEN is_grantable THEN ' (and grant it)' ELSE '' END, ', ' ORDER BY privilege_type)
FROM owned CROSS JOIN LATERAL pg_catalog.aclexplode(acl)
GROUP BY place, object, grantee
UNION ALL
SELECT pg_catalog.current_database(), 'table ' || c.relname, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(grantee) END
           || ' may ' || privilege_type || CASE WHEN is_grantable THEN ' (and grant it)' ELSE '' END
           || ' of ' || pg_catalog.string_agg(a.attname::text, ', ' ORDER BY a.attname)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'public'
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped
CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl)
GROUP BY c.relname, grantee, privilege_type, is_grantable
UNION ALL
SELECT pg_catalog.current_database(), 'function ' || p.oid::pg_catalog.regprocedure, 'definition ' || pg_catalog.md5(pg_catalog.pg_get_functiondef(p.oid))
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = 'pgbouncer'
UNION ALL
SELECT pg_catalog.current_database(), 'default for what ' || defaclrole::pg_catalog.regrole || ' creates' || COALESCE(' in ' || n.nspname, ''),
       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(grantee) END || ' may '
           || pg_catalog.string_agg(privilege_type, ', ' ORDER BY privilege_type) || ' on '
           || CASE defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' ELSE defaclobjtype::text END
FROM pg_catalog.pg_default_acl LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = defaclnamespace
CROSS JOIN LATERAL pg_catalog.aclexplode(defaclacl)
GROUP BY defaclrole, n.nspname, defaclobjtype, grantee
UNION ALL
SELECT pg_catalog.current_database(), 'extension ' || extname, 'version ' || extversion FROM pg_catalog.pg_extension
ORDER BY 1, 2, 3;
