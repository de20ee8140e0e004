"""Planned restarts."""

from __future__ import annotations

import argparse

from ops import cluster, containers
from ops.cli import DEPLOY, command, flag, option
from ops.flows import exchange, rollout
from ops.flows import restart as flow
from user_errors import UserError


@command(
    "restart", DEPLOY, "Restart PostgreSQL, PgBouncer, HAProxy or nginx without a failed request",
    option("service", nargs="?", choices=("postgres", "pgbouncer", "haproxy", "proxy"), default="postgres",
           help="which (default: postgres)"),
    flag("--if-changed", help="only if its image or its settings in the compose files have changed"),
    flag("--when-told", help="for PostgreSQL: say `ready`, and wait for a line on standard input (Ansible)"),
)  # fmt: skip
def restart(asked: argparse.Namespace) -> None:
    """After a change of local/settings.conf, of .env or of the image. For PostgreSQL, PgBouncer's clients wait for a
    second or two; connections that don't come through PgBouncer end. Refused while a backup or a longer transaction is
    under way. If the new container does not become healthy, the previous one is started again."""
    if asked.service == "postgres":
        if not (asked.when_told or containers.members() or cluster.has_every_pooler()):
            raise UserError(
                "PostgreSQL was not restarted: PgBouncer runs on application hosts, and their clients would not wait",
                "from the control machine: ansible-playbook -i inventories/NAME playbooks/restart.yml",
            )
        flow.run(asked.if_changed, asked.when_told)
        return
    with rollout.lock():
        {"pgbouncer": exchange.pooler, "haproxy": exchange.haproxy, "proxy": exchange.proxy}[asked.service](
            asked.if_changed
        )
