"""Django's migrations: what is applied, what would be, applying and faking."""

from __future__ import annotations

import argparse
import re

from ops import containers, docker, psql
from ops.cli import JSON, LIMIT, TROUBLESHOOT, YES, command, option
from ops.output import show
from ops.prompt import confirm


def matching(pattern: str, what: str) -> type:
    """An argparse type: text that matches the whole pattern."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
        return text

    return check  # type: ignore[return-value]


APP = option("app", type=matching("[a-z][a-z0-9_]*", "an app's label"), metavar="APP", help="the app's label: flags")
NAME = option("name", type=matching("[a-z0-9_]+", "a migration's name"), metavar="NAME", help="0001_initial")


@command("migrations", TROUBLESHOOT, "List applied migrations, the newest first", LIMIT, JSON)
def history(asked: argparse.Namespace) -> None:
    # Not as ops: the table is the application's, and reading it may evaluate what its owner has created.
    rows = psql.rows("migrations", role="readonly", limit=str(asked.limit))
    show(rows, asked.json, empty="no migration is applied yet: ./scripts/ops migrations apply")


@command("migrations state", TROUBLESHOOT, "List every migration of the app: [X] applied, [ ] not applied")
def state(asked: argparse.Namespace) -> int:
    return manage("showmigrations")


@command("migrations plan", TROUBLESHOOT, "Show what `migrations apply` would do")
def plan(asked: argparse.Namespace) -> int:
    return manage("migrate", "--plan")


@command("migrations apply", TROUBLESHOOT, "Apply missing migrations and load the countries, as every start does")
def apply(asked: argparse.Namespace) -> int:
    return attach()


@command("migrations fake", TROUBLESHOOT, "Record a migration as applied without running it", APP, NAME, YES)
def fake(asked: argparse.Namespace) -> int:
    """Only for a database that has the migration's changes already; otherwise the application fails, now or with the
    next migration. A NAME before the newest applied one records the later ones as not applied."""
    status = manage("migrate", "--plan", asked.app, asked.name)
    if status:
        return status
    confirm(
        "The migrations above will be recorded as applied (after 'Undo': as not applied) and NOT be run. If the "
        "database does not have their changes, the application fails.",
        asked.yes,
    )
    return manage("migrate", "--fake", asked.app, asked.name)


def manage(*words: str) -> int:
    """Django's manage.py, directly at PostgreSQL, as the role that may migrate; its exit status."""
    return attach("python", "manage.py", *words)


def attach(*words: str) -> int:
    """The service `migrate`, on this terminal: with these words, or as every start of the stack runs it."""
    status = containers.attach(docker.run_in("migrate", *words))
    if status:
        containers.require_engine()
    return status
