"""Prove that dumps restore: every byte is read, and the definitions are loaded into a staging database."""

from __future__ import annotations

from typing import Any

from ops.containers import Failed, client, loader
from ops.flows import restore_dump


def run(names: list[str], quick: bool) -> list[dict[str, Any]]:
    """{"name", "good", "reason"} each; without names, of all dumps. `quick`: without the staging database."""
    results = client("dump-verify-files", names=names)
    for one in results:
        # A dump of data has no definitions; its bytes were read.
        if one["good"] and not quick and one["kind"] != "data":
            problem = load_definitions(one)
            if problem:
                one.update(good=False, reason=problem)
    return [{key: one[key] for key in ("name", "good", "reason")} for one in results]


def load_definitions(one: dict[str, Any]) -> str:
    """Load a dump's definitions as a restore does; why that fails, or ''."""
    with restore_dump.exclusive(), restore_dump.staging() as made:
        try:
            # Plain SQL can't be divided: its rows are loaded, too. A table's foreign keys need other tables.
            loader(
                "restore-load", stdin=made.password, database=made.database, path=one["path"], plain=one["plain"],
                schema_only=True, keys=one["kind"] != "table", schema=restore_dump.schema_of(one),
            )  # fmt: skip
        except Failed:
            return "its definitions can't be loaded; PostgreSQL's error is above"
    return ""
