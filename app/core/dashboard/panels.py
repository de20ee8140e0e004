"""panels.json, and what it makes of a time range: queries, columns for the charts, marks. Pure functions."""

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]

FILE = Path(__file__).with_name("panels.json")
SHORTEST_WINDOW = 60  # seconds; a rate needs two samples, and one is taken each 10 s


class Range(NamedTuple):
    """How far back the charts go, and the time between two of their points. Both in seconds."""

    seconds: int
    step: int


RANGES = {
    "1h": Range(3600, 15),
    "6h": Range(6 * 3600, 60),
    "1d": Range(86400, 300),
    "7d": Range(7 * 86400, 1800),
    "30d": Range(30 * 86400, 7200),
}
DEFAULT_RANGE = "6h"


class Span(NamedTuple):
    """A range that ends at a time: `end` in seconds since 1970, a multiple of the step."""

    range: Range
    end: int

    @property
    def start(self) -> int:
        return self.end - self.range.seconds


@cache
def definition() -> Json:
    """The file: groups of panels, and marks."""
    found: Json = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@cache
def by_name() -> dict[str, Json]:
    """Every panel, by its name."""
    return {panel["name"]: panel for group in definition()["groups"] for panel in group["panels"]}


def span(range_name: str, end: int) -> Span:
    """The range that ends at `end`. Whole steps: the same points, whenever a page asks. Raises KeyError."""
    found = RANGES[range_name]
    return Span(found, end - end % found.step)


def expression(text: str, of: Range) -> str:
    """PromQL of a query in panels.json. $window: the time that one point stands for; $range: the whole.

    `top` of a query is asked first, for the range's end: its series are the $top of the other expression. So that a
    month of a hundred series need not be read for the five largest.
    """
    return text.replace("$window", f"{max(of.step, SHORTEST_WINDOW)}s").replace("$range", f"{of.seconds}s")


def alternatives(labels: Iterable[dict[str, str]]) -> str:
    """A regular expression, for a matcher of PromQL, of the values of series that have one label."""
    return "|".join(sorted(re.sub(r"[^\w-]", ".", value) for one in labels for value in one.values())) or "none"


def label(template: str, labels: dict[str, str]) -> str:
    """A template like {{status}}, with the values of a series."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), template)


def points(values: Iterable[tuple[float, str]], of: Span) -> list[float | None]:
    """A series of a range query, with a value or None for each step: Prometheus leaves out steps without one."""
    found: list[float | None] = [None] * (of.range.seconds // of.range.step + 1)
    for at, value in values:
        number = float(value)
        if number - number == 0:  # neither NaN nor infinite: JSON has neither
            found[round((at - of.start) / of.range.step)] = number
    return found


def times(of: Span) -> list[int]:
    """The time of each point."""
    return list(range(of.start, of.end + 1, of.range.step))


def marks(template: str, series: Iterable[Json], of: Span) -> list[Json]:
    """Of series whose values are times: each value in the span, once. {"at": seconds since 1970, "label"}."""
    found = {
        (int(float(value)), label(template, one["metric"]))
        for one in series
        for _, value in one["values"]
        if of.start <= float(value) <= of.end
    }
    return [{"at": at, "label": name} for at, name in sorted(found)]


def periods(series: Iterable[Json], of: Span) -> list[Json]:
    """When each alert fired: {"alert", "from", "to"}, in seconds since 1970. A point stands for the step before it."""
    found: list[Json] = []
    step = of.range.step
    for one in series:
        before = None
        for at in (int(at) for at, _ in one["values"]):
            if before is None or at - before > step:
                found.append({"alert": one["metric"]["alertname"], "from": at - step, "to": at})
            else:
                found[-1]["to"] = at
            before = at
    return sorted(found, key=lambda period: (period["from"], period["alert"]))
