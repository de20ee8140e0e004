"""What a person has to see: what happened, why, the next command."""

import sys


class Refused(Exception):
    """As scripts/flagops/errors.py has it."""

    def __init__(self, what: str, next: str, why: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.next = what, why, next

    def show(self) -> None:
        """On standard error."""
        for label, text in (("ERROR: ", self.what), ("DETAIL:", self.why), ("HINT:  ", self.next)):
            if text:
                print(label, text, file=sys.stderr)


def note(text: str) -> None:
    """A line about the work."""
    print(text, file=sys.stderr, flush=True)
