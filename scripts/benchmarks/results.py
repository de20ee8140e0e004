"""What was measured, as plain data. The report, the plots and the JSON file know nothing else."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Figure:
    """One quantity, measured once a round."""

    samples: tuple[float, ...]
    unit: str = ""
    digits: int = 1

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def __str__(self) -> str:
        """`812 (790–820)`; without the brackets when there is one sample or they are all alike."""
        texts = [f"{value:,.{self.digits}f}" for value in (self.median, min(self.samples), max(self.samples))]
        return texts[0] if len(set(texts)) == 1 else f"{texts[0]} ({texts[1]}–{texts[2]})"

    def over(self, other: Figure) -> Figure:
        """How many times the other, round by round: both were measured in the same seconds of a noisy machine."""
        return Figure(tuple(a / b for a, b in zip(self.samples, other.samples, strict=True)), "×", 2)


Cell = Figure | str


@dataclasses.dataclass(frozen=True)
class Row:
    """One arm: its name and a cell for each of the table's columns. `ours` stands out in the picture."""

    name: str
    cells: tuple[Cell, ...]
    ours: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Arms by quantities. `plotted` is the column that becomes the picture, if one does."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    plotted: str = ""


@dataclasses.dataclass(frozen=True)
class Aim:
    """What was hoped for, what came out, and whether that is enough."""

    text: str
    measured: str
    met: bool


@dataclasses.dataclass(frozen=True)
class Answer:
    """All there is to say about a question. `how` and `notes` are sentences for the reader."""

    title: str
    how: str
    aims: tuple[Aim, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    # When, where and with what it was measured: machine.describe()
    circumstances: dict[str, str] = dataclasses.field(default_factory=dict)


# ---------------------------------------------------------------- JSON


def save(file: Path, answers: dict[str, Answer]) -> None:
    """Writes the answers, a line each; those that the file has to other questions are kept."""
    kept = load(file) if file.exists() else {}
    lines = [
        f"{json.dumps(name)}: {json.dumps(dataclasses.asdict(answer), ensure_ascii=False)}"
        for name, answer in {**kept, **answers}.items()
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def load(file: Path) -> dict[str, Answer]:
    """Reads what save() wrote. Raises OSError or ValueError when it isn't that."""
    try:
        return {name: _answer(data) for name, data in json.loads(file.read_text(encoding="utf-8")).items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is JSON, but not a result of the bench ({error})") from error


def _answer(data: dict[str, Any]) -> Answer:
    return Answer(
        title=data["title"],
        how=data["how"],
        aims=tuple(Aim(**aim) for aim in data["aims"]),
        tables=tuple(_table(table) for table in data["tables"]),
        notes=tuple(data["notes"]),
        circumstances=data["circumstances"],
    )


def _table(data: dict[str, Any]) -> Table:
    rows = tuple(
        Row(row["name"], tuple(_cell(cell) for cell in row["cells"]), row.get("ours", False)) for row in data["rows"]
    )
    return Table(data["caption"], tuple(data["columns"]), rows, data["plotted"])


def _cell(data: str | dict[str, Any]) -> Cell:
    return data if isinstance(data, str) else Figure(tuple(data["samples"]), data["unit"], data["digits"])


def figure(samples: Sequence[float], unit: str, digits: int = 1) -> Figure:
    """A Figure, rounded as far as anybody could care, so that the JSON is readable."""
    return Figure(tuple(round(value, 6) for value in samples), unit, digits)
