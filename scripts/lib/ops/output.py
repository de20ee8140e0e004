"""What people and scripts see: tables that fit the terminal, JSON, plain sentences.

A query's column names tell how a value is shown: `…_bytes` as a size, `…_ms` as milliseconds, `…_pct` as a percentage.
JSON has the plain values, under the names that the query gives them.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Callable

Row = Mapping[str, Any]
GAP = 2
NARROWEST = (24, 16)  # a text column is folded to this width, not further; the first that fits
# As PostgreSQL writes them into JSON, with intervalstyle = iso_8601.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
INTERVAL = re.compile(
    r"P(?=.)(?:(?P<years>-?\d+)Y)?(?:(?P<months>-?\d+)M)?(?:(?P<days>-?\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>-?\d+)H)?(?:(?P<minutes>-?\d+)M)?(?:(?P<seconds>-?[\d.]+)S)?)?"
)
BOLD, DIM = "1", "2"


def show(rows: Iterable[Row], as_json: bool, empty: str, title: str = "") -> None:
    """A listing: a table, or JSON. `empty` is the sentence for no rows at all."""
    rows = list(rows)
    if as_json:
        show_json(rows)
    elif rows:
        print_table(rows, title)
    else:
        say(f"{title}: {empty}" if title else empty)


def show_first(rows: Iterable[Row], limit: int, as_json: bool, empty: str) -> None:
    """A listing of at most `limit` rows, for which one row more was read: it says when it is cut."""
    rows = list(rows)
    show(rows[:limit], as_json, empty)
    if len(rows) > limit:
        note(f"only the first {limit} rows are shown: --limit N shows more")


def show_parts(parts: Mapping[str, tuple[str, Sequence[Row], str]], as_json: bool) -> None:
    """Several listings of one command: JSON name → (title, rows, sentence for none)."""
    if as_json:
        show_json({name: rows for name, (_, rows, _) in parts.items()})
        return
    for title, rows, empty in parts.values():
        show(rows, False, empty, title)


def show_json(data: Any) -> None:
    """Anything, as JSON on standard output; durations in seconds."""
    print(json.dumps(plain(data), indent=2, ensure_ascii=False, default=str))


def plain(data: Any) -> Any:
    """The same data, with PostgreSQL's intervals as seconds."""
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(value) for value in data]
    span = interval(data)
    return span.total_seconds() if span is not None else data


def say(text: str) -> None:
    """A line of the result, on standard output."""
    print(printable(text))


def note(text: str) -> None:
    """A line about the work, on standard error: it never gets into a pipe."""
    print(printable(text), file=sys.stderr)


def styled(text: str, style: str) -> str:
    """Bold or dim on a terminal, plain elsewhere."""
    return f"\033[{style}m{text}\033[0m" if sys.stdout.isatty() else text


# ------------------------------------------------------------ tables


def print_table(rows: Sequence[Row], title: str = "", width: int = 0) -> None:
    """As a table if that fits the terminal, otherwise a block of lines a row, as psql's `\\x auto` does."""
    width = width or terminal_width()
    if title:
        print(styled(printable(title), BOLD))
    widths = fitting(rows, width)
    for text in columns(rows, widths) if widths else blocks(rows, width):
        print(text)
    if title:
        print()


def terminal_width() -> int:
    """The terminal's; in a pipe or a file every row stays one line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def fitting(rows: Sequence[Row], width: int) -> list[int] | None:
    """A width for each column, so that numbers and short texts stay whole; None if that is more than `width`."""
    names = list(rows[0])
    widest = [max(text_width(cell(name, row[name])) for row in rows) for name in names]
    words = [max(map(len, header(name).split()), default=0) for name in names]
    whole = [max(len(header(name)), wide) for name, wide in zip(names, widest)]
    for narrowest in NARROWEST:
        folded = [wide if is_number(rows, name) else min(wide, narrowest) for name, wide in zip(names, widest)]
        widths = [max(pair) for pair in zip(folded, words)]
        spare = width - GAP * (len(names) - 1) - sum(widths)
        if spare >= 0:
            break
    else:
        return None
    # What is left goes to the texts that are cut, the shortest first: so most of them get whole.
    for position in sorted(range(len(names)), key=lambda position: whole[position]):
        more = max(0, min(spare, whole[position] - widths[position]))
        widths[position] += more
        spare -= more
    return widths


def columns(rows: Sequence[Row], widths: Sequence[int]) -> list[str]:
    """A table's lines: numbers to the right, long texts folded."""
    names = list(rows[0])
    right = [is_number(rows, name) for name in names]
    lines = [styled(text, DIM) for text in folded_row([header(name) for name in names], widths, right)]
    for row in rows:
        lines += folded_row([cell(name, row[name]) for name in names], widths, right)
    return lines


def folded_row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """One row, on as many lines as its longest cell needs."""
    parts = [fold(text, width) for text, width in zip(cells, widths)]
    lines = []
    for number in range(max(map(len, parts))):
        padded = []
        for part, width, is_right in zip(parts, widths, right):
            text = part[number] if number < len(part) else ""
            space = " " * max(0, width - text_width(text))
            padded.append(space + text if is_right else text + space)
        lines.append((" " * GAP).join(padded).rstrip())
    return lines


def fold(text: str, width: int) -> list[str]:
    """A text in lines of at most this width, at spaces where it has some."""
    if text_width(text) <= width:
        return [text]
    return textwrap.wrap(text, max(1, width), break_on_hyphens=False, drop_whitespace=True) or [""]


def blocks(rows: Sequence[Row], width: int) -> list[str]:
    """A block of lines a row: column and value."""
    widest = max(len(header(name)) for name in rows[0])
    lines = []
    for number, row in enumerate(rows, 1):
        lines.append(styled(f"── {number} ".ljust(min(width, 60), "─"), DIM))
        for name, value in row.items():
            first, *rest = fold(cell(name, value), max(10, width - widest - GAP))
            lines.append(f"{styled(header(name).ljust(widest), DIM)}{' ' * GAP}{first}")
            lines += [" " * (widest + GAP) + text for text in rest]
    return lines


def text_width(text: str) -> int:
    """The columns that a terminal needs for a text."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


def is_number(rows: Sequence[Row], name: str) -> bool:
    """Whether a column holds nothing but numbers and durations."""
    values = [row[name] for row in rows]
    return all(
        value is None
        or (isinstance(value, (int, float)) and not isinstance(value, bool))
        or interval(value) is not None
        for value in values
    )


def header(column: str) -> str:
    """A column's name for people: its unit is in the value."""
    if column.endswith("_pct"):
        return f"{column[:-4]} %".replace("_", " ")
    for unit in ("_bytes", "_ms"):
        if column.endswith(unit):
            column = column[: -len(unit)]
    return column.replace("_", " ")


FORMATS: dict[str, Callable[[Any], str]] = {
    "_bytes": lambda value: size(value),
    "_ms": lambda value: f"{value:,.1f} ms",
    "_pct": lambda value: f"{value:.1f}",
}


def cell(column: str, value: Any) -> str:
    """A value for people."""
    if value is None:
        return "-"
    for unit, form in FORMATS.items():
        if column.endswith(unit) and isinstance(value, (int, float)):
            return form(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value) if column.endswith("id") else f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell("", one) for one in value) or "-"
    span = interval(value)
    if span is not None:
        return duration(span)
    if isinstance(value, str) and TIMESTAMP.fullmatch(value):
        return value[:16].replace("T", " ")
    return printable(str(value), keep="")


def printable(text: str, keep: str = "\n") -> str:
    """Without characters that would steer the terminal: a table can be named with an escape sequence in it."""
    return "".join(char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text)


def one_line(statement: str | None, longest: int = 160) -> str | None:
    """A statement on one line, cut to what identifies it; None for none."""
    line = " ".join((statement or "").split())
    return (line if len(line) <= longest else line[: longest - 1] + "…") or None


def interval(value: Any) -> timedelta | None:
    """A timedelta for PostgreSQL's ISO 8601 interval (P1DT2H3M4.5S); None for anything else.

    Months and years count as 30 and 365.25 days, as PostgreSQL's extract(epoch …) does.
    """
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not value.startswith("P"):
        return None
    found = INTERVAL.fullmatch(value)
    if not found:
        return None
    part = {name: float(text or 0) for name, text in found.groupdict().items()}
    return timedelta(
        days=part["years"] * 365.25 + part["months"] * 30 + part["days"],
        hours=part["hours"], minutes=part["minutes"], seconds=part["seconds"],
    )  # fmt: skip


def timestamp(value: str) -> datetime:
    """A datetime for PostgreSQL's ISO 8601 timestamp (Python 3.9 wants exactly six digits after the point)."""
    whole = re.sub(r"\.(\d+)", lambda found: f".{found[1][:6]:0<6}", value.replace("Z", "+00:00"))
    return datetime.fromisoformat(whole)


def size(count: float) -> str:
    """Bytes, readably: 8.0 KB, 1.4 GB (powers of 1024, as pg_size_pretty)."""
    number = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(number) < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"


def duration(time: timedelta) -> str:
    """A time span, readably: 250 ms, 12.3 s, 4 min 5 s, 3 h 20 min, 12 d 4 h."""
    seconds = time.total_seconds()
    if seconds < 0:
        return f"-{duration(-time)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours == 0:
        return f"{minutes} min {int(seconds) % 60} s"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
