"""The queries of pg/queries/: one a file, help in the first comment line, variables as psql writes them (`:'table'`).

People run them with psql, which replaces a variable with a quoted literal:

    psql -v table=flags_country -f pg/queries/columns.sql

The CLI hands the same variables to psycopg, which makes the same quoted literals of them (both let libpq's escaping do
it). So the two mean the same, and nothing that a person types ever becomes SQL. Two rules keep that true, and
tests/ops/ checks them: a file has no other kind of variable (`:x`, `:"x"`), and it is one statement.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(os.environ.get("QUERIES") or Path(__file__).parents[1] / "queries")
VARIABLE = re.compile(r":'(\w+)'")
COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)


class Query(NamedTuple):
    """A file of pg/queries/."""

    name: str
    help: str
    sql: str

    @property
    def variables(self) -> set[str]:
        """The names of what has to be filled in."""
        return set(VARIABLE.findall(self.sql))


def load(name: str) -> Query:
    """A query by its file's name."""
    text = (FOLDER / f"{name}.sql").read_text()
    return Query(name, text.partition("\n")[0].removeprefix("--").strip(), COMMENT.sub("", text))


def bind(query: Query, variables: dict[str, str]) -> bytes:
    """The query with psycopg's placeholders."""
    assert query.variables == variables.keys(), f"{query.name} takes {query.variables}, not {variables.keys()}"
    return VARIABLE.sub(r"%(\1)s", query.sql.replace("%", "%%")).encode()
