"""Lines of `docker compose logs --timestamps`, or of the journal, as one time line of all services. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from datetime import datetime, timezone
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
    """One line: when (UTC, RFC 3339 with nanoseconds), of which service, how severe, and what. `host`: that of another
    host, where there are several."""

    time: str
    service: str
    level: str
    text: str
    host: str = ""


def time_line(printed: Iterable[str], project: str) -> list[Line]:
    """The lines of `docker compose logs` in the order of their time; a line that is no log line is left out.

    Compose leaves the project's name out, but not of a container that was renamed (flows/restart.py)."""
    found = []
    for raw in printed:
        if match := LINE.match(raw.rstrip("\n")):
            service = match["service"]
            service = service[len(project) + 1 :] if service.startswith(f"{project}-") else service
            found.append((service, with_nanoseconds(match["time"]), match["text"]))
    return ordered(found)


def time_line_of_journal(
    printed: Iterable[str], projects: list[str], services: Collection[str] = (), host: str = ""
) -> list[Line]:
    """The same of `journalctl --output=json`: the lines of compose projects' containers, also of those that are gone.
    `services`: only these, if there are any. A line that a host has sent twice, because it was cut off, is one."""
    either = "|".join(re.escape(project) for project in sorted(projects, key=len, reverse=True))
    name = re.compile(rf"(?:{either})-(?P<service>.+?)-(?:\d+|run-[0-9a-f]+)$")
    found = []
    for raw in printed:
        fields = json_of(raw)
        match = name.match(str(fields.get("CONTAINER_NAME")))
        if match and (not services or match["service"] in services):
            at = datetime.fromtimestamp(int(fields["__REALTIME_TIMESTAMP"]) // 1_000_000, timezone.utc)
            time = f"{at:%Y-%m-%dT%H:%M:%S}.{int(fields['__REALTIME_TIMESTAMP']) % 1_000_000:06d}000Z"
            found.append((match["service"], time, message(fields.get("MESSAGE"))))
    return [line._replace(host=host) for line in ordered(dict.fromkeys(found) if host else found)]


def merged(hosts: Iterable[list[Line]]) -> list[Line]:
    """The lines of several hosts in the order of their time."""
    return sorted((line for lines in hosts for line in lines), key=lambda line: line.time)


def message(value: Any) -> str:
    """A MESSAGE of the journal: text, or, when that is no UTF-8, a list of bytes."""
    return bytes(value).decode(errors="replace") if isinstance(value, list) else str(value or "")


def since_of_journal(since: str) -> str:
    """A value of --since as `docker compose logs` takes it, for journalctl: an age, or a time in UTC."""
    return f"-{since}" if re.fullmatch(r"[0-9.hms]+", since) else since.replace("T", " ").replace("Z", " UTC")


def ordered(entries: Iterable[tuple[str, str, str]]) -> list[Line]:
    """Entries (service, time, text) with their levels, in the order of their time."""
    found: list[Line] = []
    levels: dict[str, str] = {}  # of each service's line before
    for service, time, text in entries:
        levels[service] = level_of(text, levels.get(service, "info"))
        found.append(Line(time, service, levels[service], text))
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
    message: dict[tuple[str, str], int] = {}  # of each host's service, the number of its message
    for number, line in enumerate(lines):
        if not MORE.search(line.text):
            message[line.host, line.service] = number
        numbered.append((message.get((line.host, line.service), number), line))
    about = {number for number, line in numbered if request_id in line.text}
    return [line for number, line in numbered if number in about and LEVELS.index(line.level) >= least]
