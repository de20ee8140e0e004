"""Monitoring on a stack of its own, with backups; its alerts come ten times sooner, to receivers on this machine."""
# ruff: noqa: F811 - a fixture that asks for an imported one has its name as an argument

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.lab import Lab
from alerts.sinks import PASSWORD, USER, Mails, Webhooks
from browser.conftest import browser, new_page  # noqa: F401
from support.fixtures import own_stack, postgres, proxy  # noqa: F401
from support.postgres import Postgres
from testing.shell import ROOT, eventually
from testing.stack import ARTIFACTS, MONITORING, SLOT, Stack

FIRST_PORT = 21100
FILES = (*MONITORING, "tests/docker-compose.alerts.yml")
PROMETHEUS, SMTP, WEBHOOK = (FIRST_PORT + 200 * int(SLOT or 0) + offset for offset in (4, 5, 6))


@pytest.fixture(scope="session")
def sink_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Readable by containers' users, unlike pytest's own."""
    folder = ARTIFACTS / "alerts-sink"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def mails(sink_folder: Path) -> Iterator[Mails]:
    mails = Mails(SMTP, sink_folder)
    yield mails
    mails.controller.stop()


@pytest.fixture(scope="session")
def webhooks() -> Iterator[Webhooks]:
    webhooks = Webhooks(WEBHOOK)
    yield webhooks
    webhooks.server.shutdown()


@pytest.fixture(scope="session")
def secrets_folder(sink_folder: Path) -> Path:
    """Development's, with receivers."""
    folder = sink_folder / "secrets"
    shutil.copytree(ROOT / "docker/secrets.dev", folder)
    (folder / "alert_email_password").write_text(PASSWORD)
    (folder / "alert_webhook_url").write_text(f"http://sink:{WEBHOOK}/alerts")
    (folder / "alert_deadman_url").write_text(f"http://sink:{WEBHOOK}/deadman\n")
    return folder


@pytest.fixture(scope="session")
def variables(mails: Mails, webhooks: Webhooks, sink_folder: Path, secrets_folder: Path) -> dict[str, str]:
    """Of a stack whose alerts come to this machine."""
    return {
        "COMPOSE_PROFILES": "backup",
        "BACKUP_AT": "off",
        "ARCHIVING": "on",
        "WEB_CONCURRENCY": "1",
        "PATIENCE": "0.1",
        "SECRETS_DIR": str(secrets_folder),
        "SINK_DIR": str(sink_folder),
        "ALERT_EMAIL_TO": "ops@example.org",
        "EMAIL_HOST": "sink",
        "EMAIL_PORT": str(SMTP),
        "EMAIL_HOST_USER": USER,
        "EMAIL_FROM": "Flag Learning <flags@example.org>",
    }


@pytest.fixture(scope="session")
def stack(variables: dict[str, str]) -> Iterator[Stack]:
    own = {**variables, "PROMETHEUS_PORT": str(PROMETHEUS)}
    with own_stack("alerts", FILES, port=FIRST_PORT, build=("prometheus",), **own) as stack:
        yield stack


@pytest.fixture(scope="session")
def lab(stack: Stack, postgres: Postgres, webhooks: Webhooks) -> Lab:
    """With a backup in the repository, and the metrics of it."""
    lab = Lab(stack, postgres, webhooks, f"http://localhost:{PROMETHEUS}")
    assert lab.ops("backup", "create", "--type", "full").status == 0
    eventually(lambda: lab.query("flaglearning_backup_count") == [1.0], within=90)
    return lab


@pytest.fixture(scope="session")
def base_url(stack: Stack) -> str:
    """For the browser."""
    return f"https://localhost:{stack.port('proxy', 8443)}"


@pytest.fixture(scope="session", autouse=True)
def record() -> Iterator[dict[str, dict[str, object]]]:
    """Alert → when it was proven, and how long it took; ./scripts/docs takes it over into docs/alerts.json."""
    proven: dict[str, dict[str, object]] = {}
    yield proven
    if proven:
        file = ARTIFACTS / "alerts.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**known, **proven}, indent=1, sort_keys=True) + "\n")
