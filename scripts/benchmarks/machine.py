"""Where and when something was measured, for whoever reads the numbers later."""

import datetime
import os
import platform
import re
import shlex
import sys
from pathlib import Path

from benchmarks.stacks import Stack
from support.shell import run


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
    """What else the machine did meanwhile: the load before, and CPU time that the hypervisor kept."""

    def __init__(self) -> None:
        self.load = os.getloadavg()[0]
        self.before = _cpu_times()

    @property
    def loud(self) -> bool:
        """Whether something else was working when it began."""
        return self.load > (os.cpu_count() or 1) / 2

    def __str__(self) -> str:
        spent = [now - then for now, then in zip(_cpu_times(), self.before, strict=True)]
        stolen = 100 * spent[7] / max(sum(spent[:8]), 1)
        return f"load average {self.load:.1f} before it began, {stolen:.1f} % of CPU time stolen by the host"


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
