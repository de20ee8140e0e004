-- Extensions for watching and checking; in the application's database and in `postgres`, where ops connects when the first
-- one is gone.

CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

\connect :"database"
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE EXTENSION IF NOT EXISTS pgaudit;      -- names the object of each DDL in the log
CREATE EXTENSION IF NOT EXISTS pgstattuple;  -- exact bloat of one table
CREATE EXTENSION IF NOT EXISTS amcheck;      -- is an index or a heap corrupt?

-- Statistics may be reset by ops and nobody else.
REVOKE ALL ON FUNCTION pg_stat_statements_reset(oid, oid, bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_stat_statements_reset(oid, oid, bigint, boolean) TO flaglearning_ops;
