"""Reads that may be some seconds old: where they go, what they show, and that nothing else goes there."""

from collections.abc import Callable

import pytest
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.test import Client
from django.utils import timezone

from core import replica
from core.env import Environment

PAGES = ("/leaderboard/", "/most-guessed/")
PATHS = ("/api/leaderboard", "/api/countries/most-guessed")


@pytest.fixture
def replica_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with REPLICA_READS=true, when HAProxy leads to the primary."""
    monkeypatch.setattr(replica, "ALIAS", DEFAULT_DB_ALIAS)


@pytest.mark.django_db
def test_replica_reads_are_off_and_nothing_is_shown(client: Client) -> None:
    assert replica.ALIAS not in connections.databases
    assert all(b"As of" not in client.get(page).content for page in PAGES)
    assert all("X-Data-As-Of" not in client.get(path) for path in PATHS)


@pytest.mark.django_db
@pytest.mark.usefixtures("replica_reads")
def test_pages_and_responses_say_as_of_when() -> None:
    before = timezone.now().replace(microsecond=0)
    for page in PAGES:
        assert f'As of <time datetime="{before:%Y-%m-%dT%H:%M}' in Client().get(page).content.decode()
    for path in PATHS:
        assert before.isoformat() <= Client().get(path)["X-Data-As-Of"] <= timezone.now().isoformat()


@pytest.mark.django_db
def test_without_a_replica_the_primary_is_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No standby answers, or one ends the query because of a conflict with recovery."""
    monkeypatch.setitem(connections.databases, replica.ALIAS, {})

    def unreachable(using: str) -> None:
        raise OperationalError(f"no server for {using}")

    monkeypatch.setattr("core.replica.transaction.atomic", unreachable)
    reading = replica.read(lambda using: using)
    assert reading.rows == DEFAULT_DB_ALIAS
    assert reading.as_of is not None
    assert "the primary is" in caplog.text


@pytest.mark.django_db
@pytest.mark.usefixtures("replica_reads")
def test_a_server_that_has_replayed_nothing_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "STATE_OF", "SELECT NULL")
    asked: list[str] = []
    read: Callable[[str], None] = asked.append
    before = timezone.now()
    assert (replica.read(read).as_of or before) > before
    assert len(asked) == 1


def test_the_entry_for_a_replica_is_the_databases_with_read_only_transactions() -> None:
    database = {"NAME": "game", "USER": "app", "OPTIONS": {"sslmode": "verify-full"}}
    found = Environment.replica(database)
    assert (found["NAME"], found["USER"]) == ("game_replica", "app")
    assert found["OPTIONS"] == {"sslmode": "verify-full", "options": "-c default_transaction_read_only=on"}
    assert database["OPTIONS"] == {"sslmode": "verify-full"}
