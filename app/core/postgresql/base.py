"""The database backend: Django's own, but for how it notices that a kept connection has died, and for
a password that changes while it runs."""

import select
from typing import Any

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

from core.postgresql import passwords


class DatabaseWrapper(base.DatabaseWrapper):
    """Checks a kept connection without a round trip.

    CONN_HEALTH_CHECKS asks `SELECT 1` before each request's first query: behind the pooler that is a whole transaction,
    and was an eighth of the CPU that a request cost, all services together. But a peer that went away (a pooler or a
    server that restarted) has closed the connection, and a closed socket is readable. One that is silent is alive, as
    far as a question could tell without waiting; TCP keepalives and the server's timeouts cover a peer that vanished.
    """

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection with a password of the secret's file, as it is now."""
        connect = super().get_new_connection
        return passwords.first_accepted(
            lambda password: connect({**conn_params, "password": password}), passwords.known(self.settings_dict)
        )

    def is_usable(self) -> bool:
        """Whether the connection can serve a request; asks the server only when there is a reason to doubt it."""
        if self.connection is None or self.connection.closed:
            return False
        idle = self.connection.info.transaction_status is TransactionStatus.IDLE
        if self.errors_occurred or not idle or self._has_something_to_read():
            return super().is_usable()
        return True

    def _has_something_to_read(self) -> bool:
        """The end of the connection, or a notice: only a question tells which."""
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
