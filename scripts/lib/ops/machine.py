"""The disk that the server writes to."""

from __future__ import annotations

from ops import containers, docker
from ops.output import Row
from user_errors import OperationError, Status

DATA = "/var/lib/postgresql"


def disk() -> Row:
    """The size and the free space of the file system of the server's data volume."""
    argv = docker.exec_in(containers.server(), "df", "--block-size=1", "--output=size,avail", DATA)
    done = containers.completed(argv, quiet=True)
    if done.returncode:
        containers.require_engine()
        raise OperationError("the server's disk can't be read", "./scripts/ops doctor", done.stderr.strip(),
                             Status.CANNOT_CONNECT)  # fmt: skip
    return parse(done.stdout)


def parse(printed: str) -> Row:
    """What df printed: a line of names, a line of numbers."""
    total, free = (int(word) for word in printed.splitlines()[1].split())
    return {"size_bytes": total, "free_bytes": free, "free_pct": round(100 * free / total, 1)}
