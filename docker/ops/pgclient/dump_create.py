"""Create dumps: pg_dump as flaglearning_ops, which may read every row and change none, over verified TLS.

Everything in a dump is of one instant: a snapshot that is exported once, and that pg_dump's workers and the counting of
rows import. When it is written it is read back, and only then gets its name (dump_store.py).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import sql

from pgclient import catalog, client_tools, dump_store, stack
from pgclient.database import NO_TIMEOUT, Connection, Row, connect, identifier, rows
from pgclient.dump_store import Dump, Kind, Manifest
from pgclient.progress import step
from pgclient.queries import load
from pgclient.verbs import verb
from user_errors import UserError

# Measured (./scripts/bench backups): from level 3 on a file gets smaller by little and takes far longer.
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
            wanted = catalog.table(connection, table)
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
                if kind != "schema":
                    with step("counting rows"):
                        manifest.rows = count(connection, found)
                with step("reading back"):
                    read_back(folder, manifest)
                manifest.seconds = round(time.monotonic() - began, 3)
                made = dump_store.finish(folder, manifest)
    return {"name": made.name, **vars(manifest), "bytes": manifest.bytes}


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
        # In double quotes every character of a pattern stands for itself.
        given += ["--strict-names", f"--table={quoted(tables[0]['schema'], tables[0]['name'])}"]
    if manifest.plain:
        return [*given, "--format=plain", f"--file={folder / 'dump.sql'}"]
    workers = client_tools.jobs()
    return [*given, "--format=directory", f"--jobs={workers}", f"--compress={COMPRESSION}", f"--file={folder / 'dump'}"]


def quoted(*parts: str) -> str:
    """A name as pg_dump's and psql's patterns take it literally."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def count(connection: Connection, tables: list[Row]) -> dict[str, int]:
    """The rows of each table, in the snapshot of the connection's transaction."""
    counts = {}
    for row in tables:
        query = sql.SQL("SELECT pg_catalog.count(*) AS rows FROM ONLY {}")
        found = connection.execute(query.format(identifier(row["schema"], row["name"]))).fetchone()
        assert found
        counts[f"{row['schema']}.{row['name']}"] = found["rows"]
    return counts


def read_back(folder: Path, manifest: Manifest) -> None:
    """Read every byte as a restore will; record sizes and checksums."""
    readable(Dump(folder, manifest))
    for name, path in dump_store.files(folder).items():
        manifest.files[name] = {"bytes": path.stat().st_size, "sha256": dump_store.checksum(path)}


def readable(made: Dump) -> None:
    """Raises OperationError unless the client tools can read all of it."""
    if made.manifest.plain:
        with made.dump.open("rb") as file:
            file.seek(max(0, made.dump.stat().st_size - 4096))
            if b"-- PostgreSQL database dump complete" not in file.read():
                raise dump_store.damaged(made.folder, "its end is missing")
        return
    # The whole of it is decompressed and turned into SQL, which is thrown away.
    command = ["pg_restore", "--file=/dev/null", "--no-password", str(made.dump)]
    try:
        client_tools.run(command, dict(os.environ), dump_store.LIST)
    except client_tools.ToolFailed as failed:
        raise dump_store.damaged(made.folder, failed.reason) from None
