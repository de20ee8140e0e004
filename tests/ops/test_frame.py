"""What every command has in common: the map, statuses, errors, JSON, tables that fit."""

import unicodedata

import pytest

from support.ops import Ops
from support.postgres import Postgres
from testing.stack import DEVELOPMENT, PROJECT, Stack

SECTIONS = ["Quick reference", "1 Initial", "2 Database", "6 Monitoring", "7 Common", "8 Troubleshooting"]
LISTINGS = [
    "tables", "indexes", "foreign-keys flags_question", "sizes", "databases", "roles", "connections",
    "describe flags_question", "setup show", "slow-queries", "bloat", "bloat flags_country", "dead-rows", "xid-age",
    "cache", "unused-indexes", "duplicate-indexes", "missing-indexes", "test-databases list", "sessions --over 0",
    "blocking", "space", "migrations history", "query countries", "query user-stats", "query most-guessed",
    "query accuracy", "query active-streaks", "query todays-challenge", "query count-countries",
]  # fmt: skip


def width(line: str) -> int:
    """In columns of a terminal: an emoji takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def test_the_map_has_the_references_sections_in_order(ops: Ops) -> None:
    text = ops("--help", COLUMNS="100").out
    positions = [text.index(section) for section in SECTIONS]
    assert positions == sorted(positions)


def test_no_command_is_the_map(ops: Ops) -> None:
    assert "8 Troubleshooting" in ops().out


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_listing_is_json(ops: Ops, listing: str) -> None:
    result = ops(*listing.split(), "--json")
    assert isinstance(result.json, list | dict), result.err


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_listing_fits_the_terminal(ops: Ops, hostile: list[str], players: None, listing: str) -> None:
    for columns in (40, 120):
        result = ops(*listing.split(), COLUMNS=str(columns))
        assert result.status == 0, result.err
        assert result.out.strip()
        too_wide = [line for line in result.lines if width(line) > columns]
        # `setup show` is text, which the terminal wraps
        assert not too_wide or listing == "setup show", too_wide


def test_in_a_pipe_nothing_is_folded(ops: Ops) -> None:
    assert len(ops("tables").lines) == 1 + len(ops("tables", "--json").json)


def test_an_unknown_command_suggests_the_near_one(ops: Ops) -> None:
    result = ops("tabels")
    assert result.status == 2
    assert "tables" in result.err
    assert "HINT:" in result.err


@pytest.mark.parametrize(
    "arguments",
    [["query", "countries", "--limit", "0"], ["cancel", "x"], ["describe"], ["slow-queries", "--order", "x"]],
)
def test_wrong_usage_is_2_and_says_where_help_is(ops: Ops, arguments: list[str]) -> None:
    result = ops(*arguments)
    assert result.status == 2
    assert f"HINT:   ./scripts/ops {arguments[0]} --help" in result.err


@pytest.mark.parametrize(
    "command", ["describe", "foreign-keys", "indexes", "bloat", "vacuum-analyze", "analyze", "reindex", "vacuum-full"]
)
def test_an_unknown_table_suggests_the_near_one(ops: Ops, command: str) -> None:
    result = ops(command, "flags_countri")
    assert result.status == 4
    assert "did you mean flags_country" in result.err


@pytest.mark.parametrize(
    "name", ["x'; DROP TABLE flags_country; --", "", "\\", "%s", ":'table'", "a" * 5000, "16384", "🏁"]
)
def test_a_hostile_name_is_just_unknown(ops: Ops, postgres: Postgres, name: str) -> None:
    assert ops("describe", name).status == 4
    assert postgres.value("app", "SELECT count(*) FROM flags_country") == 195


def test_a_hostile_table_is_a_table(ops: Ops, hostile: list[str]) -> None:
    for name in hostile:
        result = ops("describe", name, "--json")
        assert [row["column"] for row in result.json["columns"]] == ["id"], result.err
        assert ops("analyze", name).status == 0
        assert ops("reindex", name).status == 0


def test_a_hostile_table_doesnt_steer_the_terminal(ops: Ops, hostile: list[str]) -> None:
    assert "\x1b[31m" not in ops("tables").out
    assert "\\x1b[31m" in ops("tables").out


def test_a_quoted_name_is_understood_too(ops: Ops, hostile: list[str]) -> None:
    assert ops("describe", '"it\'s"').status == 0


@pytest.mark.parametrize("command", ["tables", "connections", "query count-countries", "test-databases list"])
def test_a_wrong_password_says_so(ops: Ops, command: str) -> None:
    folder = ops.shell("mktemp -d").strip()
    ops.shell(f"for role in ops readonly app; do echo wrong >{folder}/${{role}}_password; done")
    result = ops(*command.split(), SECRETS=folder)
    assert result.status == 3
    assert "doesn't accept the password" in result.err
    assert "setup apply" in result.err


def test_a_missing_secret_says_so(ops: Ops) -> None:
    result = ops("tables", SECRETS="/nowhere")
    assert result.status == 1
    assert "the secret ops_password can't be read" in result.err


def test_no_secret_is_in_the_environment_or_on_a_command_line(ops: Ops, stack: Stack) -> None:
    secrets = [stack.secret(f"{role}_password") for role in ("ops", "readonly", "migrator", "app")]
    seen = ops.shell("env; cat /proc/*/cmdline | tr '\\0' ' '")
    assert not any(secret in seen for secret in secrets)


def test_a_session_that_ends_in_the_middle_is_one_sentence(ops: Ops, postgres: Postgres) -> None:
    with postgres.connect("migrator") as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE flags_country")
        result = ops("query", "count-countries")
    assert result.status == 1
    assert "./scripts/ops blocking" in result.err


def test_the_script_passes_output_and_status_on(ops: Ops) -> None:
    assert ops.script("describe", "nothing").status == 4
    assert len(ops.script("tables", "--json").json) > 10


def test_without_a_stack_the_script_says_how_to_start_it(ops: Ops) -> None:
    absent = Stack(f"{PROJECT}-absent", DEVELOPMENT, port=21070)
    try:
        result = ops.script("tables", stack=absent)
    finally:
        absent.remove()
    assert result.status == 3
    assert "the stack isn't running" in result.err
    assert "docker compose up" in result.err


def test_without_an_engine_the_script_says_so(ops: Ops) -> None:
    result = ops.script("tables", DOCKER_HOST="unix:///nowhere.sock")
    assert result.status == 3
    assert "no Docker engine answers" in result.err
