"""Confirmation before a change that can't be undone."""

from __future__ import annotations

import sys

from ops.output import note
from user_errors import OperationError, UserError


def confirm(consequence: str, yes: bool) -> None:
    """Print the consequence and ask. Raises UserError without a terminal and --yes, OperationError after a "no"."""
    note(consequence)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(
            "confirmation is needed, and standard input is not a terminal",
            "add --yes to confirm on the command line",
        )
    print("Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise OperationError("nothing was changed: not confirmed", "run the same command again to confirm")


def confirm_by_name(consequence: str, name: str, yes: bool) -> None:
    """For what stops the service: the name has to be typed."""
    if yes or not sys.stdin.isatty():
        confirm(consequence, yes)
        return
    note(consequence)
    print(f"Type {name} to continue: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != name:
        raise OperationError("nothing was changed: not confirmed", "run the same command again to confirm")
