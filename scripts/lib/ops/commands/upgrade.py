"""A new major version of PostgreSQL."""

from __future__ import annotations

import argparse

from ops.cli import DEPLOY, YES, command, flag, option
from ops.flows import upgrade as flow


@command(
    "upgrade", DEPLOY, "Upgrade the data directory of an older major version of PostgreSQL, in place",
    flag("--check", exclusive="?what", help="run pg_upgrade's checks only; PostgreSQL stops for them"),
    flag("--back", exclusive="?what", help="set the new data directory aside; the old one is kept unchanged"),
    option("--suite", default="", metavar="NAME", help="the Debian release that has the older version"),
    YES,
)  # fmt: skip
def upgrade(asked: argparse.Namespace) -> None:
    """pg_upgrade copies: the old data directory stays, and the disk has to have room for both. Requests fail with 503
    until the new version serves. Afterwards the statistics are made anew, and a full backup where backups are made."""
    if asked.back:
        flow.back(asked.yes)
    else:
        flow.run(asked.suite, asked.check, asked.yes)
