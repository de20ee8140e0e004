"""The superuser's session: through the socket, as the server's own user (peer). From nowhere else.

A name in a statement means PostgreSQL's own object, whatever another role has created: search_path is pg_catalog,
pg_temp (PostgreSQL 17 docs, 5.10.6), set at connection start, above any setting of a database or a role. Row security
is off: a policy that would be evaluated is an error instead.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from user_errors import OperationError, Status

# In a cluster, PGHOST names each member's, and PGTARGETSESSIONATTRS lets libpq choose the primary's.
SOCKET = os.environ.get("PGHOST", "/run/postgresql")
SAFE_PATH = "search_path=pg_catalog,pg_temp"
# pgaudit: what is done every few seconds, or at every start, would drown the audit log. A database's own settings
# (ALTER DATABASE … SET) are overridden by these.
SETTINGS = (
    SAFE_PATH,
    "row_security=off",
    "role=none",
    "timezone=UTC",
    "statement_timeout=0",
    "lock_timeout=0",
    "transaction_timeout=0",
    "idle_in_transaction_session_timeout=0",
    "idle_session_timeout=0",
    "local_preload_libraries=",
    "client_encoding=UTF8",
    "standard_conforming_strings=on",
    "quote_all_identifiers=off",
    "default_transaction_read_only=off",
    "default_transaction_isolation=read\\ committed",
    "event_triggers=off",
    "pgaudit.log=none",
    "DateStyle=ISO",
    "IntervalStyle=postgres",
    "extra_float_digits=1",
    "bytea_output=hex",
    "lc_monetary=C",
)
OPTIONS = " ".join(f"-c {setting}" for setting in SETTINGS)
# What only a superuser may set.
SUPERUSER_SETTINGS = ("event_triggers=", "pgaudit.")
# Read-only: planning a query on a table evaluates constant expressions of its indexes and statistics, under any role.
READ_ONLY = "-c default_transaction_read_only=on"
OPTIONS_OF_OTHERS = " ".join(
    [*(f"-c {setting}" for setting in SETTINGS if not setting.startswith(SUPERUSER_SETTINGS)), READ_ONLY]
)

Row = dict[str, Any]


def primary_socket() -> str:
    """The one host of SOCKET whose server is the primary. Raises OperationError.

    A session for a database that was created a moment ago must name it: libpq tries the hosts in turn, and gives up at
    a standby that has not replayed the CREATE DATABASE yet (PostgreSQL 17 docs, 32.1.1.3).
    """
    if "," not in SOCKET:
        return SOCKET
    with connect() as found:
        return found.connection.info.host


@contextlib.contextmanager
def connect(
    database: str = "postgres", host: str = SOCKET, user: str = "postgres", name: str = "pgadmin"
) -> Iterator["Session"]:
    """A session in autocommit mode, with rows as dictionaries. Raises OperationError when it can't connect."""
    options = OPTIONS if user == "postgres" else OPTIONS_OF_OTHERS
    if host == SOCKET and database != "postgres":
        host = primary_socket()
    try:
        connection = psycopg.connect(
            host=host, user=user, dbname=database, application_name=name, options=options, connect_timeout=5,
            autocommit=True, row_factory=dict_row, cursor_factory=psycopg.ClientCursor,
        )  # fmt: skip
    except psycopg.OperationalError as error:
        raise OperationError(
            "PostgreSQL can't be reached", "docker compose up --wait postgres", " ".join(str(error).split()),
            Status.CANNOT_CONNECT,
        ) from None  # fmt: skip
    try:
        yield Session(connection)
    finally:
        connection.close()


class Session:
    """`session.rows("SELECT %s AS x", 1)` → [{"x": 1}]"""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self.connection = connection

    def rows(self, query: LiteralString | sql.Composed, *values: Any) -> list[Row]:
        """What a query with %s for values finds."""
        cursor = self.connection.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []

    def row(self, query: LiteralString | sql.Composed, *values: Any) -> Row:
        """The one row that it finds."""
        [found] = self.rows(query, *values)
        return found

    def run(self, statement: LiteralString, *names: str, **literals: str) -> None:
        """A statement with {} for names and {x} for literals."""
        quoted = {key: sql.Literal(value) for key, value in literals.items()}
        self.connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names), **quoted))


def is_there(host: str = SOCKET) -> bool:
    """Whether a server answers, even if it admits no session yet."""
    try:
        psycopg.connect(host=host, user="postgres", dbname="postgres", connect_timeout=5, options=OPTIONS).close()
    except psycopg.OperationalError as error:
        return "No such file" not in str(error) and "Connection refused" not in str(error)
    return True
