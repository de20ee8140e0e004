"""The bench's arithmetic: a number that is wrong here would be wrong in docs/benchmarks.md."""

import dataclasses
import random
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from testing.shell import ROOT

sys.path.append(str(ROOT / "scripts"))

from benchmarks import __main__ as command
from benchmarks import arms, load, machine, plans, plot, report, results, servers
from benchmarks.questions import endpoints, pool
from benchmarks.results import Aim, Answer, Figure, Row, Table, figure
from benchmarks.run import Refused, Run


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 1), (10, 10), (19, 19), (20, 19), (100, 95), (101, 96), (300, 285)]
)
def test_p95_is_what_95_of_100_do_not_exceed(count: int, expected: int) -> None:
    samples = [float(number) for number in range(1, count + 1)]
    random.shuffle(samples)
    assert plans.p95(samples) == expected
    assert sum(sample <= expected for sample in samples) >= 0.95 * count


def test_what_of_the_cpu_time_was_idle_or_stolen() -> None:
    before = [100, 0, 100, 1000, 50, 0, 0, 10, 7, 0]
    now = [110, 0, 105, 1070, 55, 0, 0, 20, 7, 0]
    assert machine.percent(now, before, machine.IDLE) == 75
    assert machine.percent(now, before, machine.STOLEN) == 10
    assert machine.percent(now, now, machine.STOLEN) == 0


def test_a_ratio_is_taken_round_by_round() -> None:
    """A round in which the machine was slow, for both arms alike, changes nothing."""
    ours, theirs = Figure((100, 10, 100)), Figure((50, 5, 50))
    assert ours.over(theirs).samples == (2, 2, 2)
    with pytest.raises(ValueError, match="shorter"):
        ours.over(Figure((1,)))


@pytest.mark.parametrize(
    ("samples", "text"), [((1234.5,), "1,234.5"), ((1, 3, 2), "2.0 (1.0–3.0)"), ((2.01, 2.02), "2.0")]
)
def test_a_figure_in_words(samples: tuple[float, ...], text: str) -> None:
    assert str(Figure(samples)) == text


def test_every_arm_once_a_round_each_first_in_turn(tmp_path: object) -> None:
    order = list(Run(quick=True, work=ROOT).rounds(3, "abc"))
    assert [arm for _, arm in order] == list("abcbcacab")
    assert [number for number, _ in order] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def node(kind: str, rows: int, loops: int = 1, **more: object) -> plans.Node:
    return {"Node Type": kind, "Actual Rows": rows, "Actual Loops": loops, **more}


SCAN = node("Seq Scan", 1, 3, **{"Relation Name": "answers", "Rows Removed by Filter": 299})
LOOKUP = node("Index Scan", 1, 500, **{"Relation Name": "answers", "Index Name": "answers_pkey"})
COUNTRIES = node("Seq Scan", 195, 1, **{"Relation Name": "countries"})


@pytest.mark.parametrize(
    ("below", "essential", "whole"),
    [
        ([COUNTRIES, SCAN], "Seq Scan answers: 900 rows", True),
        ([COUNTRIES, LOOKUP], "Index Scan answers_pkey: 500 rows", False),
        ([], "reads no table", False),
    ],
)
def test_what_a_plan_reads(below: list[plans.Node], essential: str, whole: bool) -> None:
    """What a filter throws away was read; a row of each loop is."""
    plan = node("Nested Loop", 1, Plans=[node("Sort", 1, Plans=below)])
    assert plans.essential(plan) == essential
    assert plans.reads_whole(plan, "answers", 1200) == whole


def test_a_column_has_its_unit_once() -> None:
    table = Table("Arms", ("seconds", "SQL"), (Row("ours", (figure([1], ""), figure([2.345], "ms", 2))),))
    assert "| Arms | seconds | SQL (ms) |" in report._markdown(table)
    assert "| ours | 1.0 | 2.35 |" in report._markdown(table) or "| ours | 1.0 | 2.34 |" in report._markdown(table)


# ---------------------------------------------------------------- what load generators print

WRK = """Running 3s test @ https://proxy:8443
  120 requests in 3.00s, 50.00KB read

{"requests": 120, "seconds": 3.0, "p50_ms": 7.1, "p99_ms": 12.5, "refused": 1, "broken": 2, "bad_status": 30, "late": 4}
"""


def test_an_answer_with_a_bad_status_is_an_error_and_no_request_per_second() -> None:
    assert load.parse(WRK) == load.Measured(rps=30.0, p50_ms=7.1, p99_ms=12.5, errors=37)


def test_output_without_a_result_is_no_measurement() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own message
        load.parse("unable to connect to proxy:8443 Connection refused")


PGBENCH = """pgbench (17.12)
number of transactions actually processed: {done}/1000
latency average = 2.500 ms
initial connection time = 12.000 ms
tps = 3200.500000 (without initial connection time)
"""


def test_a_transaction_that_was_not_done_is_an_error() -> None:
    stretch = pool.parse(PGBENCH.format(done=980), 1000, 25, {"pgbouncer": 0.98})
    assert (stretch.tps, stretch.latency_ms, stretch.errors, stretch.backends) == (3200.5, 2.5, 20, 25)
    assert stretch.cpu_ms == {"pgbouncer": pytest.approx(1.0)}


def test_a_crowd_that_was_refused_has_no_rate() -> None:
    stretch = pool.parse(PGBENCH.format(done=0), 1000, 3, {"postgres": 2})
    assert (stretch.tps, stretch.errors) == (0, 1000)


def test_wal_for_a_transaction() -> None:
    stretch = servers.parse(PGBENCH.format(done=500), wal_bytes=1_000_000, checkpoints=1)
    assert (stretch.tps, stretch.wal_bytes, stretch.checkpoints) == (3200.5, 2000, 1)


def test_pgbench_without_a_figure_is_quoted() -> None:
    with pytest.raises(AssertionError, match="too many clients"):
        pool.parse("FATAL: too many clients already", 10, 1, {})


# ---------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    ("seen", "expected"), [({4: 500, 8: 510, 16: 512}, 4), ({4: 400, 8: 500, 16: 512}, 8), ({16: 512, 2: 1}, 16)]
)
def test_as_few_connections_as_bring_almost_the_most(seen: dict[int, float], expected: int) -> None:
    assert endpoints.fewest(seen) == expected


def test_a_players_round_is_sent_as_that_player() -> None:
    lines = [str(request) for request in endpoints.LOADS[endpoints.MIX](endpoints.Question(7, "key", "FR"))]
    assert lines == [
        "GET /api/challenge/today key",
        'POST /api/answers key {"question_id": 7, "country_code": "FR"}',
        "GET /api/leaderboard key",
        "GET /api/me/statistics key",
    ]
    assert str(load.Request("GET", "/")) == "GET /"


def stretches(*rps: float, p99: float = 10) -> list[endpoints.Stretch]:
    services = {"app": 2.0, "proxy": 0.5}
    return [endpoints.Stretch(load.Measured(value, 1, p99, errors=0), services) for value in rps]


def answered(ours: float, p99: float) -> Answer:
    """Of an answer in which ours is that many times as fast as theirs."""
    seen = {
        (arm, name, "fixed"): stretches(100 * times, 90 * times, p99=late)
        for arm, times, late in (("ours", ours, p99), ("cookiecutter", 1, 10))
        for name in endpoints.LOADS
    }
    return endpoints._answer((arms.OURS, arms.COOKIECUTTER), (), {}, seen, "")


def test_an_aim_is_met_by_the_ratio_and_missed_below_it() -> None:
    assert all(aim.met for aim in answered(2.5, 5).aims)
    assert [aim.met for aim in answered(2.4, 5.1).aims] == [False, False, False, False, True]


# ---------------------------------------------------------------- arms


def test_every_undone_choice_has_containers_and_a_title_of_its_own() -> None:
    every = (arms.OURS, arms.COOKIECUTTER, arms.BARE_COOKIECUTTER, *arms.UNDONE)
    for names in ({arm.name for arm in every}, {arm.title for arm in every}, {arm.origin for arm in every}):
        assert len(names) == len(every)


def test_an_arm_whose_file_has_changed_is_an_error_and_no_copy_of_ours(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="any more"):
        arms._replaced(Run(quick=True, work=tmp_path), "tcp", ROOT / "README.md", ("^no such line$", ""))
    for file, what in ((arms.NGINX, "proxy_cache shared"), (arms.POOLER, "server_reset_query_always = 1")):
        assert what in (ROOT / file).read_text()


# ---------------------------------------------------------------- the report


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    answer, file = answered(3, 4), tmp_path / "bench.json"
    results.save(file, {"endpoints": answer})
    assert results.load(file) == {"endpoints": answer}


def test_a_report_has_a_row_for_each_aim_and_a_picture_that_is_xml(tmp_path: Path) -> None:
    table = Table("Arms & ways", ("tps",), (Row("ours <b>", (figure([1, 2, 3], "tps"),)),), plotted="tps")
    aims = (Aim("at least 2", "1", met=False), Aim("dump | gzip", "2", met=True))
    answer = Answer("T", "how", aims, (table, table))
    written = list(report.write({"one": answer}, tmp_path))
    assert [file.name for file in written] == ["bench-one.svg", "bench-one-2.svg", "benchmarks.md"]
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| T | at least 2 | 1 | **no** |" in page
    assert "| T | dump &#124; gzip | 2 | yes |" in page
    assert page.count("](images/bench-one") == 2
    assert ElementTree.fromstring(plot.bars(table)).tag.endswith("svg")  # noqa: S314 - our own


def test_a_report_keeps_the_answers_to_what_was_not_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "PUBLISHED", tmp_path / "docs/benchmarks.json")
    results.save(command.PUBLISHED, {})
    for name, title in (("start", "Before"), ("endpoints", "Before"), ("start", "After")):
        results.save(tmp_path / f"{name}{title}.json", {name: dataclasses.replace(answered(3, 4), title=title)})
        command.write_report(tmp_path / f"{name}{title}.json")
    titles = re.findall("^## (?!Machine)(.*)", (tmp_path / "docs/benchmarks.md").read_text(), re.MULTILINE)
    assert titles == ["Before", "After"], "in the order of the questions"


@pytest.mark.parametrize("damaged", ["bench.json", "benchmarks.json"])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str) -> None:
    monkeypatch.setattr(command, "PUBLISHED", tmp_path / "benchmarks.json")
    for name in ("bench.json", "benchmarks.json"):
        results.save(tmp_path / name, {})
    (tmp_path / damaged).write_text("{")
    with pytest.raises(Refused, match=rf"{tmp_path / damaged} can't be read: .*\nHINT"):
        command.write_report(tmp_path / "bench.json")


def test_a_quick_run_is_not_what_a_report_publishes() -> None:
    assert command.parse(["--quick"]).json != command.parse(["report"]).json == command.JSON


@pytest.mark.parametrize("arguments", [["read"], ["report", "pool"], ["--fast"]])
def test_what_the_bench_does_not_know_is_refused_with_a_hint(arguments: list[str]) -> None:
    with pytest.raises(Refused, match="HINT"):
        command.parse(arguments)


def test_help_says_how_long_each_question_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["--help"])
    said = capsys.readouterr().out
    for name, question in command.QUESTIONS.items():
        assert name in said
        assert question.TAKES in said
