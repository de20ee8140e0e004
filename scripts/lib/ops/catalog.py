"""A table or an index of the running database by the name that a person types."""

from __future__ import annotations

import relations
from ops import psql
from relations import Relation


def table(name: str) -> Relation:
    """The table or view of this name. Raises UserError, which suggests near names."""
    return find(name, relations.TABLES, "table", "./scripts/ops tables")


def find(name: str, kinds: tuple[str, ...], what: str, listing: str) -> Relation:
    """The relation of that name and of one of these kinds. Raises UserError, which suggests near names."""
    return relations.find(name, psql.rows("relations"), kinds, what, listing)
