"""Physical backups on a stack of their own, with the profile `backup`; its disks are small enough to be filled."""
# ruff: noqa: F811 - a fixture that asks for an imported one has its name as an argument

import os
from collections.abc import Iterator

import pytest

from backup.repository import Repository
from support.fixtures import postgres, proxy  # noqa: F401
from support.postgres import Postgres
from support.shell import eventually
from support.stack import DEVELOPMENT, PROJECT, Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """KEEP_STACK=1 leaves it running for the next run, and for a look."""
    stack = Stack(
        f"{PROJECT}kept-backup" if (keep := os.environ.get("KEEP_STACK")) else f"{PROJECT}-backup",
        (*DEVELOPMENT, "tests/docker-compose.backup.yml"),
        port=21070,
        COMPOSE_PROFILES="backup",
        BACKUP_AT="off",
        ARCHIVING="on",  # what `repository` makes in memory is gone when it ends
    )
    if not keep:
        stack.remove()
    try:
        # The others are the runner's: built again they would be other images to whoever uses the tag meanwhile.
        stack.build("ops")
        stack.up()
        yield stack
    finally:
        if not keep:
            stack.remove()


@pytest.fixture(scope="session")
def repository(stack: Stack, postgres: Postgres) -> Repository:
    """With a full backup in it, and a table with rows that come and go."""
    repository = Repository(stack, postgres)
    postgres.superuser(
        "SET ROLE flaglearning_owner; CREATE TABLE IF NOT EXISTS probe (id serial PRIMARY KEY, word text)",
        database=stack.database,
    )
    eventually(lambda: repository.ops("backup", "info", "--json").json["state"] == "ok", within=30)
    made = repository.ops("backup", "physical", "--type", "full")
    assert made.status == 0, made.err
    return repository
