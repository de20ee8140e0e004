"""Machines, the containers that they run, and the clients that the checklist puts beside these.

Everything goes through a testinfra host (`shell`): this machine's own, or one over SSH. So one suite does for both.
"""

import functools
import json
import shlex
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

SERVICES = ("postgres", "pgbouncer", "app", "proxy")
SECRETS = "/run/secrets/"


class TargetError(Exception):
    """The target can't be examined: the reason, and the next command."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"ERROR: {what}\nHINT:  {hint}")


class Port(NamedTuple):
    """A port of a service that a machine publishes."""

    service: str
    address: str
    port: int
    container_port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port} → {self.service}:{self.container_port}"

    @property
    def on_loopback(self) -> bool:
        return self.address.startswith("127.") or self.address == "::1"


class Machine:
    """A machine. `asked` collects the names of those that ran a command, for the evidence."""

    def __init__(
        self, name: str, shell: Any, asked: set[str], groups: Iterable[str] = (), address: str = "", port: int = 22
    ) -> None:
        self.name, self.shell, self.asked = name, shell, asked
        self.ssh: list[str] = []
        """The command line of ssh to it; none for this machine."""
        # Where its sshd is.
        self.groups, self.address, self.port = tuple(groups), address, port

    def run(self, command: str, *arguments: str) -> Any:
        """As testinfra's own: `%s` is filled in with what is quoted. As root, where it is over SSH."""
        self.asked.add(self.name)
        try:
            return self.shell.run(command, *arguments)
        except RuntimeError as error:  # testinfra's, when ssh itself failed
            lines = getattr(error.args[0], "stderr", str(error)).strip().splitlines() or [
                "ssh failed without a message"
            ]
            raise TargetError(
                f"{self.name} can't be reached at {self.address}: {lines[-1]}",
                "`ansible all -m ping` with this inventory; the provider's console of the host",
            ) from None

    def docker(self, *arguments: str) -> str:
        done = self.run("docker" + " %s" * len(arguments), *arguments)
        if done.rc:
            here = f" on {self.name}" if self.name else ""
            hint = f"ansible-playbook playbooks/site.yml prepares {self.name}" if self.name else "./scripts/up"
            raise TargetError(f"docker {arguments[0]} failed{here}: {done.stderr.strip()[-500:]}", hint)
        return str(done.stdout)

    def containers(self, project: str) -> dict[str, "Container"]:
        """Service → its container, of a compose project; stopped ones too."""
        ids = self.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}").split()
        found = [Container(self, facts) for facts in json.loads(self.docker("inspect", *ids))] if ids else []
        return {container.service: container for container in found if not container.one_off}

    @functools.cached_property
    def gateway(self) -> str:
        """The machine's address on Docker's own network, where another container could connect."""
        return str(json.loads(self.docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"])

    @functools.cached_property
    def public_addresses(self) -> list[str]:
        """The host's own addresses, IPv4 and IPv6, on the interfaces that lead outside."""
        done = self.run(
            "ip -json route show default; ip -json -6 route show default; ip -json address show scope global"
        )
        routes4, routes6, links = (json.loads(line or "[]") for line in done.stdout.splitlines())
        outside = {route["dev"] for route in (*routes4, *routes6)}
        # ip lists what it filtered out as empty objects
        here = [address for link in links if link.get("ifname") in outside for address in link["addr_info"]]
        return [address["local"] for address in here if "local" in address]

    def __str__(self) -> str:
        return self.name


class Container:
    """A container of a machine. Commands run in it as its own user does."""

    def __init__(
        self, machine: Machine, facts: dict[str, Any], label: str = "", service: str = "", network: str = ""
    ) -> None:
        self.machine, self.facts = machine, facts
        self.service = service or str(facts["Config"]["Labels"].get("com.docker.compose.service", ""))
        self.label = label or self.service
        self._network = network

    def run(self, command: str, *arguments: str) -> Any:
        inside = command % tuple(map(shlex.quote, arguments)) if arguments else command
        return self.machine.run("docker exec %s /bin/sh -c %s", self.facts["Id"], inside)

    @property
    def one_off(self) -> bool:
        return bool(self.facts["Config"]["Labels"].get("com.docker.compose.oneoff") == "True")

    @property
    def running(self) -> bool:
        return bool(self.facts["State"]["Running"])

    @property
    def addresses(self) -> list[str]:
        """Its own IP addresses."""
        networks = self.facts["NetworkSettings"]["Networks"].values()
        return [a for network in networks for a in (network["IPAddress"], network["GlobalIPv6Address"]) if a]

    @property
    def network(self) -> str:
        return self._network or str(next(iter(self.facts["NetworkSettings"]["Networks"])))

    @property
    def published(self) -> list[Port]:
        """The ports that the machine publishes for it."""
        return sorted(
            Port(self.service, binding["HostIp"], int(binding["HostPort"]), int(inside.partition("/")[0]))
            for inside, bindings in self.facts["NetworkSettings"]["Ports"].items()
            for binding in bindings or ()
        )

    @property
    def environment(self) -> dict[str, str]:
        """Its environment as compose set it."""
        return dict(entry.split("=", 1) for entry in self.facts["Config"]["Env"])

    @property
    def member(self) -> str:
        """Of a server of a cluster: its name there."""
        return self.environment["PATRONI_NAME"]

    @property
    def secret_files(self) -> dict[str, str]:
        """Secret → its file on the machine."""
        mounts = {mount["Destination"]: mount["Source"] for mount in self.facts["Mounts"]}
        return {to.removeprefix(SECRETS): source for to, source in mounts.items() if to.startswith(SECRETS)}

    @property
    def project_files(self) -> list[str]:
        """The files that compose read: its own, and the .env beside them."""
        labels = self.facts["Config"]["Labels"]
        folder = PurePosixPath(labels["com.docker.compose.project.working_dir"])
        return [*labels["com.docker.compose.project.config_files"].split(","), str(folder / ".env")]

    def in_folder(self, variable: str, volume: str, *command: str) -> str:
        """What a command prints that reads /v as uid 9000: the folder that a variable of .env names, or else the
        project's volume; nothing when there is no such volume."""
        labels = self.facts["Config"]["Labels"]
        found = self.machine.run("grep -s %s %s", f"^{variable}=", self.project_files[-1]).stdout.strip()
        named = found.partition("=")[2]
        source = named or f"{labels['com.docker.compose.project']}_{volume}"
        if not named and self.machine.run("docker volume inspect %s", source).rc:
            return ""
        container = ("run", "--rm", "--network", "none", "--user", "9000:9000", "--volume", f"{source}:/v:ro")
        return self.machine.docker(*container, "--entrypoint", command[0], self.facts["Image"], *command[1:])

    def health(self) -> str:
        """Its state, and that of its health check."""
        format = "{{.State.Status}}{{with .State.Health}}, {{.Status}}{{end}}"
        return self.machine.docker("inspect", "--format", format, self.facts["Id"]).strip()

    def log(self, seconds: int) -> str:
        """What it logged in the last seconds."""
        done = self.machine.run("docker logs --since %s %s", f"{seconds}s", self.facts["Id"])
        return str(done.stdout + done.stderr)

    def __str__(self) -> str:
        return self.label
