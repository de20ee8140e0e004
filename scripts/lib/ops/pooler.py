"""PgBouncer's console: psql inside the container `pgbouncer`, through its Unix socket.

PgBouncer lets its own operating system user in there as `pgbouncer`, without a password (pg/pgbouncer.ini).
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops import containers, docker
from ops.output import note
from user_errors import OperationError, Status

Row = dict[str, Any]
PSQL = ("psql", "--no-psqlrc", "--no-password", "--host=/run/pgbouncer", "--port=6432")
CONSOLE = (*PSQL, "--username=pgbouncer", "--csv", "pgbouncer")
END = "-- end --"
HOLD = Path("scripts/lib/ops/hold-clients")
HELD_FOR = 8  # seconds; less than query_wait_timeout in pg/pgbouncer.ini
PAUSE_LIMIT = 4.0  # seconds; PAUSE waits for running transactions
# "$@" is the console's command line. psql prints PAUSE when the pooler has paused. It runs in the background, so that
# the end of standard input resumes even while it still waits; PgBouncer then never answers it.
PAUSE = """
"$@" --command=PAUSE &
pausing=$!
cat >/dev/null
answer=$("$@" --command=RESUME 2>&1) || case $answer in *"not paused"*) ;; *) echo "$answer" >&2 ;; esac
kill $pausing 2>/dev/null
exit 0
"""


def show(what: str) -> list[Row]:
    """The rows of SHOW `what` (POOLS, DATABASES, STATE …). Raises OperationError."""
    return several(what)[what]


def several(*names: str) -> dict[str, list[Row]]:
    """The rows of several SHOW commands, in one session. Raises OperationError."""
    words = [word for name in names for word in (f"--command=SHOW {name}", f"--command=\\echo {END}")]
    done = containers.completed(docker.exec_in("pgbouncer", *CONSOLE, *words), quiet=True)
    if done.returncode:
        raise failure(done.stderr)
    return dict(zip(names, (parse(part) for part in done.stdout.split(f"{END}\n"))))


def execute(*commands: str) -> None:
    """Commands of the console (RELOAD, RECONNECT …). Raises OperationError."""
    words = [f"--command={command}" for command in commands]
    done = containers.completed(docker.exec_in("pgbouncer", *CONSOLE, *words), quiet=True)
    if done.returncode:
        raise failure(done.stderr)


def parse(printed: str) -> list[Row]:
    """psql's CSV, with numbers as numbers and nothing as None."""
    return [{key: value_of(text) for key, text in row.items()} for row in csv.DictReader(printed.splitlines())]


def value_of(text: str) -> Any:
    """12 for "12", None for ""."""
    return int(text) if text.isdigit() else text or None


def failure(printed: str) -> OperationError:
    """The error for what psql or Docker Compose printed."""
    text = printed.strip()
    if "is not running" in text or "no container found" in text:
        return containers.not_running("pgbouncer")
    if "psql:" not in text:
        containers.require_engine()
    return OperationError(
        "PgBouncer's console can't be queried", "./scripts/ops doctor", " ".join(text.split()), Status.CANNOT_CONNECT
    )


@contextlib.contextmanager
def paused(limit: float = PAUSE_LIMIT) -> Iterator[bool]:
    """Let the pooler's clients wait while the block runs, instead of getting errors; the value: whether they do.

    After `limit` seconds the block runs without waiting longer for transactions that are still open. RESUME always
    follows, even when this process is killed. It is the whole pooler that pauses: after `PAUSE database` PgBouncer
    refuses new clients of that database (PgBouncer issue 498).
    """
    with contextlib.ExitStack() as stack:
        try:
            end_sessions()
            answer = stack.enter_context(containers.held(pause_argv(), limit))
        except (containers.Failed, OperationError):
            note("the service pgbouncer is not running: its clients can't be paused")
            answer = ""
        yield answer == "PAUSE"


def end_sessions() -> None:
    """People's sessions (pool_mode = session) end: an idle one keeps its server connection, and PAUSE would wait for
    it. Raises OperationError."""
    if people := enders(**several("POOLS", "CLIENTS")):
        execute(*people)


def enders(POOLS: list[Row], CLIENTS: list[Row]) -> list[str]:  # noqa: N803 - SHOW's names
    """The commands that end the clients of session pools."""
    pools = {(row["database"], row["user"]) for row in POOLS if row["pool_mode"] == "session"}
    return [f"KILL_CLIENT {row['id']}" for row in CLIENTS if (row["database"], row["user"]) in pools]


def pause_argv() -> list[str]:
    """The program that pauses until its standard input ends."""
    return docker.exec_in("pgbouncer", "sh", "-c", PAUSE, "pause", *CONSOLE)


# ------------------------------------------------------------ while the server is replaced


def hold(what: str, *how: str) -> None:
    """Let clients wait until another server process takes writes, for up to HELD_FOR seconds while this one stays
    (scripts/lib/ops/hold-clients; `how`: its word `checked`). Raises OperationError when they don't wait; `what` has
    not happened then."""
    done = containers.completed(hold_argv(str(HELD_FOR), *how), quiet=True)
    if done.returncode:
        raise not_held(what, done.stderr)


def not_held(what: str, printed: str) -> OperationError:
    """The error for what hold-clients, or Docker, printed."""
    reason, _, hint = printed.strip().partition("\nHINT:")
    if not hint:
        containers.require_engine()
    return OperationError(what, hint.strip() or "./scripts/ops doctor", " ".join(reason.removeprefix("ERROR:").split()))


def resume() -> None:
    """Clients that were told to wait go on."""
    containers.run(hold_argv("end"), check=False)


def hold_argv(*words: str) -> list[str]:
    """hold-clients with a number of seconds, `wait` or `end`: the checkout's, as the image may be an older one."""
    return docker.exec_in("pgbouncer", "bash", "-c", HOLD.read_text(encoding="utf-8"), "hold-clients", *words)
