"""./scripts/lab's commands."""

import argparse
import os
import subprocess
import sys

from lab.hosts import HOSTS, TOPOLOGIES, Lab
from testing.shell import Failed


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./scripts/lab", description="Run test hosts for the playbooks: Debian 13 in containers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the hosts of a topology, and write an inventory for them").add_argument(
        "topology", choices=sorted(TOPOLOGIES)
    )
    commands.add_parser("status", help="list the hosts and their addresses")
    for name, what in (("ssh", "open a shell on a host, or run a command"), ("restart", "reboot a host")):
        command = commands.add_parser(name, help=what)
        command.add_argument("host", choices=HOSTS)
        if name == "ssh":
            command.add_argument("arguments", nargs=argparse.REMAINDER)
    commands.add_parser("down", help="remove the hosts, their disks and the inventory")
    asked = parser.parse_args()
    lab = Lab(os.environ.get("LAB", "flaglearning-lab"))
    try:
        return {"up": up, "status": status, "ssh": shell, "restart": restart, "down": down}[asked.command](lab, asked)
    except Failed as failure:
        print(f"ERROR: {failure}\nHINT:  ./scripts/lab status; ./scripts/lab down removes the lab", file=sys.stderr)
        return 1


def up(lab: Lab, asked: argparse.Namespace) -> int:
    lab.up(asked.topology)
    status(lab, asked)
    print(f"""
  export ANSIBLE_VAULT_PASSWORD_FILE={lab.vault_password}
  cd ansible && ../.venv/bin/ansible-playbook -i {lab.inventory} playbooks/site.yml
  ./scripts/lab ssh HOST          ./scripts/lab down removes the lab""")
    return 0


def status(lab: Lab, asked: argparse.Namespace) -> int:
    hosts = lab.running()
    for host in hosts:
        print(f"  {host:10} {lab.address(host):16} {lab.address6(host)}")
    if not hosts:
        print(f"the lab {lab.name} has no host; ./scripts/lab up solo starts one")
    return 0


def shell(lab: Lab, asked: argparse.Namespace) -> int:
    return subprocess.run(lab.ssh_command(asked.host, *asked.arguments), check=False).returncode


def restart(lab: Lab, asked: argparse.Namespace) -> int:
    lab.restart(asked.host)
    return 0


def down(lab: Lab, asked: argparse.Namespace) -> int:
    lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
