"""The superuser's session: through the socket, as the server's own user. From nowhere else."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2  # Debian's: Patroni needs it
import psycopg2.extras

from physical.errors import Refused

SOCKET = "/run/postgresql"
# Hashing a large table takes as long as it takes. pgaudit: what is done every few seconds would drown the audit log.
SETTINGS = ("timezone=UTC", "statement_timeout=0", "idle_in_transaction_session_timeout=0", "pgaudit.log=none")
OPTIONS = " ".join(f"-c {setting}" for setting in SETTINGS)


@contextlib.contextmanager
def connect(database: str = "postgres", host: str = SOCKET, **parameters: Any) -> Iterator["Session"]:
    """A session in autocommit mode, with rows as dictionaries."""
    try:
        connection = psycopg2.connect(
            host=host, user="postgres", dbname=database, application_name="physical",
            options=OPTIONS, connect_timeout=5, **parameters,
        )  # fmt: skip
    except psycopg2.OperationalError as error:
        raise Refused("the server can't be reached.", "docker compose up --wait postgres", str(error).strip()) from None
    connection.autocommit = True
    try:
        yield Session(connection)
    finally:
        connection.close()


class Session:
    """`session.rows("SELECT %s AS x", 1)` → [{"x": 1}]"""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def rows(self, query: Any, *values: Any) -> list[dict[str, Any]]:
        """What it finds."""
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(query, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def row(self, query: Any, *values: Any) -> dict[str, Any]:
        """The one that it finds."""
        [found] = self.rows(query, *values)
        return found


def is_there(host: str = SOCKET) -> bool:
    """Whether a server answers, even if it lets nobody in yet."""
    try:
        psycopg2.connect(host=host, user="postgres", dbname="postgres", connect_timeout=5).close()
    except psycopg2.OperationalError as error:
        return "No such file" not in str(error) and "Connection refused" not in str(error)
    return True


def control(pgdata: Path) -> dict[str, str]:
    """What a data directory says of itself (pg_controldata), running or not; nothing if it is none."""
    said = subprocess.run(["pg_controldata", str(pgdata)], capture_output=True, text=True, check=False).stdout
    return {name: value.strip() for name, _, value in (line.partition(":") for line in said.splitlines())}


def require_archiving() -> None:
    """Raises Refused unless the server takes writes and archives them: a backup without its WAL restores nothing."""
    with connect() as session:
        found = session.row(
            "SELECT current_setting('archive_mode') <> 'off' AS archives, pg_catalog.pg_is_in_recovery() AS replica"
        )
    if found["replica"]:
        raise Refused(
            "this server is a replica: backups are made where the writes are.", "run it on the primary's host"
        )
    if not found["archives"]:
        raise Refused(
            "the server doesn't archive its write-ahead log, so a physical backup could not be restored.",
            "docker compose --profile backup up --wait; docker compose restart postgres",
            "archive_mode is off: the server was started before there was a repository, or with ARCHIVING=off",
        )
