"""Linters and type checkers, each over everything that it understands."""

import shutil
import sys
from pathlib import Path

import pytest

from support.tree import tracked, with_shebang
from testing.shell import ROOT, run

TOOLS = Path(sys.executable).parent


# What the app's settings need to be read at all (django-stubs' plugin does); nothing connects.
SETTINGS = {
    "DEPLOYMENT": "development",
    "DJANGO_SECRET_KEY": "of-no-use",
    "DATABASE_URL": "postgresql://nobody@localhost/none",
}


def tool(name: str, *arguments: str) -> None:
    """Run a tool of the .venv; its findings are the failure."""
    run(str(TOOLS / name), *arguments, env=SETTINGS)


def relative(files: list[Path]) -> list[str]:
    return [str(file.relative_to(ROOT)) for file in files]


def test_ruff() -> None:
    tool("ruff", "check", "--no-cache", ".")


def test_mypy() -> None:
    tool("mypy", "--cache-dir=/dev/null")


def test_mypy_of_the_tests_own_objects_and_of_the_bench() -> None:
    """Without the app's Django plugin, so without what the bench runs inside the app."""
    options = ["--strict", "--cache-dir=/dev/null", "--config-file=/dev/null", "--explicit-package-bases"]
    options += ["--exclude", "^scripts/benchmarks/inside/", "--disable-error-code=import-untyped"]
    paths = {"MYPYPATH": "scripts/lib:tests:scripts"}
    run(str(TOOLS / "mypy"), *options, "scripts/lib", "tests/support", "scripts/benchmarks", env=paths)


def test_yamllint() -> None:
    tool("yamllint", "--strict", *relative([file for file in tracked() if file.suffix in (".yml", ".yaml")]))


@pytest.mark.parametrize("script", relative([*with_shebang("bash"), *with_shebang("/sh")]))
def test_shellcheck(script: str) -> None:
    tool("shellcheck", "--external-sources", script)


@pytest.mark.parametrize("dockerfile", relative([file for file in tracked() if file.name == "Dockerfile"]))
def test_hadolint(dockerfile: str) -> None:
    tool("hadolint", dockerfile)


def test_every_ignored_rule_of_hadolint_has_a_reason() -> None:
    lines = (ROOT / ".hadolint.yaml").read_text().splitlines()
    ignored = [line for line in lines if line.strip().startswith("- DL") or line.strip().startswith("- SC")]
    assert ignored == [line for line in ignored if "#" in line]


def test_ansible_lint() -> None:
    """Once there are playbooks they are linted: a checkout with ansible/ and no ansible-lint fails."""
    if (ROOT / "ansible").is_dir():
        assert shutil.which("ansible-lint", path=str(TOOLS)), (
            "add ansible-lint to pyproject.toml's test group, then ./scripts/lock"
        )
        run(str(TOOLS / "ansible-lint"), "--offline", "--profile", "production", "ansible")
