"""nginx, the way a browser meets it."""

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import httpx

from testing.shell import eventually, run
from testing.stack import Stack


class Proxy:
    """An HTTP client that trusts the stack's CA: `proxy.get("/readyz")`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.https = f"https://localhost:{stack.port('proxy', 8443)}"
        self.http = f"http://localhost:{stack.port('proxy', 8000)}"

    def client(self, **changes: Any) -> httpx.Client:
        tls = ssl.create_default_context(cafile=self.stack.ca)
        return httpx.Client(**{"base_url": self.https, "verify": tls, "timeout": 5, "trust_env": False, **changes})

    def get(self, path: str, **changes: Any) -> httpx.Response:
        """One request on a connection of its own."""
        with self.client(**changes) as client:
            return client.get(path)


@contextlib.contextmanager
def another_proxy(stack: Stack, *options: str) -> Iterator[str]:
    """One more container of the service `proxy`, with options of `docker compose run`; its id. It publishes no port."""
    container = stack.compose("run", "--detach", "--no-deps", *options, "proxy").split()[-1]
    try:
        eventually(lambda: not run("docker", "exec", container, "healthcheck", check=False).returncode, within=20)
        yield container
    finally:
        run("docker", "rm", "--force", "--volumes", container)
