"""Canaries and moments: what a restore is compared with (pg/sql/60-operations.sql).

How the rows of a moment are known exactly: all tables are locked against writers for some milliseconds (SHARE waits
until every writer has committed and is visible), a snapshot is taken and a named restore point written, in this order;
then the writers go on, and the tables are read in the snapshot at leisure. Between snapshot and restore point nobody
could commit, so recovery to that restore point gives exactly those rows.
"""

import contextlib
import json
import os
import time
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2 import sql

from physical import pgbackrest, server
from physical.errors import Refused, note
from physical.server import Session

LOCK_PATIENCE = "300ms"  # that long a writer may have to wait behind us, at worst
LOCK_ATTEMPTS = 20
KEEP_CANARIES, KEEP_MOMENTS = "35 days", "35 days"
# A position is in the archive when its segment is; a segment's name without the timeline can be compared. The server
# counts what every repository has; after a restore or a crash its counters are empty, and its pg_wal remembers.
ARCHIVED = """coalesce(
    (SELECT substr(last_archived_wal, 9, 16) FROM pg_catalog.pg_stat_archiver
     WHERE last_archived_wal ~ '^[0-9A-F]{24}'),
    (SELECT max(substr(name, 9, 16)) FROM pg_catalog.pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}[.]done$'),
    '')"""
SEGMENT = "substr(pg_catalog.pg_walfile_name(lsn), 9, 16)"
TABLES = """
    SELECT n.nspname AS schema, c.relname AS name
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'
      AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'operations')
    ORDER BY 1, 2"""


def beat() -> int:
    """Write a canary; its number. With it, how much would be lost if the machine were lost now."""
    with server.connect() as session:
        found = session.row(
            f"""INSERT INTO operations.canary (exposed)
                SELECT coalesce(pg_catalog.clock_timestamp() - min(at), '0') FROM operations.canary
                WHERE at > pg_catalog.now() - interval '1 day' AND {SEGMENT} > {ARCHIVED}
                RETURNING id"""  # noqa: S608 - constants of this module
        )
        return int(found["id"])


def keep_to_archive_timeout(known: datetime | None) -> datetime:
    """When the server was started. One that wasn't `known` is told to read its configuration: its checkpointer, which
    ends a segment after archive_timeout, was started while the server still recovered, when it doesn't look at that;
    then it sleeps for checkpoint_timeout, a quarter of an hour, unless something wakes it."""
    with server.connect() as session:
        started: datetime = session.row("SELECT pg_catalog.pg_postmaster_start_time() AS at")["at"]
        if started != known:
            session.rows("SELECT pg_catalog.pg_reload_conf()")
    return started


def prune() -> None:
    """Drop what is older than any backup is kept."""
    with server.connect() as session:
        session.rows("DELETE FROM operations.canary WHERE at < pg_catalog.now() - %s::interval", KEEP_CANARIES)
        session.rows("DELETE FROM operations.moment WHERE at < pg_catalog.now() - %s::interval", KEEP_MOMENTS)


def archived_until() -> datetime | None:
    """The time of the newest canary that is in the archive."""
    newest = reachable()
    with server.connect() as session:
        query = f"SELECT max(at) AS at FROM operations.canary WHERE {SEGMENT} <= %s"  # noqa: S608
        at: datetime | None = session.row(query, newest)["at"]
    return at


def reachable() -> str:
    """The newest segment, without its timeline, that the repository has: a restore goes that far, even if another
    repository is away and the server therefore keeps what it has archived."""
    with server.connect() as session:
        query = f"SELECT {ARCHIVED} AS segment, left(pg_catalog.pg_walfile_name(lsn), 8) AS timeline FROM"
        found = session.row(f"{query} pg_catalog.pg_current_wal_lsn() AS lsn")
    try:
        archive = pgbackrest.info()["archive"]
    except Refused:
        archive = None
    newest: str = archive["max"] if archive else ""
    return max(found["segment"] or "", newest[8:] if newest[:8] == found["timeline"] else "")


def mark() -> str:
    """Write down a moment: every table's rows, by number and by content. Its name."""
    name = f"moment-{datetime.now(UTC):%Y%m%dt%H%M%S}-{time.time_ns() // 1000 % 1000000:06d}"
    canary = beat()
    with contextlib.ExitStack() as stack:
        sessions = {database: stack.enter_context(server.connect(database)) for database in databases()}
        lsn = freeze(sessions, name)
        at = datetime.now(UTC)
        manifest = {
            f"{database}.{key}": value
            for database, session in sessions.items()
            for key, value in contents(session).items()
        }
    beat()
    with server.connect() as session:
        session.rows(
            "INSERT INTO operations.moment (name, at, lsn, canary, manifest) VALUES (%s, %s, %s, %s, %s)",
            name, at, lsn, canary, json.dumps(manifest),
        )  # fmt: skip
    return name


def databases() -> list[str]:
    """Those with something in them."""
    with server.connect() as session:
        query = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
        return [row["datname"] for row in session.rows(query)]


def freeze(sessions: dict[str, Session], name: str) -> str:
    """Leave each session in a transaction that sees the same moment, and that moment in the WAL under a name."""
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        with contextlib.ExitStack() as stack:
            lockers = {database: stack.enter_context(server.connect(database)) for database in sessions}
            try:
                for locker in lockers.values():
                    lock(locker)
            except psycopg2.errors.LockNotAvailable:
                time.sleep(0.1 * attempt)
                continue
            for session in sessions.values():
                session.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                session.rows("SELECT 1")  # this takes the snapshot
            lsn: str = sessions["postgres"].row("SELECT pg_catalog.pg_create_restore_point(%s) AS lsn", name)["lsn"]
            return lsn
    raise Refused(
        "no moment could be written down: somebody holds a lock on a table all the time.",
        "./scripts/ops sessions; then the same command again",
    )


def lock(session: Session) -> None:
    """No writer in any table of this database, until the session ends."""
    session.rows("BEGIN")
    session.rows(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}'")
    for row in session.rows(TABLES):
        session.rows(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(row["schema"], row["name"])))


def contents(session: Session) -> dict[str, Any]:
    """schema.table → rows and a hash of their contents, whatever their order."""
    for setting in ("DateStyle = ISO", "IntervalStyle = postgres", "extra_float_digits = 1", "bytea_output = hex"):
        session.rows(f"SET {setting}")
    found = {}
    for row in session.rows(TABLES):
        query = sql.SQL(
            "SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(t::text, 5432)), 0)::text AS hash"
            " FROM {} AS t"
        ).format(sql.Identifier(row["schema"], row["name"]))
        found[f"{row['schema']}.{row['name']}"] = session.row(query)
    return found


def find(name: str) -> dict[str, Any]:
    """A moment by its name."""
    with server.connect() as session:
        found = session.rows("SELECT name, at, lsn, canary, manifest FROM operations.moment WHERE name = %s", name)
    if not found:
        raise Refused(f"there is no moment '{name}'.", "./scripts/ops backup info")
    return found[0]


def last_migration() -> datetime | None:
    """When the application's database got its newest migration."""
    database = os.environ.get("APP_DATABASE", "")
    if database not in databases():
        return None
    with server.connect(database) as session:
        if not session.row("SELECT pg_catalog.to_regclass('public.django_migrations') IS NOT NULL AS ever")["ever"]:
            return None
        applied: datetime | None = session.row("SELECT max(applied) AS applied FROM django_migrations")["applied"]
    return applied


def lsn_of(name: str) -> int:
    """Its position, as a number."""
    return pgbackrest.lsn(find(name)["lsn"])


def archived(since: datetime) -> list[str]:
    """The moments since then that a restore can reach: their WAL is in the repository."""
    newest = reachable()
    with server.connect() as session:
        query = f"SELECT name FROM operations.moment WHERE at > %s AND {SEGMENT} < %s ORDER BY at"  # noqa: S608
        return [row["name"] for row in session.rows(query, since, newest)]


def flush(until: datetime, within: float = 90) -> None:
    """Until everything up to a time that has passed is in the repository, with a commit behind it: recovery to a time
    stops at the first commit after it, and fails where there is none."""
    if until >= datetime.now(UTC) or (archived_until() or until) > until:
        return
    beat()
    note("waiting for the write-ahead log to arrive in the repository")
    with server.connect() as session:
        session.rows("SELECT pg_catalog.pg_switch_wal()")
    deadline = time.monotonic() + within
    while (archived_until() or until) <= until:
        if time.monotonic() > deadline:
            note("it does not arrive: ./scripts/ops doctor")
            return
        time.sleep(0.3)


def wait_until_archived(name: str, within: float = 150) -> None:
    """Until the WAL of a moment is in the repository."""
    with server.connect() as session:
        session.rows("SELECT pg_catalog.pg_switch_wal()")
    deadline = time.monotonic() + within
    while name not in archived(datetime.fromtimestamp(0, UTC)):
        if time.monotonic() > deadline:
            raise Refused("the write-ahead log doesn't arrive in the repository.", "./scripts/ops doctor")
        time.sleep(0.5)
        if int(time.monotonic()) % 10 == 0:
            beat()
    note(f"{name} is in the repository")


def canaries(session: Session, since: int, until: int) -> dict[str, Any]:
    """Those of a range, and how many there are after it."""
    return session.row(
        """SELECT count(*) FILTER (WHERE id <= %s) AS before, count(*) FILTER (WHERE id > %s) AS after,
                  coalesce(sum(pg_catalog.hashtextextended(id || ' ' || at::text, 0))
                           FILTER (WHERE id <= %s), 0)::text AS hash
           FROM operations.canary WHERE id >= %s""",
        until, until, until, since,
    )  # fmt: skip
