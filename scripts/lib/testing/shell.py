"""Running commands."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[3]


class Failed(Exception):
    """A command that didn't exit with 0: the command, its status, and the end of its output."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"{' '.join(command)}\n  exited with {status}:\n{output[-4000:]}")
        self.output = output
        self.status = status


def run(
    *command: str,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    timeout: float = 300,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's root; `env` is added to this process's. Raises Failed on a non-zero status."""
    done = subprocess.run(
        command,
        input=stdin if stdin is not None else "",
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=timeout,
        text=True,
        capture_output=True,
    )
    if check and done.returncode:
        raise Failed(command, done.returncode, done.stdout + done.stderr)
    return done


def eventually(question: Callable[[], T], within: float, every: float = 0.1) -> T:
    """Repeat until the answer is truthy; return it. After `within` seconds fail with the last answer or exception.

    It waits `every` seconds between two questions, and as long as a question took: half of a CPU at most is spent.
    """
    deadline = time.monotonic() + within
    while True:
        asked = time.monotonic()
        try:
            if answer := question():
                return answer
            last: object = answer
        except Exception as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s; the last answer: {last!r}")
        time.sleep(max(every, time.monotonic() - asked))
