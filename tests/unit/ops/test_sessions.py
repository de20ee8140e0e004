"""The tree of sessions that wait for each other; which session may be ended."""

from typing import Any

import pytest

from ops.commands import sessions
from user_errors import Status, UserError


def row(pid: int, *blocked_by: int, wants: str | None = "") -> dict[str, Any]:
    waits = "ShareLock" if blocked_by else None
    return {
        "pid": pid, "blocked_by": list(blocked_by), "role": "flaglearning_user", "application": "", "state": "active",
        "for": "PT2S", "wants": waits, "of_table": "flags_country" if waits else None, "query": f"LOCK  {pid}",
    }  # fmt: skip


def pids(lines: list[str]) -> list[str]:
    """The lines that name a session, without its statement."""
    return [line.split(" flaglearning_user")[0] for line in lines if "flaglearning_user" in line]


def test_a_chain() -> None:
    assert sessions.tree([row(1), row(2, 1), row(3, 2)]) == [
        "1 flaglearning_user (active for 2.0 s)",
        "│   LOCK 1",
        "└── 2 flaglearning_user (active for 2.0 s, wants ShareLock on flags_country)",
        "    │   LOCK 2",
        "    └── 3 flaglearning_user (active for 2.0 s, wants ShareLock on flags_country)",
        "            LOCK 3",
    ]


def test_two_trees_and_a_session_that_waits_for_both() -> None:
    lines = sessions.tree([row(1), row(2), row(3, 1, 2), row(4, 1)])
    assert pids(lines) == ["1", "├── 3", "└── 4", "2", "└── 3"]


def test_a_deadlock_is_a_tree_that_ends() -> None:
    assert pids(sessions.tree([row(1, 2), row(2, 1)])) == ["1", "└── 2"]


def test_no_session_is_no_tree() -> None:
    assert sessions.tree([]) == []


def test_a_statement_cant_steer_the_terminal() -> None:
    assert "\x1b" not in "".join(sessions.tree([{**row(1), "query": "SELECT '\x1b[31m'"}]))


SESSION = {"backend_type": "client backend", "superuser": False}


@pytest.mark.parametrize(
    ("found", "status", "what"),
    [
        ([], Status.NOT_FOUND, "there is no session 7"),
        (
            [{**SESSION, "backend_type": "checkpointer"}],
            Status.PROBLEM,
            "a process of the server itself (checkpointer)",
        ),
        ([{**SESSION, "superuser": True}], Status.PROBLEM, "a superuser's session"),
    ],
)
def test_a_session_that_may_not_be_ended(found: list[dict[str, Any]], status: Status, what: str) -> None:
    with pytest.raises(UserError) as raised:
        sessions.permitted(found, "7")
    assert what in raised.value.what
    assert raised.value.status == status


def test_a_session_that_may_be_ended() -> None:
    assert sessions.permitted([SESSION], "7") == SESSION
