"""Chooses the app container that serves: the one whose socket the link /run/app/gunicorn.sock points to.

The proxy connects to the link. Each container's gunicorn listens on its own socket in the shared folder. The link is
replaced by a rename, so that every connection reaches the previous container or the new one. A container that starts
while no container is serving switches by itself. Beside a serving container it waits for `ops rollout`, which runs:

    python -m core.serving switch     check this container, point the link to it, wait for the previous one's queue

Standard library only, no Django: gunicorn's configuration imports it.
"""

import os
import socket
import sys
from pathlib import Path

from core import probe

FOLDER = Path(os.environ.get("APP_SOCKETS") or "/run/app")
LINK = FOLDER / "gunicorn.sock"
OWN = FOLDER / f"{socket.gethostname()}.sock"

# gunicorn ends a request after 30 s: by then a worker is free to accept the next connection.
QUEUE_SECONDS = 35
# A container may serve when it reaches its database and renders a page.
REQUIRED = ("/readyz", "/accounts/login/")


def listens(path: Path) -> bool:
    """Whether the socket accepts connections; one that waits in the queue counts."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def switch_if_none_serves() -> None:
    """For a plain start, and the first one after a crash or a reboot (the folder is in memory)."""
    if not listens(LINK):
        point_to_own()


def point_to_own() -> None:
    """Point the link to this container, in one step."""
    new = FOLDER / f".{OWN.name}.link"
    new.unlink(missing_ok=True)
    new.symlink_to(OWN.name)
    new.replace(LINK)


def problem() -> str | None:
    """Return why this container may not serve, or None. A redirect is a success."""
    for page in REQUIRED:
        try:
            status = probe.status(f"unix:{OWN}", page)
        except OSError as error:
            return f"no response from {page}: {error}"
        if not 200 <= status < 400:
            return f"{page} returned {status}"
    return None


def wait_for_queue(path: Path) -> None:
    """Wait until gunicorn has accepted every connection made to the socket so far: its queue is first in, first out."""
    try:
        probe.status(f"unix:{path}", "/healthz", QUEUE_SECONDS)
    except OSError:
        return  # the socket is closed, and its queue with it


def switch() -> int:
    """Serve from now on; return 1, with the reason on stderr, when this container may not serve."""
    if reason := problem():
        print(f"ERROR: this container can't serve: {reason}\nHINT:  docker compose logs app", file=sys.stderr)
        return 1
    previous = FOLDER / LINK.readlink() if LINK.is_symlink() else None
    point_to_own()
    if previous and previous != OWN:
        wait_for_queue(previous)
    return 0


if __name__ == "__main__":
    if sys.argv[1:] != ["switch"]:
        sys.exit(__doc__)
    sys.exit(switch())
