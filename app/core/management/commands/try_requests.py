"""`manage.py try_requests`: a visitor's requests on a copy of the database, as JSON, for ./scripts/ops."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from core import visitor
from core.management.commands import schema_state

REHEARSAL = "rehearsal"  # the cluster_name that pgupgrade gives its server (docker/postgres/pgupgrade/rehearsal.py)
ROUTES = Path("/proc/net/route")  # a heading, and a line for each route; none but loopback's is left out


class Command(BaseCommand):
    """It signs up, plays, and deletes the account: never where visitors are."""

    help = "Try a visitor's requests, writes included, on a rehearsal's copy of the database, and print each as JSON"
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if reason := refusal():
            raise CommandError(f"no request was made: {reason}. ./scripts/ops upgrade --rehearse runs this command.")
        # Standard output has the result alone.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(sys.stderr)
        state = {"pending": schema_state.pending(MigrationLoader(connection)), "missing": schema_state.missing()}
        self.stdout.write(json.dumps({**state, **visitor.try_all()}))


def refusal() -> str:
    """Why this is not the place: a server that is no rehearsal's, or a network; "" if it is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('cluster_name')")
        (name,) = cursor.fetchone()
    if name != REHEARSAL:
        return f"the database server is not a rehearsal's: its cluster_name is '{name}'"
    if len(ROUTES.read_text(encoding="ascii").splitlines()) > 1:
        return "this container has a network"
    return ""
