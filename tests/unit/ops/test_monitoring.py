"""Which compose files a deployment with monitoring has."""

import os
from pathlib import Path

import pytest

from ops import cli, dotenv, monitoring
from ops.monitoring import CLUSTER, CLUSTER_OVERLAY, OVERLAY, PRODUCTION, PRODUCTION_OVERLAY, with_monitoring
from user_errors import UserError


def test_the_overlay_is_added_once() -> None:
    files = with_monitoring(["docker-compose.yml"])
    assert files == ["docker-compose.yml", OVERLAY]
    assert with_monitoring(files) == files


def test_production_gets_its_certificates_and_the_check_of_receivers() -> None:
    files = with_monitoring(["docker-compose.yml", PRODUCTION, OVERLAY])
    assert files == ["docker-compose.yml", PRODUCTION, OVERLAY, PRODUCTION_OVERLAY]


def test_a_cluster_is_monitored_with_its_members() -> None:
    files = with_monitoring(["docker-compose.yml", CLUSTER])
    assert files == ["docker-compose.yml", CLUSTER, OVERLAY, CLUSTER_OVERLAY]


def test_the_files_are_those_of_the_environment_or_of_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPOSE_FILE", raising=False)
    monkeypatch.delenv("COMPOSE_PATH_SEPARATOR", raising=False)
    monkeypatch.delenv("COMPOSE_ENV_FILES", raising=False)
    (tmp_path / "docker-compose.yml").touch()
    assert dotenv.named_files() == ["docker-compose.yml"]
    (tmp_path / ".env").write_text("A=1\nCOMPOSE_FILE=docker-compose.yml:mine.yml\n")
    assert dotenv.named_files() == ["docker-compose.yml", "mine.yml"]
    monkeypatch.setenv("COMPOSE_FILE", "other.yml")
    assert dotenv.named_files() == ["other.yml"]


def test_up_takes_the_flag_and_passes_the_rest_on() -> None:
    cli.load_commands()
    asked = cli.parse(cli.build_parser(), ["up", "--monitoring", "app", "--no-deps"])
    assert asked.monitoring
    assert asked.arguments == ["app", "--no-deps"]
    assert not cli.parse(cli.build_parser(), ["up", "app"]).monitoring


def test_the_choice_is_recorded_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("COMPOSE_PATH_SEPARATOR", "COMPOSE_ENV_FILES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMPOSE_FILE", "docker-compose.yml")  # monkeypatch undoes what `use` sets
    (tmp_path / ".env").write_text("A=1\n")
    monitoring.choose()
    monitoring.choose()
    assert (tmp_path / ".env").read_text() == f"A=1\nCOMPOSE_FILE=docker-compose.yml:{OVERLAY}\n"
    assert capsys.readouterr().err.count("COMPOSE_FILE=") == 1


def test_on_hosts_one_has_alertmanager_and_the_others_name_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPOSE_FILE", raising=False)
    monkeypatch.delenv("COMPOSE_PATH_SEPARATOR", raising=False)
    monkeypatch.delenv("COMPOSE_ENV_FILES", raising=False)
    (tmp_path / ".env").write_text(f"COMPOSE_FILE=docker/compose/host-gateway.yml:{monitoring.HOST}\n")
    monitoring.require_here()
    monitoring.use()
    assert "COMPOSE_FILE" not in os.environ, "Compose would read .env from another folder"
    (tmp_path / ".env").write_text(f"COMPOSE_FILE=docker-compose.yml:{monitoring.MONITORED}\nMONITORING_HOST=backup1\n")
    with pytest.raises(UserError, match="Alertmanager runs on backup1"):
        monitoring.require_here()
