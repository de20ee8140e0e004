-- Roles: who exists, what each may be, how many connections and how much time each gets.
-- Least privilege (CIS PostgreSQL Benchmark 4.x; PostgreSQL 17 docs, chapter 21).

SELECT :'deployment' = 'development' AS is_development \gset

SELECT pg_catalog.format('CREATE ROLE %I', role)
FROM pg_catalog.unnest(ARRAY[:'app_role', 'flaglearning_owner', 'flaglearning_migrator', 'flaglearning_readonly',
                             'flaglearning_ops', 'flaglearning_monitor', 'flaglearning_verifier', 'flaglearning_backup',
                             'pgbouncer']) AS role
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role)
\gexec

-- One transaction: no session ever sees a role between two of its attributes.
BEGIN;

-- Attributes, each spelled out, so that a drifted role comes back. The limits' sum stays below max_connections
-- (CIS 5.5: no role is without one).
ALTER ROLE flaglearning_owner    NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 0;
ALTER ROLE :"app_role"           LOGIN   NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 52 PASSWORD :'app_verifier';
ALTER ROLE flaglearning_migrator LOGIN   NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 5  PASSWORD :'migrator_verifier';
ALTER ROLE flaglearning_readonly LOGIN   NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 10 PASSWORD :'readonly_verifier';
-- It reads every row, to dump it; BYPASSRLS, so that no policy's functions run with its rights.
ALTER ROLE flaglearning_ops      LOGIN   NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS   CONNECTION LIMIT 10 PASSWORD :'ops_verifier';
-- Exporters of metrics (docker/compose/monitoring.yml): statistics, and no table.
ALTER ROLE flaglearning_monitor  LOGIN   NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 3  PASSWORD :'monitor_verifier';
-- It hashes rows and checks indexes for restore points and drills, in the superuser's stead; a session may still end while the next
-- begins. Through the socket only (pg_ident.conf): no password.
ALTER ROLE flaglearning_verifier LOGIN   NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS   CONNECTION LIMIT 4  PASSWORD NULL;
-- pgBackRest's sessions: what it calls is granted in 60-operations.sql. Through the socket only, too; it reads no table.
ALTER ROLE flaglearning_backup   LOGIN   NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 3  PASSWORD NULL;
ALTER ROLE pgbouncer             LOGIN   NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 5  PASSWORD :'pgbouncer_verifier';
-- The superuser logs in through the socket (peer authentication) only.
ALTER ROLE postgres PASSWORD NULL;
\if :is_development
-- Django's test runner creates and drops test_flaglearning_dev.
ALTER ROLE :"app_role" CREATEDB;
\endif

\if :cluster
-- Up to five poolers, one on each application host: each may look passwords up with three connections (pg/pgbouncer.ini), and they
-- share the application's. The sum stays, with the two of flaglearning_rewinder (70-cluster.sql).
ALTER ROLE pgbouncer   CONNECTION LIMIT 15;
ALTER ROLE :"app_role" CONNECTION LIMIT 40;
\endif

-- Memberships: exactly these.
CREATE TEMPORARY TABLE wanted_membership (role_name name, member_name name) ON COMMIT DROP;
INSERT INTO wanted_membership VALUES
    ('flaglearning_owner',          'flaglearning_migrator'),
    ('pg_monitor',                  'flaglearning_ops'),   -- read every statistic
    ('pg_monitor',                  'flaglearning_monitor'),
    ('pg_maintain',                 'flaglearning_ops'),   -- VACUUM, ANALYZE, REINDEX, REFRESH, CLUSTER, LOCK
    ('pg_read_all_data',            'flaglearning_ops'),   -- dump
    ('pg_read_all_data',            'flaglearning_verifier'),
    ('pg_read_all_settings',        'flaglearning_backup'), -- data_directory, archive_command
    ('pg_signal_backend',           'flaglearning_ops'),   -- cancel and terminate
    ('pg_use_reserved_connections', 'flaglearning_ops');   -- get in when the server is full
\if :cluster
-- pgBackRest asks a standby for a checkpoint before it copies files from it.
INSERT INTO wanted_membership VALUES ('pg_checkpoint', 'flaglearning_backup');
\endif

SELECT pg_catalog.format('REVOKE %I FROM %I CASCADE', granted.rolname, member.rolname)
FROM pg_catalog.pg_auth_members AS m
JOIN pg_catalog.pg_roles AS granted ON granted.oid = m.roleid
JOIN pg_catalog.pg_roles AS member  ON member.oid = m.member
WHERE (member.rolname LIKE 'flaglearning\_%' OR member.rolname = 'pgbouncer')
  AND NOT EXISTS (SELECT FROM wanted_membership AS w WHERE w.role_name = granted.rolname AND w.member_name = member.rolname)
\gexec

SELECT pg_catalog.format('GRANT %I TO %I', w.role_name, w.member_name) FROM wanted_membership AS w
\gexec

-- Settings: exactly those below.
SELECT pg_catalog.format('ALTER ROLE %I %s RESET ALL', r.rolname, 'IN DATABASE ' || pg_catalog.quote_ident(d.datname))
FROM pg_catalog.pg_db_role_setting AS s
JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
WHERE r.rolname LIKE 'flaglearning\_%' OR r.rolname = 'pgbouncer'
\gexec

-- Time limits belong to the role: PgBouncer refuses startup options, and a setting in the client can be forgotten there.
ALTER ROLE :"app_role" SET statement_timeout = '15s';
ALTER ROLE :"app_role" SET lock_timeout = '5s';
ALTER ROLE :"app_role" SET transaction_timeout = '60s';
ALTER ROLE :"app_role" SET idle_in_transaction_session_timeout = '30s';
-- Only the superuser may change it: a query, injected or mistaken, can't fill the disk.
ALTER ROLE :"app_role" SET temp_file_limit = '1GB';

-- A migration that can't get its lock gives up quickly: the queue behind a waiting ALTER TABLE is an outage.
ALTER ROLE flaglearning_migrator SET lock_timeout = '5s';
ALTER ROLE flaglearning_migrator SET idle_in_transaction_session_timeout = '5min';
-- Whatever a migration creates belongs to the owner, a role without login.
ALTER ROLE flaglearning_migrator SET role = 'flaglearning_owner';

ALTER ROLE flaglearning_readonly SET statement_timeout = '60s';
ALTER ROLE flaglearning_readonly SET lock_timeout = '5s';
ALTER ROLE flaglearning_readonly SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE flaglearning_readonly SET default_transaction_read_only = on;
ALTER ROLE flaglearning_readonly SET temp_file_limit = '1GB';

ALTER ROLE flaglearning_monitor SET statement_timeout = '10s';
ALTER ROLE flaglearning_monitor SET lock_timeout = '2s';
ALTER ROLE flaglearning_monitor SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE flaglearning_monitor SET default_transaction_read_only = on;
ALTER ROLE flaglearning_monitor SET temp_file_limit = '100MB';

ALTER ROLE flaglearning_verifier SET default_transaction_read_only = on;

ALTER ROLE flaglearning_ops SET lock_timeout = '10s';
ALTER ROLE flaglearning_ops SET idle_in_transaction_session_timeout = '5min';

-- The audit log has what people read: rows may be personal data. The application's reads are its visitors' own.
ALTER ROLE flaglearning_readonly SET pgaudit.log = 'ddl, role, read';
ALTER ROLE flaglearning_ops SET pgaudit.log = 'ddl, role, read';

ALTER ROLE pgbouncer SET statement_timeout = '5s';

COMMIT;
