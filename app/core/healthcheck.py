"""The container's health check: `python -m core.healthcheck` asks its own gunicorn for /healthz and exits 0 or 1.

A healthy container switches to itself when no container is serving (core/serving.py).

Standard library only, no Django: it runs every few seconds and has to start fast.
"""

import os
import sys

from core import probe, serving


def main() -> int:
    """Return 0 when /healthz returns 200, else 1 with the reason on stdout."""
    bind = os.environ.get("GUNICORN_BIND") or f"unix:{serving.OWN}"
    try:
        status = probe.status(bind, "/healthz", timeout=2)
    except OSError as error:
        print(f"no response from {bind}: {error}")
        return 1
    print(f"/healthz returned {status}")
    if status != 200:
        return 1
    if "GUNICORN_BIND" not in os.environ:
        serving.switch_if_none_serves()
    return 0


if __name__ == "__main__":
    sys.exit(main())
