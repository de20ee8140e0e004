"""What monitoring may. Its role at the server: tests/stack/test_login.py and test_privileges.py."""

import psycopg
import pytest

from support.postgres import Bouncer
from testing.shell import ROOT, run
from testing.stack import Stack

EXPORTERS = ("node-exporter", "postgres-exporter", "pgbouncer-exporter", "mtail", "ops-exporter")


def test_the_role_looks_at_the_pooler_and_may_not_change_it(stack: Stack) -> None:
    with Bouncer(stack).connect("monitor", dbname="pgbouncer") as console:
        console.execute("SHOW POOLS")
        with pytest.raises(psycopg.Error, match="admin access"):
            console.execute("PAUSE")


def test_only_prometheus_publishes_a_port_and_only_alertmanager_has_a_way_out(stack: Stack) -> None:
    services = stack.config["services"]
    monitoring = {name for name, one in services.items() if "monitoring" in (one.get("networks") or {})} - {"ops"}
    assert monitoring == {*EXPORTERS, "prometheus", "alertmanager"}
    published = {name: one["ports"] for name, one in services.items() if name in monitoring and one.get("ports")}
    assert list(published) == ["prometheus"]
    assert {port["host_ip"] for port in published["prometheus"]} == {"127.0.0.1"}
    networks = stack.config["networks"]
    outside = {
        name
        for name in monitoring
        for network in services[name]["networks"]
        if not networks[network].get("internal") and not networks[network].get("driver_opts")
    }
    assert outside == {"alertmanager"}


def test_no_password_in_a_process_list_or_an_environment(stack: Stack) -> None:
    password = (ROOT / "docker/secrets.dev/monitor_password").read_text().strip()
    for service in ("postgres-exporter", "pgbouncer-exporter"):
        assert password not in str(stack.inspect(service)["Config"])
        assert password not in run("docker", "top", stack.container(service), "-eo", "pid,args").stdout


def test_the_exporters_read_no_file_of_the_disks(stack: Stack) -> None:
    for folder in ("postgres-data/17/data", "repository/backup"):
        with pytest.raises(Exception, match="denied"):
            stack.exec("node-exporter", "ls", f"/disks/{folder}")
