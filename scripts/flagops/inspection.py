"""Section 2: what is in the database, and who uses it."""

from typing import Annotated

import typer

from flagops import catalog, database
from flagops.cli import INSPECTION, command
from flagops.database import connect, rows
from flagops.output import Json, show, show_parts
from flagops.queries import load

TableName = Annotated[
    str, typer.Argument(metavar="TABLE", help="A table's name, as it is; schema.name outside public.")
]


@command(INSPECTION)
def tables(json: Json = False) -> None:
    """The tables and views, with their owner, rows and size."""
    with connect() as connection:
        show(rows(connection, load("tables")), json, empty="there are no tables yet: ./scripts/ops migrations plan")


@command(INSPECTION)
def describe(table: TableName, json: Json = False) -> None:
    """A table's columns, constraints, indexes and foreign keys."""
    with connect() as connection:
        found = catalog.table(connection, table)
        listings = {
            name: rows(connection, load(name), table=found.oid)
            for name in ("columns", "constraints", "indexes", "foreign_keys")
        }
    show_parts(
        {
            "columns": (f"{found.schema}.{found.name}, {found.kind}", listings["columns"], "it has no columns."),
            "constraints": ("constraints", listings["constraints"], "none."),
            "indexes": ("indexes", listings["indexes"], "none."),
            "foreign_keys": ("foreign keys, out and in", listings["foreign_keys"], "none."),
        },
        json,
    )


@command(INSPECTION)
def indexes(
    table: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Of this table only.")] = None,
    json: Json = False,
) -> None:
    """The indexes of a table, or of all: definition, size, use, validity."""
    with connect() as connection:
        oid = catalog.table(connection, table).oid if table else ""
        found = rows(connection, load("indexes"), table=oid)
    show(found, json, empty=f"{table} has no indexes." if table else "there are no indexes.")


@command(INSPECTION)
def foreign_keys(table: TableName, json: Json = False) -> None:
    """What a table refers to, and who refers to it."""
    with connect() as connection:
        found = rows(connection, load("foreign_keys"), table=catalog.table(connection, table).oid)
    show(found, json, empty=f"{table} refers to no table, and none refers to it.")


@command(INSPECTION)
def sizes(json: Json = False) -> None:
    """How big the tables are: heap, indexes, TOAST; and the database."""
    with connect() as connection:
        show(rows(connection, load("sizes")), json, empty="there are no tables yet.")


@command(INSPECTION)
def databases(json: Json = False) -> None:
    """The databases: owner, encoding, size, sessions."""
    with connect() as connection:
        show(rows(connection, load("databases")), json, empty="there are no databases.")


@command(INSPECTION)
def roles(json: Json = False) -> None:
    """The roles: attributes, limits, memberships, settings."""
    with connect() as connection:
        show(rows(connection, load("roles")), json, empty="there are no roles.")


@command(INSPECTION)
def connections(json: Json = False) -> None:
    """Who is connected: the server's sessions and the pooler's pools."""
    with connect() as connection:
        sessions = rows(connection, load("connections"))
    with database.pooler() as pooler:
        wanted = (
            "database",
            "user",
            "pool_mode",
            "cl_active",
            "cl_waiting",
            "sv_active",
            "sv_idle",
            "sv_used",
            "maxwait",
        )
        pools = [
            {key: row[key] for key in wanted}
            for row in pooler.execute("SHOW POOLS").fetchall()
            if row["database"] != "pgbouncer"
        ]
    show_parts(
        {
            "server": ("PostgreSQL: sessions", sessions, "nobody is connected to this database."),
            "pooler": (
                "PgBouncer: pools (cl: clients, sv: server connections, maxwait: seconds)",
                pools,
                "no pool was used yet.",
            ),
        },
        json,
    )
