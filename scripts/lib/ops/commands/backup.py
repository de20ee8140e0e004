"""Backups: pgBackRest's, of the whole server. The work is done by pgbackup (docker/postgres/pgbackup)."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from typing import Any

import backup_health
from ops import backup_report, psql
from ops.cli import BACKUPS, JSON, command, flag, option
from ops.containers import pgbackup
from ops.flows import drill as drills
from ops.output import duration, note, say, show, show_json, size
from user_errors import OperationError, Status


@command(
    "backup create", BACKUPS, "Create a pgBackRest backup of the whole server",
    option("--type", choices=("full", "incr"), default="incr", help="full, or what changed since the last (default)"),
    flag("--if-due", help="only if the schedule of BACKUP_AT and BACKUP_FULL_DAYS wants one now (for timers)"),
    flag("--no-mark", help="record no restore point for the drill: it counts and hashes every row"),
    JSON,
)  # fmt: skip
def create(asked: argparse.Namespace) -> int:
    """A restore can go to any time after a backup."""
    made = pgbackup("create", type=asked.type, if_due=asked.if_due, mark=not asked.no_mark)
    if asked.json:
        show_json(made)
    elif not made:
        note("no backup is due")
    else:
        say(made["label"])
        note(
            f"{made['type']}, {size(made['database_bytes'])} in the database, {size(made['repository_bytes'])} in the "
            f"repository, {duration(timedelta(seconds=made['seconds']))}"
        )
    if made and made["error"]:
        raise OperationError(
            "the backup contains pages with a wrong checksum: the data directory is damaged",
            "./scripts/ops restore backup --to a time before the damage (docs/runbooks/restore.md)",
            ", ".join(made["bad_files"]),
        )
    return Status.OK


@command("backup list", BACKUPS, "List pgBackRest backups, the oldest first", JSON)
def listing(asked: argparse.Namespace) -> None:
    found = pgbackup("info")
    foreign = backup_health.is_foreign(found)
    show(
        [
            {
                "label": one["label"],
                "type": one["type"],
                "ended": one["stop"],
                "database_bytes": one["database_bytes"],
                "repository_bytes": one["repository_bytes"],
                "timeline": one["timeline"],
                "state": state_of(one, foreign),
            }
            for one in found["backups"]
        ],
        asked.json,
        empty="no backup exists yet: ./scripts/ops backup create",
    )


def state_of(backup: dict[str, Any], foreign: bool) -> str:
    """What a restore of it would bring."""
    return "has pages with a wrong checksum" if backup["error"] else "of another cluster" if foreign else "good"


@command("backup info", BACKUPS, "Show the recovery window, what would be lost now, and the archive's state", JSON)
def info(asked: argparse.Namespace) -> int:
    """Exit status 1 when backups or archiving are not healthy."""
    found = pgbackup("info")
    if asked.json:
        show_json(found)
    else:
        show([backup_report.summary(found)], False, empty="")
    problem = backup_report.problem_of(found)
    if problem:
        raise problem
    return Status.OK


@command("backup mark", BACKUPS, "Record a restore point with row checksums for the drill", JSON)
def mark(asked: argparse.Namespace) -> None:
    """A drill can restore to it and compare every table."""
    made = pgbackup("mark")
    if asked.json:
        show_json(made)
    else:
        say(made["restore_point"])


@command("backup verify", BACKUPS, "Read every byte of the repository and compare checksums", JSON)
def verify(asked: argparse.Namespace) -> int:
    """Exit status 1 when a file is damaged or missing."""
    found = pgbackup("verify")
    if asked.json:
        show_json(found)
    elif found["good"]:
        say(f"{found['backups']} backups and the WAL since the oldest are whole")
    else:
        say("\n".join(found["problems"]))
        raise OperationError(
            "the repository is damaged",
            "./scripts/ops backup create --type full makes a new backup; then docs/runbooks/restore.md",
        )
    return Status.OK if found["good"] else Status.PROBLEM


@command("backup drill", BACKUPS, "Restore a backup beside the stack and compare every row", JSON)
def drill(asked: argparse.Namespace) -> int:
    """It restores to a random recorded restore point, into a sandbox instance that is removed afterwards."""
    return show_report(drills.run(), asked.json, html=False)


@command(
    "backup report", BACKUPS, "Show the newest drill's report",
    JSON, flag("--html", help="print a page: ./scripts/ops backup report --html >drill.html"),
)  # fmt: skip
def report(asked: argparse.Namespace) -> int:
    """Exit status 1 when that drill failed."""
    newest = "SELECT report FROM operations.drill ORDER BY at DESC LIMIT 1"
    found = psql.select(newest, dbname="postgres")
    if not found:
        raise OperationError("no drill has run yet", "./scripts/ops backup drill", status=Status.NOT_FOUND)
    return show_report(found[0]["report"], asked.json, asked.html)


def show_report(report: dict[str, Any], as_json: bool, html: bool) -> int:
    """Print a drill's report; its exit status."""
    if as_json:
        show_json(report)
    elif html:
        sys.stdout.write(backup_report.as_html(report))
    else:
        say(backup_report.as_text(report))
    return Status.OK if report["passed"] else Status.PROBLEM
