"""Maintenance of a host's own packages: the window in which it may happen, and what still runs old ones.

Pure functions, for Ansible's filters (ansible/filter_plugins/update_hosts.py)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WINDOW = re.compile(r"(?:([A-Z][a-z]{2}(?:,[A-Z][a-z]{2})*) )?([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d)")
ALWAYS = "any"
# Packages whose update stops every container, or takes effect with a reboot. (live-restore covers Docker itself only.)
ENGINE = re.compile(r"docker\.io|containerd|runc|linux-image-.*")
PENDING = re.compile(r"^Inst (\S+) ", re.MULTILINE)
# Restarted, they end sessions, the host's network or its own work; a reboot takes them along. needrestart's own list of
# these (override_rc in its configuration) does not concern what it prints with -b.
NOT_RESTARTED = re.compile(
    r"(dbus|dbus-broker|systemd-logind|systemd-journald|containerd|docker|getty@.*|user@.*|serial-getty@.*"
    r"|network.*|NetworkManager.*|systemd-networkd.*|ifup@.*|wpa_supplicant.*|openvpn.*|wg-quick@.*|strongswan.*"
    r"|libvirt.*|virtlogd|virtlockd|apt-daily.*|unattended-upgrades|cloud-.*|rc-local|emergency|rescue"
    r"|flaglearning.*)\.service"
)


def window_is_open(window: str, epoch: float) -> bool:
    """Whether a time, in seconds since 1970, is inside of a window: `02:00-05:00` each day, `Sun 02:00-05:00`, `Sat,Sun
    22:00-02:00` (UTC; one over midnight belongs to the day on which it begins), or `any`. Raises ValueError for another
    text."""
    if window == ALWAYS:
        return True
    found = WINDOW.fullmatch(window)
    days = found[1].split(",") if found and found[1] else list(DAYS)
    if not found or set(days) - set(DAYS) or int(found[2]) > 23 or int(found[4]) > 23:
        raise ValueError(f"'{window}' is no maintenance window: write it as 'Sun 02:00-05:00' (UTC)")
    now = datetime.fromtimestamp(epoch, timezone.utc)
    begins, ends = (timedelta(hours=int(found[n]), minutes=int(found[n + 1])) for n in (2, 4))
    of_day = timedelta(hours=now.hour, minutes=now.minute, seconds=now.second)
    today, yesterday = DAYS[now.weekday()] in days, DAYS[now.weekday() - 1] in days
    if begins <= ends:
        return today and begins <= of_day < ends
    return (today and of_day >= begins) or (yesterday and of_day < ends)


def pending_packages(simulated: str) -> list[str]:
    """The packages of the lines of `apt-get --simulate upgrade`: Inst runc [1.1-1] (1.1-2 Debian:13/stable [amd64])."""
    return PENDING.findall(simulated)


def stops_containers(packages: list[str]) -> list[str]:
    """Those whose update stops the host's containers."""
    return [name for name in packages if ENGINE.fullmatch(name)]


def running_old(printed: str) -> dict[str, list[str]]:
    """What `needrestart -b` printed: services to `restart`, and those, and the kernel, that only a `reboot` renews."""
    found = [line.partition(": ")[::2] for line in printed.splitlines()]
    services = [value.strip() for name, value in found if name == "NEEDRESTART-SVC"]
    # 1: the running kernel is the newest; 0: unknown (a container); 2 and 3: a newer one waits.
    kernel = [value.strip() for name, value in found if name == "NEEDRESTART-KSTA"]
    return {
        "restart": [one for one in services if not NOT_RESTARTED.fullmatch(one)],
        "reboot": [one for one in services if NOT_RESTARTED.fullmatch(one)] + ["kernel"] * (kernel in (["2"], ["3"])),
    }
