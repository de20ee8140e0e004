"""A new database in which a restore happens: what it may cost if the dump is broken or hostile is that database.

The dump is loaded as flaglearning_restorer, a role made for this one restore: it owns this one database, may connect
to no other, and is a member of nothing. Databases and roles are made by the superuser's clerk
(docker/postgres/database-clerk), which ./scripts/ops starts beside this container; its docstring says how the two
talk. While it lasts, this session holds the lock of restores; when it ends, whatever way, the clerk drops what was
not published.
"""

import contextlib
import gzip
import os
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from flagops import client_tools, stack
from flagops.backup import UNHURRIED, CopyWatch, jobs
from flagops.database import Connection, Row, connect, rows
from flagops.errors import Refused
from flagops.progress import step
from flagops.queries import load

RESTORER = "flaglearning_restorer"
LOCK = (5432, 3)
CLERK_WITHIN = 60  # seconds for it to start
CLERK_WORKS = 600  # … and to do one thing
# What a database that nobody uses yet can do without: the commit that publishes it waits for the disk, and so for all
# that was written before it.
IN_A_HURRY = "-c synchronous_commit=off -c maintenance_work_mem={memory} -c max_parallel_maintenance_workers={workers}"


class Scratch:
    """The database, from its making to its end."""

    def __init__(self, lock: Connection, token: str) -> None:
        self.lock, self.token = lock, token
        self.name = f"{stack.APP_DATABASE}_restoring_{token}"

    def ask(self, wish: str) -> None:
        """Have the clerk do something; wait until it is done."""
        self.lock.execute(
            "SELECT pg_catalog.set_config('application_name', %s, false)", [f"restore:{self.token}:{wish}"]
        )
        done = f"clerk:{self.token}:{wish.partition(':')[0]}"
        began, seen = time.monotonic(), False
        while time.monotonic() - began < (CLERK_WORKS if seen else CLERK_WITHIN):
            said = {row["name"] for row in self.lock.execute(CLERKS, [f"clerk:{self.token}:%"]).fetchall()}
            if done in said:
                return
            if seen and not said:
                raise Refused(
                    f"the superuser's part of the restore ended before it had done this: {wish}.",
                    "its message is above",
                )
            seen = seen or bool(said)
            time.sleep(0.05)
        if seen:
            raise Refused(
                "the superuser's part of the restore doesn't answer.", "docker compose logs --tail 20 postgres"
            )
        raise Refused("the superuser's part of the restore isn't there.", "run it as ./scripts/ops restore …")

    # ------------------------------------------------------------ loading

    def environment(self) -> dict[str, str]:
        """For a client tool, as the restorer."""
        environment = stack.client_environment("migrator", self.name)
        passfile = Path(environment["PGPASSFILE"])
        passfile.write_text(passfile.read_text().replace(stack.role_name("migrator"), RESTORER, 1))
        hurry = IN_A_HURRY.format(memory=f"{MEMORY_MB // jobs()}MB", workers=max(0, (os.cpu_count() or 1) - jobs()))
        return {**environment, "PGUSER": RESTORER, "PGAPPNAME": f"restoring {self.token}", "PGOPTIONS": hurry}

    def load_archive(self, dump: Path, expected_rows: int, without: str = "") -> None:
        """pg_restore, in parallel, up to the first error. `without` is a kind of entry to leave out."""
        listing = subprocess.run(["pg_restore", "--list", str(dump)], capture_output=True, text=True, check=False)
        if listing.returncode:
            raise Refused(
                "the dump can't be read.",
                "./scripts/ops backups list shows others",
                client_tools.ending(listing.stderr),
            )
        # Extensions are made by pg/sql, as the superuser; a comment on one may only be written by its owner.
        unwanted = re.compile(rf"^\d+; \d+ \d+ (COMMENT - )?(EXTENSION{'|' + without if without else ''}) ")
        entries = [line for line in listing.stdout.splitlines() if not unwanted.match(line)]
        wanted = Path("/tmp/restore.list")  # noqa: S108 - this container's own tmpfs
        wanted.write_text("\n".join(entries))
        command = ["pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password", "--verbose"]
        command += [f"--jobs={jobs()}", f"--use-list={wanted}", f"--dbname={self.name}", str(dump)]
        items = sum(1 for line in entries if line and not line.startswith(";"))
        with self.watched(expected_rows, items) as tick:
            client_tools.run(command, self.environment(), "./scripts/ops backups verify", tick)

    @contextmanager
    def watched(self, expected_rows: int, items: int = 0) -> Iterator[Callable[[str], None]]:
        """Progress of a load: the rows first, then the indexes and keys."""
        with connect(database="postgres") as watcher, step("loading", "rows", expected_rows or None) as progress:
            watch = CopyWatch(watcher, f"restoring {self.token}", progress)

            def tick(printed: str) -> None:
                watch.tick()
                if INDEXING.search(printed):
                    progress.at(max(progress.done, expected_rows))
                    progress.stage(f"{printed.count('finished item')}/{items}")

            yield tick
            progress.at(max(progress.done, expected_rows))

    def load_sql(self, file: Path, expected_rows: int) -> None:
        """psql, in one transaction, up to the first error, and without its own commands: a backslash in a stranger's
        file could run programs or read files in this container.
        """
        command = ["psql", "--no-psqlrc", "--quiet", "--no-password", "--single-transaction", "--set=ON_ERROR_STOP=1"]
        command += ["--output=/dev/null", f"--dbname={self.name}", "--file=-"]
        reader, writer = os.pipe()
        # It ends by itself: with the file, or when psql is gone and nobody reads any more.
        threading.Thread(target=feed, args=(file, writer), daemon=True).start()
        with os.fdopen(reader, "rb") as source, self.watched(expected_rows) as tick:
            client_tools.run(command, self.environment(), "./scripts/ops backups list", tick, source)


def feed(file: Path, writer: int) -> None:
    """Write a file of SQL for psql into a pipe, with psql's own commands locked away for all of it.

    Owners, privileges and extensions are left out, as pg_restore does for an archive: they are the policy's (pg/sql).
    """
    key = secrets.token_hex(32)
    own, copying = b"", False
    with contextlib.suppress(BrokenPipeError), open_sql(file) as lines, os.fdopen(writer, "wb") as psql:
        psql.write(rf"\restrict {key}".encode() + b"\n")
        for number, line in enumerate(lines):
            if copying:
                copying = line != b"\\.\n"
            elif POLICYS.match(line):
                continue
            # pg_dump locks them away too (17.6 and newer): its own two lines would be refused as any other.
            elif not own and number < HEADER_LINES and (found := RESTRICT.fullmatch(line)):
                own = found[1]
                continue
            elif own and line == b"\\unrestrict " + own:
                continue
            else:
                copying = line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n")
            psql.write(line)


def open_sql(file: Path) -> IO[bytes]:
    """A file of SQL; .gz is unpacked."""
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")  # type: ignore[return-value]


HEADER_LINES = 20
POLICYS = re.compile(
    rb"ALTER [A-Z ]+ .+ OWNER TO [^;]+;$|(CREATE|COMMENT ON) EXTENSION .*;$"
    rb"|(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) .*;$"
)
RESTRICT = re.compile(rb"\\restrict ([A-Za-z0-9]+\n)")
# pg_restore --verbose, after the rows
INDEXING = re.compile(r"launching item \d+ (INDEX|CONSTRAINT|FK CONSTRAINT)")
MEMORY_MB = 512
CLERKS = """SELECT application_name AS name FROM pg_catalog.pg_stat_activity
            WHERE usename = 'postgres' AND backend_type = 'client backend' AND application_name LIKE %s"""


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A new, empty database; the only restore that is under way."""
    token = os.environ.get("RESTORE_TOKEN", "")
    if not re.fullmatch(r"[0-9a-f]{8}", token):
        raise Refused("a restore needs the superuser's part beside it.", "run it as ./scripts/ops restore …")
    with connect(database="postgres", settings=UNHURRIED) as lock:
        lock.execute("SELECT pg_catalog.set_config('application_name', %s, false)", [f"restore:{token}:wait"])
        row = lock.execute("SELECT pg_catalog.pg_try_advisory_lock(%s, %s) AS ours", LOCK).fetchone()
        if not (row and row["ours"]):
            raise under_way(lock)
        made = Scratch(lock, token)
        with step("making a database"):
            made.ask("create")
        yield made


def under_way(connection: Connection) -> Refused:
    """Somebody else is restoring; who, and since when."""
    found: list[Row] = rows(connection, load("restore_running"))
    who = ", ".join(
        f"session {row['pid']} of {row['role']} from {row['address']} ({row['name']}),"
        f" since {row['since']:%Y-%m-%d %H:%M:%S}"
        for row in found
    )
    return Refused("another restore is under way.", "wait until it is done; ./scripts/ops sessions shows it", who)
