"""The owner of the tables is hostile (a stolen migrator password, a bad migration): what it plants never runs as the
superuser or as flaglearning_ops, neither on the live server nor in the sandbox of a drill.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from backup import hostile
from backup.repository import Repository
from support.postgres import Postgres
from testing.shell import run
from testing.stack import Stack

# The owner itself, also through autovacuum; and the role whose rights are to read.
HARMLESS = {"flaglearning_owner", "flaglearning_verifier"}


@pytest.fixture(scope="module", autouse=True)
def planted(repository: Repository, postgres: Postgres, stack: Stack) -> Iterator[None]:
    repository.sql(hostile.REMOVE)
    with postgres.connect("migrator") as migrator:
        migrator.execute(hostile.BASE.encode())
        for plant in hostile.PLANTS.values():
            migrator.execute(plant.encode())
        migrator.execute(f"ALTER DATABASE {stack.database} SET search_path = hostile, public, pg_catalog".encode())
    yield
    repository.sql(f"ALTER DATABASE {stack.database} RESET ALL", database="postgres")
    repository.sql("DELETE FROM operations.restore_point", database="postgres")
    stack.exec(
        "postgres", "psql", "-X", "--quiet", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", stack.database,
        stdin=hostile.REMOVE,
    )  # fmt: skip


@pytest.fixture
def settings(repository: Repository, postgres: Postgres, stack: Stack) -> Iterator[None]:
    """Of the database, as its owner may set them: most sessions can't even begin then."""
    with postgres.connect("migrator") as migrator:
        for name, value in hostile.SETTINGS.items():
            migrator.execute(f"ALTER DATABASE {stack.database} SET {name} = {value}".encode())
    yield
    repository.sql(f"ALTER DATABASE {stack.database} RESET ALL", database="postgres")


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def verb(stack: Stack, service: str, *words: str) -> str:
    return stack.compose("run", "--rm", "--no-deps", "-T", service, *words)


@pytest.mark.usefixtures("settings")
def test_a_restore_point_runs_it_as_the_verifier_at_most(repository: Repository, stack: Stack) -> None:
    since = now()
    marked = repository.ops("backup", "mark")
    assert marked.status == 0, marked.err
    ran = hostile.ran(stack.logs("postgres", since=since))
    # Planning a query folds constants: this shows that what is planted is alive, and that the log tells.
    assert ("constant index predicate", "flaglearning_verifier") in ran
    assert {role for _, role in ran} <= HARMLESS


@pytest.mark.usefixtures("settings")
def test_a_drill_runs_it_as_the_owner_or_the_verifier_at_most(repository: Repository, stack: Stack) -> None:
    repository.sql("DELETE FROM operations.restore_point", database="postgres")
    chosen = verb(stack, "backup", "choose")
    name = f"{stack.project}-sandbox"
    options = ("--detach", "--no-deps", "-T", "--use-aliases", "--name", name)
    stack.compose("run", *options, "sandbox", "sandbox", json.dumps(json.loads(chosen)["plan"]))
    try:
        run("docker", "exec", name, "pgbackup", "ready")
        checks = json.loads(run("docker", "exec", "--interactive", name, "pgbackup", "prove", stdin=chosen).stdout)
        log = run("docker", "exec", name, "cat", "/tmp/recovery.log").stdout  # noqa: S108
    finally:
        repository.ops("sandbox", "drop", "--yes")
    assert [check for check in checks if not check["ok"]] == []
    ran = hostile.ran(log)
    assert ("index expression", "flaglearning_owner") in ran, "amcheck computes it"
    assert {role for _, role in ran} <= HARMLESS


LOOKING = [
    ["setup", "verify"],
    ["tables"],
    ["bloat", "flags_country"],
    ["migrations"],
    ["slow-queries"],
    ["doctor"],
    ["backup", "info"],
]


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_ops_does_not_run_it(repository: Repository, stack: Stack, command: list[str]) -> None:
    since = now()
    assert repository.ops(*command).status in (0, 1)
    assert {role for _, role in hostile.ran(stack.logs("postgres", since=since))} <= {
        *HARMLESS,
        "flaglearning_readonly",
    }


@pytest.mark.usefixtures("settings")
def test_applying_the_policy_does_not_run_it_and_resets_the_databases_settings(
    repository: Repository, stack: Stack
) -> None:
    since = now()
    stack.compose("run", "--rm", "--no-deps", "roles")
    assert {role for _, role in hostile.ran(stack.logs("postgres", since=since))} <= HARMLESS
    settings = (
        "SELECT setconfig FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase"
        " WHERE d.datname LIKE 'flaglearning%'"
    )
    assert repository.sql(settings, database="postgres") == ""
