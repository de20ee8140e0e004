"""The hosts of an Ansible inventory as a target, over SSH: what `./scripts/checklist -i INVENTORY` looks at.

Hosts, users, ssh's options and groups are what ansible-playbook would use. It needs keys, and sudo without a password.
"""

import configparser
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import testinfra
import yaml

from checklist.machines import Container, Machine, TargetError
from checklist.relay import FIRST_PORT, Relay
from checklist.target import Endpoint, Position, Target

ANSIBLE = Path(__file__).resolve().parents[3] / "ansible"
TOOLS = Path(sys.executable).parent
MONITORING = "flaglearning-monitoring"  # COMPOSE_PROJECT_NAME in ansible/roles/monitoring/templates/env.j2
PROJECT = "flaglearning"  # COMPOSE_PROJECT_NAME in ansible/roles/stack/templates/env.j2
# What a host runs follows from its groups; `backup` runs no service that the checks look for.
SERVICES_OF = {"database": ("postgres",), "application": ("pgbouncer", "app", "proxy"), "backup": (), "monitoring": ()}
VANTAGE = "vantage"


@dataclass(frozen=True)
class Host:
    """A host as the inventory describes it."""

    name: str
    groups: tuple[str, ...]
    variables: dict[str, Any]

    @property
    def address(self) -> str:
        return str(self.variables.get("ansible_host", self.name))

    @property
    def port(self) -> int:
        return int(self.variables.get("ansible_port", 22))

    def machine(self, sockets: Path, asked: set[str]) -> Machine:
        """On which commands run as root. One connection serves them all."""
        options = [ssh_options(), f"-o BatchMode=yes -o ControlPath={sockets}/%C"]
        options += [str(self.variables.get(f"ansible_ssh_{kind}_args", "")) for kind in ("common", "extra")]
        user = f"{self.variables['ansible_user']}@" if "ansible_user" in self.variables else ""
        address = f"[{self.address}]" if ":" in self.address else self.address
        # Not where it isn't set: ssh's own configuration may name one.
        port = f":{self.port}" if "ansible_port" in self.variables else ""
        key = self.variables.get("ansible_ssh_private_key_file", self.variables.get("ansible_private_key_file"))
        extra = " ".join(option for option in options if option)
        shell = testinfra.get_host(
            f"ssh://{user}{address}{port}", sudo=True, ssh_extra_args=extra, ssh_identity_file=key
        )
        machine = Machine(self.name, shell, asked, self.groups, self.address, self.port)
        identity = ["-i", str(key)] if key else []
        machine.ssh = ["ssh", *shlex.split(extra), *(["-p", str(self.port)] if port else []), *identity]
        machine.ssh += [f"{user}{self.address}"]
        return machine


class FleetTarget(Target):
    """The hosts of an inventory."""

    def __init__(self, inventory: str, started_in: Path) -> None:
        hosts = read_inventory(find_inventory(inventory, started_in), inventory)
        self._sockets = Path(tempfile.mkdtemp(prefix="checklist-"))
        self._relays: list[Relay] = []
        asked: set[str] = set()
        machines = [host.machine(self._sockets, asked) for host in hosts]
        try:
            with ThreadPoolExecutor(len(machines)) as pool:
                list(pool.map(check_root, machines))
            self.vantage = next((machine for machine in machines if VANTAGE in machine.groups), None)
            self.hosts = tuple(machine for machine in machines if machine is not self.vantage)
            self.prometheus = next(filter(None, map(prometheus_of, self.hosts)), None)
            services = [service for machine in self.hosts for service in running(machine)]
            if sum("database" in machine.groups for machine in self.hosts) > 1:
                self.members = tuple(service for service in services if service.service == "postgres")
                first = primary_of(self.members)
                services.sort(key=lambda service: service is not first)
            super().__init__(inventory, services, asked)
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        for socket in self._sockets.iterdir():
            # ssh wants a host's name here too, and makes nothing of it
            subprocess.run(["ssh", "-S", str(socket), "-O", "exit", "any"], capture_output=True, check=False)
        shutil.rmtree(self._sockets, ignore_errors=True)

    @functools.cached_property
    def poolers(self) -> list[Endpoint]:
        """A client beside the server reaches those of other hosts through a Relay each."""
        if not self.relayed:
            return super().poolers
        return [
            Endpoint("pgbouncer", "pgbouncer", FIRST_PORT + number, pooler)
            for number, pooler in enumerate(self.each("pgbouncer"))
        ]

    @property
    def relayed(self) -> bool:
        server = self.host("postgres").machine
        return any(pooler.machine is not server for pooler in self.each("pgbouncer"))

    def _start_client(self, position: Position, near: Container) -> Container:
        client = super()._start_client(position, near)
        if position == "database" and self.relayed:
            for pooler in self.poolers:
                assert pooler.container
                [app] = [one for one in self.each("app") if one.machine is pooler.container.machine]
                beside = self.client("application", beside=app)
                self._relays.append(Relay(client, pooler.port, beside, "pgbouncer", FIRST_PORT))
        return client

    def addresses_of(self, pooler: Endpoint) -> list[str]:
        """Those of another host than the server's leave it through HAProxy."""
        if not pooler.container:
            return super().addresses_of(pooler)
        beside = pooler.container.machine is self.host("postgres").machine
        return pooler.container.addresses if beside else pooler.container.machine.public_addresses

    def close(self) -> None:
        try:
            for relay in self._relays:
                relay.close()
            super().close()
        finally:
            self._disconnect()


def check_root(machine: Machine) -> None:
    """Raises TargetError unless commands run as root there."""
    done = machine.run("id -u")
    if done.rc or done.stdout.strip() != "0":
        raise TargetError(
            f"commands do not run as root on {machine}: {done.stderr.strip() or done.stdout.strip()}",
            "give the user of the inventory sudo without a password (NOPASSWD)",
        )


def primary_of(members: tuple[Container, ...]) -> Container:
    """The member that takes writes. Raises TargetError without one."""
    for member in members:
        name = member.run("pgcluster primary").stdout.strip()
        if found := next((one for one in members if one.member == name), None):
            return found
    raise TargetError("the database cluster has no primary", "./scripts/ops cluster status, on a database host")


def running(machine: Machine) -> list[Container]:
    """The machine's services. Raises TargetError when one that its groups ask for doesn't run."""
    wanted = [service for group in machine.groups for service in SERVICES_OF.get(group, ())]
    if not wanted:
        return []
    there = machine.containers(PROJECT)
    if not there:
        raise TargetError(
            f"no container of the stack is on {machine}",
            "cd ansible && ansible-playbook -i INVENTORY playbooks/site.yml",
        )
    if down := [service for service in wanted if service not in there or not there[service].running]:
        raise TargetError(
            f"the stack on {machine} is not running; stopped: {', '.join(down)}",
            f"on {machine}: sudo systemctl restart flaglearning, and docker compose logs in /opt/flaglearning",
        )
    return [there[service] for service in wanted]


def prometheus_of(machine: Machine) -> Container | None:
    """The monitoring host's Prometheus, if this machine is one and it runs."""
    found = machine.containers(MONITORING).get("prometheus") if "monitoring" in machine.groups else None
    return found if found and found.running else None


def role_default(role: str, name: str, without: Any = None) -> Any:
    """What a role of ansible/ has by default: a fact that the checks share with it. `without` such a role: this."""
    file = ANSIBLE / "roles" / role / "defaults/main.yml"
    return yaml.safe_load(file.read_text())[name] if file.exists() else without


# ------------------------------------------------------------ the inventory


def find_inventory(named: str, started_in: Path) -> Path:
    """The path as ansible-playbook takes it, or relative to the folder ansible/."""
    for folder in (started_in, ANSIBLE):
        if (folder / named).exists():
            return (folder / named).resolve()
    raise TargetError(
        f"there is no inventory '{named}' in {started_in} or in ansible/",
        "./scripts/inventory new NAME creates one; ./scripts/lab up solo starts test hosts with one",
    )


def read_inventory(path: Path, named: str) -> list[Host]:
    """Its hosts, the vantage host too, as Ansible reads them. Variables of the vault are dropped."""
    listed = ansible_inventory(path, named)
    variables = listed["_meta"]["hostvars"]
    members = {group: members_of(group, listed) for group in (*SERVICES_OF, VANTAGE)}
    for group in ("database", "application"):
        if not members[group]:
            raise TargetError(
                f"the inventory '{named}' has no host in the group `{group}`",
                "ansible/inventories/example/hosts.yml lists the groups",
            )
    names = dict.fromkeys(name for group in members.values() for name in group)
    return [
        Host(
            name,
            tuple(group for group, hosts in members.items() if name in hosts),
            {key: value for key, value in variables.get(name, {}).items() if key.startswith("ansible_")},
        )
        for name in names
    ]


def members_of(group: str, listed: dict[str, Any]) -> list[str]:
    """The hosts of a group and of the groups in it."""
    described = listed.get(group, {})
    inner = [name for child in described.get("children", []) for name in members_of(child, listed)]
    return [*described.get("hosts", []), *inner]


def ansible_inventory(path: Path, named: str) -> dict[str, Any]:
    # ansible.cfg says where the vault's password is. The working directory stays: a relative
    # ANSIBLE_VAULT_PASSWORD_FILE is relative to it.
    config = {"ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), **os.environ}
    done = subprocess.run(
        [TOOLS / "ansible-inventory", "-i", path, "--list"],
        env={**config, "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        listed: dict[str, Any] = json.loads(done.stdout)
        return listed
    hint = re.search(r"^HINT: *(.*)", done.stderr, re.MULTILINE)
    messages = re.findall(r"^\[?ERROR\]?: *(.*)", done.stderr, re.MULTILINE) or [done.stderr.strip()[-300:]]
    raise TargetError(
        f"Ansible can't read the inventory '{named}': {messages[0]}",
        hint[1]
        if hint
        else "export ANSIBLE_VAULT_PASSWORD_FILE=… if its vault has another password than"
        " ~/.config/flaglearning/vault-password; `ansible-inventory -i INVENTORY --list` in ansible/ says more",
    )


def ssh_options() -> str:
    """ssh's options in ansible.cfg: host keys are verified, one connection is reused."""
    settings = configparser.ConfigParser()
    settings.read(ANSIBLE / "ansible.cfg")
    return os.environ.get("ANSIBLE_SSH_ARGS", settings["ssh_connection"]["ssh_args"])
