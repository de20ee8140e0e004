"""Where and when something was measured, for whoever reads the numbers later."""

import datetime
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.stacks import Stack
from testing.shell import run


def describe(quick: bool) -> dict[str, str]:
    """The circumstances that don't depend on the question."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["./scripts/bench", *sys.argv[1:]]) + (" (a quick run: few rounds)" if quick else ""),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} × {_cpu_model()}, {_memory_gb():.0f} GB, {_system()}",
        "docker": run("docker", "version", "--format", "Engine {{.Server.Version}}").stdout.strip()
        + ", Compose "
        + run("docker", "compose", "version", "--short").stdout.strip(),
    }


ASK_PYTHON = """
import platform, django, gunicorn, psycopg
print(platform.python_version(), django.__version__, gunicorn.__version__, psycopg.__version__, psycopg.pq.version())
"""


def versions(stack: Stack) -> str:
    """The versions of what runs in a stack, asked for in its containers."""
    interpreter, django, gunicorn, psycopg, libpq = stack.exec("app", "python", "-c", ASK_PYTHON).split()
    found = {
        "PostgreSQL": _number(stack.exec("postgres", "postgres", "--version")),
        "PgBouncer": _number(stack.exec("pgbouncer", "pgbouncer", "--version")),
        "nginx": _number(stack.exec("proxy", "nginx", "-v")),
        "Python": interpreter,
        "Django": django,
        "gunicorn": gunicorn,
        "psycopg": f"{psycopg} (libpq {int(libpq) // 10000})",
    }
    return ", ".join(f"{name} {version}" for name, version in found.items())


class Noise:
    """What else the machine did: the CPU time in use just before, and what the hypervisor kept meanwhile.

    Not the load average, which for minutes is still that of the question before.
    """

    def __init__(self) -> None:
        before = _cpu_times()
        time.sleep(0.5)
        self.began = _cpu_times()
        self.in_use = 100 - percent(self.began, before, IDLE)

    @property
    def loud(self) -> bool:
        """Whether something else was working when it began."""
        return self.in_use > LOUD

    def __str__(self) -> str:
        stolen = percent(_cpu_times(), self.began, STOLEN)
        return f"{self.in_use:.0f} % of CPU time in use before it began, {stolen:.1f} % stolen by the host meanwhile"


# proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; what guests got is in the first two.
IDLE, STOLEN = (3, 4), (7,)
LOUD = 25  # percent of CPU time


def percent(now: list[int], before: list[int], kinds: Sequence[int]) -> float:
    """Of the CPU time between two readings, how much went to these kinds."""
    spent = [after - earlier for after, earlier in zip(now[:8], before[:8], strict=True)]
    return 100 * sum(spent[kind] for kind in kinds) / max(sum(spent), 1)


def _cpu_times() -> list[int]:
    with Path("/proc/stat").open(encoding="ascii") as stat:
        return [int(value) for value in stat.readline().split()[1:]]


def _commit() -> str:
    commit = run("git", "rev-parse", "--short", "HEAD", check=False).stdout.strip() or "unknown"
    changed = run("git", "status", "--porcelain", check=False).stdout.strip()
    return f"{commit} with uncommitted changes" if changed else commit


def _cpu_model() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return " ".join(found[1].split()) if found else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _system() -> str:
    name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return f"{name}, Linux {platform.release()}"


def _number(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else text.strip()
