"""Load, bounded in time and on our own containers only."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from testing.stack import Stack

FOLDER = "/requests"  # of the load generator's container


@dataclasses.dataclass(frozen=True)
class Measured:
    """What wrk saw in one stretch."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclasses.dataclass(frozen=True)
class Request:
    """One line of a file that inside/play.lua sends; without a session it is a guest's."""

    method: str
    path: str
    session: str = ""
    body: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.session} {self.body}".rstrip()


def write(folder: Path, name: str, requests: Sequence[Request]) -> None:
    """A file of requests, where the generator reads it."""
    file = folder / name
    file.write_text("".join(f"{request}\n" for request in requests), encoding="utf-8")
    file.chmod(0o644)


def check(stack: Stack, origin: str, headers: Sequence[str], request: Request, expected: str) -> None:
    """Raises unless the answer is 200 with the expected text: a fast error page would win every comparison."""
    curl = ("curl", "--silent", "--show-error", "--insecure", "--max-time", "10", "--write-out", "\n%{http_code}")
    cookie = ("--cookie", f"sessionid={request.session}") if request.session else ()
    output = stack.exec("load", *curl, *_headers(headers), *cookie, origin + request.path)
    *body, status = output.splitlines()
    if status != "200" or expected not in "\n".join(body):
        raise AssertionError(f"{origin}{request.path} answered {status} and not {expected!r}: {' '.join(body)[:300]}")


def wrk(stack: Stack, origin: str, headers: Sequence[str], file: str, connections: int, seconds: float) -> Measured:
    """Closed-loop load: each connection sends its next request when the answer is there.

    One thread: it is enough for thousands of requests a second, and leaves the other CPUs to what is measured.
    """
    options = ("--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s", "--timeout", "5s")
    script = ("--script", "/play.lua", *_headers(headers), origin, "--", f"{FOLDER}/{file}")
    return parse(stack.exec("load", "wrk", *options, *script))


def parse(output: str) -> Measured:
    """What inside/play.lua printed last. Answers with a bad status are errors, and no requests per second."""
    result = json.loads(output.strip().splitlines()[-1])
    errors = result["refused"] + result["broken"] + result["bad_status"] + result["late"]
    answered = result["requests"] - result["bad_status"]
    return Measured(answered / result["seconds"], result["p50_ms"], result["p99_ms"], errors)


def _headers(headers: Sequence[str]) -> list[str]:
    """As wrk and curl take them."""
    return [argument for header in headers for argument in ("-H", header)]
