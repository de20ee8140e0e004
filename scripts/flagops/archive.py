"""A backup on disk: a folder with the dump and its manifest. Making one appear whole or not at all, finding,
checking, removing.

    /backups/flaglearning_dev-full-20261123T031500Z/
        manifest.json     what it is, of what, when, which versions; rows of each table; size and SHA-256 of each file
        dump/             pg_dump's directory format, zstd; or
        dump.sql          plain SQL

It is written as `.partial-…` and renamed when it has been read back. Who writes or reads one holds a lock (flock) on
it, which the kernel takes away when they die: so a `.partial-…` that can be locked was left by somebody who was
killed.
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

from flagops.errors import Refused, Status
from flagops.output import note

FOLDER = Path(os.environ.get("BACKUPS") or "/backups")
PARTIAL = ".partial-"
MANIFEST = "manifest.json"
FORMAT = 1  # of the manifest
Kind = Literal["full", "table", "schema", "data"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LIST = "./scripts/ops backups list"


@dataclass
class Manifest:
    """What is known about a backup without reading it."""

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
        """Raises Refused unless it is a manifest of a format that is known here."""
        why = "it has no manifest"
        try:
            data = json.loads((folder / MANIFEST).read_text())
            if isinstance(data, dict) and data.get("format", 0) > FORMAT:
                raise damaged(folder, f"its manifest has format {data['format']}, this program knows {FORMAT}")
            manifest = cls(**data)
            if manifest.kind in KINDS and manifest.major and all(_is_plain(name) for name in manifest.files):
                return manifest
            why = "its manifest says things that no backup of ours does"
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            why = f"its manifest can't be read: {error}"
        raise damaged(folder, why)


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"dump(\.sql|/[\w.]+)", name, re.ASCII) is not None


def damaged(folder: Path, why: str) -> Refused:
    """This is not a backup to rely on."""
    return Refused(f"{folder.name} is no good backup.", f"{LIST} shows the others", why)


@dataclass
class Backup:
    """A folder that has its final name."""

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
        """Every file is there, with its size and checksum, and nothing else. `each` gets the bytes read. May refuse."""
        found = files(self.folder)
        if strange := found.keys() ^ self.manifest.files.keys():
            missing, added = strange - found.keys(), strange & found.keys()
            raise damaged(
                self.folder,
                ", ".join([f"{f} is missing" for f in missing] + [f"{f} doesn't belong there" for f in added]),
            )
        for name, expected in self.manifest.files.items():
            path = self.folder / name
            if (size := path.stat().st_size) != expected["bytes"]:
                raise damaged(self.folder, f"{name} has {size} bytes, and had {expected['bytes']} when it was made")
            if checksum(path, each) != expected["sha256"]:
                raise damaged(self.folder, f"{name} has changed since it was made: its SHA-256 is another")

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While it is read nobody prunes it."""
        with (self.folder / MANIFEST).open() as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            yield


def files(folder: Path) -> dict[str, Path]:
    """The files of a backup but its manifest. Raises Refused for what isn't a file or folder: a link, a device."""
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
            raise Refused(f"{name} is there already, or being made.", "the same command again, a second later")
        folder.mkdir(mode=0o700)
        held = _lock(folder, fcntl.LOCK_EX)
    try:
        yield folder
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise Refused("no space is left where the backups are.", "./scripts/ops backups prune", str(error)) from None
    finally:
        if folder.exists():
            note(f"{name} is not made: what there was of it is removed.")
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def finish(folder: Path, manifest: Manifest) -> Backup:
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
    return Backup(final, manifest)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)


def new_name(database: str, kind: str, table: str, moment: datetime) -> str:
    """flaglearning_dev-full-20261123T031500Z; a table's name is in it as far as a file name should be."""
    words = [database, kind, *([re.sub(r"[^\w.]+", "_", table, flags=re.ASCII)[:40]] if table else [])]
    return f"{'-'.join(words)}-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def check_folder() -> None:
    """Raises Refused unless backups can be written."""
    if not os.access(FOLDER, os.W_OK | os.X_OK):
        raise Refused(
            "backups can't be written.",
            'BACKUPS_DIR has to name a folder that uid 9000 may write: chown 9000:9000 "$BACKUPS_DIR"',
            f"{FOLDER} in the container belongs to uid {FOLDER.stat().st_uid if FOLDER.exists() else 'nobody'}",
        )


@contextlib.contextmanager
def locked(folder: Path, exclusive: bool) -> Iterator[None]:
    """While it lasts, nobody else has the (exclusive) lock."""
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
    """Whether somebody who lives has a lock on it."""
    try:
        os.close(_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


# ------------------------------------------------------------ finding them


def all_of_them() -> list[Backup | Refused]:
    """Every folder with a final name, the oldest first; Refused, named, for what is no backup."""
    found: list[Backup | Refused] = []
    for folder in sorted(FOLDER.glob("[!.]*"), key=lambda path: path.name[-16:]):
        if folder.name == "lost+found":
            continue
        try:
            found.append(Backup(folder, Manifest.read(folder)))
        except Refused as refused:
            found.append(refused)
    return found


def leftovers() -> list[Path]:
    """What somebody who was killed had begun."""
    with locked(FOLDER, exclusive=True):
        return sorted(path for path in FOLDER.glob(f"{PARTIAL}*") if not is_held(path))


def find(name: str, kind: Kind | None = None) -> Backup:
    """A backup by its name; `latest` is the newest of its kind. Raises Refused."""
    if name == "latest":
        candidates = [b for b in all_of_them() if isinstance(b, Backup) and kind in (None, b.manifest.kind)]
        if not candidates:
            raise Refused(
                f"there is no backup{f' of the kind {kind}' if kind else ''} yet.",
                "./scripts/ops backup full",
                status=Status.NOT_FOUND,
            )
        return candidates[-1]
    folder = FOLDER / name
    if "/" in name or name.startswith(".") or not name or not folder.exists():
        raise Refused(f"there is no backup '{name}'.", f"{LIST} lists them", status=Status.NOT_FOUND)
    if not folder.is_dir():
        raise damaged(
            folder,
            "it is a file; a backup of ours is a folder with a manifest. A dump that somebody else made: --foreign",
        )
    return Backup(folder, Manifest.read(folder))
