-- What each role may do in schema public. After 40-monitoring.sql, so that an extension's views are covered the first time
-- as they are the second.

\connect :"database"
SET client_min_messages = warning;

-- One transaction: everything is taken away and exactly this is given back, so that a drifted privilege goes, and no
-- session meets the moment between.
BEGIN;
REVOKE ALL ON SCHEMA public FROM PUBLIC, :"app_role", flaglearning_migrator, flaglearning_readonly, flaglearning_ops, pgbouncer;
REVOKE ALL ON ALL TABLES IN SCHEMA public
    FROM PUBLIC, :"app_role", flaglearning_migrator, flaglearning_readonly, flaglearning_ops, pgbouncer;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public
    FROM PUBLIC, :"app_role", flaglearning_migrator, flaglearning_readonly, flaglearning_ops, pgbouncer;

GRANT USAGE ON SCHEMA public TO :"app_role", flaglearning_readonly, flaglearning_ops;

-- The application reads and writes rows. It can't create, alter, drop or truncate.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"app_role";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO :"app_role";
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO flaglearning_readonly;
\ir readonly-grants.sql

-- The same for whatever a later migration creates; except that readonly reads no table by default.
ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner IN SCHEMA public
    REVOKE ALL ON TABLES FROM PUBLIC, :"app_role", flaglearning_migrator, flaglearning_readonly, flaglearning_ops, pgbouncer;
ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner IN SCHEMA public
    REVOKE ALL ON SEQUENCES FROM PUBLIC, :"app_role", flaglearning_migrator, flaglearning_readonly, flaglearning_ops, pgbouncer;
ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"app_role";
ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO :"app_role";
ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner IN SCHEMA public
    GRANT SELECT ON SEQUENCES TO flaglearning_readonly;
\ir large-objects.sql
-- Without IN SCHEMA: a per-schema default can only add to the global one, not take EXECUTE from PUBLIC.
ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
COMMIT;
