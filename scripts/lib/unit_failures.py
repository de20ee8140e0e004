#!/usr/bin/env python3
"""Report systemd units of this host that have failed.

    unit_failures.py look           write which units have failed, for Prometheus (alert UnitFailed)
    unit_failures.py failed UNIT    the same; and when the monitoring host does not answer, tell the receivers directly

A timer runs `look` each minute; OnFailure= of every unit runs `failed` (ansible/roles/monitoring/tasks/units.yml;
on one machine ./scripts/ops timers install, of the units that it installs).
Settings: /etc/flaglearning/unit_failures.json.
Exit status: 0 done; 1 a receiver did not take the report; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import smtplib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import EmailMessage
from pathlib import Path
from typing import Any

SETTINGS = Path("/etc/flaglearning/unit_failures.json")
FILE = "flaglearning_units.prom"
WITHIN = 10  # seconds for one answer
RUNBOOK = "docs/runbooks/alerts.md#unitfailed"


@dataclass(frozen=True)
class Settings:
    """What the settings' file has. Secrets are files' names; a receiver without a setting is left out."""

    host: str
    metrics: str  # folder that node_exporter's textfile collector reads
    ready: tuple[
        str, ...
    ] = ()  # URLs that answer 200 while Prometheus and Alertmanager work; none: there is no such host
    only: str = ""  # how the names of the units begin that are looked at; "": all
    tls: str = ""  # folder of this host's certificate, for these URLs
    email_to: str = ""
    email_from: str = ""
    email_host: str = ""
    email_port: int = 587
    email_user: str = ""
    email_password_file: str = ""
    webhook_url_file: str = ""


def settings(text: str) -> Settings:
    """The settings of a file's text."""
    found = json.loads(text)
    return Settings(**{**found, "ready": tuple(found.get("ready", ()))})


# ------------------------------------------------------------ pure


def metrics(units: list[str], now: float) -> str:
    """The metrics file: each failed unit, and when that was looked at."""
    quoted = [unit.replace("\\", "\\\\").replace('"', '\\"') for unit in units]
    return "".join(
        [
            "# HELP flaglearning_unit_failed Whether the systemd unit has failed; a unit that works is not listed.\n",
            "# TYPE flaglearning_unit_failed gauge\n",
            *(f'flaglearning_unit_failed{{unit="{unit}"}} 1\n' for unit in quoted),
            "# HELP flaglearning_units_checked_timestamp_seconds When this was written.\n",
            "# TYPE flaglearning_units_checked_timestamp_seconds gauge\n",
            f"flaglearning_units_checked_timestamp_seconds {now:.0f}\n",
        ]
    )


def alert(host: str, unit: str, now: datetime) -> dict[str, Any]:
    """The alert in the format of Alertmanager's webhook, as the rule UnitFailed makes it."""
    one = {
        "status": "firing",
        "labels": {"alertname": "UnitFailed", "severity": "warning", "host": host, "unit": unit},
        "annotations": {
            "summary": f"The systemd unit {unit} has failed. {host} reports it: no monitoring host answers.",
            "action": f"systemctl status {unit}; journalctl --unit {unit} --since -1h",
            "runbook": RUNBOOK,
        },
        "startsAt": now.isoformat(),
    }
    return {"version": "4", "status": "firing", "receiver": "webhook", "alerts": [one]}


def mail(told: dict[str, Any], sender: str, to: str) -> EmailMessage:
    """The same as a mail."""
    one = told["alerts"][0]
    message = EmailMessage()
    message["Subject"] = f"[firing] {one['labels']['alertname']} ({one['labels']['severity']})"
    message["From"], message["To"] = sender, to
    says = one["annotations"]
    lines = (
        f"{says['summary']}\n",
        f"Host:    {one['labels']['host']}",
        f"Do:      {says['action']}",
        f"Runbook: {says['runbook']}",
        f"Since:   {one['startsAt']}",
    )
    message.set_content("\n".join(lines) + "\n")
    return message


# ------------------------------------------------------------ the work


def failed_units(only: str = "") -> list[str]:
    """The units of this host that have failed, of those whose names begin with `only`."""
    words = ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager", "--full", f"{only}*"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines() if line.strip()]


def look(own: Settings) -> None:
    """Replace the metrics file in one step."""
    file = Path(own.metrics) / FILE
    unfinished = file.with_suffix(".new")
    unfinished.write_text(metrics(failed_units(own.only), time.time()), encoding="utf-8")
    unfinished.chmod(0o644)
    unfinished.replace(file)


def monitored(own: Settings) -> bool:
    """Whether Prometheus and Alertmanager answer, so that they report what `look` wrote."""
    context = None
    if own.tls:
        context = ssl.create_default_context(cafile=f"{own.tls}/ca.crt")
        context.load_cert_chain(f"{own.tls}/tls.crt", f"{own.tls}/tls.key")
    try:
        for url in own.ready:
            urllib.request.urlopen(url, timeout=WITHIN, context=context).close()  # noqa: S310 - of the settings
    except (OSError, urllib.error.URLError) as error:
        print(f"the monitoring host does not answer: {error}", file=sys.stderr)
        return False
    return bool(own.ready)


def secret(file: str) -> str:
    """A secret's text; nothing for no file."""
    return Path(file).read_text(encoding="utf-8").strip() if file else ""


def tell(own: Settings, unit: str) -> int:
    """Send the failure to the webhook and by mail. Returns how many receivers did not take it."""
    told = alert(own.host, unit, datetime.now(timezone.utc))
    context = ssl.create_default_context()
    refused = 0
    try:
        if url := secret(own.webhook_url_file):
            body, kind = json.dumps(told).encode(), {"Content-Type": "application/json"}
            request = urllib.request.Request(url, body, kind)  # noqa: S310 - of the settings
            urllib.request.urlopen(request, timeout=WITHIN, context=context).close()  # noqa: S310
            print(f"told the webhook: {unit} has failed")
    except (OSError, ValueError) as error:
        refused += failed_to("the webhook", error)
    try:
        if own.email_to:
            with smtplib.SMTP(own.email_host, own.email_port, timeout=WITHIN) as server:
                server.starttls(context=context)
                if own.email_user:
                    server.login(own.email_user, secret(own.email_password_file))
                server.send_message(mail(told, own.email_from, own.email_to))
            print(f"told {own.email_to}: {unit} has failed")
    except (OSError, smtplib.SMTPException) as error:
        refused += failed_to(f"the mail server {own.email_host}:{own.email_port}", error)
    return refused


def failed_to(receiver: str, error: Exception) -> int:
    """Report a receiver that did not take the failure."""
    print(f"ERROR: {receiver} did not take the report of a failed unit: {error}", file=sys.stderr)
    print(f"HINT:  systemctl --failed; correct the receivers of the inventory ({SETTINGS})", file=sys.stderr)
    return 1


def main(arguments: list[str], file: Path = SETTINGS) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    verbs.add_parser("look", help="write which units have failed, for Prometheus")
    verbs.add_parser("failed", help="report a unit that has failed").add_argument("unit", metavar="UNIT")
    asked = parser.parse_args(arguments)
    own = settings(file.read_text(encoding="utf-8"))
    look(own)
    if asked.verb == "look" or monitored(own):
        return 0
    return 1 if tell(own, asked.unit) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
