"""Commands that show one query of pg/queries/ as it is."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from ops import psql
from ops.cli import JSON, command
from ops.output import show

NO_TABLES = "no tables exist yet"


class Listing(NamedTuple):
    """A command and its query, a file of pg/queries/ (by default of the same name)."""

    name: str
    section: str
    help: str
    empty: str = NO_TABLES

    @property
    def query(self) -> str:
        """`unused-indexes` → unused_indexes."""
        return self.name.replace("-", "_")


def declare(*listings: Listing) -> None:
    """Declare a command for each."""
    for listing in listings:
        declare_one(listing)


def declare_one(listing: Listing) -> None:
    """Declare its command."""

    @command(listing.name, listing.section, listing.help, JSON)
    def run(asked: argparse.Namespace) -> None:
        show(psql.rows(listing.query), asked.json, listing.empty)
