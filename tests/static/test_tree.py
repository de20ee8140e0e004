"""What must not be in the tree, and what must be consistent in it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from support.tree import text_of, tracked
from testing.shell import ROOT

REQUIREMENTS = [file for file in tracked() if re.fullmatch(r"requirements.*\.txt", file.name)]
DOCUMENTS = [file for file in tracked() if file.suffix == ".md"]
# Third parties' files, as they were published.
VENDORED = re.compile(r"vendor|LICENSE")


def lines_with(pattern: str, *, flags: int = 0) -> list[str]:
    """FILE:LINE of every match in the tree."""
    return [
        f"{file.relative_to(ROOT)}:{number}"
        for file in tracked()
        if not VENDORED.search(str(file.relative_to(ROOT)))
        for number, line in enumerate(text_of(file).splitlines(), 1)
        if re.search(pattern, line, flags)
    ]


def test_no_private_key() -> None:
    assert lines_with("-----BEGIN [A-Z ]*PRIVATE " + "KEY") == []


def test_no_path_of_this_machine() -> None:
    assert lines_with(re.escape(f"{ROOT.parent}/")) == []


@pytest.mark.parametrize(
    "host", ["pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org"]
)
def test_no_package_registry_is_named(host: str) -> None:
    """A build uses the mirror of its machine; a host name in a file would bypass it."""
    assert lines_with(re.escape(host)) == []


@pytest.mark.parametrize(
    "client", [["pip", "config", "list"], ["npm", "config", "get", "registry"]], ids=["pip", "npm"]
)
def test_no_registry_of_this_machine_is_named(client: list[str]) -> None:
    """What this machine's own clients are set up with, where they are there."""
    try:
        said = subprocess.run(client, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        said = ""
    for host in set(re.findall(r"https?://([^/'\s]+)", said)):
        assert lines_with(re.escape(host)) == []


@pytest.mark.parametrize("private", ["secrets/app_password", ".env", "artifacts/stack.log"])
def test_git_ignores(private: str) -> None:
    assert subprocess.run(["git", "check-ignore", "--quiet", private], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_requirement_is_pinned_and_hashed(file: Path) -> None:
    requirements = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE).strip())
    assert [r for r in requirements if not (re.match(r"[\w.\[\]-]+==", r) and "--hash=sha256:" in r)] == []


def test_every_script_is_executable() -> None:
    scripts = [file for file in tracked() if text_of(file).startswith("#!")]
    assert [str(file) for file in scripts if not os.access(file, os.X_OK)] == []


def test_every_executable_is_a_script() -> None:
    executable = [file for file in tracked() if file.stat().st_mode & 0o111]
    assert [str(file) for file in executable if not text_of(file).startswith("#!")] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_resolve(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    targets = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_named_commands_exist(document: Path) -> None:
    """./scripts/NAME in a document is a script that is there."""
    named = set(re.findall(r"\./(scripts/[\w-]+)", document.read_text()))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
