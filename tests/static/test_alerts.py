"""Each alert has its section in the runbook, its unit test and its fault; its thresholds are those of the checks."""

import os
import re
import shlex
from typing import Any

import pytest
import yaml

import backup_health
from alerts.cases import CASES
from alerts.cluster_faults import CLUSTER_FAULTS
from alerts.faults import FAULTS
from alerts_page import UNIT_ONLY
from ops import cli, packages
from ops.flows import doctor
from testing.shell import ROOT, run

RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for file in (ROOT / "docker/monitoring/rules").glob("*.yml")
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
}
RUNBOOK = (ROOT / "docs/runbooks/alerts.md").read_text()


def test_each_alert_has_its_section_its_unit_test_and_its_fault() -> None:
    assert set(re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)) == set(RULES)
    assert set(CASES) == set(RULES)
    assert {*FAULTS, *CLUSTER_FAULTS, *UNIT_ONLY, "Watchdog"} == set(RULES)  # Watchdog: test_delivery.py
    assert not {*FAULTS, *CLUSTER_FAULTS} & set(UNIT_ONLY)


# Metrics of rules that may be absent, and why no alert is lost then.
MAY_BE_ABSENT = {
    r"alertmanager_notifications_failed_total": "without a receiver, which production refuses",
    r"http_requests_total": "before the first request; http_request_seconds_count is of the same program",
    r"app_failures_total": "until there is an error",
    r"pg_replication_slot_.*": "without a slot",
    r"pg_stat_replication_.*": "without a standby; MemberLost",
    r"flaglearning_certificate_expiry_.*": "CertificateInvalid",
    r"flaglearning_(archive|backup)_(exposed|waiting|newest|count|damaged|repository)_?.*": "BackupServiceSilent and "
    "BackupRepositoryUnusable: what is not known is not written",
    r"flaglearning_backup_checked_.*": "BackupServiceSilent",
    r"flaglearning_(backup_drill_last|dump_newest|updates_checked)_.*": "JobNeverRan",
    r"flaglearning_backup_drill_passed": "written with flaglearning_backup_drill_last_timestamp_seconds",
    r"flaglearning_units_checked_.*": "UnitCheckOld",
    r"flaglearning_unit_failed": "while no unit has failed; UnitCheckOld",
    r"flaglearning_logs_unsent_since_.*": "while every line has been sent; UnitFailed, when the look-up fails",
    r"flaglearning_(updates_security|reboot_required)_since_.*": "while none is pending; UpdateCheckOld, JobNeverRan",
    r"flaglearning_vulnerabilities_fixable_since_.*": "while none is known that has a fix; AdvisoriesOld",
    r"flaglearning_advisories_.*": "without ADVISORIES_DIR; UpdateCheckOld, as the same look-up writes it",
    r"flaglearning_switchover_.*": "until the first switchover",
}
METRIC = re.compile(r"\b(?:alertmanager|app|etcd|flaglearning|haproxy|http|node|patroni|pg|pgbouncer|prometheus)_\w+")


def test_no_rule_is_silent_because_a_metric_is_gone() -> None:
    """Each is looked for by MetricMissing, or its absence has a meaning that is written down."""

    def metrics(rules: list[str]) -> set[str]:
        return {name for rule in rules for name in METRIC.findall(re.sub(r'"[^"]*"', "", RULES[rule]["expr"]))}

    used = metrics([rule for rule in RULES if rule != "MetricMissing"])
    unexplained = used - metrics(["MetricMissing"])
    assert {name for name in unexplained if not any(re.fullmatch(one, name) for one in MAY_BE_ABSENT)} == set()
    assert {one for one in MAY_BE_ABSENT if not any(re.fullmatch(one, name) for name in unexplained)} == set()


@pytest.mark.parametrize("alert", RULES)
def test_it_says_what_happened_and_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("page", "warning", "none" if alert == "Watchdog" else "")
    assert set(rule["annotations"]) == {"summary", "action", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/runbooks/alerts.md#{alert.lower()}"


@pytest.fixture(scope="module")
def parser() -> cli.Parser:
    cli.load_commands()
    return cli.build_parser()


@pytest.mark.parametrize("alert", RULES)
def test_its_commands_exist(parser: cli.Parser, alert: str) -> None:
    for line in re.findall(r"\./scripts/ops ([^;(]+?)(?:;| to | then |\(|$)", RULES[alert]["annotations"]["action"]):
        words = shlex.split(line)
        if words[-1] == "--help":
            assert words[0] in cli.first_words(), line
        else:
            assert hasattr(parser.parse_args(words), "run"), line


@pytest.mark.parametrize(
    ("alert", "seconds"),
    [
        ("ArchiveLate", backup_health.EXPOSED),
        ("BackupOld", backup_health.BACKUP_AGE.total_seconds()),
        ("DumpOld", backup_health.BACKUP_AGE.total_seconds()),
        ("DrillOld", backup_health.DRILL_AGE.total_seconds()),
        ("SecurityUpdatePending", packages.SECURITY_AGE.total_seconds()),
        ("UpdateCheckOld", packages.CHECK_AGE.total_seconds()),
    ],
)
def test_its_threshold_is_the_one_of_the_checks(alert: str, seconds: float) -> None:
    product = re.search(r"> ([\d *]+)$", RULES[alert]["expr"])
    assert product
    factors = [int(factor) for factor in product[1].split("*")]
    assert factors[0] * (factors[1] if len(factors) > 1 else 1) == seconds


@pytest.mark.parametrize(
    ("alert", "limit"),
    [
        ("CertificateExpires", f"< {doctor.DAYS_TO_RENEW} * 86400"),
        ("DiskFull", f"< {doctor.LEAST_FREE_PCT / 100:g}"),
    ],
)
def test_its_threshold_is_the_one_of_doctor(alert: str, limit: str) -> None:
    assert RULES[alert]["expr"].endswith(limit)


SCALED = {
    "    for: 30s": "    for: 3000ms",
    "scrape_interval: 10s": "scrape_interval: 1000ms",
    "group_wait: 0s": "group_wait: 0s",
    "  expr: rate(x[5m]) > 30": "  expr: rate(x[30000ms]) > 30",
    "  expr: x offset 10m > 10": "  expr: x offset 60000ms > 10",
    "repeat_interval: 4h": "repeat_interval: 1440000ms",
    "summary: open for 30s": "summary: open for 30s",
}


@pytest.mark.parametrize("line", SCALED)
def test_patience_scales_durations_and_no_other_number(line: str) -> None:
    done = run("perl", "-p", "docker/monitoring/scale-durations", stdin=line, env={**os.environ, "PATIENCE": "0.1"})
    assert done.stdout == SCALED[line]
