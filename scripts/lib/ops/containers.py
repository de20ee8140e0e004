"""Run docker command lines: the only module that starts processes.

A container's program prints its result as JSON on standard output and ERROR/HINT lines on standard error, which is this
process's own, so people see them as they come. Its exit status becomes ours (Failed).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from ops import docker, dotenv
from user_errors import OperationError, Status, UserError

PASS_ON = 10.0  # seconds
START = "docker compose up --wait (or ./scripts/up)"  # hosts of an inventory have no ./scripts/up
OURS = f"flaglearning.ops={secrets.token_hex(8)}"  # the label of this process's one-shot containers
# `docker compose run` builds a missing image first, and prints that build on standard output, before the JSON.
QUIET = {"COMPOSE_PROGRESS": "quiet", "BUILDKIT_PROGRESS": "quiet"}


class Failed(OperationError):
    """A container's program failed and has printed its error already."""

    def __init__(self, what: str, status: int) -> None:
        known = status in tuple(Status)
        super().__init__(what, "read the error above", status=Status(status) if known else Status.PROBLEM)

    def show(self) -> None:
        """Nothing: the program has said it."""


def run(argv: list[str], stdin: str | None = None, quiet: bool = False, check: bool = True) -> str:
    """Run it; what it printed on standard output. Its standard error passes through unless `quiet`.

    Raises Failed when it ends with another status than 0 (unless not `check`), OperationError without a Docker engine.
    """
    done = completed(argv, stdin, quiet)
    if check and done.returncode:
        require_engine()
        raise Failed(" ".join(argv[:6]), done.returncode)
    return done.stdout


def completed(argv: list[str], stdin: str | None = None, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run it to the end; with `quiet`, standard error is in the result instead of on the terminal."""
    with started(argv, subprocess.PIPE if quiet else None) as process:
        output, errors = process.communicate((stdin or "").encode())
    decoded = [(text or b"").decode(errors="replace") for text in (output, errors)]
    return subprocess.CompletedProcess(argv, process.returncode, *decoded)


@contextlib.contextmanager
def started(argv: list[str], stderr: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Start it, with pipes for its input and output. A Ctrl-C is raised after its end.

    Docker's client can end before it has passed a Ctrl-C on, and a one-shot container would work on. So the client of a
    one-shot does not get it, and the container gets it from us, found by our label.
    """
    one_shot = argv[:3] == ["docker", "compose", "run"]
    words = [*argv[:3], "--label", OURS, *argv[3:]] if one_shot else shortened(argv)
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env={**os.environ, **QUIET},
            start_new_session=one_shot,
        )  # fmt: skip
    except FileNotFoundError:
        raise no_docker(f"{argv[0]} is not installed") from None
    with interrupting_one_shots(process) if one_shot else passing_on_ctrl_c(process):
        yield process


def shortened(argv: list[str]) -> list[str]:
    """`docker exec` in the place of `docker compose exec`, which reads every compose file first (docker.direct)."""
    if argv[:3] == ["docker", "compose", "exec"]:
        return docker.direct(argv, running())
    if argv[:2] != ["docker", "ps"]:
        running_at.cache_clear()  # it may start and end containers
    return argv


def running() -> dict[str, str]:
    """Service → the id of its running container; {} where only Compose knows the project's name."""
    return running_at(int(time.monotonic()))


@functools.lru_cache(maxsize=1)
def running_at(second: int) -> dict[str, str]:
    """The same. Asked once a second at most, and after each command that may change it."""
    project = dotenv.project()
    return docker.first_of_each(completed(docker.running_of(project), quiet=True).stdout) if project else {}


@contextlib.contextmanager
def interrupting_one_shots(client: subprocess.Popen[bytes]) -> Iterator[None]:
    """A Ctrl-C interrupts this process's one-shot containers; they get the time to remove what they had begun."""
    try:
        yield
    except KeyboardInterrupt:
        deadline = time.monotonic() + PASS_ON
        find = ["docker", "ps", "--quiet", "--filter", f"label={OURS}"]
        while client.poll() is None and time.monotonic() < deadline:
            if ids := subprocess.run(find, stdout=subprocess.PIPE, text=True, check=False).stdout.split():
                subprocess.run(["docker", "kill", "--signal", "INT", *ids], stdout=subprocess.DEVNULL, check=False)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    client.wait(PASS_ON)
                break
        client.kill()
        raise


@contextlib.contextmanager
def passing_on_ctrl_c(process: subprocess.Popen[Any]) -> Iterator[None]:
    """A Ctrl-C reaches Docker's program, too: it gets the time to end its work.
    (subprocess.run kills it after a quarter of a second.)"""
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PASS_ON)
        process.kill()
        raise


def interruptible(argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program that cancels its work when its standard input ends: it ends when this process is interrupted or
    killed. The interruption is raised after the program has ended."""
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            argv, stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
            errors="replace", env={**os.environ, **QUIET}, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        os.close(writing)
        raise no_docker(f"{argv[0]} is not installed") from None
    finally:
        os.close(reading)
    try:
        output, errors = process.communicate()
    except BaseException:
        os.close(writing)
        process.communicate()
        raise
    os.close(writing)
    return subprocess.CompletedProcess(argv, process.returncode, output, errors)


def attach(argv: list[str]) -> int:
    """Run it on this terminal; its exit status."""
    running_at.cache_clear()
    try:
        process = subprocess.Popen(argv, text=True, env={**os.environ, **QUIET})
    except FileNotFoundError:
        raise no_docker(f"{argv[0]} is not installed") from None
    with passing_on_ctrl_c(process):
        return process.wait()


def is_terminal() -> bool:
    """Whether both ends are a terminal: then an interactive program gets one too."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def no_docker(reason: str) -> OperationError:
    """The error for a machine without Docker."""
    return OperationError(
        "no Docker engine answers", "systemctl start docker (or ./scripts/up --prepare)", reason, Status.CANNOT_CONNECT
    )


def require_engine() -> None:
    """Raises OperationError when no engine answers, or when the compose files are not valid."""
    done = completed(["docker", "version", "--format", "{{.Server.Version}}"], quiet=True)
    if done.returncode:
        raise no_docker(done.stderr.strip())


@functools.cache
def config() -> dict[str, Any]:
    """The rendered compose files, every profile included."""
    done = completed(docker.compose("--profile", "*", "config", "--format", "json"), quiet=True)
    if done.returncode:
        require_engine()
        raise OperationError("the compose files are not valid", "docker compose config", done.stderr.strip())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def environment_of(service: str) -> dict[str, str]:
    """The environment that the compose files give a service."""
    return {key: str(value) for key, value in (config()["services"][service].get("environment") or {}).items()}


def require_same_deployment() -> None:
    """Raises UserError when this shell means another deployment than the one whose containers exist: a start would
    replace production's by development's, on the same volumes."""
    project = str(config()["name"])
    filters = [f"--filter=label=com.docker.compose.{key}" for key in (f"project={project}", "service=roles")]
    found = run(["docker", "ps", "--all", "--quiet", "--filter=status=exited", *filters], quiet=True).split()
    if not found:
        return
    inspected = json.loads(run(["docker", "inspect", found[0]], quiet=True))
    problem = other_deployment(inspected[0]["Config"]["Env"], environment_of("roles")["DEPLOYMENT"], project)
    if problem:
        raise problem


def other_deployment(environment: list[str], meant: str, project: str) -> UserError | None:
    """The error when a container's environment (NAME=VALUE) names another deployment than the one that is meant."""
    actual = dict(line.partition("=")[::2] for line in environment).get("DEPLOYMENT", meant)
    if actual == meant:
        return None
    what = f"the containers of this project are {actual}'s, and the settings of this shell mean {meant}"
    if actual == "development":
        return UserError(what, f"end the other stack first: docker compose -p {project} --profile '*' down")
    return UserError(
        what,
        "work in the folder whose .env sets COMPOSE_FILE, SECRETS_DIR and ALLOWED_HOSTS (docs/production.md); another "
        "stack needs another COMPOSE_PROJECT_NAME",
    )


def is_running(service: str) -> bool:
    """Whether a container of the service is running."""
    running_at.cache_clear()
    if dotenv.project():
        return service in running()
    return bool(run(docker.compose("ps", "--quiet", "--status", "running", service), quiet=True, check=False).strip())


def not_running(service: str) -> OperationError:
    """The error for a service that has to run and doesn't."""
    return OperationError(
        f"the service {service} is not running", f"{START} starts the stack; ./scripts/ops doctor tells more",
        status=Status.CANNOT_CONNECT,
    )  # fmt: skip


# ------------------------------------------------------------ which server


@functools.cache
def members() -> tuple[str, ...]:
    """The services that are members of a database cluster; none on a one-server stack."""
    services = config()["services"].items()
    return tuple(name for name, service in services if "PATRONI_NAME" in (service.get("environment") or {}))


def service_of(member: str) -> str:
    """The service on this machine that is this member of the cluster; "" when another host has it."""
    names = {config()["services"][service]["environment"]["PATRONI_NAME"]: service for service in members()}
    return names.get(member, "")


def server() -> str:
    """The service of the server that takes writes: `postgres`; in a cluster, the member that is the primary now.
    Raises UserError on a host whose server is a standby."""
    one_server = "postgres" in running() and "haproxy" not in running() and "postgres" not in members()
    if one_server or not members():
        return "postgres"
    name = primary()
    service = name if name in members() else service_of(name)
    if not service:
        raise UserError(
            f"this host's server is a standby, and the command needs the primary: {name}",
            f"on {name}: the same command (./scripts/ops cluster status works on each database host)",
        )
    return service


@functools.cache
def require_primary() -> None:
    """Raises UserError on a host of a cluster whose server is a standby. Where all members are on this machine, and
    where there is one server, nothing is asked."""
    if len(members()) == 1:
        server()


def primary() -> str:
    """The cluster's primary, as the first member says that answers. Raises OperationError when there is none."""
    for member in members():
        done = completed(docker.exec_in(member, "pgcluster", "primary"), quiet=True)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    require_engine()
    raise OperationError(
        "the database cluster has no primary", "./scripts/ops cluster status", status=Status.CANNOT_CONNECT
    )


# ------------------------------------------------------------ the programs inside the images


def client(verb: str, stdin: str | None = None, environment: dict[str, str] | None = None, **parameters: Any) -> Any:
    """A verb of pgclient (docker/ops): client tools, as roles with little power, over TLS. Its JSON result."""
    require_primary()
    return answer(docker.run_in("ops", *docker.verb(verb, parameters), environment=environment), stdin)


def pgadmin(verb: str, stdin: str | None = None, **parameters: Any) -> Any:
    """A verb of pgadmin (docker/postgres/pgadmin): the superuser's part, through the socket. Its JSON result."""
    require_primary()
    return answer(docker.run_in("roles", *docker.verb(verb, parameters), entrypoint="pgadmin"), stdin)


def pgadmin_in_server(verb: str, **parameters: Any) -> Any:
    """A verb of pgadmin that needs no secret, in the running server's container, which costs no container start."""
    return answer(docker.exec_in(server(), "pgadmin", *docker.verb(verb, parameters)))


def loader(verb: str, stdin: str | None = None, **parameters: Any) -> Any:
    """A verb of pgclient in a container without any secret: what reads a dump. Its JSON result."""
    require_primary()
    return answer(docker.run_in("loader", *docker.verb(verb, parameters)), stdin)


def pgbackup(verb: str, stdin: str | None = None, **parameters: Any) -> Any:
    """A verb of pgbackup (docker/postgres/pgbackup), beside the running server. Its JSON result."""
    require_primary()
    if is_running("backup"):
        words = ["pgbackup", *docker.verb(verb, parameters)]
        return answer(docker.exec_in("backup", *words, environment=repository()), stdin)
    return run_verb("backup", verb, stdin, **parameters)


def run_verb(service: str, verb: str, stdin: str | None = None, **parameters: Any) -> Any:
    """A verb of the program that a service's image starts, in a one-shot of that service."""
    return answer(docker.run_in(service, *docker.verb(verb, parameters), environment=repository()), stdin)


def repository() -> dict[str, str]:
    """REPOSITORY=2 before a command means the repository on the backup host."""
    return {"REPOSITORY": os.environ["REPOSITORY"]} if os.environ.get("REPOSITORY") else {}


def manage(*words: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Django's manage.py directly at the server, as the role that may migrate."""
    require_primary()
    return completed(docker.run_in("migrate", "python", "manage.py", *words), quiet=quiet)


def answer(argv: list[str], stdin: str | None = None) -> Any:
    """The JSON that a program prints; None when it prints nothing."""
    printed = run(argv, stdin)
    return json.loads(printed) if printed.strip() else None


def stream(argv: list[str], write: Callable[[IO[bytes]], None]) -> Any:
    """The JSON that a program prints whose standard input `write` fills. Raises Failed when it ends with an error."""
    with started(argv) as process:
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(BrokenPipeError):  # its error is on standard error
            write(process.stdin)
            process.stdin.close()
        printed = process.stdout.read()
        process.wait()
    if process.returncode:
        raise Failed(" ".join(argv[:6]), process.returncode)
    return json.loads(printed)


def out_of_reach(argv: list[str]) -> subprocess.Popen[str]:
    """Start it with pipes, and out of a Ctrl-C's reach: it ends when its standard input does."""
    running_at.cache_clear()
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **QUIET},
        start_new_session=True,
    )  # fmt: skip


@contextlib.contextmanager
def held(argv: list[str], limit: float | None = None) -> Iterator[str]:
    """Keep a program running while the block lasts: its first line of output is the value, the end of its standard
    input is its end. A killed orchestrator ends it too. The value is "" when no line comes within `limit` seconds.
    Raises Failed when it ends before it has printed a line."""
    process = out_of_reach(argv)
    assert process.stdin
    assert process.stdout
    try:
        in_time = select.select([process.stdout], [], [], limit)[0]
        first = process.stdout.readline() if in_time else ""
        if in_time and not first:
            raise Failed(" ".join(argv[:6]), process.wait())
        yield first.strip()
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()


class Prepared:
    """A program that has printed its first line, and waits for a line on its standard input to go on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def go(self) -> None:
        """Let it go on."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()

    def line(self, limit: float) -> str:
        """The next line that it prints; "" when none comes within `limit` seconds, or when it has ended."""
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], limit)[0]:
            return ""
        return self.process.stdout.readline().strip()


def first(*programs: Prepared) -> Prepared:
    """Of several programs, the one that prints a line, or ends, before the others."""
    ready = select.select([one.process.stdout for one in programs if one.process.stdout], [], [])[0]
    return next(one for one in programs if one.process.stdout in ready)


@contextlib.contextmanager
def prepared(argv: list[str]) -> Iterator[Prepared]:
    """Start a program and wait for its first line, so that `go()` costs no start. Without `go()` it ends with the
    block. Raises Failed when it ends before its first line."""
    process = out_of_reach(argv)
    assert process.stdin
    assert process.stdout
    try:
        if not process.stdout.readline():
            raise Failed(" ".join(argv[:6]), process.wait())
        yield Prepared(process)
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()
