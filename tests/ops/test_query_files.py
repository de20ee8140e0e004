"""pg/queries/: people run them with psql, the CLI binds the same variables."""

import re
from pathlib import Path

import pytest

from support.ops import Ops
from support.policy import PG

FILES = sorted((PG / "queries").glob("*.sql"))
VALUES = {
    "table": "flags_country", "limit": "3", "order": "mean", "over": "0 s", "pid": "1", "database": "flaglearning_dev",
    "role": "flaglearning_user", "name": "anybody",
}  # fmt: skip


def variables(file: Path) -> set[str]:
    return set(re.findall(r":'(\w+)'", file.read_text()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_first_line_is_its_help(file: Path) -> None:
    assert re.match(r"-- [A-Z].*[.,:?a-z]$", file.read_text().splitlines()[0])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_one_statement_with_quoted_variables_only(file: Path) -> None:
    sql = re.sub(r"^\s*--.*$|'[^':]*'", "", file.read_text(), flags=re.MULTILINE)
    assert sql.count(";") == 1
    assert not re.findall(r"(?<![:\w\[]):\"?[a-z_]\w*", sql)
    assert not re.findall(r"^\s*\\", sql, re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_help_names_its_variables(file: Path) -> None:
    comments = " ".join(line for line in file.read_text().splitlines() if line.strip().startswith("--"))
    assert all(re.search(rf"Variables?:.*\b{name}\b", comments) for name in variables(file))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_psql_runs_it(ops: Ops, file: Path) -> None:
    settings = [word for name in variables(file) for word in ("-v", f"{name}={VALUES[name]}")]
    result = ops("psql", "-X", "-v", "ON_ERROR_STOP=1", *settings, "-f", f"/ops/queries/{file.name}")
    assert result.status == 0, result.err


def test_psql_and_the_cli_say_the_same(ops: Ops) -> None:
    text = ops("psql", "-X", "-At", "-v", "table=flags_country", "-f", "/ops/queries/columns.sql").out
    described = ops("describe", "flags_country", "--json").json["columns"]
    assert [line.split("|")[0] for line in text.splitlines()] == [row["column"] for row in described]
