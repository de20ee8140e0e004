"""Section 6, looking: what is slow, bloated, old, unused, missing."""

from typing import Annotated, Literal

import typer

from flagops import catalog
from flagops.ask import Yes, confirm
from flagops.cli import MONITORING, command
from flagops.database import Row, connect, rows
from flagops.output import Json, note, show, show_parts
from flagops.queries import load

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many rows at most.")]
ONE_LINE = 160


@command(MONITORING)
def slow_queries(
    order: Annotated[
        Literal["mean", "total", "max"], typer.Option(help="By the time of one call, of all, or of the slowest.")
    ] = "mean",
    limit: Limit = 10,
    full: Annotated[bool, typer.Option("--full", help="The statements in full.")] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget them: start counting anew (after a change, to compare).")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """The statements that take longest (pg_stat_statements)."""
    with connect() as connection:
        if reset:
            confirm("The statistics of all statements will be forgotten.", yes)
            connection.execute("SELECT pg_stat_statements_reset()")
            note("forgotten: counting starts now.")
            return
        found = rows(connection, load("slow_queries"), order=order, limit=str(limit))
    show(found if full or json else shortened(found), json, empty="no statement was counted yet.")


@command(MONITORING)
def bloat(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="Measure this one; it reads its indexes whole.")
    ] = None,
    json: Json = False,
) -> None:
    """Space that tables and indexes take beyond their need: estimated for all, measured for one."""
    with connect() as connection:
        if table:
            found = rows(connection, load("bloat_of_table"), table=catalog.table(connection, table).oid)
            show(found, json, empty=f"{table} stores no rows of its own.")
            return
        show_parts(
            {
                "tables": (
                    "tables (estimate, as of the last ANALYZE)",
                    rows(connection, load("table_bloat")),
                    "there are no tables yet.",
                ),
                "indexes": (
                    "B-tree indexes (estimate)",
                    rows(connection, load("index_bloat")),
                    "there are no indexes yet.",
                ),
            },
            json,
        )


@command(MONITORING)
def dead_rows(json: Json = False) -> None:
    """Dead rows, the last (auto)vacuum and (auto)analyze of each table, and the vacuums that run."""
    with connect() as connection:
        show_parts(
            {
                "tables": ("tables", rows(connection, load("vacuum")), "there are none yet."),
                "running": ("vacuums that run now", rows(connection, load("vacuum_running")), "none."),
            },
            json,
        )


@command(MONITORING)
def xid_age(json: Json = False) -> None:
    """How far databases and tables are from a forced vacuum, and from the end of their transaction ids."""
    listing("xid_age", json)


@command(MONITORING)
def cache(json: Json = False) -> None:
    """Cache hit rates of the database, its tables and their indexes."""
    listing("cache", json)


@command(MONITORING)
def unused_indexes(json: Json = False) -> None:
    """Indexes that nothing used since the statistics were reset."""
    listing("unused_indexes", json, empty="every index that no constraint needs was used.")


@command(MONITORING)
def duplicate_indexes(json: Json = False) -> None:
    """Indexes that another one makes unnecessary."""
    listing("duplicate_indexes", json, empty="no index repeats another.")


@command(MONITORING)
def missing_indexes(json: Json = False) -> None:
    """Foreign keys without an index, big tables that are mostly scanned."""
    listing("missing_indexes", json, empty="none: every foreign key has its index, and no big table is mostly scanned.")


def listing(query: str, json: bool, empty: str = "there are no tables yet.") -> None:
    """A query without variables, as it is."""
    with connect() as connection:
        show(rows(connection, load(query)), json, empty)


def shortened(found: list[Row]) -> list[Row]:
    """Statements on one line, cut: enough to know them by."""
    return [row | {"query": one_line(row["query"])} for row in found]


def one_line(query: str | None) -> str | None:
    """A statement on one line, cut to what identifies it."""
    line = " ".join((query or "").split())
    return (line if len(line) <= ONE_LINE else line[: ONE_LINE - 1] + "…") or None
