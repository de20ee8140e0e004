"""Exceptions that the application does not handle: their group, what Sentry gets, and the request's id."""

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connection
from django.test import Client

from core import failures, sentry
from core.logs import request_id
from flags import services
from users.models import User

REQUEST = "0123456789abcdef"
SECRETS = ("ann@example.org", "198.51.100.7", "s3cret-token", "s3cret-cookie", "s3cret-body", "s3cret-message")


def failing(error: Exception) -> Callable[..., None]:
    def crash(*_: object, **__: object) -> None:
        private = "s3cret-message of a variable"
        raise error if private else AssertionError

    return crash


@pytest.fixture
def visit(client: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], Any]:
    """The response of a page that raises the exception."""
    client.raise_request_exception = False

    def visited(error: Exception) -> Any:
        monkeypatch.setattr(services, "leaderboard", failing(error))
        client.cookies["sessionid"] = "s3cret-cookie"
        headers = {"X-Request-ID": REQUEST, "X-Forwarded-For": "198.51.100.7", "X-Token": "s3cret-token"}
        return client.get("/api/leaderboard?limit=7&token=s3cret-token", headers=headers)

    return visited


def refused(driver: type[psycopg.Error]) -> DatabaseError:
    """Django's error for one of the driver's."""
    error = OperationalError("s3cret-message")
    error.__cause__ = driver("s3cret-message")
    return error


class TestGroup:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [(ValueError("s3cret-message"), "ValueError"), (refused(psycopg.errors.DeadlockDetected), "DeadlockDetected")],
    )
    def test_it_is_type_and_place_without_a_line(self, visit: Any, error: Exception, kind: str) -> None:
        found = re.search(r" failure=(\S+)$", visit(error)["X-App-Metrics"])
        assert found
        assert found[1] == f"{kind}@flags.api.leaderboard"

    def test_a_request_without_an_error_has_none(self, client: Client) -> None:
        assert "failure" not in client.get("/api/csrf")["X-App-Metrics"]

    def test_a_page_that_is_not_there_is_none(self, client: Client, db: None) -> None:
        assert "failure" not in client.get("/nothing")["X-App-Metrics"]

    @pytest.mark.parametrize("driver", [psycopg.OperationalError, psycopg.errors.AdminShutdown])
    def test_an_outage_is_none_as_it_has_alerts_of_its_own(self, visit: Any, driver: type[psycopg.Error]) -> None:
        response = visit(refused(driver))
        assert response.status_code == 503
        assert "failure" not in response["X-App-Metrics"]

    def test_nginx_gets_no_letter_that_would_end_its_field(self) -> None:
        error = type('Odd" \n', (Exception,), {})()
        assert re.fullmatch(r"Odd___@[\w.<>]+", failures.group(error))


class Sink:
    """An HTTP server that takes Sentry's envelopes."""

    def __init__(self) -> None:
        self.received: list[str] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                packed = self.headers.get("Content-Encoding") == "gzip"
                sink.received.append((gzip.decompress(body) if packed else body).decode())
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def sink(settings: Any) -> Iterator[Sink]:
    sink = Sink()
    settings.SENTRY_DSN = f"http://key@127.0.0.1:{sink.server.server_port}/1"
    sentry.sdk.cache_clear()
    yield sink
    sentry.sdk.cache_clear()
    sink.server.shutdown()
    sink.server.server_close()


class TestSentry:
    def test_it_gets_the_place_and_the_requests_id_and_nothing_personal(
        self, visit: Any, sink: Sink, make_user: Callable[..., User]
    ) -> None:
        visit(ValueError("s3cret-message of ann@example.org"))
        sentry.sdk().flush(5)
        (envelope,) = sink.received
        event = json.loads(envelope.splitlines()[2])
        (exception,) = event["exception"]["values"]
        assert exception["type"] == "ValueError"
        assert "leaderboard" in [frame["function"] for frame in exception["stacktrace"]["frames"]]
        assert event["transaction"] == "api/leaderboard"
        assert event["tags"] == {"request_id": REQUEST}
        assert event["fingerprint"] == ["ValueError@flags.api.leaderboard"]
        # The line of code that holds a literal of this test is code, and no data.
        for frame in exception["stacktrace"]["frames"]:
            for name in ("context_line", "pre_context", "post_context"):
                frame.pop(name, None)
        assert not [secret for secret in SECRETS if secret in json.dumps(event)]

    def test_without_a_dsn_nothing_is_sent_and_the_sdk_is_not_started(self, visit: Any, settings: Any) -> None:
        sentry.sdk.cache_clear()
        assert visit(ValueError("x")).status_code == 500
        assert sentry.sdk.cache_info().currsize == 0

    def test_a_server_that_is_away_changes_nothing_for_the_visitor(self, visit: Any, settings: Any) -> None:
        settings.SENTRY_DSN = "http://key@127.0.0.1:9/1"
        sentry.sdk.cache_clear()
        assert visit(ValueError("x")).status_code == 500
        sentry.sdk.cache_clear()


class TestRequestId:
    def test_the_error_page_shows_it(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(services, "most_guessed", failing(ValueError("x")))
        client.raise_request_exception = False
        page = client.get("/most-guessed/", headers={"X-Request-ID": REQUEST})
        assert page.status_code == 500
        assert f"<code>{REQUEST}</code>" in page.content.decode()

    def test_a_statement_begins_with_it(self, db: None) -> None:
        token = request_id.set(REQUEST)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND %s", [True])
                (text,) = cursor.fetchone()
        finally:
            request_id.reset(token)
        assert text.startswith(f"/* request_id={REQUEST} */ SELECT")

    def test_outside_of_a_request_a_statement_is_as_it_is(self, db: None) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            assert cursor.fetchone()[0].startswith("SELECT")
