"""The selection of each day's country."""

import datetime
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flags.selection import country_code_for

CODES = [f"{a}{b}" for a in "ABCDEFGHIJKLM" for b in "ABCDEFGHIJKLMNO"]  # 195 of them

days = st.dates(min_value=datetime.date(2020, 1, 1), max_value=datetime.date(2120, 1, 1))


def days_from(first: datetime.date, count: int) -> list[datetime.date]:
    return [first + datetime.timedelta(days=offset) for offset in range(count)]


@given(days)
def test_the_order_of_the_codes_does_not_matter(day: datetime.date) -> None:
    assert country_code_for(day, CODES) == country_code_for(day, random.sample(CODES, len(CODES)))


def test_no_country_repeats_within_157_days() -> None:
    # Five cycles: their boundaries are where a repeat would come early.
    last_seen: dict[str, datetime.date] = {}
    gaps = []
    for day in days_from(datetime.date(2026, 1, 1), 5 * 195):
        code = country_code_for(day, CODES)
        if code in last_seen:
            gaps.append((day - last_seen[code]).days)
        last_seen[code] = day
    assert min(gaps) >= 157


def test_every_country_comes_once_in_each_cycle() -> None:
    first = datetime.date.fromordinal(195 * 3800)
    assert {country_code_for(day, CODES) for day in days_from(first, 195)} == set(CODES)


def test_two_cycles_differ() -> None:
    first = datetime.date.fromordinal(195 * 3800)
    one = [country_code_for(day, CODES) for day in days_from(first, 195)]
    two = [country_code_for(day, CODES) for day in days_from(first + datetime.timedelta(days=195), 195)]
    assert one != two


@given(day=days, size=st.integers(min_value=1, max_value=30))
def test_a_list_of_any_length_works(day: datetime.date, size: int) -> None:
    cycle = days_from(datetime.date.fromordinal(day.toordinal() // size * size), size)
    assert {country_code_for(each, CODES[:size]) for each in cycle} == set(CODES[:size])


@pytest.mark.parametrize(
    ("day", "code"),
    [("2026-01-01", "FL"), ("2026-11-23", "ML"), ("2030-06-15", "GB")],
)
def test_version_1_stays_what_it_is(day: str, code: str) -> None:
    # If this fails, the algorithm has changed: raise VERSION, which each challenge stores.
    assert country_code_for(datetime.date.fromisoformat(day), CODES) == code
