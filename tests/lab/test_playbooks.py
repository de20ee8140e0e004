"""site.yml: a second run changes nothing; preflight refuses an inventory or host that can't work."""

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from images import BUILT
from lab.hosts import Lab
from testing.shell import ROOT, eventually

HERE = ("env", "--chdir=/opt/flaglearning")
ROLE = str(ROOT / "tests/lab/role.yml")


def changed(output: str) -> int:
    return sum(int(number) for number in re.findall(r"changed=(\d+)", output))


def test_settings_of_docker_that_the_host_had_stay(lab: Lab) -> None:
    settings = json.loads(lab.exec("db1", "cat", "/etc/docker/daemon.json"))
    assert (settings["mtu"], settings["icc"]) == (1400, False)


def test_settings_of_one_host_arrive(lab: Lab) -> None:
    """Of host_vars/db1 (lab.hosts.SETTINGS_OF_ONE_HOST)."""
    show = ("postgres", "psql", "-XAt", "-h", "/run/postgresql", "-U", "postgres", "-c", "SHOW deadlock_timeout")
    assert lab.exec("db1", *HERE, "docker", "compose", "exec", "-T", *show).strip() == "1234ms"
    services = json.loads(lab.exec("db1", *HERE, "docker", "compose", "--profile", "ops", "config", "--format=json"))
    environment = {name: services["services"][name]["environment"] for name in ("backup", "ops")}
    assert environment["ops"]["DUMPS_KEEP"] == "8"
    assert environment["backup"]["PGBACKREST_REPO1_RETENTION_FULL"] == "3"
    assert environment["backup"]["BACKUP_FULL_DAYS"] == "6"


def test_one_machines_timers_are_those_of_the_role(lab: Lab) -> None:
    installed = lab.exec("db1", *HERE, "./scripts/ops", "timers", "install")
    assert "6 timers are active, 0 unit files changed" in installed


def test_a_check_sees_what_a_person_changed(lab: Lab) -> None:
    file = "/etc/sysctl.d/60-flaglearning.conf"
    lab.exec("db1", "sed", "-i", "s/^net.core.somaxconn.*/net.core.somaxconn = 99/", file)
    try:
        said = lab.play(ROLE, "-e", "role=base", "--check", "--diff").stdout
        assert "-net.core.somaxconn = 99" in said
        assert "99" in lab.exec("db1", "cat", file)  # a check changes nothing
    finally:
        lab.play(ROLE, "-e", "role=base")
    assert changed(lab.play(ROLE, "-e", "role=base", "--check").stdout) == 0


# What is wrong → the settings that make preflight find it, and its error. More: tests/static/test_inventory.py.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "port": ({"preflight_ports": {"database": [22]}}, "port 22 of db1 is taken"),
    "lock-out": ({"firewall_admin_networks": ["192.0.2.0/24"]}, "the firewall would lock you out"),
}


@pytest.fixture(scope="module")
def refusals(lab: Lab) -> dict[str, subprocess.CompletedProcess[str]]:
    """All at once: preflight changes nothing."""

    def preflight(name: str) -> subprocess.CompletedProcess[str]:
        return lab.play(ROLE, "-e", "role=preflight", "-e", json.dumps(REFUSED[name][0]), check=False)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(REFUSED, pool.map(preflight, REFUSED), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_preflight_stops_with_an_error_and_a_hint(
    refusals: dict[str, subprocess.CompletedProcess[str]], name: str
) -> None:
    done, sentence = refusals[name], REFUSED[name][1]
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode
    assert sentence in said
    assert "HINT:" in said


def test_a_wrong_vault_password_is_reported(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    done = lab.play("site.yml", check=False, ANSIBLE_VAULT_PASSWORD_FILE=str(tmp_path / "wrong"))
    assert done.returncode
    assert "Decryption failed" in done.stdout + done.stderr
    assert changed(done.stdout) == 0


def test_a_missing_vault_password_says_where_it_belongs(lab: Lab, tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "ANSIBLE_VAULT_PASSWORD_FILE": str(ROOT / "ansible/vault-password"),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    done = lab.play("site.yml", check=False, **own)
    assert done.returncode
    assert "HINT:" in done.stdout + done.stderr
    (tmp_path / "flaglearning").mkdir()
    (tmp_path / "flaglearning/vault-password").write_text("open to all")
    (tmp_path / "flaglearning/vault-password").chmod(0o644)
    assert "others may read" in lab.play("site.yml", check=False, **own).stderr


def test_an_unreachable_host_is_reported_and_no_host_is_changed(lab: Lab, tmp_path: Path) -> None:
    shutil.copytree(lab.inventory, tmp_path / "inventory")
    hosts = json.loads((tmp_path / "inventory/hosts.yml").read_text())
    hosts["application"]["hosts"]["gone"] = {"ansible_host": f"{lab.net4}.77"}
    (tmp_path / "inventory/hosts.yml").write_text(json.dumps(hosts))
    done = lab.play("site.yml", "-i", str(tmp_path / "inventory"), "--timeout", "5", *BUILT, check=False)
    assert done.returncode
    assert re.search(r"gone\s.*unreachable=1", done.stdout)
    assert changed(done.stdout) == 0


@pytest.mark.long
def test_a_mistake_in_sshs_settings_takes_itself_back(lab: Lab) -> None:
    before = lab.exec("db1", "cat", "/etc/ssh/sshd_config.d/00-flaglearning.conf")
    done = lab.play(ROLE, "-e", "role=ssh", "-e", '{"ssh_users": ["nobody"], "ssh_undo_after": 30}', check=False)
    assert done.returncode
    eventually(lambda: lab.ssh("db1", "true", check=True) == "", within=60, every=1)
    assert lab.exec("db1", "cat", "/etc/ssh/sshd_config.d/00-flaglearning.conf") == before


@pytest.mark.long
def test_firewall_rules_that_lock_out_take_themselves_back(lab: Lab) -> None:
    mistake = '{"firewall_admin_networks": ["192.0.2.0/24"], "firewall_undo_after": 30}'
    try:
        assert lab.play(ROLE, "-e", "role=firewall", "-e", mistake, check=False).returncode
        eventually(lambda: lab.ssh("db1", "true", check=True) == "", within=60, every=1)
    finally:
        lab.play(ROLE, "-e", "role=firewall")
    assert "table inet flaglearning" in lab.exec("db1", "nft", "list", "tables")
