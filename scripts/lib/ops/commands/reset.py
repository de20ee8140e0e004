"""Start over with an empty database, on a development server."""

from __future__ import annotations

import argparse

from ops.cli import DEPLOY, DRY_RUN, YES, command
from ops.flows import reset as flow


@command("reset", DEPLOY, "Drop the database and create it again, empty (development only)", YES, DRY_RUN)
def reset(asked: argparse.Namespace) -> None:
    """The server itself has recorded that it is development, in a setting that only its superuser can change."""
    flow.reset(asked.yes, asked.dry_run)
