"""Sessions that are slow, that wait or make others wait; ending one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ops import psql
from ops.cli import JSON, TROUBLESHOOT, YES, command, option
from ops.commands.monitor import shortened
from ops.output import BOLD, DIM, Row, cell, one_line, say, show, show_json, styled
from ops.prompt import confirm
from user_errors import OperationError, Status, UserError

ALL = "./scripts/ops sessions --over 0"
# Process ids are reused: only if it is still the session that was looked at.
SAME = "FROM pg_catalog.pg_stat_activity WHERE pid = :'pid'::int AND backend_start = :'since'::timestamptz"


def seconds(text: str) -> float:
    """An argparse type: a number from 0."""
    number = float(text)
    if not 0 <= number < 1e9:
        raise ValueError
    return number


def process_id(text: str) -> int:
    """An argparse type: a process id."""
    number = int(text)
    if not 1 <= number < 2**31:
        raise ValueError
    return number


PID = option("pid", type=process_id, metavar="PID", help="the session's process id")


@command(
    "sessions", TROUBLESHOOT, "List sessions with a long-running statement or transaction",
    option("--over", type=seconds, metavar="SECONDS", default=5.0, help="for longer than this (default: 5)"), JSON,
)  # fmt: skip
def sessions(asked: argparse.Namespace) -> None:
    found = psql.rows("sessions", over=f"{asked.over} s")
    empty = f"no session has been running a statement or a transaction for more than {asked.over:g} s"
    show(found if asked.json else shortened(found), asked.json, empty)


@command("blocking", TROUBLESHOOT, "Show which sessions wait for which, as a tree", JSON)
def blocking(asked: argparse.Namespace) -> int:
    """The root of a tree holds the lock that the sessions below it wait for. Exit status 1 when a session waits."""
    found = psql.rows("blocking")
    if asked.json:
        show_json(found)
    elif not found:
        say("no session waits for a lock")
    else:
        print("\n".join(tree(found)))
        say("end a root's statement with ./scripts/ops cancel PID, its session with ./scripts/ops terminate PID")
    return Status.PROBLEM if found else Status.OK


def tree(found: Sequence[Row]) -> list[str]:
    """The lines of one tree for each session that waits for none. A session that waits for several is below each; a
    circle (a deadlock that the server is about to break) starts at its first session."""
    roots = [row for row in found if not row["blocked_by"]] or list(found[:1])
    lines = []

    def grow(row: Row, first: str, rest: str, path: tuple[int, ...]) -> None:
        title, query = label(row)
        below = [one for one in found if row["pid"] in one["blocked_by"] and one["pid"] not in path]
        lines.append(first + styled(title, BOLD if not row["wants"] else ""))
        lines.append(rest + ("│   " if below else "    ") + styled(query, DIM))
        for one in below:
            last = one is below[-1]
            grow(one, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   "), (*path, one["pid"]))

    for root in roots:
        grow(root, "", "", (root["pid"],))
    return lines


def label(row: Row) -> tuple[str, str]:
    """One session of the tree: who it is and what it waits for; its statement."""
    wants = f", wants {row['wants']} on {row['of_table'] or 'a transaction'}" if row["wants"] else ""
    words = (
        f"{row['pid']} {row['role']} {row['application'] or ''} ({row['state']} for {cell('for', row['for'])}{wants})"
    )
    return cell("", " ".join(words.split())), cell("", one_line(row["query"]))


@command("cancel", TROUBLESHOOT, "Cancel a session's statement; the session stays", PID, YES)
def cancel(asked: argparse.Namespace) -> None:
    consequence = "Its statement will be cancelled; the session stays."
    end(asked, consequence, "pg_catalog.pg_cancel_backend(pid)", "cancelled the statement of")


@command("terminate", TROUBLESHOOT, "Terminate a session; its transaction is rolled back", PID, YES)
def terminate(asked: argparse.Namespace) -> None:
    consequence = "The session will be terminated and its transaction rolled back."
    end(asked, consequence, "pg_catalog.pg_terminate_backend(pid, 5000)", "terminated")


def end(asked: argparse.Namespace, consequence: str, function: str, done: str) -> None:
    """Say which session it is, ask, and do it; never to a superuser's session or the server's own process."""
    pid = str(asked.pid)
    session = permitted(psql.rows("session", pid=pid), pid)
    what = f"{pid}: {session['role']} in {session['database']}, {session['state']}: {one_line(session['query'])}"
    confirm(f"{what}\n{consequence}", asked.yes)
    variables = {"pid": pid, "since": session["backend_start"]}
    result = psql.select(f"SELECT {function} AS done {SAME}", variables=variables)
    if not result or not result[0]["done"]:
        raise OperationError(f"session {pid} has not ended within 5 s, or had ended before", ALL)
    say(f"{done} {pid}")


def permitted(found: Sequence[psql.Row], pid: str) -> psql.Row:
    """The session, if it may be ended. Raises UserError."""
    if not found:
        raise UserError(f"there is no session {pid}", ALL, status=Status.NOT_FOUND)
    session = found[0]
    if session["backend_type"] != "client backend":
        raise UserError(
            f"{pid} is a process of the server itself ({session['backend_type']})", ALL, status=Status.PROBLEM
        )
    if session["superuser"]:
        raise UserError(f"{pid} is a superuser's session: flaglearning_ops may not end it", ALL, status=Status.PROBLEM)
    return session
