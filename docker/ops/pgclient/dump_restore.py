"""The steps of a restore that need no superuser: plan, load, check (scripts/lib/ops/flows/restore_dump.py).

A dump is loaded into a staging database as flaglearning_restorer, in a container without any secret (`loader`): what a
dump's SQL does, it does as that role, and what pg_restore reads, it reads there. Nothing of the staging database is
evaluated, by ops or another role, before the check has found no code in it.
"""

import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pgclient import client_tools, dump_store, sql_filter, stack, toc
from pgclient.database import NO_TIMEOUT, SAFE_PATH, Connection, Row, connect, identifier, rows
from pgclient.dump_create import POLICY_EXTENSIONS
from pgclient.dump_store import FOLDER
from pgclient.progress import note, step
from pgclient.queries import load
from pgclient.sql_file import open_sql
from pgclient.verbs import verb
from user_errors import OperationError, UserError

RESTORER = "flaglearning_restorer"
NEW_NAME = re.compile(r"flaglearning_[a-z0-9_]{1,25}")
STAGING = re.compile(r"flaglearning_[a-z0-9_]+_restoring_[0-9a-f]{8}")
MEMORY_MB = 512
HINT = "read PostgreSQL's message; when an extension is missing, as after pg_dump -n or -t: add --extension NAME"
# Safe: nothing depends on the staging database yet, and the rename that publishes it waits for the disk.
BULK_LOAD = "-c synchronous_commit=off -c maintenance_work_mem={memory}MB -c max_parallel_maintenance_workers={workers}"


# ------------------------------------------------------------ plan


@verb("restore-plan")
def plan(
    name: str = "latest",
    table: str = "",
    into: str = "",
    from_database: str = "",
    external: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What would be restored, after every check that needs no staging database.

    `table`: this table only, out of any dump that has it. `into`: the new database's name. `external`: what
    dump-inspect found. Returns name, path (in DUMPS_DIR), kind, plain, database, table, rows (of the manifest).
    """
    source = external_source(name, external) if external else own_source(name, table)
    if into and not NEW_NAME.fullmatch(into):
        raise UserError(
            f"'{into}' can't be the name of a new database",
            "flaglearning_ and up to 25 small letters, digits and underscores: pg_hba.conf admits no other names",
        )
    if source["kind"] == "schema" and not into:
        raise UserError(
            "a dump of the schema has no rows: it is restored into a new database only",
            "add --into flaglearning_copy; an empty development database: ./scripts/ops reset",
        )
    with connect(database="postgres") as connection:
        ours = connection.info.server_version // 10000
        taken = connection.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", [into]).fetchone()
    if into and taken is not None:
        raise UserError(f"the database {into} exists already: it is not changed", "choose another name for --into")
    if source["major"] > ours:
        raise UserError(
            f"{source['name']} can't be restored: it comes from PostgreSQL {source['major']}, this server is {ours}",
            f"restore it on a server of version {source['major']}",
        )
    if source["database"] and not external and source["database"] not in (stack.APP_DATABASE, from_database):
        raise UserError(
            f"{source['name']} is a dump of another database: {source['database']}, not {stack.APP_DATABASE}",
            f"add --from-database {source['database']} to restore it anyway",
        )
    return source


def own_source(name: str, table: str) -> dict[str, Any]:
    """A dump of ours, with every byte compared with its checksum."""
    found = dump_store.find(name, "full" if name == "latest" else None)
    manifest = found.manifest
    wanted = full_name(table, manifest.rows) if table else manifest.table
    if table and manifest.kind != "schema" and wanted not in manifest.rows:
        raise UserError(f"{found.name} has no table {table}", f"it has: {', '.join(sorted(manifest.rows)) or 'none'}")
    with step("checking the dump"), found.in_use():
        found.check()
    return {
        "name": found.name, "path": str(found.dump.relative_to(FOLDER)), "kind": manifest.kind, "plain": manifest.plain,
        "database": manifest.database, "major": manifest.major, "rows": manifest.rows, "table": wanted,
    }  # fmt: skip


def full_name(table: str, known: dict[str, int]) -> str:
    """SCHEMA.TABLE for a name as people type it."""
    return table if table in known else f"public.{table}"


def external_source(name: str, external: dict[str, Any]) -> dict[str, Any]:
    """What dump-inspect found."""
    version = str(external["server_version"])
    return {
        "name": name, "path": name, "kind": "full", "plain": external["plain"], "database": external["database"],
        "major": int(version.partition(".")[0] or 0), "rows": {}, "table": "",
    }  # fmt: skip


@verb("definitions-create")
def definitions() -> dict[str, Any]:
    """The definitions of the application's tables, without rows, keys and indexes: {"path"}.

    A dump of data is loaded on top of them. definitions-remove removes the file.
    """
    folder = FOLDER / f"{dump_store.PARTIAL}definitions-{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o700)
    given = ["--section=pre-data", "--no-owner", "--no-privileges", "--no-password", "--format=custom"]
    given += [f"--exclude-extension={name}" for name in POLICY_EXTENSIONS]
    file = folder / "definitions.dump"
    client_tools.run(["pg_dump", *given, f"--file={file}"], stack.client_environment(), "./scripts/ops doctor")
    return {"path": str(file.relative_to(FOLDER))}


@verb("definitions-remove")
def remove_definitions(path: str) -> None:
    """Remove what definitions-create made."""
    file = FOLDER / path
    file.unlink(missing_ok=True)
    file.parent.rmdir()


# ------------------------------------------------------------ load: in the container `loader`


@verb("restore-load")
def restore_load(
    database: str,
    path: str,
    plain: bool,
    only_rows_of: str = "",
    keys: bool = True,
    schema_only: bool = False,
    extensions: list[str] | None = None,
    schema: str = "",
) -> None:
    """Load a dump into a staging database. Standard input: the restorer's password. Raises OperationError.

    `only_rows_of`: the rows of this table (SCHEMA.TABLE) only. `keys`: with foreign keys. `schema_only`: without rows.
    `extensions`: created first; trusted ones only. `schema`: created first; pg_dump --table leaves it out.
    """
    client_tools.obey_termination()
    environment = restorer(database, sys.stdin.readline().strip())
    available = allowed_extensions(environment)

    def allowed(extension: str) -> bool:
        if extension not in available and extension not in POLICY_EXTENSIONS:
            note(
                f"left out: the extension {extension}, which is not available here, or not to a role without superuser"
            )
        return extension in available

    with step("loading"):
        if schema:
            with connection_of(environment) as connection:
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        create_extensions(environment, extensions or [], available)
        if plain:
            load_sql(FOLDER / path, environment, allowed)
        else:
            load_archive(FOLDER / path, environment, allowed, only_rows_of, keys, schema_only)


def restorer(database: str, password: str) -> dict[str, str]:
    """The environment for a client tool that logs in as the restorer."""
    if not STAGING.fullmatch(database):
        raise UserError(f"'{database}' is not a staging database", "./scripts/ops restore dump creates one")
    passfile = Path("/tmp/.pgpass-restorer")  # noqa: S108 - this container's own tmpfs
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:*:{RESTORER}:{password}\n")
    given = {**stack.parameters("ops", database), "user": RESTORER, "application_name": "restore"}
    names = {"dbname": "PGDATABASE", "application_name": "PGAPPNAME"}
    variables = {names.get(key, "PG" + key.upper()): value for key, value in given.items()}
    cpus = os.cpu_count() or 1
    jobs = client_tools.jobs()
    bulk = BULK_LOAD.format(memory=MEMORY_MB // jobs, workers=max(0, cpus - jobs))
    return {**os.environ, **variables, "PGPASSFILE": str(passfile), "PGOPTIONS": bulk}


def create_extensions(environment: dict[str, str], wanted: list[str], available: set[str]) -> None:
    """In the schema public. Raises UserError for one that a role without superuser can't create."""
    for name in wanted:
        if name not in available:
            raise UserError(
                f"the extension {name} can't be created by this restore", f"one of: {', '.join(sorted(available))}"
            )
        with connection_of(environment) as connection:
            statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public")
            connection.execute(statement.format(sql.Identifier(name)))


def allowed_extensions(environment: dict[str, str]) -> set[str]:
    """Those that a role without superuser may create: trusted ones (PostgreSQL 17 docs, CREATE EXTENSION)."""
    with connection_of(environment) as connection:
        query = "SELECT DISTINCT name::text FROM pg_catalog.pg_available_extension_versions WHERE trusted"
        found = {row["name"] for row in connection.execute(query).fetchall()}
    return found - set(POLICY_EXTENSIONS)


def connection_of(environment: dict[str, str]) -> Connection:
    """A session of the restorer's."""
    options = " ".join(f"-c {name}={value}" for name, value in SAFE_PATH.items())
    return psycopg.connect(
        host=environment["PGHOST"], dbname=environment["PGDATABASE"], user=RESTORER, passfile=environment["PGPASSFILE"],
        sslmode="verify-full", sslrootcert=environment["PGSSLROOTCERT"], options=options, row_factory=dict_row,
    )  # fmt: skip


def load_archive(
    dump: Path, environment: dict[str, str], allowed: Any, only_rows_of: str, keys: bool, schema_only: bool
) -> None:
    """pg_restore, in parallel where the format allows it, up to the first error."""
    listing = subprocess.run(["pg_restore", "--list", str(dump)], capture_output=True, text=True, check=False)
    if listing.returncode:
        raise OperationError("the dump can't be read", dump_store.LIST, client_tools.ending(listing.stderr))
    wanted = Path("/tmp/restore.list")  # noqa: S108 - this container's own tmpfs
    wanted.write_text("\n".join(toc.restored(toc.entries(listing.stdout), allowed, only_rows_of, keys)))
    command = ["pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-password"]
    command += ["--no-publications", "--no-subscriptions", "--no-security-labels", f"--use-list={wanted}"]
    if "Format: TAR" not in listing.stdout:
        command.append(f"--jobs={client_tools.jobs()}")
    if schema_only:
        command.append("--schema-only")
    client_tools.run([*command, f"--dbname={environment['PGDATABASE']}", str(dump)], environment, HINT)


def load_sql(file: Path, environment: dict[str, str], allowed: Any) -> None:
    """psql, up to the first error, without its own commands: a backslash in a dump could run programs or read files."""
    command = ["psql", "--no-psqlrc", "--quiet", "--no-password", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    command += ["--output=/dev/null", "--file=-"]
    reader, writer = os.pipe()
    # The thread ends with the file, or when psql is gone and nothing reads any more.
    threading.Thread(target=feed, args=(file, writer, allowed), daemon=True).start()
    with os.fdopen(reader, "rb") as source:
        client_tools.run(command, environment, HINT, source)


def feed(file: Path, writer: int, allowed: Any) -> None:
    """Write a file of SQL into psql's input, with psql's own commands locked away (\\restrict) for all of it."""
    key = os.urandom(32).hex()
    try:
        with open_sql(file) as lines, os.fdopen(writer, "wb") as psql:
            psql.write(rf"\restrict {key}".encode() + b"\n")
            for text in sql_filter.filtered(lines, allowed):
                psql.write(text)
    except BrokenPipeError:
        pass


# ------------------------------------------------------------ check


@verb("restore-check")
def check(
    database: str, name: str, rows_expected: dict[str, int], with_code: bool = False, complete: bool = False
) -> dict[str, Any]:
    """Whether the staging database is what it should be: no code (unless `with_code`), tables, as many rows as counted.

    `complete`: it has to have the application's tables. The planner's statistics are made. Returns {"later": migrations
    that came after the dump, "tables": their number}. Raises OperationError.
    """
    with connect(database=database, settings=NO_TIMEOUT) as connection:
        # First, and from the catalog alone: until it is known that there is no code, nothing of it is evaluated.
        code = rows(connection, load("external_code"))
        if code and not with_code:
            found = ", ".join(f"{row['kind']} {row['name']}" for row in code[:10])
            more = f" and {len(code) - 10} more" if len(code) > 10 else ""
            raise OperationError(
                f"{name} contains code, which would run with the rights of the roles that use its tables",
                "read it; add --with-code to restore it with its code",
                found + more,
            )
        tables = rows(connection, load("stored_tables"))
        if not tables:
            raise OperationError(f"{name} has no tables", dump_store.LIST)
        later = missing_tables(database, name, tables) if complete else []
    # As the owner of what is evaluated from here on.
    analyze(database, tables)
    counted = count(database, [row for row in tables if f"{row['schema']}.{row['name']}" in rows_expected])
    if counted != rows_expected:
        differ = [f"{t}: {counted.get(t, 0)} instead of {n}" for t, n in rows_expected.items() if counted.get(t) != n]
        raise OperationError(
            "the restored rows are not those of the dump", "./scripts/ops dump verify", ", ".join(differ)
        )
    return {"later": later, "tables": len(tables)}


def missing_tables(database: str, name: str, tables: list[Row]) -> list[str]:
    """Raises OperationError when tables of the application are missing, unless migrations explain it: those, then."""
    has = {f"{row['schema']}.{row['name']}" for row in tables}
    try:
        with connect() as connection:
            wanted = {f"{row['schema']}.{row['name']}" for row in rows(connection, load("stored_tables"))}
        now = applied("readonly") if "public.django_migrations" in wanted else set()
    except OperationError as error:  # the application's database is gone, which is when a restore matters most
        if "does not exist" not in error.reason:
            raise
        return []
    if not wanted - has:
        return []
    then = applied("migrator", database) if "public.django_migrations" in has else set()
    if then and then < now:
        return sorted(now - then)
    raise OperationError(
        f"{name} is not a dump of the application: it lacks tables",
        "add --into flaglearning_NAME to restore it into a new database",
        ", ".join(sorted(wanted - has)),
    )


def applied(role: stack.RoleKey, database: str = "") -> set[str]:
    """The migrations that a database has had, as a role that is not privileged there: a query evaluates something."""
    with connect(role, database) as connection:
        return {f"{row['app']} {row['name']}" for row in rows(connection, load("migrations"), limit="100000")}


def count(database: str, tables: list[Row]) -> dict[str, int]:
    """SCHEMA.TABLE → its rows. As the tables' owner: planning a query evaluates parts of index expressions."""
    counts = {}
    with connect("migrator", database, NO_TIMEOUT) as connection:
        for row in tables:
            query = sql.SQL("SELECT pg_catalog.count(*) AS rows FROM ONLY {}")
            found = connection.execute(query.format(identifier(row["schema"], row["name"]))).fetchone()
            assert found
            counts[f"{row['schema']}.{row['name']}"] = found["rows"]
    return counts


def analyze(database: str, tables: list[Row]) -> None:
    """The planner's statistics, on all processors."""

    def some(share: list[Row]) -> None:
        names = sql.SQL(", ").join(identifier(row["schema"], row["name"]) for row in share)
        with connect("migrator", database, NO_TIMEOUT) as connection:
            connection.execute(sql.SQL("ANALYZE {}").format(names))

    jobs = client_tools.jobs()
    largest_first = sorted(tables, key=lambda row: -row["estimated_rows"])
    shares = [share for first in range(jobs) if (share := largest_first[first::jobs])]
    with step("ANALYZE"), ThreadPoolExecutor(jobs) as pool:
        list(pool.map(some, shares))
