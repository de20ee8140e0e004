"""Asking before something is done that can't be undone."""

import sys
from typing import Annotated

import typer

from flagops.errors import Refused
from flagops.output import note

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]


def confirm(consequence: str, yes: bool) -> None:
    """Say what will be done and ask; go on only after a yes. Without a terminal nobody can answer: --yes is needed."""
    note(consequence)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("nobody is here to say yes: standard input is not a terminal.", "add --yes if you mean it")
    if not typer.confirm("Do it?", err=True):
        raise Refused("nothing was done: you said no.", "the same command again, when you mean it")
