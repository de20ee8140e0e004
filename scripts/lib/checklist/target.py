"""What the checks look at. They know `Target` alone, so that the same suite runs against a laptop and against a fleet.

`DockerTarget` is a compose project of this machine; `fleet.FleetTarget` is the hosts of an inventory, over SSH.
"""

import functools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import testinfra

from checklist.machines import SERVICES, Container, Machine, Port, TargetError
from checklist.relay import ADDRESS
from checklist.results import Deployment

# Where a client stands: beside the server and the pooler; where the application is; where the proxy is; on a network of
# the machine that no service of the stack is on.
Position = Literal["database", "application", "edge", "other-container"]
BESIDE: dict[Position, str] = {"database": "postgres", "application": "app", "edge": "proxy"}
NO_VANTAGE = "there is no external vantage host: name one in the inventory's group `vantage`"
LABEL = "org.flaglearning.checklist"
# Passwords that a client in this position gets; another container gets none.
PASSWORDS: dict[Position, tuple[str, ...]] = {
    "database": ("app_password", "migrator_password", "readonly_password", "ops_password", "pgbouncer_password"),
    "application": ("app_password",),
}
# Images that have a client for PostgreSQL, and who uses it there.
CLIENTS = {"postgres": 5432, "app": 8000}
FOLDERS = ("/tmp", "/tls")  # noqa: S108  (the client's own)


@dataclass(frozen=True)
class Endpoint:
    """Where clients log in: the server, or the pooler."""

    service: str
    host: str
    port: int
    container: Container | None = None
    """Of one of several poolers."""

    def __str__(self) -> str:
        return f"{self.container}" if self.container else f"{self.service}:{self.port}"


class Target:
    """A deployed stack: machines, and the containers of its services on them."""

    hosts: tuple[Machine, ...] = ()
    """Its hosts, examined as root; none where the target is a compose project of this machine."""
    vantage: Machine | None = None
    """An external vantage host: a machine outside the deployment, to connect from."""
    members: tuple[Container, ...] = ()
    """The servers of a database cluster; then the service `postgres` is the one that is the primary."""
    between: Container | None = None
    """In a cluster on one machine: HAProxy, from which the pooler's connections reach the server."""

    prometheus: Container | None = None
    """Where monitoring is on."""

    def __init__(self, name: str, services: list[Container], asked: set[str]) -> None:
        self.name = name  # as it was asked for
        self.asked = asked
        self.services = services
        self._clients: dict[tuple[Position, str], Container] = {}
        self._tell_apart()
        environment = self.host("app").environment
        self.deployment = deployment_of(environment.get("DEPLOYMENT", "production"))
        url = urlsplit(environment.get("DATABASE_URL", ""))
        self.database, self.app_role = url.path.lstrip("/"), url.username or ""

    def _tell_apart(self) -> None:
        """Where several machines run a service, its label names the machine."""
        for service in self.services:
            if len(self.each(service.service)) > 1:
                service.label = f"{service.service} on {service.machine}"

    @property
    def development(self) -> bool:
        return self.deployment == "development"

    # ------------------------------------------------------------ its parts

    def each(self, service: str) -> list[Container]:
        """The service's containers, one a machine that runs it."""
        return [container for container in self.services if container.service == service]

    def host(self, service: str) -> Container:
        """The service's container; where several machines run it, the first one's."""
        return self.each(service)[0]

    @functools.cached_property
    def machines(self) -> list[Machine]:
        """Those that run a service."""
        return list(dict.fromkeys(service.machine for service in self.services))

    def on(self, machine: Machine) -> list[Container]:
        """What the machine runs."""
        return [service for service in self.services if service.machine is machine]

    @property
    def relayed(self) -> bool:
        """Whether a client beside the server has to be led to the poolers, as some are on other hosts."""
        return False

    def addresses_of(self, pooler: Endpoint) -> list[str]:
        """Where the server sees a pooler's connections come from."""
        return (self.between or self.host(pooler.service)).addresses

    @property
    def pooler_addresses(self) -> list[str]:
        """The same, of all poolers."""
        return [address for pooler in self.poolers for address in self.addresses_of(pooler)]

    def endpoint(self, service: str) -> Endpoint:
        """How a client of the stack's networks reaches `postgres` or `pgbouncer`."""
        return Endpoint(service, service, {"postgres": 5432, "pgbouncer": 6432}[service])

    @functools.cached_property
    def poolers(self) -> list[Endpoint]:
        """How a client beside the server reaches each pooler."""
        return [self.endpoint("pgbouncer")]

    @property
    def endpoints(self) -> list[Endpoint]:
        """How a client beside the server reaches it, and each pooler."""
        return [self.endpoint("postgres"), *self.poolers]

    def role_of(self, password: str) -> tuple[str, str]:
        """The role that logs in with a secret, and a database that it may open."""
        key = password.removesuffix("_password")
        if key == "pgbouncer":
            return "pgbouncer", "postgres"
        return self.app_role if key == "app" else f"flaglearning_{key}", self.database

    def published(self, machine: Machine | None = None) -> list[Port]:
        """What its machines, or one of them, publish for it."""
        return [port for service in self.services if machine in (None, service.machine) for port in service.published]

    def secret_files(self, machine: Machine) -> dict[str, str]:
        """Secret → its file on the machine: those that containers have, and what else is in the same folders."""
        mounted = {name: file for service in self.on(machine) for name, file in service.secret_files.items()}
        folders = sorted({file.rpartition("/")[0] for file in mounted.values()} | self._secrets_folders(machine))
        look = "find" + " %s" * len(folders) + " -maxdepth 1 -type f ! -name '*.*'"
        # Where this machine's user may not look, the containers' own have to do.
        beside = machine.run(look, *folders).stdout.split() if folders else []
        return {file.rpartition("/")[2]: file for file in beside} | mounted

    def _secrets_folders(self, machine: Machine) -> set[str]:
        """Of a host: the folder that .env names. No service of a cluster's member has the roles' passwords."""
        files = {service.project_files[-1] for service in self.on(machine)} if self.hosts else set()
        return {machine.run("sed -n s/^SECRETS_DIR=//p %s", file).stdout.strip() for file in files} - {""}

    # ------------------------------------------------------------ clients

    def client(self, position: Position, beside: Container | None = None) -> Container:
        """A container with a client for PostgreSQL, standing there. It has /tls/ca.crt, the passwords that belong there
        in /run/secrets, and lasts as long as the target is open."""
        near = beside or self.host(BESIDE.get(position, "postgres"))
        key = (position, near.machine.name)
        if key not in self._clients:
            self._clients[key] = self._start_client(position, near)
        return self._clients[key]

    def _start_client(self, position: Position, near: Container) -> Container:
        machine = near.machine
        names = list(near.facts["HostConfig"]["ExtraHosts"] or ())
        if position == "database" and self.relayed:
            names.append(f"pgbouncer:{ADDRESS}")  # FleetTarget leads it to the poolers
        # In the order of SERVICES: PostgreSQL's own image is the better client, the app knows the CA as a client does.
        clients = [service for service in self.on(machine) if service.service in CLIENTS]
        image, trusted = clients[0], clients[-1]
        user = CLIENTS[image.service]
        id = machine.docker(
            *("run", "--detach", "--rm", "--label", f"{LABEL}={self.name}"),
            *("--name", f"checklist-{position}-{uuid.uuid4().hex[:6]}"),
            *("--network", "bridge" if position == "other-container" else near.network),
            *(word for name in names for word in ("--add-host", name)),
            *("--user", f"{user}:{user}", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *(word for folder in FOLDERS for word in ("--tmpfs", f"{folder}:uid={user},gid={user},mode=0700")),
            *(word for mount in self._mounts(position, machine) for word in ("--mount", mount)),
            # it ends by itself, should this process be killed
            *("--entrypoint", "sleep", image.facts["Image"], "900"),
        ).strip()
        client = Container(machine, {"Id": id, "Config": {"Labels": {}}}, f"a client beside {near}")
        client.run("printf %s %s >/tls/ca.crt", "%s", trusted.run("cat /tls/ca.crt").stdout)
        return client

    def _mounts(self, position: Position, machine: Machine) -> Iterator[str]:
        wanted = PASSWORDS.get(position, ())
        files = self.secret_files(machine) if wanted else {}
        for name in wanted:
            yield f"type=bind,readonly,source={files[name]},target=/run/secrets/{name}"

    def close(self) -> None:
        """Remove what `client` made."""
        for machine in {client.machine for client in self._clients.values()}:
            mine = [client.facts["Id"] for client in self._clients.values() if client.machine is machine]
            machine.docker("rm", "--force", *mine)
        self._clients.clear()


class DockerTarget(Target):
    """A compose project of this machine: `docker://PROJECT`."""

    def __init__(self, project: str) -> None:
        self.project = project
        asked: set[str] = set()
        machine = Machine("", testinfra.get_host("local://"), asked)
        containers = machine.containers(project)
        if not containers:
            raise self._missing(machine)
        self.members = tuple(one for name, one in sorted(containers.items()) if "PATRONI_NAME" in one.environment)
        if self.members:
            containers["postgres"], self.between = self._primary(containers), containers.get("haproxy")
        if down := [name for name in SERVICES if name not in containers or not containers[name].running]:
            raise TargetError(
                f"the project '{project}' is not running; stopped: {', '.join(down)}",
                f"docker compose --project-name {project} up --wait",
            )
        self.prometheus = found if (found := containers.get("prometheus")) and found.running else None
        super().__init__(f"docker://{project}", [containers[name] for name in SERVICES], asked)

    def _primary(self, containers: dict[str, Container]) -> Container:
        """The primary, as the service `postgres`. Clients beside it are on the network where HAProxy has its name."""
        for member in self.members:
            done = member.run("pgcluster primary") if member.running else None
            if done and done.rc == 0 and (found := containers.get(done.stdout.strip())):
                return Container(found.machine, found.facts, str(found), "postgres", f"{self.project}_database")
        raise TargetError("the database cluster has no primary", "./scripts/ops cluster status")

    def _missing(self, machine: Machine) -> TargetError:
        others = machine.docker("ps", "--all", "--format", '{{.Label "com.docker.compose.project"}}').split()
        known = f"running: {', '.join(sorted(set(others)))}" if others else "none is running"
        return TargetError(
            f"no compose project '{self.project}' on this machine ({known})",
            f"start it: docker compose --project-name {self.project} up --wait; name another: --target docker://PROJECT;"
            " hosts: -i INVENTORY",
        )


def deployment_of(value: str) -> Deployment:
    if value == "development":
        return "development"
    if value == "production":
        return "production"
    raise TargetError(
        f"the app's DEPLOYMENT is '{value}'", "set DEPLOYMENT to development or production, and start the stack again"
    )


def open_target(url: str) -> Target:
    """The target that a URL names. Raises TargetError."""
    scheme, _, name = url.partition("://")
    if scheme != "docker" or not name or "/" in name:
        raise TargetError(
            f"the target '{url}' is not a target",
            "--target docker://COMPOSE_PROJECT, or -i INVENTORY for hosts",
        )
    return DockerTarget(name)
