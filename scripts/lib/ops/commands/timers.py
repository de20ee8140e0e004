"""systemd timers of production on one machine."""

from __future__ import annotations

import argparse

from ops.cli import DEPLOY, DRY_RUN, command
from ops.flows import timers as flow


@command("timers install", DEPLOY, "Set up systemd timers for dumps, drills and checks on this machine", DRY_RUN)
def install(asked: argparse.Namespace) -> None:
    """The first dump and the first drill start at once. Hosts that Ansible has set up have the timers already."""
    flow.install(asked.dry_run)
