"""A listing that is cut says so."""

import re
from typing import Any

import pytest

from ops import cli, psql
from ops.cli import LIMIT, REGISTRY, Command

cli.load_commands()
LIMITED = [command for command in REGISTRY.values() if LIMIT in command.options]
SAYS_SO = "only the first 10 rows are shown: --limit N shows more"


@pytest.mark.parametrize("command", LIMITED, ids=lambda command: command.name)
@pytest.mark.parametrize(("exist", "cut"), [(10, False), (11, True), (24, True)])
def test_a_listing_with_a_limit_says_when_it_is_cut(
    command: Command, exist: int, cut: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a server that has as many rows as the query asks for, up to those that exist."""

    def found(limit: str) -> list[dict[str, Any]]:
        return [{"number": number, "query": "SELECT"} for number in range(min(exist, int(limit)))]

    monkeypatch.setattr(psql, "select", lambda *_, variables, **__: found(variables["limit"]))
    monkeypatch.setattr(psql, "rows", lambda *_, limit, **__: found(limit))
    monkeypatch.setattr(psql, "app_database", lambda: "game")
    asked = cli.parse(cli.build_parser(), command.words)
    command.function(asked)
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) - 1 == 10
    assert (SAYS_SO in printed.err) is cut


def test_no_query_has_a_limit_of_its_own_but_those_whose_help_names_it() -> None:
    fixed = {
        file.stem: file.read_text().splitlines()[0]
        for file in psql.QUERIES.glob("*.sql")
        if re.search(r"^\s*LIMIT \d", file.read_text(), re.MULTILINE)
    }
    assert fixed.keys() == {"xid_age"}
    assert "ten oldest" in fixed["xid_age"]
    assert "ten oldest" in REGISTRY["xid-age"].help
