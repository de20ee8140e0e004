"""A host that grew to three: the data is in place, and each part fails and comes back by itself."""

import re
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from images import BUILT
from lab.hosts import Lab
from network import scan
from players import HERE, Players
from test_deploy import version
from testing.shell import eventually

pytestmark = pytest.mark.long

STARTED = ("docker", "inspect", "--format", "{{.State.StartedAt}}", "flaglearning-postgres-1")
CONSOLE = (
    *("docker", "exec", "flaglearning-pgbouncer-1", "psql", "-XqAt", "-h", "/run/pgbouncer", "-p", "6432"),
    *("-U", "pgbouncer", "pgbouncer"),
)
WAITED = re.compile(r"clients of (\w+) waited (\d+) ms")


def running(lab: Lab, host: str) -> set[str]:
    format = '{{.Label "com.docker.compose.service"}}'
    return set(lab.exec(host, "docker", "ps", "--format", format).split())


def test_each_host_runs_what_its_groups_say(split: Lab) -> None:
    assert running(split, "db1") >= {"postgres", "backup"}
    assert not running(split, "db1") & {"pgbouncer", "app", "proxy"}
    exporters = {"exporters", "mtail", "node-exporter", "ops-exporter", "pgbouncer-exporter"}
    for host in ("app1", "app2"):
        assert running(split, host) == {"haproxy", "pgbouncer", "app", "proxy"} | exporters
    assert running(split, "backup1") >= {"prometheus", "alertmanager"}


def test_an_application_host_has_no_password_but_those_of_its_services(split: Lab) -> None:
    found = split.exec("app1", "find", "/etc/flaglearning/secrets", "-type", "f", "-printf", "%P ").split()
    services = ("proxy", "pgbouncer", "exporters", "dashboard", "logs")
    own = {f"tls/{of}/{name}" for of in services for name in ("ca.crt", "tls.crt", "tls.key")}
    receivers = {"alert_email_password", "alert_webhook_url"}  # for the report of a failed unit
    passwords = {"app_password", "django_secret_key", "pgbouncer_password", "monitor_password"}
    assert set(found) == passwords | {"tls/client/ca.crt"} | own | receivers


def test_the_answers_came_along_and_new_ones_are_added(split: Lab, players: Players) -> None:
    before = players.answers()
    assert before > 0
    for host in ("app1", "app2"):
        with players.load(host) as load:
            eventually(lambda load=load: load.answers > 0, within=20)  # type: ignore[misc]
        assert load.failures == []
        before += load.answers
    assert players.answers() == before


def test_the_server_archives_to_the_backup_host(split: Lab) -> None:
    waiting = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
    asked = ("docker", "exec", "flaglearning-postgres-1", "psql", "-XqAt", "-h", "/run/postgresql", "-U", "postgres")
    split.exec("db1", *asked, "-c", "SELECT pg_switch_wal()")
    eventually(lambda: split.exec("db1", *asked, "-c", waiting).strip() == "0", within=60, every=1)


def test_doctor_finds_the_servers_host_well(split: Lab) -> None:
    """Exit status 0: every link of this host, the application's migrations among them, without the application."""
    said = split.exec("db1", "sh", "-ec", "cd /opt/flaglearning && ./scripts/ops doctor")
    assert "archiving" in said
    assert "not checked" not in said


def test_a_second_run_on_a_fleet_changes_nothing(split: Lab) -> None:
    done = split.play("site.yml", *BUILT)
    assert done.stdout.count("changed=0") == done.stdout.count("unreachable=0") >= 3


def pooler_says(lab: Lab, host: str, options: str) -> str:
    """What psql on a host's application network is told by the pooler."""
    database = f"host=pgbouncer port=6432 user=flaglearning_prod dbname=flaglearning_prod connect_timeout=5 {options}"
    program = f"""
import os, pathlib, psycopg
try:
    psycopg.connect({database!r}, password=pathlib.Path(os.environ["DATABASE_PASSWORD_FILE"]).read_text()).close()
    print("let in")
except psycopg.Error as error:
    print(error)
"""
    return lab.exec(host, *HERE, "exec", "-T", "app", "python", "-c", program)


def test_between_hosts_tls_is_verified_and_plaintext_refused(split: Lab) -> None:
    verified = "sslmode=verify-full sslrootcert=/tls/ca.crt"
    assert pooler_says(split, "app1", verified).strip() == "let in"
    assert "SSL required" in pooler_says(split, "app1", "sslmode=disable")
    assert "certificate verify failed" in pooler_says(
        split, "app1", "sslmode=verify-full sslrootcert=/etc/ssl/certs/ca-certificates.crt"
    )


@pytest.mark.parametrize(("host", "reached"), [("app1", [5432]), ("app2", [5432]), ("backup1", []), ("vantage", [])])
def test_only_application_hosts_reach_postgresql_and_no_host_reaches_pgbouncer(
    split: Lab, host: str, reached: list[int]
) -> None:
    assert scan(split, split.address("db1"), 5432, 6432, host=host) == reached
    assert scan(split, split.address6("db1"), 5432, 6432, host=host) == []  # it is published over IPv4 alone
    if host != "app2":
        assert scan(split, split.address("app2"), 5432, 6432, host=host) == []


ROLE_SAYS = """
import pathlib, psycopg
for name in ("flaglearning_migrator", "flaglearning_ops", "postgres", "flaglearning_prod", "pgbouncer"):
    try:
        psycopg.connect("host={} port=5432 sslmode=require connect_timeout=5", user=name, dbname="flaglearning_prod")
    except psycopg.Error as error:
        print(name, "no entry" if "no pg_hba.conf entry" in str(error) or "rejects" in str(error) else error)
"""


def test_from_an_application_host_only_the_pooled_roles_are_asked_for_a_password(split: Lab) -> None:
    """The others are refused by pg_hba.conf, with any password. The client is on the host's own network."""
    client = ("docker", "run", "--rm", "--interactive", "--network", "host", "flaglearning/app:serving", "python", "-")
    said = split.exec("app1", *client, stdin=ROLE_SAYS.format(split.address("db1")))
    refused = {line.split()[0] for line in said.splitlines() if line.endswith("no entry")}
    assert refused == {"flaglearning_migrator", "flaglearning_ops", "postgres", "pgbouncer"}, said
    assert "flaglearning_prod" in said


def restarted(lab: Lab) -> CompletedProcess[str]:
    """restart.yml, again while it says that a backup of the backup host is under way."""
    for _ in range(20):
        done = lab.play("restart.yml", check=False)
        if "has been at work" not in done.stdout:
            break
    return done


def test_the_server_is_replaced_while_the_clients_of_both_poolers_wait(
    split: Lab, players: Players, record_property: Callable[[str, object], None]
) -> None:
    """Without a failed request, by playbooks/restart.yml. The host alone refuses: its requests would fail."""
    before = split.exec("db1", *STARTED)
    refused = split.exec("db1", "sh", "-c", "cd /opt/flaglearning && ./scripts/ops restart postgres; echo status $?")
    assert "PgBouncer runs on application hosts" in refused
    assert "status 2" in refused
    assert split.exec("db1", *STARTED) == before
    first, second = players.loads("app1", "app2")
    with first, second:
        done = restarted(split)
    assert done.returncode == 0, done.stdout
    record_property("measured", f"{WAITED.findall(done.stdout)}; app1 {first}; app2 {second}")
    assert split.exec("db1", *STARTED) != before
    assert first.failures + second.failures == []
    assert {host for host, _ in WAITED.findall(done.stdout)} == {"app1", "app2"}


def test_the_server_stays_where_a_pooler_does_not_pause(split: Lab) -> None:
    """Nothing is replaced, and the clients of the other pooler go on."""
    before = split.exec("db1", *STARTED)
    split.exec("app2", "docker", "pause", "flaglearning-pgbouncer-1")
    try:
        done = restarted(split)
    finally:
        split.exec("app2", "docker", "unpause", "flaglearning-pgbouncer-1")
    assert done.returncode != 0
    assert "the server was not replaced: app2: " in " ".join(done.stdout.split())
    assert split.exec("db1", *STARTED) == before
    for host in ("app1", "app2"):
        assert "paused|no" in split.exec(host, *CONSOLE, "-c", "SHOW STATE")


def test_a_deploy_on_two_hosts_loses_no_request(split: Lab, players: Players) -> None:
    first, second = players.loads("app1", "app2")
    with first, second:
        split.play("deploy.yml", "-e", version("fleet"))
    assert first.failures + second.failures == []
    tag = ("docker", "inspect", "--format", '{{index .Config.Labels "version"}}', "flaglearning/app:serving")
    assert [split.exec(host, *tag).strip() for host in ("app1", "app2")] == ["fleet", "fleet"]


def test_passwords_change_on_all_hosts_at_once(split: Lab, players: Players) -> None:
    with players.load("app1") as load:
        split.play("rotate-passwords.yml", "-e", '{"stack_rotate": ["app"]}')
    assert load.failures == []
    secret = ("cat", "/etc/flaglearning/secrets/app_password")
    assert {split.exec(host, *secret) for host in ("db1", "app1", "app2")} == {split.secrets()["app_password"]}


def test_an_unreachable_host_is_reported_and_no_host_is_changed(split: Lab) -> None:
    split.stop("app2")
    try:
        done = split.play("site.yml", *BUILT, "--timeout", "5", check=False)
    finally:
        split.start("app2")
    assert done.returncode != 0
    assert "app2" in done.stdout
    assert "unreachable=1" in done.stdout
    assert "changed=0" in done.stdout
    assert "changed=1" not in done.stdout


def test_a_database_host_that_is_down_is_said_and_its_return_is_noticed(split: Lab, players: Players) -> None:
    split.stop("db1")
    eventually(lambda: [players.ask(host) for host in ("app1", "app2")] == [503, 503], within=30)
    assert players.ask("app1", "/healthz") == 200
    split.start("db1")
    eventually(lambda: server_answers(split), within=120)
    eventually(lambda: [players.ask(host) for host in ("app1", "app2")] == [200, 200], within=20)


def server_answers(lab: Lab) -> bool:
    return "healthy" in lab.exec(
        "db1", "docker", "ps", "--filter", "label=com.docker.compose.service=postgres", check=False
    )
