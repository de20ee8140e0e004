"""pg_dump, pg_restore and psql as children: watched, their failures put into words, and they end when we do."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import IO

from flagops.errors import Refused, Status

# What the tools say → what happened, the next command, the status.
DOCTOR = "./scripts/ops doctor"
AWAY = ("the server went away in the middle.", DOCTOR, Status.CANNOT_CONNECT)
ROOM = "./scripts/ops backups prune, or more room for BACKUPS_DIR"
MEANINGS = {
    "No space left on device": ("no space is left where the backups are.", ROOM, Status.PROBLEM),
    "could not extend file": ("the server's disk is full.", "./scripts/ops space", Status.PROBLEM),
    "terminating connection": AWAY,
    "server closed the connection": AWAY,
    "connection to server": ("the server can't be reached.", DOCTOR, Status.CANNOT_CONNECT),
    "no connection to the server": AWAY,
}  # fmt: skip
POLL = 0.1


class ToolFailed(Refused):
    """A client tool ended with an error; `said` is the end of what it printed."""

    def __init__(self, tool: str, said: str, next: str) -> None:
        what, hint, status = next_step(said) or (f"{tool} could not do it.", next, Status.PROBLEM)
        super().__init__(what, hint, said, status)
        self.said = said


def next_step(said: str) -> tuple[str, str, Status] | None:
    """What a known message means."""
    return next((meaning for words, meaning in MEANINGS.items() if words in said), None)


def run(
    command: Sequence[str],
    env: Mapping[str, str],
    next: str,
    tick: Callable[[str], None] = lambda _: None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
) -> None:
    """Run it; `tick` gets what it printed so far, ten times a second. It ends when we do. Raises ToolFailed."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, env=env, stdin=stdin, stdout=output, stderr=output, start_new_session=True)
        try:
            while child.poll() is None:
                tick(printed(output))
                time.sleep(POLL)
        except BaseException:
            # parallel workers as well; pg_dump tells the server to stop
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            raise
        if child.returncode:
            raise ToolFailed(command[0], ending(printed(output)), next)


def printed(output: IO[bytes]) -> str:
    """All of it so far."""
    return os.pread(output.fileno(), 1 << 22, 0).decode(errors="replace")


def ending(text: str) -> str:
    """The last lines that say what went wrong, without the progress of --verbose."""
    lines = [
        line for line in text.splitlines() if "error" in line.lower() or "detail" in line.lower() or "No space" in line
    ]
    return " ".join(" ".join((lines or text.splitlines())[-6:]).split())[-1500:]


def obey_termination() -> None:
    """`docker stop` (SIGTERM) ends a command like ctrl-C: what it had begun is removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def version(tool: str) -> str:
    """pg_dump (PostgreSQL) 17.6 → 17.6."""
    said = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split(")")[1].split()[0]
