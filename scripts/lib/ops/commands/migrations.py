"""Django's migrations: making, what is applied, what would be, applying and faking."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from ops import containers, docker, psql
from ops.cli import JSON, LIMIT, TROUBLESHOOT, YES, command, option
from ops.output import note, show_first
from ops.prompt import confirm
from user_errors import UserError


def matching(pattern: str, what: str) -> type:
    """An argparse type: text that matches the whole pattern."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
        return text

    return check  # type: ignore[return-value]


APP = option("app", type=matching("[a-z][a-z0-9_]*", "an app's label"), metavar="APP", help="the app's label: flags")
ANY_APP = option(
    "app", nargs="?", type=matching("[a-z][a-z0-9_]*", "an app's label"), metavar="APP",
    help="only this app's (default: all with changes)",
)  # fmt: skip
CALLED = option(
    "--name", type=matching("[a-z0-9_]+", "a migration's name"), metavar="NAME",
    help="its name, after the number (default: Django's choice)",
)  # fmt: skip
EMPTY = option("--empty", action="store_true", help="one without operations, to write by hand; needs APP")
SOURCE = "/checkout"  # beside /code, which is read-only
NAME = option("name", type=matching("[a-z0-9_]+", "a migration's name"), metavar="NAME", help="0001_initial")


@command("migrations", TROUBLESHOOT, "List applied migrations, the newest first", LIMIT, JSON)
def history(asked: argparse.Namespace) -> None:
    # Not as ops: the table is the application's, and reading it may evaluate what its owner has created.
    rows = psql.rows("migrations", role="readonly", limit=str(asked.limit + 1))
    show_first(rows, asked.limit, asked.json, empty="no migration is applied yet: ./scripts/ops migrations apply")


@command("migrations state", TROUBLESHOOT, "List every migration of the app: [X] applied, [ ] not applied")
def state(asked: argparse.Namespace) -> int:
    return manage("showmigrations")


@command(
    "migrations make", TROUBLESHOOT, "Make migrations for changed models (development only)", ANY_APP, CALLED, EMPTY
)
def make(asked: argparse.Namespace) -> int:
    """Django's makemigrations, on the checkout. The files belong to you; when root runs it, to the owner of ./app."""
    if containers.environment_of("migrate")["DEPLOYMENT"] != "development":
        raise UserError(
            "this deployment is production, which applies migrations of a release",
            "make it in a development checkout, commit it, and deploy the new version",
        )
    if asked.empty and not asked.app:
        raise UserError("--empty needs an app", "./scripts/ops migrations make APP --empty")
    source = Path("app").resolve()
    if not os.access(source, os.W_OK):
        raise UserError(f"{source} is not writable for you", "run it as the owner of the checkout")
    user, group = owner(source, rootless=is_rootless())
    # no byte code: it would be the checkout's
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    options = ("--user", f"{user}:{group}", "--volume", f"{source}:{SOURCE}", "--workdir", SOURCE)
    tty = containers.is_terminal()
    words = ["makemigrations", *filter(None, [asked.app]), *(["--name", asked.name] if asked.name else [])]
    words += [*(["--empty"] if asked.empty else []), *([] if tty else ["--no-input"])]
    argv = docker.run_in("migrate", "python", "manage.py", *words, environment=environment, options=options, tty=tty)
    status = containers.attach(argv)
    if status:
        containers.require_engine()
    else:
        note("next: ./scripts/ops migrations plan; ./scripts/ops migrations apply")
    return status


def owner(source: Path, *, rootless: bool) -> tuple[int, int]:
    """User and group, in the container, that are the developer on this machine."""
    if rootless:
        return 0, 0
    if os.getuid():
        return os.getuid(), os.getgid()
    return source.stat().st_uid, source.stat().st_gid


def is_rootless() -> bool:
    """Whether the engine is rootless: its containers' root is the user of this machine who started it."""
    return "name=rootless" in containers.run(["docker", "info", "--format", "{{.SecurityOptions}}"], quiet=True)


@command("migrations plan", TROUBLESHOOT, "Show what `migrations apply` would do, and refuse")
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
