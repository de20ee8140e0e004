"""The project's name, as Compose would read it; "" where only Compose can tell."""

from pathlib import Path

import pytest

from ops import dotenv


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout, with a shell that has set nothing."""
    monkeypatch.chdir(tmp_path)
    for name in ("COMPOSE_PROJECT_NAME", "COMPOSE_FILE", "COMPOSE_ENV_FILES", "COMPOSE_PATH_SEPARATOR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "docker-compose.yml").write_text("# name: comment\nname: game\nservices: {}\n")
    return tmp_path


def test_the_compose_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dotenv.project() == "game"
    (folder / "mine.yml").write_text("name: mine\n")
    assert dotenv.project() == "game"
    monkeypatch.setenv("COMPOSE_FILE", "docker-compose.yml:mine.yml")
    assert dotenv.project() == "mine"


def test_the_variable_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text('A=1\nCOMPOSE_PROJECT_NAME="of-file"\n')
    assert dotenv.project() == "of-file"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "of_shell")
    assert dotenv.project() == "of_shell"


@pytest.mark.parametrize("line", ["COMPOSE_PROJECT_NAME=$X", "export COMPOSE_PROJECT_NAME=other",
                                  "COMPOSE_PROJECT_NAME=other # why", "COMPOSE_FILE=missing.yml"])  # fmt: skip
def test_what_only_compose_can_tell(folder: Path, line: str) -> None:
    (folder / ".env").write_text(f"{line}\n")
    assert dotenv.project() == ""


def test_a_name_made_of_variables_and_several_files_of_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "docker-compose.yml").write_text("name: ${PROJECT:-game}\n")
    assert dotenv.project() == ""
    (folder / "docker-compose.yml").write_text("name: game\n")
    monkeypatch.setenv("COMPOSE_ENV_FILES", "one.env,other.env")
    assert dotenv.project() == ""
