"""./scripts/test: prepare the machine, run the layers side by side where they are independent, clean up, sum up.

static, unit                      while the images build
app, checklist, browser           one after the other, on one stack
ops, stack, backup, prod          each on stacks of its own; as many side by side as SIDE_BY_SIDE says
lab                               at last and alone: players ask at a fixed rate there; a busy machine could not answer
"""

import argparse
import contextlib
import dataclasses
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from testing.shell import ROOT, Failed, run
from testing.stack import ARTIFACTS, PROJECT, TEST, Stack

LIMIT = 75 * 60  # seconds that one layer may take before it is ended
SIDE_BY_SIDE = 3  # groups of layers that use stacks; three keep two CPUs busy
LOG_LINES = 400  # of a failed layer's log that are printed; artifacts/ has all of it
# The stack that the app's tests, the checklist and the browser share; `stack` and `prod` make theirs.
SHARED = Stack(PROJECT, TEST, port=21000)


# ------------------------------------------------------------ the layers


def pytest_layer(name: str, *options: str) -> Callable[[argparse.Namespace], list[str]]:
    """A layer that is a folder of tests, run on this machine."""

    def command(asked: argparse.Namespace) -> list[str]:
        without = ["not docker"] if asked.no_docker else ["not long"] if asked.everything else []
        return [
            *PYTEST,
            *options,
            *(["-m", *without] if without else []),
            f"tests/{name}",
            f"--junitxml={report_of(name)}",
            *pick(asked),
        ]

    return command


PYTEST = [
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "--color=no",
    "--durations=30",
    "--durations-min=1",
    "-o",
    "faulthandler_timeout=300",
    "-p",
    "no:cacheprovider",
]


def app_layer(asked: argparse.Namespace) -> list[str]:
    folder = ARTIFACTS / "app"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # the container's user writes the report; it has no name here
    where = ["--confcutdir=/tests", "--junitxml=/artifacts/app.xml"]
    return [
        "docker",
        "compose",
        "run",
        "--rm",
        "app-tests",
        "pytest",
        "-q",
        "--color=no",
        "/tests/app",
        *where,
        *pick(asked),
    ]


def checklist_layer(asked: argparse.Namespace) -> list[str]:
    return ["./scripts/checklist", "--target", f"docker://{SHARED.project}", *pick(asked)]


def browser_layer(asked: argparse.Namespace) -> list[str]:
    return [*pytest_layer("browser")(asked), f"--base-url=https://localhost:{SHARED.port('proxy', 8443)}"]


# What the unit tests import: the packages of the images, and those of the host's own commands.
PACKAGES = ("docker/postgres", "docker/ops", "scripts/lib", "app")


def unit_layer(asked: argparse.Namespace) -> list[str]:
    """Pure logic, without Docker. Two packages may have test files of the same name."""
    path = os.pathsep.join(str(ROOT / folder) for folder in PACKAGES)
    return ["env", f"PYTHONPATH={path}", *pytest_layer("unit", "--import-mode=importlib")(asked)]


def pick(asked: argparse.Namespace) -> list[str]:
    return ["-k", asked.k] if asked.k else []


@dataclasses.dataclass
class Layer:
    """One layer: how it is started, and what came out."""

    name: str
    command: Callable[[argparse.Namespace], list[str]]
    group: str  # layers of a group run one after the other
    proves: str
    passed: int = 0
    failed: int = 0
    noted: int = 0  # ran, and can't hold here or yet: expected failures, and deviations of the checklist
    skipped: int = 0
    seconds: float = 0
    measured: list[str] = dataclasses.field(default_factory=list)  # "test: what it measured"


LAYERS = [
    Layer("static", pytest_layer("static"), "static", "files: they parse, and their facts fit together"),
    Layer("unit", unit_layer, "static", "pure logic, as functions"),
    Layer("app", app_layer, "shared", "the Django app against the stack's PostgreSQL"),
    Layer("checklist", checklist_layer, "shared", "the production checklist, with evidence"),
    Layer("browser", browser_layer, "shared", "a person with a browser"),
    Layer("ops", pytest_layer("ops"), "ops", "the operations CLI, each command of the reference"),
    Layer("stack", pytest_layer("stack"), "stack", "behaviours of the running stack through real clients"),
    Layer("prod", pytest_layer("prod"), "prod", "the production overlay"),
    Layer("backup", pytest_layer("backup"), "backup", "physical backups: made, damaged, restored, compared"),
    Layer("lab", pytest_layer("lab"), "lab", "the playbooks, on hosts (all of it when it is named: half an hour more)"),
]


def report_of(name: str) -> Path:
    return ARTIFACTS / "app/app.xml" if name == "app" else ARTIFACTS / f"{name}.xml"


# ------------------------------------------------------------ a run, as a contents page


def main() -> int:
    asked = arguments()
    layers = [layer for layer in LAYERS if layer.name in asked.layers]
    ARTIFACTS.mkdir(exist_ok=True)
    with one_run_at_a_time():
        if asked.no_docker:
            run_group([layer for layer in layers if layer.group == "static"], asked)
        else:
            prepare(layers)
            with clean_machine():
                run_groups(layers, asked)
    return summary(layers, asked)


def arguments() -> argparse.Namespace:
    names = [layer.name for layer in LAYERS]
    parser = argparse.ArgumentParser(
        prog="./scripts/test",
        description="Run the layers' tests on stacks of their own.",
        epilog="\n".join(f"  {layer.name:10} {layer.proves}" for layer in LAYERS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("layers", nargs="*", metavar="LAYER", help="default: all")
    parser.add_argument("-k", metavar="NAME", help="only tests with this name (pytest's -k)")
    parser.add_argument("--no-docker", action="store_true", help="only what needs no containers; says what it left out")
    asked = parser.parse_args()
    if unknown := set(asked.layers) - set(names):
        give_up(f"there is no layer {' '.join(sorted(unknown))}.", f"choose from: {' '.join(names)}")
    if asked.no_docker and os.environ.get("CI") == "true":
        give_up("--no-docker leaves tests out, and with CI=true nothing may be left out.", "run it without --no-docker")
    asked.everything = not asked.layers
    asked.layers = asked.layers or [layer.name for layer in LAYERS]
    return asked


def prepare(layers: list[Layer]) -> None:
    """The same preparation as ./scripts/up: Docker, the base image, the network's CA for builds."""
    say("preparing this machine")
    subprocess.run(["./scripts/up", "--prepare"], cwd=ROOT, check=False).returncode and sys.exit(2)
    bundle = next(filter(None, map(os.environ.get, ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))), None)
    if bundle:
        os.environ["BUILD_CA_BUNDLE"] = bundle
    if any(layer.name == "browser" for layer in layers) and not shutil.which("chromium"):
        install("chromium")


def install(package: str) -> None:
    """From Debian's packages; anything else than a failure of apt is not this script's to repair."""
    say(f"installing {package}")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    try:
        run(*sudo, "apt-get", "update", "-qq")
        options = ("-y", "-qq", "--no-install-recommends")
        run(*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", *options, package, timeout=900)
    except (Failed, FileNotFoundError) as failure:
        give_up(
            f"{package} is missing and could not be installed: {failure}",
            f"install {package}, then run ./scripts/test again",
        )


@contextlib.contextmanager
def one_run_at_a_time() -> Iterator[None]:
    """Two runs would remove each other's stacks."""
    with (ARTIFACTS / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            give_up("another ./scripts/test is running in this folder.", "wait until it has finished")
        yield


@contextlib.contextmanager
def clean_machine() -> Iterator[None]:
    """Nothing of an earlier run (which may have been killed) at the start, nothing of this one at the end."""

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
    for project in test_projects():
        Stack(project).remove()


def test_projects() -> set[str]:
    """Every compose project of a test run: their names begin with the shared one's."""
    label = '{{.Label "com.docker.compose.project"}}'
    listings = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    names = {name for listing in listings for name in run("docker", *listing, "--format", label).stdout.split()}
    return {name for name in names if name == SHARED.project or name.startswith(f"{SHARED.project}-")}


# ------------------------------------------------------------ running


def run_groups(layers: list[Layer], asked: argparse.Namespace) -> None:
    """What needs stacks begins when the images are there; the longest first. The lab waits for all."""

    def group(name: str) -> list[Layer]:
        return [layer for layer in layers if layer.group == name]

    with ThreadPoolExecutor(1) as beside, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running = [beside.submit(run_group, group("static"), asked)]
        try:
            if layers != group("static"):
                build(layers)
            running += [pool.submit(run_group, group(name), asked) for name in ("ops", "backup", "stack")]
            running += [pool.submit(run_shared, group("shared"), asked), pool.submit(run_group, group("prod"), asked)]
            for each in running:
                each.result()
            run_group(group("lab"), asked)
        except BaseException:
            end_children()
            raise


def build(layers: list[Layer]) -> None:
    started = time.monotonic()
    try:
        names = ["ops", *(["test"] if any(layer.name == "app" for layer in layers) else [])]
        profiles = [word for name in names for word in ("--profile", name)]
        SHARED.compose(*profiles, "build", timeout=1800)
    except Failed as failure:
        give_up(f"the images could not be built:\n{failure}", "correct what the builder says above")
    say(f"images built in {time.monotonic() - started:.0f} s")


def run_shared(layers: list[Layer], asked: argparse.Namespace) -> None:
    if not layers:
        return
    try:
        SHARED.up()
    except Failed as failure:
        say(f"the stack of {', '.join(layer.name for layer in layers)} did not start:\n{failure}")
        for layer in layers:
            layer.failed = 1
        return
    run_group(layers, asked)


def run_group(layers: list[Layer], asked: argparse.Namespace) -> None:
    for layer in layers:
        run_layer(layer, asked)


def run_layer(layer: Layer, asked: argparse.Namespace) -> None:
    """Its output goes to a log; the log is printed when it failed, or as it comes when it is the only layer."""
    log = ARTIFACTS / f"{layer.name}.log"
    report_of(layer.name).unlink(missing_ok=True)
    alone = len(asked.layers) == 1
    say(f"{layer.name}: {layer.proves}")
    started = time.monotonic()
    with log.open("w") as file:
        environment = SHARED.environment if layer.group == "shared" else dict(os.environ)
        status = child(layer.command(asked), environment, None if alone else file)
    layer.seconds = time.monotonic() - started
    count(layer, status)
    say(f"{layer.name}: {layer.passed} passed, {layer.failed} failed in {layer.seconds:.0f} s")
    if layer.failed and not alone:
        print("\n".join(["…", *log.read_text().splitlines()[-LOG_LINES:]]), flush=True)


def count(layer: Layer, status: int) -> None:
    """From the JUnit report. A layer that ended badly without a failed test counts as one failure."""
    report = report_of(layer.name)
    if report.exists():
        for case in ElementTree.parse(report).getroot().iter("testcase"):  # noqa: S314 - pytest's own file
            skipped = case.find("skipped")
            for entry in case.iterfind("properties/property[@name='measured']"):
                layer.measured.append(f"{case.get('name')}: {entry.get('value')}")
            if case.find("failure") is not None or case.find("error") is not None:
                layer.failed += 1
            elif skipped is None:
                layer.passed += 1
            elif skipped.get("type") == "pytest.xfail" or layer.name == "checklist":
                layer.noted += 1
            elif os.environ.get("CI") == "true":
                layer.failed += 1
            else:
                layer.skipped += 1
    nothing_selected = 5
    if status not in (0, nothing_selected) and not layer.failed:
        layer.failed = 1


children: set[subprocess.Popen[bytes]] = set()
ending = threading.Event()


def child(command: list[str], environment: dict[str, str], output: object) -> int:
    """Run to the end; 124 when it took longer than a layer may."""
    if ending.is_set():
        return 130
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,  # type: ignore[call-overload]
    )
    children.add(process)
    try:
        return int(process.wait(LIMIT))
    except subprocess.TimeoutExpired:
        say(f"ended after {LIMIT // 60} minutes: {' '.join(command)}")
        process.kill()
        process.wait()
        return 124
    finally:
        children.discard(process)


def end_children() -> None:
    ending.set()
    for process in list(children):
        process.terminate()
    for process in list(children):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


# ------------------------------------------------------------ saying


def summary(layers: list[Layer], asked: argparse.Namespace) -> int:
    """The table, what was left out, and the one line that a machine may read."""
    ran = [layer for layer in layers if not asked.no_docker or layer.group == "static"]
    left_out = [layer.name for layer in layers if layer not in ran]
    passed, failed = sum(layer.passed for layer in ran), sum(layer.failed for layer in ran)
    print(f"\n{'layer':12}{'passed':>8}{'failed':>8}{'noted':>8}{'skipped':>9}{'seconds':>9}")
    for layer in ran:
        counts = f"{layer.passed:>8}{layer.failed:>8}{layer.noted:>8}{layer.skipped:>9}"
        print(f"{layer.name:12}{counts}{layer.seconds:>9.1f}")
    if asked.everything and not asked.no_docker:
        print(
            "\nleft out: what takes minutes by itself (pytest's mark `long`); ./scripts/test lab runs that of the lab"
        )
    if asked.no_docker:
        print(f"\nleft out, since they need Docker: {', '.join([*left_out, 'tests of static that start containers'])}")
    if not passed + failed:
        give_up("no test ran.", "nothing has the name that -k asks for" if asked.k else "read artifacts/*.log")
    if figures := [figure for layer in ran for figure in layer.measured]:
        print("\nmeasured:", *figures, sep="\n  ")
    if any(layer.noted for layer in ran):
        print("\nnoted: what can't hold here or yet, each with its reason (artifacts/checklist.html)")
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


def say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def give_up(what: str, hint: str) -> NoReturn:
    """It could not run; that is another exit status than a failed test."""
    print(f"ERROR: {what}\nHINT:  {hint}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main())
