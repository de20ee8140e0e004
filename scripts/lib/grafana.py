"""docs/grafana.json: the panels of the admin's dashboard (app/core/dashboard/panels.json) as a dashboard of Grafana.

Import it under Dashboards, New, Import; it asks for a Prometheus data source. Standard library only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PANELS = Path("app/core/dashboard/panels.json")
PAGE = Path("docs/grafana.json")
SOURCE = {"type": "prometheus", "uid": "${prometheus}"}
UNITS = {
    "/s": "reqps",
    "%": "percent",
    "s": "s",
    "": "short",
    "bytes": "bytes",
    "bytes/s": "Bps",
    "h": "h",
    "d": "d",
}
COLUMNS, WIDTH, HEIGHT = 3, 8, 8  # of Grafana's grid, which is 24 wide


def render(root: Path) -> str:
    """The file's text."""
    return json.dumps(dashboard(json.loads((root / PANELS).read_text(encoding="utf-8"))), indent=1) + "\n"


def dashboard(found: Json) -> Json:
    """Grafana's JSON model (schema version 39) of what panels.json holds."""
    return {
        "title": "Flag Learning",
        "uid": "flaglearning",
        "tags": ["flaglearning"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "prometheus", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {"list": [annotation(mark) for mark in found["marks"]]},
        "panels": panels(found["groups"]),
    }


def panels(groups: list[Json]) -> list[Json]:
    """A row for each group, and its panels below it, three side by side."""
    made: list[Json] = []
    y = 0
    for group in groups:
        made.append({"type": "row", "title": group["title"], "id": len(made) + 1, "gridPos": box(0, y, 24, 1)})
        y += 1
        for number, panel in enumerate(group["panels"]):
            row, column = divmod(number, COLUMNS)
            made.append(chart(panel, len(made) + 1, box(column * WIDTH, y + row * HEIGHT, WIDTH, HEIGHT)))
        y += HEIGHT * -(-len(group["panels"]) // COLUMNS)
    return made


def box(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


def chart(panel: Json, number: int, position: Json) -> Json:
    """One panel."""
    return {
        "type": "timeseries",
        "id": number,
        "title": panel["title"],
        "description": panel["text"],
        "datasource": SOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": UNITS[panel["unit"]], "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expression(query["expr"]),
                "legendFormat": query["label"],
            }
            for index, query in enumerate(panel["queries"])
        ],
    }


def annotation(mark: Json) -> Json:
    """Grafana takes the value as the time of the mark, in milliseconds."""
    return {
        "name": mark["label"],
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": f"{mark['expr']} * 1000",
        "titleFormat": mark["label"],
        "useValueForTime": True,
    }


def expression(text: str) -> str:
    """Grafana's own variables instead of the dashboard's."""
    return text.replace("$window", "$__rate_interval").replace("$range", "$__range").replace("$top", ".+")
