-- In a cluster: the roles of its members (pg/cluster). Patroni makes them with a new cluster, because a standby needs the first of
-- them before this file is applied.

\connect postgres
SET client_min_messages = warning;

SELECT pg_catalog.format('CREATE ROLE %I', role)
FROM pg_catalog.unnest(ARRAY['flaglearning_replicator', 'flaglearning_rewinder']) AS role
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role)
\gexec

BEGIN;
-- By a member's certificate, from nowhere else: no password.
ALTER ROLE flaglearning_replicator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE REPLICATION   NOBYPASSRLS CONNECTION LIMIT 10 PASSWORD NULL;
-- pg_rewind's sessions: they read the data directory of the new primary (PostgreSQL 17 docs, pg_rewind, "Notes").
ALTER ROLE flaglearning_rewinder   LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 2  PASSWORD NULL;
GRANT CONNECT ON DATABASE postgres TO flaglearning_rewinder;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), pg_catalog.pg_stat_file(text, boolean),
                          pg_catalog.pg_read_binary_file(text),
                          pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO flaglearning_rewinder;
COMMIT;
