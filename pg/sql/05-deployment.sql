-- What this server is: the one thing that decides whether ./scripts/ops reset may run. It is kept where only the superuser can
-- write (a setting of the database `postgres`) and read from the catalog, so that no client's environment, SET or connection
-- option can claim anything else. A production server stays one: what is typed on a client doesn't make it development.

SELECT coalesce(pg_catalog.max(pg_catalog.split_part(setting, '=', 2)), '') AS stored_deployment
FROM pg_catalog.pg_db_role_setting AS s
JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = 'postgres'
CROSS JOIN pg_catalog.unnest(s.setconfig) AS setting
WHERE s.setrole = 0 AND setting LIKE 'flaglearning.deployment=%' \gset

SELECT :'stored_deployment' = 'production' AND :'deployment' <> 'production' AS is_refused,
       :'stored_deployment' <> :'deployment' AS is_new \gset
\if :is_refused
DO $$ BEGIN RAISE EXCEPTION 'this is a production server, and DEPLOYMENT says otherwise'; END $$;
\endif
\if :is_new
ALTER DATABASE postgres SET flaglearning.deployment = :'deployment';
\endif
