"""/healthz and /readyz: correct, within the deadline, without secrets."""

import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from core import health
from core.health import DatabaseProbe


def test_healthz_needs_no_database(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("path", health.PATHS)
def test_health_does_not_depend_on_host_or_scheme(db: None, settings: Any, path: str) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["flags.example"]
    assert Client().get(path, headers={"Host": "_"}).status_code == 200


def test_readyz_is_200_when_the_database_answers(client: Client, db: None) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


# --- What fails at once ---------------------------------------------------------------------------------------------


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The parameters that the probe connects with; tests change them."""
    monkeypatch.setattr(health, "probe", DatabaseProbe())
    parameters = connection.get_connection_params()
    monkeypatch.setattr(connection, "get_connection_params", lambda: parameters)
    return parameters


def failed(client: Client) -> str:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    return str(response.json()["failed"])


def test_a_server_that_is_down(client: Client, database: dict[str, Any]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        database |= {"host": "127.0.0.1", "port": free.getsockname()[1]}
    assert failed(client) == "database: connection failed"


def test_an_unknown_host_name(client: Client, database: dict[str, Any]) -> None:
    database["host"] = "no-such-host.invalid"
    assert failed(client) == "database: name lookup failed"


def test_a_rejected_login(client: Client, database: dict[str, Any]) -> None:
    database["dbname"] = "no_such_database"
    assert failed(client) == "database: connection failed"


def test_a_failure_contains_no_secret(
    client: Client, database: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    database |= {"dbname": "no_such_database", "password": "hunter2"}
    response = client.get("/readyz")
    assert set(response.json()) == {"status", "failed"}
    for secret in ("hunter2", "no_such_database", database["user"]):
        assert secret not in response.content.decode()
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("statement", "lacking"),
    [
        ("ALTER TABLE flags_question RENAME TO flags_question_gone", "flags_question"),
        ("ALTER TABLE users_user RENAME COLUMN date_joined TO joined", "users_user.date_joined"),
        ("ALTER TABLE users_user_groups RENAME TO gone", "users_user_groups"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_a_database_without_a_table_or_column_of_the_models(
    client: Client, caplog: pytest.LogCaptureFixture, statement: str, lacking: str
) -> None:
    back = re.sub("ALTER TABLE (.*) RENAME TO (.*)", r"ALTER TABLE \2 RENAME TO \1", statement)
    back = re.sub("COLUMN (.*) TO (.*)", r"COLUMN \2 TO \1", back)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        try:
            assert failed(client) == "database: 1 tables or columns are missing"
            assert json.loads(manage("schema_state"))["missing"] == [lacking]
        finally:
            cursor.execute(back)
    assert f"the database lacks {lacking}" in caplog.text
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_newer_schema_is_ready_for_the_version_before(client: Client) -> None:
    """During a rollout, and after a rollback, the database has more than the code needs."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE flags_country ADD COLUMN later text; CREATE TABLE flags_later (id bigint)")
        try:
            assert client.get("/readyz").status_code == 200
        finally:
            cursor.execute("ALTER TABLE flags_country DROP COLUMN later; DROP TABLE flags_later")


def manage(*words: str) -> str:
    printed = io.StringIO()
    call_command(*words, stdout=printed)
    return printed.getvalue()


# --- What hangs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """An event to block on; set at the end."""
    event = threading.Event()
    yield event
    event.set()


def test_a_server_that_accepts_and_does_not_respond(client: Client, database: dict[str, Any]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        database |= {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        started = time.monotonic()
        assert failed(client) == "database: connection timed out"
        assert time.monotonic() - started < 8


def test_a_name_lookup_that_hangs(
    client: Client, database: dict[str, Any], hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: object, **__: object) -> None:
        hang.wait(10)
        raise OSError

    monkeypatch.setattr(health, "socket", SimpleNamespace(getaddrinfo=look_up, SOCK_STREAM=1))
    database["host"] = "db.example"
    started = time.monotonic()
    assert failed(client) == "database: name lookup timed out"
    assert time.monotonic() - started < 8


class PausedServer:
    """A connection to a server that was paused after the login."""

    def __init__(self, hang: threading.Event) -> None:
        self.hang = hang

    def __enter__(self) -> "PausedServer":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, *_: object, **__: object) -> list[object]:
        self.hang.wait(10)
        return []


def readyz_threads() -> int:
    return sum(thread.name == "readyz" for thread in threading.enumerate())


def test_a_query_that_hangs_leaves_one_thread_and_recovers(
    database: dict[str, Any], hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = DatabaseProbe()
    monkeypatch.setattr(psycopg, "connect", lambda **_: PausedServer(hang))
    assert [probe.run(0.05) for _ in range(5)] == ["query timed out"] * 5
    assert readyz_threads() == 1
    hang.set()
    assert probe.run(1) is None


def test_it_recovers_when_the_server_comes_back(client: Client, db: None, database: dict[str, Any]) -> None:
    name = database["dbname"]
    database["dbname"] = "no_such_database"
    failed(client)
    database["dbname"] = name
    assert client.get("/readyz").status_code == 200


def test_an_exception_in_the_probe_is_a_failure(database: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr(psycopg, "connect", lambda **_: 1 / 0)
    assert DatabaseProbe().run(1) == "probe failed"
