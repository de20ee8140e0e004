"""Deploy a version of the app."""

from __future__ import annotations

import argparse

from ops.cli import DEPLOY, command, flag, option
from ops.flows import rollout as flow


@command(
    "rollout", DEPLOY, "Roll out a version of the app without a failed request",
    option("version", nargs="?", metavar="VERSION", default="",
           help="the image's tag, recorded as APP_TAG in .env (default: the one that .env or TAG names)"),
    flag("--app-only", help="skip the migrations: the version is an older one, or another host has applied them"),
)  # fmt: skip
def rollout(asked: argparse.Namespace) -> None:
    """A version that does not become healthy, or can't reach its database or render a page, never serves. Killed in the
    middle, the same command completes it."""
    flow.rollout(asked.app_only, asked.version)
