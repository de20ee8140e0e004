"""No false alert: with the real durations, the game's load and a day's operations fire nothing."""

import os
import time
from collections.abc import Callable

import pytest

from alerts.lab import Lab
from support.load import Load, make_players

# Of this machine, which other programs use and whose clock containers can't set.
OF_THIS_MACHINE = "ClockOff|DiskFilling|DiskFull|MemoryLow|OomKill"
OPERATIONS = (
    ("backup", "create"),
    ("backup", "drill"),
    ("dump", "full"),
    ("password", "reset", "app", "--yes"),
    ("password", "reset", "monitor", "--yes"),
    ("clear-sessions",),
    ("rollout", "--app-only"),
)


@pytest.mark.long
@pytest.mark.last
def test_a_days_operations_under_load_fire_no_alert(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    """QUIET_MINUTES (default: 4) of it. Prometheus starts with no memory of the faults of other tests."""
    minutes = float(os.environ.get("QUIET_MINUTES", "4"))
    stack = lab.stack
    stack.compose("rm", "--force", "--stop", "--volumes", "prometheus", "alertmanager")
    stack.command("docker", "volume", "rm", f"{stack.project}_prometheus-data", f"{stack.project}_alertmanager-data")
    stack.variables["PATIENCE"] = "1"
    stack.__dict__.pop("environment", None)  # computed once, of the variables before
    try:
        stack.up("prometheus", "alertmanager")
        players = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words))
        began = time.monotonic()
        with Load(f"https://localhost:{stack.port('proxy', 8443)}", stack.ca, players, 10) as load:
            for words in OPERATIONS:
                done = lab.ops(*words)
                assert done.status == 0, done.out + done.err
            time.sleep(max(0.0, began + 60 * minutes - time.monotonic()))
        took = time.monotonic() - began
        names = f'alertname!~"Watchdog|{OF_THIS_MACHINE}"'
        fired = lab.get(
            "/api/v1/query",
            query=f'max by (alertname) (max_over_time(ALERTS{{{names}, alertstate="firing"}}[{took:.0f}s]))',
        )
        record_property("measured", f"{took:.0f} s with {len(OPERATIONS)} operations: {load}")
        assert [one["metric"]["alertname"] for one in fired["result"]] == []
        assert load.failures == []
    finally:
        stack.variables["PATIENCE"] = "0.1"
        stack.__dict__.pop("environment", None)
        stack.up("prometheus", "alertmanager")
