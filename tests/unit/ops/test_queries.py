"""pg/queries/: people run them with psql, ./scripts/ops with the same variables."""

import re
from pathlib import Path

import pytest

from ops import psql

FILES = sorted(psql.QUERIES.glob("*.sql"))


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
    assert all(re.search(rf"Variables?:.*\b{name}\b", comments) for name in psql.load(file.stem).variables)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_variable_has_the_name_of_a_parameter(file: Path) -> None:
    """psql.rows(name, role, dbname, **variables)."""
    assert not psql.load(file.stem).variables & {"name", "role", "dbname"} - {"name"}


def test_a_query_becomes_one_line_of_json() -> None:
    assert psql.as_json("SELECT 1 AS a").startswith("SELECT COALESCE(pg_catalog.json_agg(")
