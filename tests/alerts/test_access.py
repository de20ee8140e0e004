"""What monitoring may. Its role at the server: tests/stack/test_login.py and test_privileges.py."""

import psycopg
import pytest

from alerts.lab import Lab
from support.postgres import Bouncer
from testing.shell import ROOT, eventually, run
from testing.stack import Stack


def test_the_role_looks_at_the_pooler_and_may_not_change_it(stack: Stack) -> None:
    with Bouncer(stack).connect("monitor", dbname="pgbouncer") as console:
        console.execute("SHOW POOLS")
        with pytest.raises(psycopg.Error, match="admin access"):
            console.execute("PAUSE")


def test_no_password_in_a_process_list_or_an_environment(stack: Stack) -> None:
    password = (ROOT / "docker/secrets.dev/monitor_password").read_text().strip()
    for service in ("postgres-exporter", "pgbouncer-exporter"):
        assert password not in str(stack.inspect(service)["Config"])
        assert password not in run("docker", "top", stack.container(service), "-eo", "pid,args").stdout


def test_the_exporters_read_no_file_of_the_disks(stack: Stack) -> None:
    for folder in ("postgres-data/17/data", "repository/backup"):
        with pytest.raises(Exception, match="denied"):
            stack.exec("node-exporter", "ls", f"/disks/{folder}")


@pytest.mark.long
def test_a_new_password_of_the_role_reaches_the_exporters(lab: Lab) -> None:
    old = lab.stack.secret("monitor_password")
    done = lab.ops("password", "reset", "monitor")
    assert done.status == 0, done.err
    assert lab.stack.secret("monitor_password") != old
    eventually(lambda: lab.query("pg_up") == [1.0] and lab.query("pgbouncer_up") == [1.0], within=30)
