"""Section 6, doing: VACUUM, ANALYZE, REINDEX, as flaglearning_ops: it may maintain every table and change none."""

import time
from typing import Annotated, LiteralString

import psycopg
import typer
from psycopg import sql

from flagops import catalog, stack
from flagops.ask import DryRun, Yes, confirm
from flagops.catalog import Relation
from flagops.cli import MAINTENANCE, command
from flagops.database import WORKING, Connection, Row, connect, identifier, rows
from flagops.errors import Refused, Status
from flagops.output import note, say, size
from flagops.queries import load

AnyTable = Annotated[str | None, typer.Argument(metavar="[TABLE]", help="This table; all of them without.")]
# Whoever waits for an ACCESS EXCLUSIVE lock makes everybody behind it wait: give up soon.
IMPATIENT = {"statement_timeout": "0", "lock_timeout": "5s"}
SUPERUSER = f"docker compose run --rm --no-deps --entrypoint psql roles -U postgres -d {stack.APP_DATABASE}"


@command(MAINTENANCE)
def vacuum_analyze(table: AnyTable = None) -> None:
    """VACUUM ANALYZE: free dead rows for reuse, refresh the planner's statistics. Nobody waits for it."""
    maintain("VACUUM (ANALYZE)", table)


@command(MAINTENANCE)
def analyze(table: AnyTable = None) -> None:
    """ANALYZE: refresh the planner's statistics. Nobody waits for it."""
    maintain("ANALYZE", table)


@command(MAINTENANCE)
def vacuum_full(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table to rewrite.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """VACUUM FULL: give a table's free space back to the disk. Everybody who needs the table waits until it is done."""
    with connect(settings=IMPATIENT) as connection:
        found = stored(catalog.table(connection, table))
        before = size_of(connection, found)
        consequence = (
            f"{found.full_name} ({size(before)}) will be rewritten. Until that is done nobody can read or write it "
            f"(ACCESS EXCLUSIVE), and up to {size(before)} more are needed on the disk."
        )
        if dry_run:
            say(consequence)
            return
        confirm(consequence, yes)
        timed(connection, "VACUUM (FULL, ANALYZE)", found)
        say(f"freed: {size(before - size_of(connection, found))}")


@command(MAINTENANCE)
def reindex(
    name: Annotated[str | None, typer.Argument(metavar="[TABLE|INDEX]", help="What to rebuild.")] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Only drop what an interrupted REINDEX CONCURRENTLY left behind.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Rebuild a table's indexes, or one, CONCURRENTLY: everybody goes on working. Clean up what an earlier try left."""
    if (name is None) is not clean:
        raise Refused(
            "name a table or an index; or only clean up.",
            "./scripts/ops reindex TABLE, or ./scripts/ops reindex --clean",
            status=Status.USAGE,
        )
    with connect(settings=WORKING) as connection:
        clean_up(connection, yes, dry_run)
        if name is None:
            return
        found = catalog.find(
            connection, name, ("table", "materialized view", "index"), "table or index", "./scripts/ops indexes"
        )
        statement: LiteralString = (
            "REINDEX INDEX CONCURRENTLY" if found.kind == "index" else "REINDEX TABLE CONCURRENTLY"
        )
        if dry_run:
            say(f"{statement} {found.full_name}: nobody waits for it; it waits for the transactions that are open now.")
            return
        try:
            timed(connection, statement, found)
        except BaseException:
            after_an_interruption()
            raise


def after_an_interruption() -> None:
    """Whatever ended a REINDEX (ctrl-C, a deadlock, a duplicate key), a half-built index costs every later write."""
    try:
        with connect(settings=WORKING) as connection:
            clean_up(connection, yes=True, dry_run=False)
    except (Refused, psycopg.Error):
        note("its half-built indexes could not be dropped now; later: ./scripts/ops reindex --clean")


def clean_up(connection: Connection, yes: bool, dry_run: bool) -> None:
    """Drop the invalid …_ccnew and …_ccold that no REINDEX is working on; tell of invalid indexes with other names."""
    leftovers = []
    for row in rows(connection, load("invalid_indexes")):
        name = f"{row['schema']}.{row['name']}"
        if row["being_built_by"]:
            note(f"{name} is being built by the session {row['being_built_by']}: left alone.")
        elif row["leftover"] and row["schema"] == "pg_toast":
            note(f"{name} is left behind; only the superuser may drop it, through the door that the roles come in by:")
            note(f"{SUPERUSER} -c 'DROP INDEX {name}'")
        elif row["leftover"]:
            leftovers.append(row)
        else:
            note(
                f"{name} is invalid, but no leftover of a REINDEX: "
                f"./scripts/ops reindex {row['name']} makes it valid, a migration can drop it."
            )
    names = ", ".join(f"{row['schema']}.{row['name']} ({size(row['size_bytes'])})" for row in leftovers)
    if not leftovers:
        note("nothing is left behind by an interrupted REINDEX.")
    elif dry_run:
        say(f"would drop: {names}")
    else:
        confirm(f"These invalid indexes, left behind by an interrupted REINDEX, will be dropped: {names}", yes)
        drop(leftovers)


def drop(leftovers: list[Row]) -> None:
    """Only the owner may drop an index: as the migrator."""
    with connect("migrator", settings=WORKING) as owner:
        for row in leftovers:
            name = identifier(row["schema"], row["name"])
            owner.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
            say(f"dropped {row['schema']}.{row['name']}")


def maintain(statement: LiteralString, table: str | None) -> None:
    """Run it on a table, or on the whole database."""
    with connect(settings=WORKING) as connection:
        timed(connection, statement, stored(catalog.table(connection, table)) if table else None)


def timed(connection: Connection, statement: LiteralString, what: Relation | None) -> None:
    """Run a maintenance statement, say what and how long; pass on what the server warns of."""
    connection.add_notice_handler(lambda notice: note(f"{notice.severity}: {notice.message_primary}"))
    start = time.monotonic()
    name = sql.SQL(" ").join([sql.SQL(statement), *([identifier(what.schema, what.name)] if what else [])])
    connection.execute(name)
    say(f"{statement} {what.full_name if what else 'of the whole database'}: done in {time.monotonic() - start:.1f} s")


def stored(relation: Relation) -> Relation:
    """Refused for what stores no rows."""
    if relation.kind in ("view", "foreign table"):
        raise Refused(f"{relation.name} is a {relation.kind}: it stores no rows.", "./scripts/ops tables")
    return relation


def size_of(connection: Connection, relation: Relation) -> int:
    """Bytes of a table with its indexes and TOAST."""
    row = connection.execute("SELECT pg_catalog.pg_total_relation_size(%s::oid) AS size", [relation.oid]).fetchone()
    assert row
    return int(row["size"])
