"""Options and fixtures of the checklist, and the hooks that turn test results into a report."""

import contextlib
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from checklist import report
from checklist.api import Check, Deviation, Evidence, NotYet, not_yet
from checklist.client import Client, Superuser
from checklist.fleet import FleetTarget
from checklist.machines import Machine, TargetError
from checklist.results import Result, Run, judge
from checklist.target import NO_OUTSIDER, Target, open_target

Reporting = Generator[None, pytest.TestReport, pytest.TestReport]
ROOT = Path(__file__).resolve().parents[2]
PUBLIC_SECRETS = {file.name: file.read_text().strip() for file in (ROOT / "docker/secrets.dev").glob("*_*")}


def pytest_addoption(parser: pytest.Parser) -> None:
    project = os.environ.get("COMPOSE_PROJECT_NAME", "flaglearning")
    parser.addoption("--target", default=f"docker://{project}", help="what to check: docker://COMPOSE_PROJECT")
    parser.addoption("--inventory", default="", help="what to check: the hosts of an Ansible inventory")
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
        """The target, opened once; pytest prints what is wrong with it and stops."""
        if self.target is None:
            try:
                self.target = open_what_was_asked_for(self.config)
            except TargetError as error:
                pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
        return self.target

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Reporting:
        outcome = yield
        check = getattr(getattr(item, "function", None), "check", None)
        if check is None or (call.when != "call" and not call.excinfo):
            return outcome
        raised, reason = how_it_ended(call.excinfo)
        seen: Evidence = getattr(item, "evidence", Evidence())
        assert self.target is not None
        judged, why = judge(raised, reason, seen.lines, self.target.deployment)
        self.results.append(Result(check, judged, why, tuple(seen.lines), call.duration))
        if judged == "pass":
            outcome.outcome, outcome.longrepr = "passed", None
        elif judged == "fail" or not self.target.development:
            outcome.outcome, outcome.longrepr = "failed", f"{check.id} {check.claim}\n{why}"
        else:
            # What pytest calls an expected failure: it has run, and is known not to hold here.
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
            hosts=tuple(f"{machine} ({', '.join(machine.groups)})" for machine in everybody(self.target)),
        )
        # Half a run says nothing of the whole.
        if self.results and exitstatus != pytest.ExitCode.INTERRUPTED:
            report.write(run, self.config.getoption("--artifacts"))
            report.show(run, self.config.getoption("--artifacts"))


def open_what_was_asked_for(config: pytest.Config) -> Target:
    if inventory := config.getoption("--inventory"):
        return FleetTarget(inventory, config.invocation_params.dir)
    return open_target(config.getoption("--target"))


def everybody(target: Target) -> tuple[Machine, ...]:
    return (*target.hosts, *([target.outsider] if target.outsider else []))


def how_it_ended(excinfo: pytest.ExceptionInfo[BaseException] | None) -> tuple[str, str]:
    """('nothing' | 'deviation' | 'not yet' | 'error', the sentence that goes with it)."""
    if excinfo is None:
        return "nothing", ""
    error = excinfo.value
    if isinstance(error, Deviation):
        return "deviation", str(error)
    if isinstance(error, NotYet):
        return "not yet", str(error)
    # An assertion's own sentence, not pytest's dissection of its operands; those may be long, and say less.
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
    """Call it with what the check sees."""
    target.asked.clear()
    seen = Evidence(target.asked)
    request.node.evidence = seen
    return seen


@pytest.fixture(scope="session")
def superuser(target: Target) -> Superuser:
    """SQL through the server's own socket."""
    return Superuser(target)


@pytest.fixture(scope="session")
def public_secrets() -> dict[str, str]:
    """Development's, which are in the repository for everybody to read."""
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
    """The machines themselves, to be looked at as root. Where containers are all there is, the check ends here."""
    if not target.hosts:
        not_yet("containers alone can't show it: `./scripts/checklist -i INVENTORY` looks at hosts")
    return target.hosts


@pytest.fixture(scope="session")
def outsider(target: Target, hosts: tuple[Machine, ...]) -> Machine:
    """A machine elsewhere. Without one the check ends here."""
    if not target.outsider:
        not_yet(NO_OUTSIDER)
    return target.outsider
