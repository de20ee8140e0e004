"""The operations CLI as an object: `ops("describe", "flags_country")`."""

import json
import re
import secrets
import subprocess
import threading
from dataclasses import dataclass
from typing import Any

from ops.cli import REGISTRY, first_words, load_commands
from testing.shell import ROOT, run
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
    """`ops("describe", "flags_country")` in the container; `ops.script(…)` through ./scripts/ops."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.container = f"{stack.project}-cli"
        self.clerk = f"{stack.project}-clerk"
        self._busy = threading.Lock()
        self._server: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """The containers, which live as long as the tests do; and in the CLI's ops_server.py."""
        run("docker", "rm", "--force", self.container, self.clerk, check=False)
        for name, service in ((self.container, "ops"), (self.clerk, "roles")):
            idle = ("--entrypoint", "sleep", service, "infinity")
            self.stack.compose("run", "--detach", "--no-deps", "--name", name, *idle)
        command = ("docker", "exec", "--interactive", self.container, "python", "-c", SERVER)
        self._server = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> None:
        run("docker", "rm", "--force", self.container, self.clerk, check=False)
        if self._server:
            self._server.communicate()

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """As people run it; what scripts/lib/ops does not have yet, in the container."""
        load_commands()
        if not arguments or " ".join(arguments[:2]) in REGISTRY or arguments[0] in first_words():
            return self.script(*arguments, stdin=stdin, **environment)
        assert self._server, "not started"
        assert self._server.stdin
        assert self._server.stdout
        request = {"arguments": arguments, "stdin": stdin, "environment": environment}
        with self._busy:
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            return Result(*json.loads(self._server.stdout.readline()))

    def alone(self, *arguments: str, **environment: str) -> Result:
        """In a process that owes nothing to another: one that is to be killed, or runs beside others."""
        variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        done = run("docker", "exec", *variables, self.container, "python", "-m", "flagops", *arguments, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def restore(self, *arguments: str) -> Result:
        """`./scripts/ops restore`, in containers that are there already: the clerk beside the CLI, as in the script.

        For a restore that gets as far as a new database: one that is refused before leaves the clerk waiting."""
        token = secrets.token_hex(4)
        beside = ("docker", "exec", self.clerk, "database-clerk", "restore", token)
        with subprocess.Popen(beside, text=True, stderr=subprocess.PIPE) as clerk:
            result = self("restore", *arguments, RESTORE_TOKEN=token)
            result.err += clerk.communicate(timeout=60)[1]
        return result

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
        """A shell script in the container, as the CLI's user."""
        return str(run("docker", "exec", "--interactive", self.container, "sh", "-ec", script).stdout)


SERVER = (ROOT / "tests/support/ops_server.py").read_text()
