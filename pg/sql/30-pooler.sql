-- PgBouncer's password lookup (auth_query). It lives in the database `postgres`, so that it survives a reset or a restore of
-- the application's database.

\connect postgres
SET client_min_messages = warning;

CREATE SCHEMA IF NOT EXISTS pgbouncer;
REVOKE ALL ON SCHEMA pgbouncer FROM PUBLIC;
GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer;

-- usage: SELECT usename, passwd FROM pgbouncer.lookup('flaglearning_prod')
-- Returns the SCRAM verifier of a role that has business in the pool; no row for others: a superuser, a role that
-- can't log in, an expired password, the migrator (migrations go direct), pgbouncer itself.
CREATE OR REPLACE FUNCTION pgbouncer.lookup(name text)
RETURNS TABLE (usename text, passwd text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT rolname::text, rolpassword
    FROM pg_catalog.pg_authid
    WHERE rolname = lookup.name
      AND rolname IN ('flaglearning_user', 'flaglearning_prod', 'flaglearning_readonly', 'flaglearning_ops', 'flaglearning_monitor')
      AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
      AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now());
END;
REVOKE ALL ON FUNCTION pgbouncer.lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbouncer.lookup(text) TO pgbouncer;
