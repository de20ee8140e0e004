"""What a failed unit is reported as, and by whom."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

import unit_failures

NOW = datetime(2026, 11, 30, 4, 15, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def test_each_failed_unit_is_a_metric() -> None:
    text = unit_failures.metrics(["a.service", r"b\x2dc.mount"], 5.4)
    assert 'flaglearning_unit_failed{unit="a.service"} 1\n' in text
    assert 'flaglearning_unit_failed{unit="b\\\\x2dc.mount"} 1\n' in text
    assert text.endswith("flaglearning_units_checked_timestamp_seconds 5\n")


def test_a_direct_report_looks_as_the_rule_does() -> None:
    rules = yaml.safe_load((ROOT / "docker/monitoring/rules/alerts.yml").read_text())["groups"]
    [rule] = [one for group in rules for one in group["rules"] if one["alert"] == "UnitFailed"]
    [one] = unit_failures.alert("db1", "a.service", NOW)["alerts"]
    assert one["labels"] == {"alertname": "UnitFailed", "host": "db1", "unit": "a.service", **rule["labels"]}
    assert one["annotations"]["action"] == rule["annotations"]["action"].replace("{{ $labels.unit }}", "a.service")
    assert one["annotations"]["runbook"] == rule["annotations"]["runbook"]


def test_a_mail_says_host_unit_and_command() -> None:
    mail = unit_failures.mail(
        unit_failures.alert("db1", "a.service", NOW), "from@example.org", "a@example.org, b@example.org"
    )
    assert mail["Subject"] == "[firing] UnitFailed (warning)"
    assert mail["To"] == "a@example.org, b@example.org"
    assert "Host:    db1" in mail.get_content()
    assert "journalctl --unit a.service" in mail.get_content()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings without a monitoring host, of a host with one failed unit; the webhook can't be reached."""
    monkeypatch.setattr(unit_failures, "failed_units", lambda _only: ["a.service"])
    (tmp_path / "url").write_text("http://127.0.0.1:9/alerts\n")
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"host": "db1", "metrics": str(tmp_path), "webhook_url_file": str(tmp_path / "url")}))
    return file


def test_a_look_replaces_the_file_and_tells_nothing(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert unit_failures.main(["look"], own) == 0
    assert "a.service" in (own.parent / unit_failures.FILE).read_text()
    assert {file.name for file in own.parent.glob("*.new")} == set()
    assert capsys.readouterr().err == ""


def test_a_receiver_that_does_not_answer_is_an_error(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert unit_failures.main(["failed", "a.service"], own) == 1
    said = capsys.readouterr().err
    assert "ERROR: the webhook did not take the report of a failed unit" in said
    assert "HINT:" in said
