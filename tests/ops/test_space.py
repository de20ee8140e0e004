"""What takes disk space and what can be freed."""

from collections.abc import Iterator

import pytest

from support.ops import Ops
from support.postgres import Postgres


@pytest.fixture
def waste(postgres: Postgres) -> Iterator[None]:
    """A table that is mostly holes, and a test database."""
    with postgres.connect("migrator") as owner, postgres.connect("app") as app:
        owner.execute("CREATE TABLE waste AS SELECT n AS id, repeat('x', 100) AS word FROM generate_series(1, 50000) n")
        owner.execute("CREATE INDEX waste_id ON waste (id)")
        owner.execute("DELETE FROM waste WHERE id % 5 <> 0")
        owner.execute("VACUUM (ANALYZE) waste")
        app.execute("CREATE DATABASE test_flaglearning_dev")
        yield
        owner.execute("DROP TABLE waste")
        app.execute("DROP DATABASE test_flaglearning_dev")


def test_what_takes_it_and_what_can_be_freed_at_which_price(ops: Ops, waste: None) -> None:
    found = ops("space", "--json").json
    assert 0 < found["disk"][0]["free_pct"] < 100
    assert "public.waste" in {row["what"] for row in found["takes"]}
    assert "write-ahead log" in {row["what"] for row in found["takes"]}
    frees = {row["what"]: row for row in found["frees"]}
    assert frees["bloat of public.waste"]["command"] == "./scripts/ops vacuum-full public.waste"
    assert "ACCESS EXCLUSIVE" in frees["bloat of public.waste"]["price"]
    assert "test database test_flaglearning_dev" in frees


def test_what_it_names_frees_it(ops: Ops, waste: None) -> None:
    for row in ops("space", "--json").json["frees"]:
        if "waste" in row["what"] and "./scripts/ops" in row["command"]:
            words = row["command"].removeprefix("./scripts/ops ").split()
            assert ops(*words, "--yes").status == 0
    assert not [row for row in ops("space", "--json").json["frees"] if "bloat of public.waste" in row["what"]]
