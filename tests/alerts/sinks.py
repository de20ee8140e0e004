"""Receivers of alerts on this machine: a webhook, a dead man's switch, a mail server with TLS and a login."""

import email
import email.policy
import json
import re
import ssl
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from testing.shell import eventually, run

NAME = "sink"  # the name of this machine in Alertmanager's container
USER, PASSWORD = "alerts", "of-the-mail-server"
# Containers reach this machine at an address of a bridge, which differs by engine.
EVERYWHERE = "0.0.0.0"  # noqa: S104


class Notice(NamedTuple):
    """One alert, as a receiver got it."""

    status: str  # firing | resolved
    alert: str
    labels: dict[str, str]
    annotations: dict[str, str]
    at: float  # when it arrived, time.monotonic()


class Webhooks:
    """An HTTP server: what is posted to /alerts and to /deadman. `refuse` answers 500 instead."""

    def __init__(self, port: int) -> None:
        self.notices: list[Notice] = []
        self.beats: list[float] = []
        self.refuse = False
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(500 if sink.refuse else 200)
                self.end_headers()
                if not sink.refuse:
                    sink.take(self.path, body)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                pass

        self.server = ThreadingHTTPServer((EVERYWHERE, port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, body: dict[str, Any]) -> None:
        now = time.monotonic()
        if path == "/deadman":
            self.beats.append(now)
            return
        self.notices += [
            Notice(one["status"], one["labels"]["alertname"], one["labels"], one["annotations"], now)
            for one in body["alerts"]
        ]

    def wait(self, status: str, alert: str, since: float, within: float) -> Notice:
        """The first such notice that came after `since`."""
        return eventually(lambda: self.seen(status, alert, since), within=within)[0]

    def seen(self, status: str, alert: str, since: float = 0) -> list[Notice]:
        return [one for one in self.notices if (one.status, one.alert) == (status, alert) and one.at > since]


class Mails:
    """An SMTP server: STARTTLS and a login are required. `messages` has subject and text."""

    def __init__(self, port: int, folder: Path) -> None:
        self.messages: list[tuple[str, str]] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate(folder))
        self.controller = Controller(
            self, hostname=EVERYWHERE, port=port, tls_context=context, require_starttls=True, auth_required=True,
            auth_exclude_mechanism=["LOGIN"],
            authenticator=lambda server, session, envelope, mechanism, login: AuthResult(
                success=(login.login, login.password) == (USER.encode(), PASSWORD.encode())
            ),
        )  # fmt: skip
        self.controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = message.get_body(("plain",))
        self.messages.append((str(message["Subject"]), body.get_content() if body else ""))
        return "250 OK"

    def about(self, status: str, alert: str) -> list[str]:
        """The texts of the mails about an alert."""
        return [text for subject, text in self.messages if re.search(rf"\[{status}\] {alert}\b", subject)]


def certificate(folder: Path) -> tuple[Path, Path]:
    """A new certificate of the mail server, and its key."""
    crt, key = folder / "sink.crt", folder / "sink.key"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
    run(*words, "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-out", str(crt), "-keyout", str(key))
    crt.chmod(0o644)
    return crt, key


def now() -> str:
    """For the record of a proof."""
    return datetime.now(UTC).strftime("%Y-%m-%d")
