"""psql, connection strings, the CA's certificate."""

from pathlib import Path

import psycopg
import pytest

from support.ops import Ops


@pytest.mark.parametrize(
    "options", [[], ["--pooled"], ["--as", "readonly", "--pooled"], ["--as", "ops"], ["--as", "migrator"]]
)
def test_the_url_connects_and_verifies(ops: Ops, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "ca.crt").write_text(ops("ca").out)
    url = ops("url", *options, "--ca", str(tmp_path / "ca.crt")).out.strip()
    assert "sslmode=verify-full" in url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("flaglearning_dev",)


def test_a_password_with_odd_characters_stays_one(ops: Ops) -> None:
    folder = ops.shell("mktemp -d").strip()
    ops.shell(f"printf '%s' 'a:b@c/d e%f?#' >{folder}/app_password")
    url = ops("url", SECRETS=folder).out.strip()
    assert psycopg.conninfo.conninfo_to_dict(url)["password"] == "a:b@c/d e%f?#"


@pytest.mark.parametrize("deployment", ["production", "", "staging"])
def test_a_productions_password_is_not_printed(ops: Ops, deployment: str) -> None:
    assert "dev_password_2024" not in ops("url", DEPLOYMENT=deployment).out
    assert "dev_password_2024" in ops("url", "--show-password", DEPLOYMENT=deployment).out


def test_production_has_no_url_for_this_machine(ops: Ops) -> None:
    assert ops("url", "--from", "host", DEPLOYMENT="production").status == 1


def test_psql_passes_arguments_input_and_status_on(ops: Ops) -> None:
    assert ops("psql", "-Atc", "SELECT current_user").out == "flaglearning_ops\n"
    assert (
        ops("psql", "--as", "readonly", "--pooled", "-At", "-f", "-", stdin="SELECT current_user;").out
        == "flaglearning_readonly\n"
    )
    assert ops("psql", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin="SELECT nothing;").status == 3
    assert ops.script("psql", "-At", stdin="SHOW server_version_num").out.startswith("17")


def test_compose_runs_it_too(ops: Ops) -> None:
    assert ops.stack.compose("run", "--rm", "--no-deps", "-T", "ops", "psql", "-Atc", "SELECT 1") == "1\n"
