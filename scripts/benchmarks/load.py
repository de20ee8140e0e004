"""Load, bounded in time and on our own containers only."""

import dataclasses
import json
from typing import Any

from support.stack import Stack


@dataclasses.dataclass(frozen=True)
class Measured:
    """What wrk saw in one stretch."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclasses.dataclass(frozen=True)
class Target:
    """An address to load, with the headers that make it a request of a visitor."""

    url: str
    headers: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """The headers, as wrk and curl take them."""
        return [argument for header in self.headers for argument in ("-H", header)]


def check(stack: Stack, target: Target, expected: str) -> None:
    """Raises unless the target answers 200 with the expected text: a fast error page would win every comparison."""
    curl = ("curl", "--silent", "--show-error", "--insecure", "--max-time", "10", "--write-out", "\n%{http_code}")
    *body, status = stack.exec("load", *curl, *target.arguments, target.url).splitlines()
    if status != "200" or expected not in "\n".join(body):
        raise AssertionError(f"{target.url} answered {status} and not {expected!r}: {' '.join(body)[:300]}")


def wrk(stack: Stack, target: Target, connections: int, seconds: float) -> Measured:
    """Closed-loop load: each connection sends its next request when the answer is there.

    One thread: it is enough for thousands of requests a second, and leaves the other CPUs to what is measured.
    """
    options = ("--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s", "--timeout", "5s")
    output = stack.exec("load", "wrk", *options, "--script", "/result.lua", *target.arguments, target.url)
    result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    errors = result["refused"] + result["broken"] + result["not_200"] + result["late"]
    answered = result["requests"] - result["not_200"]
    return Measured(answered / result["seconds"], result["p50_ms"], result["p99_ms"], errors)
