"""The checklist's own logic: how checks end, what an item's verdict is, and what the report says about it."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from checklist import report
from checklist.api import ITEMS, Check, Evidence, Seen, check
from checklist.results import Deployment, Outcome, Result, Run, judge, verdict

SEEN = (Seen("seen", "db1"),)
CHECKLIST = Path(__file__).parents[1] / "checklist"


def run(*outcomes: tuple[str, Outcome], deployment: Deployment = "production") -> Run:
    """A run in which these checks ended so."""
    results = tuple(
        Result(Check(id, f"claim of {id}", f"`remedy` of {id}"), outcome, "" if outcome == "pass" else "because", SEEN)
        for id, outcome in outcomes
    )
    return Run("docker://test", deployment, results, 1.5, datetime(2026, 1, 2, 3, 4, tzinfo=UTC), ("db1 (database)",))


EVERYTHING: list[tuple[str, Outcome]] = [(f"{prefix}-01", "pass") for prefix in ITEMS]


@pytest.mark.parametrize(
    ("outcomes", "deployment", "expected"),
    [
        (["pass", "pass"], "production", "pass"),
        (["pass", "fail"], "production", "fail"),
        (["pass", "not proven"], "production", "fail"),
        (["pass", "not proven"], "development", "deviation"),
        (["pass", "deviation"], "development", "deviation"),
        (["deviation", "fail"], "development", "fail"),
        (["pass", "does not apply"], "production", "pass"),
        (["does not apply", "not proven"], "production", "fail"),
        (["does not apply"], "production", "does not apply"),
        ([], "production", "not run"),
    ],
)
def test_an_item_is_as_good_as_its_worst_check(outcomes: list[Outcome], deployment: Deployment, expected: str) -> None:
    assert verdict(outcomes, deployment) == expected


def test_a_pass_without_evidence_is_a_failure() -> None:
    assert judge("nothing", "", [], "development")[0] == "fail"
    assert judge("nothing", "", [*SEEN], "production") == ("pass", "")


def test_a_deviation_is_for_development_alone() -> None:
    assert judge("deviation", "for tests", [*SEEN], "development") == ("deviation", "for tests")
    outcome, reason = judge("deviation", "for tests", [*SEEN], "production")
    assert (outcome, reason) == ("fail", "this is only for development: for tests")


def test_what_is_not_proven_is_never_a_pass() -> None:
    assert judge("not proven", "no drill", [*SEEN], "development")[0] == "not proven"
    assert judge("not proven", "no drill", [*SEEN], "production")[0] == "not proven"


def test_production_is_ok_only_when_every_check_passed() -> None:
    assert run(*EVERYTHING).ok
    assert not run(*EVERYTHING, ("BACK-02", "not proven")).ok
    assert run(*EVERYTHING, ("BACK-02", "not proven"), deployment="development").ok
    assert not run().ok


def test_production_is_ready_when_what_applies_passes_and_the_rest_says_why() -> None:
    one_server = [(id, outcome) for id, outcome in EVERYTHING if not id.startswith("HA-")]
    whole = run(*one_server, ("NET-12", "does not apply"), ("HA-01", "does not apply"))
    assert whole.ok
    assert "Ready for production: every check that applies passed. 2 checks do not apply" in report.as_text(whole, 200)
    assert judge("does not apply", "no host", [], "production") == ("does not apply", "no host")
    assert report.remedies(whole) == []


def test_a_check_belongs_to_an_item_of_the_reference() -> None:
    with pytest.raises(ValueError, match="belongs to no item"):
        check("ZZZ-01", claim="", remedy="")


def test_ids_are_unique_and_each_has_claim_and_remedy() -> None:
    source = "".join(file.read_text() for file in sorted(CHECKLIST.glob("test_*.py")))
    ids = re.findall(r'@check\(\s*"([A-Z]+-\d\d)"', source)
    assert len(ids) == len(set(ids)) == source.count("@check(") == source.count("\ndef test_")
    assert {id.partition("-")[0] for id in ids} == set(ITEMS)


def test_the_text_fits_80_columns_and_names_what_to_do() -> None:
    whole = run(*EVERYTHING[1:], ("PASS-02", "fail"))
    text = report.as_text(whole, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "remedy` of PASS-02" in text
    assert "remedy` of TLS-01" not in text
    assert "\033" not in text
    assert "\033" in report.as_text(whole, 80, colour=True)


def test_the_page_is_self_contained_and_escapes_what_it_shows() -> None:
    nasty = Result(Check("TLS-01", "<b>claim</b>", "do `x < y`"), "fail", "<script>", (Seen('"><img src=x>', "<b1>"),))
    page = report.as_html(Run("docker://<test>", "production", (nasty,), hosts=("<b1> (database)",)))
    assert not re.search(r"<(script|link|img|iframe)|https?://|url\(|@import", page)
    assert "&lt;b&gt;claim&lt;/b&gt;" in page
    assert "<code>x &lt; y</code>" in page


def test_junit_counts_failures_and_skips() -> None:
    root = ElementTree.fromstring(report.as_junit(run(*EVERYTHING, ("BACK-02", "not proven"))))  # noqa: S314  (our own)
    backups = next(suite for suite in root if suite.get("name") == ITEMS["BACK"])
    assert (backups.get("tests"), backups.get("failures"), backups.get("skipped")) == ("2", "1", "0")
    in_development = ElementTree.fromstring(  # noqa: S314
        report.as_junit(run(*EVERYTHING, ("BACK-02", "not proven"), deployment="development"))
    )
    assert [suite.get("skipped") for suite in in_development if suite.get("name") == ITEMS["BACK"]] == ["1"]


def test_json_has_all_seven_items_in_the_references_order() -> None:
    found = json.loads(report.as_json(run(("TLS-01", "pass"))))
    assert [item["title"] for item in found["items"]] == list(ITEMS.values())
    assert found["items"][1]["checks"][0]["evidence"] == [{"line": "seen", "host": "db1"}]
    assert found["items"][0]["verdict"] == "not run"


def test_each_report_says_which_hosts_were_looked_at_and_which_a_line_is_about() -> None:
    whole = run(*EVERYTHING)
    assert "db1 (database)" in report.as_text(whole)
    assert "· db1: seen" in report.as_text(whole)
    assert "<b>db1</b> seen" in report.as_html(whole)
    assert "<dd class=wide>db1 (database)</dd>" in report.as_html(whole)
    assert json.loads(report.as_json(whole))["hosts"] == ["db1 (database)"]
    assert "<system-out>db1: seen" in report.as_junit(whole)


def test_a_line_of_evidence_is_about_those_who_were_asked_last_unless_it_names_another() -> None:
    asked: set[str] = set()
    evidence = Evidence(asked)
    asked.update(("db1", "app1"))
    evidence("both were asked")
    evidence("of the same answers")
    asked.add("vantage1")
    evidence("a scan of it", "db1")
    evidence("no host ran a command since")
    assert [seen.host for seen in evidence.lines] == ["app1, db1", "app1, db1", "db1", "db1"]
