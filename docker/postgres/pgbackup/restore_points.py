"""Heartbeat rows and restore points: what a restore is compared with (pg/sql/60-operations.sql).

How the rows of a restore point are known exactly: all tables are locked against writers for some milliseconds (SHARE
waits until every writer has committed and is visible), a snapshot is taken and a named restore point written, in this
order; then the writers go on, and the tables are read in the snapshot at leisure. Between snapshot and restore point no
transaction could commit, so recovery to that restore point gives exactly those rows.

The superuser locks tables, by names from the catalog, and evaluates nothing that another role has created. Rows are
read and hashed as flaglearning_verifier, which can read every table and nothing else; `ROW(t.*)::text` uses the types'
own output functions, whatever casts the tables' owner has defined.
"""

import contextlib
import json
import os
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

import backup_health
from pgbackup import pgbackrest
from pgbackup.notes import note
from pgbackup.server import SOCKET, Session, connect
from user_errors import Failure, OperationError, Status, UserError

VERIFIER = "flaglearning_verifier"
LOCK_PATIENCE = "300ms"  # that long a writer may have to wait behind us, at worst
LOCK_ATTEMPTS = 20
KEEP_HEARTBEATS = KEEP_RESTORE_POINTS = "35 days"
# A position is in the archive when its segment is; a segment's name without the timeline can be compared. The server
# counts what every repository has; after a restore or a crash its counters are empty, and its pg_wal remembers.
ARCHIVED = """coalesce(
    (SELECT substr(last_archived_wal, 9, 16) FROM pg_catalog.pg_stat_archiver
     WHERE last_archived_wal ~ '^[0-9A-F]{24}'),
    (SELECT max(substr(name, 9, 16)) FROM pg_catalog.pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}[.]done$'),
    '')"""
SEGMENT = "substr(pg_catalog.pg_walfile_name(lsn), 9, 16)"
# Not materialized views: they can't be locked, and they hold nothing of their own.
TABLES = """
    SELECT n.nspname::text AS schema, c.relname::text AS name
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p'
      AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'operations')
    ORDER BY 1, 2"""
IS_TABLE = """
    SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relname = 'django_migrations' AND c.relkind = 'r'"""
# Without ONLY a parent's rows would contain its children's.
HASH = """SELECT count(*) AS rows,
                 coalesce(sum(pg_catalog.hashtextextended(ROW(t.*)::text, 5432)), 0)::text AS hash
          FROM ONLY {} AS t"""


def superuser(database: str = "postgres") -> contextlib.AbstractContextManager[Session]:
    """A session of the superuser's."""
    return connect(database, name="pgbackup")


def verifier(database: str, host: str = SOCKET) -> contextlib.AbstractContextManager[Session]:
    """A session of the role that reads rows."""
    return connect(database, host, VERIFIER, "pgbackup")


def write_heartbeat() -> int:
    """Write a heartbeat row; its number. With it, how much would be lost if the machine were lost now."""
    with superuser() as session:
        found = session.row(
            f"""INSERT INTO operations.heartbeat (exposed)
                SELECT coalesce(pg_catalog.clock_timestamp() - min(at), '0') FROM operations.heartbeat
                WHERE at > pg_catalog.now() - interval '1 day' AND {SEGMENT} > {ARCHIVED}
                RETURNING id"""  # noqa: S608 - constants of this module
        )
        return int(found["id"])


def keep_to_archive_timeout(known: datetime | None) -> datetime:
    """When the server was started. One that wasn't `known` is told to read its configuration: its checkpointer, which
    ends a segment after archive_timeout, was started while the server still recovered, when it doesn't look at that;
    then it sleeps for checkpoint_timeout, a quarter of an hour, unless something wakes it."""
    with superuser() as session:
        started: datetime = session.row("SELECT pg_catalog.pg_postmaster_start_time() AS at")["at"]
        if started != known:
            session.rows("SELECT pg_catalog.pg_reload_conf()")
    return started


def prune() -> None:
    """Drop what is older than any backup is kept."""
    with superuser() as session:
        session.rows("DELETE FROM operations.heartbeat WHERE at < pg_catalog.now() - %s::interval", KEEP_HEARTBEATS)
        session.rows(
            "DELETE FROM operations.restore_point WHERE at < pg_catalog.now() - %s::interval", KEEP_RESTORE_POINTS
        )


def archived_until(found: dict[str, Any] | None = None) -> datetime | None:
    """The time of the newest heartbeat that is in the archive. `found`: what pgbackrest.info() has just returned."""
    newest = reachable(found)
    with superuser() as session:
        query = f"SELECT max(at) AS at FROM operations.heartbeat WHERE {SEGMENT} <= %s"  # noqa: S608
        at: datetime | None = session.row(query, newest)["at"]
    return at


def reachable(info: dict[str, Any] | None = None) -> str:
    """The newest segment, without its timeline, that the repository has: a restore goes that far, even if another
    repository is away and the server therefore keeps what it has archived."""
    with superuser() as session:
        query = f"SELECT {ARCHIVED} AS segment, left(pg_catalog.pg_walfile_name(lsn), 8) AS timeline FROM"
        found = session.row(f"{query} pg_catalog.pg_current_wal_lsn() AS lsn")
    try:
        archive = None if info and backup_health.is_foreign(info) else (info or pgbackrest.own())["archive"]
    except Failure:
        archive = None
    newest: str = archive["max"] if archive else ""
    return max(found["segment"] or "", newest[8:] if newest[:8] == found["timeline"] else "")


# ------------------------------------------------------------ restore points


def record() -> str:
    """Record a restore point: every table's rows, by number and by content. Its name.

    Raises OperationError when a table stays locked, or can't be read.
    """
    name = f"restore-point-{datetime.now(UTC):%Y%m%dt%H%M%S}-{time.time_ns() // 1000 % 1000000:06d}"
    write_heartbeat()
    with contextlib.ExitStack() as stack:
        readers = {database: stack.enter_context(verifier(database)) for database in databases()}
        lsn, heartbeat = freeze(readers, name)
        at = datetime.now(UTC)
        manifest = {
            f"{database}.{key}": value
            for database, reader in readers.items()
            for key, value in contents(reader).items()
        }
    write_heartbeat()
    with superuser() as session:
        session.rows(
            "INSERT INTO operations.restore_point (name, at, lsn, heartbeat, manifest) VALUES (%s, %s, %s, %s, %s)",
            name, at, lsn, heartbeat, json.dumps(manifest),
        )  # fmt: skip
    return name


def databases(host: str = SOCKET) -> list[str]:
    """The application's, if it exists, and `postgres`. Any other, like one that a dump was restored into to look at it,
    is nothing that a privileged session connects to."""
    application = os.environ.get("APP_DATABASE", "")
    with connect(host=host, name="pgbackup") as session:
        query = "SELECT datname::text FROM pg_catalog.pg_database WHERE datname IN (%s, 'postgres') ORDER BY 1"
        return [row["datname"] for row in session.rows(query, application)]


def freeze(readers: dict[str, Session], name: str) -> tuple[str, int]:
    """Leave each reader in a transaction that sees the same instant, and that instant in the WAL under a name: its
    position, and the newest heartbeat before it."""
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        with contextlib.ExitStack() as stack:
            lockers = {database: stack.enter_context(superuser(database)) for database in readers}
            try:
                for locker in lockers.values():
                    lock(locker)
                lockers["postgres"].rows("LOCK TABLE ONLY operations.heartbeat IN SHARE MODE")
            except psycopg.errors.LockNotAvailable:
                time.sleep(0.1 * attempt)
                continue
            for reader in readers.values():
                reader.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                reader.rows("SELECT 1")  # this takes the snapshot
            found = lockers["postgres"].row(
                """SELECT pg_catalog.pg_create_restore_point(%s)::text AS lsn,
                          (SELECT max(id) FROM operations.heartbeat) AS heartbeat""",
                name,
            )
            return str(found["lsn"]), int(found["heartbeat"])
    raise OperationError(
        "no restore point was recorded: a session holds a lock on a table all the time",
        "./scripts/ops sessions; then the same command again",
    )


def lock(session: Session) -> None:
    """No writer in any table of this database, until the session ends. Locking evaluates nothing of a table."""
    session.rows("BEGIN")
    session.rows(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}'")
    for row in session.rows(TABLES):
        session.rows(sql.SQL("LOCK TABLE ONLY {} IN SHARE MODE").format(sql.Identifier(row["schema"], row["name"])))


def contents(reader: Session) -> dict[str, Any]:
    """schema.table → rows and a hash of their contents, whatever their order."""
    return {
        f"{row['schema']}.{row['name']}": reader.row(sql.SQL(HASH).format(sql.Identifier(row["schema"], row["name"])))
        for row in reader.rows(TABLES)
    }


def find(name: str) -> dict[str, Any]:
    """A restore point by its name."""
    with superuser() as session:
        query = "SELECT name, at, lsn::text AS lsn, heartbeat, manifest FROM operations.restore_point WHERE name = %s"
        found = session.rows(query, name)
    if not found:
        raise UserError(f"there is no restore point '{name}'", "./scripts/ops backup info", status=Status.NOT_FOUND)
    return found[0]


def last_migration() -> datetime | None:
    """When the application's database got its newest migration; None without a table public.django_migrations."""
    database = os.environ.get("APP_DATABASE", "")
    if database not in databases():
        return None
    with verifier(database) as reader:
        if not reader.rows(IS_TABLE):
            return None
        applied: datetime | None = reader.row("SELECT max(applied) AS applied FROM ONLY public.django_migrations")[
            "applied"
        ]
    return applied


def lsn_of(name: str) -> int:
    """Its position, as a number."""
    return pgbackrest.lsn(find(name)["lsn"])


def archived(since: datetime) -> list[str]:
    """The restore points since then that a restore can reach: their WAL is in the repository."""
    newest = reachable()
    with superuser() as session:
        query = f"SELECT name FROM operations.restore_point WHERE at > %s AND {SEGMENT} < %s ORDER BY at"  # noqa: S608
        return [row["name"] for row in session.rows(query, since, newest)]


def flush(until: datetime, within: float = 90) -> None:
    """Until everything up to a time that has passed is in the repository, with a commit behind it: recovery to a time
    stops at the first commit after it, and fails where there is none."""
    if until >= datetime.now(UTC) or (archived_until() or until) > until:
        return
    write_heartbeat()
    note("waiting for the WAL to arrive in the repository")
    with superuser() as session:
        session.rows("SELECT pg_catalog.pg_switch_wal()")
    deadline = time.monotonic() + within
    while (archived_until() or until) <= until:
        if time.monotonic() > deadline:
            note("it does not arrive: ./scripts/ops doctor")
            return
        time.sleep(0.3)


def wait_until_archived(name: str, within: float = 150) -> None:
    """Until the WAL of a restore point is in the repository."""
    with superuser() as session:
        session.rows("SELECT pg_catalog.pg_switch_wal()")
    deadline = time.monotonic() + within
    while name not in archived(datetime.fromtimestamp(0, UTC)):
        if time.monotonic() > deadline:
            raise OperationError("the WAL does not arrive in the repository", "./scripts/ops doctor")
        time.sleep(0.5)
        if int(time.monotonic()) % 10 == 0:
            write_heartbeat()
    note(f"{name} is in the repository")


def heartbeats(session: Session, since: int, until: int) -> dict[str, Any]:
    """Those of a range, and how many there are after it."""
    return session.row(
        """SELECT count(*) FILTER (WHERE id <= %s) AS before, count(*) FILTER (WHERE id > %s) AS after,
                  coalesce(sum(pg_catalog.hashtextextended(id || ' ' || at::text, 0))
                           FILTER (WHERE id <= %s), 0)::text AS hash
           FROM operations.heartbeat WHERE id >= %s""",
        until, until, until, since,
    )  # fmt: skip
