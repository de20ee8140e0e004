"""Whether the restored rows are those that were there: the live server chooses a restore point and says what belongs to
it, the sandbox instance answers. The flow is scripts/lib/ops/flows/drill.py.
"""

import json
import os
import random
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pgadmin.session import OPTIONS_OF_OTHERS
from pgbackup import pgbackrest, recovery, restore_points, server, target, timelines
from user_errors import OperationError

DATA = Path(os.environ["PGDATA"])


def choose() -> dict[str, Any]:
    """A random restore point of the window that the repository holds, and everything that is known about it."""
    server.require_archiving()
    while not (found := pgbackrest.own())["backups"] and found["busy"]:
        time.sleep(2)  # a new server's first one is being made
    usable = timelines.usable(found["backups"], timelines.current(server.data_directory(), found["systems"]) or 1)
    good = [one for one in usable if not one.error]
    if not good:
        raise OperationError("there is no backup without damaged pages to restore", "./scripts/ops backup create")
    # after the last migration: what today's code runs on, without a downgrade
    since = max(good[0].stop, restore_points.last_migration() or good[0].stop)
    names = [name for name in restore_points.archived(since) if restore_points.lsn_of(name) >= good[0].stop_lsn]
    if not names:
        names = [restore_points.record()]
    name = random.choice(names)  # noqa: S311 - not a secret
    restore_points.wait_until_archived(name)
    point = restore_points.find(name)
    with server.connect() as session:
        since = session.row("SELECT min(id) AS id FROM operations.heartbeat")["id"]
        heartbeats = restore_points.heartbeats(session, since, point["heartbeat"])
        exposed = session.row(
            """SELECT extract(epoch FROM max(exposed))::float AS worst, count(*) AS measured FROM operations.heartbeat
               WHERE at > pg_catalog.now() - interval '7 days' AND exposed IS NOT NULL"""
        )
    return {
        "plan": asdict(target.plan(server.data_directory(), point=name)),
        "restore_point": {**point, "at": point["at"].isoformat()},
        "heartbeats": {**heartbeats, "since": since},
        "rpo": exposed,
        "newest_backup": good[-1].label,
        "repository": int(pgbackrest.REPOSITORY),
        "restore_points": len(names),
    }


def prove(chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """On the sandbox instance: what was compared, and what was seen."""
    point, heartbeats = chosen["restore_point"], chosen["heartbeats"]
    with server.connect() as session:
        there = restore_points.heartbeats(session, heartbeats["since"], point["heartbeat"])
    return [
        result(
            "heartbeats from before the restore point are there",
            (there["before"], there["hash"]) == (heartbeats["before"], heartbeats["hash"]) and there["before"] > 0,
            f"{there['before']} of {heartbeats['before']}",
        ),
        result(
            "heartbeats from after it are not",
            there["after"] == 0 and heartbeats["after"] > 0,
            f"{there['after']} of {heartbeats['after']} on the live server",
        ),
        *tables(point["manifest"]),
        amcheck(),
    ]


def tables(expected: dict[str, Any]) -> list[dict[str, Any]]:
    """Every table's rows, by number and content, as the manifest has them; none missing, none added."""
    seen: dict[str, Any] = {}
    for database in restore_points.databases():
        with restore_points.verifier(database) as reader:
            seen |= {f"{database}.{key}": value for key, value in restore_points.contents(reader).items()}
    return compare(expected, seen)


def compare(expected: dict[str, Any], seen: dict[str, Any]) -> list[dict[str, Any]]:
    """database.schema.table → rows and hash: what a manifest has against what was read."""
    missing, added = sorted(expected.keys() - seen.keys()), sorted(seen.keys() - expected.keys())
    differ = sorted(key for key in expected.keys() & seen.keys() if expected[key] != seen[key])
    rows = sum(table["rows"] for table in seen.values())
    counted = [key for key in differ if expected[key]["rows"] != seen[key]["rows"]]
    same_tables = not missing and not added and bool(seen)
    return [
        result(
            "the tables are those of the manifest",
            same_tables,
            f"{len(seen)} tables{listed('missing', missing)}{listed('added', added)}",
        ),
        result("every table has as many rows", not counted, f"{rows:,} rows{listed('not in', counted)}"),
        result("every table has the same contents", not differ, f"{len(seen)} hashes{listed('another in', differ)}"),
    ]


def listed(what: str, names: list[str]) -> str:
    """Nothing, if there is none."""
    return f"; {what}: {', '.join(names)}" if names else ""


def amcheck() -> dict[str, Any]:
    """Every table and index is whole; reading them also compares every page's checksum.

    Not as the superuser: it evaluates index expressions (as the table's owner), and calls functions by name.
    """
    login = ["--host", server.SOCKET, f"--username={restore_points.VERIFIER}", "--no-password"]
    which = [f"--database={name}" for name in restore_points.databases()]
    done = subprocess.run(
        ["pg_amcheck", *login, *which, "--heapallindexed"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PGOPTIONS": OPTIONS_OF_OTHERS},
    )
    said = " ".join((done.stdout + done.stderr).split())
    # A database without the extension is passed over with a warning.
    whole = done.returncode == 0 and not said
    return result("pg_amcheck finds every table and index whole", whole, said[-500:] or "nothing found")


def checksums() -> dict[str, Any]:
    """Every page of every file, after a clean shutdown of the sandbox instance's server."""
    recovery.HOLD.touch()
    stopped = subprocess.run(
        ["pg_ctl", "stop", "--mode=fast", "--timeout=300", f"--pgdata={DATA}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if stopped.returncode:
        return result("every page has its checksum", False, " ".join((stopped.stdout + stopped.stderr).split()))
    done = subprocess.run(
        ["pg_checksums", "--check", "--pgdata", str(DATA)], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    numbers = [line.strip() for line in said.splitlines() if line.startswith(("Blocks scanned", "Bad checksums"))]
    clean = done.returncode == 0 and "Bad checksums:  0" in said
    return result(
        "every page has its checksum", clean, ", ".join(" ".join(n.split()) for n in numbers) or said.strip()[-300:]
    )


def result(name: str, ok: bool, saw: str) -> dict[str, Any]:
    """A line of the report."""
    return {"check": name, "ok": bool(ok), "saw": saw}


def record(report: dict[str, Any]) -> None:
    """On the live server, where the checklist and `doctor` look for it."""
    with server.connect() as session:
        session.rows(
            "INSERT INTO operations.drill (at, passed, report) VALUES (%s, %s, %s)",
            report["at"], report["passed"], json.dumps(report),
        )  # fmt: skip
