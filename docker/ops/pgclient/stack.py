"""The stack as this container sees it: its servers, its roles, their secrets.

DEPLOYMENT      development | production; anything else, or nothing, counts as production
APP_DATABASE    the application's database
APP_ROLE        the role that the application logs in as
ALLOWED_HOSTS   the names that the application answers to
INSTANCE        `sandbox`: the instance of that name instead of the server; it shows the server's certificate
SECRETS         the folder of the secrets (/run/secrets)
CA              the certificate of the CA that signed the servers' (/tls/ca.crt)
"""

import os
import socket
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import psycopg

import host_names
import secret_files
from user_errors import OperationError, Status

RoleKey = Literal["ops", "readonly", "migrator", "app"]
ROLES: tuple[RoleKey, ...] = get_args(RoleKey)

DEPLOYMENT = os.environ.get("DEPLOYMENT", "production")
IS_DEVELOPMENT = DEPLOYMENT == "development"
APP_DATABASE = os.environ.get("APP_DATABASE", "flaglearning_prod")
APP_ROLE = os.environ.get("APP_ROLE", "flaglearning_prod")
SITE_NAME = host_names.first(os.environ.get("ALLOWED_HOSTS", ""))
SECRETS = Path(os.environ.get("SECRETS", "/run/secrets"))
CA = Path(os.environ.get("CA", "/tls/ca.crt"))
OWNER = "flaglearning_owner"


class Endpoint(NamedTuple):
    """Where a server listens on the containers' network."""

    host: str
    port: int
    at: str = ""  # another host, which shows the same certificate


SANDBOX = Endpoint("postgres", 5432, "sandbox")
POSTGRES = Endpoint("postgres", 5432, os.environ.get("INSTANCE", ""))
PGBOUNCER = Endpoint("pgbouncer", 6432)


def role_name(role: RoleKey) -> str:
    """The server's name of a role; the application's depends on the deployment."""
    return APP_ROLE if role == "app" else f"flaglearning_{role}"


def passwords(role: RoleKey) -> list[str]:
    """The role's passwords, from its secret file: two while the password is being changed, and a login tries both."""
    path = SECRETS / f"{role}_password"
    try:
        return secret_files.candidates(path.read_text()) or [""]
    except OSError as error:
        raise OperationError(
            f"the secret {path.name} can't be read",
            "ls -ld $SECRETS_DIR; ./scripts/secrets new completes a folder of secrets (docs/production.md)",
            str(error),
        ) from None


def password(role: RoleKey) -> str:
    """The one that the server accepts."""
    *changing, newest = passwords(role)
    return next((candidate for candidate in changing if accepts(role, candidate)), newest)


def accepts(role: RoleKey, candidate: str, database: str = "") -> bool:
    """Whether the server lets the role in with that password."""
    try:
        psycopg.connect(**parameters(role, database), password=candidate).close()  # type: ignore[arg-type]
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            return False
        raise
    return True


def parameters(role: RoleKey = "ops", database: str = "", endpoint: Endpoint = POSTGRES) -> dict[str, str]:
    """libpq's parameters for a role, without its password: verify-full, always."""
    return {
        **({"hostaddr": address_of(endpoint.at)} if endpoint.at else {}),
        "host": endpoint.host,
        "port": str(endpoint.port),
        "dbname": database or APP_DATABASE,
        "user": role_name(role),
        "sslmode": "verify-full",
        "sslrootcert": str(CA),
        "connect_timeout": "5",
        "application_name": "ops",
    }


def address_of(host: str) -> str:
    """Its address on the containers' network."""
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise OperationError(
            f"there is no {host} instance",
            "./scripts/ops restore backup --latest --sandbox",
            str(error),
            Status.CANNOT_CONNECT,
        ) from None


def client_environment(role: RoleKey = "ops", database: str = "", endpoint: Endpoint = POSTGRES) -> dict[str, str]:
    """The environment for a client tool (psql, pg_dump …). The password goes into a file of libpq's own format, on the
    container's tmpfs, mode 0600: an environment variable or an argument would show in `docker inspect` or `ps`.
    """
    names = {"dbname": "PGDATABASE", "application_name": "PGAPPNAME"}
    variables = {
        names.get(key, "PG" + key.upper()): value for key, value in parameters(role, database, endpoint).items()
    }
    passfile = Path("/tmp") / f".pgpass-{role}"  # noqa: S108 - this container's own tmpfs
    escaped = password(role).replace("\\", "\\\\").replace(":", "\\:")
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:*:{role_name(role)}:{escaped}\n")
    return {**os.environ, **variables, "PGPASSFILE": str(passfile)}


def renewal() -> str:
    """The command that renews the servers' certificates."""
    if IS_DEVELOPMENT:
        return "docker compose run --rm certificates && docker compose restart proxy pgbouncer postgres"
    return "./scripts/secrets new renews them, then reload (docs/production.md); on Ansible hosts: site.yml"
