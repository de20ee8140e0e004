"""Asks a gunicorn for a page, the way the proxy does. Standard library only, no Django."""

import os
import socket

import host_names


def status(bind: str, page: str, timeout: float = 5) -> int:
    """Return the HTTP status of the page, 0 when the response is not HTTP; OSError when there is no response.

    `bind` is an address in gunicorn's notation: unix:PATH or HOST:PORT. The timeout applies to each step.
    """
    address: str | tuple[str, int]
    if bind.startswith("unix:"):
        family, address = socket.AF_UNIX, bind.removeprefix("unix:")
    else:
        name, _, port = bind.rpartition(":")
        family, address = socket.AF_INET, (name, int(port))
    host = host_names.first(os.environ.get("ALLOWED_HOSTS", ""))
    with socket.socket(family) as client:
        client.settimeout(timeout)
        client.connect(address)
        client.sendall(f"GET {page} HTTP/1.0\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n\r\n".encode())
        _, _, code = client.makefile("rb").readline().partition(b" ")
    return int(code[:3] or 0)
