"""./scripts/ops as an object: `ops("describe", "flags_country")`."""

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from testing.shell import ROOT
from testing.stack import Stack

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Result:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What --json printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """What a person sees, without colours and padding."""
        return [ANSI.sub("", line).rstrip() for line in self.out.splitlines()]


class Ops:
    """`ops("describe", "flags_country")` runs ./scripts/ops on a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def __call__(self, *arguments: str, stdin: str | None = None, **environment: Any) -> Result:
        """As people run it; a terminal's width or a variable of the machine comes as a keyword."""
        return self.script(*arguments, stdin=stdin, **environment)

    def script(
        self, *arguments: str, stdin: str | None = None, stack: Stack | None = None, **environment: str
    ) -> Result:
        """As people run it."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        done = (stack or self.stack).command("env", *variables, "./scripts/ops", *arguments, stdin=stdin, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def start_script(self, *arguments: str) -> subprocess.Popen[str]:
        """As people run it, without waiting for its end."""
        return subprocess.Popen(["./scripts/ops", *arguments], env=self.stack.environment, cwd=ROOT, text=True)

    def shell(self, script: str) -> str:
        """A shell script in a container of the service ops, as its user."""
        return self.stack.compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "ops", "-ec", script)
