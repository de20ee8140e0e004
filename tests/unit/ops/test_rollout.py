"""flows/rollout.py: what Docker's answers mean."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from ops import containers, dotenv
from ops.flows import rollout
from user_errors import OperationError, UserError

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
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(containers, "config", lambda: {"name": "stack"})
    with rollout.lock(), pytest.raises(OperationError, match="another rollout"), rollout.lock():
        pass
    with rollout.lock():
        pass
    with rollout.lock():
        monkeypatch.setattr(containers, "config", lambda: {"name": "another-stack"})
        with rollout.lock():
            pass


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("", "APP_TAG=v2\n"),
        ("TAG=dev", "TAG=dev\nAPP_TAG=v2\n"),
        ("APP_TAG=v1\nPOSTGRES_TAG=v1\n", "APP_TAG=v2\nPOSTGRES_TAG=v1\n"),
        ("#APP_TAG=dev\n", "#APP_TAG=dev\nAPP_TAG=v2\n"),
    ],
)
def test_the_version_is_recorded_for_the_next_start(text: str, changed: str) -> None:
    assert dotenv.with_variable(text, "APP_TAG", "v2") == changed


def test_the_file_keeps_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\n")
    file.chmod(0o600)
    monkeypatch.setenv("COMPOSE_ENV_FILES", str(file))
    rollout.record("v2")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("A=1\nAPP_TAG=v2\n", 0o600)


def test_a_tag_that_env_overrides_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """APP_TAG in .env wins over TAG: the old version would be said to serve already."""
    monkeypatch.setenv("TAG", "v2")
    monkeypatch.delenv("APP_TAG", raising=False)
    monkeypatch.setattr(containers, "config", lambda: {"services": {"app": {"image": "flaglearning/app:v1"}}})
    with pytest.raises(UserError, match="TAG is v2"):
        rollout.app_image()


def test_a_container_that_is_alone_in_its_service_gets_the_first_name() -> None:
    rows = [
        ["a", "postgres", "stack-postgres-2"],
        ["b", "proxy", "stack-proxy-11"],
        ["c", "pgbouncer", "stack-pgbouncer-1"],
        ["d", "sandbox", "stack-sandbox"],  # container_name
        ["e", "app", "stack-app-2"],
        ["f", "app", "stack-app-3"],
        ["g", "etcd-db1", "0123456789ab_stack-etcd-db1-1"],  # in Compose's hands
    ]
    assert rollout.first_names(rows, "stack") == {"a": "stack-postgres-1", "b": "stack-proxy-1"}
