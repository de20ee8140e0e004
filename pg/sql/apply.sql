-- Roles, databases and privileges: applied at every start of the stack, by the superuser, through the local socket.
-- Running it again changes nothing; running it on a server that drifted brings it back.
--
-- psql variables (docker/postgres/pgadmin/policy.py sets them):
--   deployment          development | production
--   database            flaglearning_dev | flaglearning_prod
--   app_role            flaglearning_user | flaglearning_prod
--   cluster             on | off: whether this server is a member of a cluster
--   <role>_verifier     the SCRAM verifier of app, migrator, readonly, ops, monitor and pgbouncer: a plaintext password never
--                       reaches the server, its logs or its statistics
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;

\ir 05-deployment.sql
\ir 10-roles.sql
\ir 20-database.sql
\ir 30-pooler.sql
\ir 40-monitoring.sql
\ir 50-privileges.sql
\ir 60-operations.sql
\if :cluster
\ir 70-cluster.sql
\endif
