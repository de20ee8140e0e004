"""What PostgreSQL does now, and did in a day."""

import contextlib
import os
import pty
import re
import select
import subprocess
import threading
import time
from typing import LiteralString

import psycopg

from support.ops import Ops
from support.postgres import Postgres
from testing.shell import ROOT


def run_until_cancelled(session: psycopg.Connection, statement: LiteralString) -> None:
    with contextlib.suppress(psycopg.errors.QueryCanceled):
        session.execute(statement)


def test_top_shows_a_running_statement(postgres: Postgres) -> None:
    """On a terminal of 40 lines; q leaves it."""
    own, theirs = pty.openpty()
    words = ["env", "-i", *(f"{name}={value}" for name, value in postgres.stack.environment.items()), "TERM=xterm"]
    with postgres.connect("app") as session, subprocess.Popen(
        [*words, "sh", "-c", "stty rows 40 cols 200; exec ./scripts/ops top --refresh 1"],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, start_new_session=True,
    ) as process:  # fmt: skip
        session.execute("SET statement_timeout = '60s'")
        running = threading.Thread(target=run_until_cancelled, args=(session, "SELECT pg_sleep(50) AS what_top_shows"))
        running.start()
        shown, until = "", time.monotonic() + 60
        while "what_top_shows" not in shown and time.monotonic() < until:
            if select.select([own], [], [], 1)[0]:
                shown += os.read(own, 65536).decode(errors="replace")
        os.write(own, b"q")
        session.cancel()
        running.join()
        assert "what_top_shows" in shown, shown[-2000:]
        assert process.wait(20) == 0


def test_without_a_terminal_top_names_the_command_that_needs_none(ops: Ops) -> None:
    done = ops("top")
    assert done.status == 2
    assert "./scripts/ops sessions" in done.err


def test_a_days_report_has_its_events_and_no_literal(ops: Ops, postgres: Postgres) -> None:
    postgres.value("readonly", "SELECT pg_sleep(0.6), 'ann-in-a-literal@example.org' AS reported_statement")
    page = ops("report", "logs", "--day", "today", "--stdout")
    assert page.status == 0, page.err
    assert "pgBadger" in page.out
    assert "reported_statement" in page.out
    assert "ann-in-a-literal" not in page.out


def test_reports_are_kept_for_their_days_and_readable_by_their_user_only(ops: Ops, postgres: Postgres) -> None:
    stack = postgres.stack
    files = ("run", "--rm", "--no-deps", "--entrypoint", "sh", "ops", "-ec")
    stack.compose(*files, "touch /reports/logs-2020-01-01.html")
    done = ops("report", "logs", "--day", "today", "--json")
    assert done.status == 0, done.err
    assert done.json["removed"] == ["logs-2020-01-01.html"]
    listed = stack.compose(*files, "stat -c '%a %n' /reports/logs-*")
    assert re.fullmatch(rf"600 {re.escape(done.json['file'])}", listed.strip())


def test_a_day_without_a_line_is_an_error(ops: Ops) -> None:
    done = ops("report", "logs", "--day", "2020-01-01")
    assert done.status == 1
    assert "no line of 2020-01-01" in done.err
