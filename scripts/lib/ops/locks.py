"""One operation of a kind at a time on a stack. A lock ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ops import containers
from user_errors import OperationError


@contextlib.contextmanager
def held(kind: str, hint: str) -> Iterator[None]:
    """While the block lasts, no other process has the lock of this kind. Raises OperationError when one has it."""
    # A file for each compose project: several stacks may run from one checkout.
    path = Path(tempfile.gettempdir()) / f"{containers.config()['name']}-{kind}.lock"
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    except PermissionError:  # another user's file: fs.protected_regular refuses O_CREAT
        lock = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationError(f"another {kind} is running", hint) from None
        yield
    finally:
        os.close(lock)
