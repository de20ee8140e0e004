-- Extensions for monitoring and checking; in the application's database and in `postgres`, where ops connects when the first
-- one is gone.

CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public;

\connect :"database"
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pgaudit SCHEMA public;      -- names the object of each DDL in the log
CREATE EXTENSION IF NOT EXISTS pgstattuple SCHEMA public;  -- exact bloat of one table
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public;      -- is an index or a heap corrupt?

-- Statistics may be reset by ops only.
REVOKE ALL ON FUNCTION public.pg_stat_statements_reset(oid, oid, bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.pg_stat_statements_reset(oid, oid, bigint, boolean) TO flaglearning_ops;
