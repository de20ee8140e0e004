"""Measured values as plain data: figures, tables, aims, and the JSON file that keeps them."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Figure:
    """One quantity, with one sample per round."""

    samples: tuple[float, ...]
    unit: str = ""
    digits: int = 1

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def __str__(self) -> str:
        """`812 (790–820)`: median, minimum, maximum; the median alone when all three print the same."""
        texts = [f"{value:,.{self.digits}f}" for value in (self.median, min(self.samples), max(self.samples))]
        return texts[0] if len(set(texts)) == 1 else f"{texts[0]} ({texts[1]}–{texts[2]})"

    def over(self, other: Figure) -> Figure:
        """The ratio round by round: both samples of a round are from the same minute of a noisy machine."""
        return figure([a / b if b else 0 for a, b in zip(self.samples, other.samples, strict=True)], "×", 2)


def figure(samples: Sequence[float], unit: str = "", digits: int = 1) -> Figure:
    """A Figure, rounded so that the JSON stays readable."""
    return Figure(tuple(round(value, 6) for value in samples), unit, digits)


Cell = Figure | str


@dataclasses.dataclass(frozen=True)
class Row:
    """One arm, with a cell per column. `ours` highlights it in the chart."""

    name: str
    cells: tuple[Cell, ...]
    ours: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Arms by quantities. `plotted` names the column that becomes a chart."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    plotted: str = ""


@dataclasses.dataclass(frozen=True)
class Aim:
    """A target, the measured value, and whether it meets the target."""

    text: str
    measured: str
    met: bool


@dataclasses.dataclass(frozen=True)
class Answer:
    """One question's results. `how` and `notes` are sentences for the reader."""

    title: str
    how: str
    aims: tuple[Aim, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    circumstances: dict[str, str]


KINDS: dict[frozenset[str], Any] = {
    frozenset(kind.__dataclass_fields__): kind for kind in (Figure, Row, Table, Aim, Answer)
}


def _decode(data: dict[str, Any]) -> Any:
    kind = KINDS.get(frozenset(data))
    return kind(**{key: tuple(x) if isinstance(x, list) else x for key, x in data.items()}) if kind else data


def load(file: Path) -> dict[str, Answer]:
    """Read what save() wrote. Raises OSError or ValueError."""
    found: dict[str, Answer] = json.loads(file.read_text(encoding="utf-8"), object_hook=_decode)
    if not isinstance(found, dict) or not all(isinstance(answer, Answer) for answer in found.values()):
        raise ValueError(f"{file}: valid JSON, but not results of the bench")
    return found


def save(file: Path, answers: dict[str, Answer]) -> None:
    """Write the answers, one per line; the file keeps its answers to other questions."""
    every = {**(load(file) if file.exists() else {}), **answers}
    texts = {name: json.dumps(dataclasses.asdict(answer), ensure_ascii=False) for name, answer in every.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(f'"{name}": {text}' for name, text in texts.items()) + "\n}\n", encoding="utf-8")
