"""flows/rollout.py: what Docker's answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from ops.flows import rollout
from user_errors import OperationError

A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("link", "container"),
    [("aaaaaaaaaaaa.sock", A), ("bbbbbbbbbbbb.sock", B), ("cccccccccccc.sock", ""), ("", ""), ("a.sock", "")],
)
def test_the_link_names_the_container_that_is_serving(link: str, container: str) -> None:
    assert rollout.linked([A, B], link) == container


def container(status: str, health: str | None, restarts: int = 0) -> dict[str, Any]:
    """The part of `docker inspect` that counts."""
    state = {"Status": status, **({"Health": {"Status": health}} if health else {})}
    return {"State": state, "RestartCount": restarts}


@pytest.mark.parametrize(
    ("inspected", "verdict"),
    [
        (container("created", None), "starting"),
        (container("running", "starting"), "starting"),
        (container("running", "healthy"), "healthy"),
        (container("running", "unhealthy"), "failed"),
        (container("running", "healthy", restarts=1), "failed"),
        (container("restarting", "starting"), "failed"),
        (container("exited", "starting"), "failed"),
        (container("running", None), "failed"),
        ({}, "failed"),
    ],
)
def test_a_new_container_is_starting_healthy_or_failed(inspected: dict[str, Any], verdict: str) -> None:
    assert rollout.verdict(inspected) == verdict


def test_only_one_rollout_at_a_time(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docker-compose.yml").touch()
    with rollout.lock(), pytest.raises(OperationError, match="another rollout"), rollout.lock():
        pass
    with rollout.lock():
        pass
