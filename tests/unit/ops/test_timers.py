"""The systemd units of one machine are those of Ansible's role."""

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest

import unit_failures
from ops.flows import failure_reports, timers

TEMPLATES = Path(__file__).parents[3] / "ansible/roles/timers/templates"
ALL = {name: timer for group in timers.declared().values() for name, timer in group.items()}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["service", "timer"])
def test_both_ways_make_the_same_unit(name: str, kind: str) -> None:
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)  # noqa: S701 - as Ansible does
    environment.filters["regex_replace"] = lambda text, _end, more: text + more
    item: dict[str, Any] = {"key": name, "value": ALL[name]}
    template = environment.from_string((TEMPLATES / f"unit.{kind}.j2").read_text())
    rendered = template.render(item=item, timers_wanted=ALL, stack_directory="/opt/flaglearning")
    assert timers.units(ALL, Path("/opt/flaglearning"))[f"{name}.{kind}"] == rendered


def test_the_first_drill_dump_and_check_start_with_their_timers() -> None:
    first = {service for timer in timers.declared()["database"].values() for service in timer["first"]}
    assert first == {"flaglearning-dump-nightly", "flaglearning-backup-drill", "flaglearning-update-check"}


def test_a_failure_on_one_machine_is_told_to_the_receivers_of_its_alertmanager() -> None:
    mail = {"ALERT_EMAIL_TO": "a@example.org", "EMAIL_FROM": "b@example.org", "EMAIL_HOST": "smtp.example.org"}
    config = {
        "services": {
            "alertmanager": {"environment": {**mail, "EMAIL_PORT": "25", "EMAIL_HOST_USER": ""}},
            "prometheus": {"ports": [{"published": "9091"}]},
        },
        "secrets": {name: {"file": f"/s/{name}"} for name in ("alert_email_password", "alert_webhook_url")},
    }
    own = unit_failures.settings(json.dumps(failure_reports.settings(config, "/reports")))
    assert (own.metrics, own.only, own.ready) == ("/reports", "flaglearning-", ("http://127.0.0.1:9091/-/ready",))
    assert (own.email_to, own.email_host, own.email_port) == ("a@example.org", "smtp.example.org", 25)
    assert own.webhook_url_file == "/s/alert_webhook_url"


@pytest.mark.parametrize("name", ["flaglearning-failure@.service", "flaglearning-units.service"])
def test_the_program_is_installed_where_its_units_start_it(name: str) -> None:
    assert f"ExecStart={failure_reports.INSTALLED} " in (failure_reports.FOLDER / name).read_text()
