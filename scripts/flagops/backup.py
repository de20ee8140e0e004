"""Section 3, backing up: pg_dump as flaglearning_ops (which may read every row and change none), over verified TLS.

Everything in a backup is of one moment: a snapshot that is exported once, and that pg_dump's workers and the counting
of the rows import. When it is written it is read back, and only then gets its name (archive.py).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from psycopg import sql

from flagops import archive, catalog, client_tools, stack
from flagops.archive import Backup, Kind, Manifest
from flagops.cli import BACKUP, group
from flagops.database import WORKING, Connection, Row, connect, identifier, rows
from flagops.output import Json, duration, note, say, show_json, size
from flagops.progress import Step, step
from flagops.queries import load

# Measured (./scripts/bench backup): from level 3 on a file gets smaller by little and takes far longer.
COMPRESSION = "zstd:3"
MOST_JOBS = 4  # connections to the server; flaglearning_ops has 10
UNHURRIED = {**WORKING, "idle_in_transaction_session_timeout": "0", "transaction_timeout": "0"}

backup = group(BACKUP, "backup", "Back up everything, one table, the schema or the data; verified before it counts.")

Plain = Annotated[bool, typer.Option("--plain", help="One file of plain SQL, uncompressed, to be read; slower.")]


@backup.command()
def full(plain: Plain = False, json: Json = False) -> None:
    """The whole database: compressed, in parallel, of one moment."""
    make("full", plain, json)


@backup.command()
def table(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="The table.")], plain: Plain = False, json: Json = False
) -> None:
    """One table: its definition and its rows."""
    make("table", plain, json, name)


@backup.command()
def schema(plain: Plain = False, json: Json = False) -> None:
    """Definitions without rows, for an empty database of the same shape."""
    make("schema", plain, json)


@backup.command()
def data(plain: Plain = False, json: Json = False) -> None:
    """Rows without definitions, for a database of the same shape."""
    make("data", plain, json)


def jobs() -> int:
    """As many as there are processors, at most four."""
    return min(os.cpu_count() or 1, MOST_JOBS)


def make(kind: Kind, plain: bool, json: bool, table: str = "") -> None:
    """Make a backup, and say what came of it."""
    client_tools.obey_termination()
    began = time.monotonic()
    with connect(settings=UNHURRIED) as connection:
        found = rows(connection, load("stored_tables"))
        if table:
            wanted = catalog.table(connection, table)
            found = [row for row in found if str(row["oid"]) == wanted.oid]
            table = f"{wanted.schema}.{wanted.name}"
            if not found:
                raise catalog.not_found("table with rows", table, [], "./scripts/ops tables")
        with snapshot(connection) as (exported, manifest):
            manifest.kind, manifest.plain, manifest.table = kind, plain, table
            shape = f"{kind}-plain" if plain else kind
            name = archive.new_name(stack.APP_DATABASE, shape, table, datetime.fromisoformat(manifest.created))
            with archive.new(name) as folder:
                dump(folder, manifest, exported, found)
                if kind != "schema":
                    manifest.rows = count(connection, found)
                read_back(folder, manifest)
                manifest.seconds = round(time.monotonic() - began, 3)
                made = archive.finish(folder, manifest)
    tell(made, json)


@contextmanager
def snapshot(connection: Connection) -> Iterator[tuple[str, Manifest]]:
    """A moment of the database that other sessions can look at while this lasts."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        row = connection.execute(
            "SELECT pg_catalog.pg_export_snapshot() AS snapshot, pg_catalog.now() AS created,"
            " pg_catalog.current_setting('server_version') AS version,"
            " pg_catalog.pg_database_size(pg_catalog.current_database()) AS bytes"
        ).fetchone()
        assert row
        yield (
            row["snapshot"],
            Manifest(
                kind="full",
                database=stack.APP_DATABASE,
                deployment=stack.DEPLOYMENT,
                created=row["created"].astimezone(UTC).isoformat(timespec="seconds"),
                server_version=row["version"].split()[0],
                dumped_by=client_tools.version("pg_dump"),
                database_bytes=row["bytes"],
            ),
        )


def dump(folder: Path, manifest: Manifest, exported: str, tables: list[Row]) -> None:
    """Run pg_dump into the folder."""
    # Owners, privileges and extensions are the policy's (pg/sql), not a backup's: what is restored gets today's.
    options = ["--no-owner", "--no-privileges", "--exclude-extension=*", f"--snapshot={exported}", "--no-password"]
    if manifest.kind in ("schema", "data"):
        options.append(f"--{manifest.kind}-only")
    if manifest.table:
        # In double quotes every character of a pattern stands for itself.
        parts = [tables[0]["schema"], tables[0]["name"]]
        options.append("--strict-names")
        options.append("--table=" + ".".join('"' + part.replace('"', '""') + '"' for part in parts))
    if manifest.plain:
        options += ["--format=plain", f"--file={folder / 'dump.sql'}"]
    else:
        options += ["--format=directory", f"--jobs={jobs()}", f"--compress={COMPRESSION}", f"--file={folder / 'dump'}"]
    rows_to_come = 0 if manifest.kind == "schema" else sum(row["estimated_rows"] for row in tables)
    with step("dumping", "rows", rows_to_come or None) as progress, connect() as watcher:
        watch = CopyWatch(watcher, "backup", progress)

        def tick(printed: str) -> None:
            watch.tick()
            progress.stage(f"({size(sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()))})")

        environment = {**stack.client_environment(), "PGAPPNAME": "backup"}
        client_tools.run(["pg_dump", *options], environment, "./scripts/ops doctor", tick)
        progress.at(max(progress.done, rows_to_come))


class CopyWatch:
    """How many rows the COPYs of the sessions of that name have moved."""

    def __init__(self, connection: Connection, name: str, progress: Step) -> None:
        self.connection, self.name, self.progress = connection, name, progress
        self.looked, self.moved = 0.0, {}  # type: float, dict[tuple[int, int], int]

    def tick(self) -> None:
        """Look, twice a second."""
        if time.monotonic() - self.looked < 0.5:
            return
        self.looked = time.monotonic()
        for row in rows(self.connection, load("copying"), name=self.name):
            self.moved[row["pid"], row["relid"]] = row["rows"]
        self.progress.at(sum(self.moved.values()))


def count(connection: Connection, tables: list[Row]) -> dict[str, int]:
    """The rows of each table, in the snapshot of the connection's transaction."""
    counts = {}
    with step("counting", "rows", sum(row["estimated_rows"] for row in tables) or None) as progress:
        for row in tables:
            found = connection.execute(
                sql.SQL("SELECT pg_catalog.count(*) AS rows FROM ONLY {}").format(
                    identifier(row["schema"], row["name"])
                )
            ).fetchone()
            assert found
            counts[f"{row['schema']}.{row['name']}"] = found["rows"]
            progress.more(found["rows"])
    return counts


def read_back(folder: Path, manifest: Manifest) -> None:
    """Read every byte as a restore will; write down sizes and checksums."""
    made = Backup(folder, manifest)
    found = archive.files(folder)
    with step("reading back", "bytes", total=sum(path.stat().st_size for path in found.values())) as progress:
        readable(made)
        for name, path in found.items():
            manifest.files[name] = {"bytes": path.stat().st_size, "sha256": archive.checksum(path, progress.more)}


def readable(made: Backup) -> None:
    """Whether the client tools can read all of it. Raises Refused."""
    if made.manifest.plain:
        with made.dump.open("rb") as file:
            file.seek(max(0, made.dump.stat().st_size - 4096))
            if b"-- PostgreSQL database dump complete" not in file.read():
                raise archive.damaged(made.folder, "its end is missing")
        return
    # The whole of it is decompressed and turned into SQL, which nobody keeps.
    command = ["pg_restore", "--file=/dev/null", "--no-password", str(made.dump)]
    try:
        client_tools.run(command, dict(os.environ), archive.LIST)
    except client_tools.ToolFailed as failed:
        raise archive.damaged(made.folder, failed.said) from None


def tell(made: Backup, json: bool) -> None:
    """What was made."""
    manifest = made.manifest
    if json:
        show_json({"name": made.name, **vars(manifest), "bytes": manifest.bytes})
        return
    say(made.name)
    rows_held = f"{sum(manifest.rows.values()):,} rows of {len(manifest.rows)} tables, " if manifest.rows else ""
    note(f"{rows_held}{size(manifest.bytes)} in {duration(timedelta(seconds=manifest.seconds))}, read back and whole.")
