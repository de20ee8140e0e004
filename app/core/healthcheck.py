"""The container's health check: asks its own gunicorn for /healthz. `python -m core.healthcheck` exits 0 or 1.

A container that is well takes over when nobody serves (core/serving.py).

Only the standard library, and no Django: it starts in some hundredths of a second, every few seconds.
"""

import os
import socket
import sys

from core import serving

REQUEST = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"


def status_line(bind: str) -> bytes:
    """The first line of the answer from the address that gunicorn binds to (its own notation)."""
    address: str | tuple[str, int]
    if bind.startswith("unix:"):
        family, address = socket.AF_UNIX, bind.removeprefix("unix:")
    else:
        host, _, port = bind.rpartition(":")
        family, address = socket.AF_INET, (host, int(port))
    with socket.socket(family) as client:
        client.settimeout(2)
        client.connect(address)
        client.sendall(REQUEST)
        return client.recv(4096).split(b"\r\n", 1)[0]


def main() -> int:
    """0 when the app answers 200, else 1 and why."""
    bind = os.environ.get("GUNICORN_BIND") or f"unix:{serving.OWN}"
    try:
        line = status_line(bind)
    except OSError as error:
        print(f"{bind} doesn't answer: {error}")
        return 1
    print(line.decode("latin-1"))
    if b" 200 " not in line:
        return 1
    if "GUNICORN_BIND" not in os.environ:
        serving.take_if_nobody_serves()  # the one that served is gone: whoever is well takes its place
    return 0


if __name__ == "__main__":
    sys.exit(main())
