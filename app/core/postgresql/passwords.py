"""Dual passwords: while the password is being changed, its file has two lines, the old one and the new one.

Each new connection reads the file and tries its lines in turn, so one of them is always accepted
(./scripts/ops password reset, scripts/lib/secret_files.py).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg

import secret_files

T = TypeVar("T")


def known(settings: dict[str, Any]) -> list[str]:
    """The file's passwords as they are now; without a file, the password of the settings."""
    try:
        found = secret_files.candidates(Path(settings["PASSWORD_FILE"]).read_text(encoding="utf-8"))
    except (KeyError, OSError):
        found = []
    return found or [settings["PASSWORD"]]


def first_accepted(connect: Callable[[str], T], passwords: list[str]) -> T:
    """What `connect` returns for the first password that is accepted; another error than a refusal ends it."""
    for password in passwords[:-1]:
        try:
            return connect(password)
        except psycopg.OperationalError as error:
            if "authentication failed" not in str(error):
                raise
    return connect(passwords[-1])
