"""docker/postgres/pgcluster: the settings in etcd, and Patroni's answers."""

from typing import Any

import pytest

from pgcluster import member, rest
from user_errors import UserError

WRITTEN: dict[str, Any] = {
    "ttl": 20,
    "synchronous_mode": "quorum",
    "postgresql": {"parameters": {"max_connections": 100}},
}


def test_the_environment_changes_two_settings() -> None:
    assert member.settings(WRITTEN, {}) == {**WRITTEN, "synchronous_mode_strict": False, "synchronous_node_count": 1}
    changed = member.settings(WRITTEN, {"CLUSTER_STRICT": "true", "CLUSTER_SYNC_STANDBYS": "2"})
    assert (changed["synchronous_mode_strict"], changed["synchronous_node_count"]) == (True, 2)


@pytest.mark.parametrize("environment", [{"CLUSTER_STRICT": "yes"}, {"CLUSTER_SYNC_STANDBYS": "0"}])
def test_other_values_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(UserError):
        member.settings(WRITTEN, environment)


def test_what_differs_is_changed_and_nothing_else() -> None:
    present = {"ttl": 30, "extra": 1, "postgresql": {"parameters": {"max_connections": 100}, "use_slots": True}}
    assert member.difference(WRITTEN, present) == {"ttl": 20, "synchronous_mode": "quorum"}
    assert member.difference(WRITTEN, WRITTEN) == {}
    assert member.difference(WRITTEN, {**WRITTEN, "postgresql": None}) == {"postgresql": WRITTEN["postgresql"]}


def test_the_primary_is_the_leader() -> None:
    members = [{"name": "db1", "role": "quorum_standby"}, {"name": "db2", "role": "leader"}]
    assert rest.primary({"members": members}) == "db2"
    assert rest.primary({"members": members[:1]}) == ""
    assert rest.primary({}) == ""
