"""Django's PostgreSQL backend with a cheaper check of persistent connections and with dual passwords."""

import select
from typing import Any

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

from core.postgresql import passwords


class DatabaseWrapper(base.DatabaseWrapper):
    """Checks a persistent connection without a round trip.

    CONN_HEALTH_CHECKS runs `SELECT 1` before each request's first query: behind PgBouncer that is a whole transaction,
    and was an eighth of a request's CPU over all services. A peer that restarted has closed the connection, and a
    closed socket is readable. A silent socket counts as alive: TCP keepalives and the server's timeouts cover a peer
    that is lost.
    """

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
