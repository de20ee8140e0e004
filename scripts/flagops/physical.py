"""Section 3, physical backups: pgBackRest's. The work is done by `physical` in the server's image
(docker/postgres/physical), which ./scripts/ops starts (physical.sh), because only the server's own user may read its
files. What it found out comes here, as JSON on standard input, and is shown.
"""

import json as jsons
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from flagops import catalog, client_tools, drill_report, stack
from flagops.ask import DryRun, Yes, confirm
from flagops.backup import backup
from flagops.cli import BACKUP, group
from flagops.database import at_scratch, connect
from flagops.errors import Refused, Status
from flagops.output import Json, Row, duration, note, say, show, show_json, size
from flagops.restore import restore

Type = Annotated[str, typer.Option("--type", metavar="full|incr", help="Everything, or what changed since the last.")]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="That time; UTC unless it has a zone.")]
Latest = Annotated[bool, typer.Option("--latest", help="The newest that the archive has.")]
Label = Annotated[str, typer.Option("--backup", metavar="LABEL", help="The end of that backup (backup list).")]
Timeline = Annotated[
    int | None, typer.Option("--timeline", help="Another history: one that an earlier restore turned away from.")
]
ScratchOption = Annotated[
    bool, typer.Option("--scratch", help="Beside the stack, to look at: ./scripts/ops scratch psql.")
]
TableOption = Annotated[
    str, typer.Option("--table", metavar="TABLE", help="Only the rows of this table, through a scratch instance.")
]

scratch = group(BACKUP, "scratch", "A physical backup restored beside the stack: look at it, drop it.")


def facts() -> Any:
    """What ./scripts/ops found out."""
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    if not text.strip():
        raise Refused("there is nothing to show: this command is for ./scripts/ops.", "./scripts/ops backup --help")
    return jsons.loads(text)


def time_of(text: str | None) -> datetime | None:
    """From JSON."""
    return datetime.fromisoformat(text) if text else None


NoMoment = Annotated[
    bool, typer.Option("--no-moment", help="Without a moment for the drill, for which every row is counted and hashed.")
]


@backup.command()
def physical(type: Type = "incr", no_moment: NoMoment = False, json: Json = False) -> Status:
    """The whole server, file by file (pgBackRest): a restore can go to any time after it."""
    made = facts()
    if json:
        show_json(made)
    else:
        say(made["label"])
        note(
            f"{type}, {size(made['database_bytes'])} in the database, {size(made['repository_bytes'])} in the "
            f"repository, {duration(timedelta(seconds=made['seconds']))}."
        )
    if made["error"]:
        raise Refused(
            "pages with a wrong checksum went into this backup: the data directory is damaged.",
            "./scripts/ops restore physical --to a time before the damage (docs/runbooks/restore.md)",
            ", ".join(made["bad_files"]),
        )
    return Status.OK


@backup.command("list")
def list_them(json: Json = False) -> None:
    """The physical backups, the oldest first. (Dumps: ./scripts/ops backups list)"""
    listed: list[Row] = [
        {
            "label": one["label"],
            "type": one["type"],
            "ended": time_of(one["stop"]),
            "database_bytes": one["database_bytes"],
            "repository_bytes": one["repository_bytes"],
            "timeline": one["timeline"],
            "state": "has pages with a wrong checksum" if one["error"] else "good",
        }
        for one in facts()["backups"]
    ]
    show(listed, json, empty="there is no physical backup yet: ./scripts/ops backup physical")


@backup.command()
def info(json: Json = False) -> Status:
    """How far back and forward a restore can go, what would be lost now, and whether the archive is whole."""
    found = facts()
    problem = drill_report.problem_of(found)
    if json:
        show_json(found)
    else:
        show([summary(found)], False, empty="")
    if problem:
        raise problem
    return Status.OK


def summary(found: dict[str, Any]) -> Row:
    """For people."""
    server, copy = found.get("server") or {}, found.get("copy")
    exposed = server.get("exposed_s")
    return {
        "repository": found["state"],
        "backups": len(found["backups"]),
        "restore_from": time_of(found["from"]),
        "restore_to": time_of(found.get("until")),
        "would_be_lost_now": duration(timedelta(seconds=exposed)) if exposed else "nothing",
        "archived_last": server.get("last_archived_wal"),
        "segments_waiting": server.get("waiting"),
        "drill_passed": time_of(server.get("drill_passed")),
        "on_the_backup_host": drill_report.copies(copy) if copy else None,
    }


@backup.command()
def moment(json: Json = False) -> None:
    """Write down what is in every table now: one more moment that a drill can restore to and compare."""
    made = facts()
    if json:
        show_json(made)
    else:
        say(made["moment"])


@backup.command()
def verify(json: Json = False) -> Status:
    """Read everything in the repository, every byte. (Dumps: ./scripts/ops backups verify)"""
    found = facts()
    if json:
        show_json(found)
    elif found["good"]:
        say(f"{found['backups']} backups and the write-ahead log since the oldest: whole.")
    else:
        say("\n".join(found["problems"]))
        raise Refused(
            "the repository is damaged.",
            "./scripts/ops backup physical --type full: a new one, now; then docs/runbooks/restore.md",
        )
    return Status.OK if found["good"] else Status.PROBLEM


@backup.command()
def drill(json: Json = False) -> Status:
    """Restore beside the stack, to a random moment, and compare every row; a report of what was proven."""
    report = drill_report.make(facts())
    drill_report.write(report)
    show_json(report)  # ./scripts/ops keeps it and shows it
    return Status.OK if report["passed"] else Status.PROBLEM


@backup.command()
def nightly() -> None:
    """What a timer calls: a dump of everything and one of the schema, read back; then those that are too old go."""
    raise Refused("this command is for ./scripts/ops.", "./scripts/ops backup nightly", status=Status.USAGE)


@backup.command()
def report(
    json: Json = False,
    html: Annotated[
        bool, typer.Option("--html", help="A page: ./scripts/ops backup report --html >drill.html")
    ] = False,
) -> Status:
    """The newest drill's report."""
    with connect(database="postgres") as connection:
        found = connection.execute("SELECT report FROM operations.drill ORDER BY at DESC LIMIT 1").fetchall()
    if not found:
        raise Refused("there was no drill yet.", "./scripts/ops backup drill", status=Status.NOT_FOUND)
    newest = found[0]["report"]
    if json:
        show_json(newest)
    else:
        say(drill_report.as_html(newest) if html else drill_report.as_text(newest))
    return Status.OK if newest["passed"] else Status.PROBLEM


# ------------------------------------------------------------ restoring


@restore.command("physical")
def restore_physical(
    to: To = "",
    latest: Latest = False,
    label: Label = "",
    timeline: Timeline = None,
    scratch: ScratchOption = False,
    table: TableOption = "",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """The whole server, to a time: into the stack, or beside it. What was there before stays until you drop it."""
    if sum(map(bool, (to, latest, label))) != 1:
        raise Refused("where to?", "one of --to TIME, --latest, --backup LABEL", status=Status.USAGE)
    plan = jsons.loads(os.environ.get("PLAN") or "{}")
    if not plan:
        raise Refused("there is no plan: this command is for ./scripts/ops.", "./scripts/ops restore physical --help")
    beginning = f"the backup {plan['label']} and the write-ahead log, to {plan['says']}"
    if scratch or table:
        note(f"A scratch instance is made beside the stack from {beginning}. The stack is not touched.")
        if table and not dry_run:
            note(f"Then the rows of {table} are fetched from it.")
    else:
        stack_name = stack.APP_DATABASE
        consequence = (
            f"The server stops. Everything in it ({stack_name}, every other database) comes from {beginning}. "
            "What was written after that is not in it. The data directory of now stays, beside the new one; if "
            "anything fails, it comes back."
        )
        if dry_run:
            say(f"{consequence} (Nothing was done: a dry run.)")
            return
        confirm_by_name(consequence, stack_name, yes)
    if dry_run:
        say("(Nothing was done: a dry run.)")


def confirm_by_name(consequence: str, name: str, yes: bool) -> None:
    """For what stops the service: the name has to be typed."""
    if yes or not sys.stdin.isatty():
        confirm(consequence, yes)
        return
    note(consequence)
    if typer.prompt(f"Type {name} to go on", err=True, default="", show_default=False) != name:
        raise Refused("nothing was done: that is not its name.", "the same command again, when you mean it")


@restore.command("directories")
def directories(json: Json = False) -> None:
    """The data directories that a physical restore replaced: kept until they are dropped."""
    show(facts(), json, empty="no restore has put a data directory aside.")


@restore.command("drop-directory")
def drop_directory(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As ./scripts/ops restore directories lists it.")],
    yes: Yes = False,
) -> None:
    """Remove a data directory that a physical restore replaced."""
    confirm(f"{name} will be removed, for good.", yes)  # ./scripts/ops has it done


@scratch.command(
    "psql",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
)
def scratch_psql(context: typer.Context) -> None:
    """psql at the scratch instance; what follows is psql's."""
    environment = stack.client_environment("ops")
    os.execvpe("psql", ["psql", *context.args], environment)  # noqa: S606 - its exit status is ours


@scratch.command("bring-back")
def bring_back(name: Annotated[str, typer.Argument(metavar="TABLE", help="The lost table.")], yes: Yes = False) -> None:
    """A table that the stack has lost: its definition, its rows, and others' foreign keys to it; all or nothing."""
    with at_scratch() as source:
        wanted = catalog.table(source, name)
        source.execute("SET search_path TO ''")  # so that every name comes with its schema
        keys = [row["statement"] for row in source.execute(KEYS_TO, [wanted.oid]).fetchall()]
    with connect() as target:
        there = target.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL AS there", [wanted.quoted]).fetchone()
    if there and there["there"]:
        raise Refused(
            f"the stack has a table {wanted.full_name}: it is not replaced.",
            f"its rows: ./scripts/ops restore physical … --table {name}",
        )
    confirm(f"{wanted.full_name} will be made again, as it is in the scratch instance.", yes)
    archive, script = Path("/tmp/table.dump"), Path("/tmp/table.sql")  # noqa: S108 - this container's own tmpfs
    hint = "./scripts/ops scratch psql, and look"
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (wanted.schema, wanted.name))
    options = ["--format=custom", "--no-owner", "--no-privileges", "--no-password", "--strict-names"]
    dumping = stack.client_environment(door=stack.SCRATCH)
    client_tools.run(["pg_dump", *options, f"--table={quoted}", f"--file={archive}"], dumping, hint)
    client_tools.run(["pg_restore", "--no-owner", f"--file={script}", str(archive)], dict(os.environ), hint)
    with script.open("a") as file:
        file.writelines(f"{statement};\n" for statement in keys)
    # a migration's login: what it makes belongs to the owner, and the policy's default privileges apply
    loading = {**stack.client_environment("migrator"), "PGAPPNAME": "bring-back"}
    psql = ["psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--no-password"]
    client_tools.run([*psql, f"--file={script}"], loading, hint)
    say(f"brought {wanted.full_name} back" + (f", and {len(keys)} foreign keys to it" if keys else ""))


KEYS_TO = """
    SELECT pg_catalog.format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::pg_catalog.regclass, conname,
                             pg_catalog.pg_get_constraintdef(oid)) AS statement
    FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid = %s::pg_catalog.oid AND conrelid <> confrelid"""


@scratch.command("drop")
def scratch_drop() -> None:
    """Remove the scratch instance and its data."""
