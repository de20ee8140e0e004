"""Sessions that wait, and ending one."""
# ruff: noqa: S608 - the ids pasted into SQL are the server's own

import contextlib
import re
import threading
from collections.abc import Iterator

import psycopg
import pytest

from support.ops import Ops
from support.postgres import Postgres
from testing.shell import eventually


@pytest.fixture
def blocked(postgres: Postgres) -> Iterator[list[int]]:
    """Three sessions: the first holds a lock, the second waits for it, the third for the second."""
    connections = [postgres.connect("migrator") for _ in range(3)]
    threads = []
    connections[0].execute("BEGIN; LOCK TABLE flags_country IN ROW EXCLUSIVE MODE")

    def ask(connection: psycopg.Connection, mode: str) -> None:
        with contextlib.suppress(psycopg.Error):
            connection.execute(f"BEGIN; SET LOCAL lock_timeout = '30s'; LOCK flags_country IN {mode} MODE".encode())

    pids = [connection.info.backend_pid for connection in connections]
    for connection, mode in zip(connections[1:], ("SHARE", "ROW EXCLUSIVE"), strict=True):
        threads.append(threading.Thread(target=ask, args=(connection, mode)))
        threads[-1].start()
        waits = f"SELECT 1 FROM pg_stat_activity WHERE pid = {connection.info.backend_pid} AND wait_event_type = 'Lock'"
        eventually(lambda waits=waits: postgres.value("ops", waits), within=10)  # type: ignore[misc]
    yield pids
    for pid in pids:
        postgres.superuser(f"SELECT pg_terminate_backend({pid}, 2000)")
    for thread in threads:
        thread.join(10)
    for connection in connections:
        connection.close()


def test_no_session_waits(ops: Ops) -> None:
    assert ops("blocking").lines == ["no session waits for a lock"]


def test_the_session_that_holds_the_lock_is_the_root(ops: Ops, blocked: list[int]) -> None:
    result = ops("blocking")
    assert result.status == 1
    indents = {
        pid: next(line.index(str(pid)) for line in result.lines if re.search(rf"\b{pid}\b", line)) for pid in blocked
    }
    assert indents[blocked[0]] < indents[blocked[1]] < indents[blocked[2]]


def test_ending_the_root_lets_the_others_go_on(ops: Ops, blocked: list[int]) -> None:
    assert ops("terminate", str(blocked[0]), "--yes").status == 0
    waiting = {row["pid"]: row["blocked_by"] for row in ops("blocking", "--json").json}
    assert waiting == {blocked[1]: [], blocked[2]: [blocked[1]]}


def test_a_cancelled_session_stays(ops: Ops, blocked: list[int]) -> None:
    assert ops("cancel", str(blocked[1]), "--yes").status == 0
    pids = {row["pid"] for row in ops("sessions", "--over", "0", "--json").json}
    assert {blocked[0], blocked[1]} <= pids


def test_long_ones_are_listed(ops: Ops, blocked: list[int]) -> None:
    assert blocked[0] in {row["pid"] for row in ops("sessions", "--over", "0", "--json").json}
    assert blocked[0] not in {row["pid"] for row in ops("sessions", "--over", "3600", "--json").json}


def test_it_names_the_session_and_asks(ops: Ops, blocked: list[int]) -> None:
    result = ops("terminate", str(blocked[0]))
    assert result.status == 2
    assert f"{blocked[0]}: flaglearning_migrator in flaglearning_dev" in result.err
    assert "--yes" in result.err


def test_the_superusers_session_is_never_ended(ops: Ops, postgres: Postgres) -> None:
    sleeper = threading.Thread(target=lambda: postgres.superuser("SELECT pg_sleep(8)"))
    sleeper.start()
    pid = eventually(
        lambda: postgres.value("ops", "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(8)'"), within=10
    )
    for command in ("cancel", "terminate"):
        result = ops(command, str(pid), "--yes")
        assert result.status == 1
        assert "a superuser's session" in result.err
    sleeper.join()


def test_the_servers_own_processes_are_never_ended(ops: Ops, postgres: Postgres) -> None:
    pid = postgres.value("ops", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    assert "a process of the server itself" in ops("terminate", str(pid), "--yes").err


def test_no_such_session(ops: Ops) -> None:
    assert ops("terminate", "999999", "--yes").status == 4
