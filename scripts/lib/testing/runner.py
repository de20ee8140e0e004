"""./scripts/test: prepare the machine, run the layers, clean up, sum up.

unit, static                      while the images build
app, checklist, browser           one after the other, on one stack
ops, backup, lab, stack, prod, alerts  each on stacks of its own; as many side by side as SIDE_BY_SIDE says
cluster                           last and alone: it measures how long a failover takes
"""

import argparse
import contextlib
import dataclasses
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NoReturn

from testing.shell import ROOT, Failed, run
from testing.stack import ARTIFACTS, PROJECT, TAG, TEST, Stack, build_images

SIDE_BY_SIDE = 3  # groups of layers that use stacks; three keep two CPUs busy
REPEATED_AT_MOST = 3  # tests that may pass at their second try before the run counts as failed
LOG_LINES = 400  # of a failed layer's log that are printed; artifacts/ has all of it
# The stack that the layers app, checklist and browser share.
SHARED = Stack(PROJECT, TEST, port=21000)
# What the unit tests import: the packages of the images, of the host's commands, and of the app.
PACKAGES = os.pathsep.join(str(ROOT / folder) for folder in ("docker/postgres", "docker/ops", "scripts/lib", "app"))
PYTEST = [sys.executable, *shlex.split("-m pytest -q --color=no --durations=20 --durations-min=3")]
PYTEST += shlex.split("-o faulthandler_timeout=300 -p no:cacheprovider")
APP_TESTS = shlex.split("docker compose run --rm app-tests pytest -q --color=no /tests/app --confcutdir=/tests")
NOTHING_SELECTED = 5  # pytest's exit status


@dataclasses.dataclass
class Layer:
    """One layer: its command, and the result."""

    name: str
    group: str  # layers of a group run one after the other
    proves: str
    command: list[str]
    passed: int = 0
    failed: int = 0
    noted: int = 0  # expected failures, and deviations of the checklist
    skipped: int = 0
    seconds: float = 0
    alone: bool = False  # the only layer of the run: its output is printed as it comes
    measured: list[str] = dataclasses.field(default_factory=list)  # "test: what it measured"
    failures: list[str] = dataclasses.field(default_factory=list)  # tests that failed, with the reason
    repeated: list[str] = dataclasses.field(default_factory=list)  # tests that failed, and passed when run again

    @property
    def report(self) -> Path:
        return ARTIFACTS / "app/app.xml" if self.name == "app" else ARTIFACTS / f"{self.name}.xml"

    @property
    def log(self) -> Path:
        return ARTIFACTS / f"{self.name}.log"


def folder(name: str, proves: str, *options: str, group: str = "", path: str = "") -> Layer:
    """A layer that is a folder of tests, run on this machine."""
    python = ["env", f"PYTHONPATH={path}", *PYTEST] if path else PYTEST
    command = [*python, *options, f"tests/{name}", f"--junitxml=artifacts/{name}.xml"]
    return Layer(name, group or name, proves, command)


SITE = (f"--base-url=https://localhost:{SHARED.variables['PROXY_HTTPS_PORT']}", f"--project={SHARED.project}")
LAYERS = [
    folder("unit", "pure logic, without Docker", "--import-mode=importlib", group="static", path=PACKAGES),
    folder("static", "files: they parse, pass the linters, and agree with each other"),
    Layer("app", "shared", "the Django app against PostgreSQL", [*APP_TESTS, "--junitxml=/artifacts/app.xml"]),
    Layer(
        "checklist",
        "shared",
        "the production checklist, with evidence",
        ["./scripts/checklist", "--target", f"docker://{SHARED.project}"],
    ),
    folder("browser", "the site in a browser", *SITE, group="shared"),
    folder("ops", "./scripts/ops, each command of the reference"),
    folder("stack", "the running stack through real clients, and what happens when its parts stop"),
    folder("prod", "the production overlay, and that each check of the checklist can fail"),
    folder("backup", "backups: made, damaged, restored, compared"),
    folder("alerts", "each alert, fired by its fault (without those marked `long`, unless the layer is named)"),
    folder("cluster", "three database servers: failover and switchover while clients write"),
    folder("lab", "the playbooks, on hosts (without the tests marked `long`, unless the layer is named)"),
]


# ------------------------------------------------------------ a run, as a contents page


def main() -> int:
    asked = arguments()
    layers = [layer for layer in LAYERS if layer.name in asked.layers]
    for layer in layers:
        layer.command += selection(layer, asked)
        layer.alone = len(layers) == 1
    ARTIFACTS.mkdir(exist_ok=True)
    before = processor_time()
    with one_run_at_a_time():
        if asked.no_docker:
            layers = group(layers, "static")
            run_group(layers)
        else:
            prepare(layers)
            with clean_machine():
                run_groups(layers, asked.no_build)
    status = summary(layers, asked)
    print(f"processors: {busy(before, processor_time())} busy")
    return status


def arguments() -> argparse.Namespace:
    names = [layer.name for layer in LAYERS]
    parser = argparse.ArgumentParser(
        prog="./scripts/test",
        description="Run the tests, layer by layer, on stacks of their own.",
        epilog="\n".join(f"  {layer.name:10} {layer.proves}" for layer in LAYERS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("layers", nargs="*", metavar="LAYER", help="default: all")
    parser.add_argument("-k", metavar="NAME", help="only tests with this name (pytest's -k)")
    parser.add_argument("--quick", action="store_true", help="without tests marked `long`, as in a run of all layers")
    parser.add_argument("--no-build", action="store_true", help=f"the images are here already, with the tag {TAG}")
    parser.add_argument("--no-docker", action="store_true", help="only tests that need no container")
    asked = parser.parse_args()
    if unknown := set(asked.layers) - set(names):
        give_up(f"there is no layer {' '.join(sorted(unknown))}", f"choose from: {' '.join(names)}")
    if asked.no_docker and os.environ.get("CI") == "true":
        give_up("--no-docker leaves tests out, and CI=true forbids that", "run it without --no-docker")
    asked.everything = not asked.layers
    asked.layers = asked.layers or names
    return asked


def selection(layer: Layer, asked: argparse.Namespace) -> list[str]:
    """pytest's options for what was asked for."""
    marks = "not docker" if asked.no_docker else "not long" if asked.everything or asked.quick else ""
    again = ["--reruns=1"] if asked.everything else []
    own_options = layer.name in ("app", "checklist")  # their commands know -k alone
    return [
        *([*(["-m", marks] if marks else []), *again] if not own_options else []),
        *(["-k", asked.k] if asked.k else []),
    ]


def group(layers: list[Layer], name: str) -> list[Layer]:
    return [layer for layer in layers if layer.group == name]


def prepare(layers: list[Layer]) -> None:
    """The same preparation as ./scripts/up: Docker, the base image, the network's CA for builds."""
    say("preparing this machine")
    subprocess.run(["./scripts/up", "--prepare"], cwd=ROOT, check=False).returncode and sys.exit(2)
    bundle = next(filter(None, map(os.environ.get, ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))), None)
    if bundle:
        os.environ["BUILD_CA_BUNDLE"] = bundle
    if any(layer.name in ("browser", "alerts") for layer in layers) and not shutil.which("chromium"):
        install("chromium")
    # The container's user writes its report here; it has no name on this machine.
    (ARTIFACTS / "app").mkdir(exist_ok=True)
    (ARTIFACTS / "app").chmod(0o777)


def install(package: str) -> None:
    say(f"installing {package}")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    try:
        run(*sudo, "apt-get", "update", "-qq")
        options = ("-y", "-qq", "--no-install-recommends")
        run(*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", *options, package, timeout=900)
    except (Failed, FileNotFoundError) as failure:
        give_up(f"{package} could not be installed: {failure}", f"install {package}, then run ./scripts/test again")


@contextlib.contextmanager
def one_run_at_a_time() -> Iterator[None]:
    """Two runs would remove each other's stacks."""
    with (ARTIFACTS / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            give_up("another ./scripts/test is running in this folder", "wait until it has finished")
        yield


@contextlib.contextmanager
def clean_machine() -> Iterator[None]:
    """Remove the stacks of earlier runs (one may have been killed), and at the end those of this one."""

    def interrupted(number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, interrupted)
    remove_everything()
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted: cleaning up")
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_children()
        remove_everything()


def remove_everything() -> None:
    """Every compose project of a test run: their names begin with the shared one's."""
    label = '{{.Label "com.docker.compose.project"}}'
    listings = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    names = {name for listing in listings for name in run("docker", *listing, "--format", label).stdout.split()}
    for project in names:
        if project == SHARED.project or project.startswith(f"{SHARED.project}-"):
            Stack(project).remove()


# ------------------------------------------------------------ running


def run_groups(layers: list[Layer], no_build: bool) -> None:
    """Groups that use stacks start when the images are built, the longest first. The cluster waits for all."""
    with ThreadPoolExecutor(1) as beside, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running = [beside.submit(run_group, group(layers, "static"))]
        try:
            if layers != group(layers, "static") and not no_build:
                build(layers)
            names = ("ops", "backup", "lab", "stack", "shared", "prod", "alerts")
            running += [pool.submit(run_group, group(layers, name)) for name in names]
            for each in running:
                each.result()
            run_group(group(layers, "cluster"))
        except BaseException:
            end_children()
            raise


def build(layers: list[Layer]) -> None:
    started = time.monotonic()
    for_the_app = ("--profile", "test") if any(layer.name == "app" for layer in layers) else ()
    try:
        build_images(*for_the_app)
    except Failed as failure:
        give_up(f"the images could not be built:\n{failure}", "correct what the builder reports above")
    say(f"images built in {time.monotonic() - started:.0f} s")


def run_group(layers: list[Layer]) -> None:
    if group(layers, "shared"):
        try:
            SHARED.up()
        except Failed as failure:
            say(f"the stack of {', '.join(layer.name for layer in layers)} did not start:\n{failure}")
            for layer in layers:
                layer.failed = 1
            return
    for layer in layers:
        run_layer(layer)


def run_layer(layer: Layer) -> None:
    layer.report.unlink(missing_ok=True)
    say(f"{layer.name}: {layer.proves}")
    started = time.monotonic()
    environment = SHARED.environment if layer.group == "shared" else dict(os.environ)
    with layer.log.open("w") as log:
        status = child(layer.command, environment, None if layer.alone else log)
    layer.seconds = time.monotonic() - started
    count(layer, status)
    say(f"{layer.name}: {layer.passed} passed, {layer.failed} failed in {layer.seconds:.0f} s")
    if layer.failed and not layer.alone:
        print("\n".join(["…", *layer.log.read_text().splitlines()[-LOG_LINES:]]), flush=True)


def count(layer: Layer, status: int) -> None:
    """From the JUnit report. A layer that ended badly without a failed test counts as one failure."""
    cases = ElementTree.parse(layer.report).getroot().iter("testcase") if layer.report.exists() else ()  # noqa: S314
    tries = {
        (case.get("classname"), case.get("name")): case for case in cases
    }  # the last one of a test that was repeated
    for case in tries.values():
        skipped = case.find("skipped")
        for entry in case.iterfind("properties/property[@name='measured']"):
            layer.measured.append(f"{case.get('name')}: {entry.get('value')}")
        if case.find("failure") is not None or case.find("error") is not None:
            layer.failed += 1
            layer.failures.append(f"{layer.name}: {case.get('name')}: {reasons_of(case)}")
        elif skipped is None:
            layer.passed += 1
            if reasons := reasons_of(case):
                layer.repeated.append(f"{layer.name}: {case.get('name')}: {reasons}")
        elif skipped.get("type") == "pytest.xfail" or layer.name == "checklist":
            layer.noted += 1
        elif os.environ.get("CI") == "true":
            layer.failed += 1
        else:
            layer.skipped += 1
    if status not in (0, NOTHING_SELECTED) and not layer.failed:
        layer.failed = 1


def reasons_of(case: ElementTree.Element) -> str:
    """Why it failed: the test, and the end of a fixture (tests/conftest.py)."""
    return "; ".join(str(entry.get("value")) for entry in case.iterfind("properties/property[@name='failed']"))


children: set[subprocess.Popen[bytes]] = set()
ending = threading.Event()


def child(command: list[str], environment: dict[str, str], log: IO[str] | None) -> int:
    """Run to the end; its exit status."""
    if ending.is_set():
        return 130
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # with what it starts: an ansible-playbook would go on without it
    ) as process:
        children.add(process)
        status = process.wait()
    children.discard(process)
    return status


def end_children() -> None:
    ending.set()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in list(children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        for process in list(children):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


# ------------------------------------------------------------ reporting


def summary(layers: list[Layer], asked: argparse.Namespace) -> int:
    """The table, what was left out, and the one line that a machine may read."""
    passed, failed = sum(layer.passed for layer in layers), sum(layer.failed for layer in layers)
    print(f"\n{'layer':12}{'passed':>8}{'failed':>8}{'noted':>8}{'skipped':>9}{'seconds':>9}")
    for one in layers:
        print(f"{one.name:12}{one.passed:>8}{one.failed:>8}{one.noted:>8}{one.skipped:>9}{one.seconds:>9.1f}")
    if asked.no_docker:
        names = [layer.name for layer in LAYERS if layer not in layers]
        print(f"\nleft out, since they need Docker: {', '.join(names)}, and tests of static that start containers")
    elif asked.everything or asked.quick:
        print("\nleft out: tests marked `long`; ./scripts/test lab runs those of the lab")
    if not passed + failed:
        give_up("no test ran", "no test has the name that -k asks for" if asked.k else "read artifacts/*.log")
    if figures := [figure for layer in layers for figure in layer.measured]:
        print("\nmeasured:", *figures, sep="\n  ")
    if failures := [test for layer in layers for test in layer.failures]:
        print("\nfailed:", *failures, sep="\n  ")
    repeated = [test for layer in layers for test in layer.repeated]
    if repeated:
        print("\nfailed at first, and run again:", *repeated, sep="\n  ")
    if len(repeated) > REPEATED_AT_MOST:
        print(f"  At most {REPEATED_AT_MOST} may: the run counts as failed.")
        failed += 1
    if any(layer.noted for layer in layers):
        print("\nnoted: checks that cannot hold here, each with its reason (artifacts/checklist.html)")
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


def processor_time() -> tuple[int, int]:
    """Clock ticks of all processors since this machine's start: busy, idle (proc(5), /proc/stat); 0 elsewhere."""
    file = Path("/proc/stat")
    if not file.exists():
        return 0, 0
    user, nice, system, idle, waiting, *interrupts = map(int, file.read_text().split("\n")[0].split()[1:9])
    return user + nice + system + sum(interrupts), idle + waiting


def busy(before: tuple[int, int], after: tuple[int, int]) -> str:
    """The share of the time between two readings, other programs' included."""
    working, idle = (end - start for start, end in zip(before, after, strict=True))
    return f"{100 * working / max(1, working + idle):.0f} %"


def say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def give_up(what: str, hint: str) -> NoReturn:
    """It could not run; another exit status than that of a failed test."""
    print(f"ERROR: {what}\nHINT:  {hint}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main())
