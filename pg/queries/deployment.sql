-- What this server is: development or production. Only its superuser can write that (pg/sql/05-deployment.sql).
SELECT pg_catalog.split_part(setting, '=', 2) AS deployment
FROM pg_catalog.pg_db_role_setting AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = 'postgres'
CROSS JOIN pg_catalog.unnest(s.setconfig) AS setting
WHERE s.setrole = 0 AND setting LIKE 'flaglearning.deployment=%';
