"""Section 8, "password authentication failed": a new password for a role.

The work is the host's (scripts/flagops/on-host.sh: secret files and containers are there). From here come the
password itself and the proof: afterwards the new one lets in, and the old one doesn't.
"""

import secrets
import string
import sys
from typing import Annotated, cast

import typer

from flagops import catalog, stack
from flagops.cli import TROUBLE, group
from flagops.database import connect, pooler, through_the_pooler
from flagops.errors import Refused, Status
from flagops.output import say

LENGTH = 40
ROLES = (*stack.ROLES, "pgbouncer")

password = group(
    TROUBLE, "password", "Give a role a new password: server, pooler, secret file and services, in one step."
)
Role = Annotated[str, typer.Argument(metavar="ROLE", help=" | ".join(ROLES))]


@password.command("reset")
def reset_password(
    role: Role,
    prompt: Annotated[
        bool,
        typer.Option("--prompt", help="Ask for it (or read it from standard input) instead of making a random one."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Don't ask. Also: yes, change development's public file in git.")
    ] = False,
) -> None:
    """A new password for a role. The services go on working; the old one is refused from then on."""
    known(role)
    raise Refused("secret files are the host's.", "run it as ./scripts/ops password reset ROLE", status=Status.USAGE)


@password.command("make", hidden=True)
def make(role: Role, prompt: bool = False) -> None:
    """Print a new password that the role can have."""
    known(role)
    if not prompt:
        print("".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(LENGTH)))
        return
    typed = (
        typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().rstrip("\r\n")
    )
    if not (typed and typed.isascii() and typed.isprintable()):
        raise Refused(
            "a password is one or more printable ASCII characters.",
            "leave --prompt out for a random one",
            status=Status.USAGE,
        )
    print(typed)


@password.command("prove", hidden=True)
def prove(role: Role) -> None:
    """The secret's password lets in; the one on standard input doesn't."""
    known(role)
    old = sys.stdin.readline().rstrip("\n")
    if role == "pgbouncer":
        with pooler() as console:
            console.execute("RECONNECT")
        with through_the_pooler("app") as connection:  # the pooler has to look the application's verifier up
            connection.execute("SELECT 1")
        say("the pooler looks passwords up with the new one.")
        return
    short = cast(stack.Short, role)
    database = "postgres" if short == "ops" else ""
    with connect(short, database):
        pass
    if short in ("app", "readonly"):  # the pooler logs in with what it learns from a client's login
        with through_the_pooler(short) as connection:
            connection.execute("SELECT 1")
    if old and old != stack.password(short) and stack.accepts(short, old, database):
        raise Refused(f"the server still accepts the old password of {role}.", "./scripts/ops setup apply")
    say(f"{stack.role_name(short)} logs in with the new password; the old one is refused.")


def known(role: str) -> None:
    """Raises Refused for a role that has no password here."""
    if role == "postgres":
        raise Refused(
            "the superuser has no way in with a password.",
            "it logs in through the server's socket only (pg/pg_hba.conf)",
            status=Status.USAGE,
        )
    if role not in ROLES:
        raise catalog.not_found("role with a password", role, list(ROLES), "./scripts/ops roles")
