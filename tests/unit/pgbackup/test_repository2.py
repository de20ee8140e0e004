"""pgbackup/repository2.py: the timeline on which the backup host wants a backup."""

from typing import Any

import pytest

from pgbackup import repository2, server


@pytest.mark.parametrize(
    ("cluster", "archive", "timeline"),
    [
        (True, {"max": "0000000300000000000000A1"}, 3),
        (True, {"max": "0000001B00000000000000A1"}, 27),
        (True, None, 0),
        (False, {"max": "0000000300000000000000A1"}, 0),
    ],
)
def test_a_failover_in_the_archive_wants_a_backup_of_a_cluster(
    monkeypatch: pytest.MonkeyPatch, cluster: bool, archive: dict[str, Any] | None, timeline: int
) -> None:
    monkeypatch.setattr(server, "is_cluster", lambda: cluster)
    assert repository2.timeline({"archive": archive}) == timeline
