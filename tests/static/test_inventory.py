"""./scripts/inventory: each inventory has its own secrets, encrypted with the password that the environment names."""

import json
import re
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import secret_files
from testing.shell import ROOT, run

VAULT = "mine/group_vars/all/vault.yml"


def inventory(folder: Path, *words: str, password: str = "password", **variables: str) -> CompletedProcess[str]:  # noqa: S107
    """Typed in a folder, with the password's file named as seen from there."""
    environment = {"ANSIBLE_VAULT_PASSWORD_FILE": password, **variables}
    return run(str(ROOT / "scripts/inventory"), *words, cwd=folder, env=environment, check=False)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with an inventory in it."""
    made = inventory(tmp_path, "new", "./mine")
    assert made.returncode == 0, made.stderr
    return tmp_path


def secrets(folder: Path) -> dict[str, str]:
    tool = str(ROOT / ".venv/bin/ansible-vault")
    shown = run(tool, "view", "--vault-password-file", "password", VAULT, cwd=folder).stdout
    return dict(line.strip().split(": ") for line in shown.splitlines() if line.startswith("  "))


def test_paths_are_meant_from_where_they_were_typed(mine: Path) -> None:
    assert {file.name for file in mine.iterdir()} == {"mine", "password"}
    assert (mine / "password").stat().st_mode & 0o777 == 0o600
    assert (mine / VAULT).read_text().startswith("$ANSIBLE_VAULT;")


def test_one_that_is_there_is_left_as_it_is(mine: Path) -> None:
    before = (mine / VAULT).read_bytes()
    again = inventory(mine, "new", "./mine")
    assert again.returncode == 2
    assert "exists and was not changed" in again.stderr
    assert (mine / VAULT).read_bytes() == before


def test_a_rotation_stages_new_passwords_and_commits_them(mine: Path) -> None:
    before = secrets(mine)
    assert inventory(mine, "stage", "./mine", "app_password").returncode == 0
    staged = (mine / VAULT).read_bytes()
    assert inventory(mine, "commit", "./mine").returncode == 0
    after = secrets(mine)
    assert (mine / VAULT).read_bytes() != staged
    assert {name for name in before if before[name] != after[name]} == {"app_password"}
    again = inventory(mine, "commit", "./mine")
    assert again.returncode == 1
    assert "no staged passwords" in again.stderr


def test_a_locale_that_the_system_lacks_is_no_obstacle(tmp_path: Path) -> None:
    """A person's ssh client sends LANG=de_DE.UTF-8 to a minimal Debian, which has C.UTF-8 alone."""
    assert "de_DE" not in run("locale", "-a").stdout, "this system has the locale"
    made = inventory(tmp_path, "new", "./mine", LANG="de_DE.UTF-8", LC_ALL="de_DE.UTF-8")
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(
    ("password", "status", "sentence"),
    [("missing", 2, "there is no vault password in"), ("wrong", 1, "Decryption failed")],
)
def test_without_its_password_it_is_not_changed(mine: Path, password: str, status: int, sentence: str) -> None:
    (mine / "wrong").write_text("wrong")
    before = (mine / VAULT).read_bytes()
    refused = inventory(mine, "stage", "./mine", "app_password", password=password)
    assert refused.returncode == status
    assert sentence in refused.stderr
    assert "HINT:" in refused.stderr
    assert (mine / VAULT).read_bytes() == before
    assert not (mine / "missing").exists(), "another password would open nothing"


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  become: false
  tasks:
    - ansible.builtin.include_role: { name: preflight, tasks_from: secrets }
"""


def preflight(folder: Path, secrets: dict[str, str]) -> CompletedProcess[str]:
    """The part of the role preflight that judges the vault's secrets."""
    (folder / "play.yml").write_text(PLAY)
    variables = json.dumps({"stack_secrets": secrets, "pki_ca_passphrase": "x"})
    (folder / "variables.json").write_text(variables)
    return run_play(folder, "-i", "localhost,", "-e", "@variables.json", "play.yml")


def run_play(folder: Path, *words: str) -> CompletedProcess[str]:
    """ansible-playbook in a folder, with the project's roles."""
    environment = {
        "ANSIBLE_ROLES_PATH": str(ROOT / "ansible/roles"),
        "ANSIBLE_FILTER_PLUGINS": str(ROOT / "ansible/filter_plugins"),
        "LC_ALL": "C.UTF-8",
    }
    return run(str(ROOT / ".venv/bin/ansible-playbook"), *words, cwd=folder, env=environment, check=False)


def test_preflight_judges_the_vault_as_production_does(tmp_path: Path) -> None:
    strong = {name: secret_files.generate(name) for name in secret_files.GENERATED}
    done = preflight(tmp_path, strong)
    assert done.returncode == 0, done.stdout + done.stderr
    weak = {**strong, "app_password": "too-short", "ops_password": strong["readonly_password"]}
    weak["migrator_password"] = "change_me"
    del weak["django_secret_key"]
    refused = preflight(tmp_path, weak)
    said = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode != 0
    for problem in (
        "the secret django_secret_key is missing",
        "the secret app_password has 9 characters, fewer than 32",
        "the secret migrator_password is a placeholder",
        "the secrets readonly_password and ops_password have the same value",
    ):
        assert problem in said
    assert "too-short" not in said


PLAY_HOST = """
- hosts: all
  connection: local
  gather_facts: false
  become: false
  vars: { ansible_python_interpreter: "{{ ansible_playbook_python }}" }
  tasks:
    - ansible.builtin.set_fact:
        distribution: Debian
        distribution_version: "{{ major }}.1"
        distribution_major_version: "{{ major }}"
        memtotal_mb: 4000
        cacheable: true
    - ansible.builtin.include_role: { name: preflight, tasks_from: host }
"""
# Host → what is wrong there, and the error. The clocks are compared on this machine, which is both.
HOSTS: dict[str, tuple[dict[str, object], str]] = {
    "fit1": ({}, ""),
    "system1": ({"major": "12"}, "system1 runs Debian 12.1, not Debian 13."),
    "memory1": ({"preflight_memory_mb": 4001}, "memory1 has 4000 MB of memory; 4001 MB are required"),
    "disk1": ({"preflight_disk_mb": 999999999}, "MB free in /var/lib; 999999999 MB are required"),
    "clock1": ({"preflight_clock_seconds": -100}, "the clock of clock1 differs from the control machine's"),
}


def test_preflight_refuses_a_host_that_is_not_fit(tmp_path: Path) -> None:
    described = {name: {"major": "13", "preflight_disk_mb": 1, **wrong} for name, (wrong, _) in HOSTS.items()}
    (tmp_path / "hosts.yml").write_text(json.dumps({"database": {"hosts": described}}))
    (tmp_path / "play.yml").write_text(PLAY_HOST)
    done = run_play(tmp_path, "-i", "hosts.yml", "play.yml")
    said = " ".join((done.stdout + done.stderr).split())
    for name, (_, sentence) in HOSTS.items():
        assert not sentence or re.search(rf"ERROR: (\S+ )*?{re.escape(sentence)}[^:]*HINT:", said), name
        assert re.search(rf"{name} : ok=\d+ .*? failed={1 if sentence else 0} ", said), name


PLAY_MONITORING = PLAY.replace("hosts: localhost", "hosts: db1").replace(
    "tasks_from: secrets", "tasks_from: monitoring"
)
FLEET = {"database": ["db1"], "application": ["app1"], "backup": ["backup1"], "monitoring": ["backup1"]}
HOOK = "https://hooks.example.org/x"


@pytest.mark.parametrize(
    ("groups", "variables", "sentence"),
    [
        ({}, {"monitoring_webhook_url": HOOK}, ""),
        ({}, {"monitoring_email_to": "a@example.org", "stack_environment": {"EMAIL_HOST": "m", "EMAIL_FROM": "f"}}, ""),
        ({"monitoring": []}, {}, ""),
        ({}, {}, "neither monitoring_email_to nor monitoring_webhook_url is set"),
        ({"monitoring": ["db1"]}, {"monitoring_webhook_url": HOOK}, "the group `monitoring` has db1"),
        ({"monitoring": ["m1", "m2"]}, {"monitoring_webhook_url": HOOK}, "the group `monitoring` has m1, m2"),
        ({}, {"monitoring_email_to": "a@example.org"}, "the mail server or the sender is not"),
        ({}, {"monitoring_webhook_url": "s3cret.example.org"}, "monitoring_webhook_url is not one http or https URL"),
    ],
    ids=["webhook", "mail", "no monitoring", "no receiver", "database host", "two hosts", "no mail server", "no URL"],
)
def test_preflight_refuses_alerts_that_reach_no_person(
    tmp_path: Path, groups: dict[str, list[str]], variables: dict[str, object], sentence: str
) -> None:
    described = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in {**FLEET, **groups}.items() if hosts}
    (tmp_path / "hosts.yml").write_text(json.dumps(described))
    (tmp_path / "play.yml").write_text(PLAY_MONITORING)
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    done = run_play(tmp_path, "-i", "hosts.yml", "-e", "@variables.json", "play.yml")
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode == 0) == (not sentence), said
    assert sentence in said
    assert not sentence or "HINT:" in said
    assert "s3cret" not in said
