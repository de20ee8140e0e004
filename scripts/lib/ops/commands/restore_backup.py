"""Restore from a pgBackRest backup; the sandbox instance; what restores have retained."""

from __future__ import annotations

import argparse

from ops import containers, docker, psql
from ops.cli import DRY_RUN, JSON, RESTORE, YES, command, flag, option
from ops.containers import pgadmin_in_server, pgbackup, run_verb
from ops.flows import restore_backup, sandbox
from ops.output import say, show, size
from ops.prompt import confirm
from user_errors import Status, UserError


@command(
    "restore backup", RESTORE, "Restore the server, a sandbox instance or one table to a point in time",
    option("--to", metavar="TIME", exclusive="!target",
           help="to this time: '2026-11-23 14:05:30' (UTC), with an offset, or with a zone name behind it"),
    flag("--latest", exclusive="!target", help="to the end of the archive"),
    option("--backup", metavar="LABEL", exclusive="!target", help="to the end of this backup (backup list)"),
    option("--timeline", type=int, metavar="N", help="another history: one that an earlier restore left"),
    flag("--sandbox", help="beside the stack, to look at: ./scripts/ops sandbox psql"),
    option("--table", metavar="TABLE", default="", help="only this table, through a sandbox instance"),
    YES, DRY_RUN,
)  # fmt: skip
def backup(asked: argparse.Namespace) -> None:
    """Without --sandbox and --table the data directory is replaced; the previous one is retained (retained list)."""
    if not (asked.table or asked.sandbox):
        restore_backup.require_alone(asked.dry_run)
    plan = restore_backup.plan_for(asked.to or "", asked.backup or "", asked.timeline)
    if asked.table:
        restore_backup.one_table(plan, asked.table, asked.sandbox, asked.yes, asked.dry_run)
    elif asked.sandbox:
        restore_backup.beside_the_stack(plan, asked.dry_run)
    else:
        restore_backup.into_the_stack(plan, asked.yes, asked.dry_run)


@command(
    "sandbox psql", RESTORE, "Open psql on the sandbox instance",
    option("arguments", nargs=argparse.REMAINDER, metavar="…", help="psql's own arguments"),
)  # fmt: skip
def sandbox_psql(asked: argparse.Namespace) -> int:
    sandbox.require()
    words = docker.verb("psql", {"arguments": asked.arguments})
    tty = containers.is_terminal()
    return containers.attach(docker.run_in("ops", *words, environment={"INSTANCE": "sandbox"}, tty=tty))


@command("sandbox drop", RESTORE, "Remove the sandbox instance and its data", YES)
def sandbox_drop(asked: argparse.Namespace) -> None:
    sandbox.require(running=False)
    confirm("The sandbox instance and its data will be removed.", asked.yes)
    sandbox.drop()
    say("removed the sandbox instance")


@command("retained list", RESTORE, "List databases and data directories that restores have retained", JSON)
def retained_list(asked: argparse.Namespace) -> None:
    show(retained(), asked.json, empty="no restore has retained anything")


@command(
    "retained drop", RESTORE, "Drop a retained database or data directory for good",
    option("name", metavar="NAME", help="as retained list shows it"), YES, DRY_RUN,
)  # fmt: skip
def retained_drop(asked: argparse.Namespace) -> None:
    found = {row["name"]: row for row in retained()}
    if asked.name not in found:
        raise UserError(
            f"nothing of the name {asked.name} is retained", "./scripts/ops retained list", status=Status.NOT_FOUND
        )
    row = found[asked.name]
    consequence = f"The {row['what']} {row['name']} ({size(row['size_bytes'])}) will be dropped for good."
    if asked.dry_run:
        say(f"{consequence} (Dry run: nothing was changed.)")
        return
    confirm(consequence, asked.yes)
    if row["what"] == "database":
        pgadmin_in_server("drop-retained", name=asked.name)
    else:
        run_verb("restore", "drop", name=asked.name)
    say(f"dropped {asked.name}")


def retained() -> list[psql.Row]:
    """What restores have retained, databases first."""
    databases = psql.rows("retained_databases", dbname="postgres", database=psql.app_database())
    directories = pgbackup("retained")
    return [
        *({"what": "database", **row} for row in databases),
        *({"what": "data directory", **row} for row in directories),
    ]
