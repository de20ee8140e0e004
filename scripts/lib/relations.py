"""A table or an index by the name that a person types, on the host and in the image ops.

The name is compared with the names in the catalog, so quotes, semicolons, capitals and any alphabet are accepted, and
queries get the object's oid. The name never becomes SQL text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from user_errors import Status, UserError

TABLES = ("table", "partitioned table", "materialized view", "view", "foreign table")


class Relation(NamedTuple):
    """A table, view or index of the database: a row of pg/queries/relations.sql."""

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
        return identifier(self.schema, self.name)

    @property
    def names(self) -> set[str]:
        """What a person may call it."""
        names = {self.full_name, self.quoted, self.sql}
        if self.schema == "public":
            names |= {self.name, identifier(self.name), self.quoted.replace("public.", "", 1)}
        return names


def identifier(*names: str) -> str:
    """A quoted name (PostgreSQL 17 docs, 4.1.1)."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def find(name: str, rows: Iterable[dict[str, Any]], kinds: tuple[str, ...], what: str, listing: str) -> Relation:
    """The relation of that name and of one of these kinds, in the rows of relations.sql. Raises UserError, which
    suggests near names."""
    relations = [Relation(**{**row, "oid": str(row["oid"])}) for row in rows]
    candidates = [one for one in relations if one.kind in kinds]
    found = match(name, candidates)
    if found is None:
        raise not_found(what, name, {min(one.names, key=len) for one in candidates}, listing)
    return found


def match(name: str, candidates: list[Relation]) -> Relation | None:
    """The relation that is called so: exactly, or else in lower case, as SQL reads an unquoted name."""
    for wanted in (name, name.lower()):
        for candidate in candidates:
            if wanted in candidate.names:
                return candidate
    return None


def not_found(what: str, name: str, known: Iterable[str], listing: str) -> UserError:
    """The error for a name that nothing has, with the nearest names."""
    near = difflib.get_close_matches(name.lower(), sorted(known), n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"there is no {what} '{name}'", f"{meant}{listing}", status=Status.NOT_FOUND)
