"""Item 7: a failure reaches a person. Every part is looked at, the alerts are loaded, and a test alert has arrived."""

import json
import re
import secrets
import time
from typing import Any
from urllib.parse import quote

import yaml

from checklist.api import Evidence, check, does_not_apply, not_proven
from checklist.machines import Container, Machine
from checklist.target import Target
from testing.shell import ROOT

LOG_SECONDS = 75  # systemd-journal-upload waits at most a minute before it tries again
TEST_AGE = 35  # days: a test a month
TEST_TIME = "flaglearning_alert_test_timestamp_seconds"
# What Prometheus reads (docker/monitoring/prometheus.yml), by the group of hosts that has it.
JOBS_OF = {
    "monitoring": {"prometheus", "alertmanager"},
    "database": {"postgres", "certificates"},
    "application": {"pgbouncer", "proxy", "site", "certificates"},
}
JOBS_OF_CLUSTER = {**JOBS_OF, "database": {"patroni", "etcd", *JOBS_OF["database"]}}
RULES = ROOT / "docker/monitoring/rules"
GET = "exec 3<>/dev/tcp/127.0.0.1/9090; printf 'GET %s HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


def answer(prometheus: Container, path: str) -> Any:
    """What Prometheus' API answers."""
    done = prometheus.run("bash -c %s", GET % path.replace("%", "%%"))
    assert done.rc == 0, f"Prometheus does not answer: {done.stderr.strip()}"
    return json.loads(done.stdout.partition("\r\n\r\n")[2])["data"]


def series(prometheus: Container, expression: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series of an expression."""
    found = answer(prometheus, f"/api/v1/query?query={quote(expression)}")["result"]
    return [(one["metric"], float(one["value"][1])) for one in found]


@check(
    "MON-08",
    claim="monitoring looks at every part, its alerts are loaded, and a test alert has reached the receivers",
    remedy="one machine: `./scripts/up --monitoring`; hosts: the group `monitoring`; then `./scripts/ops alert test`",
)
def test_a_failure_is_reported(target: Target, evidence: Evidence) -> None:
    prometheus = target.prometheus
    if prometheus is None:
        if target.development:
            does_not_apply("monitoring is off, as it may be in development")
        not_proven("no Prometheus runs: a failure is reported to no person")
    up = series(prometheus, "up")
    for labels, value in up:
        where = labels.get("host", labels["instance"])
        evidence(f"{labels['job']} of {where}: {'up' if value else 'down'}", prometheus.machine)
    down = [f"{labels['job']} of {labels.get('host', labels['instance'])}" for labels, value in up if not value]
    assert not down, f"Prometheus gets no metrics from {', '.join(down)}"
    missing = wanted(target) - {(labels["job"], labels.get("host", "")) for labels, _ in up}
    unseen = sorted(f"{job} of {host}" if host else job for job, host in missing)
    assert not unseen, f"Prometheus does not look at {', '.join(unseen)}"

    loaded = {rule["name"]: rule for group in answer(prometheus, "/api/v1/rules")["groups"] for rule in group["rules"]}
    groups = [group for file in RULES.glob("*.yml") for group in yaml.safe_load(file.read_text())["groups"]]
    declared = {rule["alert"] for group in groups for rule in group["rules"]}
    evidence(f"alerts: {len(loaded)} loaded, {len(declared)} declared", prometheus.machine)
    assert declared <= loaded.keys(), f"not loaded: {', '.join(sorted(declared - loaded.keys()))}"
    broken = [name for name, rule in loaded.items() if rule["health"] == "err"]
    assert not broken, f"can't be evaluated: {', '.join(broken)}"

    tests = [value for _, value in series(prometheus, TEST_TIME)]
    if not tests:
        not_proven("no test alert has reached the receivers yet: ./scripts/ops alert test")
    days = (time.time() - max(tests)) / 86400
    evidence(f"a test alert reached every receiver {days:.1f} days ago", prometheus.machine)
    assert days <= TEST_AGE, f"the last test alert is {days:.0f} days old: ./scripts/ops alert test"


def wanted(target: Target) -> set[tuple[str, str]]:
    """The jobs that have to be there, each with the host that it has to look at; on one machine without a host."""
    if not target.hosts:
        return {(job, "") for jobs in JOBS_OF.values() for job in jobs} | {("node", "")}
    found = {("prometheus", ""), ("alertmanager", "")} | {("node", host.name) for host in target.hosts}
    jobs_of = JOBS_OF_CLUSTER if sum("database" in host.groups for host in target.hosts) > 1 else JOBS_OF
    for group in ("database", "application"):
        found |= {(job, host.name) for host in target.hosts if group in host.groups for job in jobs_of[group]}
    between = [host for host in target.hosts if "application" in host.groups and "database" not in host.groups]
    return found | {("haproxy", host.name) for host in between}


@check(
    "MON-09",
    claim="logs are limited in size; on hosts the journal has them, which outlives containers and is limited by age;"
    " a monitoring host has every other host's",
    remedy="one machine: docker/compose/production.yml; hosts: `ansible-playbook playbooks/site.yml`",
)
def test_logs_are_kept_and_limited(target: Target, evidence: Evidence) -> None:
    if target.development:
        does_not_apply("a developer's machine keeps logs as its Docker engine does")
    for service in target.services:
        log = service.facts["HostConfig"]["LogConfig"]
        limits = ", ".join(f"{name}={value}" for name, value in sorted((log["Config"] or {}).items()))
        evidence(f"{service}: {log['Type']} {limits}", service.machine)
        if target.hosts:
            assert log["Type"] == "journald", f"the log of {service} ends with its container"
        else:
            assert {"max-size", "max-file"} <= (log["Config"] or {}).keys(), f"the log of {service} has no limit"
    for host in target.hosts:
        text = host.run("systemd-analyze cat-config systemd/journald.conf").stdout
        settings = dict(re.findall(r"^(Storage|SystemMaxUse|MaxRetentionSec)=(\S+)", text, re.MULTILINE))
        evidence(f"journal: {', '.join(f'{name}={value}' for name, value in sorted(settings.items()))}", host)
        assert settings.get("Storage") == "persistent", f"the journal of {host} ends with a reboot"
        assert {"SystemMaxUse", "MaxRetentionSec"} <= settings.keys(), f"the journal of {host} has no limit"
    for receiver in (host for host in target.hosts if "monitoring" in host.groups):
        logs_arrive(receiver, [host for host in target.hosts if host is not receiver], evidence)


def logs_arrive(receiver: Machine, senders: list[Machine], evidence: Evidence) -> None:
    """A line of each host's journal reaches the monitoring host, which limits what it keeps, by size and age."""
    tag, marker = "flaglearning-checklist", secrets.token_hex(8)
    for sender in senders:
        sender.run("logger --tag %s %s", tag, marker)
    read = "journalctl --quiet --output=cat --since=-5min --directory=/var/log/journal/remote/%s SYSLOG_IDENTIFIER=%s"
    late = senders
    for _ in range(LOG_SECONDS):
        late = [sender for sender in late if marker not in receiver.run(read, sender.name, tag).stdout]
        if not late:
            break
        time.sleep(1)
    assert not late, (
        f"{receiver} does not get the log of {', '.join(host.name for host in late)}: docs/runbooks/alerts.md#logslate"
    )
    evidence(f"a line of {', '.join(host.name for host in senders)} arrived", receiver)
    size = receiver.run("systemd-analyze cat-config systemd/journal-remote.conf").stdout
    delete = receiver.run("systemctl cat flaglearning-logs-old.service").stdout
    limits = re.findall(r"^MaxUse=\S+", size, re.MULTILINE) + re.findall(r"--days \d+", delete)
    timer = receiver.run("systemctl is-active flaglearning-logs-old.timer").stdout.strip()
    evidence(f"received logs: {', '.join(limits)}; the timer that deletes old ones is {timer}", receiver)
    assert (len(limits), timer) == (2, "active"), f"what {receiver} receives has no limit of size or age"
