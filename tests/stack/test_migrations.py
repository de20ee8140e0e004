"""Schema changes while old and new versions of the application query through the pooler: no request fails.

Neither a plain statement, nor one that is prepared (core.postgresql.prepared). PgBouncer keeps prepared statements on
its server connections, as in production; in development it would discard them after each transaction."""

import json
import subprocess
from collections.abc import Iterator
from typing import IO

import pytest

from support.postgres import Bouncer
from testing.shell import ROOT
from testing.stack import ARTIFACTS, Stack

# Each is a migration of the app `shop`. Those that can't be safe are refused: tests/app/test_migration_safety.py.
CHANGES = {
    "create": """migrations.CreateModel("Item", [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=30)),
        ("note", models.CharField(max_length=20, null=True)),
        ("price", models.DecimalField(max_digits=6, decimal_places=2)),
        ("unused", models.CharField(max_length=20, null=True)),
    ], options={"indexes": [models.Index(fields=["price"], name="by_price")]})""",
    "add_a_nullable_column": 'migrations.AddField("item", "colour", models.TextField(null=True))',
    "add_a_column_with_a_default": 'migrations.AddField("item", "stock", models.IntegerField(db_default=0))',
    "widen_varchar": 'migrations.AlterField("item", "name", models.CharField(max_length=60))',
    "another_collation": 'migrations.AlterField("item", "name", models.CharField(max_length=60, db_collation="C"))',
    "widen_varchar_to_text": 'migrations.AlterField("item", "note", models.TextField(null=True))',
    "widen_numeric": 'migrations.AlterField("item", "price", models.DecimalField(max_digits=9, decimal_places=2))',
    "allow_null": 'migrations.AlterField("item", "name", models.CharField(max_length=60, null=True))',
    "add_an_index": 'AddIndexOnline("item", models.Index(fields=["name"], name="by_name"))',
    "drop_an_index": 'RemoveIndexConcurrently("item", "by_price")',
    "add_a_constraint": """AddConstraintNotValid(
        "item", models.CheckConstraint(condition=models.Q(price__gte=0), name="not_free"))""",
    "validate_it": 'ValidateConstraint("item", "not_free")',
    "rename_a_field_not_the_column": """
        migrations.AlterField("item", "note", models.TextField(null=True, db_column="note")),
        migrations.RenameField("item", "note", "remark")""",
    "drop_a_column_that_no_version_reads": 'IgnoreMigration(), migrations.RemoveField("item", "unused")',
}
MIGRATION = """
from django.contrib.postgres.operations import AddConstraintNotValid, RemoveIndexConcurrently, ValidateConstraint
from django.db import migrations, models
from django_migration_linter.operations import IgnoreMigration
from core.migrations import AddIndexOnline
class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = {dependencies}
    operations = [{operations}]
"""
MODELS = """
from django.db import models
class Old(models.Model):
    "The version before."
    name = models.CharField(max_length=30)
    note = models.CharField(max_length=20, null=True)
    price = models.DecimalField(max_digits=6, decimal_places=2)
    class Meta:
        managed, db_table = False, "shop_item"
class New(models.Model):
    "The version after all changes."
    name = models.CharField(max_length=60, null=True)
    remark = models.TextField(null=True, db_column="note")
    price = models.DecimalField(max_digits=9, decimal_places=2)
    colour = models.TextField(null=True)
    stock = models.IntegerField(db_default=0)
    class Meta:
        managed, db_table = False, "shop_item"
"""
# Each line of its input is the name of a migration.
MIGRATE = """
import sys
import django
django.setup()
from django.core.management import call_command
for line in sys.stdin:
    call_command("migrate", "shop", line.strip(), verbosity=0)
    print("applied", flush=True)
"""
# Each line of its input is a version: three more threads run that. It answers when each thread has done ROUNDS more.
QUERY = """
import json, sys, threading
import django
django.setup()
from core.postgresql.prepared import Prepared, result_columns
from django.db import connection, models
from shop.models import New, Old
ROUNDS = 10
PREPARED = {
    model: [
        Prepared(f"SELECT {result_columns(model)} FROM shop_item WHERE id = %(id)s"),
        Prepared("UPDATE shop_item SET price = price + 1 WHERE id = %(id)s RETURNING id::bigint"),
    ]
    for model in (Old, New)
}
WITHOUT_CASTS = Prepared("SELECT name FROM shop_item WHERE id = %(id)s")
failures, without_casts, done, turn, stop = [], set(), {}, threading.Condition(), threading.Event()
def run(number, model):
    while not stop.is_set():
        try:
            item = model.objects.create(name="flag", price=number)
            model.objects.get(pk=item.pk)
            for statement in PREPARED[model]:
                with connection.cursor() as cursor:
                    cursor.execute(statement, {"id": item.pk})
                    assert cursor.fetchone()[0] == item.pk
            try:
                with connection.cursor() as cursor:
                    cursor.execute(WITHOUT_CASTS, {"id": item.pk})
            except Exception as error:
                without_casts.add(str(error))
            list(model.objects.filter(price__gte=0, name="flag").order_by("-id")[:3])
            model.objects.filter(pk=item.pk).update(price=models.F("price") + 1)
            item.delete()
        except Exception as error:
            failures.append(f"{model.__name__}: {error!r}")
        with turn:
            done[number] += 1
            turn.notify_all()
for line in sys.stdin:
    if line.strip():
        for number in range(len(done), len(done) + 3):
            done[number] = 0
            threading.Thread(target=run, args=(number, globals()[line.strip()])).start()
    wanted = {number: count + ROUNDS for number, count in done.items()}
    with turn:
        turn.wait_for(lambda: all(done[number] >= count for number, count in wanted.items()))
    print(json.dumps([failures, sorted(without_casts)]), flush=True)
stop.set()
"""


class Program:
    """A Python program in a one-shot of a service: a line in, a line out."""

    def __init__(self, stack: Stack, service: str, program: str) -> None:
        mount = f"{ARTIFACTS / 'shop'}:/shop:ro"
        options = (
            "--volume",
            mount,
            "--env",
            "PYTHONPATH=/shop:/code",
            "--env",
            "DJANGO_SETTINGS_MODULE=shop.settings",
        )
        self.process = subprocess.Popen(
            ["docker", "compose", "run", "--rm", "--no-deps", "-T", *options, service, "python", "-c", program],
            env=stack.environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, line: str = "") -> str:
        print(line, file=self.stream(self.process.stdin), flush=True)
        answer = self.stream(self.process.stdout).readline()
        assert answer, f"it ended at {line!r}: its error is on standard error"
        return answer

    @staticmethod
    def stream(stream: IO[str] | None) -> IO[str]:
        assert stream
        return stream

    def close(self) -> int:
        self.stream(self.process.stdin).close()
        return self.process.wait(60)


@pytest.fixture
def shop() -> list[str]:
    """The app `shop` in a folder; the names of its migrations."""
    folder = ARTIFACTS / "shop/shop"
    (folder / "migrations").mkdir(parents=True, exist_ok=True)
    names = [f"{number:04}_{name}" for number, name in enumerate(CHANGES, 1)]
    files = {
        "__init__.py": "",
        "settings.py": 'from config.settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, "shop"]\n',
        "models.py": MODELS,
        "migrations/__init__.py": "",
    }
    for name, before, operations in zip(names, ["", *names], CHANGES.values(), strict=False):
        files[f"migrations/{name}.py"] = MIGRATION.format(
            atomic="index" not in name, dependencies=[("shop", before)] if before else [], operations=operations
        )
    for file, text in files.items():
        (folder / file).write_text(text)
    for path in (folder.parent, *folder.parent.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return names


@pytest.fixture
def kept_statements(bouncer: Bouncer) -> Iterator[None]:
    """No reset between two transactions, as in production."""
    bouncer.admin("SET server_reset_query_always = 0")
    yield
    bouncer.admin("SET server_reset_query_always = 1")
    bouncer.admin("RECONNECT")


@pytest.mark.usefixtures("kept_statements")
def test_no_query_fails_while_the_schema_changes(stack: Stack, shop: list[str]) -> None:
    migrate, query = Program(stack, "migrate", MIGRATE), Program(stack, "app", QUERY)
    try:
        migrate(shop[0])
        query("Old")
        failures = {}
        for name in shop[1:]:
            migrate(name)
            failures[name], without_casts = json.loads(query())
        failures["old and new version"], _ = json.loads(query("New"))
        assert {name: found[:2] for name, found in failures.items() if found} == {}
        assert without_casts == ["cached plan must not change result type"]
    finally:
        statuses = query.close(), migrate.close()
    assert statuses == (0, 0)
