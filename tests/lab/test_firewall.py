"""A host on the same network reaches only ports that a service has opened."""

import json
import re
from collections.abc import Iterator

import pytest

from lab.hosts import Lab
from network import scan
from players import HERE
from testing.shell import ROOT, eventually


@pytest.fixture(scope="module")
def web(lab: Lab) -> Iterator[str]:
    """The address of a container that answers on 8000: published everywhere as 18000, on loopback as 18001."""
    lab.exec("db1", "docker", "network", "create", "web")
    lab.exec(
        "db1", "docker", "run", "--detach", "--rm", "--name", "web", "--network", "web", "--publish", "18000:8000",
        "--publish", "127.0.0.1:18001:8000", "flaglearning/app:serving", "python", "-m", "http.server", "8000",
    )  # fmt: skip
    address = lab.exec("db1", "docker", "inspect", "-f", "{{.NetworkSettings.Networks.web.IPAddress}}", "web").strip()
    eventually(lambda: lab.exec("db1", "curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:18001/") == "", within=20)
    # A host on the same network can route packets for the container's address through the host.
    lab.exec("vantage", "ip", "route", "add", f"{address}/32", "via", lab.address("db1"))
    yield address
    lab.exec("vantage", "ip", "route", "del", f"{address}/32")
    lab.exec("db1", "docker", "rm", "--force", "web")
    lab.exec("db1", "docker", "network", "rm", "web")


def shut(lab: Lab, web: str) -> None:
    """Neither what is published nor the container itself answers the vantage, and administrators still get in."""
    assert scan(lab, web, 8000, 8000) == []
    assert scan(lab, lab.address("db1"), 18000, 18001) == []
    assert scan(lab, lab.address6("db1"), 18000, 18001) == []
    assert lab.ssh("db1", "hostname").strip() == "db1"


def test_all_ports_but_the_proxys_are_shut_over_both_families(lab: Lab, web: str) -> None:
    for address in (lab.address("db1"), lab.address6("db1")):
        assert scan(lab, address) == [80, 443]


@pytest.mark.parametrize("family", [4, 6])
def test_the_proxy_sees_a_visitors_own_address(lab: Lab, family: int) -> None:
    """Behind Docker's own proxy all visitors would share the bridge's address, and its rate limits."""
    host, visitor = (
        (lab.address("db1"), lab.address("vantage"))
        if family == 4
        else (f"[{lab.address6('db1')}]", lab.address6("vantage"))
    )
    agent = f"visitor-{family}"
    lab.exec("vantage", "curl", "-fskS", "-o", "/dev/null", "-A", agent, f"https://{host}/accounts/login/", check=False)
    log = lab.exec("db1", *HERE, "logs", "--no-log-prefix", "--since", "1m", "proxy")
    [line] = [json.loads(line) for line in re.findall(r"\{.*\}", log) if agent in line]
    assert line["client"] == visitor


def test_without_the_table_the_same_scan_finds_them(lab: Lab, web: str) -> None:
    """Or else the tests here would prove nothing."""
    lab.exec("db1", "nft", "delete", "table", "inet", "flaglearning")
    try:
        assert scan(lab, lab.address("db1"), 22, 22) == [22]
        assert scan(lab, lab.address("db1"), 18000, 18000) == [18000]
        assert scan(lab, lab.address6("db1"), 18000, 18000) == [18000]
        assert scan(lab, web, 8000, 8000) == [8000]
    finally:
        lab.exec("db1", "systemctl", "reload", "flaglearning-firewall")
    shut(lab, web)


def test_what_a_service_opens_is_open_for_whom_it_names(lab: Lab, web: str) -> None:
    file = "/etc/nftables.d/flaglearning/web.nft"
    for source, expected in ((lab.address("vantage"), [18000]), ("192.0.2.1", [])):
        rule = f"ip saddr {source} meta l4proto tcp ct original proto-dst 18000 accept"
        lab.exec("db1", "sh", "-c", f"echo '{rule}' >{file}; systemctl reload flaglearning-firewall")
        try:
            assert scan(lab, lab.address("db1"), 18000, 18001) == expected
        finally:
            lab.exec("db1", "sh", "-c", f"rm {file}; systemctl reload flaglearning-firewall")


def test_the_rules_survive_ten_reloads_and_a_restart_of_docker(lab: Lab, web: str) -> None:
    lab.exec("db1", "sh", "-ec", "for i in 1 2 3 4 5 6 7 8 9 10; do systemctl reload flaglearning-firewall; done")
    shut(lab, web)
    lab.exec("db1", "systemctl", "restart", "docker")
    shut(lab, web)
    # Docker's own rules are still there: the host itself, and what the container asks outside
    lab.exec("db1", "curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:18001/")


def test_docker_does_not_start_without_the_table(lab: Lab) -> None:
    """So a host that boots without rules publishes nothing. (Containers that run already go on: live-restore.)"""
    lab.exec("db1", "nft", "delete", "table", "inet", "flaglearning")
    try:
        assert lab.exec("db1", "systemctl", "restart", "docker", check=False)
        assert lab.exec("db1", "systemctl", "is-active", "docker", check=False).strip() in ("activating", "failed")
        assert "inet flaglearning is not loaded" in lab.exec(
            "db1", "journalctl", "-u", "docker", "-n", "30", "--no-pager"
        )
    finally:
        lab.exec("db1", "systemctl", "restart", "flaglearning-firewall")
        lab.exec("db1", "systemctl", "reset-failed", "docker")
        lab.exec("db1", "systemctl", "start", "docker", "flaglearning")


def test_an_own_port_is_open_for_its_networks_until_it_leaves_the_inventory(lab: Lab) -> None:
    lab.exec("db1", "systemd-run", "--quiet", "--collect", "--unit=own-port", "python3", "-m", "http.server", "9100")
    own = {"firewall_services": {"metrics": {"ports": [9100], "networks": [f"{lab.address('vantage')}/32"]}}}
    role = str(ROOT / "tests/lab/role.yml")
    try:
        assert scan(lab, lab.address("db1"), 9100, 9101) == []
        lab.play(role, "-e", "role=firewall", "-e", json.dumps(own))
        assert scan(lab, lab.address("db1"), 9100, 9101) == [9100]
        lab.play(role, "-e", "role=firewall")
        assert scan(lab, lab.address("db1"), 9100, 9101) == []
    finally:
        lab.exec("db1", "systemctl", "stop", "own-port")


@pytest.mark.last
def test_the_rules_survive_a_reboot(rebooted: Lab) -> None:
    lab = rebooted
    assert "policy drop" in lab.exec("db1", "nft", "list", "table", "inet", "flaglearning")
    assert scan(lab, lab.address("db1"), 1, 1024) in ([], [80, 443])
    assert lab.ssh("db1", "hostname").strip() == "db1"
