"""Planned restarts."""

from __future__ import annotations

import argparse

from ops.cli import DEPLOY, command, flag, option
from ops.flows import exchange, rollout
from ops.flows import restart as flow


@command(
    "restart", DEPLOY, "Restart PostgreSQL, PgBouncer or nginx without a failed request",
    option("service", nargs="?", choices=("postgres", "pgbouncer", "proxy"), default="postgres",
           help="which (default: postgres)"),
    flag("--if-changed", help="only if its image or its settings in the compose files have changed"),
)  # fmt: skip
def restart(asked: argparse.Namespace) -> None:
    """After a change of local/settings.conf, of .env or of the image. For PostgreSQL, PgBouncer's clients wait for a
    second or two; connections that don't come through PgBouncer end. Refused while a backup or a longer transaction is
    under way. If the new container does not become healthy, the previous one is started again."""
    if asked.service == "postgres":
        flow.run(asked.if_changed)
        return
    with rollout.lock():
        {"pgbouncer": exchange.pooler, "proxy": exchange.proxy}[asked.service](asked.if_changed)
