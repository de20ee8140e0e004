"""The operations CLI as an object: `ops("describe", "flags_country")`."""

import json
import re
from dataclasses import dataclass
from typing import Any

from support.shell import run
from support.stack import Stack

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
    """`ops("describe", "flags_country")` in the container; `ops.script(…)` through ./scripts/ops."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.container = f"{stack.project}-cli"

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        command = ("docker", "exec", "--interactive", *variables, self.container, "python", "-m", "flagops", *arguments)
        done = run(*command, stdin=stdin, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def script(
        self, *arguments: str, stdin: str | None = None, stack: Stack | None = None, **environment: str
    ) -> Result:
        """As people run it."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        done = (stack or self.stack).command("env", *variables, "./scripts/ops", *arguments, stdin=stdin, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def shell(self, script: str) -> str:
        """A shell script in the container, as the CLI's user."""
        return str(run("docker", "exec", "--interactive", self.container, "sh", "-ec", script).stdout)
