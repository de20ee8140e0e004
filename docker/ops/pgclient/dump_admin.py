"""The dumps in DUMPS_DIR: list, verify, prune."""

import fcntl
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgclient import client_tools, dump_store
from pgclient.dump_create import row_counts
from pgclient.dump_store import Dump, Manifest
from pgclient.progress import note, step
from pgclient.verbs import verb
from user_errors import Failure

NOTHING = {"name": "", "kind": None, "database": None, "created": None, "size_bytes": None, "rows": None, "state": None}


@verb("dump-list")
def listing() -> list[dict[str, Any]]:
    """The dumps, the oldest first, and what an interrupted one left behind."""
    listed = [row_of(found) for found in dump_store.all_of_them()]
    return listed + [
        {**NOTHING, "name": path.name, "size_bytes": bytes_of(path), "state": "interrupted: dump prune removes it"}
        for path in dump_store.leftovers()
    ]


def row_of(found: Dump | Failure) -> dict[str, Any]:
    """A line of the list."""
    if isinstance(found, Failure):
        name = found.what.partition(" ")[0]
        state = (
            "external: restore dump NAME --external" if "no manifest" in found.reason else f"unusable: {found.reason}"
        )
        return {**NOTHING, "name": name, "size_bytes": bytes_of(dump_store.FOLDER / name), "state": state}
    manifest = found.manifest
    return {
        "name": found.name,
        "kind": manifest.kind + (" (plain)" if manifest.plain else ""),
        "database": manifest.database,
        "created": manifest.created,
        "size_bytes": manifest.bytes,
        "rows": sum(manifest.rows.values()),
        "state": "complete",
    }


def bytes_of(path: Path) -> int:
    """Of the files in a folder, or of a file."""
    return sum(one.lstat().st_size for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file())


@verb("dump-verify-files")
def verify_files(names: list[str]) -> list[dict[str, Any]]:
    """Read dumps again, every byte: {"name", "good", "reason", "kind", "path", "plain", "table"} each. Without names:
    all."""
    client_tools.obey_termination()
    chosen: list[Dump | Failure] = [dump_store.find(name) for name in names] if names else dump_store.all_of_them()
    results = []
    for found in chosen:
        if isinstance(found, Failure):
            if "no manifest" not in found.reason:  # an external dump is not ours to judge
                results.append(
                    {"name": found.what.partition(" ")[0], "good": False, "reason": found.reason, "kind": ""}
                )
            continue
        problem = problem_of(found)
        results.append({
            "name": found.name, "good": problem is None, "reason": (problem.reason or problem.what) if problem else "",
            "kind": found.manifest.kind, "plain": found.manifest.plain, "table": found.manifest.table,
            "path": str(found.dump.relative_to(dump_store.FOLDER)),
        })  # fmt: skip
    return results


def problem_of(found: Dump) -> Failure | None:
    """What is wrong with it, if anything."""
    try:
        with found.in_use(), step(f"reading {found.name}"):
            found.check()
            row_counts(found)
    except Failure as failure:
        return failure
    return None


@verb("dump-prune")
def prune(keep: int, keep_daily: int, remove: bool = False) -> list[dict[str, Any]]:
    """What the retention does not keep, and what interrupted dumps left: {"name", "size_bytes"} each.

    Kept: the newest `keep` of each kind, and the last of each of `keep_daily` days (UTC), and the newest good one.
    `remove`: remove them.
    """
    dump_store.check_folder()
    found = {one.name: one for one in dump_store.all_of_them() if isinstance(one, Dump)}
    manifests = {name: one.manifest for name, one in found.items()}
    names = retained(manifests, keep, keep_daily, lambda name: problem_of(found[name]) is None)
    doomed = [one.folder for name, one in found.items() if name not in names] + dump_store.leftovers()
    listed = [{"name": path.name, "size_bytes": bytes_of(path)} for path in doomed]
    for path in doomed if remove else []:
        remove_folder(path)
    return listed


def retained(manifests: dict[str, Manifest], keep: int, keep_daily: int, is_good: Callable[[str], bool]) -> set[str]:
    """The names that stay. Dumps of one kind, database and table are one series.

    `is_good` reads a dump: it is asked for the newest ones of a series until one is good, and only if the series loses
    a dump at all.
    """
    series: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(manifests, key=lambda name: manifests[name].created, reverse=True):
        one = manifests[name]
        series[one.kind, one.database, one.table].append(name)
    names: set[str] = set()
    for newest_first in series.values():
        staying = set(newest_first[:keep]) | last_of_days(newest_first, manifests, keep_daily)
        # A damaged newest one must not cost the last good one.
        if set(newest_first) - staying and (good := next(filter(is_good, newest_first), None)):
            staying.add(good)
        names |= staying
    return names


def last_of_days(newest_first: Sequence[str], manifests: dict[str, Manifest], days: int) -> set[str]:
    """The last dump of each of the newest days that have one."""
    found: dict[object, str] = {}
    for name in newest_first:
        found.setdefault(datetime.fromisoformat(manifests[name].created).astimezone(UTC).date(), name)
    return set(list(found.values())[:days])


def remove_folder(folder: Path) -> None:
    """Remove a dump, unless a restore is reading it."""
    held = None
    try:
        if (manifest := folder / dump_store.MANIFEST).exists():
            held = os.open(manifest, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not folder.name.startswith(dump_store.PARTIAL):  # first out of sight: half a dump never has a final name
            folder = folder.rename(folder.with_name(f"{dump_store.PARTIAL}{folder.name}"))
        shutil.rmtree(folder)
    except BlockingIOError:
        note(f"{folder.name} is being read by a restore: it stays for now")
    finally:
        if held is not None:
            os.close(held)
