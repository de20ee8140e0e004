"""Refuses statements that change the state of a server session.

PgBouncer lends a session for one transaction, and in production it does not reset the application's sessions between
two (docs/adr/0024): a setting, a lock or a cursor that outlives its transaction would be another request's. The text of
a statement is checked before it is sent; tests/app/conftest.py asks the server after each test, whatever was sent.
"""

import re
from functools import lru_cache

from django.db import NotSupportedError

# Comments and quoted text: what stands there is no statement.
IGNORED = re.compile(r"/\*.*?\*/|--[^\n]*|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", re.DOTALL)
CHANGES = re.compile(
    r"""(?:^|;)\s*(?:
        SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b) | RESET\b | DISCARD\b | LOAD\b
        | LISTEN\b | UNLISTEN\b
        | PREPARE\s+(?!TRANSACTION\b) | DEALLOCATE\b
        | DECLARE\b[^;]*\bWITH\s+HOLD\b
        | CREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP(?:ORARY)?\b
    )
    | \bINTO\s+TEMP(?:ORARY)?\b
    | \bpg_(?:try_)?advisory_(?:lock|unlock)(?:_shared|_all)?\s*\(
    | \bset_config\s*\((?![^()]*,\s*true\s*\))""",
    re.IGNORECASE | re.VERBOSE,
)


class SessionStateError(NotSupportedError):
    """A statement was not sent, because what it changes would outlive its transaction."""

    def __init__(self, statement: str) -> None:
        super().__init__(
            f"the statement was not sent: it changes the session, which PgBouncer shares: {statement.strip()[:80]}\n"
            "HINT:  in a transaction, SET LOCAL, set_config(…, true), pg_advisory_xact_lock; docs/adr/0024"
        )


@lru_cache(maxsize=1024)
def changes_session(statement: str) -> bool:
    """Whether the statement sets what lasts longer than its transaction."""
    return CHANGES.search(IGNORED.sub(" ", statement)) is not None
