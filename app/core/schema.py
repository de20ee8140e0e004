"""Whether the database has the tables and columns of this code's models: Django's queries name every column.

More than the models need is right: while two versions serve, the database has what both need (CONTRIBUTING.md,
Migrations).
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from django.apps import apps

MISSING = """
    SELECT DISTINCT concat_ws('.', wanted.relation, CASE WHEN there.relation IS NOT NULL THEN wanted.attribute END)
    FROM unnest(%s::text[], %s::text[]) AS wanted (relation, attribute)
    CROSS JOIN to_regclass(quote_ident(wanted.relation)) AS there (relation)
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS found
        WHERE found.attrelid = there.relation AND found.attname = wanted.attribute AND NOT found.attisdropped
    )
    ORDER BY 1"""


@functools.cache
def wanted() -> tuple[list[str], list[str]]:
    """The columns of all models: their tables, and their names."""
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    columns = [(model._meta.db_table, field.column) for model in models for field in model._meta.local_concrete_fields]
    return [table for table, _ in columns], [str(name) for _, name in columns]


def missing(execute: Callable[..., Iterable[Any]], **options: Any) -> list[str]:
    """What the database lacks, as `table` or `table.column`. `execute` is a psycopg connection's."""
    return [name for (name,) in execute(MISSING, wanted(), **options)]
