"""Linters and type checkers: those of .pre-commit-config.yaml, over every file of the project."""

import re

import yaml

from support.tree import tracked
from testing.shell import ROOT, run

CONFIGURATION = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
HOOKS = {hook["id"]: hook for repository in CONFIGURATION["repos"] for hook in repository["hooks"]}
# Code that no type checker reads: it is generated, or it runs inside another project than this.
UNTYPED = re.compile(r"^app/.*/migrations/|^scripts/lib/bench/inside/")


def test_every_linter_and_type_checker_passes() -> None:
    """A hook that finds no file to look at is called skipped, and has proved nothing."""
    done = run(".venv/bin/pre-commit", "run", "--all-files", "--color=never", timeout=600)
    assert "Skipped" not in done.stdout
    assert done.stdout.count("...Passed") == len(HOOKS)


def test_every_python_file_is_type_checked() -> None:
    checked = [word for id, hook in HOOKS.items() if id.startswith("mypy") for word in hook["entry"].split()]
    folders = tuple(f"{word}/" for word in checked if (ROOT / word).is_dir())
    python = [str(file.relative_to(ROOT)) for file in tracked() if file.suffix == ".py"]
    assert [file for file in python if not file.startswith(folders) and not UNTYPED.match(file)] == []


def test_every_ignored_rule_of_hadolint_has_a_reason() -> None:
    lines = (ROOT / ".hadolint.yaml").read_text().splitlines()
    ignored = [line for line in lines if line.strip().startswith("- DL") or line.strip().startswith("- SC")]
    assert ignored == [line for line in ignored if "#" in line]
