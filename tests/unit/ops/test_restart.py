"""flows/restart.py: when a restart is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ops.flows import restart

QUIET: dict[str, Any] = {"sessions": [], "waiting_segments": 0}
BACKUP = {"pid": 7, "role": "flaglearning_backup", "application": "pgBackRest [backup]", "seconds": 61.0}
DUMP = {"pid": 8, "role": "flaglearning_ops", "application": "", "seconds": 5.0}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, None),
        ({"waiting_segments": 2}, None),
        ({"sessions": [DUMP, BACKUP]}, "pgBackRest [backup] (pid 7) has been at work for 61 s"),
        ({"sessions": [DUMP]}, "flaglearning_ops (pid 8) has been at work for 5 s"),
        ({"waiting_segments": 3}, "3 WAL segments are not archived"),
    ],
)
def test_it_is_refused_when_it_would_interrupt_or_wait(facts: dict[str, Any], reason: str | None) -> None:
    refused = restart.refusal({**QUIET, **facts})
    assert (refused.reason if refused else None) == reason
