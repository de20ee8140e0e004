"""A table or an index by the name that a person types.

The name is compared with the names in the catalog, so quotes, semicolons, capitals and any alphabet are accepted, and
queries get the object's oid. The name never becomes SQL text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from ops import psql
from user_errors import OperationError, Status

TABLES = ("table", "partitioned table", "materialized view", "view", "foreign table")
INDEXES = ("index", "partitioned index")


class Relation(NamedTuple):
    """A table, view or index of the database."""

    oid: str
    schema: str
    name: str
    kind: str
    quoted: str

    @property
    def full_name(self) -> str:
        """With its schema, for people."""
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """For a statement that takes no parameter there."""
        return psql.identifier(self.schema, self.name)

    @property
    def names(self) -> set[str]:
        """What a person may call it."""
        names = {self.full_name, self.quoted, self.sql}
        if self.schema == "public":
            names |= {self.name, psql.identifier(self.name), self.quoted.replace("public.", "", 1)}
        return names


def table(name: str) -> Relation:
    """The table or view of this name. Raises OperationError, which suggests near names."""
    return find(name, TABLES, "table", "./scripts/ops tables")


def find(name: str, kinds: tuple[str, ...], what: str, listing: str) -> Relation:
    """The relation of that name and of one of these kinds. Raises OperationError, which suggests near names."""
    candidates = [relation(row) for row in psql.rows("relations") if row["kind"] in kinds]
    found = match(name, candidates)
    if found is None:
        raise not_found(what, name, {min(one.names, key=len) for one in candidates}, listing)
    return found


def match(name: str, candidates: Iterable[Relation]) -> Relation | None:
    """The relation that is called so: exactly, or else in lower case, as SQL reads an unquoted name."""
    candidates = list(candidates)
    for wanted in (name, name.lower()):
        for candidate in candidates:
            if wanted in candidate.names:
                return candidate
    return None


def relation(row: dict[str, Any]) -> Relation:
    """A row of pg/queries/relations.sql."""
    return Relation(str(row["oid"]), row["schema"], row["name"], row["kind"], row["quoted"])


def not_found(what: str, name: str, known: Iterable[str], listing: str) -> OperationError:
    """The error for a name that nothing has, with the nearest names."""
    near = difflib.get_close_matches(name.lower(), sorted(known), n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return OperationError(f"there is no {what} '{name}'", f"{meant}{listing}", status=Status.NOT_FOUND)
