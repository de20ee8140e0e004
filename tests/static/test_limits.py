"""A playbook that needs every host refuses a run of some (`ansible-playbook --limit`). No host is asked."""

import json
from pathlib import Path

import pytest

from testing.shell import ROOT, run

GROUPS = {"database": ["db1"], "application": ["app1", "app2"], "backup": ["backup1"], "vantage": ["vantage1"]}
PLAY = """
- hosts: {hosts}
  connection: local
  gather_facts: false
  become: false
  tasks:
    - ansible.builtin.include_tasks: {root}/ansible/roles/preflight/tasks/everyone.yml
      vars: {{ preflight_groups: {groups} }}
"""


@pytest.mark.parametrize(
    ("limit", "groups", "left_out"),
    [
        ("all", ["database", "application", "backup", "monitoring"], ""),
        ("db1,app1", ["database", "application", "backup"], "app2, backup1"),
        ("database:application", ["database", "application"], ""),
    ],
)
def test_a_run_of_some_hosts_is_refused(tmp_path: Path, limit: str, groups: list[str], left_out: str) -> None:
    hosts = {group: {"hosts": {name: {"address": name} for name in names}} for group, names in GROUPS.items()}
    (tmp_path / "hosts.json").write_text(json.dumps(hosts))
    text = PLAY.format(hosts="database:application:backup", root=ROOT, groups=json.dumps(groups))
    (tmp_path / "play.yml").write_text(text)
    words = (str(ROOT / ".venv/bin/ansible-playbook"), "-i", "hosts.json", "play.yml", "--limit", limit)
    done = run(*words, cwd=tmp_path, env={"LC_ALL": "C.UTF-8"}, check=False)
    assert (done.returncode != 0) == bool(left_out), done.stdout + done.stderr
    assert left_out == "" or f"the run leaves out {left_out}, and" in " ".join(done.stdout.split())
