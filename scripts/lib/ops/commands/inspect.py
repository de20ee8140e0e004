"""What is in the database, and which sessions use it."""

from __future__ import annotations

import argparse

from ops import psql
from ops.cli import INSPECT, JSON, command
from ops.output import show


@command("tables", INSPECT, "List tables and views with owner, rows and size", JSON)
def tables(asked: argparse.Namespace) -> None:
    show(psql.rows("tables"), asked.json, empty="no tables exist yet: ./scripts/ops migrations plan")
