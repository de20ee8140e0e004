"""Section 4: the application's database, new and empty. The superuser's clerk (docker/postgres/database-clerk) does
it, on a server that says of itself that it is development; ./scripts/ops asks here first, then migrates and loads the
countries.
"""

from flagops import stack
from flagops.ask import DryRun, Yes, confirm
from flagops.cli import RESET, command
from flagops.database import connect, rows
from flagops.errors import Refused
from flagops.output import say
from flagops.queries import load


@command(RESET)
def reset(yes: Yes = False, dry_run: DryRun = False) -> None:
    """Drop the database and make it again: roles applied, migrated, countries loaded. On a development server only."""
    with connect(database="postgres") as connection:
        found = rows(connection, load("deployment"))
        deployment = found[0]["deployment"] if found else "of unknown deployment"
        if deployment != "development":
            raise Refused(
                f"this server is {deployment}: it is not reset.",
                "./scripts/ops restore full brings a backup back",
                "the server says so itself, in a setting that only its superuser can write",
            )
        size = connection.execute(
            "SELECT pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(datname)) AS size FROM pg_catalog.pg_database"
            " WHERE datname = %s",
            [stack.APP_DATABASE],
        ).fetchone()
    there = f"{stack.APP_DATABASE} ({size['size'] if size else 'not there'})"
    consequence = f"{there} will be dropped with all that is in it, and made again: empty, with the 195 countries."
    if dry_run:
        say(f"{consequence} (Nothing was done: a dry run.)")
        return
    confirm(consequence, yes)
