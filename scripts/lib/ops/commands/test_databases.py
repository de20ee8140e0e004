"""The databases that Django's test runner left. No other database can be listed or dropped here."""

from __future__ import annotations

import argparse

import relations
from ops import containers, psql
from ops.cli import DRY_RUN, JSON, MAINTAIN, YES, command, option
from ops.output import note, say, show, size
from ops.prompt import confirm
from user_errors import OperationError, UserError

IN_USE = "55006"  # object_in_use


def made_by_django() -> list[psql.Row]:
    """Those that are named as Django's test runner names them, and owned by the application's role."""
    return psql.rows("test_databases", **names())


def names() -> dict[str, str]:
    """The application's database and role, its owner: the variables of pg/queries/test_databases.sql."""
    environment = containers.environment_of("roles")
    return {"database": environment["APP_DATABASE"], "owner": environment["APP_ROLE"]}


@command("test-databases list", MAINTAIN, "List the databases that Django's test runner made", JSON)
def list_them(asked: argparse.Namespace) -> None:
    show(made_by_django(), asked.json, empty="no test databases exist")


@command(
    "test-databases drop", MAINTAIN, "Drop test databases without sessions",
    option("names", nargs="*", metavar="NAME", help="these databases (default: all without sessions)"), YES, DRY_RUN,
)  # fmt: skip
def drop_them(asked: argparse.Namespace) -> None:
    """A database with sessions, or one that Django's test runner did not make, is never dropped."""
    found = {row["name"]: row for row in made_by_django()}
    for name in asked.names:
        if name not in found:
            raise not_djangos(name, found)
        if found[name]["sessions"]:
            raise OperationError(
                f"{name} is in use by {found[name]['sessions']} sessions", "run the same command when its tests ended"
            )
    orphans = [row for row in found.values() if not row["sessions"] and (not asked.names or row["name"] in asked.names)]
    if not orphans:
        say("no test database without sessions exists")
        return
    listed = ", ".join(f"{row['name']} ({size(row['size_bytes'])})" for row in orphans)
    if asked.dry_run:
        say(f"would drop: {listed}")
        return
    confirm(f"These databases will be dropped: {listed}", asked.yes)
    drop(orphans)


def drop(orphans: list[psql.Row]) -> None:
    """As their owner, the application's role. The server refuses one that came into use meanwhile."""
    for row in orphans:
        if dropped(row["name"]):
            say(f"dropped {row['name']}")
        else:
            note(f"{row['name']} came into use: not dropped")


def dropped(name: str) -> bool:
    """Whether the database could be dropped; False when a session uses it."""
    try:
        psql.maintain(f"DROP DATABASE IF EXISTS {relations.identifier(name)}", role="app")
    except psql.ServerError as error:
        if error.sqlstate != IN_USE:
            raise
        return False
    return True


def not_djangos(name: str, found: dict[str, psql.Row]) -> Exception:
    """The error for a database that can't be dropped here: it doesn't exist, or Django's test runner didn't make it."""
    everything = [row["name"] for row in psql.rows("databases")]
    if name not in everything:
        return relations.not_found("test database", name, found or everything, "./scripts/ops test-databases list")
    expected = names()
    return UserError(
        f"'{name}' was not made by Django's test runner",
        "./scripts/ops test-databases list",
        f"they are named test_{expected['database']}, with _1 or _gw0 behind, and owned by {expected['owner']}",
        OperationError.status,
    )
