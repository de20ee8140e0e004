"""Writers through PgBouncer while the primary is replaced: what each was told, for scripts/lib/failover_history.py.

Each operation is a line of JSON on standard output as soon as it has ended: kind, id, writer, start and end (seconds of
the machine's monotonic clock), outcome, and what the server returned. The outcome is `ok` (acknowledged), `failed`
(certainly not done) or `unknown`.
"""

import contextlib
import itertools
import json
import select
import sys
import threading
import time
from typing import Any, LiteralString

import psycopg
import psycopg.rows
from psycopg.conninfo import make_conninfo

from pgclient import stack
from pgclient.database import NO_TIMEOUT, Connection, connect
from pgclient.verbs import verb
from user_errors import Failure, OperationError

MEMBER: LiteralString = "pg_catalog.current_setting('flaglearning.member', true) AS member"
# kind → a statement with the operation's id, and a row for an answer.
# ruff: noqa: S608 - constants
STATEMENTS: dict[str, LiteralString] = {
    "row": "INSERT INTO public.failover_row (id) VALUES (%s) RETURNING " + MEMBER,
    "register": "UPDATE public.failover_register SET v = v + 1, by = %s RETURNING v, " + MEMBER,
    "list": "UPDATE public.failover_list SET items = items || %s::bigint RETURNING "
    "pg_catalog.array_length(items, 1) AS length, pg_catalog.md5(pg_catalog.array_to_string(items, ',')) AS hash, "
    + MEMBER,
}
# Most operations are inserts, which wait for nothing but the commit; the others wait for each other's row.
KINDS = ("row", "row", "register", "row", "row", "list")
TABLES = ("failover_row", "failover_register", "failover_list")
CREATE = """
    CREATE TABLE public.failover_row (id bigint PRIMARY KEY);
    CREATE TABLE public.failover_register (v bigint NOT NULL, by bigint NOT NULL);
    INSERT INTO public.failover_register VALUES (0, 0);
    CREATE TABLE public.failover_list (items bigint[] NOT NULL);
    INSERT INTO public.failover_list VALUES ('{}')"""
# PgBouncer's own errors before it has sent anything to a server (pgbouncer 1.24, doc/faq and src/janitor.c).
NOT_SENT = (
    "query_wait_timeout",
    "server login has been failing",
    "no more connections allowed",
    "client_login_timeout",
)
# The transaction was rolled back. Not 57P01, which may come while a commit waits for a standby.
ROLLED_BACK = ("25006", "40001", "40P01", "55P03", "57014")
RETRY = 0.1  # seconds until a writer connects again
RECOVERED_WITHIN = 60.0  # seconds, to read the result


@verb("failover-load")
def failover_load(writers: int = 8, rate: float = 20, seconds: float = 120, keep: bool = False) -> dict[str, Any]:
    """Write until standard input ends, or for `seconds`; `rate` operations a second for each writer.

    Returns {"rows": ids, "register": number, "list": ids}: what the primary has in the end. Its tables are dropped
    unless `keep`.
    """
    create_tables()
    ended = threading.Event()
    numbers = itertools.count(1)
    threads = [threading.Thread(target=write, args=(n, 1 / rate, numbers, ended)) for n in range(writers)]
    for thread in threads:
        thread.start()
    select.select([sys.stdin], [], [], seconds)
    ended.set()
    for thread in threads:
        thread.join()
    try:
        return final()
    finally:
        if not keep:
            with contextlib.suppress(Failure, psycopg.Error):
                drop_tables()


def create_tables() -> None:
    """New, empty ones; those of a run that was killed are dropped first."""
    drop_tables()
    with connect("migrator", settings=NO_TIMEOUT) as owner:
        owner.execute(CREATE)


def drop_tables() -> None:
    """Drop the load's tables."""
    with connect("migrator", settings={"lock_timeout": "5s"}) as owner:
        for table in TABLES:
            owner.execute(f"DROP TABLE IF EXISTS public.{table}")


def write(writer: int, pause: float, numbers: "itertools.count[int]", ended: threading.Event) -> None:
    """One writer: an operation each `pause` seconds, on a connection that it renews when it breaks."""
    connection: Connection | None = None
    kinds = itertools.cycle(KINDS[writer % len(KINDS) :] + KINDS[: writer % len(KINDS)])
    while not ended.is_set():
        number, kind, start = next(numbers), next(kinds), time.monotonic()
        answer: dict[str, Any] = {}
        outcome, reason = "failed", ""
        try:
            connection = connection or open_connection()
        except (psycopg.Error, Failure) as error:
            reason = str(error)
        else:
            outcome, answer, reason = execute(connection, kind, number)
            if connection.closed or connection.broken:
                connection = None
        end = time.monotonic()
        report(kind=kind, id=number, writer=writer, start=start, end=end, outcome=outcome, reason=reason, **answer)
        ended.wait(RETRY if connection is None else max(0.0, start + pause - end))
    if connection:
        connection.close()


def open_connection() -> Connection:
    """As the application has it, with warnings kept (`warned`)."""
    parameters = stack.parameters("app", endpoint=stack.PGBOUNCER)
    target = make_conninfo("", **parameters, password=stack.password("app"))
    connection: Connection = psycopg.connect(
        target, autocommit=True, row_factory=psycopg.rows.dict_row, cursor_factory=psycopg.ClientCursor
    )
    return connection


def execute(connection: Connection, kind: str, number: int) -> tuple[str, dict[str, Any], str]:
    """One operation: its outcome, what the server returned, and the error's text."""
    warnings: list[str] = []

    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        warnings.append(diagnostic.message_primary or "")

    connection.add_notice_handler(notice)
    try:
        answer = connection.execute(STATEMENTS[kind], [number]).fetchone()
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        return outcome_of(error.sqlstate, said), {}, said
    finally:
        connection.remove_notice_handler(notice)
    # "has already committed locally, but might not have been replicated": a wait for a standby that was cancelled
    return ("unknown" if warnings else "ok"), dict(answer or {}), "; ".join(warnings)


def outcome_of(sqlstate: str | None, message: str) -> str:
    """`failed` for an error after which the operation is certainly not done, `unknown` for any other."""
    certain = sqlstate in ROLLED_BACK or any(text in message for text in NOT_SENT)
    return "failed" if certain else "unknown"


REPORTING = threading.Lock()


def report(**fields: Any) -> None:
    """A line of JSON."""
    with REPORTING:
        print(json.dumps(fields), flush=True)


def final() -> dict[str, Any]:
    """What the primary has, read directly. Raises OperationError when no server takes writes within a minute."""
    deadline = time.monotonic() + RECOVERED_WITHIN
    while True:
        try:
            with connect("app", settings=NO_TIMEOUT) as reader:
                rows = reader.execute("SELECT id FROM public.failover_row ORDER BY id").fetchall()
                register = reader.execute("SELECT v FROM public.failover_register").fetchone()
                items = reader.execute("SELECT items FROM public.failover_list").fetchone()
            assert register
            assert items
            return {"rows": [row["id"] for row in rows], "register": register["v"], "list": items["items"]}
        except (psycopg.Error, Failure) as error:
            if time.monotonic() > deadline:
                raise OperationError(
                    f"no server answers within {RECOVERED_WITHIN:.0f} s", "./scripts/ops cluster status", str(error)
                ) from None
            time.sleep(RETRY)
