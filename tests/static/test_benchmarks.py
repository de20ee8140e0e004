"""The bench's arithmetic: a number that is wrong here would be wrong in docs/benchmarks.md."""

import random
import sys

import pytest

from support.shell import ROOT

sys.path.append(str(ROOT / "scripts"))

from benchmarks import plans, report
from benchmarks.results import Figure, Row, Table, figure
from benchmarks.run import Run


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 1), (10, 10), (19, 19), (20, 19), (100, 95), (101, 96), (300, 285)]
)
def test_p95_is_what_95_of_100_do_not_exceed(count: int, expected: int) -> None:
    samples = [float(number) for number in range(1, count + 1)]
    random.shuffle(samples)
    assert plans.p95(samples) == expected
    assert sum(sample <= expected for sample in samples) >= 0.95 * count


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
COUNTRIES = node("Seq Scan", 195, **{"Relation Name": "countries"})


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
