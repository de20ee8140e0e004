"""scripts/lib/rename_project.py, on a copy of this checkout: what it changes, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rename_project
from user_errors import UserError

ROOT = Path(__file__).resolve().parents[2]
NAME = "".join(("tom", "bola"))  # in two parts: it is no word of this project, so that it can be renamed back
COMMITTER = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, **COMMITTER}
    ).stdout


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files in git's index, renamed twice: the second run changes nothing."""
    folder = tmp_path_factory.mktemp("copy")
    git(ROOT, "checkout-index", "--all", f"--prefix={folder}/")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    for said in (f" is {NAME} now", f"name is {NAME} already"):
        done = subprocess.run(["./scripts/rename-project", NAME], cwd=folder, capture_output=True, text=True)
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
    return folder


def test_the_old_name_is_gone(renamed: Path) -> None:
    old = rename_project.current(ROOT)
    git(renamed, "add", "--all")
    left = subprocess.run(["git", "grep", "-I", "-i", "-l", old], cwd=renamed, capture_output=True, text=True)
    assert left.stdout.split() == []
    assert [name for name in git(renamed, "ls-files").split() if old in name] == []


def test_every_identifier_has_the_new_name(renamed: Path) -> None:
    text = "".join(path.read_text() for path in (renamed / "pg").rglob("*.sql"))
    text += (renamed / "docker-compose.yml").read_text() + (renamed / "ansible/README.md").read_text()
    for one in ("{}_owner", "{}_migrator", "{}_ops", "{}_readonly", "{}_dev", "{}/app:", "name: {}\n", "/opt/{}"):
        assert one.format(NAME) in text
    assert (renamed / f"ansible/roles/firewall/files/{NAME}.nft").exists()


def test_modes_and_other_bytes_stay(renamed: Path) -> None:
    """Back again, it is the first commit."""
    git(renamed, "add", "--all")
    git(renamed, "commit", "--quiet", "--message", "renamed")
    old = rename_project.current(ROOT)
    assert f"{NAME} is {old} now" in rename_project.rename(renamed, old)
    git(renamed, "add", "--all")
    assert git(renamed, "diff", "--cached", "--stat", "HEAD~1") == ""
    git(renamed, "reset", "--quiet", "--hard")


def test_its_unit_tests_are_collected_and_pass(renamed: Path) -> None:
    """One of each program's, which have roles, databases and services in them."""
    names = ("ops/test_pooler.py", "ops/test_psql.py", "ops/test_connect.py", "pgadmin/test_passwords.py")
    path = os.pathsep.join(str(renamed / folder) for folder in ("docker/postgres", "docker/ops", "scripts/lib", "app"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--import-mode=importlib", "-q", "-p", "no:cacheprovider",
         *(f"tests/unit/{name}" for name in names)],
        cwd=renamed, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("name", ["ab", "Shop", "1shop", "my-shop", "my_shop", "averylongname", "", "proxy", "flags"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(UserError):
        rename_project.check(ROOT, name)


def test_uncommitted_changes_are_refused(renamed: Path) -> None:
    (renamed / "new").touch()
    with pytest.raises(UserError, match="uncommitted changes"):
        rename_project.rename(renamed, "another")
    (renamed / "new").unlink()


def test_the_documented_roles_are_all_roles() -> None:
    """The list of identifiers in the module's text."""
    old = rename_project.current(ROOT)
    sql = "".join(path.read_text() for path in (ROOT / "pg/sql").glob("*.sql"))
    sql += "".join(path.read_text() for path in (ROOT / "docker/postgres/pgadmin").glob("*.py"))
    found = set(re.findall(rf"\b{old}_([a-z]+)\b", sql)) - {"dev", "user", "prod"}
    documented = set(re.findall(r"_([a-z]+)", re.search(r"\| roles \|(.*)", rename_project.__doc__ or "")[1]))  # type: ignore[index]
    assert found <= documented, found - documented
