"""What is in the database, and which sessions use it."""

from __future__ import annotations

import argparse

from ops import catalog, pooler, psql
from ops.cli import INSPECT, JSON, command, option
from ops.listings import Listing, declare
from ops.output import note, show, show_parts
from user_errors import OperationError

TABLE = option("table", metavar="TABLE", help="a table's name; SCHEMA.NAME outside public")
POOL_COLUMNS = (
    "database", "user", "pool_mode", "cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "maxwait",
)  # fmt: skip

declare(
    Listing(
        "tables", INSPECT, "List tables and views with owner, rows and size",
        empty="no tables exist yet: ./scripts/ops migrations plan",
    ),
    Listing("sizes", INSPECT, "Show the size of each table (heap, indexes, TOAST) and of the database"),
    Listing("databases", INSPECT, "List databases with owner, encoding, size and sessions", empty="no databases exist"),
    Listing("roles", INSPECT, "List roles with attributes, limits, memberships and settings", empty="no roles exist"),
)  # fmt: skip


@command("describe", INSPECT, "Describe a table: columns, constraints, indexes and foreign keys", TABLE, JSON)
def describe(asked: argparse.Namespace) -> None:
    found = catalog.table(asked.table)
    parts = psql.several("columns", "constraints", "indexes", "foreign_keys", table=found.oid)
    titles = {
        "columns": (f"{found.full_name}, {found.kind}", "no columns"),
        "constraints": ("constraints", "none"),
        "indexes": ("indexes", "none"),
        "foreign_keys": ("foreign keys, out and in", "none"),
    }
    show_parts({name: (title, parts[name], empty) for name, (title, empty) in titles.items()}, asked.json)


@command(
    "indexes", INSPECT, "List indexes with definition, size, use and validity",
    option("table", nargs="?", metavar="TABLE", help="only of this table"), JSON,
)  # fmt: skip
def indexes(asked: argparse.Namespace) -> None:
    oid = catalog.table(asked.table).oid if asked.table is not None else ""
    found = psql.rows("indexes", table=oid)
    show(found, asked.json, empty=f"{asked.table} has no indexes" if oid else "no indexes exist")


@command("foreign-keys", INSPECT, "List a table's foreign keys, and those of other tables to it", TABLE, JSON)
def foreign_keys(asked: argparse.Namespace) -> None:
    found = psql.rows("foreign_keys", table=catalog.table(asked.table).oid)
    show(found, asked.json, empty=f"{asked.table} refers to no table, and no table refers to it")


@command("connections", INSPECT, "List the server's sessions and the pooler's pools", JSON)
def connections(asked: argparse.Namespace) -> None:
    sessions = psql.rows("connections")
    show_parts(
        {
            "server": ("PostgreSQL: sessions", sessions, "no other session is connected to this database"),
            "pooler": (
                "PgBouncer: pools (cl: clients, sv: server connections, maxwait: seconds)",
                pools(),
                "no pool is in use",
            ),
        },
        asked.json,
    )


def pools() -> list[psql.Row]:
    """The pooler's pools; none, and a note, where no pooler runs (it may be on the application's hosts)."""
    try:
        found = pooler.show("POOLS")
    except OperationError as error:
        note(error.what)
        return []
    return [{key: row[key] for key in POOL_COLUMNS} for row in found if row["database"] != "pgbouncer"]
