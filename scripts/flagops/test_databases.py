"""Section 6: the databases that Django's test runner left behind. Nothing else can be listed or dropped here."""

from typing import Annotated

import psycopg
import typer
from psycopg import sql

from flagops import catalog, stack
from flagops.ask import DryRun, Yes, confirm
from flagops.cli import MAINTENANCE, group
from flagops.database import Row, connect, identifier, rows
from flagops.errors import Refused, Status
from flagops.output import Json, note, say, show, size
from flagops.queries import load

test_databases = group(
    MAINTENANCE,
    "test-databases",
    "The databases that Django's test runner made: list them, drop those that nobody uses.",
)


def made_by_django() -> list[Row]:
    """Named as Django's test runner names them, owned by the application's role."""
    with connect() as connection:
        return rows(connection, load("test_databases"), database=stack.APP_DATABASE, role=stack.APP_ROLE)


@test_databases.command("list")
def list_them(json: Json = False) -> None:
    """The test databases, and whether somebody uses them."""
    show(made_by_django(), json, empty="there are no test databases.")


@test_databases.command("drop")
def drop_them(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="These; all that nobody uses without.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Drop orphaned test databases. One in use, or not made by Django's test runner, is never touched."""
    found = {row["name"]: row for row in made_by_django()}
    for name in names or ():
        if name not in found:
            raise not_ours(name, list(found))
        if found[name]["sessions"]:
            raise Refused(
                f"{name} is in use: {found[name]['sessions']} session(s).",
                "wait until its tests end, then the same command again",
            )
    orphans = [row for row in found.values() if not row["sessions"] and (not names or row["name"] in names)]
    if not orphans:
        say("there is no orphaned test database.")
        return
    listed = ", ".join(f"{row['name']} ({size(row['size_bytes'])})" for row in orphans)
    if dry_run:
        say(f"would drop: {listed}")
        return
    confirm(f"These databases will be dropped: {listed}", yes)
    drop(orphans)


def drop(orphans: list[Row]) -> None:
    """As their owner, the application's role. The server itself refuses one that came into use meanwhile."""
    with connect("app") as owner:
        for row in orphans:
            try:
                owner.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(identifier(row["name"])))
            except psycopg.errors.ObjectInUse:
                note(f"{row['name']} came into use meanwhile: left alone.")
            else:
                say(f"dropped {row['name']}")


def not_ours(name: str, found: list[str]) -> Refused:
    """Why this database isn't one to drop: it doesn't exist, or Django's test runner didn't make it."""
    with connect() as connection:
        everything = [row["name"] for row in rows(connection, load("databases"))]
    if name not in everything:
        return catalog.not_found("database", name, everything, "./scripts/ops test-databases list")
    return Refused(
        f"'{name}' was not made by Django's test runner: it is never dropped here.",
        "./scripts/ops test-databases list",
        f"those are named test_{stack.APP_DATABASE}, perhaps with _1 or _gw0 behind, and owned by {stack.APP_ROLE}",
        Status.PROBLEM,
    )
