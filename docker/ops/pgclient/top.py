"""pg_activity on the terminal."""

import os

from pgclient import stack
from pgclient.verbs import verb


@verb("top")
def top(arguments: list[str] | None = None) -> None:
    """Become pg_activity as flaglearning_ops, in `postgres`, where no user's table or view is on its way."""
    environment = stack.client_environment("ops", "postgres")
    os.execvpe("pg_activity", ["pg_activity", *(arguments or [])], environment)  # noqa: S606 - its exit status is ours
