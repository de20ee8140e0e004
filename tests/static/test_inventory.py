"""./scripts/inventory: its own secrets in each, behind a password that is found where it was named."""

import subprocess
from pathlib import Path

import pytest

from testing.shell import ROOT, run

VAULT = "mine/group_vars/all/vault.yml"


def inventory(folder: Path, *words: str, password: str = "password") -> subprocess.CompletedProcess[str]:  # noqa: S107
    """Typed in a folder, with the password's file named as seen from there."""
    environment = {"ANSIBLE_VAULT_PASSWORD_FILE": password}
    return run(str(ROOT / "scripts/inventory"), *words, cwd=folder, env=environment, check=False)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with an inventory in it."""
    made = inventory(tmp_path, "new", "./mine")
    assert made.returncode == 0, made.stderr
    return tmp_path


def secrets(folder: Path) -> dict[str, str]:
    tool = str(ROOT / ".venv/bin/ansible-vault")
    shown = run(tool, "view", "--vault-password-file", "password", VAULT, cwd=folder).stdout
    return dict(line.strip().split(": ") for line in shown.splitlines() if line.startswith("  "))


def test_paths_are_meant_from_where_they_were_typed(mine: Path) -> None:
    assert {file.name for file in mine.iterdir()} == {"mine", "password"}
    assert (mine / "password").stat().st_mode & 0o777 == 0o600
    assert (mine / VAULT).read_text().startswith("$ANSIBLE_VAULT;")


def test_one_that_is_there_is_left_as_it_is(mine: Path) -> None:
    before = (mine / VAULT).read_bytes()
    again = inventory(mine, "new", "./mine")
    assert again.returncode == 1
    assert "is left as it is" in again.stderr
    assert (mine / VAULT).read_bytes() == before


def test_a_rotation_notes_new_ones_and_then_they_are_the_ones(mine: Path) -> None:
    before = secrets(mine)
    assert inventory(mine, "next", "./mine", "app_password").returncode == 0
    noted = (mine / VAULT).read_bytes()
    assert inventory(mine, "adopt", "./mine").returncode == 0
    after = secrets(mine)
    assert (mine / VAULT).read_bytes() != noted
    assert {name for name in before if before[name] != after[name]} == {"app_password"}
    again = inventory(mine, "adopt", "./mine")
    assert again.returncode == 1
    assert "no new passwords are noted" in again.stderr


@pytest.mark.parametrize(
    ("password", "sentence"), [("missing", "there is no vault password in"), ("wrong", "can't be opened")]
)
def test_without_its_password_it_is_not_touched(mine: Path, password: str, sentence: str) -> None:
    (mine / "wrong").write_text("wrong")
    before = (mine / VAULT).read_bytes()
    refused = inventory(mine, "next", "./mine", "app_password", password=password)
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert "HINT:" in refused.stderr
    assert (mine / VAULT).read_bytes() == before
    assert not (mine / "missing").exists(), "another password would open nothing"
