"""flows/up.py: a stack becomes a cluster only where it is development's own."""

import re
from pathlib import Path

import pytest

from ops import dotenv
from ops.flows import up
from ops.monitoring import CLUSTER_OVERLAY, OVERLAY
from user_errors import UserError

FILES = "docker-compose.yml:docker-compose.override.yml:docker/compose/cluster.yml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPOSE_FILE", "")
    monkeypatch.setenv("COMPOSE_ENV_FILES", "")
    return tmp_path / ".env"


def test_it_is_recorded_for_the_next_command(folder: Path) -> None:
    folder.write_text("POSTGRES_MEMORY=1g\n")
    up.choose_cluster()
    assert folder.read_text() == f"POSTGRES_MEMORY=1g\nCOMPOSE_FILE={FILES}\n"


def test_twice_changes_nothing(folder: Path) -> None:
    folder.write_text(f"COMPOSE_FILE={FILES}\n")
    up.choose_cluster()
    assert folder.read_text() == f"COMPOSE_FILE={FILES}\n"


def test_monitoring_stays(folder: Path) -> None:
    folder.write_text(f"COMPOSE_FILE={':'.join((*dotenv.DEVELOPMENT, OVERLAY))}\n")
    up.choose_cluster()
    assert folder.read_text() == f"COMPOSE_FILE={FILES}:{OVERLAY}:{CLUSTER_OVERLAY}\n"
    up.choose_cluster()
    assert folder.read_text() == f"COMPOSE_FILE={FILES}:{OVERLAY}:{CLUSTER_OVERLAY}\n"


@pytest.mark.parametrize("where", ["file", "environment"])
def test_another_deployment_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    files = "docker-compose.yml:docker/compose/production.yml"
    if where == "file":
        folder.write_text(f"COMPOSE_FILE={files}\n")
    else:
        monkeypatch.setenv("COMPOSE_FILE", files)
    with pytest.raises(UserError, match="another deployment"):
        up.choose_cluster()
    assert not folder.exists() or folder.read_text() == f"COMPOSE_FILE={files}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [("", ""), ("#A=1\n", ""), ("A=1\n", "1"), ("A='1'\nB=2\n", "1"), ("A=1\nA=2\n", "2"), ("BA=1\n", "")],
)
def test_a_variable_of_the_file(text: str, value: str) -> None:
    assert dotenv.value(text, "A") == value


@pytest.mark.parametrize(
    ("ports", "hosts", "line"),
    [
        ((80, 443), ["play.example.org", "www.example.org"], "  the site     https://play.example.org"),
        ((8080, 4443), [".example.org"], "  the site     https://example.org:4443"),
        ((80, 443), ["*"], "  the site     https://localhost"),
    ],
)
def test_production_shows_the_address_of_the_site_and_no_password(
    ports: tuple[int, int], hosts: list[str], line: str
) -> None:
    published = [up.Port("proxy", target, port) for target, port in zip((8000, 8443), ports, strict=True)]
    environment = {"DEPLOYMENT": "production", "APP_ROLE": "flaglearning_prod", "APP_DATABASE": "flaglearning_prod"}
    shown = up.addresses(published, environment, hosts, "").splitlines()
    assert line in shown
    assert not [other for other in shown if "http:" in other or "password" in other or "scripts/test" in other]


@pytest.mark.parametrize("password", ["dev_password_2024", "changed", ""])
def test_the_password_is_the_one_of_the_secret_file(password: str) -> None:
    environment = {"DEPLOYMENT": "development", "APP_ROLE": "flaglearning_user", "APP_DATABASE": "flaglearning_dev"}
    shown = up.addresses([up.Port("postgres", 5432, 5432)], environment, [], password)
    assert re.findall(r"password: (.*)", shown) == ([password] if password else [])


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ('#9 ERROR: x\nfailed to solve: process "/bin/sh -c false" did not complete', "an image was not built"),
        ("write /var/lib/docker/x: no space left on device\nfailed to solve: x", "the disk is full"),
    ],
)
def test_why_a_build_failed(printed: str, reason: str) -> None:
    assert reason in up.why_it_failed(printed).what


def test_a_value_that_compose_refuses_is_looked_for_among_its_variables_first() -> None:
    found = up.suspects(["B", "HOME_OF", "A", "PORT", "B"], "ports: ['${PORT:-1}:1', '${A}']")
    assert found == ["A", "PORT", "B", "HOME_OF"]
