"""What a player's request asks of the server: statements, round trips and bytes, counted in libpq's trace.

Counts, not times: a change that makes a request ask more fails here, on any machine.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from django.db import connection
from django.test import Client

from conftest import right
from flags import services
from flags.models import Country, Question
from users.models import User

# As in production: no transaction around the test, whose statements would be savepoints.
pytestmark = pytest.mark.django_db(transaction=True)

# libpq's trace: a tab, F (sent) or B (received), length, message.
MESSAGE = re.compile(r"^(?:[^\t]*\t)?([FB])\t(\d+)\t(\w+)", re.MULTILINE)


@dataclass
class Traffic:
    """Between the app and the server (in production, the pooler)."""

    statements: int = 0
    round_trips: int = 0
    sent: int = 0  # bytes
    received: int = 0


@contextmanager
def traced() -> Iterator[Traffic]:
    """Count what the connection sends and receives."""
    traffic, libpq = Traffic(), connection.connection.pgconn
    with tempfile.TemporaryFile("w+") as file:
        libpq.trace(file.fileno())
        try:
            yield traffic
        finally:
            libpq.untrace()
        file.seek(0)
        for way, length, message in MESSAGE.findall(file.read()):
            traffic.statements += message in ("Query", "Execute")
            traffic.round_trips += message == "ReadyForQuery"
            traffic.sent += int(length) * (way == "F")
            traffic.received += int(length) * (way == "B")


@pytest.fixture
def player(client_of: Callable[[User], Client], user: User, practice: Question) -> Client:
    """Who has answered before, and whose worker has read today's question and its options."""
    services.answer(user, practice.id, right(practice))
    client = client_of(user)
    assert client.get("/api/challenge/today").status_code == 200
    return client


# (statements and round trips, most bytes sent, most bytes received)
READS = {
    "/api/session": (1, 130, 1100),  # the session with user and totals
    "/api/me/statistics": (1, 130, 1100),
    "/api/challenge/today": (1, 150, 1300),  # the same, and the answer
}


@pytest.mark.parametrize("path", READS)
def test_a_players_read(player: Client, path: str) -> None:
    player.get(path)  # the connection prepares the statement
    with traced() as traffic:
        assert player.get(path).status_code == 200
    count, sent, received = READS[path]
    assert (traffic.statements, traffic.round_trips) == (count, count)
    assert traffic.sent <= sent
    assert traffic.received <= received


def test_todays_challenge_after_the_answer(player: Client, user: User) -> None:
    """It comes with the user; question and countries are cached for all."""
    question = services.daily_question()
    services.answer(user, question.id, right(question))
    with traced() as traffic:
        assert player.get("/api/challenge/today").json()["answer"]["is_correct"]
    assert (traffic.statements, traffic.round_trips) == (1, 1)


@pytest.mark.parametrize(("kind", "count"), [("daily", 2), ("practice", 3)])
def test_an_answer(player: Client, user: User, countries: dict[str, Country], kind: str, count: int) -> None:
    """Session, a practice question, and the answer with the totals: one statement and no transaction around it."""

    def answer(question: Question) -> int:
        body = {"question_id": question.id, "country_code": right(question)}
        return player.post("/api/answers", body, "application/json").status_code

    assert answer(services.new_practice_question(user)) == 201  # the connection prepares the statements
    question = services.daily_question() if kind == "daily" else services.new_practice_question(user)
    services.options_of(question)  # countries are cached for a minute
    with traced() as traffic:
        assert answer(question) == 201
    assert (traffic.statements, traffic.round_trips) == (count, count)
    assert traffic.sent <= 1700
    assert traffic.received <= 1600
