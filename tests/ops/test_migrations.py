"""./scripts/ops migrations."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ops import Ops, Result
from support.postgres import Postgres
from support.proxy import Proxy
from testing.shell import ROOT, eventually
from testing.stack import ARTIFACTS, Stack


def test_history_is_the_newest_first(ops: Ops) -> None:
    found = ops.script("migrations", "--limit", "3", "--json").json
    assert len(found) == 3
    assert [row["applied"] for row in found] == sorted((row["applied"] for row in found), reverse=True)
    assert ops.script("migrations").out.startswith("app ")


def test_state_and_plan_come_from_the_application(ops: Ops) -> None:
    assert "[X] 0001_initial" in ops.script("migrations", "state").out
    assert "No planned migration operations" in ops.script("migrations", "plan").out


def test_apply_twice_is_fine(ops: Ops) -> None:
    result = ops.script("migrations", "apply")
    assert result.status == 0, result.err
    assert "195 countries" in result.out


def test_fake_warns_asks_and_only_records(ops: Ops, postgres: Postgres) -> None:
    forget = "DELETE FROM django_migrations WHERE app = 'sessions'"
    postgres.superuser(forget, database=postgres.stack.database)
    refused = ops.script("migrations", "fake", "sessions", "0001_initial")
    assert refused.status == 2
    assert "NOT be run" in refused.err
    result = ops.script("migrations", "fake", "sessions", "0001_initial", "--yes")
    assert "FAKED" in result.out
    assert "No planned migration operations" in ops.script("migrations", "plan").out


@pytest.mark.parametrize(
    "words", [[], ["flags"], ["flags", "0001; rm -rf /"], ["flags", "0001", "0002"], ["--fake-initial", "x"]]
)
def test_fake_takes_an_app_and_a_name(ops: Ops, words: list[str]) -> None:
    assert ops.script("migrations", "fake", *words).status == 2


class Checkout:
    """A developer's copy of the project, on the stack of this layer; the tests' own is not changed."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder

    def run(self, *command: str) -> Result:
        done = subprocess.run(
            command, cwd=self.folder, env=self.stack.environment, text=True, capture_output=True, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def migrations(self, *words: str) -> Result:
        return self.run("./scripts/ops", "migrations", *words)

    def failed_link(self) -> str:
        return "".join(line for line in self.run("./scripts/ops", "doctor").out.splitlines() if "✗" in line)


@pytest.fixture
def checkout(stack: Stack) -> Iterator[Checkout]:
    """Its files are a developer's, who is not root where the tests run as root; the app runs its source."""
    folder = ARTIFACTS / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("app", "docker", "docker-compose.yml", "docker-compose.override.yml", "pg", "scripts"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, DEVELOPER, DEVELOPER)
    checkout = Checkout(stack, folder)
    assert checkout.run("docker", "compose", "up", "--detach", "--no-deps", "--wait", "app").status == 0
    yield checkout
    stack.compose("up", "--detach", "--no-deps", "--wait", "app")
    shutil.rmtree(folder)


DEVELOPER = 4711


@pytest.mark.last
def test_a_developer_changes_a_model_and_sees_it_work(checkout: Checkout, proxy: Proxy) -> None:
    models = checkout.folder / "app/flags/models.py"
    field = "    region = models.CharField(max_length=40)"
    models.write_text(models.read_text().replace(field, f"    motto = models.TextField(null=True)\n{field}", 1))
    eventually(lambda: proxy.get("/api/challenge/today").status_code == 500, within=30)
    assert "1 changes of the models have no migration" in checkout.failed_link()

    made = checkout.migrations("make", "flags", "--name", "motto")
    assert made.status == 0, made.err
    (file,) = (checkout.folder / "app/flags/migrations").glob("0*_motto.py")
    assert file.stat().st_uid == (DEVELOPER if os.geteuid() == 0 else os.getuid())
    assert "1 migrations are not applied" in checkout.failed_link()
    assert "Add field motto to country" in checkout.migrations("plan").out
    try:
        assert "motto... OK" in checkout.migrations("apply").out
        eventually(lambda: proxy.get("/api/challenge/today").status_code == 200, within=30)
    finally:
        before = max(path.stem for path in file.parent.glob("0*.py") if path != file)
        migrate = ("docker", "compose", "run", "--rm", "--no-deps", "migrate", "python", "manage.py", "migrate")
        back = checkout.run(*migrate, "flags", before)
    assert back.status == 0, back.err


@pytest.mark.parametrize("words", [["--empty"], ["Flags"], ["flags", "--name", "a b"]])
def test_make_takes_an_app_and_a_name(ops: Ops, words: list[str]) -> None:
    assert ops.script("migrations", "make", *words).status == 2


def test_production_makes_no_migration(ops: Ops) -> None:
    result = ops.script("migrations", "make", DEPLOYMENT="production")
    assert (result.status, "development" in result.err) == (2, True)
