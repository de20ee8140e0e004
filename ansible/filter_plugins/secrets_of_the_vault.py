"""Filters over the vault's stack_secrets, with scripts/lib/secret_files.py: weak secrets, and the files of a host."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/lib"))

import secret_files


def secret_problems(secrets: Mapping[str, str]) -> list[str]:
    """Missing, weak and reused secrets, by name; never a value."""
    missing = [f"the secret {name} is missing" for name in secret_files.GENERATED if name not in secrets]
    declared = {name: str(value) for name, value in secrets.items() if name in secret_files.SECRETS}
    return missing + secret_files.problems(declared)


def secret_texts(secrets: Mapping[str, str], services: Sequence[str] = (), off_site: bool = False) -> dict[str, str]:
    """Name → what the file holds, of the secrets that these services read (without services: of all). `off_site`: with
    the passphrase of repository 2, which is that of repository 1: one passphrase to keep."""
    return {
        name: secret_files.file_text(name, str(secrets[secret.copy_of or name]))
        for name, secret in secret_files.SECRETS.items()
        if (off_site or not secret.copy_of) and (not services or set(services) & set(secret.readers))
    }


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"secret_problems": secret_problems, "secret_texts": secret_texts}
