"""Restore from a dump."""

from __future__ import annotations

import argparse

from ops.cli import DRY_RUN, RESTORE, YES, command, flag, option
from ops.flows import restore_dump as flow


@command(
    "restore dump", RESTORE, "Restore a dump: the database, one table, or into a new database",
    option("name", metavar="NAME", help="as dump list shows it, or latest: the newest full dump"),
    option("--table", metavar="TABLE", default="", help="only this table; one that was dropped is created again"),
    option("--into", metavar="NEW", default="", help="into a new database of this name; no existing one is changed"),
    option("--from-database", metavar="NAME", default="", help="accept a dump of this other database"),
    flag("--external", help="it was made by another pg_dump (dump import brings it in)"),
    option("--extension", dest="extensions", metavar="NAME", action="append", default=[],
           help="create this extension first: pg_dump -n and -t leave extensions out"),
    flag("--with-code", help="accept functions, operators, casts, triggers, rules and policies that it contains"),
    YES, DRY_RUN,
)  # fmt: skip
def restore(asked: argparse.Namespace) -> None:
    """A full dump takes the place of the application's database, which is retained; a dump of a table or of data
    replaces rows; a dump of the schema needs --into. All or nothing."""
    request = flow.Request(
        asked.name,
        asked.table,
        asked.into,
        asked.from_database,
        asked.external,
        asked.with_code,
        tuple(asked.extensions),
    )
    flow.restore(request, asked.yes, asked.dry_run)
