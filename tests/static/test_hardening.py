"""Every service of every deployment is as restricted as its work allows: profiles and one-shots included.

What the running containers make of it, the checklist shows from inside them (NET-06, NET-07).
"""

from typing import Any

import pytest

from testing.shell import ROOT
from testing.stack import DEVELOPMENT, MONITORING, PRODUCTION, PRODUCTION_MONITORING, PROJECT, Stack

# Which service needs a capability, and which: docker-compose.yml says what for.
CAPABILITIES = {"certificates": {"CHOWN", "DAC_OVERRIDE", "FOWNER"}}
NEEDED: dict[str, Any] = {"SECRETS_DIR": "./docker/secrets.dev", "ALLOWED_HOSTS": "play.example.org"}
NEEDED |= {"EXPORTERS_ADDRESS": "192.0.2.14", "PROJECT_DIR": str(ROOT), "DISK": "/srv", "TARGETS_DIR": "/srv"}


CLUSTER = (*DEVELOPMENT, "docker/compose/cluster.yml")
DEPLOYMENTS = {
    "development": DEVELOPMENT,
    "production": PRODUCTION,
    "development with monitoring": MONITORING,
    "cluster": CLUSTER,
    "production with monitoring": PRODUCTION_MONITORING,
    "monitoring host": tuple(f"docker/compose/host-{name}.yml" for name in ("gateway", "node", "monitoring")),
}


@pytest.fixture(scope="module", params=DEPLOYMENTS.values(), ids=list(DEPLOYMENTS))
def services(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Service → its settings as docker compose renders them."""
    found: dict[str, dict[str, Any]] = Stack(f"{PROJECT}-static", request.param, **NEEDED).config["services"]
    return found


def test_the_root_is_read_only(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if not service.get("read_only")] == []


def test_no_capability_that_is_not_listed(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if service.get("cap_drop") != ["ALL"]] == []
    added = {name: set(service["cap_add"]) for name, service in services.items() if service.get("cap_add")}
    assert added == {name: wanted for name, wanted in CAPABILITIES.items() if name in services}


def test_no_new_privileges(services: dict[str, dict[str, Any]]) -> None:
    restricted = [name for name, one in services.items() if "no-new-privileges:true" in one.get("security_opt", [])]
    assert restricted == list(services)


def test_nothing_of_the_hosts_is_shared(services: dict[str, dict[str, Any]]) -> None:
    modes = ("privileged", "network_mode", "pid", "ipc", "devices", "userns_mode")
    assert [name for name, one in services.items() if any(one.get(mode) not in (None, "none") for mode in modes)] == []
    assert [
        name
        for name, service in services.items()
        for mount in service.get("volumes", [])
        if "docker.sock" in mount.get("source", "")
    ] == []


def test_every_service_that_keeps_running_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    lasting = {name for name, service in services.items() if service.get("restart") not in (None, "no")}
    assert lasting, "no service restarts by itself, so nothing was looked at"
    assert [name for name in sorted(lasting) if not services[name].get("healthcheck")] == []
