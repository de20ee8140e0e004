"""Dual passwords: during a change the secret file holds two lines, the old password and the new one.

./scripts/ops password reset appends the new one, sets it in PostgreSQL, and removes the old one. Each new connection
reads the file and tries its lines in turn, so that one of them is accepted at any time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg

import secret_files

T = TypeVar("T")


def known(settings: dict[str, Any]) -> list[str]:
    """Return the lines of the file as it is now; without a file, the password of the settings."""
    try:
        found = secret_files.candidates(Path(settings["PASSWORD_FILE"]).read_text(encoding="utf-8"))
    except (KeyError, OSError):
        found = []
    return found or [settings["PASSWORD"]]


def first_accepted(connect: Callable[[str], T], passwords: list[str]) -> T:
    """Return `connect` of the first password that is accepted; raise any other error than a rejected password."""
    for password in passwords[:-1]:
        try:
            return connect(password)
        except psycopg.OperationalError as error:
            if "authentication failed" not in str(error):
                raise
    return connect(passwords[-1])
