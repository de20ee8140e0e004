"""Stop the stack, or delete it."""

from __future__ import annotations

import argparse

from ops.cli import DEPLOY, DRY_RUN, YES, command, flag
from ops.flows import down as flow


@command(
    "down", DEPLOY, "Stop the stack, whatever profiles it was started with; with --volumes delete its data",
    flag("--volumes", "-v", help="also delete the data in volumes: the database, and backups and dumps that are no "
                                 "folder of this machine"),
    YES, DRY_RUN,
)  # fmt: skip
def down(asked: argparse.Namespace) -> None:
    """It says what is deleted and what is kept. Images, .env, secrets and folders of this machine always stay."""
    flow.down(asked.volumes, asked.yes, asked.dry_run)
