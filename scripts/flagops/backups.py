"""Section 3, the backups that there are: list, verify, prune."""

import fcntl
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flagops import archive, client_tools
from flagops.archive import Backup
from flagops.ask import DryRun, Yes, confirm
from flagops.backup import readable
from flagops.cli import BACKUP, group
from flagops.errors import Refused, Status
from flagops.output import Json, Row, note, say, show, size
from flagops.progress import step

backups = group(BACKUP, "backups", "The backups that there are: list, verify, prune.")


@backups.command("list")
def list_them(json: Json = False) -> None:
    """The backups, the oldest first; and what an interrupted one left behind."""
    listed: list[Row] = [row_of(found) for found in archive.all_of_them()]
    interrupted = archive.leftovers()
    listed += [
        {
            **dict.fromkeys(NOTHING),
            "name": path.name,
            "size_bytes": bytes_of(path),
            "state": "interrupted: prune removes it",
        }
        for path in interrupted
    ]
    show(listed, json, empty="there are no backups yet: ./scripts/ops backup full")


NOTHING = {"name": "", "kind": None, "database": None, "created": None, "size_bytes": None, "rows": None, "state": None}


def row_of(found: Backup | Refused) -> Row:
    """A line of the list."""
    if isinstance(found, Refused):
        return {**NOTHING, "name": found.what.partition(" ")[0], "state": f"no good: {found.why}"}
    manifest = found.manifest
    return {
        "name": found.name,
        "kind": manifest.kind + (" (plain)" if manifest.plain else ""),
        "database": manifest.database,
        "created": datetime.fromisoformat(manifest.created),
        "size_bytes": manifest.bytes,
        "rows": sum(manifest.rows.values()),
        "state": "complete",
    }


def bytes_of(folder: Path) -> int:
    """Of the files in it."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


@backups.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[BACKUP]…", help="These; all without.")] = None,
    json: Json = False,
) -> Status:
    """Read backups again, every byte: checksums, and whether a restore could read them. Status 1 if one is no good."""
    client_tools.obey_termination()
    chosen: Iterable[Backup | Refused] = [archive.find(name) for name in names] if names else archive.all_of_them()
    results = []
    for found in chosen:
        verdict = found if isinstance(found, Refused) else check(found)
        name = found.what.partition(" ")[0] if isinstance(found, Refused) else found.name
        results.append({"name": name, "good": verdict is None, "why": verdict.why or verdict.what if verdict else ""})
    show(results, json, empty="there are no backups yet: ./scripts/ops backup full")
    return Status.OK if all(result["good"] for result in results) else Status.PROBLEM


def check(found: Backup) -> Refused | None:
    """What is wrong with it, if anything."""
    try:
        with found.in_use(), step(f"verifying {found.name}", "bytes", total=found.manifest.bytes) as progress:
            found.check(progress.more)
            readable(found)
    except Refused as refused:
        return refused
    return None


@backups.command()
def fetch(name: Annotated[str, typer.Argument(metavar="BACKUP", help="As `backup info --json` lists it.")]) -> None:
    """Bring a dump back from the backup host, and read it: for one that isn't here any more."""
    raise Refused("this command is for ./scripts/ops.", f"./scripts/ops backups fetch {name}", status=Status.USAGE)


Keep = Annotated[int, typer.Option("--keep", min=1, help="The newest of each kind.")]
KeepDaily = Annotated[int, typer.Option("--keep-daily", min=0, help="And the last of each of so many days (UTC).")]


@backups.command()
def prune(keep: Keep = 7, keep_daily: KeepDaily = 14, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Remove what the retention doesn't keep, and what interrupted ones left. The newest good one of a kind stays."""
    archive.check_folder()
    found = [one for one in archive.all_of_them() if isinstance(one, Backup)]
    doomed = [one.folder for one in found if one.name not in kept(found, keep, keep_daily)]
    doomed += archive.leftovers()
    if not doomed:
        say("there is nothing to remove.")
        return
    listed = "\n".join(f"  {path.name} ({size(bytes_of(path))})" for path in doomed)
    if dry_run:
        say(f"would remove:\n{listed}")
        return
    confirm(f"These will be removed:\n{listed}", yes)
    for path in doomed:
        remove(path)


def kept(found: list[Backup], keep: int, keep_daily: int) -> set[str]:
    """The names that stay. What counts as one kind: the kind, the database, and the table if it is of one."""
    series: dict[tuple[str, ...], list[Backup]] = defaultdict(list)
    for one in sorted(found, key=lambda one: one.manifest.created, reverse=True):
        series[one.manifest.kind, one.manifest.database, one.manifest.table].append(one)
    names = set()
    for newest_first in series.values():
        names |= {one.name for one in newest_first[:keep]}
        days: dict[object, Backup] = {}
        for one in newest_first:
            days.setdefault(datetime.fromisoformat(one.manifest.created).astimezone(UTC).date(), one)
        names |= {one.name for one in list(days.values())[:keep_daily]}
        # A damaged newest one must not cost the last good one.
        if good := next((one for one in newest_first if check(one) is None), None):
            names.add(good.name)
    return names


def remove(folder: Path) -> None:
    """Remove a backup, unless a restore is reading it."""
    held = None
    try:
        if (manifest := folder / archive.MANIFEST).exists():
            held = os.open(manifest, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # First out of sight: half a backup never has a final name.
        hidden = (
            folder
            if folder.name.startswith(archive.PARTIAL)
            else folder.rename(folder.with_name(f"{archive.PARTIAL}{folder.name}"))
        )
        shutil.rmtree(hidden)
        say(f"removed {folder.name}")
    except BlockingIOError:
        note(f"{folder.name} is being read by a restore: it stays for now.")
    finally:
        if held is not None:
            os.close(held)
