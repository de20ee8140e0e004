"""docker/ops/pgclient/failover_load.py: what an error says about a write."""

import pytest

from pgclient.failover_load import outcome_of


@pytest.mark.parametrize(
    ("sqlstate", "message", "outcome"),
    [
        (None, "server closed the connection unexpectedly", "unknown"),
        ("08P01", "query_wait_timeout", "failed"),
        ("08P01", "server login has been failing, try again later (server_login_retry)", "failed"),
        ("08P01", "server conn crashed?", "unknown"),
        ("25006", "cannot execute INSERT in a read-only transaction", "failed"),
        ("57P01", "terminating connection due to administrator command", "unknown"),
        ("40P01", "deadlock detected", "failed"),
    ],
)
def test_only_a_certain_failure_is_one(sqlstate: str | None, message: str, outcome: str) -> None:
    assert outcome_of(sqlstate, message) == outcome
