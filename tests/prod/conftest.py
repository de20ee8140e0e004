"""The production overlay on this machine: a stack of its own, with a folder of secrets that was made for it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.fixtures import bouncer, own_stack, postgres, proxy  # noqa: F401
from testing.shell import run
from testing.stack import ARTIFACTS, PRODUCTION, SLOT, TAG, Stack

FIRST_PORT = 21020 + 200 * int(SLOT or 0)


@pytest.fixture(scope="session")
def secrets_folder() -> Iterator[Path]:
    """What ./scripts/secrets new makes; removed at the end."""
    folder = ARTIFACTS / "prod-secrets"
    shutil.rmtree(folder, ignore_errors=True)
    run("./scripts/secrets", "new", str(folder), env={"TAG": TAG})
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stack(secrets_folder: Path) -> Iterator[Stack]:
    own: dict[str, Any] = {"PUBLIC_HTTP_PORT": str(FIRST_PORT), "PUBLIC_HTTPS_PORT": str(FIRST_PORT + 1)}
    own |= {"SECRETS_DIR": str(secrets_folder), "ALLOWED_HOSTS": "localhost,play.example.org"}
    with own_stack("prod", PRODUCTION, **own) as stack:
        yield stack


@pytest.fixture
def other_secrets(secrets_folder: Path, tmp_path: Path) -> Path:
    """A copy of the secrets to spoil, owners and modes included."""
    run("cp", "--archive", str(secrets_folder), str(tmp_path / "secrets"))
    return tmp_path / "secrets"
