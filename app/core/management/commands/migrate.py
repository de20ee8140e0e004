"""`manage.py migrate`, which refuses migrations that the previous version can't work with."""

from typing import Any

from django.core.management.base import SystemCheckError
from django.core.management.commands import migrate
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from core.migration_safety import Plan, problems

HINT = (
    "expand, then contract (CONTRIBUTING.md, Migrations); if no version that needs the old schema can serve again, add "
    "django_migration_linter.operations.IgnoreMigration() to the migration's operations"
)


class UnsafeMigrations(SystemCheckError):
    """Printed as it is, without the name of an exception."""


class Command(migrate.Command):
    """Django's own, after a check of what it would apply (core/migration_safety.py)."""

    def handle(self, *args: Any, **options: Any) -> None:
        connection: Any = connections[options["database"]]
        connection.prepare_database()
        found = [] if options["fake"] or options["prune"] else problems(connection, plan_of(connection, options))
        text = "".join(f"ERROR: unsafe migration {problem}\n" for problem in found) + f"HINT:  {HINT}"
        if found and not options["plan"]:
            raise UnsafeMigrations(text)
        with connection.own_session():
            super().handle(*args, **options)
        if found:
            self.stderr.write(f"`migrate` will refuse this plan:\n{text}")


def plan_of(connection: Any, options: dict[str, Any]) -> Plan:
    """What Django would apply for these arguments; nothing when it goes back, or refuses the arguments itself."""
    executor = MigrationExecutor(connection)
    loader, app, name = executor.loader, options["app_label"], options["migration_name"]
    try:
        if app and name:
            targets = [] if name == "zero" else [(app, loader.get_migration_by_prefix(app, name).name)]
        else:
            targets = [key for key in loader.graph.leaf_nodes() if app in (None, key[0])]
        return executor.migration_plan(targets)
    except (LookupError, ValueError):
        return []
