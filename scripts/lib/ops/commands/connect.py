"""psql, connection strings, the CA's certificate."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import quote

from ops import containers, docker
from ops.cli import CONNECT, Option, command, flag, option
from ops.output import note, say
from user_errors import OperationError, UserError

CA = "/tls/ca.crt"


def as_role(default: str) -> Option:
    """The option --as."""
    return option(
        "--as", dest="role", choices=("ops", "readonly", "migrator", "app"), default=default,
        help=f"the role (default: {default}); ops reads everything and changes nothing, migrator acts as the owner",
    )  # fmt: skip


@command(
    "psql", CONNECT, "Open psql, or run it with its own options: psql -c 'SELECT 1'",
    as_role("ops"),
    flag("--pooled", help="through PgBouncer, as the application connects (readonly, app)"),
    option("arguments", nargs=argparse.REMAINDER, metavar="…", help="psql's own arguments"),
)  # fmt: skip
def psql(asked: argparse.Namespace) -> int:
    """It is the server's own version, in a container; -f - reads a script from standard input."""
    words = docker.verb("psql", {"role": asked.role, "pooled": asked.pooled, "arguments": asked.arguments})
    return containers.attach(docker.run_in("ops", *words, tty=containers.is_terminal()))


@command(
    "url", CONNECT, "Print this stack's connection string, with TLS that verifies the server",
    as_role("app"),
    flag("--pooled", help="through PgBouncer instead of directly to the server"),
    option("--from", dest="origin", choices=("host", "network"),
           help="for a client on this machine (development), or in a container"),
    option("--ca", metavar="FILE", default="", help="where the client finds the CA's certificate"),
    flag("--show-password", help="with the password in production too"),
)  # fmt: skip
def url(asked: argparse.Namespace) -> None:
    deployment = containers.environment_of("ops")
    development = deployment["DEPLOYMENT"] == "development"
    origin = asked.origin or ("host" if development else "network")
    if origin == "host" and not development:
        raise UserError(
            "production publishes no database port: no connection string works on this machine",
            "./scripts/ops url --from network, or ./scripts/ops psql",
            status=OperationError.status,
        )
    ca = asked.ca or ("ca.crt" if origin == "host" else CA)
    password = secret(asked.role) if development or asked.show_password else ""
    say(connection_string(deployment, asked.role, password, asked.pooled, origin, ca))
    if origin == "host" and not asked.ca:
        note("ca.crt: ./scripts/ops ca >ca.crt")


def connection_string(deployment: dict[str, str], role: str, password: str, pooled: bool, origin: str, ca: str) -> str:
    """A URI (PostgreSQL 17 docs, 34.1.1.2). `deployment` is the environment of the service ops."""
    name = deployment["APP_ROLE"] if role == "app" else f"flaglearning_{role}"
    host, port, published = ("pgbouncer", "6432", "PGBOUNCER_PORT") if pooled else ("postgres", "5432", "POSTGRES_PORT")
    address = f"localhost:{deployment[published]}" if origin == "host" else f"{host}:{port}"
    login = f"{name}:{quote(password, safe='')}" if password else name
    return f"postgresql://{login}@{address}/{deployment['APP_DATABASE']}?sslmode=verify-full&sslrootcert={quote(ca)}"


def secret(role: str) -> str:
    """A role's password. While it is being changed the file has two lines: both are accepted, the last one stays."""
    file = Path(containers.config()["secrets"][f"{role}_password"]["file"])
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line]
    except OSError as error:
        raise OperationError(
            f"the secret {file.name} can't be read", f"run the command as a user who may read {file.parent}", str(error)
        ) from None
    if not lines:
        raise OperationError(f"the secret {file.name} is empty", "./scripts/secrets new makes secrets")
    return lines[-1]


@command("ca", CONNECT, "Print the certificate of the CA that signed the servers' certificates")
def ca(asked: argparse.Namespace) -> None:
    say(containers.run(docker.run_in("ops", CA, entrypoint="cat")).rstrip())
