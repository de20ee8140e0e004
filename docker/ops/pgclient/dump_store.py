"""Dumps on disk: a folder with pg_dump's files and a manifest; created whole or not at all, found, checked, removed.

    /dumps/flaglearning_dev-full-20261123T031500Z/
        manifest.json     what it is, of what, when, which versions; rows of each table; size and SHA-256 of each file
        dump/             pg_dump's directory format, zstd; or
        dump.sql          plain SQL

It is written as `.partial-…` and renamed when it has been read back. The process that writes or reads one holds a lock
(flock) on it, which the kernel releases when the process dies: a `.partial-…` that can be locked was left by a process
that was killed.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from pgclient.progress import note
from user_errors import Failure, OperationError, Status, UserError

FOLDER = Path(os.environ.get("DUMPS") or "/dumps")
PARTIAL = ".partial-"
MANIFEST = "manifest.json"
FORMAT = 1  # of the manifest
Kind = Literal["full", "table", "schema", "data"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LIST = "./scripts/ops dump list"


@dataclass
class Manifest:
    """What is known about a dump without reading it."""

    kind: Kind
    database: str
    deployment: str
    created: str  # the moment whose state it holds, UTC
    server_version: str
    dumped_by: str
    plain: bool = False
    table: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    database_bytes: int = 0
    seconds: float = 0
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        """Of the files."""
        return sum(file["bytes"] for file in self.files.values())

    @property
    def major(self) -> int:
        """The major version of the server that it comes from."""
        return int(self.server_version.partition(".")[0])

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises OperationError unless it is a manifest of a format that is known here."""
        why = "it has no manifest"
        try:
            data = json.loads((folder / MANIFEST).read_text())
            if isinstance(data, dict) and data.get("format", 0) > FORMAT:
                raise damaged(folder, f"its manifest has format {data['format']}, this program knows {FORMAT}")
            manifest = cls(**data)
            if manifest.kind in KINDS and manifest.major and all(_is_plain(name) for name in manifest.files):
                return manifest
            why = "its manifest has values that no dump of this program has"
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            why = f"its manifest can't be read: {error}"
        raise damaged(folder, why)


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"dump(\.sql|/[\w.]+)", name, re.ASCII) is not None


def damaged(folder: Path, why: str) -> OperationError:
    """The error for a dump that can't be relied on."""
    return OperationError(f"{folder.name} is not a usable dump", f"{LIST} shows the others", why)


@dataclass
class Dump:
    """A dump that has its final name."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def dump(self) -> Path:
        """What the client tools read: a folder, or a file of SQL."""
        return self.folder / ("dump.sql" if self.manifest.plain else "dump")

    def check(self, each: Callable[[int], None] = lambda _: None) -> None:
        """Every file is there, with its size and checksum, and nothing else. `each` gets the bytes read."""
        found = files(self.folder)
        if strange := found.keys() ^ self.manifest.files.keys():
            missing, added = strange - found.keys(), strange & found.keys()
            raise damaged(
                self.folder,
                ", ".join([f"{f} is missing" for f in missing] + [f"{f} is not of the dump" for f in added]),
            )
        for name, expected in self.manifest.files.items():
            path = self.folder / name
            if (size := path.stat().st_size) != expected["bytes"]:
                raise damaged(self.folder, f"{name} has {size} bytes, and had {expected['bytes']} when it was made")
            if checksum(path, each) != expected["sha256"]:
                raise damaged(self.folder, f"{name} has changed since it was made: its SHA-256 is another")

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While it is read, prune leaves it alone."""
        with (self.folder / MANIFEST).open() as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            yield


def files(folder: Path) -> dict[str, Path]:
    """The files of a dump but its manifest. Raises OperationError for a link or a device."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise damaged(folder, f"{path.relative_to(folder)} is a link or a device")
        if path.is_file() and path.name != MANIFEST:
            found[str(path.relative_to(folder))] = path
    return found


def checksum(path: Path, each: Callable[[int], None] = lambda _: None) -> str:
    """A file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
            each(len(part))
    return digest.hexdigest()


# ------------------------------------------------------------ making one


@contextlib.contextmanager
def new(name: str) -> Iterator[Path]:
    """A folder to write a backup into. It is removed unless finish() gave it its final name."""
    check_folder()
    folder = FOLDER / f"{PARTIAL}{name}"
    with locked(FOLDER, exclusive=True):  # prune looks at leftovers under the same lock
        if folder.exists() or (FOLDER / name).exists():
            raise OperationError(
                f"{name} exists already, or is being created", "run the same command again, a second later"
            )
        folder.mkdir(mode=0o700)
        held = _lock(folder, fcntl.LOCK_EX)
    try:
        yield folder
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OperationError("no space is left in DUMPS_DIR", "./scripts/ops dump prune", str(error)) from None
    finally:
        if folder.exists():
            note(f"{name} was not finished: its files are removed")
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def finish(folder: Path, manifest: Manifest) -> Dump:
    """Write the manifest, make everything durable, give it its final name: the last thing that happens."""
    with (folder / MANIFEST).open("w") as file:
        json.dump(asdict(manifest), file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    for path in files(folder).values():
        _sync(path)
    for path in (*(path for path in folder.iterdir() if path.is_dir()), folder):
        _sync(path)
    final = FOLDER / folder.name.removeprefix(PARTIAL)
    folder.rename(final)
    _sync(FOLDER)
    return Dump(final, manifest)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)


def new_name(database: str, kind: str, table: str, moment: datetime) -> str:
    """flaglearning_dev-full-20261123T031500Z; a table's name is in it as far as a file name should be."""
    words = [database, kind, *([re.sub(r"[^\w.]+", "_", table, flags=re.ASCII)[:40]] if table else [])]
    return f"{'-'.join(words)}-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def check_folder() -> None:
    """Raises OperationError unless dumps can be written."""
    if not os.access(FOLDER, os.W_OK | os.X_OK):
        raise OperationError(
            "dumps can't be written",
            'DUMPS_DIR has to name a folder that uid 9000 may write: chown 9000:9000 "$DUMPS_DIR"',
            f"{FOLDER} belongs to uid {FOLDER.stat().st_uid}" if FOLDER.exists() else f"{FOLDER} does not exist",
        )


@contextlib.contextmanager
def locked(folder: Path, exclusive: bool) -> Iterator[None]:
    """Hold the lock while the block runs."""
    held = _lock(folder, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(held)


def _lock(path: Path, how: int) -> int:
    opened = os.open(path, os.O_RDONLY)
    fcntl.flock(opened, how)
    return opened


def is_held(path: Path) -> bool:
    """Whether a living process holds a lock on it."""
    try:
        os.close(_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


# ------------------------------------------------------------ finding them


def all_of_them() -> list[Dump | Failure]:
    """Every folder with a final name, the oldest first; the error for a folder that is no dump."""
    found: list[Dump | Failure] = []
    for folder in sorted(FOLDER.glob("[!.]*"), key=lambda path: path.name[-16:]):
        if folder.name == "lost+found":
            continue
        try:
            found.append(Dump(folder, Manifest.read(folder)))
        except Failure as failure:
            found.append(failure)
    return found


def leftovers() -> list[Path]:
    """What killed processes have left."""
    with locked(FOLDER, exclusive=True):
        return sorted(path for path in FOLDER.glob(f"{PARTIAL}*") if not is_held(path))


def find(name: str, kind: Kind | None = None) -> Dump:
    """A dump by its name; `latest` is the newest of its kind. Raises UserError, OperationError."""
    if name == "latest":
        candidates = [one for one in all_of_them() if isinstance(one, Dump) and kind in (None, one.manifest.kind)]
        if not candidates:
            raise UserError(
                f"no {kind or ''} dump exists yet".replace("  ", " "),
                "./scripts/ops dump full",
                status=Status.NOT_FOUND,
            )
        return candidates[-1]
    folder = FOLDER / name
    if "/" in name or name.startswith(".") or not name or not folder.exists():
        raise UserError(f"there is no dump '{name}'", f"{LIST} lists them", status=Status.NOT_FOUND)
    if not folder.is_dir() or not (folder / MANIFEST).exists():
        raise UserError(
            f"{name} is not a dump of this program: it has no manifest",
            f"./scripts/ops restore dump {name} --external restores pg_dump's own files",
        )
    return Dump(folder, Manifest.read(folder))
