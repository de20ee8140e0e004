"""What separates the database from the application's code: `manage.py schema_state` in a container of the app."""

from __future__ import annotations

import json
from typing import Any

from ops import containers, docker, psql
from user_errors import OperationError

COMMAND = ("python", "manage.py", "schema_state")


def of_running_app(changes: bool) -> dict[str, list[str]]:
    """{"pending": migrations, "missing": tables and columns, "changes": of models without migration}, of the code that
    serves. Raises OperationError."""
    return state(docker.exec_in("app", *COMMAND, *(["--changes"] if changes else [])))


def of_the_app() -> dict[str, list[str]]:
    """The same without `changes`; where no app runs, of the one that `migrate` would migrate for."""
    return of_running_app(changes=False) if containers.is_running("app") else state(docker.run_in("migrate", *COMMAND))


def state(argv: list[str]) -> dict[str, list[str]]:
    """Run it. Raises OperationError with the last line that it printed."""
    done = containers.completed(argv, quiet=True)
    if "server_login_retry" in done.stderr:  # PgBouncer's first answer after an outage: the error of that time
        done = containers.completed(argv, quiet=True)
    if done.returncode:
        containers.require_engine()
        raise OperationError(
            "the application can't compare its models with the database",
            "docker compose logs --tail 20 app; ./scripts/ops migrations plan",
            psql.last_line(done.stderr.strip()),
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
