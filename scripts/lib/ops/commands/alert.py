"""Alerts: which fire, and whether they reach their receivers."""

from __future__ import annotations

import argparse

from ops import containers, dotenv, monitoring
from ops.cli import ALERTS, JSON, command
from ops.output import say, show, show_json
from user_errors import OperationError, Status


def require_monitoring() -> None:
    """docker compose of this process has monitoring's services. Raises OperationError when they do not run."""
    monitoring.require_here()
    monitoring.use()
    if not containers.is_running("alertmanager"):
        here = monitoring.HOST in dotenv.named_files()
        start = "docker compose up --wait" if here else "./scripts/up --monitoring"
        raise OperationError("the service alertmanager is not running", start, status=Status.CANNOT_CONNECT)


@command("alert list", ALERTS, "List the alerts that fire now", JSON)
def listing(asked: argparse.Namespace) -> None:
    require_monitoring()
    found = [one for one in containers.client("alert-list") if one["alert"] != "Watchdog"]
    show(found, asked.json, empty="no alert fires")


@command("alert test", ALERTS, "Send a test alert, and wait until each receiver has taken it", JSON)
def test(asked: argparse.Namespace) -> None:
    """From Prometheus to the mail server and the webhook. Exit status 1 when a receiver did not take it within 90 s."""
    require_monitoring()
    done = containers.client("alert-test")
    if asked.json:
        show_json(done)
    else:
        say(f"delivered to {' and '.join(done['receivers'])} in {done['seconds']} s")
