"""Sections 2 and 8: migrations. What Django knows (state, plan) and does (apply, fake) ./scripts/ops asks of the
application's own image.
"""

from typing import Annotated

import typer

from flagops.ask import Yes
from flagops.cli import TROUBLE, group
from flagops.database import connect, rows
from flagops.output import Json, show
from flagops.queries import load
from flagops.setup import on_the_host

migrations = group(
    TROUBLE, "migrations", "Migrations: history (the default), state, plan, apply, fake.", invoke_without_command=True
)


@migrations.callback()
def default(context: typer.Context) -> None:
    """Without a command: the history."""
    if not context.invoked_subcommand:
        history()


@migrations.command()
def history(limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 10, json: Json = False) -> None:
    """The migrations that were applied, the newest first."""
    with connect() as connection:
        show(
            rows(connection, load("migrations"), limit=str(limit)),
            json,
            empty="no migration was applied yet: ./scripts/ops migrations apply",
        )


@migrations.command()
def state() -> None:
    """Every migration of the application, applied [X] or not [ ]."""
    raise on_the_host("migrations state")


@migrations.command()
def plan() -> None:
    """What `apply` would do. Nothing is changed."""
    raise on_the_host("migrations plan")


@migrations.command("apply")
def apply_them() -> None:
    """Apply what is missing, and load the countries: what every start of the stack does."""
    raise on_the_host("migrations apply")


@migrations.command()
def fake(
    app: Annotated[str, typer.Argument(metavar="APP")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Yes = False,
) -> None:
    """Write down that a migration was applied, without running it: only if its changes are in the database already."""
    raise on_the_host(f"migrations fake {app} {name}")
