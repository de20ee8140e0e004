"""Options and fixtures of the checklist, and the hooks that turn test results into a report."""

import contextlib
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from checklist import report
from checklist.api import Check, Deviation, DoesNotApply, Evidence, NotProven, does_not_apply, not_proven
from checklist.client import Client, Superuser
from checklist.fleet import FleetTarget
from checklist.machines import Machine, TargetError
from checklist.results import Result, Run, judge
from checklist.target import NO_VANTAGE, Target, open_target

Reporting = Generator[None, pytest.TestReport, pytest.TestReport]
ROOT = Path(__file__).resolve().parents[2]
PUBLIC_SECRETS = {file.name: file.read_text().strip() for file in (ROOT / "docker/secrets.dev").glob("*_*")}


def pytest_addoption(parser: pytest.Parser) -> None:
    project = os.environ.get("COMPOSE_PROJECT_NAME", "flaglearning")
    parser.addoption("--target", default=f"docker://{project}", help="target: docker://COMPOSE_PROJECT")
    parser.addoption("--inventory", default="", help="target: the hosts of an Ansible inventory")
    parser.addoption("--artifacts", type=Path, default=ROOT / "artifacts", help="where the reports go")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(config), "checklist-recorder")


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """A check can be picked by its id: -k TLS-03."""
    if isinstance(item, pytest.Function) and isinstance(found := getattr(item.function, "check", None), Check):
        item.extra_keyword_matches.add(found.id)


class Recorder:
    """Collects results while pytest runs; writes and prints the report at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.target: Target | None = None
        self.results: list[Result] = []
        self.began = time.monotonic()

    def open(self) -> Target:
        """The target, opened once; if that fails, pytest prints the error and stops."""
        if self.target is None:
            try:
                self.target = open_the_target(self.config)
            except TargetError as error:
                pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
        return self.target

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Reporting:
        outcome = yield
        check = getattr(getattr(item, "function", None), "check", None)
        if check is None or (call.when != "call" and not call.excinfo):
            return outcome
        raised, reason = ending_of(call.excinfo)
        seen: Evidence = getattr(item, "evidence", Evidence())
        assert self.target is not None
        judged, why = judge(raised, reason, seen.lines, self.target.deployment)
        self.results.append(Result(check, judged, why, tuple(seen.lines), call.duration))
        if judged == "pass":
            outcome.outcome, outcome.longrepr = "passed", None
        elif judged == "fail" or not (self.target.development or judged == "does not apply"):
            outcome.outcome, outcome.longrepr = "failed", f"{check.id} {check.claim}\n{why}"
        else:
            # pytest calls it an expected failure: it ran, and is known not to hold here.
            outcome.outcome, outcome.wasxfail = "skipped", f"{judged}: {why}"
        self.progress(f"{len(self.results)} {check.id} {check.claim}")
        return outcome

    def progress(self, line: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{line[:78]}")
            sys.stderr.flush()

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if sys.stderr.isatty() and self.results:
            sys.stderr.write("\r\033[K")
        if self.target is None:
            return
        with contextlib.suppress(TargetError):
            self.target.close()
        run = Run(
            self.target.name,
            self.target.deployment,
            tuple(self.results),
            time.monotonic() - self.began,
            hosts=tuple(f"{machine} ({', '.join(machine.groups)})" for machine in machines_of(self.target)),
        )
        # A run that was interrupted gets no report.
        if self.results and exitstatus != pytest.ExitCode.INTERRUPTED:
            report.write(run, self.config.getoption("--artifacts"))
            report.show(run, self.config.getoption("--artifacts"))


def open_the_target(config: pytest.Config) -> Target:
    if inventory := config.getoption("--inventory"):
        return FleetTarget(inventory, config.invocation_params.dir)
    return open_target(config.getoption("--target"))


def machines_of(target: Target) -> tuple[Machine, ...]:
    return (*target.hosts, *([target.vantage] if target.vantage else []))


def ending_of(excinfo: pytest.ExceptionInfo[BaseException] | None) -> tuple[str, str]:
    """('nothing' | 'deviation' | 'not proven' | 'does not apply' | 'error', the reason)."""
    if excinfo is None:
        return "nothing", ""
    error = excinfo.value
    if isinstance(error, Deviation):
        return "deviation", str(error)
    if isinstance(error, NotProven):
        return "not proven", str(error)
    if isinstance(error, DoesNotApply):
        return "does not apply", str(error)
    # An assertion's message, without pytest's account of its operands.
    message = str(error).partition("\nassert ")[0].strip() or excinfo.exconly()
    return "error", message if isinstance(error, AssertionError) else f"{type(error).__name__}: {message}"


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """What the checks look at."""
    recorder = request.config.pluginmanager.get_plugin("checklist-recorder")
    assert isinstance(recorder, Recorder)
    return recorder.open()


@pytest.fixture
def evidence(request: pytest.FixtureRequest, target: Target) -> Evidence:
    """Call it with what the check observes."""
    target.asked.clear()
    seen = Evidence(target.asked)
    request.node.evidence = seen
    return seen


@pytest.fixture(scope="session")
def superuser(target: Target) -> Superuser:
    """SQL as the superuser, through the server's socket."""
    return Superuser(target)


@pytest.fixture(scope="session")
def public_secrets() -> dict[str, str]:
    """Development's, which are public: they are in the repository."""
    return PUBLIC_SECRETS


@pytest.fixture(scope="session")
def beside(target: Target) -> Client:
    """A client on the database's network, with every role's password and development's public ones."""
    return Client(target, "database", PUBLIC_SECRETS)


@pytest.fixture(scope="session")
def at_applications(target: Target) -> list[Client]:
    """A client on the application's network, with the application's password, on each machine that runs it."""
    return [Client(target, "application", beside=app) for app in target.each("app")]


@pytest.fixture(scope="session")
def hosts(target: Target) -> tuple[Machine, ...]:
    """The hosts, examined as root. For a target without hosts the check ends here."""
    if not target.hosts:
        does_not_apply(
            "the target is a compose project; firewall, ssh, clock and updates of its machine are not managed by it"
            " (Ansible manages them, also of one host: `./scripts/checklist -i INVENTORY`)"
        )
    return target.hosts


@pytest.fixture(scope="session")
def vantage(target: Target, hosts: tuple[Machine, ...]) -> Machine:
    """The external vantage host. Without one the check ends here."""
    if not target.vantage:
        not_proven(NO_VANTAGE)
    return target.vantage
