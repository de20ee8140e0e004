"""The dashboard's panels, and the files of others that it brings."""

import hashlib
import json
import re
from typing import Any

import pytest
import yaml

import grafana
from testing.shell import ROOT

FILE: dict[str, Any] = json.loads((ROOT / grafana.PANELS).read_text())
PANELS = [panel for group in FILE["groups"] for panel in group["panels"]]
VENDORED = ROOT / "app/static/vendor"


def test_each_alert_belongs_to_one_panel() -> None:
    files = (ROOT / "docker/monitoring/rules").glob("*.yml")
    rules = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    alerts = sorted(rule["alert"] for group in rules for rule in group["rules"])
    assert sorted(alert for panel in PANELS for alert in panel["alerts"]) == alerts


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["name"]))
def test_a_panel_is_complete(panel: dict[str, Any]) -> None:
    assert {"name", "title", "unit", "text", "alerts", "queries"} <= panel.keys()
    assert re.fullmatch(r"[a-z-]+", panel["name"])
    assert panel["unit"] in grafana.UNITS
    assert panel["queries"]
    assert all({"expr", "label"} <= query.keys() for query in panel["queries"])


def test_names_are_unique_and_a_group_is_one_request() -> None:
    assert len({panel["name"] for panel in PANELS}) == len(PANELS)
    assert max(len(group["panels"]) for group in FILE["groups"]) <= 10  # MOST_PANELS of core.dashboard.views


def test_grafana_gets_each_panel_with_its_own_variables() -> None:
    made = grafana.dashboard(FILE)
    charts = [panel for panel in made["panels"] if panel["type"] == "timeseries"]
    assert [panel["title"] for panel in charts] == [panel["title"] for panel in PANELS]
    assert not re.search(r"\$(window|range|top)\b", json.dumps(made))
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])


def test_vendored_files_are_as_they_were_published() -> None:
    lines = (VENDORED / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    found = [file for file in VENDORED.iterdir() if file.suffix in (".js", ".css")]
    assert sorted(sums) == sorted(file.name for file in found)
    for file in found:
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sums[file.name], file.name
        assert (VENDORED / f"{file.name.partition('-')[0]}-LICENSE.txt").exists()
