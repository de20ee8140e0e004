"""What people and scripts see: tables that fit the terminal, JSON, plain sentences.

A query's column names tell how a value is shown: `…_bytes` as a size, `…_ms` as milliseconds, `…_pct` as a percentage.
JSON has the plain values, and the columns under the names that the query gives them.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="JSON, for scripts: the plain values, times in seconds.")]
Row = Mapping[str, Any]

# Not a terminal (a pipe, a file): every row stays one line. ./scripts/ops passes the terminal's width as COLUMNS.
ENDLESS = 10_000
_width = int(columns) if (columns := os.environ.get("COLUMNS", "")).isdigit() and int(columns) else None
console = Console(width=_width or (None if sys.stdout.isatty() else ENDLESS), highlight=False)


def show(rows: Iterable[Row], as_json: bool, empty: str, title: str = "") -> None:
    """A listing: a table, or JSON. `empty` is the sentence for no rows at all."""
    rows = list(rows)
    if as_json:
        show_json(rows)
    elif rows:
        print_table(rows, title)
    else:
        console.print(Text(f"{title}: {empty}" if title else empty))


def show_parts(parts: Mapping[str, tuple[str, Sequence[Row], str]], as_json: bool) -> None:
    """Several listings of one command: JSON name → (title, rows, sentence for none)."""
    if as_json:
        show_json({name: rows for name, (_, rows, _) in parts.items()})
        return
    for title, rows, empty in parts.values():
        show(rows, False, empty, title)


def show_json(data: Any) -> None:
    """Anything, as JSON on standard output."""
    print(json.dumps(data, indent=2, ensure_ascii=False, default=_plain))


def say(text: str) -> None:
    """A line of the result, on standard output."""
    print(printable(text))


def note(text: str) -> None:
    """A line about the work, on standard error: it never gets into a pipe."""
    print(printable(text), file=sys.stderr)


# ------------------------------------------------------------ tables


def print_table(rows: Sequence[Row], title: str = "") -> None:
    """As a table if that fits the terminal, otherwise a block of lines a row, as psql's `\\x auto` does."""
    if title:
        console.print(Text(title, style="bold"))
    if widths := fitting(rows, console.width):
        _print_columns(rows, widths)
    else:
        _print_blocks(rows)
    if title:
        console.print()


GAP = 2
NARROWEST = (24, 16)  # a text column is folded to this width, not further; the first that fits


def fitting(rows: Sequence[Row], width: int) -> list[int] | None:
    """A width for each column, so that numbers and short texts stay whole; None if that is more than the terminal's."""
    columns = list(rows[0])
    widest = [max(cell_len(cell(name, row[name])) for row in rows) for name in columns]
    words = [max(map(len, header(name).split())) for name in columns]
    whole = [max(len(header(name)), wide) for name, wide in zip(columns, widest, strict=True)]
    for narrowest in NARROWEST:
        folded = [
            wide if _is_number(rows, name) else min(wide, narrowest) for name, wide in zip(columns, widest, strict=True)
        ]
        widths = [max(pair) for pair in zip(folded, words, strict=True)]
        spare = width - GAP * (len(columns) - 1) - sum(widths)
        if spare >= 0:
            break
    else:
        return None
    # What is left goes to the texts that miss something, the shortest first: so most of them get whole.
    for position in sorted(range(len(columns)), key=lambda position: whole[position]):
        more = min(spare, whole[position] - widths[position])
        widths[position] += more
        spare -= more
    return widths


def _print_columns(rows: Sequence[Row], widths: Sequence[int]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for name, width in zip(rows[0], widths, strict=True):
        justify: Any = "right" if _is_number(rows, name) else "left"
        table.add_column(header(name), justify=justify, overflow="fold", width=width)
    for row in rows:
        table.add_row(*(Text(cell(column, value)) for column, value in row.items()))
    console.print(table)


def _is_number(rows: Sequence[Row], column: str) -> bool:
    return all(
        isinstance(row[column], int | float | Decimal | timedelta | None) and not isinstance(row[column], bool)
        for row in rows
    )


def _print_blocks(rows: Sequence[Row]) -> None:
    widest = max(len(header(column)) for column in rows[0])
    for number, row in enumerate(rows, 1):
        console.print(Text(f"── {number} ".ljust(min(console.width, 60), "─"), style="dim"))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=widest, style="dim")
        grid.add_column(overflow="fold")
        for column, value in row.items():
            grid.add_row(header(column), Text(cell(column, value)))
        console.print(grid)


def header(column: str) -> str:
    """A column's name for people: its unit is in the value."""
    if column.endswith("_pct"):
        return f"{column.removesuffix('_pct')} %".replace("_", " ")
    return column.removesuffix("_bytes").removesuffix("_ms").replace("_", " ")


def cell(column: str, value: Any) -> str:
    """A value for people."""
    if value is None:
        return "-"
    formats: dict[str, Callable[[Any], str]] = {
        "_bytes": size,
        "_ms": lambda ms: f"{ms:,.1f} ms",
        "_pct": lambda pct: f"{pct:.1f}",
    }
    for unit, form in formats.items():
        if column.endswith(unit):
            return form(value)
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if not column.endswith("id") else str(value)
        case timedelta():
            return duration(value)
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case list():
            return ", ".join(map(str, value)) or "-"
    return printable(str(value), keep="")


def printable(text: str, keep: str = "\n") -> str:
    """Without characters that would steer the terminal: a table can be named with an escape sequence in it."""
    return "".join(char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text)


def size(count: int | float | Decimal) -> str:
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
    minutes, hours = divmod(int(seconds), 60)[0], int(seconds) // 3600
    if hours == 0:
        return f"{minutes} min {int(seconds) % 60} s"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return float(value)
        case timedelta():
            return value.total_seconds()
        case datetime():
            return value.isoformat()
    return str(value)
