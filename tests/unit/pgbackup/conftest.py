"""A data directory's name, which the image sets and nothing here reads; a maker of backups."""

import os
from collections.abc import Callable
from datetime import datetime

import pytest

os.environ.setdefault("PGDATA", "/var/lib/postgresql/17/data")


@pytest.fixture
def backup() -> Callable[..., object]:
    """`backup(start, type, timeline, stop_lsn, error)`: one that took no time."""
    from pgbackup.pgbackrest import Backup

    def make(start: datetime, type: str = "full", timeline: int = 1, stop_lsn: int = 0, error: bool = False) -> Backup:
        label = f"{start:%Y%m%d-%H%M%S}F"
        return Backup(label, type, start, start, timeline, stop_lsn, 1, 1, error)

    return make
