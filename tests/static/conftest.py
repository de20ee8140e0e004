"""The stack as the compose files describe it. No container runs unless a test is marked `docker`."""

import pytest

from testing.stack import DEVELOPMENT, PROJECT, Stack


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The compose file, rendered; its images are built when a test needs them, and nothing is started."""
    return Stack(f"{PROJECT}-static", DEVELOPMENT, port=21030)


@pytest.fixture(scope="session")
def images(stack: Stack) -> Stack:
    """The images, built (while other layers build them too, the builder does it once)."""
    stack.build("postgres", "pgbouncer", "proxy")
    return stack


def pytest_itemcollected(item: pytest.Item) -> None:
    """Rendering a compose file needs the docker command too."""
    if "stack" in getattr(item, "fixturenames", ()) or item.path.name == "test_compose.py":
        item.add_marker("docker")
