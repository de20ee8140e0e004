"""`./scripts/ops logs --host`: on the monitoring host, what other hosts have sent."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from ops import containers
from ops.commands import logs
from user_errors import UserError

HERE = "monitoring1"


def entry(second: int, container: str, text: str) -> str:
    fields = {"__REALTIME_TIMESTAMP": f"179605000{second}000000", "CONTAINER_NAME": container, "MESSAGE": text}
    return json.dumps(fields) + "\n"


JOURNALS = {
    # A sender that was cut off repeats what it has no answer for.
    "app1": entry(1, "flaglearning-proxy-1", "id=abc") * 2 + entry(5, "flaglearning-app-1", "later"),
    "db1": entry(2, "flaglearning-postgres-1", "AUDIT: id=abc") + entry(3, "other-app-1", "not ours"),
    "": entry(4, "flaglearning-monitoring-prometheus-1", "own"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hosts have sent their journals."""

    def completed(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        [*where] = [word for word in argv if word.startswith("--directory=")]
        name = where[0].rpartition("/")[2] if where else ""
        return subprocess.CompletedProcess(argv, 0, JOURNALS[name], "")

    for host in ("app1", "db1"):
        (tmp_path / host).mkdir()
    monkeypatch.setattr(logs, "RECEIVED", tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: HERE)
    monkeypatch.setattr(containers, "completed", completed)
    monkeypatch.setattr(containers, "config", lambda: {"name": "flaglearning-monitoring"})
    return tmp_path


def seen(host: str, *services: str) -> list[tuple[str, str, str]]:
    return [(line.host, line.service, line.text) for line in logs.received(host, list(services), "2h")]


def test_one_hosts_lines_each_once() -> None:
    assert seen("app1") == [("app1", "proxy", "id=abc"), ("app1", "app", "later")]
    assert seen("db1") == [("db1", "postgres", "AUDIT: id=abc")]
    assert seen("app1", "app") == [("app1", "app", "later")]


def test_all_hosts_are_one_time_line() -> None:
    assert [(host, service) for host, service, _ in seen("all")] == [
        ("app1", "proxy"),
        ("db1", "postgres"),
        (HERE, "prometheus"),
        ("app1", "app"),
    ]


@pytest.mark.parametrize("host", ["db2", "*", "..", "../app1", "db"])
def test_another_name_is_refused_with_those_that_are_here(host: str) -> None:
    with pytest.raises(UserError) as refused:
        logs.received(host, [], "2h")
    assert refused.value.hint == "--host all, or one of app1, db1"


def test_a_host_that_receives_nothing_says_where_the_logs_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RECEIVED", folder / "none")
    with pytest.raises(UserError, match="has received no other host's log"):
        logs.received("db1", [], "2h")
