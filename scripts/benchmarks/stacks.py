"""The stacks that are measured: compose projects of their own, made for a question and removed after it."""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.run import Run
from testing.shell import run
from testing.stack import PRODUCTION, Stack

__all__ = ["Stack", "measured_production", "production", "removed_afterwards", "with_copy", "with_load", "write"]

# Of the images that are measured: a developer's and the tests' keep their own.
TAG = "bench"
INSIDE = Path(__file__).parent / "inside"

Services = dict[str, Any]
Config = dict[str, Any]


@contextlib.contextmanager
def removed_afterwards(stack: Stack) -> Iterator[Stack]:
    """The stack, without what an earlier run that was killed left behind, and removed at the end whatever happens."""
    stack.remove()  # at once: nothing in it is kept
    try:
        yield stack
    finally:
        # An impatient second Ctrl-C must not leave containers behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        stack.remove()
        signal.signal(signal.SIGINT, before)


def production(run_: Run, project: str, port: int = 24000) -> Stack:
    """Our stack with the production overlay, with secrets made for it; published on the loopback alone."""
    secrets = run_.work / "secrets"
    if not secrets.exists():
        run("./scripts/secrets", "new", str(secrets), env={"TAG": TAG}, timeout=1800)
    return Stack(
        project,
        PRODUCTION,
        TAG=TAG,
        SECRETS_DIR=str(secrets),
        ALLOWED_HOSTS="localhost,127.0.0.1",
        PUBLIC_HTTP_PORT=f"127.0.0.1:{port}",
        PUBLIC_HTTPS_PORT=f"127.0.0.1:{port + 1}",
    )


def measured_production(run_: Run, project: str) -> Config:
    """The production stack as data, to be changed into what a question measures; write() makes a stack of it.

    Not published: a port on the loopback leads through docker-proxy, a process that would be measured too.
    Not restarted: a bench that was killed must not come back with the engine.
    Health checks only until they succeed: those of a dozen arms would be a load of their own on the arm measured.
    Without what runs on demand (its profile is dropped here, and `up` would start it), and without the backups and
    canaries of `backup`, which fall when they fall. The server archives, as production's does.
    """
    config: Config = json.loads(json.dumps(production(run_, project).config))
    for on_demand in ("ops", "backup", "restore", "scratch"):
        config["services"].pop(on_demand)
    for service in config["services"].values():
        service.pop("ports", None)
        service.pop("restart", None)
        service.pop("profiles", None)
        if "healthcheck" in service:
            service["healthcheck"]["interval"] = "1h"
    return config


# Whoever opens a connection for each request leaves its port behind for a minute; after 14,000 of them the kernel
# searches for a free one, at 2.8 ms of CPU: the doing of the stretch before, so nobody waits for ports here.
PORTS_AGAIN = {"net.ipv4.tcp_tw_reuse": "1", "net.ipv4.ip_local_port_range": "1024 65535"}


def with_load(config: Config, requests: Path) -> None:
    """Adds the container that generates HTTP load, in the network of the proxies; `requests` is what it sends."""
    config["services"]["load"] = {
        "image": f"flaglearning/bench-load:{TAG}",
        "build": {"context": str(INSIDE)},
        "init": True,
        "networks": {"edge": None},
        "ulimits": {"nofile": 16384},
        "sysctls": PORTS_AGAIN,
        "volumes": [{"type": "bind", "source": str(requests), "target": load.FOLDER, "read_only": True}],
    }


def with_copy(config: Config, service: str, name: str) -> Services:
    """Adds a copy of a service under another name, and returns it to be changed."""
    copied: Services = json.loads(json.dumps(config["services"][service]))
    copied.pop("build", None)
    config["services"][name] = copied
    return copied


def write(run_: Run, config: Config) -> Stack:
    """The data as a compose project."""
    file = run_.work / f"{config['name']}.json"
    file.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return Stack(config["name"], (str(file),), TAG=TAG)
