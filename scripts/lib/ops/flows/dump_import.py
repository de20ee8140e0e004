"""Bring an external dump from any path of the host into DUMPS_DIR, through the standard input of a container."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

from ops import containers, docker
from user_errors import UserError


def run(file: Path, name: str = "") -> dict[str, Any]:
    """Import a file or a folder of pg_dump's; {"name", "plain", "database", "server_version"}.

    Raises UserError for a path that can't be read, and what dump-import refuses.
    """
    if not file.exists():
        raise UserError(f"there is no file {file}", "name the file or folder that pg_dump has written")
    name = name or re.sub(r"[^\w.+-]+", "_", file.resolve().name, flags=re.ASCII)
    words = docker.verb("dump-import", {"name": name, "folder": file.is_dir()})
    argv = docker.run_in("ops", *words)
    try:
        found: dict[str, Any] = containers.stream(argv, lambda pipe: send(file, pipe))
    except PermissionError as error:
        raise UserError(f"{file} can't be read", f"ls -l {file}", str(error)) from None
    return found


def send(file: Path, pipe: Any) -> None:
    """Write a file, or a folder's regular files as a tar archive, into a pipe."""
    if file.is_dir():
        with tarfile.open(fileobj=pipe, mode="w|") as archive:
            for entry in sorted(file.iterdir()):
                archive.add(entry, arcname=entry.name, recursive=False)
        return
    with file.open("rb") as source:
        while True:
            part = source.read(1 << 20)
            if not part:
                return
            pipe.write(part)
