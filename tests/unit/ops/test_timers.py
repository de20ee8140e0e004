"""The systemd units of one machine are those of Ansible's role."""

from pathlib import Path
from typing import Any

import jinja2
import pytest

from ops.flows import timers

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
