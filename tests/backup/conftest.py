"""Backups on a stack of their own, with the profile `backup`; its disks are small enough to be filled."""
# ruff: noqa: F811 - a fixture that asks for an imported one has its name as an argument

from collections.abc import Iterator

import pytest

from backup.repository import Repository
from support.fixtures import own_stack, postgres, proxy  # noqa: F401
from support.postgres import Postgres
from testing.shell import eventually
from testing.stack import DEVELOPMENT, Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    files = (*DEVELOPMENT, "tests/docker-compose.backup.yml")
    # One worker: the app is started often here, and each imports Django.
    own = {"COMPOSE_PROFILES": "backup", "BACKUP_AT": "off", "WEB_CONCURRENCY": "1"}
    own["ARCHIVING"] = "on"  # what `repository` makes in memory is gone when it ends
    with own_stack("backup", files, port=21070, build=(), **own) as stack:
        yield stack


@pytest.fixture(scope="session")
def repository(stack: Stack, postgres: Postgres) -> Repository:
    """With a full backup in it, and a table with rows that come and go."""
    repository = Repository(stack, postgres)
    postgres.superuser(
        "SET ROLE flaglearning_owner; CREATE TABLE IF NOT EXISTS probe (id serial PRIMARY KEY, word text)",
        database=stack.database,
    )
    eventually(lambda: repository.ops("backup", "info", "--json").json["state"] == "ok", within=30)
    made = repository.ops("backup", "create", "--type", "full", "--json")
    assert made.status == 0, made.err
    repository.first = made.json
    return repository
