"""commands/update.py and commands/upgrade.py: what people see, and when the exit status is not 0."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from ops import cli, dotenv
from ops.commands import update, upgrade
from ops.flows import update as update_flow
from ops.flows import upgrade as upgrade_flow
from ops.packages import Known, Update
from user_errors import OperationError, UserError

FIXED = Known("nginx", "1.0-1", "CVE-2026-1", "archive", "high urgency")
UNFIXED = Known("zlib1g", "1.3-1", "CVE-2026-2")
FOLDER = Path("advisories")


def asked(*words: str) -> argparse.Namespace:
    """As the command line gives it."""
    cli.load_commands()
    return cli.parse(cli.build_parser(), list(words))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What the look-ups find: known vulnerabilities by image, and updates under the name `updates`."""
    found: dict[str, list[Any]] = {}
    monkeypatch.setattr(
        update_flow,
        "check",
        lambda folder: ({"proxy": found.get("updates", [])}, {"proxy": found["known"]} if folder else {}),
    )
    return found


def test_known_vulnerabilities_without_a_fix_are_counted(
    found: dict[str, list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    found["known"] = [UNFIXED]
    assert update.check(False, FOLDER) == 0
    printed = capsys.readouterr()
    assert "none that has a fix" in printed.out
    assert "1 more have no fix yet" in printed.err


def test_one_with_a_fix_is_listed_and_fails(found: dict[str, list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    found["known"] = [FIXED, UNFIXED]
    with pytest.raises(OperationError, match="1 known vulnerabilities have a fix"):
        update.check(False, FOLDER)
    printed = capsys.readouterr()
    assert "CVE-2026-1" in printed.out
    assert "CVE-2026-2" not in printed.out
    with pytest.raises(OperationError):
        update.check(True, FOLDER)
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["vulnerabilities"]] == ["CVE-2026-1", "CVE-2026-2"]
    assert update.check(True, FOLDER, record=True) == 0


def test_the_folder_of_advisories_can_be_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dotenv, "read", lambda: "")
    monkeypatch.delenv("ADVISORIES_DIR", raising=False)
    assert update_flow.folder_of_advisories(None) is None
    monkeypatch.setattr(dotenv, "read", lambda: "ADVISORIES_DIR=/srv/advisories\n")
    assert update_flow.folder_of_advisories(None) == Path("/srv/advisories")
    assert update_flow.folder_of_advisories(FOLDER) == FOLDER


def test_without_advisories_the_listing_is_that_of_updates(
    found: dict[str, list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    found["updates"] = [Update("nginx", "1", "2", True)]
    with pytest.raises(OperationError, match="1 security updates are pending"):
        update.check(True, None)
    assert json.loads(capsys.readouterr().out)[0]["package"] == "nginx"


@pytest.mark.parametrize(
    "words",
    [
        ("update", "--advisories", "x"),
        ("update", "--record"),
        ("upgrade", "--statements", "x"),
        ("upgrade", "--check", "--no-backup"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words: tuple[str, ...]) -> None:
    given = asked(*words)
    with pytest.raises(UserError, match="belongs to"):
        given.run(given)


@pytest.mark.parametrize("same", [True, False])
def test_a_rehearsal_with_other_rows_fails(
    same: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    statement = {
        "plan": "another",
        "cost_before": 1.0,
        "cost_after": 2.0,
        "query": "SELECT 1",
        "nodes_before": ["Result"],
    }
    report = {
        "seconds": {"restore": 9.0, "pg_upgrade": 20.2, "start": 0.4},
        "checks": [{"check": "every table has as many rows", "ok": same, "saw": "7 rows"}],
        "statements": [statement],
    }
    monkeypatch.setattr(upgrade_flow, "rehearse", lambda suite, file: report)
    given = asked("upgrade", "--rehearse")
    if same:
        upgrade.upgrade(given)
    else:
        with pytest.raises(OperationError, match="every table has as many rows"):
            upgrade.upgrade(given)
    printed = capsys.readouterr()
    assert "SELECT 1" in printed.out
    assert "the downtime would be about 21 s" in printed.err
