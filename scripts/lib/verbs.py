"""The command line of a program inside an image: `PROGRAM VERB [PARAMETERS]`, one JSON object in, JSON out.

./scripts/ops calls them (scripts/lib/ops/containers.py). A verb is a function whose keyword parameters are the object's
keys; what it returns is printed as JSON (None: nothing). Errors are ERROR/HINT lines on standard error.
"""

from __future__ import annotations

import datetime
import decimal
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg import errors as pg

from user_errors import Failure, OperationError, Status, UserError


def main(program: str, verbs: Mapping[str, Callable[..., Any]], arguments: list[str]) -> int:
    """Run one verb; the exit status."""
    try:
        result = call(program, verbs, arguments)
        if result is not None:
            print(json.dumps(result, ensure_ascii=False, default=plain))
        return int(Status.OK)
    except Failure as failure:
        failure.show()
        return int(failure.status)
    except psycopg.Error as error:
        refused = postgresql_error(error)
        refused.show()
        return int(refused.status)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return int(Status.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Status.OK)


def call(program: str, verbs: Mapping[str, Callable[..., Any]], arguments: list[str]) -> Any:
    """The result of the verb that the command line names. Raises UserError for a wrong one."""
    name, *rest = arguments or [""]
    function = verbs.get(name)
    if function is None or len(rest) > 1:
        raise UserError(f"{program} has no verb '{name}'", f"one of: {' '.join(sorted(verbs))}")
    try:
        parameters = json.loads(rest[0]) if rest else {}
        inspect.signature(function).bind(**parameters)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{program} {name} does not take these parameters", "docker compose build, then try again", str(error)
        ) from None
    return function(**parameters)


def plain(value: Any) -> Any:
    """What JSON has no type for; a duration in seconds."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return str(value)


def postgresql_error(error: psycopg.Error) -> OperationError:
    """PostgreSQL's (or libpq's) own message, with the next command."""
    said = " ".join(str(error).split())
    hint, status = "./scripts/ops doctor", None
    if isinstance(error, pg.LockNotAvailable):
        hint = "./scripts/ops blocking shows which session holds the lock"
    elif isinstance(error, pg.QueryCanceled):
        hint = "./scripts/ops sessions shows what the server is busy with"
    elif isinstance(error, pg.InsufficientPrivilege):
        hint = "./scripts/ops setup verify shows which privilege is missing"
    elif isinstance(error, pg.DiskFull):
        hint = "./scripts/ops space"
    elif isinstance(error, pg.OperationalError) and (error.sqlstate or "08")[:2] in ("08", "57", "53", "28", "3D"):
        status = Status.CANNOT_CONNECT
    return OperationError("PostgreSQL returned an error", hint, said, status)
