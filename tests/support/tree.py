"""The project's own files."""

import subprocess
from pathlib import Path

from testing.shell import ROOT


def tracked() -> list[Path]:
    """The project's files: what git knows, and what is about to be added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(file: Path) -> str:
    """A file's text; '' for a picture or another binary."""
    try:
        return file.read_text()
    except UnicodeDecodeError:
        return ""
