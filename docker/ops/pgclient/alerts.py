"""Alertmanager, as ./scripts/ops alert uses it: over the network `monitoring`."""

import json
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

from pgclient import reports
from pgclient.verbs import verb
from user_errors import OperationError, Status

FILE = "flaglearning_alert_test.prom"
ALERTMANAGER = "http://alertmanager:9093"
LIFE = timedelta(minutes=2)  # of a test alert; then its receivers are told that it is resolved
LINE = re.compile(r"^alertmanager_notification_requests_(failed_)?total\{([^}]*)\} (\S+)$", re.MULTILINE)


@verb("alert-list")
def listing() -> list[dict[str, Any]]:
    """The alerts that fire now: alert, severity, since, summary, action. Raises OperationError."""
    found = json.loads(get("/api/v2/alerts?silenced=false&inhibited=false"))
    return [
        {
            "alert": one["labels"]["alertname"],
            "severity": one["labels"].get("severity", ""),
            "since": one["startsAt"],
            "summary": one["annotations"].get("summary", ""),
            "action": one["annotations"].get("action", ""),
        }
        for one in sorted(found, key=lambda one: str(one["startsAt"]))
    ]


@verb("alert-test")
def send_test(within: float = 90.0) -> dict[str, Any]:
    """Send the alert TestAlert, and wait `within` seconds until Alertmanager has delivered it to each receiver.

    Writes the time of its success into the folder of the reports, for Prometheus. Returns {"receivers": [name …],
    "seconds": until the last one took it}. Raises OperationError: Prometheus delivers nothing to Alertmanager, there is
    no receiver, or one did not take the alert.
    """
    if not any(one["alert"] == "Watchdog" for one in listing()):
        raise OperationError(
            "Alertmanager gets no alerts from Prometheus", "docker compose logs --tail 20 prometheus",
            "the alert Watchdog, which always fires, is not there",
        )  # fmt: skip
    receivers = wanted(json.loads(get("/api/v2/status"))["config"]["original"])
    if not receivers:
        raise OperationError(
            "no receiver of alerts is set",
            "set ALERT_EMAIL_TO, or write a URL into SECRETS_DIR/alert_webhook_url (docs/production.md, Monitoring)",
        )
    before = delivered(get("/metrics"))
    began = time.monotonic()
    send()
    taken: set[str] = set()
    while True:
        # Twice in a row: between a failed attempt and the count of its failure it looks like a success.
        earlier, found = taken, delivered(get("/metrics"))
        taken = {name for name in receivers if found.get(name, 0) > before.get(name, 0)}
        waiting = sorted(set(receivers) - (taken & earlier))
        seconds = round(time.monotonic() - began, 1)
        if not waiting:
            reports.replace({FILE: metrics(time.time())})
            return {"receivers": receivers, "seconds": seconds}
        if seconds > within:
            raise OperationError(
                f"the test alert did not reach {' and '.join(waiting)}", "docker compose logs --tail 20 alertmanager",
                f"not delivered within {within:.0f} s",
            )  # fmt: skip
        time.sleep(0.5)


def metrics(at: float) -> str:
    """The metrics file with the time of a test that succeeded, for the checklist (MON-08)."""
    name = "flaglearning_alert_test_timestamp_seconds"
    return f"# HELP {name} When a test alert last reached every receiver.\n# TYPE {name} gauge\n{name} {at:.0f}\n"


def wanted(configuration: str) -> list[str]:
    """The receivers of ordinary alerts in Alertmanager's configuration."""
    names = re.findall(r"receiver: ([\w-]+)", configuration.partition("receivers:")[0])
    return sorted(set(names) - {"none", "deadman"})


def delivered(metrics: str) -> dict[str, float]:
    """Receiver → attempts that succeeded, from Alertmanager's metrics. Its notifications_failed_total counts only when
    all attempts are over, a minute later."""
    found: dict[str, float] = {}
    for failed, labels, value in LINE.findall(metrics):
        name = dict(re.findall(r'(\w+)="([^"]*)"', labels)).get("receiver_name", "")
        found[name] = found.get(name, 0) + (-float(value) if failed else float(value))
    return found


def send() -> None:
    """The test alert."""
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": "TestAlert", "severity": "none", "id": f"{now:%Y%m%dT%H%M%S%f}"},
        "annotations": {
            "summary": "This is a test: ./scripts/ops alert test sent it.",
            "action": "none",
            "runbook": "docs/runbooks/alerts.md",
        },
        "startsAt": now.isoformat(),
        "endsAt": (now + LIFE).isoformat(),
    }
    get("/api/v2/alerts", json.dumps([alert]).encode())


def get(path: str, body: bytes | None = None) -> str:
    """What Alertmanager answers. Raises OperationError."""
    request = urllib.request.Request(ALERTMANAGER + path, body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - a fixed http address
            return str(response.read().decode())
    except (urllib.error.URLError, OSError) as error:
        raise OperationError(
            "Alertmanager does not answer",
            "docker compose ps alertmanager; docker compose logs --tail 20 alertmanager",
            str(error), Status.CANNOT_CONNECT,
        ) from None  # fmt: skip
