"""The sandbox instance: a server of its own, restored from the repository beside the stack, which it can't change."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from ops import containers, docker
from ops.containers import Failed
from ops.output import note
from user_errors import OperationError, Status, UserError

Plan = dict[str, Any]


def container_name() -> str:
    """One a project."""
    return f"{containers.config()['name']}-sandbox"


def volume_name() -> str:
    """Of its data directory."""
    return str(containers.config()["volumes"]["sandbox-data"]["name"])


def start(plan: Plan) -> dict[str, Any]:
    """Restore as the plan says and wait until it answers queries. Returns what that took (seconds).

    Raises OperationError with the end of its log when the restore fails; nothing is left behind then.
    """
    drop()
    name = container_name()
    options = ["--detach", "--use-aliases"]
    # Not removed when it ends: the log of a restore that failed is read afterwards.
    argv = docker.run_in(
        "sandbox", "sandbox", json.dumps(plan), name=name, options=options, environment=containers.repository(),
        remove=False,
    )  # fmt: skip
    containers.run(argv)
    ready = containers.completed(["docker", "exec", name, "pgbackup", "ready"], quiet=True)
    if ready.returncode:
        containers.completed(["docker", "wait", name], quiet=True)
        log = containers.completed(["docker", "logs", "--tail", "20", name], quiet=True)
        drop()
        raise OperationError(
            "the sandbox instance could not be restored",
            "./scripts/ops backup verify; ./scripts/ops backup list",
            " ".join((log.stdout + log.stderr).split())[-1200:],
        )
    answer: dict[str, Any] = json.loads(ready.stdout)
    return answer


def execute(*command: str, stdin: str | None = None) -> Any:
    """The JSON that a program in the sandbox's container prints. Raises Failed."""
    return containers.answer(["docker", "exec", "--interactive", container_name(), *command], stdin)


def drop() -> bool:
    """Remove the instance and its data; whether there was one."""
    removed = containers.completed(["docker", "rm", "--force", "--volumes", container_name()], quiet=True)
    containers.completed(["docker", "volume", "rm", "--force", volume_name()], quiet=True)
    return bool(removed.stdout.strip())


def require(running: bool = True) -> None:
    """Raises UserError unless the instance exists and, with `running`, runs: a restart of the host stops it."""
    found = containers.completed(["docker", "inspect", "--format", "{{.State.Running}}", container_name()], quiet=True)
    if found.stdout.strip() not in (("true",) if running else ("true", "false")):
        raise UserError(
            "no sandbox instance is running", "./scripts/ops restore backup --latest --sandbox", status=Status.NOT_FOUND
        )


@contextlib.contextmanager
def temporary(plan: Plan) -> Iterator[dict[str, Any]]:
    """An instance for one block; removed whatever ends the block."""
    try:
        yield start(plan)
    finally:
        drop()


def failed_check(check: str, error: Exception) -> dict[str, Any]:
    """A drill's line for something that could not be done."""
    reason = "the program's error is above" if isinstance(error, Failed) else str(error)
    note(f"failed: {check}")
    return {"check": check, "ok": False, "saw": reason[:1200]}
