"""A planned restart of PostgreSQL."""

from __future__ import annotations

import argparse

from ops.cli import DEPLOY, command, flag
from ops.flows import restart as flow


@command(
    "restart", DEPLOY, "Restart PostgreSQL without a failed request",
    flag("--if-changed", help="only if its image or its settings in the compose files have changed"),
)  # fmt: skip
def restart(asked: argparse.Namespace) -> None:
    """After a change of local/settings.conf, of .env or of the image. PgBouncer's clients wait for a second or two;
    connections that don't come through PgBouncer end. Refused while a backup or a longer transaction is under way. If
    the new container does not become healthy, the previous one is started again."""
    flow.run(asked.if_changed)
