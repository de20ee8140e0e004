"""The bench's arithmetic and its report: a wrong number here would be wrong in docs/benchmarks.md."""

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import __main__ as command
from bench import core, http_load, pgbench, report, results
from bench.questions import failover, growth, sizing
from bench.results import Aim, Answer, Figure, Row, Table, figure
from user_errors import UserError


def test_p95_is_what_95_of_100_samples_do_not_exceed() -> None:
    counts = (1, 10, 19, 20, 101, 300)
    assert [growth.p95([*map(float, range(count, 0, -1))]) for count in counts] == [1, 10, 19, 19, 96, 285]


def test_a_ratio_is_computed_round_by_round() -> None:
    """A round in which the machine was slow, for both arms alike, changes nothing."""
    samples = core.Samples({("ours", ""): [{"tps": 100}, {"tps": 10}], ("theirs", ""): [{"tps": 50}, {"tps": 5}]})
    assert samples.over("tps", "theirs")(("ours", "")).samples == (2, 2)
    with pytest.raises(ValueError, match="shorter"):
        Figure((1, 2)).over(Figure((1,)))


def test_a_figure_prints_median_and_range() -> None:
    texts = [str(Figure(samples)) for samples in ((1234.5,), (1, 3, 2), (2.01, 2.02))]
    assert texts == ["1,234.5", "2.0 (1.0–3.0)", "2.0"]


def test_each_round_begins_with_another_arm_and_runs_every_case() -> None:
    order = ["".join(map(str, turn)) for turn in core.turns(2, ("x", "y"), ("a", "b"))]
    assert order == ["1xa", "1xb", "1ya", "1yb", "2xb", "2xa", "2yb", "2ya"]


def test_an_aim_is_met_at_its_limit_and_missed_beyond() -> None:
    assert [core.at_least("{}", 2.5, Figure((ratio,))).met for ratio in (2.5, 2.4)] == [True, False]
    assert [core.at_most("{}", 5, value, "").met for value in (5, 5.1)] == [True, False]


TABLE_OF_ANSWERS = {"Relation Name": "answers", "Actual Rows": 1}
SCAN = {**TABLE_OF_ANSWERS, "Node Type": "Seq Scan", "Actual Loops": 3, "Rows Removed by Filter": 299}
LOOKUP = {**TABLE_OF_ANSWERS, "Node Type": "Index Scan", "Actual Loops": 500, "Index Name": "answers_pkey"}
SCANNED, LOOKED_UP = ("Seq Scan answers: 900 rows", True), ("Index Scan answers_pkey: 500 rows", False)


@pytest.mark.parametrize(
    ("below", "expected"), [([SCAN], SCANNED), ([LOOKUP], LOOKED_UP), ([], ("reads no table", False))]
)
def test_a_plan_counts_filtered_rows_and_loops(below: list[growth.Plan], expected: tuple[str, bool]) -> None:
    plan = {"Node Type": "Limit", "Plans": [{"Node Type": "Sort", "Plans": below}]}
    assert (growth.most_read(plan), growth.reads_whole(plan, "answers", 1200)) == expected


WRK = """Running 3s test
{"requests": 120, "seconds": 3.0, "p50_ms": 7, "p99_ms": 12.5, "refused": 1, "broken": 2, "bad_status": 30, "late": 4}
"""
PGBENCH = "number of transactions actually processed: {}/1000\nlatency average = 2.5 ms\ntps = 3200.5 (without …)"


def test_a_response_with_an_error_status_is_an_error_and_not_in_the_rate() -> None:
    assert http_load.parse(WRK) == {"rps": 30.0, "p99": 12.5, "errors": 37}


def test_pgbench_without_a_transaction_has_no_rate_and_without_a_number_is_quoted() -> None:
    assert pgbench.parse(PGBENCH.format(980)) == {"done": 980, "tps": 3200.5, "latency": 2.5}
    assert pgbench.parse(PGBENCH.format(0)) == {"done": 0, "tps": 0, "latency": 0}
    with pytest.raises(AssertionError, match="too many clients"):
        pgbench.parse("FATAL: too many clients already")


def test_settings_with_spaces_stay_one_option_of_the_command_line() -> None:
    assert sizing.options(["TimeZone=GMT", "x=a b"]) == "-c TimeZone=GMT -c 'x=a b'"


TABLE = Table("Arms & ways", ("tps", "SQL"), (Row("<ours>", (figure([1, 3], "tps"), figure([2.5], "ms"))),), "tps")
ANSWER = Answer("T", "how", (Aim("a | b", "1", met=False),), (TABLE, TABLE), ("note",), {"date": "today"})


def test_results_are_read_as_they_were_written_and_other_questions_kept(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    for name in ("one", "two"):
        results.save(file, {name: ANSWER})
    assert results.load(file) == {"one": ANSWER, "two": ANSWER}


def test_the_page_has_aims_tables_charts_and_the_analysis(tmp_path: Path) -> None:
    written = [file.name for file in report.write({"one": ANSWER}, tmp_path)]
    assert written == ["bench-one.svg", "bench-one-2.svg", "benchmarks.md"]
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| T | a &#124; b | 1 | **no** |\n" in page
    assert "| Arms & ways | tps | SQL (ms) |\n| --- | --: | --: |\n| <ours> | 2.0 (1.0–3.0) | 2.5 |\n" in page
    assert page.count("](images/bench-one") == 2
    assert re.findall("^## (.*)", page, re.MULTILINE) == ["T", "Analysis", "Machine, versions, command"]
    assert ElementTree.fromstring(report.chart(TABLE)).tag.endswith("svg")  # noqa: S314 - our own


def test_a_report_keeps_published_answers_and_names_a_damaged_file(tmp_path: Path) -> None:
    measured = tmp_path / "new.json"
    results.save(tmp_path / "benchmarks.json", {"start": ANSWER, "pool": ANSWER})
    results.save(measured, {"start": dataclasses.replace(ANSWER, title="New")})
    command.write_report(measured, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert re.findall("^## (.*)", page, re.MULTILINE)[:2] == ["T", "New"]  # in the order of the questions
    measured.write_text("{")
    with pytest.raises(UserError, match="can't be read"):
        command.write_report(measured, tmp_path)


@pytest.mark.parametrize("arguments", ["read", "report pool", "--fast"])
def test_unknown_arguments_are_refused(arguments: str) -> None:
    with pytest.raises(UserError):
        command.parse(arguments.split())


EVENT = {"gap": 2.5, "longest": 1.2, "acknowledged": 900, "failed": 0, "unknown": 3, "lost": 0}
COST = {"rps": 300, "p99": 40, "errors": 0, "cpu haproxy": 0.1, "cpu primary": 1.2}


@pytest.mark.parametrize(
    ("arm", "changed", "missed"),
    [
        (failover.SWITCHED, {"unknown": 0}, []),
        (failover.SWITCHED, {}, ["planned switchover: 0 operations fail"]),
        (failover.KILLED, {"lost": 1}, ["acknowledged writes lost: 0"]),
        (failover.KILLED, {"gap": 3.1}, ["the primary's server is killed: no write for at most 3 s"]),
    ],
)
def test_the_aims_of_a_failover(arm: str, changed: dict[str, float], missed: list[str]) -> None:
    """In a switchover no operation may be unknown either; after a kill some are."""
    events = {failover.KILLED: EVENT, failover.SWITCHED: {**EVENT, "unknown": 0}}
    events[arm] = {**EVENT, **changed}
    costs = dict.fromkeys((failover.WHOLE, failover.ALONE, failover.STRAIGHT), COST)
    samples = core.Samples({(name, ""): [one] for name, one in {**events, **costs}.items()})
    question = failover.Failover(core.Bench(quick=True, work=Path()))
    assert [aim.text for aim in question.aims(samples) if not aim.met] == missed
    seen, cost = question.tables(samples)
    assert [row.name for row in (*seen.rows, *cost.rows)] == [*events, *costs]
