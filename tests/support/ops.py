"""./scripts/ops as an object: `ops("describe", "flags_country")`."""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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

    @contextlib.contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator["Started"]:
        """The same, in a process group of its own, as a terminal has it; killed if it is still there at the end."""
        assignments = [f"{name}={value}" for name, value in {**self.stack.environment, **environment}.items()]
        process = subprocess.Popen(
            ["env", "-i", *assignments, "./scripts/ops", *arguments], cwd=ROOT, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=obey_ctrl_c,
        )  # fmt: skip
        started = Started(process)
        try:
            yield started
        finally:
            with contextlib.suppress(ProcessLookupError):
                started.signal(signal.SIGKILL)
            started.result()

    def start_script(self, *arguments: str) -> subprocess.Popen[str]:
        """As people run it, without waiting for its end."""
        words = ["./scripts/ops", *arguments]
        return subprocess.Popen(words, env=self.stack.environment, cwd=ROOT, text=True, preexec_fn=obey_ctrl_c)

    def shell(self, script: str) -> str:
        """A shell script in a container of the service ops, as its user."""
        return self.stack.compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "ops", "-ec", script)


def obey_ctrl_c() -> None:
    """In a new process: what a shell runs in the background has SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Started:
    """A command of ./scripts/ops that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.done: Result | None = None

    def signal(self, number: signal.Signals) -> None:
        """To all of its processes on this machine, as a terminal sends Ctrl-C."""
        os.killpg(self.process.pid, number)

    def result(self) -> Result:
        """Its end."""
        if self.done is None:
            out, err = self.process.communicate(timeout=120)
            self.done = Result(self.process.returncode, out, err)
        return self.done


class Container:
    """A container of a service that waits for commands: where a one-shot each is not what a test is about."""

    def __init__(self, name: str, *program: str) -> None:
        self.name = name
        self.program = program  # of its image; its first argument is a verb

    def __call__(self, *command: str, stdin: str | None = None, **environment: str) -> Result:
        variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        words = ("docker", "exec", "--interactive", *variables, self.name, *command)
        done = run(*words, stdin=stdin, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def shell(self, script: str) -> str:
        """What a shell script prints; it has to succeed."""
        done = self("sh", "-ec", script)
        assert done.status == 0, f"{script}\n{done.out}{done.err}"
        return done.out

    def verb(self, verb: str, stdin: str | None = None, /, **parameters: Any) -> Result:
        """A verb of the image's program, as ./scripts/ops calls it."""
        return self(*self.program, verb, json.dumps(parameters), stdin=stdin)


@contextlib.contextmanager
def waiting(stack: Stack, service: str, *program: str) -> Iterator[Container]:
    """A service's one-shot container with its user, secrets, volumes and networks; removed at the end."""
    name = f"{stack.project}-waiting-{service}"
    run("docker", "rm", "--force", name, check=False)
    options = ("--rm", "--no-deps", "--detach", "--name", name, "--entrypoint", "sleep")
    stack.compose("run", *options, service, "infinity")
    try:
        yield Container(name, *program)
    finally:
        run("docker", "rm", "--force", name, check=False)
