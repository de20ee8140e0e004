"""Section 3, restoring. Whatever is restored is first loaded into a new database beside the application's
(scratch.py), counted and looked at there; only then the application's database is touched: by a rename, or by a copy
of rows in one transaction.
"""

import contextlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from psycopg import sql

from flagops import archive, catalog, client_tools, copying, dump_file, stack
from flagops.archive import Backup, Kind
from flagops.ask import DryRun, Yes, confirm
from flagops.backup import count, jobs
from flagops.cli import BACKUP, group
from flagops.database import WORKING, Connection, Row, connect, identifier, pooler, rows
from flagops.errors import Refused, Status
from flagops.output import Json, note, say, show, size
from flagops.progress import step
from flagops.queries import load
from flagops.scratch import Scratch, scratch, under_way

restore = group(BACKUP, "restore", "Restore a backup: all or nothing. What was there before stays until you drop it.")

Name = Annotated[str, typer.Argument(metavar="BACKUP", help="Its name (backups list), or: latest.")]
Into = Annotated[
    str, typer.Option("--into", metavar="NEW", help="Into a new database of this name; nothing that exists is touched.")
]
FromDatabase = Annotated[
    str, typer.Option("--from-database", metavar="NAME", help="Yes, it is a backup of that other database.")
]
Foreign = Annotated[
    bool, typer.Option("--foreign", help="It is a dump without our manifest, of pg_dump or pg_dump | gzip.")
]
WithCode = Annotated[
    bool, typer.Option("--with-code", help="Accept functions, triggers, rules and policies that it brings.")
]

PUBLISHABLE = re.compile(r"flaglearning_[a-z0-9_]{1,25}")
PAUSE_AT_MOST = 4  # seconds for running transactions to end; the pooler's clients wait 10


@dataclass
class Source:
    """What is restored from: a backup of ours, or a stranger's dump."""

    name: str
    dump: Path
    plain: bool
    kind: Kind
    database: str
    major: int
    rows: dict[str, int]
    backup: Backup | None = None

    @property
    def row_count(self) -> int:
        """As its manifest says."""
        return sum(self.rows.values())


@restore.command()
def full(
    name: Name = "latest",
    into: Into = "",
    from_database: FromDatabase = "",
    foreign: Foreign = False,
    with_code: WithCode = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Everything: into a new database, which takes the place of the old one in one moment. The old one is kept."""
    with validated(name, "full", into, from_database, foreign) as source:
        consequence = f"{source.name} will become the new database {into}." if into else (
            f"{source.name} will take the place of {stack.APP_DATABASE}. What is in that now stays, as "
            f"{stack.APP_DATABASE}_before_…; "
            "what is written until the switch is only there. Sessions that don't come through the pooler are ended."
        )  # fmt: skip
        if not agreed(consequence, yes, dry_run):
            return
        with scratch() as made:
            load_into(made, source)
            accept(made, source, with_code, complete=not from_database)
            publish(made, into)
    say(f"restored {source.name} as {into or stack.APP_DATABASE}")
    if not into:
        note("the old one: ./scripts/ops restore kept")


@restore.command()
def table(
    name: Name = "latest",
    into: Into = "",
    from_database: FromDatabase = "",
    foreign: Foreign = False,
    with_code: WithCode = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """One table's rows, in the place of those that are there; in one transaction."""
    rows_of("table", name, into, from_database, foreign, with_code, yes, dry_run)


@restore.command()
def data(
    name: Name = "latest",
    from_database: FromDatabase = "",
    foreign: Foreign = False,
    with_code: WithCode = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """All tables' rows, in the place of those that are there; in one transaction, during which the game waits."""
    rows_of("data", name, "", from_database, foreign, with_code, yes, dry_run)


@restore.command()
def schema(
    name: Name = "latest",
    into: Into = "",
    from_database: FromDatabase = "",
    foreign: Foreign = False,
    with_code: WithCode = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """The definitions, into a new database."""
    if not into:
        raise Refused(
            "a schema without rows is restored into a new database only: it would be the end of what is in another.",
            "add --into flaglearning_copy; an empty development database: ./scripts/ops reset",
            status=Status.USAGE,
        )
    with validated(name, "schema", into, from_database, foreign) as source:
        if agreed(f"{source.name} will become the new database {into}.", yes, dry_run):
            with scratch() as made:
                load_into(made, source)
                accept(made, source, with_code, complete=False)
                publish(made, into)
            say(f"restored {source.name} as {into}")


def rows_of(
    kind: Kind, name: str, into: str, from_database: str, foreign: bool, with_code: bool, yes: bool, dry_run: bool
) -> None:
    """Restore the rows of one table or of all."""
    with validated(name, kind, into, from_database, foreign) as source:
        which = ", ".join(source.rows) if kind == "table" and source.rows else "its tables"
        consequence = f"{source.name} will become the new database {into}." if into else (
            f"The rows of {which} in {stack.APP_DATABASE} will be replaced by those of {source.name}. "
            f"Nobody writes there meanwhile"
            f"{' or reads' if kind == 'data' else ''}. Back up first if you are not sure: ./scripts/ops backup {kind}"
        )  # fmt: skip
        if not agreed(consequence, yes, dry_run):
            return
        with scratch() as made:
            load_into(made, source)
            accept(made, source, with_code, complete=False)
            if into:
                publish(made, into)
                say(f"restored {source.name} as {into}")
                return
            replaced = replace_rows(made, "DELETE FROM" if kind == "table" else "TRUNCATE", source)
            made.ask("drop")
    say(f"restored {replaced:,} rows of {source.name}")


# ------------------------------------------------------------ what was put aside


@restore.command("kept")
def kept(json: Json = False) -> None:
    """The databases that a restore replaced: kept until they are dropped."""
    show(kept_databases(), json, empty="no restore has put a database aside.")


@restore.command("drop")
def drop(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As ./scripts/ops restore kept lists it.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Drop a database that a restore replaced."""
    found = {row["name"]: row for row in kept_databases()}
    if name not in found:
        raise catalog.not_found("database put aside by a restore", name, list(found), "./scripts/ops restore kept")
    consequence = f"{name} ({size(found[name]['size_bytes'])}) will be dropped, for good."
    agreed(consequence, yes, dry_run)  # ./scripts/ops has the clerk do it


def kept_databases() -> list[Row]:
    """What is called …_before_TIME."""
    with connect(database="postgres") as connection:
        return rows(connection, load("kept_databases"), database=stack.APP_DATABASE)


# ------------------------------------------------------------ before anything is touched


@contextmanager
def validated(name: str, kind: Kind, into: str, from_database: str, foreign: bool) -> Iterator[Source]:
    """What to restore from, if all that can be known about it speaks for it. Nobody prunes it meanwhile."""
    client_tools.obey_termination()
    if into:
        check_new_name(into)
    source = foreign_source(name, kind) if foreign else own_source(name, kind)
    with connect(database="postgres") as connection:
        ours = connection.info.server_version // 10000
        if rows(connection, load("restore_running")):
            raise under_way(connection)
        taken = connection.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", [into]).fetchone()
    if into and taken is not None:
        raise Refused(f"there is a database {into} already: it is not touched.", "choose another name for --into")
    if source.major > ours:
        raise Refused(
            f"{source.name} comes from PostgreSQL {source.major}, this server is {ours}:"
            " newer dumps can't be restored.",
            f"restore it on a server of version {source.major}",
        )
    if source.database and source.database not in (stack.APP_DATABASE, from_database):
        raise Refused(
            f"{source.name} is of another database: {source.database}, not {stack.APP_DATABASE}.",
            f"add --from-database {source.database} if you mean it",
        )
    if source.backup is None:
        yield source
        return
    with source.backup.in_use():
        with step("checking the backup", "bytes", total=source.backup.manifest.bytes) as progress:
            source.backup.check(progress.more)
        yield source


def check_new_name(name: str) -> None:
    """Raises Refused unless a database here can have that name."""
    if not PUBLISHABLE.fullmatch(name):
        raise Refused(
            f"'{name}' can't be the name of a new database.",
            "flaglearning_ and up to 25 small letters, digits and underscores: pg_hba.conf lets in no other names",
            status=Status.USAGE,
        )


def own_source(name: str, kind: Kind) -> Source:
    """A backup of ours."""
    found = archive.find(name, kind)
    manifest = found.manifest
    if manifest.kind != kind:
        raise Refused(
            f"{found.name} is a backup of the kind {manifest.kind}.",
            f"./scripts/ops restore {manifest.kind} {found.name}",
        )
    return Source(found.name, found.dump, manifest.plain, kind, manifest.database, manifest.major, manifest.rows, found)


def foreign_source(name: str, kind: Kind) -> Source:
    """A stranger's dump."""
    found = dump_file.look_at(name)
    major = int(found.server_version.partition(".")[0] or 0)
    return Source(name, found.path, found.plain, kind, found.database, major, {})


def agreed(consequence: str, yes: bool, dry_run: bool) -> bool:
    """Whether to do it."""
    if dry_run:
        say(f"{consequence} (Nothing was done: a dry run.)")
        return False
    confirm(consequence, yes)
    return True


# ------------------------------------------------------------ in the new database


def load_into(made: Scratch, source: Source) -> None:
    """Load the dump, as a role that can do no harm."""
    if source.kind == "data":
        copy_definitions(made)
    if source.plain:
        made.load_sql(source.dump, source.row_count)
    elif source.kind == "table":
        # The tables at the other end of its foreign keys aren't in it; where the rows go to, the keys are.
        made.load_archive(source.dump, source.row_count, without="FK CONSTRAINT")
    else:
        made.load_archive(source.dump, source.row_count)
    made.ask("adopt")


def copy_definitions(made: Scratch) -> None:
    """The application's tables, without rows, keys and indexes: what a backup of data needs to be loaded into."""
    file = Path("/tmp/definitions.dump")  # noqa: S108 - this container's own tmpfs
    options = [
        "--section=pre-data",
        "--no-owner",
        "--no-privileges",
        "--exclude-extension=*",
        "--no-password",
        "--format=custom",
    ]
    client_tools.run(["pg_dump", *options, f"--file={file}"], stack.client_environment(), "./scripts/ops doctor")
    made.load_archive(file, 0)


def accept(made: Scratch, source: Source, with_code: bool, complete: bool) -> None:
    """Is it what it should be? Rows counted, code looked for; the planner's statistics are made. Raises Refused."""
    with connect(database=made.name, settings=WORKING) as connection:
        # First, and from the catalog alone: until it is known that there is no code in it, nothing of it is run.
        code = rows(connection, load("foreign_code"))
        if code and not with_code:
            found = ", ".join(f"{row['kind']} {row['name']}" for row in code[:10])
            raise Refused(
                f"{source.name} brings code along, which would run as whoever uses the tables.",
                "read it; then add --with-code",
                found,
            )
        tables = rows(connection, load("stored_tables"))
        if not tables:
            raise Refused(f"{source.name} has no tables.", archive.LIST)
        if complete:
            has = {f"{row['schema']}.{row['name']}" for row in tables}
            lacks = application_tables() - has
            later = later_migrations(connection) if lacks and "public.django_migrations" in has else []
            if later:
                note(f"{source.name} was made before {', '.join(later)}: afterwards ./scripts/ops migrations apply")
            elif lacks:
                raise Refused(
                    f"{source.name} is no backup of the game: it lacks tables.",
                    "./scripts/ops restore full … --into NEW to look at it",
                    ", ".join(sorted(lacks)),
                )
        with analyzed(made.name, tables):
            if source.rows and source.kind != "schema":
                compare_counts(connection, source, tables)


def compare_counts(connection: Connection, source: Source, tables: list[Row]) -> None:
    """Raises Refused unless each table has as many rows as its backup's manifest says."""
    counted = count(connection, [row for row in tables if f"{row['schema']}.{row['name']}" in source.rows])
    if counted != source.rows:
        differ = [f"{t}: {counted.get(t, 0)} instead of {n}" for t, n in source.rows.items() if counted.get(t) != n]
        raise Refused(
            "the restored rows are not those of the backup.", "./scripts/ops backups verify", ", ".join(differ)
        )


@contextmanager
def analyzed(database: str, tables: list[Row]) -> Iterator[None]:
    """Meanwhile the planner's statistics of these tables are made, on all processors."""

    def analyze(some: list[Row]) -> None:
        names = sql.SQL(", ").join(identifier(row["schema"], row["name"]) for row in some)
        with connect(database=database, settings=WORKING) as connection:
            connection.execute(sql.SQL("ANALYZE {}").format(names))

    largest_first = sorted(tables, key=lambda row: -row["estimated_rows"])
    shares = [share for first in range(jobs()) if (share := largest_first[first :: jobs()])]
    with ThreadPoolExecutor(jobs()) as pool:
        running = [pool.submit(analyze, share) for share in shares]
        yield
        with step("ANALYZE"):
            for each in running:
                each.result()


def later_migrations(restored: Connection) -> list[str]:
    """What the application's database has had since, if it had all of the restored one's: an older backup of it."""
    with connect() as connection:
        now = migrations(connection)
    then = migrations(restored)
    return sorted(now - then) if then and then < now else []


def migrations(connection: Connection) -> set[str]:
    """Those that a database has had."""
    return {f"{row['app']} {row['name']}" for row in rows(connection, load("migrations"), limit="100000")}


def application_tables() -> set[str]:
    """The tables of the application's database; none if it is gone, which is when restoring matters most."""
    try:
        with connect() as connection:
            return {f"{row['schema']}.{row['name']}" for row in rows(connection, load("stored_tables"))}
    except Refused as refused:
        if "does not exist" in refused.why:
            return set()
        raise


# ------------------------------------------------------------ taking effect


def publish(made: Scratch, into: str) -> None:
    """Give the database its name: a new one, or the application's."""
    if into:
        made.ask(f"publish:{into}")
        return
    with step("switching over"), paused():
        made.ask("swap")


@contextmanager
def paused() -> Iterator[None]:
    """Clients of the pooler wait instead of getting an error. Without a pooler there is nobody to wait."""
    try:
        console = pooler()
    except Refused as refused:
        note(f"the pooler isn't there, so nobody waits at it: {refused.what}")
        yield
        return
    # In a session of its own: PAUSE waits for running transactions. One that takes too long is ended by the switch.
    pausing = threading.Thread(target=pause, daemon=True)
    with console:
        try:
            pausing.start()
            pausing.join(PAUSE_AT_MOST)
            yield
        finally:
            resume(console)


def pause() -> None:
    """PAUSE, until it is resumed."""
    with contextlib.suppress(psycopg.Error), pooler() as console:
        console.execute(f"PAUSE {stack.APP_DATABASE}")


def resume(console: Connection) -> None:
    """RESUME, whether it was paused or not."""
    try:
        console.execute(f"RESUME {stack.APP_DATABASE}")
    except psycopg.Error as error:
        if "not paused" not in str(error):
            raise


@restore.command("resume", hidden=True)
def resume_command() -> None:
    """Let the pooler's clients go on: for ./scripts/ops, after a restore that was killed."""
    with pooler() as console:
        resume(console)


def replace_rows(made: Scratch, empty: str, source: Source) -> int:
    """Put the restored rows into the application's tables."""
    with connect(database=made.name, settings=WORKING) as reading, connect("migrator", settings=IMPATIENT) as writing:
        restored = rows(reading, load("stored_tables"))
        if source.kind == "data" and source.rows:
            restored = [row for row in restored if f"{row['schema']}.{row['name']}" in source.rows]
        with connect() as looking:
            pairs = copying.matching(restored, rows(looking, load("stored_tables")))
        return copying.replace(reading, writing, pairs, empty)


# Whoever is in the way for longer than this is told of; the copying itself may take as long as it takes.
IMPATIENT = {"statement_timeout": "0", "lock_timeout": "10s"}
