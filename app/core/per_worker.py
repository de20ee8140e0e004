"""A worker's own copy of what is the same for all users, for a while."""

from collections.abc import Hashable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class PerWorker(Generic[T]):
    """Keeps objects as they are, to be read only. Django's cache in memory pickles and unpickles them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._kept: dict[Hashable, tuple[float, T]] = {}  # with the time until which it counts

    def get(self, key: Hashable) -> T | None:
        """Return what was kept under the key less than `seconds` ago."""
        until, value = self._kept.get(key, (0.0, None))
        return value if monotonic() < until else None

    def keep(self, key: Hashable, value: T) -> T:
        """Keep the value; return it."""
        now = monotonic()
        self._kept = {
            **{key: kept for key, kept in self._kept.items() if kept[0] > now},
            key: (now + self.seconds, value),
        }
        return value

    def clear(self) -> None:
        """Forget all."""
        self._kept = {}
