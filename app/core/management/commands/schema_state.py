"""`manage.py schema_state`: what separates the database from this code, as JSON, for ./scripts/ops."""

import json
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState

from core import schema


class Command(BaseCommand):
    """One start of Django for all of it: each takes most of a second."""

    help = "Print migrations that are not applied, missing tables and columns, and changes of models without migration"
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--changes", action="store_true", help="compare models with migrations, too")

    def handle(self, *args: Any, **options: Any) -> None:
        loader = MigrationLoader(connection)
        found = {
            "pending": pending(loader),
            "missing": missing(),
            "changes": changes(loader) if options["changes"] else [],
        }
        self.stdout.write(json.dumps(found))


def pending(loader: MigrationLoader) -> list[str]:
    """Migrations that are not applied."""
    plan = [key for leaf in loader.graph.leaf_nodes() for key in loader.graph.forwards_plan(leaf)]
    applied = loader.applied_migrations or {}
    return [".".join(key) for key in dict.fromkeys(plan) if key not in applied]


def missing() -> list[str]:
    """Tables and columns that the models have and the database lacks."""
    with connection.cursor() as cursor:
        cursor.execute(schema.MISSING, schema.wanted())
        return [name for (name,) in cursor.fetchall()]


def changes(loader: MigrationLoader) -> list[str]:
    """What `makemigrations` would write, an operation each."""
    now = ProjectState.from_apps(apps)
    found = MigrationAutodetector(loader.project_state(), now, MigrationQuestioner()).changes(graph=loader.graph)
    migrations = [migration for of_app in found.values() for migration in of_app]
    return [operation.formatted_description() for migration in migrations for operation in migration.operations]
