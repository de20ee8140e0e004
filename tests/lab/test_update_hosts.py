"""update-hosts.yml: a host's own packages, in a maintenance window, with its services stopped cleanly where needed."""

import datetime
import re

import pytest

from lab.hosts import Lab
from players import HERE, Players

pytestmark = pytest.mark.long

# Of Debian 13's main archive; its security archive has a newer one.
OLD_RUNC = "1.1.15+ds1-2+b4"
NOW = ("-e", "update_window=any")


def started(lab: Lab) -> str:
    psql = ("psql", "-XAt", "-h", "/run/postgresql", "-U", "postgres", "-c", "SELECT pg_postmaster_start_time()")
    return lab.exec("db1", *HERE, "exec", "-T", "postgres", *psql).strip()


def runc(lab: Lab) -> str:
    return lab.exec("db1", "dpkg-query", "-W", "-f", "${Version}", "runc")


def test_no_host_changes_outside_the_window(lab: Lab) -> None:
    before = runc(lab)
    tomorrow = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)).strftime("%a 12:00-13:00")
    for window, sentence in ((("-e", f"update_window='{tomorrow}'"), f"is {tomorrow}"), ((), "is not set")):
        done = lab.play("update-hosts.yml", *window, check=False)
        assert done.returncode != 0
        assert f"the maintenance window {sentence}" in " ".join(done.stdout.split())
        assert re.search(r"changed=0", done.stdout)
    assert runc(lab) == before


def test_what_stops_containers_is_installed_with_the_services_stopped(lab: Lab, players: Players) -> None:
    current, before = runc(lab), started(lab)
    assert current != OLD_RUNC
    downgrade = ("apt-get", "install", "-y", "-qq", "--allow-downgrades", f"runc={OLD_RUNC}")
    lab.exec("db1", "env", "DEBIAN_FRONTEND=noninteractive", *downgrade)
    assert runc(lab) == OLD_RUNC
    lab.play("update-hosts.yml", *NOW)
    assert runc(lab) == current
    first = started(lab)
    assert first != before
    assert players.ask("db1") == 200
    log = lab.exec("db1", "journalctl", "CONTAINER_NAME=flaglearning-postgres-1", "--since=-15min", "--no-pager")
    assert "database system was shut down at" in log
    assert "database system was interrupted" not in log
    lab.play("update-hosts.yml", *NOW)
    assert started(lab) == first  # nothing is pending: nothing stops
