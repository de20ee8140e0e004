"""The file from which Compose reads variables, .env, and what it and the environment name: compose files, project."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

DEVELOPMENT = ("docker-compose.yml", "docker-compose.override.yml")
PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")  # Compose's rule for a project's name


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


def named_files() -> list[str]:
    """COMPOSE_FILE of the environment, or else of .env, or else development's."""
    named = os.environ.get("COMPOSE_FILE") or value(read(), "COMPOSE_FILE")
    return named.split(separator()) if named else [file for file in DEVELOPMENT if Path(file).exists()]


def separator() -> str:
    """Between the files of COMPOSE_FILE."""
    return os.environ.get("COMPOSE_PATH_SEPARATOR", os.pathsep)


def project() -> str:
    """The project's name, by Compose's rules: the variable, or else the last compose file that has one; "" where only
    Compose can tell (several .env files, a name in a form that is not read here, a file that can't be read)."""
    try:
        text = read()
        named = os.environ.get("COMPOSE_PROJECT_NAME") or value(text, "COMPOSE_PROJECT_NAME")
        if not named and ("COMPOSE_PROJECT_NAME" in text or "," in os.environ.get("COMPOSE_ENV_FILES", "")):
            return ""
        lines = "\n".join(Path(file).read_text(encoding="utf-8") for file in ([] if named else named_files()))
    except (OSError, UnicodeDecodeError):
        return ""
    names = [named] if named else re.findall(r"^name:(.*)$", lines, re.MULTILINE)
    return names[-1].strip() if names and PROJECT.fullmatch(names[-1].strip()) else ""
