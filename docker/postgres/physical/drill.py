"""Is what was restored what was there? The live server chooses the moment and says what belongs to it; the scratch
instance answers. ./scripts/ops backup drill brings the two together.
"""

import json
import os
import random
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from physical import moments, pgbackrest, server, target, timelines
from physical.errors import Refused

DATA = Path(os.environ["PGDATA"])


def choose() -> dict[str, Any]:
    """A random moment of the range that the repository holds, and everything that is known about it."""
    server.require_archiving()
    while not (found := pgbackrest.info())["backups"] and found["busy"]:
        time.sleep(2)  # a new server's first one is being made
    usable = timelines.usable(found["backups"], timelines.current(DATA, found["systems"]) or 1)
    good = [one for one in usable if not one.error]
    if not good:
        raise Refused("there is no good physical backup to restore.", "./scripts/ops backup physical")
    # after the last migration: what today's code runs on, without a downgrade
    since = max(good[0].stop, moments.last_migration() or good[0].stop)
    names = [name for name in moments.archived(since) if moments.lsn_of(name) >= good[0].stop_lsn]
    if not names:
        names = [moments.mark()]
    name = random.choice(names)  # noqa: S311 - nobody has to be kept from guessing it
    moments.wait_until_archived(name)
    moment = moments.find(name)
    with server.connect() as session:
        since = session.row("SELECT min(id) AS id FROM operations.canary")["id"]
        canaries = moments.canaries(session, since, moment["canary"])
        exposed = session.row(
            """SELECT extract(epoch FROM max(exposed))::float AS worst, count(*) AS measured FROM operations.canary
               WHERE at > pg_catalog.now() - interval '7 days' AND exposed IS NOT NULL"""
        )
    return {
        "plan": asdict(target.plan(DATA, moment=name)),
        "moment": {**moment, "at": moment["at"].isoformat()},
        "canaries": {**canaries, "since": since},
        "rpo": exposed,
        "newest_backup": good[-1].label,
        "repository": int(pgbackrest.REPOSITORY),
        "moments": len(names),
    }


def prove(chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """On the scratch instance: what was compared, and what was seen."""
    moment, canaries = chosen["moment"], chosen["canaries"]
    with server.connect() as session:
        there = moments.canaries(session, canaries["since"], moment["canary"])
    return [
        result(
            "canaries from before the moment are there",
            (there["before"], there["hash"]) == (canaries["before"], canaries["hash"]) and there["before"] > 0,
            f"{there['before']} of {canaries['before']}",
        ),
        result(
            "canaries from after it are not",
            there["after"] == 0 and canaries["after"] > 0,
            f"{there['after']} of {canaries['after']} on the live server",
        ),
        *tables(moment["manifest"]),
        amcheck(),
    ]


def tables(expected: dict[str, Any]) -> list[dict[str, Any]]:
    """Every table's rows, by number and content, as the manifest has them; none missing, none added."""
    seen: dict[str, Any] = {}
    for database in moments.databases():
        with server.connect(database) as session:
            seen |= {f"{database}.{key}": value for key, value in moments.contents(session).items()}
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
    """Every table and index is whole; reading them also compares every page's checksum."""
    login = ["--host", server.SOCKET, "--username=postgres", "--no-password"]
    done = subprocess.run(
        ["pg_amcheck", *login, "--all", "--install-missing", "--heapallindexed"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PGOPTIONS": "-c pgaudit.log=none"},
    )
    said = " ".join((done.stdout + done.stderr).split())
    return result("pg_amcheck finds every table and index whole", done.returncode == 0, said[-500:] or "nothing found")


def checksums() -> dict[str, Any]:
    """Every page of every file, on the stopped instance."""
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
