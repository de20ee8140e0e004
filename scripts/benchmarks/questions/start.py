"""How long `docker compose up` takes until the game answers, a rebuild takes, how much memory and disk it needs."""

import contextlib
import dataclasses
import datetime
import http.client
import json
import shutil
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from benchmarks import engine, stacks
from benchmarks.results import Aim, Answer, Row, Table, figure
from benchmarks.run import Refused, Run
from benchmarks.stacks import TAG, Stack
from testing.shell import ROOT
from testing.shell import run as shell
from testing.stack import DEVELOPMENT, PORTS, SLOT

NAME = "start"
TITLE = "Start, rebuild, memory and size"

TAKES = "3 minutes; 25 s"

FIRST = 24000
PORT = FIRST + 200 * int(SLOT or 0)  # as Stack counts
PATH = "/api/challenge/today"  # a 200 needs migrations, countries, the pooler
LIGHT_USE = ("/", PATH, "/leaderboard/", "/most-guessed/", "/accounts/login/")
EMPTY, PRESENT = "empty volumes", "volumes present"
AIMS = {EMPTY: 12, PRESENT: 6}
MEMORY_AIM_MB = 600


def answer(run: Run) -> Answer:
    """Starts and stops the developer's stack, rebuilds it, then looks at production's memory."""
    stack = Stack("fl-bench-start", DEVELOPMENT, port=FIRST, TAG=TAG)
    with stacks.removed_afterwards(stack):
        _check_ports(stack)
        run.say("start: building what is not built yet")
        stack.build()
        starts, timeline = _starts(run, stack)
        memory = {"development, after start": _memory(stack)}
        rebuilds = _rebuilds(run)
    if not run.quick:
        memory |= _production_memory(run)
    images = engine.layers(_images(stack))
    return _answer(starts, timeline, rebuilds, memory, images)


def _check_ports(stack: Stack) -> None:
    for name in PORTS:
        port = int(stack.variables[name])
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise Refused(
                    f"port {port} on this machine is taken, and the question `start` needs it.",
                    f"see what listens there: ss -ltnp 'sport = :{port}'",
                ) from None


# ---------------------------------------------------------------- until the first answer


@dataclasses.dataclass(frozen=True)
class Start:
    """Seconds from `docker compose up` to the first answer, and to the prompt (everything healthy)."""

    answered: float
    healthy: float


def _starts(run: Run, stack: Stack) -> tuple[dict[str, list[Start]], dict[str, str]]:
    starts: dict[str, list[Start]] = {EMPTY: [], PRESENT: []}
    timeline: dict[str, str] = {}
    rounds = run.choose(3, 1)
    for number in range(1, rounds + 1):
        # In this order always: the second needs the first one's volumes.
        for state, prepare in ((EMPTY, stack.down), (PRESENT, lambda: stack.compose("down", "--timeout", "10"))):
            prepare()
            start = _start(stack)
            starts[state].append(start)
            took = f"first answer after {start.answered:.1f} s, all healthy after {start.healthy:.1f} s"
            run.say(f"start: round {number}/{rounds}  {state:<15} {took}")
            if state == EMPTY:
                timeline = _timeline(stack)
    return starts, timeline


def _start(stack: Stack) -> Start:
    began = time.monotonic()
    healthy: list[float] = []

    def up() -> None:
        stack.up()
        healthy.append(time.monotonic() - began)

    thread = threading.Thread(target=up)
    thread.start()
    answered = 0.0
    while not answered and (thread.is_alive() or healthy):
        if _answers(PATH):
            answered = time.monotonic() - began
        time.sleep(0.02)
    thread.join()
    if not answered or not healthy:
        raise AssertionError(f"the stack did not start:\n{stack.logs_of_unhealthy()}")
    return Start(answered, healthy[0])


def _answers(path: str) -> bool:
    """Whether the stack answers 200 over https (unverified: its CA was made a second ago)."""
    url, unverified = f"https://127.0.0.1:{PORT + 1}{path}", ssl._create_unverified_context()  # noqa: S323
    with (
        contextlib.suppress(OSError, http.client.HTTPException),
        urllib.request.urlopen(url, timeout=1, context=unverified) as answer,
    ):
        return bool(answer.status == 200)
    return False


def _timeline(stack: Stack) -> dict[str, str]:
    """Each container: when it started and when it was done or healthy, in seconds after the first was created."""
    inspected = {
        service: json.loads(shell("docker", "inspect", container).stdout)[0]
        for service, container in stack.containers().items()
    }
    zero = min(_moment(one["Created"]) for one in inspected.values())
    rows = sorted(
        (_moment(one["State"]["StartedAt"]) - zero, _ready(one) - zero, service) for service, one in inspected.items()
    )
    return {service: f"{started:.1f}–{ready:.1f} s" for started, ready, service in rows}


def _ready(inspected: dict[str, Any]) -> float:
    """When a one-shot was done, or a service's first kept health check succeeded."""
    state = inspected["State"]
    if state["Status"] == "exited":
        return _moment(state["FinishedAt"])
    if "Health" not in state:
        return _moment(state["StartedAt"])
    return min(_moment(check["End"]) for check in state["Health"]["Log"] if check["ExitCode"] == 0)


def _moment(text: str) -> float:
    """Docker's times have nine decimals, and an offset when they are local."""
    head, _, tail = text.partition(".")
    digits = tail.rstrip("Z")
    fraction, offset = (digits[:-6], digits[-6:]) if digits[-6:-5] in ("+", "-") else (digits, "+00:00")
    return datetime.datetime.fromisoformat(head + offset).timestamp() + float(f"0.{fraction}")


# ---------------------------------------------------------------- rebuild


def _rebuilds(run: Run) -> list[float]:
    """Seconds to build the app's image after one line of its source changed; in a copy of the source."""
    seconds = []
    with _copy_of_the_source(run) as copy:
        for number in range(run.choose(3, 1)):
            with (copy / "app/config/urls.py").open("a", encoding="utf-8") as source:
                source.write(f"# {time.time_ns()}\n")
            began = time.monotonic()
            shell(
                "docker",
                "compose",
                "--project-directory",
                str(copy),
                "build",
                "--quiet",
                "app",
                cwd=copy,
                env={"TAG": f"{TAG}-rebuilt"},
            )
            seconds.append(time.monotonic() - began)
            run.say(f"start: rebuild {number + 1} after a one-line change: {seconds[-1]:.1f} s")
    return seconds


@contextlib.contextmanager
def _copy_of_the_source(run: Run) -> Iterator[Any]:
    copy = run.work / "source"
    try:
        for folder in ("app", "docker", "pg"):
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        shutil.copy(ROOT / "docker-compose.yml", copy)
        yield copy
    finally:
        shell("docker", "image", "rm", f"flaglearning/app:{TAG}-rebuilt", check=False)
        shutil.rmtree(copy, ignore_errors=True)


# ---------------------------------------------------------------- memory and size


def _production_memory(run: Run) -> dict[str, dict[str, float]]:
    """Megabytes by service, after the start and after light use."""
    seconds = 60
    with stacks.removed_afterwards(stacks.production(run, "fl-bench-memory", port=PORT)) as stack:
        run.say("start: production, for its memory")
        stack.up()
        time.sleep(5)
        after_start = _memory(stack)
        run.say(f"start: {seconds} s of light use")
        _use_lightly(seconds)
        after_use = _memory(stack)
    return {"production, after start": after_start, f"production, after {seconds} s of light use": after_use}


def _memory(stack: Stack) -> dict[str, float]:
    running = stack.compose("ps", "--status", "running", "--format", "{{.Service}}").split()
    return {service: engine.usage(stack.containers()[service]).memory_mb for service in running}


def _use_lightly(seconds: int) -> None:
    """Some four pages a second, as a few visitors would ask for."""
    until = time.monotonic() + seconds
    failed = 0
    while time.monotonic() < until:
        for path in LIGHT_USE:
            failed += not _answers(path)
            time.sleep(0.25)
    if failed:
        raise AssertionError(f"{failed} requests of the light use were not answered with 200")


def _images(stack: Stack) -> list[str]:
    """The images of what `up` starts."""
    return sorted({service["image"] for service in stack.config["services"].values() if "profiles" not in service})


# ---------------------------------------------------------------- telling


def _answer(
    starts: dict[str, list[Start]],
    timeline: dict[str, str],
    rebuilds: list[float],
    memory: dict[str, dict[str, float]],
    images: dict[str, dict[str, int]],
) -> Answer:
    answered = {state: figure([start.answered for start in several], "s") for state, several in starts.items()}
    most, most_when = max((sum(services.values()), when) for when, services in memory.items())
    return Answer(
        title=TITLE,
        how=(
            "The developer's stack (`docker compose up --wait`), images present, from the command to the first 200 of "
            f"{PATH}, which needs the migrated database, the countries and the pooler. Memory is what "
            "`docker stats` shows: "
            "the container's cgroup without inactive file cache."
        ),
        aims=(
            *(
                Aim(f"{state}: first answer within {aim} s", f"{answered[state]} s", answered[state].median <= aim)
                for state, aim in AIMS.items()
            ),
            Aim(
                f"the whole stack idles in at most {MEMORY_AIM_MB} MB",
                f"{most:.0f} MB ({most_when})",
                most <= MEMORY_AIM_MB,
            ),
        ),
        tables=(
            _seconds(starts, rebuilds),
            Table(
                "On empty volumes, seconds after the first container was created",
                ("started–ready",),
                tuple(Row(service, (text,)) for service, text in timeline.items()),
            ),
            _megabytes(memory),
            _sizes(images),
        ),
    )


def _seconds(starts: dict[str, list[Start]], rebuilds: list[float]) -> Table:
    rows = [
        Row(
            f"up, {state}",
            (figure([start.answered for start in several], "s"), figure([start.healthy for start in several], "s")),
        )
        for state, several in starts.items()
    ]
    rows.append(Row("image of the app after a one-line change", (figure(rebuilds, "s"), "")))
    return Table(
        "Start and rebuild",
        ("until it answers / is built", "until all is healthy"),
        tuple(rows),
        plotted="until it answers / is built",
    )


def _megabytes(memory: dict[str, dict[str, float]]) -> Table:
    services = sorted({service for services in memory.values() for service in services})
    rows = [
        Row(
            when,
            (
                *(figure([found.get(service, 0)], "MB", 0) for service in services),
                figure([sum(found.values())], "MB", 0),
            ),
        )
        for when, found in memory.items()
    ]
    return Table("Memory in MB", (*services, "sum"), tuple(rows))


def _sizes(images: dict[str, dict[str, int]]) -> Table:
    distinct = {layer: size for layers in images.values() for layer, size in layers.items()}
    shared = set.intersection(*(set(layers) for layers in images.values()))

    def row(name: str, layers: dict[str, int]) -> Row:
        own = sum(size for layer, size in layers.items() if layer not in shared)
        return Row(name.split(":")[0], (figure([sum(layers.values()) / 1e6], "MB", 0), figure([own / 1e6], "MB", 0)))

    rows = [row(name, layers) for name, layers in images.items()]
    rows.append(Row("all (each layer once)", (figure([sum(distinct.values()) / 1e6], "MB", 0), "")))
    return Table("Images", ("size", "without the common base"), tuple(rows))
