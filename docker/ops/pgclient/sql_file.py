"""Files of plain SQL."""

import gzip
from pathlib import Path
from typing import IO


def open_sql(file: Path) -> IO[bytes]:
    """A file of SQL; one that gzip compressed is unpacked, whatever its name."""
    with file.open("rb") as opened:
        compressed = opened.read(2) == b"\x1f\x8b"
    return gzip.open(file, "rb") if compressed else file.open("rb")  # type: ignore[return-value]
