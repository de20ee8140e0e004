"""Connection strings."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from ops import containers
from ops.commands import connect
from testing.shell import ROOT
from user_errors import OperationError, Status, UserError

ENVIRONMENT = {
    "DEPLOYMENT": "development", "APP_DATABASE": "flaglearning_dev", "APP_ROLE": "flaglearning_user",
    "POSTGRES_PORT": "15432", "PGBOUNCER_PORT": "16432",
}  # fmt: skip


def test_the_service_has_the_variables() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(ENVIRONMENT) <= set(services["ops"]["environment"])


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, deployment: str = "development") -> None:
    """Answer as the rendered compose files of a deployment with its secrets in a folder."""
    rendered = {
        "services": {"ops": {"environment": {**ENVIRONMENT, "DEPLOYMENT": deployment}}},
        "secrets": {"app_password": {"file": str(folder / "app_password")}},
    }
    monkeypatch.setattr(containers, "config", lambda: rendered)


def run(*words: str) -> None:
    from ops import cli

    cli.load_commands()
    asked = cli.parse(cli.build_parser(), ["url", *words])
    asked.run(asked)


@pytest.mark.parametrize(
    ("role", "pooled", "origin", "expected"),
    [
        ("app", False, "host", "flaglearning_user:secret@localhost:15432"),
        ("app", True, "host", "flaglearning_user:secret@localhost:16432"),
        ("ops", False, "network", "flaglearning_ops:secret@postgres:5432"),
        ("readonly", True, "network", "flaglearning_readonly:secret@pgbouncer:6432"),
    ],
)
def test_the_address(role: str, pooled: bool, origin: str, expected: str) -> None:
    made = connect.connection_string(ENVIRONMENT, role, "secret", pooled, origin, "ca.crt")
    assert urlsplit(made).netloc == expected
    assert conninfo_to_dict(made)["sslmode"] == "verify-full"


def test_a_password_with_odd_characters_stays_one() -> None:
    odd = "a:b@c/d e%f?#"
    made = connect.connection_string(ENVIRONMENT, "app", odd, False, "host", "my ca.crt")
    assert conninfo_to_dict(made)["password"] == odd
    assert conninfo_to_dict(made)["sslrootcert"] == "my ca.crt"


@pytest.mark.parametrize("deployment", ["production", "", "staging"])
def test_a_productions_password_is_printed_on_request_only(
    deployment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app_password").write_text("old\nof-production\n")
    use(monkeypatch, tmp_path, deployment)
    run()
    assert "of-production" not in capsys.readouterr().out
    run("--show-password")
    assert "flaglearning_user:of-production@postgres" in capsys.readouterr().out


def test_production_has_no_url_for_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, tmp_path, "production")
    with pytest.raises(UserError) as raised:
        run("--from", "host")
    assert raised.value.status == Status.PROBLEM


@pytest.mark.parametrize(("content", "what"), [(None, "can't be read"), ("", "is empty")])
def test_a_missing_secret_is_named(
    content: str | None, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, tmp_path)
    if content is not None:
        (tmp_path / "app_password").write_text(content)
    with pytest.raises(OperationError, match=f"the secret app_password {what}"):
        run()
