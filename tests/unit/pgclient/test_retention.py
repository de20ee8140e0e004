"""Which dumps stay."""

from pgclient.dump_admin import retained
from pgclient.dump_store import Kind, Manifest


def manifest(created: str, kind: Kind = "full", table: str = "") -> Manifest:
    return Manifest(kind, "flaglearning_dev", "development", created, "17.6", "17.6", table=table)


def days(number: int) -> dict[str, Manifest]:
    """d1 … dN, a day each; d1 is the oldest."""
    return {f"d{day}": manifest(f"2026-01-{day:02}T03:00:00+00:00") for day in range(1, number + 1)}


def test_the_newest_and_the_last_of_each_day() -> None:
    two = {**days(5), "late": manifest("2026-01-03T23:00:00+00:00")}
    assert retained(two, 1, 3, lambda _: True) == {"d5", "d4", "late"}
    assert retained(two, 3, 0, lambda _: True) == {"d5", "d4", "late"}
    assert retained(two, 1, 0, lambda _: True) == {"d5"}


def test_a_day_is_one_of_utc() -> None:
    """Half past midnight in Berlin is still the day before: one dump of that day stays, the last."""
    found = {"later": manifest("2026-01-02T00:45:00+01:00"), "sooner": manifest("2026-01-01T20:30:00+00:00")}
    assert retained(found, 1, 2, lambda _: True) == {"later"}


def test_kinds_and_tables_are_series_of_their_own() -> None:
    found = {
        "full": manifest("2026-01-01T00:00:00+00:00"),
        "schema": manifest("2026-01-02T00:00:00+00:00", "schema"),
        "a": manifest("2026-01-03T00:00:00+00:00", "table", "public.a"),
        "b": manifest("2026-01-04T00:00:00+00:00", "table", "public.b"),
    }
    assert retained(found, 1, 0, lambda _: True) == set(found)


def test_the_newest_good_one_stays() -> None:
    assert retained(days(4), 1, 0, {"d1"}.__contains__) == {"d4", "d1"}
    assert retained(days(4), 1, 0, {"d2", "d1"}.__contains__) == {"d4", "d2"}


def test_each_dump_is_read_once_at_most_and_none_when_nothing_goes() -> None:
    read: list[str] = []

    def is_good(name: str) -> bool:
        read.append(name)
        return name == "d1"

    retained(days(4), 9, 0, is_good)
    assert read == []
    retained(days(4), 1, 0, is_good)
    assert read == ["d4", "d3", "d2", "d1"]
