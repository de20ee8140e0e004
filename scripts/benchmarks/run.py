"""One run of the bench: its options, what it says while it works, and rounds that interleave the arms."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Refused(Exception):
    """The bench can't start, and nothing is broken: a sentence, and what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"ERROR: {what}\nHINT:  {hint}")


@dataclasses.dataclass(frozen=True)
class Run:
    """What the questions get. `work` is a folder for files that containers mount; it is removed at the end."""

    quick: bool
    work: Path
    began: float = dataclasses.field(default_factory=time.monotonic)

    def choose(self, full: T, quick: T) -> T:
        """`quick` in a quick run."""
        return quick if self.quick else full

    def say(self, text: str) -> None:
        """A line of progress."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", file=sys.stderr, flush=True)

    def rounds(self, count: int, arms: Sequence[T]) -> Iterator[tuple[int, T]]:
        """(round, arm), every arm once a round, each round starting with another one: drift and order hit all alike."""
        for number in range(count):
            shift = number % len(arms)
            for arm in (*arms[shift:], *arms[:shift]):
                yield number + 1, arm


def wait_until(question: Callable[[], bool], within: float, what: str, every: float = 0.1) -> float:
    """Seconds until the answer was yes. Raises TimeoutError, naming `what`, when it wasn't within the time."""
    began = time.monotonic()
    while not question():
        if time.monotonic() - began > within:
            raise TimeoutError(f"{what}: not within {within:.0f} s")
        time.sleep(every)
    return time.monotonic() - began
