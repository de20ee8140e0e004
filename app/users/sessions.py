"""Django's database sessions, without a query for an invalid session key."""

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore


class SessionStore(DatabaseSessionStore):
    """Django looks up any cookie of eight characters; with a NUL, PostgreSQL rejects the query: a 500."""

    def _validate_session_key(self, key: str) -> bool:
        return bool(key) and len(key) >= 8 and key.isascii() and key.isalnum()
