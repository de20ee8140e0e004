"""What takes disk space, what can be freed, and which queries wait meanwhile."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ops import psql
from ops.cli import JSON, TROUBLESHOOT, command
from ops.commands.test_databases import names
from ops.machine import disk
from ops.output import show_parts, size

LARGEST = 10
WORTHWHILE = 1024 * 1024
QUERIES = (
    "sizes", "server_space", "table_bloat", "index_bloat", "duplicate_indexes", "unused_indexes", "invalid_indexes",
    "test_databases",
)  # fmt: skip
NO_WAIT = "no query waits"
MIGRATION = "a migration that drops it (RemoveIndexConcurrently)"


class Freeable(NamedTuple):
    """What can be given back to the disk."""

    what: str
    size_bytes: int
    command: str
    price: str


@command("space", TROUBLESHOOT, "Show what takes disk space and which commands free some", JSON)
def space(asked: argparse.Namespace) -> None:
    found = psql.several(*QUERIES, **names())
    *tables, database = found["sizes"]  # the database comes last
    takes = [{"what": row["name"], "size_bytes": row["total_bytes"]} for row in [database, *tables[:LARGEST]]]
    show_parts(
        {
            "disk": ("the disk that PostgreSQL writes to", [disk()], ""),
            "takes": (f"what takes space (the {LARGEST} largest tables)", takes + found["server_space"], "nothing"),
            "frees": (
                f"what can be freed (from {size(WORTHWHILE)})",
                [item._asdict() for item in freeable(found)],
                "nothing",
            ),
        },
        asked.json,
    )


def freeable(found: Mapping[str, Sequence[psql.Row]]) -> list[Freeable]:
    """Bloat, redundant indexes, leftovers and test databases, the largest first."""
    items = [
        Freeable(
            f"bloat of {row['table']}",
            row["bloat_bytes"] or 0,
            f"./scripts/ops vacuum-full {row['table']}",
            f"ACCESS EXCLUSIVE: queries of the table wait; up to {size(row['size_bytes'])} more are needed first",
        )
        for row in found["table_bloat"]
    ]
    items += [
        Freeable(f"bloat of {row['index']}", row["bloat_bytes"] or 0, f"./scripts/ops reindex {row['index']}", NO_WAIT)
        for row in found["index_bloat"]
    ]
    for kind in ("duplicate", "unused"):
        items += [
            Freeable(f"{kind} index {row['index']}", row["size_bytes"], MIGRATION, NO_WAIT)
            for row in found[f"{kind}_indexes"]
        ]
    items += [
        Freeable(
            f"invalid index {row['schema']}.{row['name']}", row["size_bytes"], "./scripts/ops reindex --clean", NO_WAIT
        )
        for row in found["invalid_indexes"]
        if row["leftover"]
    ]
    items += [
        Freeable(
            f"test database {row['name']}",
            row["size_bytes"],
            f"./scripts/ops test-databases drop {row['name']}",
            NO_WAIT,
        )
        for row in found["test_databases"]
        if not row["sessions"]
    ]
    return sorted((item for item in items if item.size_bytes >= WORTHWHILE), key=lambda item: -item.size_bytes)
