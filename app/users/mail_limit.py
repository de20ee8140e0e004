"""How many mails an address gets: forms that any visitor can send must not fill the mailbox of another person.

It counts in each worker's cache (settings.CACHES), whether the address has an account or not.
"""

import contextlib

from django.core.cache import cache

from users.login_attempts import digest

MAILS = 5
SECONDS = 3600


def may_send(email: str) -> bool:
    """Count a mail to the address; False when it had MAILS of them in SECONDS."""
    key = f"mails:{digest(email)}"
    cache.add(key, 0, SECONDS)
    with contextlib.suppress(ValueError):  # it expired in this instant
        return int(cache.incr(key)) <= MAILS
    return True
