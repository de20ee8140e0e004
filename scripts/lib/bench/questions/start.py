"""How long `docker compose up` takes until the game answers, and a rebuild; memory and disk of the stack."""

import contextlib
import shutil
import ssl
import threading
import time
from collections.abc import Iterable

import httpx

from bench import stacks
from bench.core import Question, Samples, at_most
from bench.results import Aim, Row, Table, figure
from testing.shell import ROOT, run
from testing.stack import DEVELOPMENT, Stack

PATH = "/api/challenge/today"  # a 200 needs migrations, countries, the pooler
LIGHT_USE = ("/", PATH, "/leaderboard/", "/most-guessed/", "/accounts/login/")
UNVERIFIED = ssl._create_unverified_context()  # noqa: S323
EMPTY, PRESENT, REBUILD = "up, empty volumes", "up, volumes present", "image of the app after a one-line change"


class Start(Question):
    title = "Start, rebuild, memory and size"
    takes = "4 minutes (60 s)"
    arms = (EMPTY, PRESENT, REBUILD)
    how = f"""The developer's stack (`docker compose up --wait`), images present, from the command to the first 200 of
        {PATH}, which needs the migrated database, the countries and the pooler. Memory is what `docker stats` shows:
        the container's cgroup without inactive file cache."""

    def start(self) -> None:
        self.stack = stacks.compose(self.bench, self.name, *DEVELOPMENT)
        self.stack.build()
        self.source = self.bench.work / "source"
        ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
        for folder in ("app", "docker", "pg", "scripts/lib"):
            shutil.copytree(ROOT / folder, self.source / folder, ignore=ignored)
        shutil.copy(ROOT / "docker-compose.yml", self.source)
        self.bench.callback(run, "docker", "image", "rm", f"flaglearning/app:{stacks.TAG}-rebuilt", check=False)

    def measure(self, arm: str, case: str) -> dict[str, float]:
        if arm == REBUILD:
            return self._rebuild()
        self.stack.compose("down", "--timeout", "10", *["--volumes"] * (arm == EMPTY))
        began = time.monotonic()
        up = threading.Thread(target=self.stack.up)
        up.start()
        while not (seen := answers(self.stack, PATH)) and up.is_alive():
            time.sleep(0.02)
        answered = time.monotonic() - began
        up.join()
        assert seen, f"{PATH} did not answer:\n{self.stack.logs_of_unhealthy()}"
        return {"answered": answered, "healthy": time.monotonic() - began}

    def _rebuild(self) -> dict[str, float]:
        with (self.source / "app/config/urls.py").open("a", encoding="utf-8") as file:
            file.write(f"# {time.time_ns()}\n")
        began = time.monotonic()
        command = ("docker", "compose", "--project-directory", str(self.source), "build", "--quiet", "app")
        run(*command, cwd=self.source, env={"TAG": f"{stacks.TAG}-rebuilt"})
        return {"answered": time.monotonic() - began}

    def finish(self) -> None:
        """Memory: state → megabytes by service."""
        self.memory = {"development, after start": memory(self.stack)}
        self.stack.down()
        seconds, first = self.bench.choose(60, 5), int(self.stack.variables["PROXY_HTTP_PORT"])
        ports = {"PUBLIC_HTTP_PORT": f"127.0.0.1:{first}", "PUBLIC_HTTPS_PORT": f"127.0.0.1:{first + 1}"}
        stack = stacks.production(self.bench, "memory", **ports)
        stack.up()
        self.memory["production, after start"] = memory(stack)
        until = time.monotonic() + seconds
        while time.monotonic() < until:  # four pages per second, as a few visitors ask for
            for path in LIGHT_USE:
                assert answers(stack, path, within=10), f"light use: {path} did not answer with 200"
                time.sleep(0.25)
        self.memory[f"production, after {seconds} s of light use"] = memory(stack)

    # ---------------------------------------------------------------- telling

    def aims(self, samples: Samples) -> Iterable[Aim]:
        for arm, limit in ((EMPTY, 12), (PRESENT, 6)):
            seen = samples.of("answered")((arm, ""))
            yield at_most(f"{arm.removeprefix('up, ')}: first answer within {limit} s", limit, seen.median, f"{seen} s")
        most, state = max((sum(services.values()), state) for state, services in self.memory.items())
        yield at_most("the whole stack idles in at most {} MB", 600, most, f"{{:.0f}} MB ({state})")

    def tables(self, samples: Samples) -> Iterable[Table]:
        titles = {"until it answers / is built": "answered", "until all is healthy": "healthy"}
        columns = {title: samples.cell(metric, "s") for title, metric in titles.items()}
        yield samples.table("Start and rebuild", {arm: (arm, "") for arm in self.arms}, columns, next(iter(titles)))
        names = sorted({service for services in self.memory.values() for service in services})
        each = {state: [*(one.get(name, 0) for name in names), sum(one.values())] for state, one in self.memory.items()}
        lines = [Row(state, tuple(figure([value], "MB", 0) for value in values)) for state, values in each.items()]
        yield Table("Memory in MB", (*names, "sum"), tuple(lines))
        services = self.stack.config["services"].values()
        images = sorted({one["image"] for one in services if "profiles" not in one})
        sizes = run("docker", "image", "inspect", "--format", "{{.Size}}", *images).stdout.split()
        cells = [(figure([int(size) / 1e6], "MB", 0),) for size in sizes]
        yield Table("Images", ("size",), tuple(map(Row, (name.split(":")[0] for name in images), cells)))


def answers(stack: Stack, path: str, within: float = 1) -> bool:
    """Whether the stack answers 200 over https (unverified: its CA was made a second ago)."""
    with contextlib.suppress(httpx.TransportError):
        url = f"https://127.0.0.1:{stack.variables['PROXY_HTTPS_PORT']}{path}"
        return httpx.get(url, timeout=within, verify=UNVERIFIED, trust_env=False).status_code == 200
    return False


def memory(stack: Stack) -> dict[str, float]:
    running = stack.compose("ps", "--status", "running", "--format", "{{.Service}}").split()
    return {service: megabytes for service, (_, megabytes) in stacks.usage(stack, *running).items()}
