"""The answers for people: text on the terminal, docs/benchmarks.md with pictures."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import plot
from benchmarks.results import Aim, Answer, Cell, Figure, Table

INTRODUCTION = """# Benchmarks

Written by `./scripts/bench report` from the numbers of `./scripts/bench`: don't edit it, measure again. Every number is
the median of several rounds (minimum–maximum in brackets); the arms of a table took turns in the same run on the same
machine. What stops an aim that is missed, by profile: [ADR 9](adr/0009-what-stops-the-aims.md).
"""


def write(answers: dict[str, Answer], docs: Path) -> Iterator[Path]:
    """Writes benchmarks.md and images/bench-*.svg; yields each file written."""
    sections = [INTRODUCTION, _summary(answers)]
    for name, answer in answers.items():
        drawn = {_picture(name, place): table for place, table in enumerate(t for t in answer.tables if t.plotted)}
        for picture, table in drawn.items():
            file = docs / picture
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(plot.bars(table), encoding="utf-8")
            yield file
        sections.append(_section(answer, drawn))
    sections.append(_circumstances(answers))
    page = docs / "benchmarks.md"
    page.write_text("\n".join(sections), encoding="utf-8")
    yield page


def text(answer: Answer) -> str:
    """The answer as aligned plain text."""
    parts = [f"\n{answer.title}", *(_aligned(table) for table in answer.tables), *map(_aim, answer.aims)]
    return "\n".join(parts) + "\n"


def _aim(aim: Aim) -> str:
    return f"{'met   ' if aim.met else 'MISSED'}  {aim.text}: {aim.measured}"


def _aligned(table: Table) -> str:
    head = ["", *map(_heading, table.columns, _units(table))]
    lines = [head, *([row.name, *map(str, row.cells)] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    return f"\n{table.caption}\n{body}\n"


def _units(table: Table) -> list[str]:
    """The unit of each column, when its name doesn't say it."""
    return [next((cell.unit for cell in column if isinstance(cell, Figure)), "") for column in _columns(table)]


def _columns(table: Table) -> Iterator[tuple[Cell, ...]]:
    yield from zip(*(row.cells for row in table.rows), strict=True)


def _heading(name: str, unit: str) -> str:
    return name if not unit or unit in name else f"{name} ({unit})"


# ---------------------------------------------------------------- Markdown


def _line(cells: Iterable[str]) -> str:
    """A row; a pipe in a cell would end it."""
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _summary(answers: dict[str, Answer]) -> str:
    rows = [
        _line((answer.title, aim.text, aim.measured, "yes" if aim.met else "**no**"))
        for answer in answers.values()
        for aim in answer.aims
    ]
    return "\n".join(["| question | aim | measured | met |", "|---|---|---|---|", *rows, ""])


def _picture(name: str, place: int) -> str:
    return f"images/bench-{name}{f'-{place + 1}' if place else ''}.svg"


def _section(answer: Answer, drawn: dict[str, Table]) -> str:
    parts = [f"## {answer.title}\n", f"{' '.join(answer.how.split())}\n"]
    parts += [f"![{table.caption}]({picture})\n" for picture, table in drawn.items()]
    parts += [_markdown(table) for table in answer.tables]
    parts += [f"- {note}" for note in answer.notes]
    return "\n".join([*parts, ""])


def _markdown(table: Table) -> str:
    head = [table.caption, *map(_heading, table.columns, _units(table))]
    lines = [head, ["---", *("--:" for _ in table.columns)], *([row.name, *map(str, row.cells)] for row in table.rows)]
    return "\n".join(map(_line, lines)) + "\n"


def _circumstances(answers: dict[str, Answer]) -> str:
    parts = ["## Machine, versions, command\n"]
    for name, answer in answers.items():
        parts += [f"**{name}**\n", *(f"- {key}: {value}" for key, value in answer.circumstances.items()), ""]
    return "\n".join(parts)
