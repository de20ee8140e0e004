"""systemd's timers on a host: which are active, which are not."""

from typing import Any

from checklist.api import Evidence
from checklist.machines import Machine
from checklist.remote import call


def look_at_timers(pattern: str) -> dict[str, dict[str, str]]:
    """Timer → its properties in systemd. Runs on the host."""
    import subprocess

    def systemctl(*arguments: str) -> str:
        # Its status is 1 where nothing fits the pattern.
        return subprocess.run(["systemctl", *arguments], capture_output=True, text=True).stdout

    names = [line.split()[0] for line in systemctl("list-unit-files", "--no-legend", pattern).splitlines()]
    wanted = "Id,UnitFileState,ActiveState,SubState,NextElapseUSecRealtime,NextElapseUSecMonotonic"
    blocks = systemctl("show", "--property", wanted, *names).split("\n\n") if names else []
    found = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
    return {timer["Id"]: timer for timer in found}


def unarmed(host: Machine, names: list[str], evidence: Evidence) -> list[str]:
    """Those of the host's timers that won't elapse by themselves, now and after a reboot."""
    loose = []
    found: dict[str, Any] = {}
    for pattern in {name.partition("-")[0] for name in names}:
        found |= call(host, look_at_timers, f"{pattern}-*.timer")
    for name in sorted({*names, *found}):
        timer = found.get(name)
        if timer is None:
            evidence(f"{name}: not installed", host)
            loose.append(f"{name} of {host}")
            continue
        monotonic = timer["NextElapseUSecMonotonic"]
        next_time = timer["NextElapseUSecRealtime"] or (monotonic if monotonic != "infinity" else "")
        evidence(f"{name}: {timer['UnitFileState']}, {timer['ActiveState']}, next {next_time or 'never'}", host)
        waits = timer["ActiveState"] == "active" and (next_time or timer["SubState"] == "running")
        if timer["UnitFileState"] != "enabled" or not waits:
            loose.append(f"{name} of {host}")
    return loose
