"""Section 8: sessions that are slow, that wait, that make others wait; and ending one."""

from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from flagops.ask import Yes, confirm
from flagops.cli import TROUBLE, command
from flagops.database import Row, connect, rows
from flagops.errors import Refused, Status
from flagops.monitoring import one_line, shortened
from flagops.output import Json, cell, console, say, show, show_json
from flagops.queries import load

Pid = Annotated[int, typer.Argument(metavar="PID", min=1, max=2**31 - 1, help="The session's process id.")]


@command(TROUBLE)
def sessions(
    over: Annotated[float, typer.Option("--over", metavar="SECONDS", min=0, help="At it for longer than this.")] = 5.0,
    json: Json = False,
) -> None:
    """Sessions that have been running a statement, or sitting in a transaction, for long."""
    with connect() as connection:
        found = rows(connection, load("sessions"), over=f"{over} s")
    show(
        found if json else shortened(found),
        json,
        empty=f"no session has been at work or in a transaction for more than {over:g} s.",
    )


@command(TROUBLE)
def blocking(json: Json = False) -> Status:
    """Who waits for whom, as a tree: who holds everybody up is at the root. Exit status 1 if anybody waits."""
    with connect() as connection:
        found = rows(connection, load("blocking"))
    if json:
        show_json(found)
    elif not found:
        say("nobody waits for a lock.")
    else:
        for tree in trees(found):
            console.print(tree)
        say("the one at the root: ./scripts/ops cancel PID ends its statement, ./scripts/ops terminate PID its session")
    return Status.PROBLEM if found else Status.OK


def trees(found: list[Row]) -> list[Tree]:
    """One tree for each session that waits for nobody. Who waits for several is below each; a circle (a deadlock that
    the server is about to break) starts anywhere."""
    by_pid = {row["pid"]: row for row in found}
    roots = [row for row in found if not row["blocked_by"]] or found[:1]

    def grow(tree: Tree, pid: int, path: tuple[int, ...]) -> Tree:
        for row in found:
            if pid in row["blocked_by"] and row["pid"] not in path:
                grow(tree.add(label(row)), row["pid"], (*path, row["pid"]))
        return tree

    return [grow(Tree(label(by_pid[row["pid"]])), row["pid"], (row["pid"],)) for row in roots]


def label(row: Row) -> Text:
    """One session of the tree."""
    wants = f", wants {row['wants']} on {row['of_table'] or 'a transaction'}" if row["wants"] else ""
    text = (
        f"{row['pid']} {row['role']} {row['application'] or ''} ({row['state']} for {cell('for', row['for'])}{wants})"
    )
    return Text(cell("", " ".join(text.split())), style="" if row["wants"] else "bold").append(
        f"\n{cell('', one_line(row['query']))}", style="dim"
    )


@command(TROUBLE)
def cancel(pid: Pid, yes: Yes = False) -> None:
    """Cancel a session's statement (pg_cancel_backend); the session stays."""
    end(
        pid,
        yes,
        "Its statement will be cancelled; the session stays.",
        "SELECT pg_catalog.pg_cancel_backend(pid) AS done",
        "cancelled the statement of",
    )


@command(TROUBLE)
def terminate(pid: Pid, yes: Yes = False) -> None:
    """End a session (pg_terminate_backend); its transaction is rolled back."""
    end(
        pid,
        yes,
        "The session will be ended, its transaction rolled back.",
        "SELECT pg_catalog.pg_terminate_backend(pid, 5000) AS done",
        "ended",
    )


def end(pid: int, yes: bool, consequence: str, select: str, done: str) -> None:
    """Say whom it hits, ask, and do it: never to itself, to a superuser or to the server's own processes."""
    with connect() as connection:
        session = found_session(rows(connection, load("session"), pid=str(pid)), pid)
        confirm(
            f"{pid}: {session['role']} in {session['database']}, {session['state']}: {one_line(session['query'])}\n"
            f"{consequence}",
            yes,
        )
        # Process ids are reused: only if it is still the session that was looked at.
        row = connection.execute(
            f"{select} FROM pg_catalog.pg_stat_activity WHERE pid = %s AND backend_start = %s".encode(),
            [pid, session["backend_start"]],
        ).fetchone()
    if not row or not row["done"]:
        raise Refused(f"{pid} has not ended, or had gone already.", "./scripts/ops sessions")
    say(f"{done} {pid}.")


def found_session(found: list[Row], pid: int) -> Row:
    """The session, if it is one that may be ended."""
    if not found or found[0]["ourselves"]:
        raise Refused(
            f"there is no session {pid} (but perhaps this command's own).",
            "./scripts/ops sessions --over 0",
            status=Status.NOT_FOUND,
        )
    session = found[0]
    if session["backend_type"] != "client backend":
        raise Refused(
            f"{pid} is the server's own process ({session['backend_type']}).", "./scripts/ops sessions --over 0"
        )
    if session["superuser"]:
        raise Refused(f"{pid} is the superuser's: flaglearning_ops may not end it.", "./scripts/ops sessions --over 0")
    return session
