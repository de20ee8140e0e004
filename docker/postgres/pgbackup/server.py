"""The server as pgbackup sees it: through the socket, and its data directory."""

import os
import subprocess
from pathlib import Path

import psycopg

from pgadmin.session import SOCKET, Session, connect, is_there
from user_errors import Failure, OperationError

__all__ = [
    "SOCKET", "Session", "connect", "control", "data_directory", "is_cluster", "is_standby", "is_there",
    "require_archiving", "system",
]  # fmt: skip


def is_cluster() -> bool:
    """Whether there are several servers, one of which is the primary."""
    return os.environ.get("CLUSTER") == "on"


def is_standby() -> bool:
    """Whether the server is a standby of a cluster. One that can't be asked counts as none: the caller's own question
    then says why."""
    if not is_cluster():
        return False
    try:
        with connect(name="pgbackup") as session:
            return bool(session.row("SELECT pg_catalog.pg_is_in_recovery() AS replica")["replica"])
    except (Failure, psycopg.Error):
        return False


def data_directory() -> Path:
    """The server's; in a cluster the primary's: its path here is the one that it has there."""
    if not is_cluster():
        return Path(os.environ["PGDATA"])
    with connect(name="pgbackup") as session:
        return Path(session.row("SELECT pg_catalog.current_setting('data_directory') AS path")["path"])


def control(pgdata: Path, program: str = "pg_controldata") -> dict[str, str]:
    """What a data directory says of itself, running or not; nothing if it is none. `program`: of its version."""
    said = subprocess.run([program, str(pgdata)], capture_output=True, text=True, check=False).stdout
    return {name: value.strip() for name, _, value in (line.partition(":") for line in said.splitlines())}


def system() -> str | None:
    """The system identifier of this host's server; None where there is no data directory, or no primary to ask."""
    try:
        return control(data_directory()).get("Database system identifier")
    except Failure:
        return None


def require_archiving() -> None:
    """Raises OperationError unless the server takes writes and archives them: without its WAL a backup is useless."""
    with connect(name="pgbackup") as session:
        found = session.row(
            "SELECT current_setting('archive_mode') <> 'off' AS archives, pg_catalog.pg_is_in_recovery() AS replica"
        )
    if found["replica"]:
        raise OperationError(
            "this server is a standby: backups are made on the primary", "run it on the primary's host"
        )
    if not found["archives"]:
        raise OperationError(
            "a backup could not be restored, because the server does not archive its WAL",
            "put COMPOSE_PROFILES=backup into .env, then ./scripts/up; ./scripts/ops restart",
            "archive_mode is off: the server was started before the repository existed, or with ARCHIVING=off",
        )
