"""Invalid indexes: what is dropped, and what is said of the others."""

from typing import Any

import pytest

from ops import psql
from ops.commands import maintain
from relations import Relation
from user_errors import UserError


def index(**facts: Any) -> dict[str, Any]:
    return {"schema": "public", "name": "x_ccnew", "leftover": True, "being_built_by": None, "size_bytes": 1, **facts}


ROWS = [
    index(),
    index(name="busy_ccnew", being_built_by=12),
    index(name="half", leftover=False),
    index(schema="pg_toast", name="pg_toast_1_index_ccnew"),
]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The four, and a list of the statements that are run."""
    ran: list[str] = []
    monkeypatch.setattr(psql, "rows", lambda name: ROWS)
    monkeypatch.setattr(psql, "maintain", lambda statement, role: ran.append(f"{role}: {statement}"))
    monkeypatch.setattr(psql, "app_database", lambda: "flaglearning_dev")
    return ran


def test_only_leftovers_are_dropped(rows: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    maintain.clean_up(yes=True, dry_run=False)
    assert rows == ['migrator: DROP INDEX CONCURRENTLY IF EXISTS "public"."x_ccnew"']
    said = capsys.readouterr().err
    assert "public.busy_ccnew is being built by session 12: not dropped" in said
    assert "public.half is invalid" in said
    assert """-c 'DROP INDEX "pg_toast"."pg_toast_1_index_ccnew"'""" in said


def test_a_dry_run_drops_nothing(rows: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    maintain.clean_up(yes=False, dry_run=True)
    assert rows == []
    assert capsys.readouterr().out == "would drop: public.x_ccnew (1 B)\n"


def test_a_reindex_that_fails_cleans_up(rows: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), maintain.clean_up_after_failure():
        raise KeyboardInterrupt
    assert len(rows) == 1


@pytest.mark.parametrize("kind", ["view", "foreign table"])
def test_a_view_stores_no_rows(kind: str) -> None:
    with pytest.raises(UserError, match="stores no rows"):
        maintain.stored(Relation("1", "public", "x", kind, "public.x"))
