"""What every command has in common, through ./scripts/ops: statuses, errors, JSON, tables that fit."""

import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from ops import output
from support import data
from support.ops import Ops
from support.policy import PG
from support.postgres import Postgres
from testing.stack import DEVELOPMENT, PROJECT, Stack

LISTINGS = [
    "tables", "indexes", "foreign-keys flags_question", "sizes", "databases", "roles", "connections",
    "describe flags_question", "slow-queries", "bloat", "bloat flags_country", "dead-rows", "xid-age",
    "cache", "unused-indexes", "duplicate-indexes", "missing-indexes", "test-databases list", "sessions --over 0",
    "blocking", "space", "query countries", "query user-stats", "query most-guessed", "query accuracy",
    "query active-streaks", "query todays-challenge", "query count-countries",
]  # fmt: skip
# One value for each variable of pg/queries/.
VALUES = {
    "table": "public.flags_country", "limit": "3", "order": "mean", "over": "0 s", "pid": "1",
    "database": "flaglearning_dev", "role": "flaglearning_user", "owner": "flaglearning_user", "name": "x",
}  # fmt: skip


def width(line: str) -> int:
    """In columns of a terminal: an emoji takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def tables_of(found: Any) -> list[list[dict[str, Any]]]:
    """The tables that a listing prints."""
    return [rows for rows in (found.values() if isinstance(found, dict) else [found]) if rows]


@pytest.fixture(scope="module")
def hostile(postgres: Postgres) -> Iterator[list[str]]:
    """Players too, and a session, so that no listing of something is empty."""
    with data.hostile_tables(postgres) as names, data.players(postgres), postgres.connect("readonly"):
        yield names


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_listing_is_json_and_a_table_that_fits(
    ops: Ops, hostile: list[str], capsys: pytest.CaptureFixture[str], listing: str
) -> None:
    result = ops(*listing.split(), "--json")
    assert result.status == 0, result.err
    tables = tables_of(result.json)
    assert tables or listing in ("blocking", "test-databases list", "sessions --over 0", "duplicate-indexes")
    for rows in tables:
        for columns in (40, 120):
            output.print_table(rows, "", columns)
            printed = capsys.readouterr().out
            assert [line for line in printed.splitlines() if width(line) > columns] == []
            assert "\x1b[31m" not in printed


def test_in_a_pipe_a_row_is_a_line(ops: Ops) -> None:
    assert len(ops("tables").lines) == 1 + len(ops("tables", "--json").json)


def test_an_unknown_command_suggests_the_near_one(ops: Ops) -> None:
    result = ops.script("tabels")
    assert result.status == 2
    assert "did you mean tables" in result.err


def test_wrong_usage_names_the_help(ops: Ops) -> None:
    result = ops("query", "countries", "--limit", "0")
    assert result.status == 2
    assert "HINT:  ./scripts/ops query countries --help" in result.err


@pytest.mark.parametrize("command", ["describe", "indexes", "bloat", "analyze", "reindex"])
def test_an_unknown_table_suggests_the_near_one(ops: Ops, command: str) -> None:
    result = ops(command, "flags_countri")
    assert result.status == 4
    assert "did you mean flags_country" in result.err


def test_a_hostile_name_is_only_unknown(ops: Ops, postgres: Postgres) -> None:
    for name in ("x'; DROP TABLE flags_country; --", ":'table'", "a" * 5000):
        assert ops("describe", name).status == 4
    assert postgres.value("app", "SELECT count(*) FROM flags_country") == 195


def test_a_hostile_table_is_a_table(ops: Ops, hostile: list[str]) -> None:
    for name in hostile:
        assert [row["column"] for row in ops("describe", name, "--json").json["columns"]] == ["id"]
    assert ops("analyze", hostile[0]).status == 0
    assert ops("reindex", hostile[0]).status == 0


def test_a_query_that_waits_for_a_lock_names_the_next_command(ops: Ops, postgres: Postgres) -> None:
    with postgres.connect("migrator") as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE flags_country")
        result = ops("query", "count-countries")
    assert result.status == 1
    assert "lock timeout" in result.err
    assert "./scripts/ops blocking" in result.err


def test_psql_runs_every_query_file(ops: Ops) -> None:
    """In one session: each file is one statement."""
    settings = [word for name, value in VALUES.items() for word in ("-v", f"{name}={value}")]
    files = [word for file in sorted((PG / "queries").glob("*.sql")) for word in ("-f", f"/ops/queries/{file.name}")]
    result = ops("psql", "-X", "-v", "ON_ERROR_STOP=1", *settings, *files)
    assert result.status == 0, result.err


def test_psql_and_a_listing_show_the_same(ops: Ops) -> None:
    text = ops("psql", "-X", "-At", "-v", "table=flags_country", "-f", "/ops/queries/columns.sql").out
    described = ops("describe", "flags_country", "--json").json["columns"]
    assert [line.split("|")[0] for line in text.splitlines()] == [row["column"] for row in described]


def test_a_removed_stack_is_named(ops: Ops) -> None:
    absent = Stack(f"{PROJECT}-absent", DEVELOPMENT, port=21070)
    try:
        result = ops.script("tables", stack=absent)
    finally:
        absent.remove()
    assert result.status == 3
    assert "the service postgres is not running" in result.err
    assert "./scripts/up" in result.err


def test_a_missing_engine_is_named(ops: Ops) -> None:
    result = ops.script("tables", DOCKER_HOST="unix:///nowhere.sock")
    assert result.status == 3
    assert "no Docker engine answers" in result.err
