"""What monitoring may. Its role at the server: tests/stack/test_login.py and test_privileges.py."""

import psycopg
import pytest

from support.postgres import Bouncer
from testing.shell import ROOT, run
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
