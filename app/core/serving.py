"""Which of two app containers serves: the one whose socket /run/app/gunicorn.sock, where the proxy knocks, points to.

In the shared folder each container's gunicorn listens on a socket of its own. The link is renamed into place, so that a
connection goes to the one or to the other, never to none. A container that starts while nobody serves takes the link by
itself; beside one that serves it waits until it is told to (./scripts/ops rollout):

    python -m core.serving take     serve, if this container is fit for it, and let the one before finish its queue

Only the standard library, and no Django: gunicorn's configuration imports it.
"""

import os
import socket
import sys
from pathlib import Path

FOLDER = Path(os.environ.get("APP_SOCKETS") or "/run/app")
LINK = FOLDER / "gunicorn.sock"
OWN = FOLDER / f"{socket.gethostname()}.sock"

# gunicorn lets a request run for 30 s; in that time at the latest a worker is free to take in the next.
QUEUE_SECONDS = 35
# What a fit container answers: it reaches its database, and it can make a page.
FIT = ("/readyz", "/accounts/login/")


def status(path: Path, page: str, timeout: float = 5) -> int:
    """The status of a page, asked for as the proxy does; 0 for none, OSError when it takes longer."""
    host = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".") or "localhost"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        client.connect(str(path))
        client.sendall(f"GET {page} HTTP/1.0\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n\r\n".encode())
        _, _, answer = client.makefile("rb").readline().partition(b" ")
    return int(answer[:3] or 0)


def listens(path: Path) -> bool:
    """Whether a connection would be accepted; one that waits in the queue counts."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def take_if_nobody_serves() -> None:
    """A plain start, or the first after a crash or a reboot (the folder is in memory)."""
    if not listens(LINK):
        point_to_own()


def point_to_own() -> None:
    """In one step: who connects meanwhile reaches the one before or this one."""
    new = FOLDER / f".{OWN.name}.link"
    new.unlink(missing_ok=True)
    new.symlink_to(OWN.name)
    new.replace(LINK)


def unfit() -> str | None:
    """Why this container may not serve, or None. A redirect is an answer; an error is none."""
    for page in FIT:
        try:
            answer = status(OWN, page)
            if not 200 <= answer < 400:
                return f"{page} answers {answer}"
        except OSError as error:
            return f"{page} is not answered: {error}"
    return None


def finish_queue(path: Path) -> None:
    """Returns when everybody who was connected to the socket has been let in: a queue is served in its order."""
    try:
        status(path, "/healthz", QUEUE_SECONDS)
    except OSError:
        return  # it is gone, and its queue with it


def take() -> int:
    """Serve from now on; exit status 1, and the reason, when this container isn't fit to."""
    if why := unfit():
        print(f"ERROR: this container doesn't take over: {why}.\nHINT:  read its log", file=sys.stderr)
        return 1
    before = FOLDER / LINK.readlink() if LINK.is_symlink() else None
    point_to_own()
    if before and before != OWN:
        finish_queue(before)
    return 0


if __name__ == "__main__":
    if sys.argv[1:] != ["take"]:
        sys.exit(__doc__)
    sys.exit(take())
