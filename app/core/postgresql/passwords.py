"""The password while it is being changed: the secret's file then has two lines, the old one and the new one.

./scripts/ops password reset appends the new one, tells the server, and takes the old one away. Whoever opens a
connection reads the file and tries its lines in turn, so that there is no moment without a password that is accepted.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")


def known(settings: dict[str, Any]) -> list[str]:
    """The lines of the file as they are now; without a file, the password that the settings have."""
    try:
        lines = Path(settings["PASSWORD_FILE"]).read_text(encoding="utf-8").splitlines()
    except (KeyError, OSError):
        lines = []
    return [line for line in lines if line] or [settings["PASSWORD"]]


def first_accepted(connect: Callable[[str], T], passwords: list[str]) -> T:
    """What `connect` returns for the first password that is accepted; another error than a refusal ends it."""
    for password in passwords[:-1]:
        try:
            return connect(password)
        except psycopg.OperationalError as error:
            if "authentication failed" not in str(error):
                raise
    return connect(passwords[-1])
