"""commands/update.py and commands/upgrade.py: what people see, and when the exit status is not 0."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from ops import cli, containers, dotenv
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


def rehearsed(**changed: Any) -> dict[str, Any]:
    """The report of a rehearsal in which nothing failed, but for what is changed."""
    statement = {
        "plan": "another",
        "cost_before": 1.0,
        "cost_after": 2.0,
        "query": "SELECT 1",
        "nodes_before": ["Result"],
    }
    report = {
        "seconds": {"restore": 9.0, "pg_upgrade": 20.2, "start": 0.4, "requests": 3.0},
        "checks": [{"check": "every table has as many rows", "ok": True, "saw": "7 rows"}],
        "statements": [statement],
    }
    page = {"request": "GET /leaderboard/", "session": False, "status": 200, "took_ms": 3.4, "error": ""}
    requested = {"image": "flaglearning/app:7", "pending": [], "missing": [], "requests": [page], "untried": []}
    return upgrade_flow.with_requests({**report, **changed}, {**requested, **changed})


def run_rehearsal(report: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade_flow, "rehearse", lambda suite, file: report)
    upgrade.upgrade(asked("upgrade", "--rehearse"))


def test_a_rehearsal_shows_rows_plans_and_requests(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_rehearsal(rehearsed(untried=["notes/<int:note>/"]), monkeypatch)
    printed = capsys.readouterr()
    for shown in ("SELECT 1", "GET /leaderboard/", "flaglearning/app:7", upgrade_flow.SCHEMA):
        assert shown in printed.out
    assert "the downtime would be about 21 s" in printed.err
    assert "not tried" in printed.err
    assert "notes/<int:note>/" in printed.err


FAILED = {
    "request": "POST /accounts/login/",
    "session": False,
    "status": 503,
    "took_ms": 9.0,
    "error": "UndefinedColumn: no",
}


@pytest.mark.parametrize(
    ("changed", "error", "hint"),
    [
        (
            {"checks": [{"check": "every table has as many rows", "ok": False, "saw": "6 rows"}]},
            r"differs: not true: every table has as many rows \(6 rows\)",
            "keep the previous version",
        ),
        ({"pending": ["flags.0007"]}, "not of flaglearning/app:7: it lacks: flags.0007", "backup create"),
        ({"missing": ["users_user.name"]}, r"it lacks: users_user\.name", "APP_TAG=TAG"),
        (
            {"requests": [FAILED, {**FAILED, "error": ""}]},
            r"1 of 2 requests of flaglearning/app:7 fail .*: POST /accounts/login/: UndefinedColumn: no",
            "rollout TAG",
        ),
    ],
)
def test_a_rehearsal_fails_with_what_failed_and_the_next_command(
    changed: dict[str, Any], error: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OperationError, match=error) as failed:
        run_rehearsal(rehearsed(**changed), monkeypatch)
    assert hint in failed.value.hint


@pytest.mark.parametrize(
    ("environment", "running", "present", "tag"),
    [
        ({"APP_TAG": "7"}, {"app": "c1"}, True, ""),
        ({}, {"app": "c1"}, True, "8"),
        ({}, {}, True, "serving"),
        ({}, {}, False, ""),
    ],
)
def test_the_application_that_serves_is_tried(
    environment: dict[str, str],
    running: dict[str, str],
    present: bool,
    tag: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("APP_TAG", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(containers, "running", lambda: running)
    monkeypatch.setattr(containers, "run", lambda *_, **__: "flaglearning/app:8\n")
    monkeypatch.setattr(update_flow, "present", lambda name: [name] if present else [])
    assert upgrade_flow.serving("flaglearning/app") == tag
