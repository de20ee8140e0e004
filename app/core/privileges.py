"""What `manage.py migrate` grants: new tables have no privileges for flaglearning_readonly until then."""

from pathlib import Path
from typing import Any

from django.db import connections

# In the image and in a checkout alike (docker/app/Dockerfile).
READONLY_GRANTS = Path(__file__).resolve().parents[2] / "pg/sql/readonly-grants.sql"


def grant_to_readonly(using: str, **_: Any) -> None:
    """Run pg/sql/readonly-grants.sql, as the owner of the tables. A receiver of `post_migrate`."""
    with connections[using].cursor() as cursor:
        cursor.execute(READONLY_GRANTS.read_text())
