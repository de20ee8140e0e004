"""Django's PostgreSQL backend with a cheaper check of persistent connections, dual passwords, shared sessions, and
prepared statements that survive a migration."""

import contextlib
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

from core.logs import request_id
from core.postgresql import passwords
from core.postgresql.prepared import Cursor, Prepared
from core.postgresql.shared_session import SessionStateError, changes_session


@dataclass(slots=True)
class Usage:
    """What a request has asked of the database: statements, and the seconds that they took."""

    statements: int = 0
    seconds: float = 0.0


class DatabaseWrapper(base.DatabaseWrapper):
    """Counts statements, marks them with the request's id, refuses those that change the session, and checks a
    connection without a round trip.

    CONN_HEALTH_CHECKS runs `SELECT 1` before each request's first query: behind PgBouncer that is a whole transaction,
    and was an eighth of a request's CPU over all services. A peer that restarted has closed the connection, and a
    closed socket is readable. A silent socket counts as alive: TCP keepalives and the server's timeouts cover a peer
    that is lost.
    """

    # False where the connection leads to the server without a pooler: for `migrate`.
    session_is_shared = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.usage = Usage()
        self.execute_wrappers.append(self._execute)

    def _execute(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if self.session_is_shared and changes_session(str(sql)):
            raise SessionStateError(str(sql))
        # In the server's log, and in the list of its sessions. First, as long statements are cut off there. A prepared
        # statement has one text for all requests.
        if (request := request_id.get()) and isinstance(sql, str) and not isinstance(sql, Prepared):
            sql = f"/* request_id={request} */ {sql}"
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.usage.statements += 1
            self.usage.seconds += time.perf_counter() - started

    def get_connection_params(self) -> dict[str, Any]:
        """Django's, with the cursor that prepares `Prepared` statements."""
        return {**super().get_connection_params(), "cursor_factory": Cursor}

    @contextlib.contextmanager
    def own_session(self) -> Iterator[None]:
        """Allow statements that change the session: the connection is not a pooler's."""
        self.session_is_shared = False
        try:
            yield
        finally:
            self.session_is_shared = True

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect with a password that the secret file holds now."""
        connect = super().get_new_connection
        return passwords.first_accepted(
            lambda password: connect({**conn_params, "password": password}), passwords.known(self.settings_dict)
        )

    def is_usable(self) -> bool:
        """Whether the connection can serve a request; queries the server only after an error or when data waits."""
        if self.connection is None or self.connection.closed:
            return False
        idle = self.connection.info.transaction_status is TransactionStatus.IDLE
        if self.errors_occurred or not idle or self._has_unread_data():
            return super().is_usable()
        return True

    def _has_unread_data(self) -> bool:
        """Whether the socket is readable: the connection was closed, or a notice arrived."""
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
