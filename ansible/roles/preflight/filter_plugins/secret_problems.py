"""Filter secret_problems: reasons for which production refuses the vault's stack_secrets (scripts/lib/secret_files.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "scripts/lib"))

import secret_files


def secret_problems(secrets: Mapping[str, str]) -> list[str]:
    """Missing, weak and reused secrets, by name; never a value."""
    missing = [f"the secret {name} is missing" for name in secret_files.GENERATED if name not in secrets]
    declared = {name: str(value) for name, value in secrets.items() if name in secret_files.SECRETS}
    return missing + secret_files.problems(declared)


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[[Mapping[str, str]], list[str]]]:
        return {"secret_problems": secret_problems}
