"""A host that grew to three: the data is in place, and each part fails and comes back by itself."""

import pytest

from images import BUILT
from lab.hosts import Lab
from network import scan
from players import HERE, Players
from test_deploy import version
from testing.shell import eventually

pytestmark = pytest.mark.long


def running(lab: Lab, host: str) -> set[str]:
    format = '{{.Label "com.docker.compose.service"}}'
    return set(lab.exec(host, "docker", "ps", "--format", format).split())


def test_each_host_runs_what_its_groups_say(split: Lab) -> None:
    assert running(split, "db1") >= {"postgres", "pgbouncer", "backup"}
    assert not running(split, "db1") & {"app", "proxy"}
    for host in ("app1", "app2"):
        assert running(split, host) == {"app", "proxy", "exporters", "mtail", "node-exporter", "ops-exporter"}
    assert running(split, "backup1") >= {"prometheus", "alertmanager"}


def test_an_application_host_has_no_password_but_the_applications(split: Lab) -> None:
    found = split.exec("app1", "find", "/etc/flaglearning/secrets", "-type", "f", "-printf", "%P ").split()
    own = {f"tls/{of}/{name}" for of in ("proxy", "exporters", "logs") for name in ("ca.crt", "tls.crt", "tls.key")}
    receivers = {"alert_email_password", "alert_webhook_url"}  # for the report of a failed unit
    assert set(found) == {"app_password", "django_secret_key", "tls/client/ca.crt"} | own | receivers


def test_the_answers_came_along_and_new_ones_are_added(split: Lab, players: Players) -> None:
    before = players.answers()
    assert before > 0
    for host in ("app1", "app2"):
        with players.load(host) as load:
            eventually(lambda load=load: load.answers > 0, within=20)  # type: ignore[misc]
        assert load.failures == []
        before += load.answers
    assert players.answers() == before


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


@pytest.mark.parametrize(("host", "reached"), [("app1", [6432]), ("app2", [6432]), ("vantage", [])])
def test_only_application_hosts_reach_pgbouncer_and_no_host_reaches_postgresql(
    split: Lab, host: str, reached: list[int]
) -> None:
    assert scan(split, split.address("db1"), 5432, 6432, host=host) == reached
    assert scan(split, split.address6("db1"), 5432, 6432, host=host) == []  # it is published over IPv4 alone


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
    eventually(lambda: pooler_answers(split), within=120)
    eventually(lambda: [players.ask(host) for host in ("app1", "app2")] == [200, 200], within=10)


def pooler_answers(lab: Lab) -> bool:
    return "healthy" in lab.exec(
        "db1", "docker", "ps", "--filter", "label=com.docker.compose.service=pgbouncer", check=False
    )
