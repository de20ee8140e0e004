"""The stack as the compose files describe it. No container runs unless a test is marked `docker`."""

import pytest

from testing.stack import DEVELOPMENT, PROJECT, Stack, build_images


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The compose file, rendered; its images are built when a test needs them, and nothing is started."""
    return Stack(f"{PROJECT}-static", DEVELOPMENT, port=21030)


@pytest.fixture(scope="session")
def images(stack: Stack) -> Stack:
    """The images, built as the runner builds them: Compose's labels name project and service, and with others the
    layers beside this one would get other images in the middle of their tests."""
    build_images()
    return stack


def pytest_itemcollected(item: pytest.Item) -> None:
    """Rendering a compose file needs the docker command too."""
    if "stack" in getattr(item, "fixturenames", ()) or item.path.name == "test_compose.py":
        item.add_marker("docker")
