-- What proves the backups (docker/postgres/pgbackup): in the database `postgres`, so that it survives a reset or a
-- restore of the application's. The superuser writes, through the socket; ops reads.

\connect postgres
SET client_min_messages = warning;

CREATE SCHEMA IF NOT EXISTS operations;
REVOKE ALL ON SCHEMA operations FROM PUBLIC;

-- A row every few seconds. A restore to a point in time has those from before it and none from after it; and since there is always
-- something to archive, an archive that stands still is one that is broken, on an idle server too.
CREATE TABLE IF NOT EXISTS operations.heartbeat (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    lsn     pg_lsn NOT NULL DEFAULT pg_catalog.pg_current_wal_insert_lsn(),
    exposed interval                    -- how old the oldest heartbeat was that was not yet archived: the RPO, measured
);

-- Restore points that a drill can restore to (pg_create_restore_point), with what was in every table exactly then.
CREATE TABLE IF NOT EXISTS operations.restore_point (
    name     text PRIMARY KEY,
    at       timestamptz NOT NULL,
    lsn      pg_lsn NOT NULL,
    heartbeat bigint NOT NULL,          -- the newest one that belongs to it
    manifest jsonb NOT NULL             -- database.schema.table → rows, hash
);

CREATE TABLE IF NOT EXISTS operations.drill (
    at     timestamptz PRIMARY KEY,
    passed boolean NOT NULL,
    report jsonb NOT NULL
);

\ir large-objects.sql
-- What pgBackRest calls (pg/pgbackrest.conf, pg1-user). No more: another host may send SQL through its protocol (ADR 8).
GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean), pg_catalog.pg_backup_stop(boolean),
                          pg_catalog.pg_create_restore_point(text), pg_catalog.pg_switch_wal() TO flaglearning_backup;
REVOKE ALL ON ALL TABLES IN SCHEMA operations FROM PUBLIC;
GRANT USAGE ON SCHEMA operations TO flaglearning_ops;
GRANT SELECT ON ALL TABLES IN SCHEMA operations TO flaglearning_ops;
