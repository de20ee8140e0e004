"""A dump that another program's pg_dump made, without our manifest: checked before anything is restored from it."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

from pgclient import client_tools, dump_store
from pgclient.dump_store import FOLDER, LIST
from pgclient.sql_file import open_sql
from pgclient.verbs import verb
from user_errors import OperationError, Status, UserError

# The files of pg_dump's directory format.
ARCHIVE_FILE = re.compile(r"toc\.dat|blobs(_\d+)?\.toc|(blob_)?\d+\.dat(\.gz|\.lz4|\.zst)?")
# A string of toc.dat (a sign, four bytes of length) that leads out of the folder. Nothing there needs one: the folder
# has no folders, so a path that exists can only begin with . and .. and slashes.
FILE_OUTSIDE = re.compile(rb"\x00.{4}[./]*\.\./", re.DOTALL)
# pg_dump's header: PGDMP, three bytes of the format's version, the size of an integer. FILE_OUTSIDE relies on 4.
HEADER = re.compile(rb"PGDMP...\x04", re.DOTALL)
# A line of blobs.toc: a large object's number, its file.
LARGE_OBJECT = re.compile(rb"\d+ blob_\d+\.dat")
NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,120}", re.ASCII)
# What a file of another kind begins with → what it is, and what to do instead.
KINDS_OF_FILES = {
    b"\xff\xfe": ("is encoded in UTF-16, as PowerShell's > writes it", "create it with pg_dump --file=NAME"),
    b"\xfe\xff": ("is encoded in UTF-16", "create it with pg_dump --file=NAME"),
    b"PK\x03\x04": ("is a ZIP archive", "unpack it, and import what is inside"),
    b"\xfd7zXZ": ("is compressed with xz", "unpack it (xz -d), and import the result"),
    b"\x28\xb5\x2f\xfd": ("is compressed with zstd", "unpack it (zstd -d), and import the result"),
    b"\x04\x22\x4d\x18": ("is compressed with lz4", "unpack it (lz4 -d), and import the result"),
    b"BZh": ("is compressed with bzip2", "unpack it (bunzip2), and import the result"),
}


def external_path(name: str) -> Path:
    """A file or folder in DUMPS_DIR that is not a dump of ours. Raises UserError."""
    path = FOLDER / name
    if not name or "/" in name or name.startswith(".") or not os.path.lexists(path):
        raise UserError(
            f"there is no file '{name}' in DUMPS_DIR",
            "./scripts/ops dump import FILE brings one in",
            status=Status.NOT_FOUND,
        )
    if path.is_symlink() or not (path.is_dir() or path.is_file()):
        raise not_a_dump(name, "it is a link or a device")
    if (path / dump_store.MANIFEST).exists():
        raise UserError(f"{name} is a dump of this program", "run the same command without --external")
    return path


@verb("dump-inspect")
def inspect(name: str) -> dict[str, Any]:
    """What an external dump says about itself: {"plain", "database", "server_version"}, '' for what it doesn't say.

    All of it is read. Raises UserError for anything that pg_dump has not written, or that is cut off.
    """
    path = external_path(name)
    if path.is_dir():
        check_folder(path)
        return from_archive(path)
    if path.stat().st_size == 0:
        raise not_a_dump(name, "it is empty")
    with path.open("rb") as file:
        head = file.read(264)
    for magic, (reason, hint) in KINDS_OF_FILES.items():
        if head.startswith(magic):
            raise not_a_dump(name, f"it {reason}", hint)
    if head.startswith(b"PGDMP") or head[257:262] == b"ustar":
        return from_archive(path)
    return from_sql(path)


def check_folder(path: Path) -> None:
    """Raises UserError unless a folder holds exactly what pg_dump's directory format does: regular files of its names.

    A link would make pg_restore read another file of its container into a table.
    """
    if not (path / "toc.dat").is_file():
        raise not_a_dump(path.name, "it is a folder without pg_dump's table of contents (toc.dat)")
    for entry in os.scandir(path):
        if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
            raise not_a_dump(path.name, f"{entry.name} is a link, a device or a folder")
        if not ARCHIVE_FILE.fullmatch(entry.name):
            raise not_a_dump(path.name, f"{entry.name} is not a file of pg_dump's directory format")
        if entry.name.endswith(".toc") and not large_objects_inside(Path(entry.path).read_bytes()):
            raise not_a_dump(path.name, f"{entry.name} names a file that is not a large object of this folder")
    if not all_inside((path / "toc.dat").read_bytes()):
        raise not_a_dump(path.name, "its table of contents names a file outside of the folder, or is not pg_dump's")


def all_inside(contents: bytes) -> bool:
    """Whether a toc.dat is pg_dump's and names no file outside of its folder."""
    return bool(HEADER.match(contents)) and not FILE_OUTSIDE.search(contents)


def large_objects_inside(contents: bytes) -> bool:
    """Whether a blobs.toc names files of its folder only."""
    return all(LARGE_OBJECT.fullmatch(line) for line in contents.splitlines() if line)


def from_archive(path: Path) -> dict[str, Any]:
    """Read it as pg_restore does, all of it: what is cut off is noticed here."""
    listing = subprocess.run(["pg_restore", "--list", str(path)], capture_output=True, text=True, check=False)
    if listing.returncode:
        raise not_a_dump(path.name, client_tools.ending(listing.stderr))
    try:
        client_tools.run(["pg_restore", "--file=/dev/null", str(path)], {"PATH": os.environ["PATH"]}, LIST)
    except client_tools.ToolFailed as failed:
        raise not_a_dump(path.name, failed.reason) from None
    return {
        "plain": False,
        "database": first(r"^;\s+dbname: (.*)$", listing.stdout),
        "server_version": first(r"^;\s+Dumped from database version: ([\d.]+)", listing.stdout),
    }


def from_sql(path: Path) -> dict[str, Any]:
    """Plain SQL has to begin and to end as pg_dump's does."""
    head, tail = "", b""
    try:
        with open_sql(path) as file:
            head = file.read(4096).decode(errors="replace")
            while part := file.read(1 << 20):
                tail = (tail + part)[-4096:]
    except (OSError, EOFError, zlib.error) as error:
        raise not_a_dump(path.name, f"it can't be unpacked: {error}") from None
    if "-- PostgreSQL database cluster dump" in head:
        raise not_a_dump(
            path.name,
            "pg_dumpall wrote it: it holds roles and several databases",
            "pg_dump each database that is wanted",
        )
    if "-- PostgreSQL database dump" not in head:
        raise not_a_dump(path.name, "it does not begin as pg_dump's files do")
    if "-- PostgreSQL database dump complete" not in head + tail.decode(errors="replace"):
        raise not_a_dump(path.name, "its end is missing: it was cut off")
    return {"plain": True, "database": "", "server_version": first(r"^-- Dumped from database version ([\d.]+)", head)}


def not_a_dump(
    name: str, reason: str, hint: str = "pg_dump writes what can be restored: plain, -Fc, -Fd or -Ft"
) -> UserError:
    """The error for a file that can't be restored."""
    return UserError(f"{name} can't be restored", hint, reason)


def first(pattern: str, text: str) -> str:
    """The first group of the first match, without white space around it."""
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else ""


# ------------------------------------------------------------ import


@verb("dump-import")
def import_(name: str, folder: bool = False) -> dict[str, Any]:
    """Put an external dump where restores find it. Standard input: the file, or (`folder`) a tar archive of the folder.

    Returns {"name", …} as dump-inspect. Raises UserError when the name is taken, or when it is not a dump.
    """
    client_tools.obey_termination()
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}' can't be the name of a dump", "use letters, digits and . _ + -")
    if os.path.lexists(FOLDER / name):
        raise UserError(f"{name} exists already in DUMPS_DIR", "import it under another name: --as NAME")
    with dump_store.new(name) as partial:
        target = partial / name
        receive_folder(target) if folder else receive_file(sys.stdin.buffer, target)
        # Looked at under its final name, which dump_store.new() keeps free.
        target.rename(FOLDER / name)
        try:
            found = inspect(name)
        except (UserError, OperationError):
            (FOLDER / name).rename(target)
            raise
        partial.rmdir()
    return {"name": name, **found}


def receive_file(source: IO[bytes], target: Path) -> None:
    """Write what comes, to the disk."""
    with target.open("wb") as file:
        while part := source.read(1 << 20):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def receive_folder(target: Path) -> None:
    """Unpack a tar archive of regular files without folders; anything else in it is refused."""
    target.mkdir(mode=0o700)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isdir() and name in ("", "."):
                continue
            if not member.isreg() or not ARCHIVE_FILE.fullmatch(name):
                raise not_a_dump(target.name, f"{json.dumps(name)} is not a file of pg_dump's directory format")
            source = archive.extractfile(member)
            assert source
            receive_file(source, target / name)
