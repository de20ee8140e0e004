"""A fleet that is monitored from its backup host: what is scraped, by whom, and what reaches the receivers."""

import json
import time
from typing import Any

import pytest

from alerts.sinks import Webhooks
from lab.hosts import Lab
from players import Players
from test_deploy import version
from testing.shell import eventually

pytestmark = pytest.mark.long

HERE = ("env", "--chdir=/opt/flaglearning")
MONITORING = ("env", "--chdir=/opt/flaglearning-monitoring")
UNIT = "flaglearning-test-failure"


def ask(lab: Lab, path: str) -> Any:
    """Prometheus, on the loopback of the monitoring host."""
    return json.loads(lab.exec("backup1", "curl", "-sS", f"http://127.0.0.1:9090/api/v1/{path}"))["data"]


def up(lab: Lab) -> dict[str, str]:
    return {
        f"{one['labels']['job']} {one['labels'].get('host', '')}".strip(): one["health"]
        for one in ask(lab, "targets")["activeTargets"]
    }


def test_every_host_is_scraped(split: Lab) -> None:
    node = {f"node {host}" for host in ("db1", "app1", "app2", "backup1")}
    database = {f"{job} db1" for job in ("postgres", "certificates")}
    jobs = ("pgbouncer", "haproxy", "proxy", "site", "certificates")
    application = {f"{job} {host}" for job in jobs for host in ("app1", "app2")}
    wanted = {"prometheus", "alertmanager"} | node | database | application
    eventually(lambda: set(up(split).values()) == {"up"}, within=60)
    assert set(up(split)) == wanted


def test_nothing_fires_on_a_healthy_fleet(split: Lab, webhooks: Webhooks) -> None:
    """Its receivers are there. But what this machine's own clock may, and its disk and memory, which hosts share."""
    of_this_machine = {"ClockOff", "DiskFilling", "DiskFull", "MemoryLow", "OomKill"}

    def is_quiet() -> bool:
        alerts = {one["labels"]["alertname"]: one for one in ask(split, "alerts")["alerts"] if one["state"] == "firing"}
        assert {name: one for name, one in alerts.items() if name not in of_this_machine | {"Watchdog"}} == {}
        return True

    eventually(is_quiet, within=120, every=2)


CONNECT = "timeout 3 bash -c '</dev/tcp/{0}/9443' 2>/dev/null && echo open || echo shut"


@pytest.mark.parametrize(
    ("source", "target", "answer"),
    [
        ("backup1", "db1", "open"),
        ("backup1", "app1", "open"),
        ("app1", "backup1", "open"),  # it asks whether the monitoring works
        ("app1", "db1", "shut"),
        ("app1", "app2", "shut"),
        ("vantage", "app1", "shut"),
        ("vantage", "backup1", "shut"),
    ],
)
def test_the_port_is_open_for_the_monitoring_host(split: Lab, source: str, target: str, answer: str) -> None:
    assert split.exec(source, "sh", "-c", CONNECT.format(split.address(target))).strip() == answer


def test_a_client_without_prometheus_certificate_reads_nothing(split: Lab) -> None:
    """From the host that the firewall lets in."""
    tls = "/etc/flaglearning/secrets/tls"
    url = f"https://{split.address('db1')}:9443/node"
    words = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", f"{tls}/client/ca.crt", url)
    own = {
        name: ("--cert", f"{tls}/{name}/tls.crt", "--key", f"{tls}/{name}/tls.key")
        for name in ("monitoring", "exporters")
    }
    answers = {name: split.exec("backup1", *words, *options) for name, options in {**own, "none": ()}.items()}
    assert answers == {"monitoring": "200", "exporters": "403", "none": "400"}


def test_an_application_hosts_dashboard_queries_prometheus(split: Lab) -> None:
    """Through both gateways, as the app does it; nothing else leaves the gateway's bridge."""
    code = (
        "from core.dashboard import prometheus; import time;"
        " print(sorted({one['metric']['host'] for one in prometheus.query('up{job=\"node\"}', int(time.time()))}))"
    )
    for host in ("app1", "app2"):
        said = split.exec(
            host, *HERE, "docker", "compose", "exec", "-T", "app", "python", "manage.py", "shell", "-c", code
        )
        assert said.strip().splitlines()[-1] == "['app1', 'app2', 'backup1', 'db1']"
    leaves = "timeout 3 bash -c '</dev/tcp/{0}' 2>/dev/null && echo open || echo shut"
    for host, target, answer in (
        ("app1", f"{split.address('backup1')}/9443", "open"),
        ("app1", f"{split.address('backup1')}/22", "shut"),
        ("app1", f"{split.address('db1')}/9443", "shut"),
        ("db1", f"{split.address('backup1')}/9443", "shut"),
    ):
        probe = (*HERE, "docker", "compose", "exec", "-T", "exporters", "sh", "-c", leaves.format(target))
        assert (host, target, split.exec(host, *probe).strip()) == (host, target, answer)


def test_the_test_alert_goes_the_whole_way(split: Lab, webhooks: Webhooks) -> None:
    done = json.loads(split.exec("backup1", *MONITORING, "sh", "-c", "./scripts/ops alert test --json 2>/dev/null"))
    assert done["receivers"] == ["webhook"]
    assert webhooks.seen("firing", "TestAlert")
    eventually(lambda: webhooks.beats, within=30)
    said = split.exec("db1", *HERE, "./scripts/ops", "alert", "test", check=False)
    assert "Alertmanager runs on backup1" in said
    assert "HINT:" in said


def fail_a_unit(lab: Lab, host: str) -> None:
    lab.exec(host, "systemd-run", "--quiet", f"--unit={UNIT}", "--property=Type=oneshot", "false", check=False)


def test_a_failed_unit_is_reported_with_its_host_and_so_is_its_end(split: Lab, webhooks: Webhooks) -> None:
    began = time.monotonic()
    fail_a_unit(split, "app1")
    try:
        notice = webhooks.wait("firing", "UnitFailed", began, within=90)
    finally:
        split.exec("app1", "systemctl", "reset-failed", f"{UNIT}.service")
    assert (notice.labels["host"], notice.labels["unit"]) == ("app1", f"{UNIT}.service")
    webhooks.wait("resolved", "UnitFailed", began, within=150)


def test_without_the_monitoring_host_a_host_reports_by_itself(split: Lab, webhooks: Webhooks) -> None:
    began = time.monotonic()
    split.exec("backup1", *MONITORING, "docker", "compose", "stop", "alertmanager")
    try:
        fail_a_unit(split, "db1")
        notice = webhooks.wait("firing", "UnitFailed", began, within=60)
        assert notice.labels["host"] == "db1"
        assert "no monitoring host answers" in notice.annotations["summary"]
    finally:
        split.exec("backup1", *MONITORING, "docker", "compose", "start", "alertmanager")
        split.exec("db1", "systemctl", "reset-failed", f"{UNIT}.service")


def test_a_database_host_that_is_down_is_reported(split: Lab, webhooks: Webhooks, record_property: Any) -> None:
    began = time.monotonic()
    split.stop("db1")
    try:
        notice = webhooks.wait("firing", "PostgresDown", began, within=120)
        assert notice.labels["host"] == "db1"
        record_property("measured", f"PostgresDown after {notice.at - began:.1f} s, at a tenth of the durations")
    finally:
        split.start("db1")
    webhooks.wait("resolved", "PostgresDown", began, within=300)


def test_a_deploy_loses_no_line_of_the_log(split: Lab, players: Players) -> None:
    """The old containers are gone; their lines are in the journal."""
    seen = "before-the-deploy"
    players.ask("app1", f"/{seen}")
    split.play("deploy.yml", "-e", version("journal"))
    logs = split.exec("app1", *HERE, "./scripts/ops", "logs", "--since", "30m", "app", "proxy")
    assert f"/{seen}" in logs


def sent(lab: Lab, host: str, *words: str) -> str:
    """What the monitoring host has of a host's log."""
    return lab.exec("backup1", *MONITORING, "./scripts/ops", "logs", "--host", host, "--since", "30m", *words)


RECEIVERS = ("flaglearning-logs@app1.socket", "flaglearning-logs@app1.service")


def test_the_monitoring_host_has_each_hosts_log_and_gets_the_rest_after_an_interruption(
    split: Lab, players: Players
) -> None:
    players.ask("app1", "/before-the-interruption")
    eventually(lambda: "/before-the-interruption" in sent(split, "app1", "proxy"), within=90, every=2)
    assert "/before-the-interruption" in sent(split, "all")
    split.exec("backup1", "systemctl", "stop", *RECEIVERS)
    try:
        players.ask("app1", "/while-it-is-away")
        split.exec("app1", "systemctl", "start", "flaglearning-units.service")
        metrics = split.exec("app1", "cat", "/var/lib/flaglearning/metrics/flaglearning_logs.prom")
        assert "\nflaglearning_logs_unsent_since_timestamp_seconds " in metrics
        assert split.exec("app1", "systemctl", "is-failed", "systemd-journal-upload", check=False).strip() != "failed"
    finally:
        split.exec("backup1", "systemctl", "start", RECEIVERS[0])
    eventually(lambda: "/while-it-is-away" in sent(split, "app1", "proxy"), within=90, every=2)
    assert sent(split, "app1", "proxy").count("/before-the-interruption") == 1
    assert "/while-it-is-away" not in sent(split, "app2", "proxy")


def test_the_audit_log_is_there_and_its_host_can_not_delete_it(split: Lab) -> None:
    statement = "CREATE TABLE audited_and_sent (id int); DROP TABLE audited_and_sent"
    split.exec("db1", "docker", "exec", "flaglearning-postgres-1", "psql", "-qc", statement, "flaglearning_prod")
    eventually(lambda: "audited_and_sent" in sent(split, "db1", "postgres"), within=90, every=2)
    split.exec("db1", "journalctl", "--rotate")
    split.exec("db1", "journalctl", "--vacuum-time=1s")
    assert "audited_and_sent" not in split.exec("db1", *HERE, "./scripts/ops", "logs", "--since", "30m", "postgres")
    assert "audited_and_sent" in sent(split, "db1", "postgres")


def upload(lab: Lab, host: str, certificate: str, *words: str) -> str:
    """The status for a line that a host's root sends by hand; "000": no TLS connection."""
    tls = f"/etc/flaglearning/secrets/tls/{certificate}"
    own = ("--cert", f"{tls}/tls.crt", "--key", f"{tls}/tls.key") if certificate else ()
    post = (
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--cacert",
        "/etc/flaglearning/secrets/tls/client/ca.crt",
    )
    kind = ("-H", "Content-Type: application/vnd.fdo.journal")
    url = f"https://{lab.address('backup1')}:9443/logs/upload"
    return lab.exec(host, *post, *own, *kind, *words, url, check=False).strip()[-3:]


def test_a_host_writes_its_own_log_and_no_other(split: Lab) -> None:
    line = f"__REALTIME_TIMESTAMP={time.time_ns() // 1000}\n__MONOTONIC_TIMESTAMP=1\n_BOOT_ID={'0' * 31}1\n"
    line += (
        "MESSAGE=a false line\n_HOSTNAME=db1\n_SYSTEMD_UNIT=docker.service\nCONTAINER_NAME=flaglearning-postgres-1\n\n"
    )
    assert upload(split, "app1", "logs", "--data-binary", line) == "202"
    assert "a false line" in sent(split, "app1")
    assert "a false line" not in sent(split, "db1")
    assert upload(split, "app1", "exporters", "--data-binary", line) == "403"
    assert upload(split, "app1", "", "--data-binary", line) == "400"
    assert upload(split, "app1", "logs", "-X", "DELETE") == "405"


def test_the_monitoring_host_takes_lines_at_no_other_port(split: Lab) -> None:
    open_ports = split.exec("backup1", "ss", "--no-header", "--listening", "--tcp", "--numeric").split()
    assert not [one for one in open_ports if one.endswith((":19531", ":19532"))]


def test_received_logs_have_a_file_of_each_day(split: Lab) -> None:
    split.exec("backup1", "systemctl", "start", "flaglearning-logs-old.service")
    day = split.exec("backup1", "date", "-u", "+%F").strip()
    for host in ("db1", "app1", "app2"):
        assert f"{day}.journal" in split.exec("backup1", "ls", f"/var/log/journal/remote/{host}").split()


def test_no_secret_is_in_the_journal(split: Lab) -> None:
    for host in ("db1", "app1", "backup1"):
        journal = split.exec(host, "journalctl", "--no-pager", "--output=cat")
        if host != "backup1":
            received = f"/var/log/journal/remote/{host}"
            journal += split.exec("backup1", "journalctl", "--no-pager", "--output=cat", f"--directory={received}")
        files = split.exec(host, "find", "/etc/flaglearning/secrets", "-maxdepth", "1", "-type", "f").split()
        texts = {file: split.exec(host, "cat", file).strip().rpartition("=")[2] for file in files}
        assert {file for file, text in texts.items() if text and text in journal} == set()
