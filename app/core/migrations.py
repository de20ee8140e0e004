"""Migration operations for large tables in use."""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently


class AddIndexOnline(AddIndexConcurrently):
    """CREATE INDEX CONCURRENTLY that can be run again after an interruption.

    Unlike Django's own, it waits for running transactions without a limit (no statement queues behind it, so the
    migrator's short lock_timeout isn't needed), and it drops the invalid index that an interrupted run left.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        name = schema_editor.quote_name(self.index.name)
        schema_editor.execute("SET lock_timeout = 0")
        try:
            if self._is_invalid(schema_editor):
                schema_editor.execute(f"DROP INDEX CONCURRENTLY {name}")
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.execute("RESET lock_timeout")

    def _is_invalid(self, schema_editor: Any) -> bool:
        with schema_editor.connection.cursor() as cursor:
            invalid = "SELECT FROM pg_catalog.pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid"
            cursor.execute(invalid, [self.index.name])
            return cursor.fetchone() is not None
