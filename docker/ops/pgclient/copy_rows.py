"""Replace the rows of tables by restored ones: all in one transaction of the target, or not at all.

The rows come from the staging database as they are stored, binary. The old ones are deleted and the new ones copied
before any foreign key is looked at: Django's are deferrable, and checked at the end. So a country that is referenced
may be replaced, and a backup that lacks one that is referenced is refused as a whole, with the name of the key.
"""

from typing import Any, LiteralString

from psycopg import errors as pg
from psycopg import sql

from pgclient.database import NO_TIMEOUT, SHORT_LOCK_TIMEOUT, Connection, Row, connect, identifier, rows
from pgclient.progress import step
from pgclient.queries import load
from pgclient.verbs import verb
from user_errors import OperationError, UserError

SEQUENCES = """
    SELECT s.oid::pg_catalog.regclass::text AS name, n.nspname::text AS schema, s.relname::text AS sequence
    FROM pg_catalog.pg_class AS s
    JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.oid
    WHERE s.relkind = 'S' AND d.deptype IN ('a', 'i') AND d.refobjid = %s"""


@verb("restore-rows")
def restore_rows(database: str, tables: list[str] | None = None, truncate: bool = False) -> dict[str, Any]:
    """Replace the application's rows by those of a staging database: {"rows": NUMBER}.

    `tables`: SCHEMA.TABLE names (None: all of the staging database). `truncate`: TRUNCATE instead of DELETE: readers
    wait, too.
    """
    with (
        connect(database=database, settings=NO_TIMEOUT) as source,
        connect("migrator", settings=SHORT_LOCK_TIMEOUT) as target,
    ):
        restored = [
            row
            for row in rows(source, load("stored_tables"))
            if tables is None or f"{row['schema']}.{row['name']}" in tables
        ]
        missing = set(tables or ()) - {f"{row['schema']}.{row['name']}" for row in restored}
        if missing:
            raise UserError(f"the dump has no table {', '.join(sorted(missing))}", "./scripts/ops dump list")
        with connect() as looking:
            pairs = matching(restored, rows(looking, load("stored_tables")))
        return {"rows": replace(source, target, pairs, "TRUNCATE" if truncate else "DELETE FROM")}


def matching(restored: list[Row], present: list[Row]) -> list[tuple[Row, Row]]:
    """Each restored table with the one that it replaces. Raises OperationError unless they have the same columns."""
    by_name = {(row["schema"], row["name"]): row for row in present}
    pairs, problems = [], []
    for row in restored:
        there = by_name.get((row["schema"], row["name"]))
        name = f"{row['schema']}.{row['name']}"
        if there is None:
            problems.append(f"{name} is not in the database")
        elif sorted(there["typed_columns"]) != sorted(row["typed_columns"]):
            differ = set(there["typed_columns"]) ^ set(row["typed_columns"])
            problems.append(f"{name} has other columns now: {', '.join(sorted(differ))}")
        else:
            pairs.append((row, there))
    if problems:
        raise OperationError(
            "the dump does not fit the current tables",
            "./scripts/ops restore dump … --into flaglearning_NAME restores it beside them",
            "; ".join(problems),
        )
    return pairs


def replace(source: Connection, target: Connection, pairs: list[tuple[Row, Row]], empty: LiteralString) -> int:
    """Replace the rows of these tables; how many there are now. `empty` is DELETE FROM or TRUNCATE."""
    moved = 0
    tables = sql.SQL(", ").join(identifier(there["schema"], there["name"]) for _, there in pairs)
    try:
        with step("replacing rows"), target.transaction():
            target.execute("SET CONSTRAINTS ALL DEFERRED")
            # Writers wait meanwhile; with DELETE, readers see the previous rows.
            target.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(tables))
            target.execute(sql.SQL("SET LOCAL lock_timeout = 0"))
            target.execute(sql.SQL(empty + " {}").format(tables))
            for row, there in pairs:
                moved += copy(source, target, row, there)
    except (pg.IntegrityError, pg.FeatureNotSupported) as error:
        raise OperationError(
            "nothing was changed: the restored rows violate a constraint of the database",
            "restore the tables that belong together, or the whole dump: ./scripts/ops restore dump NAME",
            " ".join(str(error).split()),
        ) from None
    return moved


def copy(source: Connection, target: Connection, row: Row, there: Row) -> int:
    """Copy the rows of one table, and how far its sequences have counted."""
    names = sql.SQL(", ").join(map(sql.Identifier, row["columns"]))
    columns = sql.SQL("({})").format(names) if row["columns"] else sql.SQL("")  # a table may have no columns
    table = identifier(row["schema"], row["name"])
    with source.cursor() as reading, target.cursor() as writing:
        with (
            reading.copy(sql.SQL("COPY {} {} TO STDOUT (FORMAT binary)").format(table, columns)) as out,
            writing.copy(sql.SQL("COPY {} {} FROM STDIN (FORMAT binary)").format(table, columns)) as into,
        ):
            for part in out:
                into.write(part)
        copied = writing.rowcount
    for sequence in target.execute(SEQUENCES, [there["oid"]]).fetchall():
        name = identifier(sequence["schema"], sequence["sequence"])
        counted = source.execute(sql.SQL("SELECT last_value FROM {}").format(name)).fetchone()
        # never back: a number that was given out is not given again
        target.execute(
            sql.SQL("SELECT pg_catalog.setval(%s::pg_catalog.regclass, GREATEST(%s, last_value)) FROM {}").format(name),
            [sequence["name"], counted["last_value"] if counted else 1],
        )
    return copied
