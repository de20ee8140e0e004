"""What the checklist reads from an Ansible inventory, and what it says of one that can't be read. No host is asked."""

import re
import sys
from pathlib import Path

import pytest

from checklist import fleet
from checklist.machines import Machine, TargetError
from testing.shell import ROOT, run

INVENTORY = """
all:
  vars: { ansible_user: debian, stack_secrets: { app_password: of-no-use } }
database: { children: { primary: { hosts: { db1: { ansible_host: 192.0.2.11 } } } } }
application: { hosts: { app1: { ansible_host: "2001:db8::12", ansible_port: 2222 }, db1: {} } }
vantage: { hosts: { vantage1: {} } }
"""


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "vault-password").write_text("right")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "vault-password"))
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(INVENTORY)
    return folder


def read(path: Path) -> dict[str, fleet.Host]:
    return {host.name: host for host in fleet.read_inventory(path, "mine")}


def ssh(host: fleet.Host) -> str:
    """The command that would run `true` there."""
    command, arguments = host.machine(Path("/sockets"), set()).shell.backend._build_ssh_command("true")
    return " ".join(command) % tuple(arguments)


def test_groups_are_ansibles_those_within_groups_too(inventory: Path) -> None:
    groups = {name: host.groups for name, host in read(inventory).items()}
    assert groups == {"db1": ("database", "application"), "app1": ("application",), "vantage1": ("vantage",)}


def test_variables_of_the_vault_are_dropped(inventory: Path) -> None:
    assert "of-no-use" not in repr(read(inventory))


def test_ssh_is_used_as_ansible_would(inventory: Path) -> None:
    command = ssh(read(inventory)["app1"])
    for option in ("StrictHostKeyChecking=yes", "BatchMode=yes", "User=debian", "Port=2222", "2001:db8::12"):
        assert option in command
    assert "192.0.2.11" in ssh(read(inventory)["db1"])
    assert "vantage1" in ssh(read(inventory)["vantage1"])


def test_a_relays_ssh_has_the_same_options(inventory: Path) -> None:
    words = read(inventory)["app1"].machine(Path("/sockets"), set()).ssh
    assert {"StrictHostKeyChecking=yes", "BatchMode=yes", "ControlPath=/sockets/%C"} <= set(words)
    assert words[words.index("-p") + 1] == "2222"
    assert words[-1] == "debian@2001:db8::12"


def test_a_name_is_looked_for_where_it_was_typed_then_in_ansible(inventory: Path) -> None:
    assert fleet.find_inventory("hosts.yml", inventory) == inventory / "hosts.yml"
    assert fleet.find_inventory("inventories/example", inventory) == fleet.ANSIBLE / "inventories/example"
    with pytest.raises(TargetError, match=r"no inventory 'nowhere'.*\nHINT:  ./scripts/inventory new"):
        fleet.find_inventory("nowhere", inventory)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("database: [", "Ansible can't read the inventory 'mine'"),
        ("database: { hosts: { db1: {} } }", "the inventory 'mine' has no host in the group `application`"),
    ],
    ids=["broken", "no application"],
)
def test_an_inventory_that_does_not_do_says_so(inventory: Path, text: str, sentence: str) -> None:
    (inventory / "hosts.yml").write_text(text)
    with pytest.raises(TargetError, match=sentence) as raised:
        read(inventory)
    assert "HINT:" in str(raised.value)


def test_a_wrong_vault_password_is_said(inventory: Path) -> None:
    password = inventory.parent / "vault-password"
    vault = inventory / "group_vars/all/vault.yml"
    vault.parent.mkdir(parents=True)
    vault.write_text("stack_secrets: {}")
    tool = str(Path(sys.executable).parent / "ansible-vault")
    run(tool, "encrypt", str(vault))
    assert "db1" in read(inventory)
    password.write_text("wrong")
    with pytest.raises(TargetError, match=r"Decryption failed.*\nHINT:  export ANSIBLE_VAULT_PASSWORD_FILE"):
        read(inventory)


def test_a_missing_vault_password_says_where_it_belongs(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(inventory / "missing"))
    with pytest.raises(TargetError, match=r"has no vault password\nHINT:  write it there"):
        read(inventory)


def test_a_relative_vault_password_is_meant_from_where_it_was_typed(
    inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inventory.parent)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "vault-password")
    assert "db1" in read(inventory)


def test_a_host_that_is_not_there_is_named(inventory: Path) -> None:
    """No process listens on port 9 of this machine."""
    (inventory / "hosts.yml").write_text(
        "database: { hosts: { db1: { ansible_host: 127.0.0.1, ansible_port: 9 } } }\napplication: { hosts: { db1: } }"
    )
    with pytest.raises(TargetError, match=r"db1 can't be reached at 127.0.0.1: .*refused.*\nHINT:"):
        fleet.FleetTarget("hosts.yml", inventory)


def test_a_user_without_sudo_is_an_error() -> None:
    class Shell:
        def run(self, command: str) -> object:
            said = "sudo: a password is required"
            return type("Result", (), {"rc": 1, "stdout": "", "stderr": said})

    machine = Machine("db1", Shell(), set())
    with pytest.raises(TargetError, match="commands do not run as root on db1: sudo: a password is required\nHINT:"):
        fleet.check_root(machine)


def test_the_checklist_knows_no_table_of_the_game() -> None:
    """It runs for an application of one's own too (docs/your-app.md)."""
    files = [*(ROOT / "tests/checklist").glob("*.py"), *(ROOT / "scripts/lib/checklist").glob("*.py")]
    assert [file.name for file in files if re.search(r"\b(flags|users)_[a-z]", file.read_text())] == []
