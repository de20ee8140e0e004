"""The compose projects that are measured, and what the kernel counted for their containers."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.core import Bench
from testing.shell import ROOT, run
from testing.stack import PRODUCTION, SLOT, Stack

TAG = f"bench{SLOT}"  # images of a developer and of tests keep theirs
HERE = Path(__file__).parent
INSIDE = HERE / "inside"
# Subnets of 198.18.0.0/15, which RFC 2544 reserves for benchmarks: Docker's default pools hold some 30 networks.
SUBNETS = iter(range(24 * int(SLOT or 0), 256))


def overlay(name: str) -> str:
    return str((HERE / f"overlays/{name}.yml").relative_to(ROOT))


def compose(bench: Bench, name: str, *files: str, **variables: str) -> Stack:
    """A compose project of this run, removed at its end. What a killed run left of it is removed now."""
    given = {"TAG": TAG, "BENCH_SUBNET": f"198.18.{next(SUBNETS)}", **variables}
    stack = Stack(f"fl-bench{SLOT}-{name}", files, port=24000, **given)
    stack.remove()
    bench.callback(stack.remove)
    return stack


def production(bench: Bench, name: str, *overlays: str, **variables: str) -> Stack:
    """The production stack with new secrets and these overlays."""
    if not (secrets := bench.work / "secrets").exists():
        run("./scripts/secrets", "new", str(secrets), env={"TAG": TAG}, timeout=1800)
    given = {"SECRETS_DIR": str(secrets), "ALLOWED_HOSTS": "localhost,127.0.0.1", **variables}
    return compose(bench, name, *PRODUCTION, *map(overlay, overlays), **given)


def psql(stack: Stack, sql: str, database: str = "postgres", socket: str = "/run/postgresql", **values: object) -> str:
    """What the superuser's statements print, unaligned."""
    words = [word for name, value in values.items() for word in ("-v", f"{name}={value}")]
    command = ("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", socket, "-U", "postgres", "-d", database, *words)
    return stack.exec("postgres", *command, "-f", "-", stdin=sql, timeout=7200).strip()


def archive(stack: Stack) -> None:
    """Make the repository usable, as the service `backup` does; until then the server tries again and again."""
    stack.exec("postgres", "pgbackrest", "--stanza=flaglearning", "stanza-create")


# Control groups v2 and v1. `docker stats` has no numbers after another container's systemd changed the groups.
READ_GROUP = """
cd /sys/fs/cgroup
if [ -e memory.current ]
then awk '/^usage_usec/ {print $2 "000"}' cpu.stat; cat memory.current; awk '/^inactive_file/ {print $2}' memory.stat
else cat cpuacct/cpuacct.usage memory/memory.usage_in_bytes; awk '/^total_inactive_file/ {print $2}' memory/memory.stat
fi
"""


def usage(stack: Stack, *services: str) -> dict[str, tuple[float, float]]:
    """Service → seconds of CPU so far, and MB of memory as `docker stats` counts it (without inactive file cache)."""

    def read(service: str) -> tuple[float, float]:
        cpu, memory, inactive = map(float, stack.exec(service, "sh", "-c", READ_GROUP).split())
        return cpu / 1e9, (memory - inactive) / 2**20

    with ThreadPoolExecutor() as pool:
        return dict(zip(services, pool.map(read, services), strict=True))


def cpu_time(stack: Stack, *services: str) -> Callable[[float], dict[str, float]]:
    """A function: of so many requests, `cpu SERVICE` → milliseconds that each has used since."""
    before = usage(stack, *services)

    def per_request(count: float) -> dict[str, float]:
        now = usage(stack, *services)
        return {f"cpu {name}": 1000 * (now[name][0] - before[name][0]) / max(count, 1) for name in services}

    return per_request


VERSIONS = {
    "postgres": "postgres --version | cut -d ' ' -f 1-3; pgbackrest version",
    "pgbouncer": "pgbouncer --version | head -n 1",
    "proxy": "nginx -v",
    "app": "python --version; gunicorn --version; python -c 'import django; print(\"Django\", django.__version__)'",
}


def versions(stack: Stack) -> str:
    """What runs in a whole stack."""
    text = " ".join(stack.exec(service, "sh", "-c", command) for service, command in VERSIONS.items())
    return ", ".join(map(" ".join, re.findall(r"(\w+)(?: \(\w+\)?)?[ /](?:\(version )?(\d+(?:\.\d+)+)", text)))
