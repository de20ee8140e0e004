"""./scripts/checklist -i, over SSH: a converged host is found sound, and each way of loosening it fails its check."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.hosts import Lab
from support.checklist import Checklist
from testing.shell import eventually

# One host alone has no repository 2 and no monitoring host, and is no cluster.
EXPECTED = {"BACK-04": "not proven", "MON-08": "not proven"} | {
    f"HA-0{number}": "does not apply" for number in range(1, 6)
}
SECRETS = "/etc/flaglearning/secrets"


def secrets_of(lab: Lab) -> dict[str, str]:
    files = lab.exec("db1", "sh", "-c", f"ls {SECRETS}/*_password {SECRETS}/*_key").split()
    return {file: lab.exec("db1", "cat", file).strip() for file in files}


@pytest.fixture(scope="module")
def checklist(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Checklist:
    return Checklist(tmp_path_factory.mktemp("artifacts"), "-i", str(lab.inventory), env=lab.environment)


def test_a_converged_host_passes_but_for_what_does_not_exist_yet(lab: Lab, checklist: Checklist) -> None:
    for unit in ("flaglearning-dump-nightly", "flaglearning-backup-drill"):  # site.yml starts them, and doesn't wait
        eventually(lambda unit=unit: finished(lab, unit), within=300, every=2)  # type: ignore[misc]
    done = lab.play("checklist.yml", "-e", f"checklist_artifacts={checklist.artifacts}", check=False)
    outcomes = {check["id"]: check["outcome"] for check in checklist.checks()}
    assert {id: outcome for id, outcome in outcomes.items() if outcome != "pass"} == EXPECTED, done.stdout
    assert done.returncode != 0, "what is not proven must not look like a pass"
    assert "2 of 8 items fail" in done.stdout

    hosts = checklist.report()["hosts"]
    assert hosts == ["db1 (database, application)", "vantage1 (vantage)"]
    assert {seen["host"] for check in checklist.checks() for seen in check["evidence"]} <= {"db1", "vantage1"}

    texts = [done.stdout, done.stderr, *(file.read_text() for file in checklist.artifacts.iterdir())]
    told = {name for name, value in secrets_of(lab).items() if value and any(value in text for text in texts)}
    assert told == set(), "the report contains a secret"
    left = lab.exec("db1", "docker", "ps", "--quiet", "--filter", "label=org.flaglearning.checklist")
    assert left == "", "its clients are still there"


def finished(lab: Lab, unit: str) -> bool:
    """Whether the unit has ended well at least once."""
    properties = "Result,ActiveState,ExecMainExitTimestampMonotonic"
    shown = lab.exec("db1", "systemctl", "show", f"--property={properties}", f"{unit}.service")
    state = dict(line.split("=", 1) for line in shown.split())
    ended = state.pop("ExecMainExitTimestampMonotonic") != "0"
    return ended and state == {"Result": "success", "ActiveState": "inactive"}


class Loosened(NamedTuple):
    """A change of the host, how it is undone, and the checks that have to fail."""

    by: str
    undo: str
    noticed_by: set[str]


LOOSENED = {
    "a port is opened": Loosened(
        "echo 'tcp dport 6432 accept' >/etc/nftables.d/flaglearning/open.nft; systemctl reload flaglearning-firewall;"
        " systemd-run --quiet --collect --unit=open python3 -m http.server --bind :: 6432",
        "rm -f /etc/nftables.d/flaglearning/open.nft; systemctl reload flaglearning-firewall; systemctl stop open",
        {"NET-09", "TLS-13"},
    ),
    "the firewall is gone": Loosened(
        "nft delete table inet flaglearning; systemctl disable --quiet flaglearning-firewall",
        "systemctl enable --quiet flaglearning-firewall; systemctl reload flaglearning-firewall",
        {"NET-08", "NET-10"},
    ),
    # The folder above it is closed as well.
    "the secrets' folder is open": Loosened(
        f"chmod 0755 {SECRETS} $(dirname {SECRETS})", f"chmod 0700 {SECRETS} $(dirname {SECRETS})", {"PASS-07"}
    ),
    "a password is in .env": Loosened(
        f"echo LEAKED=$(cat {SECRETS}/app_password) >>/opt/flaglearning/.env",
        "sed -i /^LEAKED=/d /opt/flaglearning/.env",
        {"PASS-08"},
    ),
    "sshd takes passwords": Loosened(
        "echo PasswordAuthentication yes >/etc/ssh/sshd_config.d/00-a.conf; systemctl reload ssh",
        "rm -f /etc/ssh/sshd_config.d/00-a.conf; systemctl reload ssh",
        {"NET-11"},
    ),
    "a backup's timer is stopped": Loosened(
        "systemctl stop flaglearning-dump-nightly.timer",
        "systemctl start flaglearning-dump-nightly.timer",
        {"BACK-08"},
    ),
    "a timer is stopped": Loosened(
        "systemctl stop apt-daily-upgrade.timer", "systemctl start apt-daily-upgrade.timer", {"NET-12"}
    ),
    "the clock is a minute late": Loosened(
        "printf '#!/bin/sh\\nexec /usr/bin/date --date=-1minute \"$@\"\\n' >/usr/local/bin/date;"
        " chmod +x /usr/local/bin/date",
        "rm -f /usr/local/bin/date",
        {"TLS-14"},
    ),
    "the application trusts another CA": Loosened(
        f"cd {SECRETS}/tls/client && cp ca.crt ca.kept && openssl req -x509 -new -newkey ec"
        " -pkeyopt ec_paramgen_curve:P-256 -noenc -days 1 -subj /CN=another -keyout /dev/null -out ca.crt 2>&1",
        f"cd {SECRETS}/tls/client && mv ca.kept ca.crt",
        {"TLS-12"},
    ),
}


# One of them always, the others when the layer is named.
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.long if n else ()) for n, way in enumerate(LOOSENED)]
)
def test_what_is_loosened_is_noticed(lab: Lab, checklist: Checklist, way: str) -> None:
    assert_noticed(lab, "db1", checklist, LOOSENED[way])


def assert_noticed(lab: Lab, host: str, checklist: Checklist, loosened: Loosened) -> None:
    """Its checks fail while it is so, and pass when it is undone."""
    try:
        lab.exec(host, "sh", "-ec", loosened.by)
        assert checklist.outcomes(*loosened.noticed_by) == dict.fromkeys(loosened.noticed_by, "fail")
    finally:
        lab.exec(host, "sh", "-ec", loosened.undo)
    assert checklist.outcomes(*loosened.noticed_by) == dict.fromkeys(loosened.noticed_by, "pass")


@pytest.mark.long
def test_without_a_vantage_host_checks_are_not_proven(lab: Lab, checklist: Checklist, tmp_path: Path) -> None:
    shutil.copytree(lab.inventory, tmp_path / "inventory")
    hosts = json.loads((tmp_path / "inventory/hosts.yml").read_text())
    del hosts["vantage"]
    (tmp_path / "inventory/hosts.yml").write_text(json.dumps(hosts))
    alone = Checklist(tmp_path / "artifacts", "-i", str(tmp_path / "inventory"), env=lab.environment)
    ids = ("NET-08", "NET-09", "NET-10", "TLS-13")
    assert alone.outcomes(*ids) == {"NET-08": "pass"} | dict.fromkeys(ids[1:], "not proven")


@pytest.mark.long
def test_a_stack_that_is_down_on_a_host_says_so(lab: Lab, checklist: Checklist) -> None:
    lab.exec("db1", "env", "--chdir=/opt/flaglearning", "docker", "compose", "stop", "app")
    try:
        done = checklist.run("-k", "MON-01")
    finally:
        lab.exec("db1", "env", "--chdir=/opt/flaglearning", "docker", "compose", "start", "app")
    assert done.returncode == 2
    assert "the stack on db1 is not running; down: app." in done.stderr
    assert "HINT:" in done.stderr


@pytest.mark.long
def test_a_fleet_is_looked_at_host_by_host(split: Lab, checklist: Checklist) -> None:
    """Each pooler is reached from the server's host through a relay; the application has no way out of its network."""
    ids = (
        "TLS-12",
        "TLS-13",
        "NET-02",
        "NET-05",
        "NET-08",
        "NET-10",
        "NET-13",
        "PASS-07",
        "POOL-04",
        "POOL-05",
        "MON-07",
    )
    assert checklist.outcomes(*ids) == dict.fromkeys(ids, "pass")
    seen = {check["id"]: {seen["host"] for seen in check["evidence"]} for check in checklist.checks()}
    assert seen["TLS-12"] == {"app1", "app2"}
    assert seen["NET-08"] == {"db1", "app1", "app2", "backup1"}
    assert seen["TLS-13"] == {"app1", "app2", "vantage1"}
