"""VACUUM, ANALYZE and REINDEX, as flaglearning_ops: it may maintain every table and change none (pg_maintain)."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator

import relations
from ops import catalog, psql
from ops.cli import DRY_RUN, MAINTAIN, YES, command, flag, option
from ops.output import note, say, size
from ops.prompt import confirm
from relations import Relation
from user_errors import Failure, UserError

ANY_TABLE = option("table", nargs="?", metavar="TABLE", help="only this table (default: the whole database)")
# While a session waits for an ACCESS EXCLUSIVE lock, every later query of that table waits behind it: give up soon.
SHORT_LOCK_TIMEOUT = {"statement_timeout": "0", "lock_timeout": "5s"}
SIZE = "SELECT pg_catalog.pg_total_relation_size(:'table'::pg_catalog.oid) AS size"
KINDS = ("table", "materialized view", "index")


@command("vacuum-analyze", MAINTAIN, "Free dead rows for reuse and refresh the planner's statistics", ANY_TABLE)
def vacuum_analyze(asked: argparse.Namespace) -> None:
    """VACUUM (ANALYZE). It blocks no query."""
    maintain("VACUUM (ANALYZE)", asked.table)


@command("analyze", MAINTAIN, "Refresh the planner's statistics", ANY_TABLE)
def analyze(asked: argparse.Namespace) -> None:
    """ANALYZE. It blocks no query."""
    maintain("ANALYZE", asked.table)


# Django's own command would need a container of the app; it runs this statement.
CLEAR_SESSIONS = """
    WITH gone AS (DELETE FROM public.django_session WHERE expire_date < pg_catalog.statement_timestamp() RETURNING 1)
    SELECT pg_catalog.count(*) FROM gone;"""


@command("clear-sessions", MAINTAIN, "Delete expired login sessions of the website (Django's clearsessions)")
def clear_sessions(asked: argparse.Namespace) -> None:
    """As the owner of the table, whose statements have no time limit. Visitors notice nothing: an expired session is
    refused already."""
    deleted = psql.execute(CLEAR_SESSIONS, role="migrator", settings=psql.NO_TIMEOUT).strip()
    say(f"deleted {deleted} expired sessions")


@command(
    "vacuum-full", MAINTAIN, "Rewrite a table to give its free space back to the disk",
    option("table", metavar="TABLE", help="the table to rewrite"), YES, DRY_RUN,
)  # fmt: skip
def vacuum_full(asked: argparse.Namespace) -> None:
    """VACUUM FULL. Every query of that table waits until it is done (ACCESS EXCLUSIVE)."""
    found = stored(catalog.table(asked.table))
    before = size_of(found)
    consequence = (
        f"{found.full_name} ({size(before)}) will be rewritten. Until then queries of it wait (ACCESS EXCLUSIVE), "
        f"and up to {size(before)} more disk space are needed."
    )
    if asked.dry_run:
        say(consequence)
        return
    confirm(consequence, asked.yes)
    timed("VACUUM (FULL, ANALYZE)", found, SHORT_LOCK_TIMEOUT)
    say(f"freed: {size(before - size_of(found))}")


@command(
    "reindex", MAINTAIN, "Rebuild a table's indexes, or one index, without blocking queries",
    option("name", nargs="?", metavar="TABLE|INDEX", help="what to rebuild"),
    flag("--clean", help="only drop indexes that an interrupted REINDEX CONCURRENTLY left"),
    YES, DRY_RUN,
)  # fmt: skip
def reindex(asked: argparse.Namespace) -> None:
    """REINDEX CONCURRENTLY. It first drops the invalid indexes that an earlier, interrupted one left."""
    if (asked.name is None) is not asked.clean:
        raise UserError(
            "exactly one of a table's or index's name and --clean is required",
            "./scripts/ops reindex TABLE, or ./scripts/ops reindex --clean",
        )
    found = catalog.find(asked.name, KINDS, "table or index", "./scripts/ops indexes") if asked.name else None
    clean_up(asked.yes, asked.dry_run)
    if found is None:
        return
    statement = f"REINDEX {'INDEX' if found.kind == 'index' else 'TABLE'} CONCURRENTLY"
    if asked.dry_run:
        say(f"{statement} {found.full_name}: no query waits for it; it waits for the transactions that are open now")
        return
    with clean_up_after_failure():
        timed(statement, found)


@contextlib.contextmanager
def clean_up_after_failure() -> Iterator[None]:
    """Whatever ended a REINDEX (Ctrl-C, a deadlock, a duplicate key), a half-built index would cost every later
    write."""
    try:
        yield
    except BaseException:
        try:
            clean_up(yes=True, dry_run=False)
        except Failure:
            note("its half-built indexes could not be dropped now; later: ./scripts/ops reindex --clean")
        raise


def clean_up(yes: bool, dry_run: bool) -> None:
    """Drop the invalid …_ccnew and …_ccold that no REINDEX is building; name invalid indexes with other names."""
    leftovers = []
    for row in psql.rows("invalid_indexes"):
        if row["leftover"] and not row["being_built_by"] and row["schema"] != "pg_toast":
            leftovers.append(row)
        else:
            note(left_alone(row))
    names = ", ".join(f"{row['schema']}.{row['name']} ({size(row['size_bytes'])})" for row in leftovers)
    if not leftovers:
        note("no interrupted REINDEX left an index to drop")
    elif dry_run:
        say(f"would drop: {names}")
    else:
        confirm(f"These invalid indexes, left by an interrupted REINDEX, will be dropped: {names}", yes)
        drop(leftovers)


def left_alone(row: psql.Row) -> str:
    """Why an invalid index is not dropped, and what can be done."""
    name = f"{row['schema']}.{row['name']}"
    if row["being_built_by"]:
        return f"{name} is being built by session {row['being_built_by']}: not dropped"
    if row["leftover"]:
        drop = f"DROP INDEX {relations.identifier(row['schema'], row['name'])}"
        return f"{name} was left by a REINDEX; only the superuser may drop it:\n{superuser(drop)}"
    return (
        f"{name} is invalid, and not of an interrupted REINDEX: "
        f"./scripts/ops reindex {row['name']} makes it valid, a migration can drop it"
    )


def superuser(statement: str) -> str:
    """A command line that runs a statement as the superuser."""
    return f"docker compose exec postgres psql -U postgres -d {psql.app_database()} -c '{statement}'"


def drop(leftovers: list[psql.Row]) -> None:
    """Only an index's owner may drop it: as the migrator, who acts as the owner."""
    for row in leftovers:
        name = relations.identifier(row["schema"], row["name"])
        psql.maintain(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", role="migrator")
        say(f"dropped {row['schema']}.{row['name']}")


def maintain(statement: str, table: str | None) -> None:
    """Run it on a table, or on the whole database."""
    timed(statement, stored(catalog.table(table)) if table is not None else None)


def timed(statement: str, what: Relation | None, settings: dict[str, str] = psql.NO_TIMEOUT) -> None:
    """Run a maintenance statement; say what was done and how long it took."""
    start = time.monotonic()
    psql.maintain(f"{statement} {what.sql if what else ''}".rstrip(), settings=settings)
    say(f"{statement} {what.full_name if what else 'of the whole database'}: done in {time.monotonic() - start:.1f} s")


def stored(relation: Relation) -> Relation:
    """The relation. Raises UserError when it stores no rows."""
    if relation.kind in ("view", "foreign table"):
        raise UserError(f"{relation.name} is a {relation.kind}: it stores no rows", "./scripts/ops tables")
    return relation


def size_of(relation: Relation) -> int:
    """Bytes of a table with its indexes and TOAST."""
    return int(psql.select(SIZE, variables={"table": relation.oid})[0]["size"])
