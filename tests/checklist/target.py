"""What the checks look at. They know `Target` alone, so that the same suite runs against a laptop and against a fleet.

`DockerTarget` is a compose project of this machine. It reaches Docker only through a testinfra host (`machine`), which
for a production host will be one over SSH.
"""

import abc
import functools
import json
import uuid
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import testinfra

from checklist.results import Deployment

# Where a client stands: beside the server and the pooler; where the application is; where the proxy is; on a network of
# this machine that has nothing to do with the stack.
Position = Literal["database", "application", "edge", "neighbour"]
SERVICES = ("postgres", "pgbouncer", "app", "proxy")
LABEL = "org.flaglearning.checklist"
# Passwords that belong to a position: a neighbour knows none.
PASSWORDS: dict[Position, tuple[str, ...]] = {
    "database": ("app_password", "migrator_password", "readonly_password", "ops_password", "pgbouncer_password"),
    "application": ("app_password",),
}


class TargetError(Exception):
    """The target can't be looked at: what, and the next command."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"ERROR: {what}\nHINT:  {hint}")


class Port(NamedTuple):
    """A port of a service that the machine publishes."""

    service: str
    address: str
    port: int
    container_port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port} → {self.service}:{self.container_port}"

    @property
    def on_loopback(self) -> bool:
        return self.address.startswith("127.") or self.address == "::1"


@dataclass(frozen=True)
class Door:
    """Where clients log in: the server itself, or the pooler."""

    service: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.service}:{self.port}"


class Target(abc.ABC):
    """A deployed stack."""

    name: str
    """As it was asked for."""
    deployment: Deployment
    """What the application that runs there says it is."""
    database: str
    app_role: str

    @abc.abstractmethod
    def host(self, service: str) -> Any:
        """A testinfra host inside the service."""

    @abc.abstractmethod
    def machine(self, service: str) -> Any:
        """A testinfra host for the machine that the service runs on."""

    @abc.abstractmethod
    def client(self, position: Position) -> Any:
        """A testinfra host with the server's own client tools, standing there. It has /tls/ca.crt, the passwords that
        belong there in /run/secrets, and lasts as long as the target is open."""

    @abc.abstractmethod
    def door(self, service: str) -> Door:
        """How a client beside the server reaches `postgres` or `pgbouncer`."""

    @abc.abstractmethod
    def addresses(self, service: str) -> list[str]:
        """The IP addresses that the service has of its own."""

    @abc.abstractmethod
    def gateways(self) -> list[str]:
        """Addresses of the machine that a neighbour could try."""

    @abc.abstractmethod
    def published(self) -> list[Port]:
        """What the machine publishes for the stack."""

    @abc.abstractmethod
    def environment(self, service: str) -> dict[str, str]:
        """The service's environment as its operator set it."""

    @abc.abstractmethod
    def secret_files(self) -> dict[str, str]:
        """Secret → its file on the machine."""

    @abc.abstractmethod
    def health(self, service: str) -> str:
        """What the service's own health check says."""

    @abc.abstractmethod
    def log(self, service: str, seconds: int) -> str:
        """What the service logged in the last seconds."""

    @abc.abstractmethod
    def close(self) -> None:
        """Remove what `client` made."""

    @property
    def development(self) -> bool:
        return self.deployment == "development"


class DockerTarget(Target):
    """A compose project: `docker://PROJECT`."""

    def __init__(self, project: str) -> None:
        self.name = f"docker://{project}"
        self.project = project
        self._machine = testinfra.get_host("local://")
        self._containers = self._inspect_project()
        self._refuse_what_does_not_run()
        environment = self.environment("app")
        self.deployment = self._deployment(environment.get("DEPLOYMENT", "production"))
        url = urlsplit(environment.get("DATABASE_URL", ""))
        self.database, self.app_role = url.path.lstrip("/"), url.username or ""
        self._clients: dict[Position, str] = {}

    # ------------------------------------------------------------ the project

    def _docker(self, *arguments: str) -> str:
        done = self._machine.run("docker" + " %s" * len(arguments), *arguments)
        if done.rc:
            raise TargetError(
                f"docker {arguments[0]} failed: {done.stderr.strip()[-500:]}", "docker version; ./scripts/up"
            )
        return str(done.stdout)

    def _inspect_project(self) -> dict[str, dict[str, Any]]:
        of_project = f"label=com.docker.compose.project={self.project}"
        if not (ids := self._docker("ps", "--all", "--quiet", "--filter", of_project).split()):
            others = self._docker("ps", "--all", "--format", '{{.Label "com.docker.compose.project"}}').split()
            known = f"there are {', '.join(sorted(set(others)))}" if others else "there is none"
            raise TargetError(
                f"no compose project '{self.project}' on this machine ({known}).",
                f"start it: docker compose --project-name {self.project} up --wait; or name another: --target docker://PROJECT",
            )
        found = {}
        for container in json.loads(self._docker("inspect", *ids)):
            labels = container["Config"]["Labels"]
            if labels.get("com.docker.compose.oneoff") != "True":
                found[labels["com.docker.compose.service"]] = container
        return found

    def _refuse_what_does_not_run(self) -> None:
        down = [name for name in SERVICES if not self._containers.get(name, {}).get("State", {}).get("Running")]
        if down:
            raise TargetError(
                f"the project '{self.project}' is not running; down: {', '.join(down)}.",
                f"docker compose --project-name {self.project} up --wait",
            )

    def _deployment(self, said: str) -> Deployment:
        if said == "development":
            return "development"
        if said == "production":
            return "production"
        raise TargetError(
            f"the app says DEPLOYMENT={said}.", "set it to development or production, and start the stack again"
        )

    # ------------------------------------------------------------ its parts

    def host(self, service: str) -> Any:
        return testinfra.get_host(f"docker://{self._containers[service]['Id']}")

    def machine(self, service: str) -> Any:
        return self._machine

    def door(self, service: str) -> Door:
        return Door(service, service, {"postgres": 5432, "pgbouncer": 6432}[service])

    def addresses(self, service: str) -> list[str]:
        networks = self._containers[service]["NetworkSettings"]["Networks"].values()
        return [
            address
            for network in networks
            for address in (network["IPAddress"], network["GlobalIPv6Address"])
            if address
        ]

    def gateways(self) -> list[str]:
        return [str(self._bridge["Gateway"])]

    @functools.cached_property
    def _bridge(self) -> dict[str, Any]:
        network: dict[str, Any] = json.loads(self._docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
        return network

    def published(self) -> list[Port]:
        return sorted(
            Port(service, binding["HostIp"], int(binding["HostPort"]), int(inside.partition("/")[0]))
            for service, container in self._containers.items()
            for inside, bindings in container["NetworkSettings"]["Ports"].items()
            for binding in bindings or ()
        )

    def environment(self, service: str) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self._containers[service]["Config"]["Env"])

    def secret_files(self) -> dict[str, str]:
        return {
            mount["Destination"].removeprefix("/run/secrets/"): mount["Source"]
            for container in self._containers.values()
            for mount in container["Mounts"]
            if mount["Destination"].startswith("/run/secrets/")
        }

    def health(self, service: str) -> str:
        format = "{{.State.Status}}{{with .State.Health}}, {{.Status}}{{end}}"
        return self._docker("inspect", "--format", format, self._containers[service]["Id"]).strip()

    def log(self, service: str, seconds: int) -> str:
        done = self._machine.run("docker logs --since %s %s", f"{seconds}s", self._containers[service]["Id"])
        return str(done.stdout + done.stderr)

    # ------------------------------------------------------------ clients

    def client(self, position: Position) -> Any:
        if position not in self._clients:
            self._clients[position] = self._start_client(position)
        return testinfra.get_host(f"docker://{self._clients[position]}")

    def _start_client(self, position: Position) -> str:
        files = self.secret_files()
        secrets = PASSWORDS.get(position, ())
        mounts = [f"type=bind,readonly,source={files[name]},target=/run/secrets/{name}" for name in secrets]
        mounts.append(self._mount_of_ca())
        return self._docker(
            "run",
            "--detach",
            "--rm",
            "--label",
            f"{LABEL}={self.project}",
            "--name",
            f"{self.project}-checklist-{position}-{uuid.uuid4().hex[:6]}",
            "--network",
            self._network(position),
            "--user",
            "5432:5432",
            "--read-only",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--tmpfs",
            "/tmp:uid=5432,gid=5432,mode=0700",  # noqa: S108  (the container's own)
            *(word for mount in mounts for word in ("--mount", mount)),
            # it leaves by itself, should this process be killed
            "--entrypoint",
            "sleep",
            self._containers["postgres"]["Image"],
            "600",
        ).strip()

    def _network(self, position: Position) -> str:
        if position == "neighbour":
            return "bridge"
        service: str = {"database": "postgres", "application": "app", "edge": "proxy"}[position]
        return str(next(iter(self._containers[service]["NetworkSettings"]["Networks"])))

    def _mount_of_ca(self) -> str:
        mount = next(mount for mount in self._containers["app"]["Mounts"] if mount["Destination"] == "/tls")
        source = mount["Name"] if mount["Type"] == "volume" else mount["Source"]
        return f"type={mount['Type']},readonly,source={source},target=/tls"

    def close(self) -> None:
        if self._clients:
            self._docker("rm", "--force", *self._clients.values())


def open_target(url: str) -> Target:
    """The target that a URL names. Raises TargetError with a sentence and the next command."""
    scheme, _, name = url.partition("://")
    if scheme != "docker" or not name or "/" in name:
        raise TargetError(
            f"the target '{url}' is not one that the checklist knows.", "--target docker://COMPOSE_PROJECT"
        )
    return DockerTarget(name)
