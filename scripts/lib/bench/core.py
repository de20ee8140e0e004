"""The driver that all questions share: arms take turns, every round, every case; it keeps the samples."""

import abc
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from bench.results import Aim, Answer, Cell, Figure, Row, Table, figure
from testing.stack import Stack

T = TypeVar("T")
Key = tuple[str, str]  # arm, case
CellOf = Callable[[Key], Cell]
Columns = Mapping[str, CellOf]


class Bench(contextlib.ExitStack):
    """One run: its options, a folder for files that containers mount, progress; leaving it removes the stacks."""

    def __init__(self, quick: bool, work: Path) -> None:
        super().__init__()
        self.quick, self.work, self.began = quick, work, time.monotonic()

    def choose(self, full: T, quick: T) -> T:
        return quick if self.quick else full

    def say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", file=sys.stderr, flush=True)


class Samples(dict[Key, list[dict[str, float]]]):
    """(arm, case) → the metrics of each round. The methods make columns: functions from a key to a cell."""

    def of(self, metric: str, unit: str = "", digits: int = 1) -> Callable[[Key], Figure]:
        return lambda key: figure([one[metric] for one in self[key]], unit, digits)

    def over(self, metric: str, arm: str) -> Callable[[Key], Figure]:
        """The ratio to an arm in the same case, round by round."""
        return lambda key: self.of(metric)(key).over(self.of(metric)((arm, key[1])))

    def cell(self, metric: str, unit: str = "", digits: int = 1) -> CellOf:
        """As of(); empty where the metric does not exist."""
        return lambda key: self.of(metric, unit, digits)(key) if metric in self[key][0] else ""

    def total(self, metric: str) -> CellOf:
        return lambda key: f"{sum(one[metric] for one in self[key]):.0f}"

    def table(
        self, caption: str, rows: Mapping[str, Key], columns: Columns, plotted: str = "", ours: str = ""
    ) -> Table:
        """A row per key that was measured; the chart highlights the rows of the arm `ours`."""
        lines = [
            Row(title, tuple(cell(key) for cell in columns.values()), key[0] == ours)
            for title, key in rows.items()
            if key in self
        ]
        return Table(caption, tuple(columns), tuple(lines), plotted)


class Question(abc.ABC):
    """What is compared (arms), under which conditions (cases), and what the page says about it."""

    title: ClassVar[str]
    takes: ClassVar[str]
    arms: Sequence[str]
    cases: Sequence[str] = ("",)
    rounds = 3
    how: str  # for the reader
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = {}

    def __init__(self, bench: Bench) -> None:
        self.bench, self.name = bench, type(self).__name__.lower()
        self.stacks: dict[str, Stack] = {}

    @abc.abstractmethod
    def start(self) -> None:
        """Start the stacks and fill them; it may choose `arms` and `cases`."""

    @abc.abstractmethod
    def measure(self, arm: str, case: str) -> dict[str, float]:
        """Measure once: metric → value."""

    def applies(self, arm: str, case: str) -> bool:
        return True

    def finish(self) -> None:  # noqa: B027 - most have nothing to add
        """Measure what does not take turns, before the aims and tables are made."""

    @abc.abstractmethod
    def aims(self, samples: Samples) -> Iterable[Aim]: ...

    @abc.abstractmethod
    def tables(self, samples: Samples) -> Iterable[Table]: ...

    def answer(self) -> Answer:
        self.start()
        samples, rounds = Samples(), self.bench.choose(self.rounds, 1)
        for number, case, arm in turns(rounds, self.cases, self.arms):
            if self.applies(arm, case):
                values = self.measure(arm, case)
                samples.setdefault((arm, case), []).append(values)
                seen = "  ".join(f"{metric} {value:,.4g}" for metric, value in values.items())
                self.bench.say(f"{self.name}: round {number}/{rounds}  {arm}  {case}  {seen}")
        self.finish()
        aims, tables = tuple(self.aims(samples)), tuple(self.tables(samples))
        notes = tuple(" ".join(note.split()) for note in self.notes)
        return Answer(self.title, " ".join(self.how.split()), aims, tables, notes, dict(self.versions))


def turns(rounds: int, cases: Sequence[str], arms: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """(round, case, arm): the arms of a case follow each other, and each round begins with another arm."""
    for number in range(rounds):
        shift = number % len(arms)
        for case in cases:
            yield from ((number + 1, case, arm) for arm in (*arms[shift:], *arms[:shift]))


def at_least(text: str, limit: float, ratio: Figure, remark: str = "") -> Aim:
    return Aim(text.format(limit), f"{ratio} ×{remark}", ratio.median >= limit)


def at_most(text: str, limit: float, value: float, measured: str) -> Aim:
    return Aim(text.format(limit), measured.format(value), value <= limit)
