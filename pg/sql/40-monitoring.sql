-- Extensions for monitoring and checking; in the application's database and in `postgres`, where ops connects when the first
-- one is gone.
--
-- Functions that privileged roles call are in pg_catalog. In `public`, the owner of the tables could create another one of the
-- same name whose parameters fit the call better (verify_heapam(oid, …)), and pg_amcheck or ops would run that.

CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public;
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pg_catalog;

-- Statistics may be reset by ops only.
REVOKE ALL ON FUNCTION public.pg_stat_statements_reset(oid, oid, bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.pg_stat_statements_reset(oid, oid, bigint, boolean) TO flaglearning_ops;

-- Is an index or a heap corrupt? The drill asks (docker/postgres/pgbackup/drill.py), with the verifier's rights.
GRANT EXECUTE ON FUNCTION pg_catalog.verify_heapam(regclass, boolean, boolean, text, bigint, bigint),
                          pg_catalog.bt_index_check(regclass, boolean) TO flaglearning_verifier;

\connect :"database"
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public;  -- it has views, and pg_catalog takes no new ones
CREATE EXTENSION IF NOT EXISTS pgaudit SCHEMA pg_catalog;         -- names the object of each DDL in the log
CREATE EXTENSION IF NOT EXISTS pgstattuple SCHEMA pg_catalog;     -- exact bloat of one table
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pg_catalog;
GRANT EXECUTE ON FUNCTION pg_catalog.verify_heapam(regclass, boolean, boolean, text, bigint, bigint),
                          pg_catalog.bt_index_check(regclass, boolean) TO flaglearning_verifier;

-- Statistics may be reset by ops only.
REVOKE ALL ON FUNCTION public.pg_stat_statements_reset(oid, oid, bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.pg_stat_statements_reset(oid, oid, bigint, boolean) TO flaglearning_ops;
