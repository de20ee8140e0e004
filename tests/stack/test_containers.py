"""What the checklist has no check for: the networks between services, and the server as it was initialised."""
# ruff: noqa: S608 - the names pasted into SQL are the tests' own

import pytest

from support.postgres import Postgres
from testing.shell import run
from testing.stack import Stack


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


def test_the_server_is_out_of_reach_from_the_proxys_network(stack: Stack) -> None:
    assert reaches(stack, "database", "postgres", 5432), "the probe reaches it from no network, so it proves nothing"
    assert not reaches(stack, "edge", address(stack, "postgres", "database"), 5432)


@pytest.mark.parametrize("network", ["database", "site", "application"])
def test_an_internal_network_has_no_route_out(stack: Stack, network: str) -> None:
    """192.0.2.1: an address for documentation (RFC 5737). With a route the attempt would time out instead."""
    done = run(
        "docker", "run", "--rm", "--network", f"{stack.project}_{network}", "--entrypoint", "timeout",
        f"flaglearning/postgres:{stack.variables['TAG']}", "2", "bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/443",
        check=False,
    )  # fmt: skip
    assert "Network is unreachable" in done.stderr


def test_the_application_has_no_private_key(stack: Stack) -> None:
    """A client only: it has the CA's certificate."""
    assert stack.exec("app", "find", "/tls", "-type", "f").split() == ["/tls/ca.crt"]


def test_the_servers_configuration_is_readable_by_the_server_alone(stack: Stack) -> None:
    """And it can't write it. PGDSAT 2.4."""
    files = stack.exec("postgres", "find", "/etc/postgresql", "-printf", "%y %m %u:%g\n").split("\n")
    assert {line for line in files if line} == {"f 640 root:postgres", "d 750 root:postgres"}


@pytest.mark.parametrize(("service", "mask"), [("postgres", "0027"), ("pgbouncer", "0077")])
def test_what_a_service_creates_is_its_own(stack: Stack, service: str, mask: str) -> None:
    """CIS PostgreSQL Benchmark 2.1; the group of PostgreSQL's files may read them (docs/adr/0020)."""
    script = f"for one in /proc/[0-9]*; do if grep -qx {service} $one/comm; then grep ^Umask $one/status; fi; done"
    assert set(stack.exec(service, "sh", "-c", script).splitlines()) == {f"Umask:\t{mask}"}


def test_the_computed_settings_are_the_servers_own(stack: Stack) -> None:
    """The entrypoint writes them before the server sets a mask of its own."""
    assert stack.exec("postgres", "stat", "-c", "%a", "/run/postgresql-sizing/90-sizing.conf").strip() == "600"


def test_every_setting_is_in_force(postgres: Postgres) -> None:
    """No line of the files failed to apply, and none waits for a restart."""
    problems = "SELECT sourcefile, name, error FROM pg_file_settings WHERE error IS NOT NULL"
    assert postgres.superuser(problems) == ""
    assert postgres.superuser("SELECT name FROM pg_settings WHERE pending_restart") == ""


def test_sizing_follows_the_memory_limit(stack: Stack, postgres: Postgres) -> None:
    limit = stack.inspect("postgres")["HostConfig"]["Memory"]
    buffers = int(postgres.value("ops", "SELECT setting FROM pg_settings WHERE name = 'shared_buffers'")) * 8192
    assert buffers == pytest.approx(limit / 4, rel=0.01)


@pytest.mark.parametrize("extension", ["amcheck", "pgstattuple"])
def test_the_extension_is_there(postgres: Postgres, extension: str) -> None:
    assert postgres.value("ops", f"SELECT 1 FROM pg_extension WHERE extname = '{extension}'") == 1
