"""Limits on what changes something. Reads are cheap and left to nginx, which limits everything by address."""

import hashlib

from django.http import HttpRequest
from ninja.throttling import SimpleRateThrottle


class PerVisitorThrottle(SimpleRateThrottle):
    """Counts by account, or by address for people who aren't logged in, and for each `scope` apart."""

    def __init__(self, scope: str, rate: str) -> None:
        self.scope = scope
        super().__init__(rate)

    def get_cache_key(self, request: HttpRequest) -> str:
        """The visitor's counter; hashed, since a cache key can't hold everything that a header can."""
        who = f"user {request.user.pk}" if request.user.is_authenticated else f"address {self.get_ident(request)}"
        return f"throttle:{self.scope}:{hashlib.sha256(who.encode()).hexdigest()}"


class PerAddressThrottle(PerVisitorThrottle):
    """Counts by address alone: whoever tries passwords may well be logged in."""

    def get_cache_key(self, request: HttpRequest) -> str:
        """The address's counter."""
        return f"throttle:{self.scope}:{hashlib.sha256(str(self.get_ident(request)).encode()).hexdigest()}"
