"""Connections to the server and to the pooler's console."""

from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from flagops import stack
from flagops.errors import Refused, Status
from flagops.queries import Query, bind

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

# A look never keeps the server busy for long, nor waits long behind a lock. Work (VACUUM, REINDEX) has no limit.
LOOKING = {"statement_timeout": "60s", "lock_timeout": "5s"}
WORKING = {"statement_timeout": "0", "lock_timeout": "0"}


def connect(role: stack.Short = "ops", database: str = "", settings: dict[str, str] | None = None) -> Connection:
    """A connection directly to the server, in autocommit mode, with rows as dictionaries.

    `settings` are for this session (LOOKING by default). Least privilege: pass `role` only when `ops` can't do it.
    """
    options = " ".join(f"-c {name}={value}" for name, value in (LOOKING if settings is None else settings).items())
    return _connect(role, {**stack.parameters(role, database), "options": options})


def pooler() -> Connection:
    """The pooler's console (SHOW …)."""
    return _connect("ops", stack.parameters("ops", "pgbouncer", stack.PGBOUNCER))


def at_scratch(role: stack.Short = "ops") -> Connection:
    """A connection to the scratch instance: a physical backup restored beside the stack."""
    return _connect(role, stack.parameters(role, door=stack.SCRATCH))


def through_the_pooler(role: stack.Short) -> Connection:
    """A connection as the application has it."""
    return _connect(role, stack.parameters(role, door=stack.PGBOUNCER))


def _connect(role: stack.Short, parameters: dict[str, str]) -> Connection:
    # A client cursor quotes values as psql does, and speaks the simple protocol, as PgBouncer's console does.
    keywords: dict[str, Any] = {"autocommit": True, "row_factory": dict_row, "cursor_factory": psycopg.ClientCursor}
    target = make_conninfo("", **parameters, password=stack.password(role))
    try:
        return psycopg.connect(target, **keywords)
    except psycopg.OperationalError as error:
        raise cannot_connect(error, parameters) from None


# What libpq or a server says → what happened, and what to type next. The first that fits.
WHY = {
    "resolve": ("the stack isn't running: there is no host '{host}'.", "docker compose up --wait (or ./scripts/up)"),
    "refused": ("{host} is there, but nothing listens.", "docker compose logs --tail 20 {host}"),
    "timeout": ("{host} doesn't answer.", "docker compose restart {host}"),
    "authentication failed": (
        "{host} doesn't accept the password of {user} that is in the secrets.",
        "./scripts/ops setup apply gives the roles the passwords of the secrets",
    ),
    "certificate": ("{host} shows a certificate that can't be trusted.", "./scripts/ops doctor"),
    "does not exist": ("{host} has no such database or role: '{dbname}', '{user}'.", "./scripts/ops databases"),
    "no such database": ("{host} has no such database: '{dbname}'.", "./scripts/ops databases"),
    "too many": ("{host} has no connection left.", "./scripts/ops connections"),
    "remaining connection slots": ("{host} has no connection left.", "./scripts/ops connections"),
    "starting up": ("{host} is starting.", "try again in a moment; ./scripts/ops doctor"),
    "shutting down": ("{host} is stopping.", "docker compose up --wait"),
    "pg_hba.conf": ("{host} lets nobody in as {user} to '{dbname}'.", "./scripts/ops doctor"),
}


def cannot_connect(error: psycopg.OperationalError, parameters: dict[str, str]) -> Refused:
    """Why a login failed, and what to do about it."""
    said = " ".join(str(error).split())
    unknown = ("{host} can't be reached.", "./scripts/ops doctor")
    what, hint = next((found for words, found in WHY.items() if words in said), unknown)
    return Refused(what.format(**parameters), hint.format(**parameters), said, Status.CANNOT_CONNECT)


def rows(connection: Connection, query: Query, **variables: str) -> list[Row]:
    """What a file of pg/queries/ finds, with its variables quoted as psql does."""
    return connection.execute(bind(query, variables), variables).fetchall()


def identifier(*names: str) -> sql.Identifier:
    """A quoted name, for a statement that takes no parameter there; it comes from the catalog, not from a person."""
    return sql.Identifier(*names)
