"""Dumps: pg_dump's, of the application's database. The work is done by pgclient (docker/ops/pgclient)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from ops import containers, psql
from ops.cli import DRY_RUN, DUMPS, JSON, YES, command, flag, option, positive
from ops.containers import client, pgadmin_in_server
from ops.flows import dump_import, dump_verify
from ops.output import duration, note, say, show, show_json, size
from ops.prompt import confirm
from user_errors import OperationError, Status, UserError

PLAIN = flag("--plain", help="one file of plain SQL, uncompressed, to be read; slower")
EMPTY = "no dump exists yet: ./scripts/ops dump full"
KEEP = option(
    "--keep", type=positive, metavar="N", help="keep the newest N of each kind (default: DUMPS_KEEP of .env, or 7)"
)
KEEP_DAILY = option(
    "--keep-daily", type=int, metavar="N",
    help="and the last of each of N days, in UTC (default: DUMPS_KEEP_DAILY of .env, or 14)",
)  # fmt: skip


@command("dump full", DUMPS, "Dump the whole application database", PLAIN, JSON)
def full(asked: argparse.Namespace) -> None:
    """Compressed, in parallel, of one instant, read back before it counts."""
    create("full", asked)


@command(
    "dump table", DUMPS, "Dump one table: its definition and its rows",
    option("table", metavar="TABLE", help="the table's name; outside public SCHEMA.NAME"), PLAIN, JSON,
)  # fmt: skip
def table(asked: argparse.Namespace) -> None:
    create("table", asked, asked.table)


@command("dump schema", DUMPS, "Dump the definitions without rows", PLAIN, JSON)
def schema(asked: argparse.Namespace) -> None:
    create("schema", asked)


@command("dump data", DUMPS, "Dump the rows without definitions", PLAIN, JSON)
def data(asked: argparse.Namespace) -> None:
    create("data", asked)


@command("dump list", DUMPS, "List dumps, the oldest first", JSON)
def listing(asked: argparse.Namespace) -> None:
    show(client("dump-list"), asked.json, empty=EMPTY)


@command(
    "dump verify", DUMPS, "Prove that dumps restore: read every byte, load their definitions",
    option("names", nargs="*", metavar="NAME", help="these dumps (default: all)"),
    flag("--quick", help="read and compare checksums only"), JSON,
)  # fmt: skip
def verify(asked: argparse.Namespace) -> int:
    """The definitions are loaded into a staging database, which is dropped. Exit status 1 when a dump is not usable."""
    results = dump_verify.run(asked.names, asked.quick)
    show(results, asked.json, empty=EMPTY)
    return Status.OK if all(result["good"] for result in results) else Status.PROBLEM


@command("dump prune", DUMPS, "Remove dumps that the retention does not keep", KEEP, KEEP_DAILY, YES, DRY_RUN)
def prune(asked: argparse.Namespace) -> None:
    """The newest usable dump of each kind is always kept. What interrupted dumps have left is removed, too."""
    keep, keep_daily = retention(containers.environment_of("ops"))
    given = keep_daily if asked.keep_daily is None else asked.keep_daily
    remove_old(asked.keep or keep, given, asked.yes, asked.dry_run)


@command(
    "dump import", DUMPS, "Copy an external dump to where restores find it",
    option("file", type=Path, metavar="FILE", help="pg_dump's file or folder, at any path of this machine"),
    option("--as", dest="name", metavar="NAME", default="", help="its name there (default: the file's)"), JSON,
)  # fmt: skip
def import_(asked: argparse.Namespace) -> None:
    """It is read to its end before it gets its name. Then: ./scripts/ops restore dump NAME --external"""
    found = dump_import.run(asked.file, asked.name)
    if asked.json:
        show_json(found)
    else:
        say(found["name"])
        note(f"imported; next: ./scripts/ops restore dump {found['name']} --external --into flaglearning_NAME")


@command("dump nightly", DUMPS, "Dump, verify and prune, as the nightly timer does", YES)
def nightly(asked: argparse.Namespace) -> int:
    """A full dump and one of the schema, both proven to restore; then the retention (DUMPS_KEEP, DUMPS_KEEP_DAILY)."""
    keep, keep_daily = retention(containers.environment_of("ops"))
    names = [made(kind)["name"] for kind in ("full", "schema")]
    results = dump_verify.run(names, quick=False)
    bad = [f"{result['name']}: {result['reason']}" for result in results if not result["good"]]
    if bad:
        raise OperationError("the night's dumps can't be restored", "./scripts/ops dump verify", "; ".join(bad))
    remove_old(keep, keep_daily, yes=True, dry_run=False)
    say("\n".join(names))
    return Status.OK


def create(kind: str, asked: argparse.Namespace, table: str = "") -> None:
    """Create a dump and say what it holds."""
    found = made(kind, asked.plain, table)
    if asked.json:
        show_json(found)
        return
    say(found["name"])
    rows = f"{sum(found['rows'].values()):,} rows of {len(found['rows'])} tables, " if found["rows"] else ""
    note(f"{rows}{size(found['bytes'])} in {duration(timedelta(seconds=found['seconds']))}, read back and whole")


def made(kind: str, plain: bool = False, table: str = "") -> dict[str, Any]:
    """A new dump. Large objects are readable by their owner only; ops is granted them first."""
    if psql.select("SELECT oid FROM pg_catalog.pg_largeobject_metadata LIMIT 1"):
        pgadmin_in_server("grant-large-objects")
    found: dict[str, Any] = client("dump-create", kind=kind, plain=plain, table=table)
    return found


def retention(environment: Mapping[str, str]) -> tuple[int, int]:
    """DUMPS_KEEP and DUMPS_KEEP_DAILY. Raises UserError."""
    keep, daily = environment["DUMPS_KEEP"], environment["DUMPS_KEEP_DAILY"]
    if not (keep.isdigit() and int(keep) and daily.isdigit()):
        raise UserError(
            f"DUMPS_KEEP is '{keep}' and DUMPS_KEEP_DAILY is '{daily}'",
            "set them to numbers in .env, like 7 and 14; at least one dump is kept",
        )
    return int(keep), int(daily)


def remove_old(keep: int, keep_daily: int, yes: bool, dry_run: bool) -> None:
    """What the retention does not keep, after confirmation."""
    doomed = client("dump-prune", keep=keep, keep_daily=keep_daily)
    if not doomed:
        say("nothing to remove")
        return
    listed = "\n".join(f"  {one['name']} ({size(one['size_bytes'])})" for one in doomed)
    if dry_run:
        say(f"would remove:\n{listed}")
        return
    confirm(f"These will be removed:\n{listed}", yes)
    for one in client("dump-prune", keep=keep, keep_daily=keep_daily, remove=True):
        say(f"removed {one['name']}")
