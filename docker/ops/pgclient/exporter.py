"""The service `ops-exporter`: the site and the certificates as a client sees them, as metrics for Prometheus.

It has no secret and logs in nowhere.
"""

import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pgclient import diagnose, stack
from pgclient.verbs import verb
from user_errors import Failure

PORT = 9000
ENDPOINTS = (diagnose.PROXY, stack.PGBOUNCER, stack.POSTGRES)


@verb("serve-metrics")
def serve() -> None:
    """GET /site and /certificates on port 9000, until SIGTERM. Each request measures."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()


class Handler(BaseHTTPRequestHandler):
    """Measures at each request."""

    def do_GET(self) -> None:
        page = {"/site": site, "/certificates": certificates}.get(self.path)
        if page is None:
            self.send_error(404)
            return
        body = page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: the log would have scrapes only."""


def site() -> str:
    """Whether /readyz answers 200 through the proxy, which is the way to the database and back."""
    try:
        up = diagnose.visit("/readyz")["status"] == 200
    except Failure:
        up = False
    return gauge("site_up", "Whether /readyz answers 200 through the proxy.", {"": int(up)})


def certificates() -> str:
    """Of each service that can be reached: whether its certificate is valid, and when it expires."""
    with ThreadPoolExecutor(len(ENDPOINTS)) as pool:
        return certificate_metrics(
            dict(zip((one.host for one in ENDPOINTS), pool.map(certificate, ENDPOINTS), strict=True))
        )


def certificate(endpoint: stack.Endpoint) -> float | bool | None:
    """When the service's certificate expires (seconds since 1970); False: it is not valid; None: no service answers."""
    try:
        return diagnose.expiry(endpoint)
    except diagnose.InvalidCertificate:
        return False
    except Failure:
        return None


def certificate_metrics(found: dict[str, float | bool | None]) -> str:
    """The metrics, of what `certificate` found by service. An invalid one has no time of expiry."""
    seen = {f'{{service="{name}"}}': value for name, value in found.items() if value is not None}
    valid = {labels: int(value is not False) for labels, value in seen.items()}
    expiries = {labels: int(value) for labels, value in seen.items() if value is not False}
    return gauge("certificate_valid", "Whether clients accept the certificate that the service shows.", valid) + gauge(
        "certificate_expiry_timestamp_seconds", "When it expires.", expiries
    )


def gauge(name: str, help: str, values: Mapping[str, int]) -> str:
    """A metric in Prometheus' text format; `values` by labels."""
    metric = f"flaglearning_{name}"
    lines = [f"# HELP {metric} {help}", f"# TYPE {metric} gauge"]
    return "\n".join([*lines, *(f"{metric}{labels} {value}" for labels, value in values.items()), ""])
