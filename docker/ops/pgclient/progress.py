"""The steps of long work, a line each, with how long it took; on standard error."""

import contextlib
import sys
import time
from collections.abc import Iterator


def note(text: str) -> None:
    """A line about the work."""
    print("".join(char if char.isprintable() else repr(char)[1:-1] for char in text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print the step when it is done."""
    began = time.monotonic()
    yield
    note(f"{title}: {time.monotonic() - began:.1f} s")
