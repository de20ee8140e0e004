"""Which hosts of an inventory send their journal, where to, and as whom (role `logs`). No host is asked."""

import json
from typing import Any

import pytest

from testing.shell import ROOT, run

HOSTS = {"db1": "database", "app1": "application", "backup1": "backup", "monitoring1": "monitoring"}
PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  become: false
  vars_files:
    - {root}/ansible/playbooks/group_vars/all.yml
    - {root}/ansible/roles/pki/defaults/main.yml
    - {root}/ansible/roles/pki/vars/main.yml
    - {root}/ansible/roles/logs/vars/main.yml
  tasks:
    - ansible.builtin.set_fact: {{ default_ipv4: {{ address: "{{{{ address }}}}" }}, cacheable: true }}
    - ansible.builtin.debug:
        msg:
          sent: "{{{{ logs_sent }}}}"
          url: "{{{{ logs_url if logs_sent else '' }}}}"
          senders: "{{{{ logs_senders }}}}"
          name: "{{{{ (pki_own_services | items2dict).get('logs', {{}}).common_name | default('') }}}}"
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`found(monitoring)` → host → what the role knows, with this host in the group `monitoring`, or none."""

    def asked(monitoring: str) -> dict[str, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("inventory")
        groups: dict[str, Any] = {group: {"hosts": {}} for group in HOSTS.values()}
        for number, (host, group) in enumerate(HOSTS.items(), 11):
            if group != "monitoring" or host == monitoring:
                groups[group]["hosts"][host] = {"address": f"192.0.2.{number}"}
        if monitoring:
            groups["monitoring"]["hosts"].setdefault(monitoring, {})
        (folder / "hosts.json").write_text(json.dumps(groups))
        (folder / "play.yml").write_text(PLAY.format(root=ROOT))
        environment = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "LC_ALL": "C.UTF-8"}
        words = (str(ROOT / ".venv/bin/ansible-playbook"), "-i", "hosts.json", "play.yml")
        done = run(*words, cwd=folder, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        task = json.loads(done.stdout)["plays"][-1]["tasks"][-1]
        return {name: result["msg"] for name, result in task["hosts"].items()}

    return asked


@pytest.mark.parametrize(
    ("monitoring", "address", "senders"),
    [
        ("monitoring1", "192.0.2.14", ["app1", "backup1", "db1"]),
        ("backup1", "192.0.2.13", ["app1", "db1"]),
    ],
)
def test_every_other_host_sends_to_the_monitoring_host_as_itself(
    found: Any, monitoring: str, address: str, senders: list[str]
) -> None:
    hosts = found(monitoring)
    receiver = hosts.pop(monitoring)
    assert receiver == {"sent": False, "url": "", "senders": senders, "name": ""}
    for name, host in hosts.items():
        assert host == {"sent": True, "url": f"https://{address}:9443/logs", "senders": [], "name": f"logs-{name}"}


def test_without_a_monitoring_host_none_sends(found: Any) -> None:
    assert all(host == {"sent": False, "url": "", "senders": [], "name": ""} for host in found("").values())
