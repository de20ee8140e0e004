"""Start over: drop the application's database, create it with its roles and privileges, migrate, load the countries."""

from __future__ import annotations

from ops import containers, docker, psql
from ops.output import say, size
from ops.prompt import confirm
from user_errors import OperationError

SIZE = "SELECT pg_catalog.pg_database_size(datname) AS bytes FROM pg_catalog.pg_database WHERE datname = :'name'"


def reset(yes: bool, dry_run: bool) -> None:
    """The whole flow. pgadmin refuses by itself, too, on a server that is not development."""
    database = psql.app_database()
    require_development()
    found = psql.select(SIZE, dbname="postgres", variables={"name": database})
    existing = f"{database} ({size(found[0]['bytes'])})" if found else f"{database} (it does not exist)"
    consequence = f"{existing} will be dropped with everything in it, and created again with the 195 countries only."
    if dry_run:
        say(f"{consequence} (Dry run: nothing was changed.)")
        return
    confirm(consequence, yes)
    containers.pgadmin("reset")
    if containers.attach(docker.run_in("migrate")):
        raise OperationError(f"{database} was created again, but not migrated", "./scripts/ops migrations apply")
    say(f"{database} is empty, migrated, and has the countries")


def require_development() -> None:
    """Raises OperationError on any other server."""
    found = psql.rows("deployment", dbname="postgres")
    deployment = found[0]["deployment"] if found else "no deployment yet"
    if deployment != "development":
        raise OperationError(
            f"the server was set up as {deployment}: only a development server is reset",
            "./scripts/ops restore dump NAME brings a dump back",
        )
