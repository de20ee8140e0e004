"""A checkout under umask 077, or with core.autocrlf=true (Windows, WSL), builds and runs."""

import os
import re
import stat
from pathlib import Path

import pytest

from support.tree import tracked
from testing.shell import ROOT, run
from testing.stack import TEST, Stack

# docker/proxy is left to ./scripts/up: where it builds, files are readable.
DOCKERFILES = [file for file in tracked() if file.name == "Dockerfile" and file.parent.name != "inside"]


def checkout(folder: Path, *options: str) -> Path:
    """The files of git's index, as git writes them with these options."""
    run("git", *options, "checkout-index", "--all", f"--prefix={folder}/checkout/")
    return folder / "checkout"


def test_no_file_gets_windows_line_ends(tmp_path: Path) -> None:
    files = [path for path in checkout(tmp_path, "-c", "core.autocrlf=true").rglob("*") if path.is_file()]
    assert len(files) > 500
    assert [str(file) for file in files if file.suffix != ".png" and b"\r\n" in file.read_bytes()] == []


# Readable by the user of the image.
MODE = r"--chmod=([67][45][45] |640 --chown=root:postgres )"


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_a_file_of_the_checkout_gets_its_mode_from_the_dockerfile(file: Path) -> None:
    copies = re.findall(r"^COPY .*", file.read_text(), re.MULTILINE)
    assert copies or file.parent.name == "upgrade"  # which adds Debian packages only
    assert [line for line in copies if "--from=build" not in line and not re.search(MODE, line)] == []


@pytest.mark.docker
def test_up_makes_readable_what_containers_mount(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        folder = checkout(tmp_path)
    finally:
        os.umask(before)
    mounted = mounts_of_the_checkout()
    assert {"app", "docker/ops/pgclient", "docker/secrets.dev/app_password", "pg/queries", "tests"} <= mounted
    files = [path for name in mounted for path in (folder / name, *(folder / name).rglob("*")) if path.exists()]
    assert any(not is_readable(file) for file in files)
    run("./scripts/up", "--prepare", cwd=folder)
    assert [str(file) for file in files if not is_readable(file)] == []


def mounts_of_the_checkout() -> set[str]:
    """What containers of development and of the tests get from the checkout."""
    config = Stack("flaglearning-static", TEST).config
    sources = [volume["source"] for service in config["services"].values() for volume in service.get("volumes", [])]
    sources += [secret["file"] for secret in config["secrets"].values()]
    inside = {str(Path(source).relative_to(ROOT)) for source in sources if Path(source).is_relative_to(ROOT)}
    return {name for name in inside if not name.startswith("artifacts")}


def is_readable(file: Path) -> bool:
    """Whether any user may read it, and enter it if it is a folder."""
    mode = file.stat().st_mode
    return bool(mode & stat.S_IROTH) and (not file.is_dir() or bool(mode & stat.S_IXOTH))
