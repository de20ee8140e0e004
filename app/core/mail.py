"""Sends mail from a thread, so that a request never waits for the mail server.

A worker that waited would serve no other request, and the time of an answer would tell whether a mail was sent: whether
an address has an account.
"""

import contextvars
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

logger = logging.getLogger(__name__)

# Started by the first mail, in the worker's own process. A worker that stops sends what is waiting.
threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mail")


class BackgroundEmailBackend(EmailBackend):
    """Django's SMTP backend; a mail that can't be sent is an error in the log."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Return the number of messages that will be tried."""
        # The context has the request's id, for the log.
        threads.submit(contextvars.copy_context().run, self._send_all, list(email_messages))
        return len(email_messages)

    def _send_all(self, email_messages: list[EmailMessage]) -> None:
        try:
            super().send_messages(email_messages)
        except Exception:  # no caller is left that could handle it
            logger.exception("a mail was not sent: %s", email_messages[0].subject)
