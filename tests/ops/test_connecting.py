"""psql, connection strings, the CA's certificate."""

from pathlib import Path

import psycopg
import pytest

from support.ops import Ops


@pytest.fixture(scope="module")
def ca(ops: Ops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ca") / "ca.crt"
    file.write_text(ops("ca").out)
    return file


@pytest.mark.parametrize(
    "options", [[], ["--pooled"], ["--as", "readonly", "--pooled"], ["--as", "ops"], ["--as", "migrator"]]
)
def test_the_url_connects_and_verifies(ops: Ops, ca: Path, options: list[str]) -> None:
    url = ops("url", *options, "--ca", str(ca)).out.strip()
    assert "sslmode=verify-full" in url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("flaglearning_dev",)


def test_psql_passes_arguments_input_and_status_on(ops: Ops) -> None:
    assert ops("psql", "-Atc", "SELECT current_user").out == "flaglearning_ops\n"
    pooled = ops("psql", "--as", "readonly", "--pooled", "-At", "-f", "-", stdin="SELECT current_user;")
    assert pooled.out == "flaglearning_readonly\n"
    assert ops("psql", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin="SELECT nothing;").status == 3


def test_no_secret_is_in_the_environment_or_on_a_command_line(ops: Ops) -> None:
    secrets = [ops.stack.secret(f"{role}_password") for role in ("ops", "readonly", "migrator", "app")]
    seen = ops("psql", "-c", r"\! env; cat /proc/*/cmdline | tr '\0' ' '").out
    assert "psql" in seen
    assert not any(secret in seen for secret in secrets)
