"""Section 8: what takes the space, what can be freed, and what that costs."""

import os
from typing import NamedTuple

from flagops import stack
from flagops.cli import TROUBLE, command
from flagops.database import Connection, connect, rows
from flagops.output import Json, show_parts, size
from flagops.queries import load

LARGEST = 10
WORTHWHILE = 1024 * 1024


class Freeable(NamedTuple):
    """Something that can be given back to the disk."""

    what: str
    size_bytes: int
    command: str
    price: str


@command(TROUBLE)
def space(json: Json = False) -> None:
    """What takes the space; what can be freed, by which command, and who has to wait meanwhile."""
    with connect() as connection:
        largest = rows(connection, load("sizes"))
        others = rows(connection, load("server_space"))
        free = sorted(freeable(connection), key=lambda item: -item.size_bytes)
    # the database comes last in sizes.sql
    takes = [
        {"what": row["name"], "size_bytes": row["total_bytes"]} for row in [largest[-1], *largest[:LARGEST]]
    ] + others
    show_parts(
        {
            "disk": ("the disk that PostgreSQL writes to", [disk()], ""),
            "takes": (f"what takes space (the {LARGEST} largest tables)", takes, "nothing."),
            "frees": (
                f"what can be freed (from {size(WORTHWHILE)} on)",
                [item._asdict() for item in free],
                "nothing worth while.",
            ),
        },
        json,
    )


def disk() -> dict[str, int | float]:
    """The file system of the server's data volume."""
    found = os.statvfs("/var/lib/postgresql")
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    return {"size_bytes": total, "free_bytes": free, "free_pct": round(100 * free / total, 1)}


def freeable(connection: Connection) -> list[Freeable]:
    """Bloat, indexes nobody needs, leftovers, test databases: each with its command and who waits meanwhile."""
    nobody = "nobody waits"
    found = [
        Freeable(
            f"bloat of {row['table']}",
            row["bloat_bytes"] or 0,
            f"./scripts/ops vacuum-full {row['table']}",
            f"ACCESS EXCLUSIVE: nobody reads or writes it meanwhile; needs up to {size(row['size_bytes'])} more first",
        )
        for row in rows(connection, load("table_bloat"))
    ]
    found += [
        Freeable(
            f"bloat of {row['index']}",
            row["bloat_bytes"] or 0,
            f"./scripts/ops reindex {row['index']}",
            nobody,
        )
        for row in rows(connection, load("index_bloat"))
    ]
    found += [
        Freeable(
            f"duplicate index {row['index']}",
            row["size_bytes"],
            "a migration that drops it (RemoveIndexConcurrently)",
            nobody,
        )
        for row in rows(connection, load("duplicate_indexes"))
    ]
    found += [
        Freeable(
            f"unused index {row['index']}",
            row["size_bytes"],
            "a migration that drops it (RemoveIndexConcurrently)",
            nobody,
        )
        for row in rows(connection, load("unused_indexes"))
    ]
    found += [
        Freeable(
            f"invalid index {row['schema']}.{row['name']}", row["size_bytes"], "./scripts/ops reindex --clean", nobody
        )
        for row in rows(connection, load("invalid_indexes"))
        if row["leftover"]
    ]
    found += [
        Freeable(
            f"test database {row['name']}",
            row["size_bytes"],
            f"./scripts/ops test-databases drop {row['name']}",
            nobody,
        )
        for row in rows(connection, load("test_databases"), database=stack.APP_DATABASE, role=stack.APP_ROLE)
        if not row["sessions"]
    ]
    return [item for item in found if item.size_bytes >= WORTHWHILE]
