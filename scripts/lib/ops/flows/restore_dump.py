"""A restore from a dump: all or nothing, and what was there before is retained.

plan → confirm → staging database → load, as a role that owns nothing else, in a container without secrets → hand over
to flaglearning_owner → check → publish: the staging database takes the application's name while the pooler's clients
wait, or becomes a new database, or its rows replace those of the application's tables in one transaction. A failure
before that, or a Ctrl-C, leaves nothing but a message.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

from ops import containers, docker, locks, pooler, psql
from ops.containers import client, loader, pgadmin, pgadmin_in_server
from ops.output import note, say
from ops.prompt import confirm
from user_errors import OperationError

Plan = dict[str, Any]


class Staging(NamedTuple):
    """A staging database, and the password of the role that loads into it."""

    database: str
    password: str


class Request(NamedTuple):
    """What a person asks for."""

    name: str
    table: str = ""
    into: str = ""
    from_database: str = ""
    external: bool = False
    with_code: bool = False
    extensions: tuple[str, ...] = ()


def restore(asked: Request, yes: bool, dry_run: bool) -> None:
    """The whole restore. Raises UserError before anything is changed, OperationError when a step fails."""
    plan = plan_of(asked)
    consequence = consequence_of(plan, asked, psql.app_database())
    if dry_run:
        say(f"{consequence} (Dry run: nothing was changed.)")
        return
    confirm(consequence, yes)
    with exclusive(), staging() as made:
        load(made, plan, asked)
        publish(made, plan, asked)


def rows_of_table(name: str, table: str) -> None:
    """Replace a table's rows by those of a dump, without asking: a part of another flow, which has asked."""
    asked = Request(name, table)
    plan = plan_of(asked)
    with exclusive(), staging() as made:
        load(made, plan, asked)
        publish(made, plan, asked)


# ------------------------------------------------------------ before anything is changed


def plan_of(asked: Request) -> Plan:
    """What would be restored."""
    found = loader("dump-inspect", name=asked.name) if asked.external else None
    plan: Plan = client(
        "restore-plan", name=asked.name, table=asked.table, into=asked.into, from_database=asked.from_database,
        external=found,
    )  # fmt: skip
    return plan


def replaces_rows(plan: Plan, asked: Request) -> bool:
    """Whether rows are copied into the application's tables, instead of a database being renamed."""
    return not asked.into and bool(asked.table or plan["kind"] in ("table", "data"))


def consequence_of(plan: Plan, asked: Request, database: str) -> str:
    """What will happen, in the words of the confirmation. A pure function."""
    name = plan["name"]
    if asked.into:
        what = f"the table {asked.table} of {name}" if asked.table else name
        return f"{what} will be restored into the new database {asked.into}. No existing database is changed."
    if replaces_rows(plan, asked):
        table = asked.table or plan["table"]
        what = f"the rows of {table}" if table else "the rows of all its tables"
        readers = "" if table else " or read"
        return (
            f"In {database}, {what} will be deleted and replaced by those of {name}, in one transaction; no other "
            f"session can write{readers} them meanwhile. What was written since the dump is lost: ./scripts/ops dump "
            f"{'table ' + table if table else 'data'} keeps it."
        )
    return (
        f"{name} will take the place of {database}, which is retained as {database}_before_TIME. What is written until "
        "the switch is only in that one. Clients of the pooler wait meanwhile; other sessions are ended."
    )


# ------------------------------------------------------------ the staging database


def exclusive() -> contextlib.AbstractContextManager[None]:
    """One restore of this stack at a time."""
    return locks.held("restore", "wait until it ends; ./scripts/ops sessions shows it")


@contextlib.contextmanager
def staging() -> Iterator[Staging]:
    """A new staging database; dropped at the end, unless it was renamed by then."""
    password = secrets.token_hex(20)
    database = pgadmin("create-staging", stdin=password)["database"]
    try:
        yield Staging(database, password)
    finally:
        # A second Ctrl-C must not leave it behind.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        drop_staging(database)
        signal.signal(signal.SIGINT, previous)


def drop_staging(database: str) -> None:
    """Drop it; a server that is restarting is waited for. What happened before stays the error that is shown."""
    words = docker.verb("drop-staging", {"database": database})
    in_server = containers.completed(docker.exec_in(containers.server(), "pgadmin", *words), quiet=True)
    if in_server.returncode == 0:
        return
    try:
        pgadmin("drop-staging", database=database, wait=30)
    except OperationError:
        note(f"{database} could not be dropped: the next restore drops it")


def load(made: Staging, plan: Plan, asked: Request) -> None:
    """Load the dump, hand it over, check it."""
    table = only_table(plan, asked)
    if plan["kind"] == "data":
        load_definitions(made)
    # A lost table comes back with other tables' foreign keys to it: that needs their rows, too. Otherwise its own rows
    # are enough, and without the rows of other tables its foreign keys can't be created.
    everything = not table or (plan["kind"] == "full" and not table_exists(table))
    loader(
        "restore-load", stdin=made.password, database=made.database, path=plan["path"], plain=plan["plain"],
        only_rows_of="" if everything else table, keys=everything, extensions=list(asked.extensions),
        schema=schema_of(plan),
    )  # fmt: skip
    pgadmin("reassign", database=made.database)
    complete = plan["kind"] == "full" and not (asked.into or asked.table or asked.from_database)
    expected = {name: count for name, count in plan["rows"].items() if not table or name == table}
    checked = client(
        "restore-check", database=made.database, name=plan["name"], with_code=asked.with_code, complete=complete,
        rows_expected={} if plan["kind"] == "schema" else expected,
    )  # fmt: skip
    if checked["later"]:
        note(f"{plan['name']} is older than {', '.join(checked['later'])}: afterwards ./scripts/ops migrations apply")


def only_table(plan: Plan, asked: Request) -> str:
    """SCHEMA.TABLE of a restore of one table; ''."""
    table = plan["table"] or asked.table
    return table if not table or "." in table else f"public.{table}"


def schema_of(plan: Plan) -> str:
    """The schema of the table that a dump of one table holds; ''."""
    return str(plan["table"]).partition(".")[0] if plan["kind"] == "table" else ""


def load_definitions(made: Staging) -> None:
    """The application's tables, empty: what a dump of data is loaded into."""
    path = client("definitions-create")["path"]
    try:
        loader("restore-load", stdin=made.password, database=made.database, path=path, plain=False)
    finally:
        client("definitions-remove", path=path)


# ------------------------------------------------------------ taking effect


def publish(made: Staging, plan: Plan, asked: Request) -> None:
    """Rename the staging database, or copy rows out of it."""
    if asked.into:
        pgadmin_in_server("rename", database=made.database, into=asked.into)
        say(f"restored {plan['name']} as {asked.into}")
    elif not replaces_rows(plan, asked):
        with pooler.paused():
            done = pgadmin_in_server("rename", database=made.database)
        say(f"restored {plan['name']} as {done['database']}")
        if done["retained"]:
            note(f"the previous database is retained as {done['retained']}: ./scripts/ops retained list")
    else:
        replace_rows(made, plan, asked)


def replace_rows(made: Staging, plan: Plan, asked: Request) -> None:
    """Copy the rows; a table that the application has lost is created again."""
    table = only_table(plan, asked)
    if table and not table_exists(table):
        brought = client("table-bring-back", table=table, database=made.database)
        pgadmin("apply")
        say(f"created {brought['table']} again, with {brought['foreign_keys']} foreign keys of other tables to it")
        return
    tables = [table] if table else (sorted(plan["rows"]) or None)
    done = client("restore-rows", database=made.database, tables=tables, truncate=not table)
    say(f"restored {done['rows']:,} rows of {plan['name']}")


TABLE_EXISTS = """
    SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = :'schema' AND c.relname = :'name' AND c.relkind IN ('r', 'p')"""


def table_exists(table: str) -> bool:
    """Whether the application's database has it; outside public its name has the schema in front."""
    schema, _, name = table.rpartition(".")
    return bool(psql.select(TABLE_EXISTS, variables={"schema": schema or "public", "name": name}))
