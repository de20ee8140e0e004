"""A rehearsal of the upgrade: the newest backup is restored into the sandbox's volume, upgraded there, and compared.

The repository is only read, and no client can connect: the servers listen on a socket of this container alone. Then,
by `serve`, the application can, from a container without a network that has the same volume.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pgadmin.session import OPTIONS, OPTIONS_OF_OTHERS, Session
from pgbackup import drill, pgbackrest, recovery, restore_points
from pgbackup.notes import note
from pgupgrade import upgrade
from user_errors import OperationError

SOCKET = recovery.PRIVATE
OF_APPLICATION = upgrade.VOLUME / "socket"  # a folder; the service `rehearsal` has the volume, too
NAME = "rehearsal"  # by which `manage.py try_requests` knows that it may write rows
SINCE_17 = re.compile(r"-c (?:event_triggers|transaction_timeout)=\S+ ?")
Plan = dict[str, Any]
Contents = dict[str, Any]


def newest() -> dict[str, Any]:
    """The newest backup in the repository, and of which version of PostgreSQL: {"major", "label", "bytes"}."""
    return newest_of(pgbackrest.run("--output=json", "info", quiet=True).stdout)


def newest_of(printed: str) -> dict[str, Any]:
    """The same, of what `pgbackrest info --output=json` printed. Raises OperationError without one."""
    for stanza in json.loads(printed or "[]", strict=False):
        versions = {one["id"]: one["version"] for one in stanza["db"]}
        sound = [one for one in stanza.get("backup", []) if not one.get("error")]
        if stanza["name"] == pgbackrest.STANZA and sound:
            last = sound[-1]
            major = versions[last["database"]["id"]]
            return {"major": major, "label": last["label"], "bytes": last["info"]["size"]}
    raise OperationError("there is no backup without damaged pages to rehearse with", "./scripts/ops backup create")


def rehearse() -> dict[str, Any]:
    """{"old", "new", "backup", "seconds", "checks", "statements"}; see drill.result() and compared(). Standard input: a
    JSON list of statements of the application's database, with $1, $2 … for values."""
    statements: list[str] = json.load(sys.stdin)
    found = newest()
    label = found["label"]
    old = upgrade.VOLUME / found["major"] / "data"
    seconds: dict[str, float] = {}
    with timed(seconds, "restore"):
        old.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
        note(f"restoring {label}")
        old.mkdir(mode=0o700)
        options = (f"--set={label}", "--type=immediate", "--target-action=promote", "--archive-mode=off")
        pgbackrest.run("--no-delta", f"--pg1-path={old}", *options, "restore")
    with contextlib.ExitStack() as stack:
        with timed(seconds, "recovery"):
            stack.enter_context(running(found["major"], old))
        before, plans_before = contents(found["major"]), [plan(one) for one in statements]
    with timed(seconds, "pg_upgrade"):
        done = upgrade.in_volume()
    with contextlib.ExitStack() as stack:
        with timed(seconds, "start"):
            stack.enter_context(running(upgrade.MAJOR, upgrade.DATA))
        with timed(seconds, "statistics"):
            upgrade.execute("vacuumdb", f"--host={SOCKET}", "--username=postgres", "--all", "--quiet", "--analyze-only")
        after, plans_after = contents(upgrade.MAJOR), [plan(one) for one in statements]
    return {
        "old": done["old"],
        "new": done["new"],
        "backup": label,
        "seconds": seconds,
        "checks": drill.compare(before, after),
        "statements": [compared(*one) for one in zip(statements, plans_before, plans_after, strict=True)],
    }


def serve() -> None:
    """Be the server of the upgraded rows until standard input ends, with the settings, roles and privileges of now.

    Its word `ready` is a line of standard output. It admits the application's role, with its password, and no other.
    """
    OF_APPLICATION.mkdir(mode=0o755, exist_ok=True)
    SOCKET.mkdir(mode=0o700, exist_ok=True)
    access = SOCKET / "pg_hba.conf"
    access.write_text(admitting(os.environ["APP_DATABASE"], os.environ["APP_ROLE"]))
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": f"{SOCKET},{OF_APPLICATION}",
        "unix_socket_permissions": "0777",
        "hba_file": str(access),
        "archive_mode": "off",
        "cluster_name": NAME,
    }
    child = recovery.start(upgrade.DATA, *(word for one in settings.items() for word in ("-c", "=".join(one))))
    try:
        wait_until_ready(child, upgrade.MAJOR)
        applied = subprocess.run(
            ["pgadmin", "apply"], env={**os.environ, "PGHOST": str(SOCKET)}, stdout=subprocess.DEVNULL, check=False
        )
        if applied.returncode:
            raise OperationError("the upgraded server does not take pg/sql/apply.sql", "correct what psql names above")
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        recovery.stop(child)


def admitting(database: str, role: str) -> str:
    """A pg_hba.conf: the superuser by its user id, which another container's is not, and one role by its password."""
    return f"local all postgres peer\nlocal {database} {role} scram-sha-256\nlocal all all reject\n"


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Record how long the block takes."""
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 1)


@contextlib.contextmanager
def running(major: str, directory: Path) -> Iterator[None]:
    """A server of that version, ready for queries; stopped at the end, cleanly."""
    SOCKET.mkdir(mode=0o700, exist_ok=True)
    access = SOCKET / "pg_hba.conf"
    access.write_text("local all all trust\n")  # in this container alone, as its only user
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(SOCKET),
        "hba_file": str(access),
        "shared_preload_libraries": upgrade.LIBRARIES,
        "hot_standby": "off",
        "archive_mode": "off",
        "logging_collector": "off",
    }
    words = [f"/usr/lib/postgresql/{major}/bin/postgres", "-D", str(directory)]
    words += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with recovery.LOG.open("wb") as log:
        child = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until_ready(child, major)
        yield
    finally:
        recovery.stop(child)


def wait_until_ready(child: "subprocess.Popen[bytes]", major: str) -> None:
    """Until it has recovered and admits sessions. Raises OperationError with the end of its log if it ends instead."""
    while child.poll() is None:
        with contextlib.suppress(psycopg.OperationalError), session(major):
            return
        time.sleep(0.2)
    said = recovery.tail(recovery.LOG.read_text(errors="replace"))
    raise OperationError(
        f"PostgreSQL {major} did not start on the restored rows",
        "correct what its log says; ./scripts/ops backup verify",
        said,
    )


@contextlib.contextmanager
def session(major: str, database: str = "postgres", user: str = "postgres") -> Iterator[Session]:
    """As pgadmin.session.connect(), also of a server that does not know all of our settings."""
    options = OPTIONS if user == "postgres" else OPTIONS_OF_OTHERS
    with psycopg.connect(
        host=str(SOCKET), user=user, dbname=database, autocommit=True, row_factory=dict_row,
        cursor_factory=psycopg.ClientCursor, options=options if int(major) >= 17 else SINCE_17.sub("", options),
    ) as connection:  # fmt: skip
        yield Session(connection)


def contents(major: str) -> Contents:
    """database.schema.table → rows and hash, as the role that reads rows."""
    with session(major) as own:
        found = own.rows(
            "SELECT datname::text FROM pg_catalog.pg_database WHERE datname = %s", os.environ["APP_DATABASE"]
        )
    if not found:
        raise OperationError(
            f"the backup has no database {os.environ['APP_DATABASE']}", "./scripts/ops restore backup --sandbox"
        )
    seen: Contents = {}
    for database in ("postgres", os.environ["APP_DATABASE"]):
        with session(major, database, restore_points.VERIFIER) as reader:
            seen |= {f"{database}.{key}": value for key, value in restore_points.contents(reader).items()}
    return seen


# ------------------------------------------------------------ plans


def plan(statement: str) -> Plan:
    """The plan for any values, as the application's role, which evaluates only what it may: {"cost", "nodes"}; or
    {"reason"}. The statement is not executed."""
    role, database = os.environ["APP_ROLE"], os.environ["APP_DATABASE"]
    try:
        with psycopg.connect(host=str(SOCKET), user=role, dbname=database, autocommit=True) as session:
            session.execute(b"PREPARE rehearsal AS " + statement.encode())
            session.execute("SET plan_cache_mode = force_generic_plan")
            counted = session.execute(
                "SELECT cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements WHERE name = 'rehearsal'"
            ).fetchone()
            assert counted
            values = sql.SQL(", ").join([sql.SQL("NULL")] * counted[0])
            call = sql.SQL("({})").format(values) if counted[0] else sql.SQL("")
            explained = session.execute(sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE rehearsal") + call).fetchone()
            assert explained
            top = explained[0][0]["Plan"]
            return {"cost": top["Total Cost"], "nodes": nodes(top)}
    except psycopg.Error as error:
        return {"reason": str(error).splitlines()[0]}


def nodes(node: Plan) -> list[str]:
    """What a plan does, from the top: `Index Scan using flags_country_pkey on flags_country`."""
    name = str(node["Node Type"])
    if "Index Name" in node:
        name += f" using {node['Index Name']}"
    if "Relation Name" in node:
        name += f" on {node['Relation Name']}"
    return [name, *(one for child in node.get("Plans", []) for one in nodes(child))]


def compared(statement: str, before: Plan, after: Plan) -> dict[str, Any]:
    """A statement's plans: `plan` is same, another, or why there is none; and the planner's costs."""
    reason = before.get("reason") or after.get("reason")
    same = before.get("nodes") == after.get("nodes")
    return {
        "plan": reason or ("same" if same else "another"),
        "cost_before": before.get("cost"),
        "cost_after": after.get("cost"),
        "nodes_before": before.get("nodes"),
        "nodes_after": after.get("nodes"),
        "query": statement,
    }
