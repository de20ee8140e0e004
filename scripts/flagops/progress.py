"""How far long work is: bars with size, rate and time left on a terminal, a line a step otherwise."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from flagops.output import console, duration, note, size

EVERY = 30  # seconds between two plain lines


class Rate(ProgressColumn):
    """What per second."""

    def render(self, task: Task) -> Text:
        """42.1 MB/s, 120,000 rows/s."""
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        return Text(f"{amount(speed, unit)}/s" if speed and unit else "", style="dim")


class Done(ProgressColumn):
    """How much of how much."""

    def render(self, task: Task) -> Text:
        """1.2 GB of 4.0 GB."""
        unit = task.fields["unit"]
        if not unit:
            return Text("")
        if not task.total:
            return Text(amount(task.completed, unit))
        done = size(task.completed) if unit == "bytes" else f"{task.completed:,.0f}"
        return Text(f"{done} of {amount(task.total, unit)}")


def amount(count: float, unit: str) -> str:
    """A number in its unit; the unit `bytes` readably."""
    return size(count) if unit == "bytes" else f"{count:,.0f} {unit}"


class Step:
    """One step of the work: tell it how far it is."""

    def __init__(self, title: str, unit: str, total: float | None, bars: Progress | None) -> None:
        self.title, self.unit, self.total, self.bars = title, unit, total, bars
        self.done = 0.0
        self.began = self.told = time.monotonic()
        self.task = bars.add_task(title, total=total, unit=unit) if bars else None

    def at(self, done: float) -> None:
        """So much is done."""
        self.done = done
        if self.bars and self.task is not None:
            # an estimated total can be too small
            if self.total and done > self.total:
                self.total = done
            self.bars.update(self.task, completed=done, total=self.total)
        elif time.monotonic() - self.told > EVERY:
            self.told = time.monotonic()
            of = f" of about {amount(self.total, self.unit)}" if self.total else ""
            note(f"{self.title}: {amount(done, self.unit)}{of}")

    def stage(self, words: str) -> None:
        """Which part of it is being done."""
        if self.bars and self.task is not None:
            self.bars.update(self.task, description=f"{self.title} {words}")

    def more(self, done: float) -> None:
        """So much more is done."""
        self.at(self.done + done)


@contextmanager
def step(title: str, unit: str = "", total: float | None = None) -> Iterator[Step]:
    """Show one step of the work while it lasts, and that it is done."""
    if not console.is_terminal:
        doing = Step(title, unit, total, None)
        yield doing
        spent = duration(timedelta(seconds=time.monotonic() - doing.began))
        note(f"{title}: {f'{amount(doing.done, unit)}, ' if doing.done else ''}{spent}")
        return
    one_line = Column(no_wrap=True)
    columns = (
        TextColumn("{task.description:<20}", table_column=one_line),
        BarColumn(bar_width=16),
        Done(table_column=one_line),
        Rate(table_column=one_line),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as bars:
        doing = Step(title, unit, total, bars)
        yield doing
        doing.total = doing.done or 1
        doing.at(doing.total)
