"""Lines about the work, on standard error: standard output is for the result."""

import sys


def note(text: str) -> None:
    """One line."""
    print(text, file=sys.stderr, flush=True)
