"""The stack with monitoring, as the faults see it."""

import contextlib
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg

from alerts.sinks import Webhooks
from support.ops import Ops, Result
from support.postgres import Postgres
from testing.shell import run
from testing.stack import Stack


class Lab:
    """`lab.stack`, `lab.postgres`, `lab.ops(…)`; and Prometheus' answers."""

    def __init__(self, stack: Stack, postgres: Postgres, webhooks: Webhooks, prometheus: str) -> None:
        self.stack, self.postgres, self.webhooks, self.prometheus = stack, postgres, webhooks, prometheus

    def ops(self, *words: str) -> Result:
        return Ops(self.stack)(*words)

    def get(self, path: str, **parameters: str) -> Any:
        """What Prometheus' API answers."""
        with urllib.request.urlopen(f"{self.prometheus}{path}?{urllib.parse.urlencode(parameters)}") as response:  # noqa: S310
            return json.load(response)["data"]

    def query(self, expression: str) -> list[float]:
        """The values of an expression now."""
        return [float(one["value"][1]) for one in self.get("/api/v1/query", query=expression)["result"]]

    def rules(self) -> dict[str, dict[str, Any]]:
        """The alerts that Prometheus evaluates, by name."""
        groups = self.get("/api/v1/rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def firing(self) -> set[str]:
        """The alerts that fire."""
        return {name for name, rule in self.rules().items() if rule["state"] == "firing"} - {"Watchdog"}

    # ------------------------------------------------------------ what faults do

    @contextlib.contextmanager
    def stopped(self, service: str) -> Iterator[None]:
        self.stack.compose("stop", "--timeout", "3", service)
        try:
            yield
        finally:
            self.stack.compose("start", service)

    @contextlib.contextmanager
    def shell(self, service: str, fault: str, repair: str, user: str = "") -> Iterator[None]:
        """A script in a service's container, and the one that repairs it."""
        self.stack.exec(service, "bash", "-ec", fault, user=user)
        try:
            yield
        finally:
            self.stack.exec(service, "bash", "-ec", repair, user=user)

    def superuser(self, sql: str, database: str = "postgres") -> str:
        return self.postgres.superuser(sql, database=database)

    def connect(self, role: str, **changes: Any) -> psycopg.Connection:
        return self.postgres.connect(role, **changes)

    @contextlib.contextmanager
    def metrics_file(self, volume: str, name: str, text: str) -> Iterator[None]:
        """Another text of a metrics file that node_exporter reads; afterwards the one before."""
        mount = ("docker", "run", "--rm", "--interactive", "--network", "none", "--user", "root", "--volume")
        image = f"flaglearning/ops:{self.stack.variables['TAG']}"
        words = (*mount, f"{self.stack.project}_{volume}:/v", "--entrypoint", "sh", image, "-ec")
        before = run(*words, f"cat /v/{name} 2>/dev/null || true").stdout
        write = f"cat >/v/{name}.new; chmod 0644 /v/{name}.new; mv /v/{name}.new /v/{name}"
        run(*words, write, stdin=text)
        try:
            yield
        finally:
            run(*words, write if before else f"rm /v/{name}", stdin=before)

    def age(self, seconds: float) -> int:
        """The time that long ago."""
        return int(time.time() - seconds)
