"""Create dumps: pg_dump as flaglearning_ops, which may read every row and change none, over verified TLS.

Everything in a dump is of one instant: a snapshot that is exported once, and that pg_dump's workers
import. When it is written it is read back, and only then gets its name (dump_store.py).
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import relations
from pgclient import client_tools, dump_store, reports, stack
from pgclient.database import NO_TIMEOUT, Connection, Row, connect, rows
from pgclient.dump_store import Dump, Kind, Manifest
from pgclient.progress import note, step
from pgclient.queries import load
from pgclient.verbs import verb
from user_errors import OperationError, UserError

# Measured (./scripts/bench backup): from level 3 on a file gets smaller by little and takes far longer.
COMPRESSION = "zstd:3"
LONG_TRANSACTION = {**NO_TIMEOUT, "idle_in_transaction_session_timeout": "0", "transaction_timeout": "0"}
# Made by pg/sql as the superuser, on every server: not a dump's. Others, like pg_trgm, come with a migration.
POLICY_EXTENSIONS = ("plpgsql", "pg_stat_statements", "pgaudit", "pgstattuple", "amcheck")


@verb("dump-create")
def create(kind: Kind, plain: bool = False, table: str = "") -> dict[str, Any]:
    """Create a dump of a kind: full, schema, data, or table (then `table` names it). Returns its name and manifest.

    Raises UserError for an unknown table, OperationError when pg_dump fails or the disk is full.
    """
    client_tools.obey_termination()
    began = time.monotonic()
    with connect(settings=LONG_TRANSACTION) as connection:
        found = rows(connection, load("stored_tables"))
        if kind == "table":
            known = rows(connection, load("relations"))
            wanted = relations.find(table, known, relations.TABLES, "table", "./scripts/ops tables")
            found = [row for row in found if str(row["oid"]) == wanted.oid]
            table = f"{wanted.schema}.{wanted.name}"
            if not found:
                raise UserError(f"{table} is a {wanted.kind}: it stores no rows", "./scripts/ops tables")
        with snapshot(connection) as (exported, manifest):
            manifest.kind, manifest.plain, manifest.table = kind, plain, table
            shape = f"{kind}-plain" if plain else kind
            name = dump_store.new_name(stack.APP_DATABASE, shape, table, datetime.fromisoformat(manifest.created))
            with dump_store.new(name) as folder:
                with step("dumping"):
                    dump(folder, manifest, exported, found)
                manifest.rows = {f"{row['schema']}.{row['name']}": 0 for row in found} if kind != "schema" else {}
                with step("reading back"):
                    read_back(folder, manifest)
                manifest.seconds = round(time.monotonic() - began, 3)
                made = dump_store.finish(folder, manifest)
    if kind == "full":
        record(manifest)
    return {"name": made.name, **vars(manifest), "bytes": manifest.bytes}


def record(manifest: Manifest) -> None:
    """Write the newest full dump's metrics for Prometheus. A folder that can't be written is only noted."""
    values = {
        "newest_timestamp_seconds": (
            "The instant that the newest full dump holds.",
            datetime.fromisoformat(manifest.created).timestamp(),
        ),
        "newest_bytes": ("Its size.", manifest.bytes),
    }
    lines = [
        f"# HELP flaglearning_dump_{name} {help}\n# TYPE flaglearning_dump_{name} gauge\n"
        f"flaglearning_dump_{name} {value}\n"
        for name, (help, value) in values.items()
    ]
    try:
        reports.replace({"flaglearning_dump.prom": "".join(lines)})
    except OperationError:
        note("the dump's metrics were not written to REPORTS_DIR")


@contextmanager
def snapshot(connection: Connection) -> Iterator[tuple[str, Manifest]]:
    """An instant of the database that other sessions can look at while this lasts."""
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
    environment = {**stack.client_environment(), "PGAPPNAME": "dump"}
    client_tools.run(["pg_dump", *options(folder, manifest, exported, tables)], environment, "./scripts/ops doctor")


def options(folder: Path, manifest: Manifest, exported: str, tables: list[Row]) -> list[str]:
    """pg_dump's. Owners and privileges are the policy's (pg/sql), not a dump's: what is restored gets today's."""
    given = ["--no-owner", "--no-privileges", f"--snapshot={exported}", "--no-password"]
    given += [f"--exclude-extension={name}" for name in POLICY_EXTENSIONS]
    if manifest.kind in ("schema", "data"):
        given.append(f"--{manifest.kind}-only")
    if manifest.kind == "table":
        # In double quotes every character of a pattern stands for itself. Its indexes may need extensions, which
        # pg_dump leaves out with --table unless they are named.
        given += ["--strict-names", f"--table={quoted(tables[0]['schema'], tables[0]['name'])}", "--extension=*"]
    if manifest.plain:
        return [*given, "--format=plain", f"--file={folder / 'dump.sql'}"]
    workers = client_tools.jobs()
    return [*given, "--format=directory", f"--jobs={workers}", f"--compress={COMPRESSION}", f"--file={folder / 'dump'}"]


def quoted(*parts: str) -> str:
    """A name as pg_dump's and psql's patterns take it literally."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def read_back(folder: Path, manifest: Manifest) -> None:
    """Read every byte as a restore will; record the rows of each table, and size and checksum of each file.

    Rows are counted in the dump, not in the database: a query there would plan, and so evaluate the constant parts of
    index expressions, which are the tables' owner's, with the rights of ops. pg_dump's COPY plans nothing.
    """
    made = Dump(folder, manifest)
    counted = row_counts(made)
    if manifest.kind != "schema":
        manifest.rows = {name: counted.get(name, 0) for name in manifest.rows}
    for name, path in dump_store.files(folder).items():
        manifest.files[name] = {"bytes": path.stat().st_size, "sha256": dump_store.checksum(path)}


def row_counts(made: Dump) -> dict[str, int]:
    """SCHEMA.TABLE → rows, of the whole dump. Raises OperationError unless the client tools can read all of it."""
    if made.manifest.plain:
        with made.dump.open("rb") as file:
            file.seek(max(0, made.dump.stat().st_size - 4096))
            if b"-- PostgreSQL database dump complete" not in file.read():
                raise dump_store.damaged(made.folder, "its end is missing")
            file.seek(0)
            return copied_rows(file)
    # The whole of it is decompressed and turned into SQL.
    command = ["pg_restore", "--file=-", "--no-password", str(made.dump)]
    with tempfile.TemporaryFile() as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as tool:
        assert tool.stdout
        counted = copied_rows(tool.stdout)
        status = tool.wait()
        printed = os.pread(errors.fileno(), 1 << 20, 0).decode(errors="replace")
    if status:
        raise dump_store.damaged(made.folder, client_tools.ending(printed))
    return counted


COPY = re.compile(rb'COPY ("(?:[^"]|"")+"|[^\s."]+)\.("(?:[^"]|"")+"|[^\s."]+) .*FROM stdin;\r?\n')


def copied_rows(lines: Iterable[bytes]) -> dict[str, int]:
    """SCHEMA.TABLE → the lines of its COPY: text format writes a row as one line (PostgreSQL 17 docs, COPY)."""
    counts: dict[str, int] = {}
    table = ""
    for line in lines:
        if table:
            if line.rstrip(b"\r\n") == b"\\.":
                table = ""
            else:
                counts[table] += 1
        elif line.startswith(b"COPY ") and (found := COPY.fullmatch(line)):
            table = ".".join(unquoted(part.decode()) for part in found.groups())
            counts.setdefault(table, 0)
    return counts


def unquoted(name: str) -> str:
    """A name without the quotation marks that SQL needs."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
