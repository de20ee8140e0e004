"""What every layer shares. It imports nothing but pytest: the app's layer runs it in a container of its own."""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
Reporting = Generator[None, Report, Report]
REASON_LENGTH = 400  # characters of a failure that the summary shows
CI = os.environ.get("CI") == "true"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "docker: needs a Docker engine; `./scripts/test --no-docker` leaves it out")
    config.addinivalue_line("markers", "long: takes minutes; runs when its layer is named, not in a run of everything")
    config.addinivalue_line("markers", "last: stops or restarts services; runs after everything else in its layer")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Reporting[pytest.TestReport]:
    report = yield
    if call.excinfo and report.failed:  # with --reruns the second try's report has it, too
        item.user_properties.append(("failed", " ".join(call.excinfo.exconly().split())[:REASON_LENGTH]))
    if report.failed and (stack := getattr(item, "funcargs", {}).get("stack")):
        report.sections.append(("the stack's last log lines", stack.logs(tail="8")))
    return no_skip_in_ci(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Reporting[pytest.CollectReport]:
    return no_skip_in_ci((yield))


def no_skip_in_ci(report: Report) -> Report:
    """A check that didn't run proves nothing: with CI=true a skip is a failure. An expected failure has run."""
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, and with CI=true nothing may be: {why}"
    return report
