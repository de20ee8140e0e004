"""Finds migrations that the previous version can't work with, or that block its requests.

During a rollout the previous version serves with the new schema. django-migration-linter reads the SQL of each
migration that is to be applied; `migrate` (core/management/commands/migrate.py) refuses what it finds.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.db.migrations import AlterField, Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState
from django_migration_linter.operations import IgnoreMigration
from django_migration_linter.sql_analyser.base import Check, CheckMode, CheckType
from django_migration_linter.sql_analyser.postgresql import PostgresqlAnalyser

Plan = list[tuple[Migration, bool]]

# What to do instead, by the check that a migration fails.
RECIPES = {
    "DROP_COLUMN": "release a version without the field first (SeparateDatabaseAndState; a column that is NOT NULL "
    "needs a default in the database); drop the column in the next release, with IgnoreMigration()",
    "DROP_TABLE": "release a version without the model first (SeparateDatabaseAndState); drop the table in the next "
    "release, with IgnoreMigration()",
    "RENAME_COLUMN": "keep the column's name with db_column; or add a column, write both, copy, read the new one, and "
    "drop the old one two releases later",
    "RENAME_TABLE": "keep the table's name with db_table in the model's Meta",
    "NOT_NULL": "null=True or db_default=… for a new column; for an existing one, wait until no version writes NULL",
    "ALTER_COLUMN": "add a column of the new type, write both, copy, read the new one, drop the old one",
    "ADD_UNIQUE": "build the unique index concurrently, when no version writes duplicates",
    "ADD_CHECK": "AddConstraintNotValid, then ValidateConstraint in another migration (django.contrib.postgres)",
    "CREATE_INDEX": "atomic = False and core.migrations.AddIndexOnline; a foreign key with db_index=False",
    "REINDEX": "./scripts/ops reindex",
}
# Dropping an index takes a lock for a moment, and the migrator's lock_timeout limits the wait for it.
ALLOWED = ("DROP_INDEX",)
# PostgreSQL changes these types without rewriting the table, and each old value is a valid new one.
WIDENED = re.compile(r"(varchar|numeric)\((\d+)(?:, (\d+))?\)")


class Problem(NamedTuple):
    """A migration, and why it is refused."""

    migration: Migration
    code: str
    what: str

    def __str__(self) -> str:
        recipe = RECIPES.get(self.code, "expand, then contract")
        return f"{self.migration.app_label}.{self.migration.name}: {self.what}: {recipe}"


def adds_check(statements: list[str], **_: object) -> bool:
    """Whether a CHECK constraint is added, and validated, on a table that exists already."""
    added = (re.match(r'ALTER TABLE ("[^"]+") ADD CONSTRAINT \S+ CHECK (?!.*NOT VALID)', sql) for sql in statements)
    return any(one and not any(sql.startswith(f"CREATE TABLE {one[1]}") for sql in statements) for one in added)


class Analyser(PostgresqlAnalyser):
    """The linter's checks for PostgreSQL, and one that it has not."""

    migration_checks = [  # noqa: RUF012 - as the linter declares it
        *PostgresqlAnalyser.migration_checks,
        Check("ADD_CHECK", adds_check, "ADDING a validated CHECK constraint", CheckMode.TRANSACTION, CheckType.ERROR),
    ]


def problems(connection: Any, plan: Plan, everything: bool = False) -> list[Problem]:
    """Of a plan's migrations: those that the previous version can't work with.

    Only this project's own apps; and, unless `everything`, only apps that the database has already.
    """
    loader = MigrationExecutor(connection).loader
    in_database = {app for app, _ in loader.applied_migrations}
    own = {config.label for config in apps.get_app_configs() if Path(settings.BASE_DIR) in Path(config.path).parents}
    found: list[Problem] = []
    for migration, backwards in plan:
        app = migration.app_label
        if backwards or app not in own or not (everything or app in in_database):
            continue
        if any(isinstance(operation, IgnoreMigration) for operation in migration.operations):
            continue
        before = loader.project_state((app, migration.name), at_end=False)
        found += [Problem(migration, *issue) for issue in issues(connection, migration, before)]
    return found


def issues(connection: Any, migration: Migration, before: ProjectState) -> list[tuple[str, str]]:
    """Code and description of what is unsafe in a migration's SQL."""
    widened = [
        f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE '
        for table, column in widened_columns(connection, migration, before.clone())
    ]
    with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
        migration.apply(before.clone(), editor, collect_sql=True)
    statements = [sql for sql in editor.collected_sql if not sql.startswith(("--", *widened))]
    analyser = Analyser(ALLOWED)
    analyser.analyse(statements)
    return [
        (issue.code, " ".join(filter(None, (issue.message.partition(" (")[0], issue.table, issue.column))))
        for issue in [*analyser.errors, *analyser.warnings]
    ]


def widened_columns(connection: Any, migration: Migration, state: ProjectState) -> Iterator[tuple[str, str]]:
    """Table and column of each field that gets a type with room for more."""
    for operation in migration.operations:
        old = field_of(state, migration, operation)
        operation.state_forwards(migration.app_label, state)
        new = field_of(state, migration, operation)
        if old and new and is_wider(old.db_type(connection), new.db_type(connection)):
            yield old.model._meta.db_table, old.column


def field_of(state: ProjectState, migration: Migration, operation: object) -> Any:
    """The field that an AlterField changes, as it is in this state."""
    if not isinstance(operation, AlterField):
        return None
    return state.apps.get_model(migration.app_label, operation.model_name)._meta.get_field(operation.name)


def is_wider(old: str, new: str) -> bool:
    """Whether varchar or numeric gets more room, with the same scale; or varchar becomes text."""
    before, after = WIDENED.fullmatch(old), WIDENED.fullmatch(new)
    if before and before[1] == "varchar" and new == "text":
        return True
    if not before or not after:
        return False
    return before[1] == after[1] and before[3] == after[3] and int(before[2]) <= int(after[2])
