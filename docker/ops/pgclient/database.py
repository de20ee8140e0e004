"""Connections to the server and to the pooler.

Every session has search_path = pg_catalog, pg_temp: a name means PostgreSQL's own object, whatever another role made.
"""

from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from pgclient import stack
from pgclient.queries import Query, bind
from user_errors import OperationError, Status

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

# A look never keeps the server busy for long, nor waits long behind a lock. A load has no limit.
READ_TIMEOUTS = {"statement_timeout": "60s", "lock_timeout": "5s"}
NO_TIMEOUT = {"statement_timeout": "0", "lock_timeout": "0"}
# A session that waits for a lock in the way of others gives up after this; its work may take as long as it takes.
SHORT_LOCK_TIMEOUT = {"statement_timeout": "0", "lock_timeout": "10s"}
# row_security=off: a policy is an error, or passed by (BYPASSRLS), and never evaluated.
SAFE_PATH = {"search_path": "pg_catalog,pg_temp", "row_security": "off"}


def connect(role: stack.RoleKey = "ops", database: str = "", settings: dict[str, str] | None = None) -> Connection:
    """A connection directly to the server, in autocommit mode, with rows as dictionaries.

    `settings` are for this session (READ_TIMEOUTS by default). Pass `role` only when `ops` can't do it.
    """
    given = READ_TIMEOUTS if settings is None else settings
    return _connect(role, {**stack.parameters(role, database), "options": options(given)})


def pooler() -> Connection:
    """The pooler's console (SHOW …)."""
    return _connect("ops", stack.parameters("ops", "pgbouncer", stack.PGBOUNCER))


def at_sandbox(role: stack.RoleKey = "ops") -> Connection:
    """A connection to the sandbox instance: a backup restored beside the stack."""
    return _connect(role, {**stack.parameters(role, endpoint=stack.SANDBOX), "options": options({})})


def options(settings: dict[str, str]) -> str:
    """libpq's options for a session with the safe search_path and these settings."""
    return " ".join(f"-c {name}={value}" for name, value in (SAFE_PATH | settings).items())


def through_the_pooler(role: stack.RoleKey) -> Connection:
    """A connection as the application has it."""
    return _connect(role, stack.parameters(role, endpoint=stack.PGBOUNCER))


def _connect(role: stack.RoleKey, parameters: dict[str, str]) -> Connection:
    # A client cursor quotes values as psql does, and speaks the simple protocol, as PgBouncer's console does.
    keywords: dict[str, Any] = {"autocommit": True, "row_factory": dict_row, "cursor_factory": psycopg.ClientCursor}
    target = make_conninfo("", **parameters, password=stack.password(role))
    try:
        return psycopg.connect(target, **keywords)
    except psycopg.OperationalError as error:
        raise cannot_connect(error, parameters) from None


START = "docker compose up --wait (or ./scripts/up)"  # hosts of an inventory have no ./scripts/up
# What libpq or a server says → what happened, and what to type next. The first that fits.
WHY = {
    "resolve": ("the host {host} does not exist: the stack is not running", START),
    "refused": ("{host} refuses connections", "docker compose logs --tail 20 {host}"),
    "timeout": ("{host} does not answer", "docker compose restart {host}"),
    "authentication failed": (
        "{host} does not accept the password of {user} that is in the secrets",
        "./scripts/ops setup apply changes the server to match the secret files; or restore the previous file",
    ),
    "certificate": ("the certificate of {host} can't be verified", "./scripts/ops doctor"),
    "does not exist": ("{host} has no database {dbname} or no role {user}", "./scripts/ops databases"),
    "no such database": ("{host} has no database {dbname}", "./scripts/ops databases"),
    "too many": ("{host} has no connection left", "./scripts/ops connections"),
    "remaining connection slots": ("{host} has no connection left", "./scripts/ops connections"),
    "starting up": ("{host} is starting", "try again in a moment; ./scripts/ops doctor"),
    "shutting down": ("{host} is stopping", START),
    "pg_hba.conf": ("{host} does not admit {user} to {dbname}", "./scripts/ops doctor"),
}


def cannot_connect(error: psycopg.OperationalError, parameters: dict[str, str]) -> OperationError:
    """Why a login failed, and what to do about it."""
    said = " ".join(str(error).split())
    unknown = ("{host} can't be reached", "./scripts/ops doctor")
    what, hint = next((found for words, found in WHY.items() if words in said), unknown)
    return OperationError(what.format(**parameters), hint.format(**parameters), said, Status.CANNOT_CONNECT)


def rows(connection: Connection, query: Query, **variables: str) -> list[Row]:
    """What a file of pg/queries/ finds, with its variables quoted as psql does."""
    return connection.execute(bind(query, variables), variables).fetchall()


def identifier(*names: str) -> sql.Identifier:
    """A quoted name, for a statement that takes no parameter there; it comes from the catalog, not from a person."""
    return sql.Identifier(*names)
