"""Server sessions in production: people's are reset for the next one, the application's hold nothing to reset."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from support.load import CSRF, make_players
from support.postgres import Bouncer
from support.proxy import Proxy
from testing.stack import Stack

Client = psycopg.Connection[Any]

# What the setter leaves behind, and what the next one would see of it.
LEFT_BEHIND = {
    "a setting": (
        "SET work_mem = '1MB'",
        "SELECT count(*) FROM pg_settings WHERE source = 'session' AND name = 'work_mem'",
    ),
    "an advisory lock": ("SELECT pg_advisory_lock(4711)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
    "a channel": ("LISTEN answers", "SELECT count(*) FROM pg_listening_channels()"),
    "a statement": ("PREPARE one AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements WHERE name = 'one'"),
    "a cursor": ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) FROM pg_cursors WHERE name = 'c'"),
}
# What PgBouncer restores for each client itself; the rest of a session's settings would be the next request's, too.
SETTINGS = """
    SELECT name FROM pg_settings WHERE source = 'session'
    AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')"""


def value(client: Client, sql: str) -> Any:
    row = client.execute(sql.encode()).fetchone()
    return row[0] if row else None


def backend(client: Client) -> int:
    return int(value(client, "SELECT pg_backend_pid()"))


@pytest.fixture
def applications(bouncer: Bouncer) -> Iterator[tuple[Client, Client]]:
    """Two clients with the application's role, and a fresh pool afterwards."""
    bouncer.admin(f"RECONNECT {bouncer.stack.database}")
    with bouncer.connect("app") as one, bouncer.connect("app") as other:
        yield one, other
    bouncer.admin(f"RECONNECT {bouncer.stack.database}")


def test_a_read_only_client_is_read_only_alone(bouncer: Bouncer) -> None:
    """The option of the alias `replica` (core.env) stays with its client: no reset is needed."""
    read_only = "-c default_transaction_read_only=on"
    with bouncer.connect("app", options=read_only) as one, bouncer.connect("app") as other:
        for _ in range(3):
            assert backend(one) == backend(other)
            assert value(one, "SHOW transaction_read_only") == "on"
            assert value(other, "SHOW transaction_read_only") == "off"


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_a_person_leaves_nothing_to_the_next_one(bouncer: Bouncer, what: str) -> None:
    leave, seen = LEFT_BEHIND[what]
    with bouncer.connect("readonly") as one:
        session = backend(one)
        one.execute(leave.encode())
        assert value(one, seen) == 1, "nothing was left behind, so the test proves nothing"
    with bouncer.connect("readonly") as other:
        assert (backend(other), value(other, seen)) == (session, 0)


def test_people_at_the_same_time_have_sessions_of_their_own(bouncer: Bouncer) -> None:
    with bouncer.connect("readonly") as one, bouncer.connect("readonly") as other:
        one.execute("SET work_mem = '1MB'")
        assert backend(one) != backend(other)
        assert (value(one, "SHOW work_mem") == "1MB", value(other, "SHOW work_mem") == "1MB") == (True, False)


def test_people_and_the_application_share_no_session(bouncer: Bouncer, applications: tuple[Client, Client]) -> None:
    """Also after the person has left: a pool belongs to one role."""
    with bouncer.connect("readonly") as person:
        person.execute("SET work_mem = '1MB'")
        theirs = backend(person)
    for client in applications:
        assert backend(client) != theirs
        assert value(client, "SHOW work_mem") != "1MB"


def test_the_applications_clients_share_a_session_that_is_not_reset(applications: tuple[Client, Client]) -> None:
    """Why its code must not change one (tests/app/test_shared_session.py): past the guard, a setting leaks."""
    one, other = applications
    assert backend(one) == backend(other)
    one.execute("SET work_mem = '1MB'")
    assert value(other, "SHOW work_mem") == "1MB"


def test_the_applications_code_is_refused_a_lasting_setting(stack: Stack) -> None:
    code = "from django.db import connection; connection.cursor().execute('SET work_mem = 1')"
    said = stack.exec("app", "python", "manage.py", "shell", "--command", code, check=False)
    assert "the statement was not sent" in said
    assert "SET LOCAL" in said


def test_after_requests_the_sessions_hold_no_setting(
    stack: Stack, proxy: Proxy, bouncer: Bouncer, applications: tuple[Client, Client]
) -> None:
    (player,) = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words), count=1)
    cookies, headers = {"sessionid": player.session, "csrftoken": CSRF}, {"X-CSRFToken": CSRF, "Referer": proxy.https}
    with proxy.client(cookies=cookies, headers=headers) as browser:
        question = browser.post("/api/practice").json()
        answer = {"question_id": question["id"], "country_code": question["options"][0]["code"]}
        assert browser.post("/api/answers", json=answer).status_code == 201
        assert {browser.get(path).status_code for path in ("/", "/statistics/", "/leaderboard/")} == {200}
    pool = next(row for row in bouncer.show("POOLS") if row["user"] == stack.role("app"))
    with ExitStack() as held:
        seen = {}
        for _ in range(int(pool["sv_idle"])):
            client = held.enter_context(bouncer.connect("app"))
            held.enter_context(client.transaction())  # keeps its server session
            seen[backend(client)] = client.execute(SETTINGS.encode()).fetchall()
        assert seen
        assert set(map(tuple, seen.values())) == {()}


def test_another_versions_time_zone_stays_with_its_connections(applications: tuple[Client, Client]) -> None:
    """Django sets it when it connects; PgBouncer knows the setting and restores each client's."""
    one, other = applications
    one.execute("SET TimeZone = 'Asia/Tokyo'")
    assert (value(one, "SHOW TimeZone"), value(other, "SHOW TimeZone")) == ("Asia/Tokyo", "UTC")
