"""The address of the client, as nginx tells it."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from django.http import HttpRequest


def client_address(request: HttpRequest) -> IPv4Address | IPv6Address | None:
    """Return the client's address, None when it is unknown.

    nginx replaces X-Forwarded-For by the one address that its limits and log have (TRUSTED_PROXIES decides which).
    Without nginx (`runserver`) it is the connection's. An IPv4 address inside an IPv6 one counts as IPv4.
    """
    try:
        address = ip_address(request.META.get("HTTP_X_FORWARDED_FOR") or request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
