"""A typed recovery target is exactly one instant, in UTC, or it is refused."""

from datetime import UTC, datetime

import pytest

from pgbackup.target_time import parse
from user_errors import UserError

AT = datetime(2026, 11, 27, 3, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "typed",
    [
        "2026-11-27 03:01:15",
        "2026-11-27T03:01:15Z",
        "2026-11-27t03:01:15z",
        "  2026-11-27   03:01:15  ",
        "2026-11-27 03:01:15 UTC",
        "2026-11-27 03:01:15+00",
        "2026-11-27 03:02:15+00:01",  # the offset that was once ignored
        "2026-11-27 04:01:15+0100",
        "2026-11-26T22:01:15-05:00",
        "2026-11-27 04:01:15 Europe/Berlin",
        "2026-11-27 08:46:15 Asia/Kathmandu",
        "2026-11-26 22:01:15 America/New_York",
        "2026-11-27 03:01:15,000",
    ],
)
def test_it_is_converted_to_utc(typed: str) -> None:
    found = parse(typed)
    assert found.at == AT
    assert found.pgbackrest == "2026-11-27 03:01:15.000000+00"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("2026-11-27 03:01:15", "2026-11-27 03:01:15 UTC"),
        ("2026-11-27 04:01:15+01:00", "2026-11-27 03:01:15 UTC (2026-11-27 04:01:15 +01:00)"),
        ("2026-11-27 04:01:15.25 Europe/Berlin", "2026-11-27 03:01:15.25 UTC (2026-11-27 04:01:15.25 Europe/Berlin)"),
    ],
)
def test_it_is_echoed_in_utc_and_as_it_was_typed(typed: str, says: str) -> None:
    assert parse(typed).says == says


def test_a_fraction_is_kept_to_the_microsecond() -> None:
    assert parse("2026-11-27 03:01:15.123456").pgbackrest == "2026-11-27 03:01:15.123456+00"


def test_summer_time_counts() -> None:
    assert parse("2026-07-01 12:00 Europe/Berlin").at == datetime(2026, 7, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("yesterday", "is not a time"),
        ("now", "is not a time"),
        ("2026-11-27", "is a day"),
        ("2026-13-27 03:01:15", "is not a time"),
        ("2026-02-30 03:01", "is not a time"),
        ("2026-11-27 24:00:01", "is not a time"),
        ("27.11.2026 03:01", "is not a time"),
        ("1764212475", "is not a time"),
        ("2026-11-27 03:01:15.1234567", "is not a time"),
        ("2026-11-27 03:01:15+99:00", "impossible offset"),
        ("2026-11-27 03:01:15 CET", "abbreviation"),
        ("2026-11-27 03:01:15 IST", "abbreviation"),
        ("2026-11-27 03:01:15 Europe/Atlantis", "no time zone"),
        ("2026-11-27 03:01:15 ../../etc/passwd", "is not a time"),
        ("2026-11-27 03:01:15 Europe/../../etc/passwd", "is not a time"),
        ("2026-03-29 02:30:00 Europe/Berlin", "does not exist"),
        ("2026-10-25 02:30:00 Europe/Berlin", "happened twice"),
        ("0001-01-01 00:00:00+15:00", "out of range"),
        ("9999-12-31 23:59:59-15:00", "out of range"),
    ],
)
def test_it_is_refused(typed: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        parse(typed)


def test_the_hour_that_happens_twice_is_named_in_utc() -> None:
    with pytest.raises(UserError) as refused:
        parse("2026-10-25 02:30:00 Europe/Berlin")
    assert "2026-10-25 00:30:00 or 2026-10-25 01:30:00 UTC" in refused.value.hint
