"""Prepared statements that no migration breaks (docs/adr/0046).

PostgreSQL plans a prepared statement anew after a change of its tables, but refuses it when the types of its result
have changed: "cached plan must not change result type". Here each column of the result has a cast to the type, and the
collation, that it had when the code was written. What then changes in the table changes nothing in the result.
"""

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import Field, Model
from psycopg.types.numeric import Int8

WITH_COLLATION = ("varchar", "text", "char")


class Prepared(str):
    """A statement that each connection prepares once. Every column of its result has a cast (`result_columns`), and its
    parameters have names: tests/app/test_prepared.py changes the tables of each."""

    known: ClassVar[list["Prepared"]] = []

    def __init__(self, *_: str) -> None:
        self.known.append(self)


def result_column(field: "Field[Any, Any]") -> str:
    """Return a model's column, as SQL, with the field's type; without its length, which a migration may change."""
    kind = re.sub(r"\(.*\)", "", field.db_type(connection) or "")
    collation = ' COLLATE "default"' if kind.removesuffix("[]") in WITH_COLLATION else ""
    return f'"{field.model._meta.db_table}"."{field.column}"::{kind}{collation}'


def result_columns(model: type[Model]) -> str:
    """Return all of a model's columns, as SQL."""
    return ", ".join(map(result_column, model._meta.concrete_fields))


def _bigint(number: int) -> int:
    """One that a bigint can't hold stays what psycopg makes of it, a numeric: no row has it."""
    return Int8(number) if -(2**63) <= number < 2**63 else number


# psycopg prepares a statement for each combination of its parameters' types, and has three for integers and two for a
# date that may be None. A string's type is the server's choice, as None's is.
ONE_TYPE: dict[type, Callable[[Any], Any]] = {int: _bigint, datetime.date: str}


def one_type(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values so that each parameter always has the same type."""
    return {name: ONE_TYPE[type(value)](value) if type(value) in ONE_TYPE else value for name, value in values.items()}


class Cursor(ServerBindingCursor):
    """Django's cursor with server-side binding, which prepares the statements that are `Prepared`, and no other."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """As psycopg's."""
        if isinstance(query, Prepared):
            options.setdefault("prepare", True)
            params = one_type(params)
        return super().execute(query, params, **options)  # type: ignore[misc]  # psycopg's, not in Django's stubs
