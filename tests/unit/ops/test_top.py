"""The day that `report logs` reports."""

import datetime

import pytest

from ops.commands.top import day_of
from user_errors import UserError

TODAY = datetime.date(2026, 12, 1)


@pytest.mark.parametrize(
    ("text", "day"), [("today", "2026-12-01"), ("yesterday", "2026-11-30"), ("2026-02-03", "2026-02-03")]
)
def test_a_day(text: str, day: str) -> None:
    assert day_of(text, TODAY) == day


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-02-30", "20261130", "2026-11-30T00:00:00"])
def test_no_day(text: str) -> None:
    with pytest.raises(UserError, match="is no date"):
        day_of(text, TODAY)
