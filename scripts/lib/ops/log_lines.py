"""Lines of `docker compose logs --timestamps` as one time line of all services. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

LEVELS = ("debug", "info", "warning", "error")  # rising
# Compose 2.26 prints an escape sequence before the name, --no-color or not.
LINE = re.compile(r"^(?:\x1b\[2K)?(?P<service>\S+?)-\d+ +\| (?P<time>\d{4}-\S+Z) ?(?P<text>.*)$")
# As PostgreSQL, PgBouncer, pgBackRest, nginx and Go programs write a level.
WORD = re.compile(
    r"(?:^|\s|\[|level=)(?P<level>DEBUG\d?|NOISE|INFO|NOTICE|LOG|WARNING|WARN|ERROR|FATAL|PANIC|debug|info|notice|warn|error"
    r"|crit|alert|emerg)(?:[:\]\s]|$)"
)
# PostgreSQL's further lines of a message: they have the level of its first.
MORE = re.compile(r"\b(DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION):  |^\s")
NAMES = {"noise": "debug", "notice": "info", "log": "info", "warn": "warning"}
SERVER_ERROR = 500


class Line(NamedTuple):
    """One line: when (UTC, RFC 3339 with nanoseconds), of which service, how severe, and what."""

    time: str
    service: str
    level: str
    text: str


def time_line(printed: Iterable[str]) -> list[Line]:
    """The lines in the order of their time; a line that is no log line is left out."""
    found: list[Line] = []
    levels: dict[str, str] = {}  # of each service's line before
    for raw in printed:
        match = LINE.match(raw.rstrip("\n"))
        if match:
            service, text = match["service"], match["text"]
            levels[service] = level_of(text, levels.get(service, "info"))
            found.append(Line(with_nanoseconds(match["time"]), service, levels[service], text))
    return sorted(found, key=lambda line: line.time)


def with_nanoseconds(time: str) -> str:
    """Docker leaves out trailing zeros, so that times of one second would not sort as text."""
    second, _, fraction = time.rstrip("Z").partition(".")
    return f"{second}.{fraction:0<9}Z"


def level_of(text: str, before: str) -> str:
    """debug, info, warning or error. `before`: the level of the service's line before."""
    fields = json_of(text)
    if fields:
        if int(fields.get("status") or 0) >= SERVER_ERROR:
            return "error"
        return normal(str(fields.get("level") or "info"))
    if MORE.search(text):
        return before
    word = WORD.search(text)
    return normal(word["level"]) if word else "info"


def normal(level: str) -> str:
    """A program's name of a level as one of LEVELS."""
    name = NAMES.get(level.lower(), level.lower())
    if name.startswith("debug"):
        return "debug"
    return name if name in LEVELS else "error"


def json_of(text: str) -> dict[str, Any]:
    """The fields of a line of JSON; none for other lines."""
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def wanted(lines: Iterable[Line], level: str, request_id: str) -> list[Line]:
    """Those of at least this level, and of this request if one is named: all lines of a message that has its id."""
    least = LEVELS.index(level)
    numbered: list[tuple[int, Line]] = []
    message: dict[str, int] = {}  # of each service, the number of its message
    for number, line in enumerate(lines):
        if not MORE.search(line.text):
            message[line.service] = number
        numbered.append((message.get(line.service, number), line))
    about = {number for number, line in numbered if request_id in line.text}
    return [line for number, line in numbered if number in about and LEVELS.index(line.level) >= least]
