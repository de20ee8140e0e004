"""The application's queries return what the reference document's own return."""

import pytest

from support.ops import Ops
from support.postgres import Postgres

# The reference document's queries, as they are in it (without their LIMIT).
REFERENCE = {
    "most-guessed": """SELECT c.name, c.flag_emoji, COUNT(ua.id) as guess_count FROM flags_country c
        JOIN flags_question q ON q.country_id = c.id JOIN flags_useranswer ua ON ua.question_id = q.id
        GROUP BY c.id, c.name, c.flag_emoji ORDER BY guess_count DESC""",
    "accuracy": """SELECT u.email, COUNT(ua.id) as total_answers,
        SUM(CASE WHEN ua.is_correct THEN 1 ELSE 0 END) as correct,
        ROUND(100.0 * SUM(CASE WHEN ua.is_correct THEN 1 ELSE 0 END) / COUNT(ua.id), 2) as accuracy_pct
        FROM users_user u JOIN flags_useranswer ua ON ua.user_id = u.id GROUP BY u.id, u.email
        HAVING COUNT(ua.id) > 0 ORDER BY accuracy_pct DESC""",
    "user-stats": """SELECT u.email, us.total_correct, us.current_streak, us.longest_streak
        FROM users_user u JOIN users_userstats us ON u.id = us.user_id ORDER BY us.total_correct DESC""",
    "todays-challenge": """SELECT dc.date::text, c.name, c.flag_emoji, dc.selection_algorithm_version
        FROM flags_dailychallenge dc JOIN flags_country c ON dc.country_id = c.id WHERE dc.date = CURRENT_DATE""",
    "countries": "SELECT code, name, flag_emoji FROM flags_country ORDER BY name LIMIT 10",
    "count-countries": "SELECT COUNT(*) AS countries FROM flags_country",
}


@pytest.mark.parametrize("name", REFERENCE)
def test_it_returns_what_the_references_returns(ops: Ops, postgres: Postgres, players: None, name: str) -> None:
    with postgres.connect("readonly") as connection:
        expected = [[str(value) for value in row] for row in connection.execute(REFERENCE[name].encode()).fetchall()]
    found = [[str(value) for value in row.values()] for row in ops("query", name, "--json").json]
    assert [[as_number(value) for value in row] for row in found] == [
        [as_number(value) for value in row] for row in expected
    ]
    assert found


def as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def test_a_streak_that_broke_is_none(ops: Ops, players: None) -> None:
    """The reference's query lists player2, whose last answer is five days old."""
    assert [row["email"] for row in ops("query", "active-streaks", "--json").json] == ["player1@example.org"]


def test_a_limit(ops: Ops) -> None:
    assert len(ops("query", "countries", "-n", "3", "--json").json) == 3


def test_the_plan(ops: Ops) -> None:
    assert "Execution Time" in ops("query", "most-guessed", "--explain").out


def test_as_a_role_that_can_only_read(ops: Ops) -> None:
    ops("query", "count-countries")
    assert "flaglearning_readonly" in {row["role"] for row in ops("slow-queries", "-n", "1000", "--json").json}
