"""Errors for people: what failed, the observed reason, the next command; and the exit statuses that scripts rely on.

Host programs (scripts/lib/ops) and the programs inside the images (pgclient, pgadmin, pgbackup) share this module.
Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import sys
from enum import IntEnum


class Status(IntEnum):
    """Exit statuses of every command; they don't change."""

    OK = 0
    PROBLEM = 1  # a check found a problem, or the operation failed
    USAGE = 2  # an unknown command, option or value
    CANNOT_CONNECT = 3  # the Docker engine, a service or a server can't be reached
    NOT_FOUND = 4  # no such table, database, session, dump, backup …
    INTERRUPTED = 130  # Ctrl-C


class Failure(Exception):
    """What failed (`what`), the tool's own message (`reason`, optional), and the next command (`hint`)."""

    status = Status.PROBLEM

    def __init__(self, what: str, hint: str, reason: str = "", status: Status | None = None) -> None:
        super().__init__(what)
        self.what, self.reason, self.hint = what, reason, hint
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        first = f"{self.what.rstrip('.:')}: {self.reason}" if self.reason else self.what
        return f"ERROR: {first}\nHINT:  {self.hint}"

    def show(self) -> None:
        """Print it on standard error."""
        print(self, file=sys.stderr)


class UserError(Failure):
    """The request can't be carried out as it was made: nothing was changed."""

    status = Status.USAGE


class OperationError(Failure):
    """The request was valid and the operation failed."""
