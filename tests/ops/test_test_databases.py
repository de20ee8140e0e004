"""Django's test databases, and no other."""

from collections.abc import Iterator

import pytest
from psycopg import sql

from support.ops import Ops
from support.postgres import Postgres

DJANGOS = ["test_flaglearning_dev", "test_flaglearning_dev_1", "test_flaglearning_dev_gw12"]
# Names that a LIKE 'test_%' finds, too.
OTHERS = [
    "testing",
    "test_flaglearning_dev_copy",
    "testXflaglearning_dev",
    "test_flaglearning_devX1",
    'test_"; DROP',
    "test_flaglearning_dev_1 ",
]


@pytest.fixture(scope="module")
def databases(postgres: Postgres) -> Iterator[None]:
    def drop_all() -> None:
        with postgres.connect("app") as app:
            for name in (*DJANGOS, *OTHERS):
                app.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        postgres.superuser("DROP DATABASE IF EXISTS test_flaglearning_dev_7")

    drop_all()
    with postgres.connect("app") as app:
        for name in (*DJANGOS, *OTHERS):
            app.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    postgres.superuser("CREATE DATABASE test_flaglearning_dev_7")  # another role's
    yield
    drop_all()


@pytest.mark.usefixtures("databases")
class TestWithDatabases:
    """In this order: the last test drops them."""

    def test_only_djangos_are_listed(self, ops: Ops) -> None:
        assert [row["name"] for row in ops("test-databases", "list", "--json").json] == DJANGOS

    def test_others_are_never_dropped(self, ops: Ops) -> None:
        for name in (*OTHERS, "test_flaglearning_dev_7", "flaglearning_dev", "postgres"):
            result = ops("test-databases", "drop", name, "--yes")
            assert result.status == 1
            assert "was not made by Django's test runner" in result.err

    def test_an_unknown_one_suggests_the_near(self, ops: Ops) -> None:
        result = ops("test-databases", "drop", "test_flaglearning_dv", "--yes")
        assert result.status == 4
        assert "did you mean test_flaglearning_dev" in result.err

    def test_a_dry_run_and_no_answer_drop_nothing(self, ops: Ops) -> None:
        assert "would drop: test_flaglearning_dev " in ops("test-databases", "drop", "--dry-run").out
        assert ops("test-databases", "drop").status == 2
        assert len(ops("test-databases", "list", "--json").json) == 3

    def test_one_in_use_is_never_touched(self, ops: Ops, postgres: Postgres) -> None:
        with postgres.connect("app", dbname=DJANGOS[1]):
            assert ops("test-databases", "drop", DJANGOS[1], "--yes").status == 1
            assert ops("test-databases", "drop", "--yes").status == 0
            assert [row["name"] for row in ops("test-databases", "list", "--json").json] == [DJANGOS[1]]
        everything = {row["name"] for row in ops("databases", "--json").json}
        assert everything >= {*OTHERS, "test_flaglearning_dev_7"}
