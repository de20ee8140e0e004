"""pg_dump, pg_restore and psql as children: their errors are passed on, and they end when this program does."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import IO

from user_errors import OperationError, Status

DOCTOR = "./scripts/ops doctor"
# Part of a tool's message → the next command, the status.
HINTS = {
    "No space left on device": ("./scripts/ops dump prune, or more room for DUMPS_DIR", Status.PROBLEM),
    "could not extend file": ("./scripts/ops space: the server's disk is full", Status.PROBLEM),
    "terminating connection": (DOCTOR, Status.CANNOT_CONNECT),
    "server closed the connection": (DOCTOR, Status.CANNOT_CONNECT),
    "connection to server": (DOCTOR, Status.CANNOT_CONNECT),
    "no connection to the server": (DOCTOR, Status.CANNOT_CONNECT),
}


class ToolFailed(OperationError):
    """A client tool ended with an error; `reason` is the end of what it printed."""

    def __init__(self, tool: str, printed: str, hint: str) -> None:
        known = next((found for words, found in HINTS.items() if words in printed), (hint, Status.PROBLEM))
        super().__init__(f"{tool} failed", known[0], printed, known[1])


def run(command: Sequence[str], env: Mapping[str, str], hint: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> None:
    """Run it to its end; it ends when this program does. Raises ToolFailed."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, env=env, stdin=stdin, stdout=output, stderr=output, start_new_session=True)
        try:
            child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGTERM)  # parallel workers as well; pg_dump tells the server to stop
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            raise
        if child.returncode:
            raise ToolFailed(command[0], ending(os.pread(output.fileno(), 1 << 22, 0).decode(errors="replace")), hint)


def ending(text: str) -> str:
    """The last lines that say what went wrong, without the progress of --verbose."""
    marks = ("error", "detail", "fatal", "no space")
    lines = [line for line in text.splitlines() if any(mark in line.lower() for mark in marks)]
    return " ".join(" ".join((lines or text.splitlines())[-6:]).split())[-1500:]


def obey_termination() -> None:
    """`docker stop` (SIGTERM) ends a verb like Ctrl-C: what it had begun is removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def version(tool: str) -> str:
    """pg_dump (PostgreSQL) 17.6 → 17.6."""
    said = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split(")")[1].split()[0]


def jobs() -> int:
    """Parallel sessions of pg_dump and pg_restore: as many as processors, at most four (flaglearning_ops has ten)."""
    return min(os.cpu_count() or 1, 4)
