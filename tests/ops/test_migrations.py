"""./scripts/ops migrations."""

import pytest

from support.ops import Ops
from support.postgres import Postgres


def test_history_is_the_newest_first(ops: Ops) -> None:
    found = ops.script("migrations", "--limit", "3", "--json").json
    assert len(found) == 3
    assert [row["applied"] for row in found] == sorted((row["applied"] for row in found), reverse=True)
    assert ops.script("migrations").out.startswith("app ")


def test_state_and_plan_come_from_the_application(ops: Ops) -> None:
    assert "[X] 0001_initial" in ops.script("migrations", "state").out
    assert "No planned migration operations" in ops.script("migrations", "plan").out


def test_apply_twice_is_fine(ops: Ops) -> None:
    result = ops.script("migrations", "apply")
    assert result.status == 0, result.err
    assert "195 countries" in result.out


def test_fake_warns_asks_and_only_records(ops: Ops, postgres: Postgres) -> None:
    forget = "DELETE FROM django_migrations WHERE app = 'sessions'"
    postgres.superuser(forget, database=postgres.stack.database)
    refused = ops.script("migrations", "fake", "sessions", "0001_initial")
    assert refused.status == 2
    assert "NOT be run" in refused.err
    result = ops.script("migrations", "fake", "sessions", "0001_initial", "--yes")
    assert "FAKED" in result.out
    assert "No planned migration operations" in ops.script("migrations", "plan").out


@pytest.mark.parametrize(
    "words", [[], ["flags"], ["flags", "0001; rm -rf /"], ["flags", "0001", "0002"], ["--fake-initial", "x"]]
)
def test_fake_takes_an_app_and_a_name(ops: Ops, words: list[str]) -> None:
    assert ops.script("migrations", "fake", *words).status == 2
