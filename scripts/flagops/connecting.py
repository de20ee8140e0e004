"""The quick reference: psql, and connection strings."""

import os
from typing import Annotated, Literal
from urllib.parse import quote

import typer

from flagops import stack
from flagops.cli import QUICK, command
from flagops.errors import Refused
from flagops.output import note, say

As = Annotated[
    stack.Short,
    typer.Option("--as", help="The role: ops reads everything and changes nothing; migrator owns the tables."),
]


@command(
    QUICK, context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
)
def psql(
    context: typer.Context,
    role: As = "ops",
    pooled: Annotated[
        bool, typer.Option("--pooled", help="Through PgBouncer, as the application (readonly, app).")
    ] = False,
) -> None:
    """psql of the server's own version; what follows is psql's: psql -c 'SELECT 1', psql -l, psql -f - <file.sql."""
    environment = stack.client_environment(role, door=stack.PGBOUNCER if pooled else stack.POSTGRES)
    # psql keeps its history on the tmpfs; less: no line is wrapped, a short result needs no key.
    environment |= {"PSQL_HISTORY": "/tmp/.psql_history", "PSQL_PAGER": "less -SFX"}  # noqa: S108
    os.execvpe("psql", ["psql", *context.args], environment)  # noqa: S606 - its exit status is ours


@command(QUICK)
def url(
    role: As = "app",
    pooled: Annotated[bool, typer.Option("--pooled/--direct", help="PgBouncer, or the server itself.")] = False,
    seen_from: Annotated[
        Literal["host", "network"],
        typer.Option("--from", help="Your machine (development publishes ports), or a container."),
    ] = "host" if stack.IS_DEVELOPMENT else "network",
    ca: Annotated[str, typer.Option(help="Where the client finds the CA's certificate.")] = "",
    show_password: Annotated[bool, typer.Option("--show-password", help="Production too: with the password.")] = False,
) -> None:
    """This stack's connection string, with TLS that verifies whom it talks to."""
    if seen_from == "host" and not stack.IS_DEVELOPMENT:
        raise Refused(
            "production publishes no database port: there is no connection string for this machine.",
            "./scripts/ops url --from network, or ./scripts/ops psql",
        )
    door = stack.PGBOUNCER if pooled else stack.POSTGRES
    address = f"localhost:{door.published_port}" if seen_from == "host" else f"{door.host}:{door.port}"
    ca = ca or ("ca.crt" if seen_from == "host" else str(stack.CA))
    secret = f":{quote(stack.password(role), safe='')}" if stack.IS_DEVELOPMENT or show_password else ""
    say(
        f"postgresql://{stack.role_name(role)}{secret}@{address}/{stack.APP_DATABASE}?sslmode=verify-full&sslrootcert={quote(ca)}"
    )
    if seen_from == "host" and ca == "ca.crt":
        note("ca.crt: ./scripts/ops ca >ca.crt")


@command(QUICK)
def ca() -> None:
    """The certificate of the CA that signed the servers': a client needs it to verify them."""
    say(stack.CA.read_text().rstrip())
