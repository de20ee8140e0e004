"""/healthz (the process is alive) and /readyz (it can reach its database, which has the tables of its models).

The middleware runs before those that read the host, the scheme, a session or the database, so that a probe fails only
for the reason it tests.
"""

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import psycopg
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from core import schema
from core.postgresql import passwords

logger = logging.getLogger("health")

# The probing client waits 2 s.
DEADLINE_SECONDS = 1.5

# An abandoned probe must end, or later probes would wait for it for ever: connections to a silent server fail within
# seconds.
CONNECTION_LIMITS: dict[str, Any] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 3000,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}

PATHS = ("/healthz", "/readyz")


class HealthMiddleware:
    """Handles /healthz and /readyz."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return JsonResponse({"status": "ok"})
        if request.path == "/readyz":
            return readyz()
        return self.get_response(request)


def readyz() -> HttpResponse:
    """200 when the database responds within the deadline, else 503 with the step that failed, without secrets."""
    failed = probe.run(DEADLINE_SECONDS)
    if failed is None:
        return JsonResponse({"status": "ok"})
    logger.warning("not ready: %s", failed, extra={"fields": {"failed": failed}})
    return JsonResponse({"status": "unavailable", "failed": f"database: {failed}"}, status=503)


class DatabaseProbe:
    """Runs one query in a thread, which is abandoned when it hangs.

    A name lookup, a TLS handshake with a paused server and a query have different timeouts, or none. At most one thread
    is abandoned: while it hangs, later probes wait for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempt: _Attempt | None = None

    def run(self, seconds: float) -> str | None:
        """Return None when the database responded, else the step that failed or was running at the deadline."""
        with self._lock:
            if self._attempt is None or not self._attempt.thread.is_alive():
                known = passwords.known(connection.settings_dict)
                self._attempt = _Attempt(connection.get_connection_params(), known)
                self._attempt.thread.start()
            attempt = self._attempt
        attempt.thread.join(seconds)
        if attempt.thread.is_alive():
            return f"{attempt.step} timed out"
        return attempt.failed


class _Attempt:
    """One connection and one query, which names what the models need and the database lacks (2 ms)."""

    def __init__(self, parameters: dict[str, Any], known_passwords: list[str]) -> None:
        self.passwords = known_passwords
        self.parameters = {
            key: value
            for key, value in parameters.items()
            if key in ("dbname", "user", "host", "port") or key.startswith("ssl")
        }
        self.step = "name lookup"
        self.missing: list[str] = []
        self.failed: str | None = "probe failed"
        # A daemon thread: a worker that exits doesn't wait for it.
        self.thread = threading.Thread(target=self._run, name="readyz", daemon=True)

    def _run(self) -> None:
        try:
            self._ask()
            self.failed = f"{len(self.missing)} tables or columns are missing" if self.missing else None
            if self.missing:
                logger.warning("the database lacks %s", ", ".join(self.missing))
        except (OSError, psycopg.Error) as error:
            self.failed = f"{self.step} failed"
            # The driver's message names host and user, never the password.
            logger.warning("%s: %s", self.failed, error)

    def _ask(self) -> None:
        host, port = self.parameters["host"], self.parameters.get("port") or 5432
        if not host.startswith("/"):
            # In Python, which releases the GIL; libpq's own lookup would block the whole worker.
            found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
            self.parameters |= {"host": ",".join([host] * len(addresses)), "hostaddr": ",".join(addresses)}
        self.step = "connection"
        options: dict[str, Any] = {**self.parameters, **CONNECTION_LIMITS, "autocommit": True}
        with passwords.first_accepted(
            lambda password: psycopg.connect(**options, password=password), self.passwords
        ) as probe_connection:
            self.step = "query"
            self.missing = schema.missing(probe_connection.execute, prepare=False)


probe = DatabaseProbe()
