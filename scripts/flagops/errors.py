"""Errors for people: what happened, why, the next command; and the exit statuses that scripts can rely on."""

import sys
from enum import IntEnum

import psycopg
from psycopg import errors as pg


class Status(IntEnum):
    """Exit statuses; they don't change."""

    OK = 0
    PROBLEM = 1  # something is wrong with the stack, or the command refused to do it
    USAGE = 2  # an unknown command, option or value
    CANNOT_CONNECT = 3  # the stack isn't running, a server is down or away, a password is wrong
    NOT_FOUND = 4  # no such table, database, session, migration …
    INTERRUPTED = 130  # ctrl-C


class Refused(Exception):
    """Something that a person has to see: `what` happened, `why` (optional), and the command to type `next`."""

    def __init__(self, what: str, next: str, why: str = "", status: Status = Status.PROBLEM) -> None:
        super().__init__(what)
        self.what, self.why, self.next, self.status = what, why, next, status

    def show(self) -> None:
        """On standard error, in the form that psql, pgBackRest and this project's scripts use."""
        for label, text in (("ERROR: ", self.what), ("DETAIL:", self.why), ("HINT:  ", self.next)):
            if text:
                print(label, text, file=sys.stderr)


def in_words(error: psycopg.Error) -> Refused:
    """The server's (or libpq's) error as something to act on."""
    said = " ".join(str(error).split())
    match error:
        case pg.LockNotAvailable():
            return Refused("a lock could not be had in time: somebody else holds it.", "./scripts/ops blocking", said)
        case pg.QueryCanceled():
            return Refused(
                "the statement was cancelled.", "./scripts/ops sessions shows what the server is busy with", said
            )
        case pg.InsufficientPrivilege():
            return Refused("the server refused: this role may not do that.", "./scripts/ops setup verify", said)
        case pg.DiskFull():
            return Refused("the server's disk is full.", "./scripts/ops space", said)
        case pg.UndefinedTable() | pg.UndefinedFunction() | pg.InvalidSchemaName():
            return Refused("the database lacks something that every set-up one has.", "./scripts/ops doctor", said)
        case pg.OperationalError() if error.sqlstate is None or error.sqlstate[:2] in ("08", "57", "53", "28", "3D"):
            return Refused("the server went away.", "./scripts/ops doctor", said, Status.CANNOT_CONNECT)
    return Refused("the server said no.", "./scripts/ops doctor", said)
