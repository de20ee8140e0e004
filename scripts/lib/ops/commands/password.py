"""Passwords of the database roles."""

from __future__ import annotations

import argparse
import sys

from ops.cli import TROUBLESHOOT, command, flag, option
from ops.flows import passwords

ROLE = option("role", choices=passwords.ROLES, metavar="ROLE", help=" | ".join(passwords.ROLES))


@command(
    "password reset", TROUBLESHOOT, "Give a role a new password: secret file, PostgreSQL, PgBouncer", ROLE,
    flag("--prompt", help="type the password (or pass it on standard input) instead of a random one"),
    flag("--yes", "-y", help="also change development's public file in git"),
)  # fmt: skip
def reset(asked: argparse.Namespace) -> None:
    """The old password is refused from then on. The services keep running: they read the secret file at each login.
    An interrupted change is completed by the same command."""
    passwords.reset(asked.role, asked.prompt, asked.yes)


@command(
    "password finalise", TROUBLESHOOT, "Reload PgBouncer's password, and prove that old passwords are refused", ROLE
)
def finalise(asked: argparse.Namespace) -> None:
    """The last step of a rotation by Ansible (rotate-passwords.yml), after secret files and PostgreSQL have the new
    password. Standard input: the old passwords, one per line."""
    passwords.finalise(asked.role, [line for line in sys.stdin.read().splitlines() if line])
