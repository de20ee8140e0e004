"""The file from which Compose reads variables: .env."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path


def path() -> Path:
    """The file from which Compose reads variables."""
    return Path(os.environ.get("COMPOSE_ENV_FILES", "").split(",")[-1] or ".env")


def read() -> str:
    """Its text; "" without one."""
    return path().read_text(encoding="utf-8") if path().exists() else ""


def write(text: str) -> bool:
    """Replace it in one step, with its mode. A file that is no regular one (/dev/null) is left alone: False."""
    file = path()
    if file.exists() and not file.is_file():
        return False
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, encoding="utf-8")
    if file.exists():
        shutil.copymode(file, new)
    new.replace(file)
    return True


def value(text: str, name: str) -> str:
    """A variable's value in the text of an .env file; "" when it is not set there. A pure function."""
    found = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(found[-1]).strip().strip("\"'") if found else ""


def with_variable(text: str, name: str, value: str) -> str:
    """The text of an .env file with a variable set to this value. A pure function."""
    line = f"{name}={value}"
    changed, found = re.subn(rf"^{name}=.*$", line, text, flags=re.MULTILINE)
    return changed if found else f"{text}{'' if text[-1:] in ('', chr(10)) else chr(10)}{line}\n"
