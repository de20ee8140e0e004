"""A dump that somebody else made, without our manifest: what it says about itself, before anything believes it."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from flagops import archive, client_tools
from flagops.errors import Refused, Status
from flagops.scratch import open_sql


@dataclass
class DumpFile:
    """What a dump says about itself; '' for what it doesn't say."""

    path: Path
    plain: bool
    database: str
    server_version: str


def look_at(name: str) -> DumpFile:
    """A file (plain SQL, .gz or not; custom format) or a folder (directory format) among the backups."""
    path = archive.FOLDER / name
    if "/" in name or name.startswith(".") or not path.exists():
        raise Refused(
            f"there is no file '{name}' among the backups.",
            f"docker compose cp or BACKUPS_DIR puts it there; {archive.LIST}",
            status=Status.NOT_FOUND,
        )
    if path.is_symlink() or not (path.is_dir() or path.is_file()):
        raise not_a_dump(path, "it is a link or a device")
    if path.is_dir():
        if (path / archive.MANIFEST).exists():
            raise Refused(f"{name} is a backup of ours.", "the same command without --foreign")
        if not (path / "toc.dat").is_file():
            raise not_a_dump(path, "it is a folder, and pg_dump's table of contents (toc.dat) isn't in it")
        return from_archive(path)
    if path.stat().st_size == 0:
        raise not_a_dump(path, "it is empty")
    with path.open("rb") as file:
        magic = file.read(5)
    return from_archive(path) if magic == b"PGDMP" else from_sql(path)


def from_archive(path: Path) -> DumpFile:
    """Read it as pg_restore does, all of it: what is cut off is noticed here."""
    listing = subprocess.run(["pg_restore", "--list", str(path)], capture_output=True, text=True, check=False)
    if listing.returncode:
        raise not_a_dump(path, client_tools.ending(listing.stderr))
    try:
        client_tools.run(
            ["pg_restore", "--file=/dev/null", str(path)], {"PATH": "/usr/lib/postgresql/17/bin:/usr/bin"}, archive.LIST
        )
    except client_tools.ToolFailed as failed:
        raise not_a_dump(path, failed.said) from None
    return DumpFile(
        path,
        plain=False,
        database=_first(r"^;\s+dbname: (.*)$", listing.stdout),
        server_version=_first(r"^;\s+Dumped from database version: ([\d.]+)", listing.stdout),
    )


def from_sql(path: Path) -> DumpFile:
    """Plain SQL has to begin and to end as pg_dump's does."""
    head, tail = "", b""
    try:
        with open_sql(path) as file:
            head = file.read(4096).decode(errors="replace")
            while part := file.read(1 << 20):
                tail = (tail + part)[-4096:]
    except (OSError, EOFError) as error:
        raise not_a_dump(path, f"it can't be unpacked: {error}") from None
    if "-- PostgreSQL database dump" not in head:
        raise not_a_dump(path, "it doesn't begin as pg_dump's files do")
    if "-- PostgreSQL database dump complete" not in head + tail.decode(errors="replace"):
        raise not_a_dump(path, "its end is missing: it was cut off")
    return DumpFile(
        path, plain=True, database="", server_version=_first(r"^-- Dumped from database version ([\d.]+)", head)
    )


def not_a_dump(path: Path, why: str) -> Refused:
    """Nothing that can be restored."""
    return Refused(f"{path.name} is no dump that can be restored.", archive.LIST, why)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""
