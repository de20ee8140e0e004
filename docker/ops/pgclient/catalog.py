"""A table or an index by the name that a person types.

A name is compared with the names in the catalog, so quotes, semicolons, capitals and any alphabet are as good as
others, and what the statements get is the object's oid.
"""

import difflib
from typing import NamedTuple

from pgclient.database import Connection, Row, rows
from pgclient.queries import load
from user_errors import Status, UserError

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
    def names(self) -> set[str]:
        """What a person may call it."""
        return {self.full_name, self.quoted} | ({self.name} if self.schema == "public" else set())


def table(connection: Connection, name: str) -> Relation:
    """The table (or view) of this name."""
    return find(connection, name, TABLES, "table", "./scripts/ops tables")


def index(connection: Connection, name: str) -> Relation:
    """The index of this name."""
    return find(connection, name, INDEXES, "index", "./scripts/ops indexes")


def find(connection: Connection, name: str, kinds: tuple[str, ...], what: str, listing: str) -> Relation:
    """The relation of that name and of one of these kinds; else UserError, which suggests the near ones."""
    candidates = [relation(row) for row in rows(connection, load("relations")) if row["kind"] in kinds]
    for exact in (str, str.lower):
        for candidate in candidates:
            if exact(name) in candidate.names:
                return candidate
    known = sorted({min(candidate.names, key=len) for candidate in candidates})
    raise not_found(what, name, known, listing)


def relation(row: Row) -> Relation:
    """A row of pg/queries/relations.sql."""
    return Relation(str(row["oid"]), row["schema"], row["name"], row["kind"], row["quoted"])


def not_found(what: str, name: str, known: list[str], listing: str) -> UserError:
    """There is no such thing; did you mean …?"""
    near = difflib.get_close_matches(name.lower(), known, n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"there is no {what} '{name}'", f"{meant}{listing} lists them", status=Status.NOT_FOUND)
