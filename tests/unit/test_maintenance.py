"""The maintenance window, and what needs a restart or a reboot after an update of packages."""

from datetime import UTC, datetime

import pytest

import maintenance

# 2026-11-29 is a Sunday.
SUNDAY, MONDAY, SATURDAY = "2026-11-29", "2026-11-30", "2026-11-28"


@pytest.mark.parametrize(
    ("window", "day", "time", "is_open"),
    [
        ("02:00-05:00", MONDAY, "02:00:00", True),
        ("02:00-05:00", MONDAY, "04:59:59", True),
        ("02:00-05:00", MONDAY, "05:00:00", False),
        ("02:00-05:00", MONDAY, "01:59:59", False),
        ("Sun 02:00-05:00", SUNDAY, "03:00:00", True),
        ("Sun 02:00-05:00", MONDAY, "03:00:00", False),
        ("Sat,Sun 02:00-05:00", SATURDAY, "03:00:00", True),
        ("Sun 22:00-02:00", SUNDAY, "22:00:00", True),
        ("Sun 22:00-02:00", MONDAY, "01:59:59", True),
        ("Sun 22:00-02:00", SUNDAY, "01:00:00", False),
        ("Sun 22:00-02:00", MONDAY, "22:30:00", False),
        ("00:00-00:00", MONDAY, "12:00:00", False),
        ("any", MONDAY, "12:00:00", True),
    ],
)
def test_a_window_is_open(window: str, day: str, time: str, is_open: bool) -> None:
    now = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)
    assert maintenance.window_is_open(window, now.timestamp()) is is_open


@pytest.mark.parametrize(
    "window", ["", "Sunday 02:00-05:00", "sun 02:00-05:00", "Xyz 02:00-05:00", "2-5", "24:00-25:00"]
)
def test_a_text_that_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(ValueError, match="is no maintenance window"):
        maintenance.window_is_open(window, 0)


def test_updates_that_stop_containers_are_known() -> None:
    printed = (
        "NOTE: This is only a simulation!\n"
        "Inst runc [1.1.15+ds1-2+b4] (1.1.15+ds1-2+deb13u1 Debian-Security:13/stable-security [amd64])\n"
        "Inst linux-image-6.12.57+deb13-amd64 (6.12.57-1 Debian-Security:13/stable-security [amd64])\n"
        "Inst openssl [3.5.7-1] (3.5.9-1 Debian:13.2/stable [amd64])\n"
        "Conf runc (1.1.15+ds1-2+deb13u1 Debian-Security:13/stable-security [amd64])\n"
    )
    packages = maintenance.pending_packages(printed)
    assert packages == ["runc", "linux-image-6.12.57+deb13-amd64", "openssl"]
    assert maintenance.stops_containers(packages) == packages[:2]
    assert maintenance.stops_containers(["docker.io", "containerd", "docker-cli", "runc-dev"]) == [
        "docker.io",
        "containerd",
    ]


@pytest.mark.parametrize(
    "unit",
    ["networking", "ifup@eth0", "systemd-networkd", "NetworkManager", "docker", "user@1000", "flaglearning-firewall"],
)
def test_what_ends_the_network_or_work_waits_for_a_reboot(unit: str) -> None:
    found = maintenance.running_old(f"NEEDRESTART-KSTA: 1\nNEEDRESTART-SVC: {unit}.service\n")
    assert found == {"restart": [], "reboot": [f"{unit}.service"]}


@pytest.mark.parametrize(("kernel", "reboot"), [("0", []), ("1", []), ("2", ["kernel"]), ("3", ["kernel"])])
def test_what_needrestart_lists(kernel: str, reboot: list[str]) -> None:
    services = "NEEDRESTART-SVC: ssh.service\nNEEDRESTART-SVC: dbus.service\n"
    printed = f"NEEDRESTART-VER: 3.11\nNEEDRESTART-KSTA: {kernel}\n{services}"
    found = maintenance.running_old(printed)
    assert found == {"restart": ["ssh.service"], "reboot": ["dbus.service", *reboot]}
    assert maintenance.running_old("NEEDRESTART-VER: 3.11\n") == {"restart": [], "reboot": []}
