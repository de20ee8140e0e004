"""Every container is shut as far as its work allows, seen from inside it."""
# ruff: noqa: S608 - the names pasted into SQL are the tests' own

import re
from typing import Any

import pytest

from support.postgres import Postgres
from testing.shell import run
from testing.stack import Stack

RUNNING = {"postgres": 5432, "pgbouncer": 6432, "app": 8000, "proxy": 8443}  # and the uid that each runs as
ONE_SHOTS = {"certificates": 0, "roles": 5432, "migrate": 8000}
ALL = {**RUNNING, **ONE_SHOTS}
# Who needs a capability, and which: docker-compose.yml says what for.
CAPABILITIES = {"certificates": {"CHOWN", "DAC_OVERRIDE", "FOWNER"}}


@pytest.fixture(params=ALL)
def inspected(request: pytest.FixtureRequest, stack: Stack) -> dict[str, Any]:
    return {**stack.inspect(request.param), "service": request.param}


def status(stack: Stack, service: str, field: str) -> str:
    """A line of /proc/1/status."""
    match = re.search(rf"^{field}:\s*(.*)$", stack.exec(service, "cat", "/proc/1/status"), re.MULTILINE)
    assert match
    return match[1]


def test_the_root_is_read_only(inspected: dict[str, Any]) -> None:
    assert inspected["HostConfig"]["ReadonlyRootfs"] is True


def test_no_capability_that_is_not_listed(inspected: dict[str, Any]) -> None:
    assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
    added = {capability.removeprefix("CAP_") for capability in inspected["HostConfig"]["CapAdd"] or []}
    assert added == CAPABILITIES.get(inspected["service"], set())


def test_no_new_privileges(inspected: dict[str, Any]) -> None:
    assert "no-new-privileges:true" in inspected["HostConfig"]["SecurityOpt"]


def test_not_privileged_and_no_docker_socket(inspected: dict[str, Any]) -> None:
    assert inspected["HostConfig"]["Privileged"] is False
    assert not [mount for mount in inspected["Mounts"] if "docker.sock" in mount.get("Source", "")]


@pytest.mark.parametrize("service", RUNNING)
def test_a_running_service_has_a_health_check(stack: Stack, service: str) -> None:
    assert stack.inspect(service)["State"]["Health"]["Status"] == "healthy"


@pytest.mark.parametrize("service", RUNNING)
def test_nothing_can_be_written_outside_tmpfs_and_volumes(stack: Stack, service: str) -> None:
    for folder in ("/", "/etc", "/usr/local/bin", "/home"):
        assert "Read-only file system" in stack.exec(service, "touch", f"{folder}/probe", check=False)


@pytest.mark.parametrize(("service", "uid"), RUNNING.items())
def test_it_runs_as_its_own_user(stack: Stack, service: str, uid: int) -> None:
    assert set(status(stack, service, "Uid").split()) == {str(uid)}


@pytest.mark.parametrize("service", RUNNING)
def test_its_first_process_has_no_capability(stack: Stack, service: str) -> None:
    assert {int(status(stack, service, field), 16) for field in ("CapEff", "CapPrm", "CapBnd")} == {0}


@pytest.mark.parametrize("service", RUNNING)
def test_a_key_is_its_services_own(stack: Stack, service: str) -> None:
    keys = stack.exec(service, "sh", "-c", "stat -c '%a %u' /tls/tls.key 2>/dev/null || true").strip()
    assert keys in ("", f"600 {RUNNING[service]}")
    assert (keys == "") == (service == "app")  # a client only: it has the CA's certificate


def test_the_ports_are_on_loopback_only(stack: Stack) -> None:
    published = [
        binding["HostIp"]
        for service in RUNNING
        for bindings in (stack.inspect(service)["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or []
    ]
    assert set(published) == {"127.0.0.1"}


# ------------------------------------------------------------ who can reach whom


def reaches(stack: Stack, network: str, host: str, port: int) -> bool:
    """Does a TCP connection from a container on this network succeed?"""
    connect = f"exec 3<>/dev/tcp/{host}/{port}"
    done = run(
        "docker", "run", "--rm", "--network", f"{stack.project}_{network}", "--entrypoint", "timeout",
        f"flaglearning/postgres:{stack.variables['TAG']}", "2", "bash", "-c", connect, check=False,
    )  # fmt: skip
    return done.returncode == 0


def address(stack: Stack, service: str, network: str) -> str:
    return str(stack.inspect(service)["NetworkSettings"]["Networks"][f"{stack.project}_{network}"]["IPAddress"])


@pytest.mark.parametrize("network", ["application", "edge"])
def test_the_server_is_out_of_reach_from(stack: Stack, network: str) -> None:
    assert not reaches(stack, network, "postgres", 5432)
    assert not reaches(stack, network, address(stack, "postgres", "database"), 5432)


def test_the_pooler_is_reached_from_the_applications_network(stack: Stack) -> None:
    assert reaches(stack, "application", "pgbouncer", 6432)


def test_the_application_has_no_way_out(stack: Stack) -> None:
    """Its network is internal: there is no default route."""
    routes = [line.split() for line in stack.exec("app", "cat", "/proc/net/route").splitlines()[1:]]
    assert routes
    assert [route for route in routes if route[1] == "00000000"] == []


# ------------------------------------------------------------ the server as it was made


def test_data_checksums_are_on(postgres: Postgres) -> None:
    assert postgres.value("ops", "SHOW data_checksums") == "on"


def test_every_setting_is_in_force(postgres: Postgres) -> None:
    """No line of the files failed to apply, and none waits for a restart."""
    problems = "SELECT sourcefile, name, error FROM pg_file_settings WHERE error IS NOT NULL"
    assert postgres.superuser(problems) == ""
    assert postgres.superuser("SELECT name FROM pg_settings WHERE pending_restart") == ""


def test_every_rule_of_pg_hba_was_understood(postgres: Postgres) -> None:
    assert postgres.superuser("SELECT * FROM pg_hba_file_rules WHERE error IS NOT NULL") == ""


def test_sizing_follows_the_memory_limit(stack: Stack, postgres: Postgres) -> None:
    limit = stack.inspect("postgres")["HostConfig"]["Memory"]
    buffers = int(postgres.value("ops", "SELECT setting FROM pg_settings WHERE name = 'shared_buffers'")) * 8192
    assert buffers == pytest.approx(limit / 4, rel=0.01)


@pytest.mark.parametrize("extension", ["pg_stat_statements", "pgaudit", "amcheck", "pgstattuple"])
def test_the_extension_is_there(postgres: Postgres, extension: str) -> None:
    assert postgres.value("ops", f"SELECT 1 FROM pg_extension WHERE extname = '{extension}'") == 1
