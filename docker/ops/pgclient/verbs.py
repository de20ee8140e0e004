"""How a verb is declared, and the command line.

    @verb("dump-list")
    def dump_list(limit: int = 0) -> list[dict[str, Any]]:
        '''What it takes, returns and raises.'''

Its keyword parameters are the keys of the JSON object; what it returns is printed as JSON (None: nothing).
"""

import datetime
import decimal
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg

from user_errors import Failure, OperationError, Status, UserError

F = TypeVar("F", bound=Callable[..., Any])
VERBS: dict[str, Callable[..., Any]] = {}


def verb(name: str) -> Callable[[F], F]:
    """Decorator: declare a verb."""

    def declare(function: F) -> F:
        assert name not in VERBS, f"{name} is declared twice"
        VERBS[name] = function
        return function

    return declare


def main(arguments: list[str]) -> int:
    """Run one verb; the exit status."""
    try:
        result = call(arguments)
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


def call(arguments: list[str]) -> Any:
    """The result of the verb that the command line names. Raises UserError for a wrong one."""
    name, *rest = arguments or [""]
    function = VERBS.get(name)
    if function is None or len(rest) > 1:
        raise UserError(f"pgclient has no verb '{name}'", f"one of: {' '.join(sorted(VERBS))}")
    try:
        parameters = json.loads(rest[0]) if rest else {}
        inspect.signature(function).bind(**parameters)
    except (ValueError, TypeError) as error:
        raise UserError(f"wrong parameters of {name}", "docker compose build ops, then try again", str(error)) from None
    return function(**parameters)


def plain(value: Any) -> Any:
    """What JSON has no type for; a duration in seconds."""
    match value:
        case decimal.Decimal():
            return float(value)
        case datetime.timedelta():
            return value.total_seconds()
        case datetime.datetime() | datetime.date():
            return value.isoformat()
        case Path():
            return str(value)
    if hasattr(value, "_asdict"):
        return value._asdict()
    return str(value)


def postgresql_error(error: psycopg.Error) -> OperationError:
    """PostgreSQL's (or libpq's) own message, with the next command."""
    said = " ".join(str(error).split())
    hint, status = "./scripts/ops doctor", None
    match error:
        case pg.LockNotAvailable():
            hint = "./scripts/ops blocking shows which session holds the lock"
        case pg.QueryCanceled():
            hint = "./scripts/ops sessions shows what the server is busy with"
        case pg.InsufficientPrivilege():
            hint = "./scripts/ops setup verify shows which privilege is missing"
        case pg.DiskFull():
            hint = "./scripts/ops space"
        case pg.OperationalError() if error.sqlstate is None or error.sqlstate[:2] in ("08", "57", "53", "28", "3D"):
            status = Status.CANNOT_CONNECT
    return OperationError("PostgreSQL returned an error", hint, said, status)
