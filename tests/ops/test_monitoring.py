"""What is slow, bloated, unused or missing."""

from collections.abc import Iterator

import psycopg
import pytest

from support.ops import Ops
from support.postgres import Postgres


@pytest.fixture(scope="module")
def bloated(postgres: Postgres) -> Iterator[str]:
    """A table of 50,000 rows, two thirds of which were deleted and vacuumed, and its indexes: a duplicate, a prefix."""
    with postgres.connect("migrator") as owner:
        owner.execute("DROP TABLE IF EXISTS bloated")
        owner.execute("CREATE TABLE bloated (id bigint PRIMARY KEY, a int, b int, word text)")
        owner.execute("INSERT INTO bloated SELECT n, n, n, repeat('x', 40) FROM generate_series(1, 50000) n")
        owner.execute("CREATE INDEX bloated_a ON bloated (a)")
        owner.execute("CREATE INDEX bloated_a_again ON bloated (a)")
        owner.execute("CREATE INDEX bloated_a_b ON bloated (a, b)")
        owner.execute("CREATE INDEX bloated_b_some ON bloated (b) WHERE a > 5")
        owner.execute("DELETE FROM bloated WHERE id % 3 <> 0")
        owner.execute("VACUUM (ANALYZE) bloated")
    yield "public.bloated"
    with postgres.connect("migrator") as owner:
        owner.execute("DROP TABLE bloated")


def test_the_slowest_statement_comes_first(ops: Ops, postgres: Postgres) -> None:
    postgres.superuser("SELECT pg_stat_statements_reset()", database=postgres.stack.database)
    postgres.value("app", "SELECT pg_sleep(0.4) AS the_slow_one")
    first = ops("slow-queries", "--json").json[0]
    assert "the_slow_one" in first["query"]
    assert first["mean_ms"] >= 400
    assert first["role"] == "flaglearning_user"


def test_statistics_can_be_discarded(ops: Ops, postgres: Postgres) -> None:
    postgres.value("app", "SELECT pg_sleep(0.1) AS discarded_one")
    assert ops("slow-queries", "--reset").status == 2  # without a terminal and --yes
    assert ops("slow-queries", "--reset", "--yes").status == 0
    assert "discarded_one" not in ops("slow-queries").out


def test_estimated_bloat_is_near_the_measured(ops: Ops, bloated: str) -> None:
    estimated = {row["table"]: row for row in ops("bloat", "--json").json["tables"]}[bloated]
    measured = {row["name"]: row for row in ops("bloat", bloated, "--json").json}[f"table {bloated}"]
    assert measured["bloat_pct"] == pytest.approx(66, abs=5)
    assert estimated["bloat_pct"] == pytest.approx(measured["bloat_pct"], abs=8)


def test_index_bloat_is_estimated_too(ops: Ops, bloated: str) -> None:
    estimated = {row["index"]: row for row in ops("bloat", "--json").json["indexes"]}["public.bloated_pkey"]
    measured = {row["name"]: row for row in ops("bloat", bloated, "--json").json}["index public.bloated_pkey"]
    assert estimated["bloat_pct"] == pytest.approx(measured["bloat_pct"], abs=10)


def test_a_fresh_table_has_no_bloat(ops: Ops, owner: psycopg.Connection) -> None:
    owner.execute("CREATE TABLE fresh AS SELECT n AS id, n::text AS word FROM generate_series(1, 400000) n")
    owner.execute("ANALYZE fresh")
    try:
        found = {row["table"]: row for row in ops("bloat", "--json").json["tables"]}["public.fresh"]
    finally:
        owner.execute("DROP TABLE fresh")
    assert found["bloat_pct"] < 5


def test_bloat_of_a_view_is_empty(ops: Ops) -> None:
    assert ops("bloat", "pg_stat_statements").lines == ["pg_stat_statements stores no rows of its own"]


def test_duplicates_are_found_and_partial_indexes_are_not_taken_for_them(ops: Ops, bloated: str) -> None:
    found = {
        row["index"]: row["covered_by"] for row in ops("duplicate-indexes", "--json").json if row["table"] == bloated
    }
    assert found.keys() == {"public.bloated_a", "public.bloated_a_again"}
    assert found["public.bloated_a"] == "public.bloated_a_b"


def test_the_unused_are_named_constraints_indexes_are_not(ops: Ops, bloated: str) -> None:
    found = {row["index"] for row in ops("unused-indexes", "--json").json if row["table"] == bloated}
    assert found == {f"public.bloated_{name}" for name in ("a", "a_again", "a_b", "b_some")}


def test_a_foreign_key_without_an_index_is_found(ops: Ops) -> None:
    found = ops("missing-indexes", "--json").json
    assert any(row["table"] == "public.flags_useranswer" and "answered_country_id" in row["detail"] for row in found)
    assert not any("(flags_useranswer_question_id" in row["detail"] for row in found)
    assert "public.flags_question" not in {row["table"] for row in found}  # question_by_user leaves only the nulls out


def test_dead_rows_and_the_last_vacuum(ops: Ops, bloated: str) -> None:
    found = {row["table"]: row for row in ops("dead-rows", "--json").json["tables"]}[bloated]
    assert found["last_vacuum"]
    assert found["last_analyze"]


def test_transaction_ids_are_far_from_the_end(ops: Ops) -> None:
    found = {row["name"]: row for row in ops("xid-age", "--json").json}
    assert 0 <= found["database flaglearning_dev"]["to_the_end_pct"] < 1


def test_hit_rates_are_percentages(ops: Ops) -> None:
    first = ops("cache", "--json").json[0]
    assert first["name"] == "database flaglearning_dev"
    assert 0 <= first["hit_pct"] <= 100


@pytest.mark.parametrize("command", ["list", "test"])
def test_alerts_without_monitoring_say_how_to_start_it(ops: Ops, command: str) -> None:
    result = ops("alert", command)
    assert result.status == 3
    assert "alertmanager is not running" in result.err
    assert "./scripts/up --monitoring" in result.err
