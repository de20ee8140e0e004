"""psql on the terminal."""

import os

from pgclient import stack
from pgclient.verbs import verb


@verb("psql")
def psql(arguments: list[str] | None = None, role: stack.RoleKey = "ops", pooled: bool = False) -> None:
    """Become psql as a role, at the server, the pooler or (INSTANCE) the sandbox."""
    environment = stack.client_environment(role, endpoint=stack.PGBOUNCER if pooled else stack.POSTGRES)
    # psql keeps its history on the tmpfs; less: no line is wrapped, a short result needs no key.
    environment |= {"PSQL_HISTORY": "/tmp/.psql_history", "PSQL_PAGER": "less -SFX"}  # noqa: S108
    os.execvpe("psql", ["psql", *(arguments or [])], environment)  # noqa: S606 - its exit status is ours
