"""HTTP load: wrk in the stack's service `load`, which sends prepared requests (inside/play.lua)."""

import json
from collections.abc import Sequence

from testing.stack import Stack

ORIGIN, HOST = "https://proxy:8443", ("-H", "Host: localhost")


def check(stack: Stack, path: str, session: str, expected: str) -> None:
    """Raise AssertionError unless the answer is 200 with the expected text: a fast error page would win every table."""
    curl = ("curl", "--silent", "--show-error", "--insecure", "--max-time", "10", "--write-out", "\n%{http_code}")
    output = stack.exec("load", *curl, *HOST, "--cookie", f"sessionid={session}", ORIGIN + path)
    body, _, status = output.rpartition("\n")
    if status != "200" or expected not in body:
        raise AssertionError(f"{path} answered {status} without {expected!r}: {body[:300]}")


def wrk(stack: Stack, requests: Sequence[str], connections: int, seconds: float) -> dict[str, float]:
    """Closed-loop load: each connection sends its next request when the answer has arrived.

    One thread sends thousands of requests per second, and leaves the other CPUs to what is measured.
    """
    stack.exec("load", "sh", "-c", "cat >/tmp/requests", stdin="\n".join(requests) + "\n")
    options = ("--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s", "--timeout", "5s")
    return parse(stack.exec("load", "wrk", *options, "--script", "/play.lua", *HOST, ORIGIN, "--", "/tmp/requests"))  # noqa: S108


def parse(output: str) -> dict[str, float]:
    """The line of play.lua. A response with an error status is an error, and not in the rate."""
    result = json.loads(output.strip().splitlines()[-1])
    answered = result["requests"] - result["bad_status"]
    return {
        "rps": answered / result["seconds"],
        "p99": result["p99_ms"],
        "errors": result["refused"] + result["broken"] + result["bad_status"] + result["late"],
    }
