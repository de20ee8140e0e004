"""What is slow, bloated, old, unused or missing."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta, timezone

from ops import catalog, psql
from ops.cli import JSON, LIMIT, MONITOR, YES, command, flag, option
from ops.listings import NO_TABLES, Listing, declare
from ops.output import duration, note, one_line, show, show_first, show_parts, timestamp
from ops.prompt import confirm


@command(
    "slow-queries", MONITOR, "List the statements that take longest (pg_stat_statements)",
    option("--order", choices=("mean", "total", "max"), default="mean",
           help="by the mean time of a call (default), the time of all calls, or the slowest call"),
    LIMIT,
    flag("--full", help="print each statement in full"),
    flag("--reset", help="discard the statistics and start again, to compare before and after a change"),
    YES, JSON,
)  # fmt: skip
def slow_queries(asked: argparse.Namespace) -> None:
    if asked.reset:
        confirm("The statistics of all statements will be discarded.", asked.yes)
        psql.execute("SELECT public.pg_stat_statements_reset(0::oid, 0::oid, 0::bigint, false);", dbname="postgres")
        note("discarded the statistics of all statements")
        return
    # In `postgres`, whose schema public is the superuser's: the view is the extension's for sure.
    found = psql.rows(
        "slow_queries", dbname="postgres", database=psql.app_database(), order=asked.order, limit=str(asked.limit + 1)
    )
    found = found if asked.full or asked.json else shortened(found)
    show_first(found, asked.limit, asked.json, empty="no statement is recorded yet")


@command(
    "bloat", MONITOR, "Estimate unused space in all tables and indexes, or measure one table's",
    option("table", nargs="?", metavar="TABLE", help="measure this table; its indexes are read as a whole"), JSON,
)  # fmt: skip
def bloat(asked: argparse.Namespace) -> None:
    if asked.table is not None:
        found = psql.rows("bloat_of_table", table=catalog.table(asked.table).oid)
        show(found, asked.json, empty=f"{asked.table} stores no rows of its own")
        return
    parts = psql.several("table_bloat", "index_bloat")
    show_parts(
        {
            "tables": ("tables (estimate, as of the last ANALYZE)", parts["table_bloat"], NO_TABLES),
            "indexes": ("B-tree indexes (estimate)", parts["index_bloat"], "no indexes exist yet"),
        },
        asked.json,
    )


@command("dead-rows", MONITOR, "List dead rows, the last vacuum and analyze of each table, and running vacuums", JSON)
def dead_rows(asked: argparse.Namespace) -> None:
    parts = psql.several("vacuum", "vacuum_running")
    show_parts(
        {
            "tables": ("tables", parts["vacuum"], NO_TABLES),
            "running": ("running vacuums", parts["vacuum_running"], "none"),
        },
        asked.json,
    )


declare(
    Listing("xid-age", MONITOR, "Show how far databases and the ten oldest tables are from transaction ID wraparound"),
    Listing("cache", MONITOR, "Show cache hit rates of the database, its tables and indexes"),
    Listing("duplicate-indexes", MONITOR, "List indexes that another index makes redundant", empty="none"),
    Listing(
        "missing-indexes", MONITOR, "List foreign keys without an index, and big tables that are mostly scanned",
        empty="none: every foreign key has its index, and no big table is mostly scanned",
    ),
)  # fmt: skip


YOUNG = timedelta(days=7)  # a weekly job has not run yet


@command("unused-indexes", MONITOR, "List indexes without a scan since the statistics were reset", JSON)
def unused_indexes(asked: argparse.Namespace) -> None:
    found = psql.rows("unused_indexes")
    show(found, asked.json, empty="every index that no constraint needs has been used")
    if found and (young := too_young(found[0]["since"])):
        note(young)


def too_young(since: str, now: datetime | None = None) -> str:
    """A warning when the statistics cover less time than an index may rest; else ''."""
    age = (now or datetime.now(timezone.utc)) - timestamp(since)
    if age >= YOUNG:
        return ""
    return f"the statistics cover {duration(age)} only: an index of a weekly job is not used yet"


def shortened(found: list[psql.Row]) -> list[psql.Row]:
    """Statements on one line, cut to what identifies them."""
    return [{**row, "query": one_line(row["query"])} for row in found]
