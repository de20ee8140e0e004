"""A compose project as an object.

stack = Stack("flaglearning-test", DEVELOPMENT, port=21000)
stack.up()
stack.exec("postgres", "psql", "--version")
stack.down()
"""

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

from testing.shell import ROOT, Failed, run

DEVELOPMENT = ("docker-compose.yml", "docker-compose.override.yml")
PRODUCTION = ("docker-compose.yml", "docker/compose/production.yml")
MONITORING = (*DEVELOPMENT, "docker/compose/monitoring.yml")
PRODUCTION_MONITORING = (*PRODUCTION, "docker/compose/monitoring.yml", "docker/compose/monitoring-production.yml")
TEST = ("docker-compose.yml", "docker-compose.override.yml", "tests/docker-compose.test.yml")
PORTS = ("PROXY_HTTP_PORT", "PROXY_HTTPS_PORT", "POSTGRES_PORT", "PGBOUNCER_PORT")
# Reports and logs of a run; git ignores it.
ARTIFACTS = ROOT / "artifacts"
# Compose 2.26 prints it before each line of a log, --no-color or not.
ERASE_LINE = "\x1b[2K"
# Two checkouts can test side by side, each in a slot of its own (TEST_SLOT=1 … 9): with its projects, images and ports.
SLOT = os.environ.get("TEST_SLOT", "")
PROJECT = f"flaglearning-test{SLOT}"
# The images of a test run: a developer's own keep their tag.
TAG = f"test{SLOT}"
RENDERED: dict[tuple[object, ...], str] = {}  # Stack.config


@functools.cache
def variables_of(*files: str) -> dict[str, str]:
    """The variables that compose files use, each with its default."""
    found: dict[str, str] = {}
    for file in files:
        text = re.sub(r"^\s*#.*$", "", (ROOT / file).read_text(), flags=re.MULTILINE)
        # a default may itself be a variable with a default; the innermost is what a machine without any of them gets
        for name, default in re.findall(r"(?=\$\{(\w+):?[-?]?((?:[^${}]|\$\{[^}]*\})*)\})", text):
            found[name] = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", default)
    return found


class Stack:
    """One compose project with its own name and ports, apart from a developer's own stack."""

    def __init__(self, project: str, files: tuple[str, ...] = DEVELOPMENT, port: int = 21000, **variables: str) -> None:
        self.project = project
        self.files = files
        first = port + 200 * int(SLOT or 0)
        own = {name: str(first + offset) for offset, name in enumerate(PORTS)}
        self.variables = {"TAG": TAG, **own, **variables}

    # ------------------------------------------------------------ the docker command line

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """This process's environment without the variables of the compose files that a developer exported."""
        theirs = variables_of(*self.files)
        kept = {name: value for name, value in os.environ.items() if name not in theirs}
        for given in ("BUILD_CA_BUNDLE", "CI", "PIP_CERT"):  # the machine's
            if given in os.environ:
                kept[given] = os.environ[given]
        return {
            **kept,
            "COMPOSE_PROFILES": "",
            **self.variables,
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": os.pathsep.join(self.files),
            "COMPOSE_ENV_FILES": os.devnull,
            "COMPOSE_PROGRESS": "quiet",
        }

    def command(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 300) -> Any:
        """Run any command with this stack's environment: `docker compose` in it means this stack."""
        # `env -i` semantics: variables that a developer exported must not come back through os.environ.
        assignments = [f"{name}={value}" for name, value in self.environment.items()]
        return run("env", "-i", *assignments, *arguments, stdin=stdin, check=check, timeout=timeout)

    def compose(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 300) -> str:
        """`docker compose …` of this stack; its standard output."""
        done = self.command("docker", "compose", *arguments, stdin=stdin, check=False, timeout=timeout)
        if check and done.returncode:
            raise Failed(
                ("docker", "compose", "-p", self.project, *arguments), done.returncode, done.stdout + done.stderr
            )
        return str(done.stdout)

    # ------------------------------------------------------------ life

    def build(self, *services: str) -> None:
        """Build the images of these services, or all."""
        self.compose("build", *services, timeout=1800)

    def up(self, *services: str) -> None:
        """Start, and wait until healthy. On failure the exception has the logs of the unhealthy services."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "180", *services, timeout=240)
        except Failed as failure:
            raise Failed(
                ("docker", "compose", "up"), failure.status, failure.output + self.logs_of_unhealthy()
            ) from None

    def down(self) -> None:
        """Remove containers, networks and volumes, if there are any."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "3")
        self.__dict__.pop("ca", None)  # the next stack makes another

    def remove(self) -> None:
        """Remove everything with the project's label at once, also what a killed run left."""
        label = f"label=com.docker.compose.project={self.project}"
        for listing, removing in (
            (("ps", "--all"), ("rm", "--force", "--volumes")),
            (("network", "ls"), ("network", "rm")),
            (("volume", "ls"), ("volume", "rm", "--force")),
        ):
            if found := run("docker", *listing, "--quiet", "--filter", label).stdout.split():
                run("docker", *removing, *found, check=False)
        # containers of single tests, which aren't the project's
        if strays := run(
            "docker", "ps", "--all", "--quiet", "--filter", f"label=flaglearning-test={self.project}"
        ).stdout.split():
            run("docker", "rm", "--force", "--volumes", *strays, check=False)
        self.__dict__.pop("ca", None)

    def all_healthy(self) -> bool:
        """Whether every service with a health check is healthy."""
        rows = [json.loads(line) for line in self.compose("ps", "--format", "json").splitlines()]
        healthy = {row["Service"] for row in rows if row["Health"] == "healthy"}
        services = self.config["services"].items()  # those of a profile run only when it is asked for
        return healthy == {name for name, one in services if "healthcheck" in one and not one.get("profiles")}

    def restart(self, *services: str) -> None:
        self.compose("restart", *services)

    def stop(self, service: str) -> None:
        self.compose("stop", service)

    def start(self, service: str) -> None:
        self.compose("start", service)

    # ------------------------------------------------------------ looking

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The rendered compose file. Stacks with the same files and variables share it."""
        changed = [(ROOT / file).stat().st_mtime_ns for file in self.files]
        key = (self.project, *self.files, *changed, *self.variables.items())
        if key not in RENDERED:
            RENDERED[key] = self.compose("--profile", "*", "config", "--format", "json")
        config: dict[str, Any] = json.loads(RENDERED[key])
        return config

    def container(self, service: str) -> str:
        """The id of the service's container, running or not."""
        return self._listed("{{.ID}}", f"service={service}").strip()

    def containers(self) -> dict[str, str]:
        """Service → container id, of all."""
        lines = self._listed('{{.Label "com.docker.compose.service"}} {{.ID}}').splitlines()
        return dict(line.split() for line in lines)

    def _listed(self, format: str, *labels: str) -> str:
        """The project's containers, one-shots of `run` left out. `docker compose ps` reads all its files first."""
        wanted = (f"project={self.project}", "oneoff=False", *labels)
        filters = [f"--filter=label=com.docker.compose.{label}" for label in wanted]
        return str(run("docker", "ps", "--all", "--no-trunc", *filters, "--format", format).stdout)

    def inspect(self, service: str) -> dict[str, Any]:
        """`docker inspect` of the service's container."""
        inspected: dict[str, Any] = json.loads(run("docker", "inspect", self.container(service)).stdout)[0]
        return inspected

    def exec(
        self,
        service: str,
        *command: str,
        stdin: str | None = None,
        check: bool = True,
        user: str = "",
        timeout: float = 300,
    ) -> str:
        """Run a command in the service's container; what it prints, on both streams."""
        who = ("--user", user) if user else ()
        # `docker compose exec` reads all its files first; the container's name is known without them.
        container = f"{self.project}-{service}-1"
        words = ("docker", "exec", "--interactive", *who)
        done = run(*words, container, *command, stdin=stdin, check=False, timeout=timeout)
        if done.returncode and "No such container" in done.stderr:  # made anew under another number
            container = self.inspect(service)["Id"]
            done = run(*words, container, *command, stdin=stdin, check=False, timeout=timeout)
        if check and done.returncode:
            raise Failed(("exec", service, *command), done.returncode, done.stdout + done.stderr)
        return str(done.stdout + done.stderr)

    def logs(self, *services: str, tail: str = "all", since: str = "") -> str:
        recent = ("--since", since) if since else ()
        text = self.compose("logs", "--no-color", "--tail", tail, *recent, *services)
        return text.replace(ERASE_LINE, "")

    def logs_of_unhealthy(self) -> str:
        """The last log lines of every service that is unhealthy or exited with an error; of all if none."""
        rows = [json.loads(line) for line in self.compose("ps", "--all", "--format", "json", check=False).splitlines()]
        unhealthy = [row["Service"] for row in rows if row["ExitCode"] or row["Health"] not in ("", "healthy")]
        return "\n".join(
            f"--- {name}\n{self.logs(name, tail='15')}" for name in unhealthy or [row["Service"] for row in rows]
        )

    # ------------------------------------------------------------ what a client needs

    def port(self, service: str, port: int) -> int:
        """The port on this machine's loopback that leads to the service's own."""
        published = {entry["target"]: entry["published"] for entry in self.config["services"][service]["ports"]}
        return int(published[port])

    def secret(self, name: str) -> str:
        """A secret as the services get it."""
        return Path(self.config["secrets"][name]["file"]).read_text().rstrip("\n")

    def role(self, short: str) -> str:
        """The server's name of a role: `app` depends on the deployment."""
        if short == "app":
            return str(self.config["services"]["roles"]["environment"]["APP_ROLE"])
        return short if short in ("postgres", "pgbouncer") else f"flaglearning_{short}"

    @property
    def database(self) -> str:
        return str(self.config["services"]["roles"]["environment"]["APP_DATABASE"])

    @functools.cached_property
    def ca(self) -> str:
        """A file with the CA that signed this stack's certificates."""
        file = ARTIFACTS / self.project / "ca.crt"
        file.parent.mkdir(parents=True, exist_ok=True)
        self.compose("cp", "certificates:/tls/client/ca.crt", str(file))
        return str(file)


def build_images(*options: str) -> None:
    """The images of a test run. Compose's labels name the project: always this one, so that they are built once."""
    Stack(PROJECT, TEST).compose("--profile", "ops", *options, "build", timeout=1800)
