"""`pgbackup VERB [PARAMETERS]`. Exit status: 0 done; 1 failed; 2 bad request; 3 cannot connect; 4 not found."""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

import backup_health
import secret_files
import verbs
from pgbackup import drill, facts, pgbackrest, recovery, repository2, restore_points, schedule, server, target
from pgbackup.notes import note
from user_errors import Failure, OperationError, UserError

REPOSITORY = Path("/var/lib/pgbackrest")
CIPHER = Path("/etc/pgbackrest/conf.d/backup_cipher.conf")


def prepare() -> None:
    """Before the server starts: check that the repository can be written, with a passphrase fit for the deployment."""
    try:
        text = CIPHER.read_text()
    except OSError as error:
        raise UserError("the secret backup_cipher can't be read", secret_files.NEW_FOLDER, str(error)) from None
    if not secret_files.value("backup_cipher", text):
        raise UserError("the secret backup_cipher has no line repo1-cipher-pass=…", secret_files.NEW_FOLDER)
    weakness = secret_files.weakness("backup_cipher", text) if os.environ.get("DEPLOYMENT") != "development" else None
    if weakness:
        raise UserError(
            "production refuses the repository's passphrase",
            f"{secret_files.NEW_FOLDER}; keep a copy away from this machine: without it no backup can be read",
            f"the secret backup_cipher {weakness}",
        )
    try:
        (REPOSITORY / ".for-backups").touch()
    except OSError as error:
        raise OperationError(
            f"the repository can't be written by uid {os.getuid()}",
            "chown -R 5432:5432 the folder that BACKUP_REPOSITORY_DIR names", str(error),
        ) from None  # fmt: skip
    note("the repository is ready")


def create(type: str = "incr", if_due: bool = False, mark: bool = True) -> dict[str, Any] | None:
    """Create a backup (`type` full or incr), and record a restore point that a drill can compare.

    `if_due`: only if the schedule wants one now, of the type that it wants; None if not. Returns the backup's facts,
    `seconds`, `bad_files` (pages with a wrong checksum) and `restore_point`.
    """
    began = time.monotonic()
    server.require_archiving()
    pgbackrest.ensure_stanza()
    if if_due:
        at, full_days = schedule.settings()
        due = schedule.due(pgbackrest.info()["backups"], datetime.now(UTC), at, full_days) if at else None
        if due is None:
            return None
        type = due
        restore_points.prune()
    restore_points.write_heartbeat()
    pgbackrest.run(f"--type={type}", "backup")
    made = pgbackrest.info()["backups"][-1]
    bad = pgbackrest.bad_files(made.label) if made.error else []
    took = round(time.monotonic() - began, 1)
    return {**made._asdict(), "seconds": took, "bad_files": bad, "restore_point": restore_point() if mark else None}


def restore_point() -> str | None:
    """The name of a new one. A backup is a backup without it: a long VACUUM may be in the way."""
    try:
        return restore_points.record()
    except (Failure, psycopg.Error) as error:
        note(f"no restore point was recorded for the drill: {error}")
        return None


def mark() -> dict[str, Any]:
    """Record a restore point: {"restore_point": NAME}."""
    return {"restore_point": restore_points.record()}


def heartbeat() -> dict[str, Any]:
    """Write a heartbeat row (a timer calls it every 20 s where no service does): {"heartbeat": NUMBER}."""
    return {"heartbeat": restore_points.write_heartbeat()}


def info() -> dict[str, Any]:
    """Everything that is known: the repository's side, the server's, and repository 2 as `copy`."""
    found = {"at": datetime.now(UTC), **facts.repository()}
    if server.is_there():
        found["server"] = facts.archiver()
        found["until"] = restore_points.archived_until(found)
    found["copy"] = repository2.facts()
    ours = found["backups"] and not backup_health.is_foreign(found)
    found["from"] = found["backups"][0]["stop"] if ours else None
    return found


def verify() -> dict[str, Any]:
    """Read everything in the repository: {"good", "problems", "backups"}."""
    problems = pgbackrest.verify()
    found = pgbackrest.info()["backups"]
    problems += [f"{one.label}: {file}" for one in found if one.error for file in pgbackrest.bad_files(one.label)]
    return {"good": not problems, "problems": problems, "backups": len(found)}


def plan(to: str = "", backup: str = "", timeline: int | None = None, latest: bool = False) -> dict[str, Any]:
    """Where a restore would go: to a time, to the end of a backup, or to the end of the archive (`latest`)."""
    if sum(map(bool, (to, backup, latest))) != 1:
        raise UserError("exactly one of to, backup and latest is required", "./scripts/ops restore backup --help")
    return asdict(target.plan(server.data_directory(), to=to, backup=backup, timeline=timeline))


def restore(**plan: Any) -> dict[str, Any]:
    """Restore into the stack, as the plan says: {"retained", "seconds", "target", "backup"}."""
    return recovery.into_the_stack(target.read(plan))


def sandbox(**plan: Any) -> None:
    """Restore into this container's own volume; a server until it is stopped."""
    recovery.sandbox(target.read(plan))


def drop(name: str) -> dict[str, Any]:
    """Remove a retained data directory."""
    recovery.drop(name)
    return {"dropped": name}


def prove() -> list[dict[str, Any]]:
    """A drill's comparison, in the sandbox. Standard input: what `choose` printed."""
    return drill.prove(json.load(sys.stdin))


def record() -> None:
    """Record a drill's report, from standard input."""
    drill.record(json.load(sys.stdin))


VERBS: dict[str, Callable[..., Any]] = {
    "prepare": prepare,
    "serve": schedule.serve,
    "serve-repository-2": repository2.serve,
    "create": create,
    "mark": mark,
    "heartbeat": heartbeat,
    "info": info,
    "verify": verify,
    "plan": plan,
    "restore": restore,
    "sandbox": sandbox,
    "ready": recovery.wait_for_sandbox,
    "retained": recovery.retained,
    "drop": drop,
    "choose": drill.choose,
    "prove": prove,
    "checksums": drill.checksums,
    "record": record,
}

if __name__ == "__main__":
    sys.exit(verbs.main("pgbackup", VERBS, sys.argv[1:]))
