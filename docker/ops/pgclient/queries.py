"""The queries of pg/queries/: one a file, variables as psql writes them (`:'table'`); psycopg quotes them likewise."""

import os
import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(os.environ.get("QUERIES", "/ops/queries"))
VARIABLE = re.compile(r":'(\w+)'")
COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)


class Query(NamedTuple):
    """A file of pg/queries/."""

    name: str
    sql: str

    @property
    def variables(self) -> set[str]:
        """The names of what has to be filled in."""
        return set(VARIABLE.findall(self.sql))


def load(name: str) -> Query:
    """A query by its file's name."""
    return Query(name, COMMENT.sub("", (FOLDER / f"{name}.sql").read_text()))


def bind(query: Query, variables: dict[str, str]) -> bytes:
    """The query with psycopg's placeholders."""
    assert query.variables == variables.keys(), f"{query.name} takes {query.variables}, not {variables.keys()}"
    return VARIABLE.sub(r"%(\1)s", query.sql.replace("%", "%%")).encode()
