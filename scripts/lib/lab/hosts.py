"""Debian 13 hosts in containers as an object.

lab = Lab("flaglearning-lab")
lab.up("split")
lab.play("site.yml")
lab.ssh("db1", "sudo", "docker", "ps")
lab.down()
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
from typing import Any

from testing.shell import ROOT, Failed, run
from testing.stack import ARTIFACTS, SLOT

# Topology → group → hosts. The vantage host has access to none of them. Each grows from the one before: the
# hosts that run stay, with their disks.
TOPOLOGIES: dict[str, dict[str, list[str]]] = {
    "solo": {"database": ["db1"], "application": ["db1"], "backup": []},
    "growing": {"database": ["db1"], "application": ["db1", "app1", "app2"], "backup": []},
    "split": {"database": ["db1"], "application": ["app1", "app2"], "backup": ["backup1"], "monitoring": ["backup1"]},
    "cluster": {
        "database": ["db1", "db2", "db3"],
        "application": ["app1", "app2"],
        "backup": ["backup1"],
        "monitoring": ["backup1"],
    },
}
HOSTS = {"db1": 11, "app1": 12, "app2": 13, "backup1": 14, "db2": 15, "db3": 16, "vantage": 99}
USER = "debian"
# In host_vars of db1, to try that they arrive.
SETTINGS_OF_ONE_HOST = {
    "stack_postgres_settings": {"deadlock_timeout": "1234ms"},
    "stack_dumps_keep": 8,
    "stack_backup_retention_full": 3,
    "stack_environment": {"BACKUP_FULL_DAYS": 6},
}
# Port of this machine to which the lab's monitoring host posts alerts (/alerts, /deadman).
WEBHOOK = 21197 + 200 * int(SLOT or 0)
COMPOSE_FILE = "docker/lab-host/docker-compose.yml"


class Lab:
    """Hosts on a network of their own, and the inventory that describes them (artifacts/lab/NAME)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = ARTIFACTS / "lab" / name
        self.inventory = self.folder / "inventory"
        self.ssh_config = self.folder / "ssh_config"
        self.vault_password = self.folder / "vault-password"
        digest = hashlib.sha256(name.encode()).digest()
        # A lab always gets the same networks, two labs different ones; Docker's own are in 172.16/12 and 192.168/16.
        self.net4 = f"10.{200 + digest[0] % 50}.{digest[1]}"
        self.net6 = f"fd{digest[2]:02x}:{digest[3]:x}{digest[4]:02x}:{digest[5]:x}{digest[6]:02x}"

    # ------------------------------------------------------------ life

    def up(self, topology: str) -> None:
        """Start the topology's machines and describe them; running hosts stay."""
        self.compose("build", "vantage", timeout=1200)
        self.compose("--profile", topology, "up", "--detach", "--wait", "--wait-timeout", "120", timeout=180)
        self._make_keys()
        for host in self.running():
            self._welcome(host)
        self._pin_host_keys()
        self._write_inventory(topology)

    def down(self) -> None:
        """Remove machines, network, volumes, keys and inventory."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "0")
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self, host: str, *, wait: bool = True) -> None:
        """Reboot it; its addresses and disks stay."""
        self.compose("restart", "--timeout", "15", host)
        if wait:
            self.compose("up", "--detach", "--wait", "--no-recreate", "--no-deps", host)

    def stop(self, host: str) -> None:
        self.compose("stop", "--timeout", "15", host)

    def start(self, host: str) -> None:
        self.compose("up", "--detach", "--wait", "--no-recreate", "--no-deps", host)

    def running(self) -> list[str]:
        """The machines that run, in the order of their addresses."""
        rows = [json.loads(line) for line in self.compose("ps", "--format", "json").splitlines()]
        return sorted((row["Service"] for row in rows), key=lambda name: HOSTS[name])

    # ------------------------------------------------------------ using it

    def address(self, host: str) -> str:
        return f"{self.net4}.{HOSTS[host]}"

    def address6(self, host: str) -> str:
        return f"{self.net6}::{HOSTS[host]}"

    def ssh(self, host: str, *command: str, check: bool = True, stdin: str = "", timeout: float = 120) -> str:
        """Run a command there as the user with sudo; its standard output."""
        done = run(*self.ssh_command(host, *command), check=check, stdin=stdin, timeout=timeout)
        return str(done.stdout)

    def ssh_command(self, host: str, *command: str) -> list[str]:
        return ["ssh", "-F", str(self.ssh_config), host, *command]

    def exec(self, host: str, *command: str, stdin: str = "", check: bool = True) -> str:
        """As root, through Docker: also where ssh has no way in. What it prints, on both streams."""
        done = self._docker_compose("exec", "-T", host, *command, stdin=stdin)
        if check and done.returncode:
            raise Failed(("exec", host, *command), done.returncode, done.stdout + done.stderr)
        return str(done.stdout + done.stderr)

    def play(
        self, playbook: str, *options: str, check: bool = True, timeout: float = 900, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """ansible-playbook with this lab's inventory and vault, of a playbook of ansible/playbooks (or a path)."""
        return run(
            *self._ansible_playbook(playbook, *options),
            cwd=ROOT / "ansible",
            env={**self.environment, **environment},
            check=check,
            timeout=timeout,
        )

    def play_and_kill(self, playbook: str, *options: str, at: str, timeout: float = 900) -> None:
        """Start a playbook, and kill it (SIGKILL) as soon as it says that it begins a task named so."""
        command = self._ansible_playbook(playbook, *options)
        environment = {**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            command,
            cwd=ROOT / "ansible",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            timer = threading.Timer(timeout, process.kill)
            timer.start()
            said = []
            for line in process.stdout or ():
                said.append(line)
                if line.startswith("TASK [") and at in line:
                    os.killpg(process.pid, signal.SIGKILL)
                    break
            timer.cancel()
        if process.returncode != -signal.SIGKILL or not said or at not in said[-1]:
            raise Failed(("ansible-playbook", playbook), process.returncode or 0, "".join(said[-40:]))

    def _ansible_playbook(self, playbook: str, *options: str) -> list[str]:
        path = str(ROOT / "ansible/playbooks" / playbook)
        return [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(self.inventory), path, *options]

    def secrets(self) -> dict[str, str]:
        """The passwords that the inventory's vault has."""
        vault = str(self.inventory / "group_vars/all/vault.yml")
        done = run(str(ROOT / ".venv/bin/ansible-vault"), "view", vault, env=self.environment)
        found = done.stdout.partition("stack_secrets:")[2].partition("#")[0]
        return dict(line.strip().split(": ") for line in found.strip().splitlines())

    @property
    def environment(self) -> dict[str, str]:
        """What makes ansible-playbook use this lab's vault."""
        return {"ANSIBLE_VAULT_PASSWORD_FILE": str(self.vault_password), "ANSIBLE_FORCE_COLOR": "0"}

    def compose(self, *arguments: str, timeout: float = 120) -> str:
        done = self._docker_compose(*arguments, timeout=timeout)
        if done.returncode:
            raise Failed(("docker", "compose", "-p", self.name, *arguments), done.returncode, done.stdout + done.stderr)
        return str(done.stdout)

    def _docker_compose(self, *arguments: str, stdin: str = "", timeout: float = 120) -> Any:
        # COMPOSE_FILE and .env are the stack's, not the lab's.
        own = {
            "LAB_NET4": self.net4,
            "LAB_NET6": self.net6,
            "COMPOSE_ENV_FILES": os.devnull,
            "COMPOSE_PROGRESS": "quiet",
        }
        command = ("docker", "compose", "-p", self.name, "-f", COMPOSE_FILE, *arguments)
        return run(*command, stdin=stdin, env=own, timeout=timeout, check=False)

    # ------------------------------------------------------------ what a provider's console does

    def _make_keys(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        key = self.folder / "id_ed25519"
        if not key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key))
        self.ssh_config.write_text(
            "".join(
                f"Host {host} {self.address(host)} {self.address6(host)}\n  HostName {self.address(host)}\n"
                for host in HOSTS
            )
            + f"Host *\n  User {USER}\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder / 'known_hosts'}\n  StrictHostKeyChecking yes\n  LogLevel ERROR\n"
        )

    def _welcome(self, host: str) -> None:
        """The administrator's key, and this machine's way to Debian's archive."""
        public = (self.folder / "id_ed25519.pub").read_text()
        wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
        apt = run("apt-config", "dump", *wanted, check=False).stdout if shutil.which("apt-config") else ""
        script = f"""
            install -d -o {USER} -g {USER} -m 0700 /home/{USER}/.ssh
            echo '{public.strip()}' | install -o {USER} -g {USER} -m 0600 /dev/stdin /home/{USER}/.ssh/authorized_keys
            cat >/etc/apt/apt.conf.d/00-lab"""
        self.exec(host, "bash", "-ec", script, stdin=apt)

    def _pin_host_keys(self) -> None:
        """Each machine's public key, asked for through Docker: not over the network that ssh is to trust."""
        lines = []
        for host in self.running():
            key = self.exec(host, "cut", "-d ", "-f1,2", "/etc/ssh/ssh_host_ed25519_key.pub").strip()
            lines.append(f"{host},{self.address(host)},{self.address6(host)} {key}\n")
        (self.folder / "known_hosts").write_text("".join(lines))

    def _write_inventory(self, topology: str) -> None:
        if not self.inventory.exists():
            environment = {"ANSIBLE_VAULT_PASSWORD_FILE": str(self.vault_password)}
            run("./scripts/inventory", "new", str(self.inventory), env=environment)
        groups = {
            group: {"hosts": {host: {"ansible_host": self.address(host)} for host in hosts}}
            for group, hosts in TOPOLOGIES[topology].items()
        }
        # From there the checklist scans. (A host may not be called as its group is.)
        groups["vantage"] = {"hosts": {"vantage1": {"ansible_host": self.address("vantage")}}}
        settings = {
            "ansible_user": USER,
            "ansible_ssh_common_args": f"-F {self.ssh_config}",
            "stack_allowed_hosts": ["play.example.org", *map(self.address, TOPOLOGIES["growing"]["application"])],
            "monitoring_webhook_url": f"http://{self.net4}.1:{WEBHOOK}/alerts",
            "monitoring_deadman_url": f"http://{self.net4}.1:{WEBHOOK}/deadman",
            "monitoring_patience": 0.1,  # alerts fire after a tenth of their time
            "firewall_admin_networks": [f"{self.net4}.1/32", f"{self.net6}::1/128"],
        }
        # YAML reads JSON.
        (self.inventory / "hosts.yml").write_text(json.dumps(groups, indent=2) + "\n")
        (self.inventory / "group_vars/all/main.yml").write_text(json.dumps(settings, indent=2) + "\n")
        own = self.inventory / "host_vars/db1/main.yml"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(json.dumps(SETTINGS_OF_ONE_HOST, indent=2) + "\n")
