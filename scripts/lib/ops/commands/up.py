"""Start the stack. People type ./scripts/up, which installs what is missing first."""

from __future__ import annotations

import argparse

from ops.cli import DEPLOY, command, flag, option
from ops.flows import up as flow


@command(
    "up", DEPLOY, "Build, start and wait until the stack is healthy (./scripts/up installs what it needs first)",
    flag("--cluster", help="three database servers on this machine, from now on: recorded as COMPOSE_FILE in .env"),
    flag("--monitoring", help="with metrics and alerts, from now on: recorded as COMPOSE_FILE in .env"),
    option("arguments", nargs=argparse.REMAINDER, metavar="…", help="passed on to docker compose up: a service's name"),
)  # fmt: skip
def up(asked: argparse.Namespace) -> None:
    flow.run(asked.arguments, asked.cluster, asked.monitoring)
