"""A worker's own copy of what is the same for all."""

import pytest

from core import per_worker
from core.per_worker import PerWorker


def test_a_value_is_kept_for_its_seconds_and_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(per_worker, "monotonic", lambda: now)
    kept, value = PerWorker[list[int]](60), [1]
    assert kept.get("a") is None
    assert kept.keep("a", value) is value
    now = 159.9
    assert kept.get("a") is value
    now = 160.0
    assert kept.get("a") is None


def test_what_is_too_old_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(per_worker, "monotonic", lambda: now)
    kept = PerWorker[int](1)
    for day in range(5):
        now = float(day)
        kept.keep(day, day)
    assert list(kept._kept) == [4]


def test_it_can_be_emptied() -> None:
    kept = PerWorker[int](60)
    kept.keep("a", 1)
    kept.clear()
    assert kept.get("a") is None
