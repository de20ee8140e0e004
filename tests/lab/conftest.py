"""One host, converged once, and a vantage host; for later tests it grows to a fleet, and for the last to a cluster."""

import os
from collections.abc import Iterator

import pytest

from alerts.sinks import Webhooks
from images import BUILT
from lab.hosts import WEBHOOK, Lab
from players import Players
from support.cluster import FILES
from support.fixtures import KEEP
from testing.stack import MONITORING, PROJECT, TAG, Stack


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fleet's tests after those of the one host that it grows from, the cluster's after the fleet's."""
    items.sort(key=lambda item: sum(name in getattr(item, "fixturenames", ()) for name in ("split", "cluster")))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    os.environ["TAG"] = TAG  # the machines' image too is this run's own
    lab = Lab(f"{PROJECT}-lab")
    if not KEEP:
        lab.down()
    try:
        if not lab.running():
            lab.up("solo")
            lab.exec("db1", "sh", "-ec", "mkdir -p /etc/docker; echo '{\"mtu\": 1400}' >/etc/docker/daemon.json")
            lab.play("site.yml", *BUILT)
        yield lab
    finally:
        if not KEEP:
            lab.down()


@pytest.fixture(scope="session")
def players(lab: Lab) -> Players:
    """Accounts that play, and what they have been told."""
    return Players(lab)


@pytest.fixture(scope="session")
def rebooted(lab: Lab) -> Lab:
    """The one host, after a reboot."""
    lab.restart("db1")
    return lab


@pytest.fixture(scope="session")
def split(lab: Lab, players: Players) -> Lab:
    """As docs/runbooks/grow.md says: db1 keeps the database, app1 and app2 take the app over. Killed once meanwhile."""
    if "app1" in lab.running():  # KEEP_STACK=1: it has grown before
        return lab
    players.answer()
    # The runner builds what one host without monitoring has.
    Stack(PROJECT, MONITORING).build("prometheus")
    Stack(PROJECT, FILES).build("haproxy")
    lab.up("growing")
    lab.play_and_kill("site.yml", *BUILT, at="Install Docker Engine")
    lab.play("site.yml", *BUILT)
    lab.up("split")
    lab.play("site.yml", *BUILT)
    return lab


@pytest.fixture(scope="session")
def webhooks() -> Iterator[Webhooks]:
    """Where the lab's alerts arrive."""
    webhooks = Webhooks(WEBHOOK)
    yield webhooks
    webhooks.server.shutdown()
