"""What a host of the lab reaches."""

import inspect
import json

from checklist import remote
from lab.hosts import Lab


def scan(lab: Lab, address: str, first: int = 1, last: int = 65535, *, host: str = "vantage") -> list[int]:
    """The TCP ports of an address that answer to the host."""
    program = (
        f"from __future__ import annotations\nimport json\n{inspect.getsource(remote.scan)}\n"
        f"print(json.dumps(scan({address!r}, {first}, {last}, 1.5)))"
    )
    found: list[int] = json.loads(lab.exec(host, "python3", "-c", program))
    return found
