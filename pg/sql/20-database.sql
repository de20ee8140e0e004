-- The application's database: owned by a role that cannot log in; PUBLIC gets nothing.

SELECT pg_catalog.format('CREATE DATABASE %I OWNER flaglearning_owner', :'database')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = :'database')
\gexec

-- Settings and limits of the database itself: none. Its owner, or a dump that was restored, may have set some
-- (ALTER DATABASE … SET search_path, CONNECTION LIMIT), and they would hold for every session, ours included.
ALTER DATABASE :"database" RESET ALL;
ALTER DATABASE :"database" CONNECTION LIMIT -1 ALLOW_CONNECTIONS true IS_TEMPLATE false;

-- One transaction: no session that may connect is refused for an instant.
BEGIN;
ALTER DATABASE :"database" OWNER TO flaglearning_owner;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON DATABASE :"database" FROM :"app_role", flaglearning_readonly, flaglearning_ops, flaglearning_monitor,
    flaglearning_verifier, flaglearning_backup, pgbouncer;
-- CONNECT only. No TEMPORARY: behind the pooler a temporary table would meet the next client.
GRANT CONNECT ON DATABASE :"database" TO :"app_role", flaglearning_readonly, flaglearning_migrator, flaglearning_ops, flaglearning_verifier;

REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO pgbouncer, flaglearning_ops, flaglearning_monitor, flaglearning_verifier, flaglearning_backup;
\if :is_development
-- `psql -l` and Django's test runner connect to it before they know another.
GRANT CONNECT ON DATABASE postgres TO :"app_role";
\endif
COMMIT;
