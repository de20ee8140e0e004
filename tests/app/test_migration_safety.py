"""`manage.py migrate` refuses what the previous version can't work with. tests/stack/test_migrations.py: under load."""

import importlib
import shutil
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, RemoveIndexConcurrently
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from core.migration_safety import is_wider, issues, problems
from core.migrations import AddIndexOnline

pytestmark = pytest.mark.django_db
OUTSIDE_A_TRANSACTION = pytest.mark.django_db(transaction=True)

LONG_NAMES = models.CheckConstraint(condition=models.Q(display_name__gt=""), name="named")
BY_NAME = models.Index(fields=["display_name"], name="by_name")

SAFE: dict[str, Operation] = {
    "a nullable column": migrations.AddField("user", "note", models.TextField(null=True)),
    "a column with the database's default": migrations.AddField("user", "points", models.IntegerField(db_default=0)),
    "a wider varchar": migrations.AlterField("user", "display_name", models.CharField(max_length=60)),
    "text instead of varchar": migrations.AlterField("user", "display_name", models.TextField()),
    "NULL allowed": migrations.AlterField("user", "date_joined", models.DateTimeField(null=True)),
    "an index, online": AddIndexOnline("user", BY_NAME),
    "without an index, online": RemoveIndexConcurrently("userstats", "userstats_streaks"),
    "a field's new name for the same column": migrations.AlterField(
        "user", "display_name", models.CharField(max_length=40, db_column="display_name")
    ),
    "a new table": migrations.CreateModel(
        "Note", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField(unique=True))]
    ),
    "a constraint for new rows": AddConstraintNotValid("user", LONG_NAMES),
    "code": migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop),
}
UNSAFE: dict[str, tuple[Operation, str]] = {
    "drop a column": (migrations.RemoveField("user", "display_name"), "DROP_COLUMN"),
    "drop a table": (migrations.DeleteModel("UserStats"), "DROP_TABLE"),
    "rename a column": (migrations.RenameField("user", "display_name", "name"), "RENAME_COLUMN"),
    "rename a table": (migrations.RenameModel("UserStats", "Totals"), "RENAME_TABLE"),
    "NOT NULL with Django's default": (migrations.AddField("user", "n", models.IntegerField(default=0)), "NOT_NULL"),
    "NOT NULL for an existing column": (
        migrations.AlterField("userstats", "last_guess_date", models.DateField(default="2026-01-01")),
        "NOT_NULL",
    ),
    "a narrower varchar": (
        migrations.AlterField("user", "display_name", models.CharField(max_length=20)),
        "ALTER_COLUMN",
    ),
    "another type": (migrations.AlterField("userstats", "total_correct", models.TextField()), "ALTER_COLUMN"),
    "an index that blocks writes": (migrations.AddIndex("user", BY_NAME), "CREATE_INDEX"),
    "a foreign key with such an index": (
        migrations.AddField("userstats", "friend", models.ForeignKey("users.User", models.CASCADE, null=True)),
        "CREATE_INDEX",
    ),
    "unique": (
        migrations.AddConstraint("user", models.UniqueConstraint(fields=["display_name"], name="once")),
        "ADD_UNIQUE",
    ),
    "a check of all rows": (migrations.AddConstraint("user", LONG_NAMES), "ADD_CHECK"),
}


def codes(operation: Operation) -> set[str]:
    """The checks that a migration of `users` with this operation fails."""
    loader = MigrationLoader(connection)
    own = type("Migration", (migrations.Migration,), {"operations": [operation], "atomic": operation.atomic})
    migration = own("0099_next", "users")
    return {code for code, _ in issues(connection, migration, loader.project_state())}


@pytest.mark.parametrize(
    "operation",
    [pytest.param(one, id=name, marks=() if one.atomic else OUTSIDE_A_TRANSACTION) for name, one in SAFE.items()],
)
def test_safe(operation: Operation) -> None:
    assert codes(operation) == set()


@pytest.mark.parametrize(("operation", "code"), UNSAFE.values(), ids=UNSAFE)
def test_unsafe(operation: Operation, code: str) -> None:
    assert code in codes(operation)


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        ("varchar(40)", "varchar(60)", True),
        ("varchar(40)", "varchar(40)", True),
        ("varchar(40)", "varchar(39)", False),
        ("varchar(40)", "text", True),
        ("text", "varchar(40)", False),
        ("numeric(6, 2)", "numeric(8, 2)", True),
        ("numeric(6, 2)", "numeric(8, 3)", False),
        ("integer", "bigint", False),
    ],
)
def test_a_wider_type_holds_every_old_value_and_rewrites_nothing(old: str, new: str, wider: bool) -> None:
    assert is_wider(old, new) is wider


@OUTSIDE_A_TRANSACTION
def test_all_migrations_of_this_project_are_safe() -> None:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    assert {migration.app_label for migration, _ in plan} >= {"users", "flags"}
    assert [str(problem) for problem in problems(connection, plan, everything=True)] == []


@pytest.fixture
def contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: SimpleNamespace) -> Iterator[Path]:
    """A migration of `users` that drops a column; the file."""
    package = tmp_path / "changed_migrations"
    shutil.copytree(Path(settings.BASE_DIR) / "users/migrations", package, ignore=shutil.ignore_patterns("__pycache__"))
    last = max(path.stem for path in package.glob("0*.py"))
    file = package / "0099_contract.py"
    file.write_text(
        "from django.db import migrations\n"
        "from django_migration_linter.operations import IgnoreMigration\n"
        "class Migration(migrations.Migration):\n"
        f"    dependencies = [('users', '{last}')]\n"
        "    operations = [migrations.RemoveField('user', 'display_name')]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    settings.MIGRATION_MODULES = {"users": "changed_migrations"}
    forget()
    yield file
    forget()
    connection.cursor().execute("ALTER TABLE users_user ADD COLUMN IF NOT EXISTS display_name varchar(40) NOT NULL")
    connection.cursor().execute("DELETE FROM django_migrations WHERE name = '0099_contract'")


def forget() -> None:
    for module in [name for name in sys.modules if name.startswith("changed_migrations")]:
        del sys.modules[module]


def columns() -> list[str]:
    with connection.cursor() as cursor:
        return [column.name for column in connection.introspection.get_table_description(cursor, "users_user")]


@OUTSIDE_A_TRANSACTION
def test_migrate_refuses_and_changes_nothing(contract: Path) -> None:
    with pytest.raises(SystemCheckError) as refused:
        call_command("migrate", "users", "0099")
    lines = str(refused.value).splitlines()
    assert lines[0].startswith(
        "ERROR: unsafe migration users.0099_contract: DROPPING columns users_user display_name: "
    )
    assert lines[1].startswith("HINT:  expand, then contract")
    assert "display_name" in columns()


@OUTSIDE_A_TRANSACTION
def test_the_plan_says_that_it_will_be_refused(contract: Path) -> None:
    out, err = StringIO(), StringIO()
    call_command("migrate", plan=True, stdout=out, stderr=err)
    assert "0099_contract" in out.getvalue()
    assert "`migrate` will refuse this plan" in err.getvalue()


@OUTSIDE_A_TRANSACTION
def test_a_reviewed_contract_step_is_applied(contract: Path) -> None:
    contract.write_text(contract.read_text().replace("operations = [", "operations = [IgnoreMigration(), "))
    call_command("migrate", "users", verbosity=0)
    assert "display_name" not in columns()
