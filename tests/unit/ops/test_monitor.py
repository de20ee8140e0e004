"""How far the statistics of unused indexes can be trusted; listings that are cut."""

from datetime import UTC, datetime

import pytest

from ops.commands.monitor import too_young
from ops.output import show_first

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def test_statistics_of_two_minutes_are_not_trusted() -> None:
    assert "cover 2 min" in too_young("2026-11-30T11:58:00+00:00", NOW)


def test_statistics_of_a_week_are() -> None:
    assert too_young("2026-11-23T12:00:00+00:00", NOW) == ""


@pytest.mark.parametrize(("rows", "said"), [(3, False), (4, True)])
def test_a_listing_that_is_cut_says_so(capsys: pytest.CaptureFixture[str], rows: int, said: bool) -> None:
    show_first([{"n": n} for n in range(rows)], 3, as_json=True, empty="")
    printed = capsys.readouterr()
    assert printed.out.count('"n"') == 3
    assert ("only the first 3 rows are shown" in printed.err) is said
