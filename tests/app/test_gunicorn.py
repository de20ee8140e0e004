"""gunicorn as it runs in the container: socket, health check, logs, stop."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import config
from core import healthcheck

APP = Path(config.__file__).parent.parent

COMMAND = [sys.executable, "-m", "gunicorn", "config.wsgi", "--config", "config/gunicorn.py"]


@pytest.fixture
def bind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"unix:{tmp_path}/gunicorn.sock"
    monkeypatch.setenv("GUNICORN_BIND", address)
    monkeypatch.setenv("WEB_CONCURRENCY", "1")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STATIC_ROOT", str(tmp_path))
    return address


@pytest.fixture
def server(bind: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(COMMAND, cwd=APP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        deadline = time.monotonic() + 30
        while healthcheck.main() != 0 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        yield process
        process.kill()


def test_the_health_check_passes_and_a_stop_is_clean(server: subprocess.Popen[str], tmp_path: Path) -> None:
    assert healthcheck.main() == 0
    server.send_signal(signal.SIGTERM)
    output, _ = server.communicate(timeout=10)
    assert server.returncode == 0
    assert all(json.loads(line)["logger"] == "gunicorn.error" for line in output.splitlines())
    assert not list(tmp_path.rglob("*.ctl"))


def test_only_owner_and_group_may_use_the_socket(server: subprocess.Popen[str], tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "gunicorn.sock").stat().st_mode) == 0o770


def test_a_bad_setting_stops_the_server_with_one_message(bind: str) -> None:
    environment = os.environ | {"DJANGO_SECRET_KEY": "", "DJANGO_SECRET_KEY_FILE": ""}
    stopped = subprocess.run(COMMAND, cwd=APP, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert stopped.returncode == 3
    assert stopped.stderr.startswith("No secret key:")
    assert "Traceback" not in stopped.stdout + stopped.stderr


def test_zero_workers_do_not_start(bind: str) -> None:
    environment = os.environ | {"WEB_CONCURRENCY": "0"}
    stopped = subprocess.run(COMMAND, cwd=APP, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert stopped.returncode == 1
    assert stopped.stderr.startswith("WEB_CONCURRENCY is '0'")
    assert "Traceback" not in stopped.stdout + stopped.stderr


def test_the_health_check_fails_without_a_server(bind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main() == 1
    assert "no response from unix:" in capsys.readouterr().out


def test_the_health_check_fails_without_a_server_on_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUNICORN_BIND", "127.0.0.1:1")
    assert healthcheck.main() == 1
