"""What the role `stack` gives each host of an inventory: files, services, secrets, clients. No host is asked."""

import functools
import json
from typing import Any

import pytest

import secret_files
from testing.shell import ROOT, run

ADDRESSES = {f"{name}": f"192.0.2.{n}" for n, name in enumerate(("db1", "db2", "db3", "app1", "app2", "backup1"), 11)}
ONE = {"database": ["db1"], "application": ["db1"], "backup": []}
FLEET = {"database": ["db1"], "application": ["app1", "app2"], "backup": ["backup1"]}
CLUSTER = {"database": ["db1", "db2", "db3"], "application": ["app1", "app2"], "backup": ["backup1"]}
PRODUCTION = ["docker-compose.yml", "docker/compose/production.yml", "docker/compose/host-journald.yml"]
PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  become: false
  tasks:
    - ansible.builtin.set_fact:
        default_ipv4: {{ address: "{{{{ address }}}}" }}
        memtotal_mb: 4000
        processor_nproc: 2
        cacheable: true
- hosts: database:application
  connection: local
  gather_facts: false
  become: false
  vars_files: [{root}/ansible/playbooks/group_vars/all.yml]
  tasks:
    - ansible.builtin.include_vars: {root}/ansible/roles/stack/defaults/main.yml
    - ansible.builtin.include_vars: {root}/ansible/roles/stack/vars/main.yml
    - ansible.builtin.include_vars: {root}/ansible/roles/images/defaults/main.yml
    - ansible.builtin.set_fact: {{ images_exporters: [] }}
    - ansible.builtin.debug:
        msg:
          files: "{{{{ stack_compose_files }}}}"
          services: "{{{{ stack_services }}}}"
          secrets: "{{{{ stack_own_secrets.keys() | list }}}}"
          images: "{{{{ images_of }}}}"
          environment: "{{{{ lookup('ansible.builtin.template', '{root}/ansible/roles/stack/templates/env.j2') }}}}"
          hba: "{{{{ lookup('ansible.builtin.template', '{root}/ansible/roles/stack/templates/hosts.conf.j2') }}}}"
"""


@functools.cache
def _seen(groups: str, folder: str) -> dict[str, dict[str, Any]]:
    hosts = {
        group: {"hosts": {name: {"address": ADDRESSES[name]} for name in names}}
        for group, names in json.loads(groups).items()
    }
    variables = {
        "stack_allowed_hosts": ["play.example.org"],
        "stack_secrets": dict.fromkeys(secret_files.GENERATED, "x"),
    }
    variables |= {"images_tags": {"app": "1", "postgres": "2"}, "ansible_managed": "by Ansible"}
    (ROOT / folder / "hosts.json").write_text(json.dumps({**hosts, "all": {"vars": variables}}))
    (ROOT / folder / "play.yml").write_text(PLAY.format(root=ROOT))
    environment = {
        "ANSIBLE_FILTER_PLUGINS": str(ROOT / "ansible/filter_plugins"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "LC_ALL": "C.UTF-8",
    }
    words = (str(ROOT / ".venv/bin/ansible-playbook"), "-i", "hosts.json", "play.yml")
    done = run(*words, cwd=ROOT / folder, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    task = json.loads(done.stdout)["plays"][-1]["tasks"][-1]
    return {name: result["msg"] for name, result in task["hosts"].items()}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`seen(groups)` → host → what the role gives it."""
    folder = tmp_path_factory.mktemp("inventories")
    return lambda groups: _seen(json.dumps(groups), str(folder))


def test_one_host_runs_the_whole_stack(seen: Any) -> None:
    host = seen(ONE)["db1"]
    assert host["files"] == PRODUCTION
    assert host["services"] == ["postgres", "backup", "pgbouncer", "app", "proxy"]
    assert "MEMBER" not in host["environment"]


def test_application_hosts_have_a_pooler_each(seen: Any) -> None:
    found = seen(FLEET)
    assert found["db1"]["services"] == ["postgres", "backup", "pgbackrest-server"]
    assert "docker/compose/host-published.yml" in found["db1"]["files"]
    assert found["app1"]["files"] == [*PRODUCTION, "docker/compose/host-application.yml"]
    assert found["app1"]["services"] == ["haproxy", "pgbouncer", "app", "proxy"]
    assert set(found["app1"]["secrets"]) == {"app_password", "django_secret_key", "pgbouncer_password"}
    environment = found["app1"]["environment"].splitlines()
    assert {"MEMBER_1=db1", "MEMBER_1_ADDRESS=192.0.2.11", "POOLERS=2", "REPLICA_READS=false"} <= set(environment)
    assert not [line for line in environment if line.startswith("MEMBER_2")]
    assert found["db1"]["images"] == {
        "database": ["postgres", "app", "ops"],
        "application": ["app", "proxy", "pgbouncer", "haproxy"],
        "backup": ["postgres"],
        "monitoring": [],
    }


def test_one_server_admits_application_hosts_and_nobody_else(seen: Any) -> None:
    lines = [line.split() for line in seen(FLEET)["db1"]["hba"].splitlines() if not line.startswith("#")]
    assert {(line[0], line[3], *line[4:]) for line in lines} == {
        ("hostssl", "192.0.2.14/32", "scram-sha-256"),
        ("hostssl", "192.0.2.15/32", "scram-sha-256"),
    }


def test_a_host_with_both_leads_its_own_pooler_and_publishes_the_server_for_the_other(seen: Any) -> None:
    found = seen({"database": ["db1"], "application": ["db1", "app1"], "backup": []})
    assert found["db1"]["services"] == ["postgres", "backup", "pgbouncer", "app", "proxy"]
    assert "POOLERS=2" in found["db1"]["environment"].splitlines()
    assert "192.0.2.14/32" in found["db1"]["hba"]
    assert "192.0.2.11/32" not in found["db1"]["hba"]
    assert "docker/compose/host-published.yml" in found["db1"]["files"]


def test_three_are_a_cluster(seen: Any) -> None:
    found = seen(CLUSTER)
    for name in CLUSTER["database"]:
        assert found[name]["services"] == ["etcd", "postgres", "backup", "pgbackrest-server"]
        assert found[name]["files"][-1] == "docker/compose/host-member.yml"
    overlays = ["docker/compose/host-application.yml", "docker/compose/host-application-cluster.yml"]
    assert found["app1"]["files"] == [*PRODUCTION, *overlays]
    assert found["app1"]["services"] == ["haproxy", "pgbouncer", "app", "proxy"]
    assert set(found["app1"]["secrets"]) == {"app_password", "django_secret_key", "pgbouncer_password"}
    assert {"patroni", "etcd"} <= set(found["db1"]["images"]["database"])


def test_a_member_knows_the_other_two(seen: Any) -> None:
    environment = seen(CLUSTER)["db2"]["environment"].splitlines()
    assert {"MEMBER=db2", "MEMBER_ADDRESS=192.0.2.12", "PEER_1=db1", "PEER_1_ADDRESS=192.0.2.11"} <= set(environment)
    assert {"PEER_2=db3", "PEER_2_ADDRESS=192.0.2.13", "CLUSTER_STRICT=false"} <= set(environment)
    application = seen(CLUSTER)["app2"]["environment"].splitlines()
    assert {"MEMBER_1=db1", "MEMBER_3_ADDRESS=192.0.2.13", "POOLERS=2", "REPLICA_READS=false"} <= set(application)


def test_members_admit_members_by_certificate_and_application_hosts_by_password(seen: Any) -> None:
    lines = [line.split() for line in seen(CLUSTER)["db1"]["hba"].splitlines() if line.startswith("hostssl")]
    by_certificate = {line[3] for line in lines if line[4:] == ["cert", "map=member"]}
    by_password = {line[3] for line in lines if line[4:] == ["scram-sha-256"]}
    assert by_certificate == {"192.0.2.11/32", "192.0.2.12/32", "192.0.2.13/32"}
    assert by_password == {"192.0.2.14/32", "192.0.2.15/32"}
    assert len(lines) == 2 * len(by_certificate) + 2 * len(by_password)
    assert {role for line in lines if line[3] in by_password for role in line[2].split(",")} == {
        "flaglearning_prod",
        "flaglearning_readonly",
        "pgbouncer",
    }
