"""What the runner makes of a layer's JUnit report, and which of pytest's options it passes on."""

import argparse
from pathlib import Path

import pytest

from testing import runner

REPORT = """<testsuites><testsuite>
  <testcase name="one"/>
  <testcase name="two"><properties><property name="failed" value="KeyError"/></properties><failure/></testcase>
  <testcase name="three"><error/></testcase>
  <testcase name="four"><skipped type="pytest.skip"/></testcase>
  <testcase name="five"><skipped type="pytest.xfail"/></testcase>
  <testcase name="six"><properties><property name="measured" value="0.2 s"/></properties></testcase>
  <testcase name="seven"><properties><property name="failed" value="TimeoutError"/></properties></testcase>
  <testcase name="seven"><properties><property name="failed" value="TimeoutError"/>
    <property name="failed" value="OSError"/></properties></testcase>
</testsuite></testsuites>"""


def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ci: str, status: int = 1) -> runner.Layer:
    monkeypatch.setattr(runner, "ARTIFACTS", tmp_path)
    monkeypatch.setenv("CI", ci)
    layer = runner.Layer("stack", "stack", "", [])
    layer.report.write_text(REPORT)
    runner.count(layer, status)
    return layer


def test_a_report_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = counted(tmp_path, monkeypatch, ci="")
    assert (layer.passed, layer.failed, layer.noted, layer.skipped) == (3, 2, 1, 1)
    assert layer.measured == ["six: 0.2 s"]
    assert layer.failures == ["stack: two: KeyError", "stack: three: "]
    assert layer.repeated == ["stack: seven: TimeoutError; OSError"]


def test_in_ci_a_skipped_test_counts_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = counted(tmp_path, monkeypatch, ci="true")
    assert (layer.failed, layer.skipped) == (3, 0)


@pytest.mark.parametrize(("status", "failed"), [(0, 0), (runner.NOTHING_SELECTED, 0), (2, 1), (-9, 1)])
def test_a_layer_that_ended_without_a_report_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, failed: int
) -> None:
    monkeypatch.setattr(runner, "ARTIFACTS", tmp_path)
    layer = runner.Layer("stack", "stack", "", [])
    runner.count(layer, status)
    assert layer.failed == failed


@pytest.mark.parametrize(
    ("name", "everything", "no_docker", "k", "expected"),
    [
        ("lab", True, False, None, ["-m", "not long", "--reruns=1"]),
        ("lab", False, False, None, []),
        ("lab", False, "quick", None, ["-m", "not long"]),
        ("static", False, True, "sums", ["-m", "not docker", "-k", "sums"]),
        ("checklist", True, False, "TLS-03", ["-k", "TLS-03"]),
    ],
)
def test_options_that_are_passed_on(
    name: str, everything: bool, no_docker: bool | str, k: str | None, expected: list[str]
) -> None:
    asked = argparse.Namespace(everything=everything, no_docker=no_docker is True, quick=no_docker == "quick", k=k)
    assert runner.selection(runner.Layer(name, name, "", []), asked) == expected


@pytest.mark.parametrize(("repeated", "status"), [(0, 0), (3, 0), (4, 1)])
def test_too_many_repeated_tests_fail_a_run(capsys: pytest.CaptureFixture[str], repeated: int, status: int) -> None:
    names = [f"stack: test {number}" for number in range(repeated)]
    layer = runner.Layer("stack", "stack", "", [], passed=9, repeated=names)
    asked = argparse.Namespace(no_docker=False, everything=True, quick=False, k=None)
    assert runner.summary([layer], asked) == status
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_the_processors_share_of_work_is_that_between_two_readings() -> None:
    assert runner.busy((1000, 500), (1060, 540)) == "60 %"
    assert runner.busy((0, 0), (0, 0)) == "0 %"
    assert min(runner.processor_time()) > 0
