"""Rename the project: its name is a part of identifiers in every kind of file, and nothing else.

| identifier | with the name NAME |
|---|---|
| Compose project, and its containers, networks, volumes | NAME |
| images | NAME/app, /app-test, /etcd, /haproxy, /lab-host, /monitoring, /ops, /patroni, /pgbouncer, /postgres, /proxy |
| roles | NAME_owner _migrator _user _prod _readonly _ops _monitor _verifier _backup _replicator _rewinder _restorer |
| databases | NAME_dev, NAME_prod |
| settings of the server | NAME.deployment and others with this prefix |
| on hosts | /opt/NAME, /etc/NAME, NAME.service, NAME-*.service, NAME-*.timer, tables of nftables |
| files | ansible/roles/firewall/files/NAME.nft and others whose name has it |

Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from user_errors import Failure, OperationError, UserError

USAGE = """Rename the project: roles, databases, images, Compose project, names on hosts, documents.

    ./scripts/rename-project NAME     3 to 12 lower-case letters and digits, a letter first

It changes the files of a checkout without uncommitted changes; `git reset --hard` undoes it. A stack that exists keeps
its old name, with its data: dump it before, and restore the dump into the new one (docs/your-app.md)."""
# Not longer than the name at first: no line grows. No underscore: it is a part of host names, too.
VALID = re.compile(r"[a-z][a-z0-9]{2,11}")
# Where the new name may be a word already: it is no identifier there.
PROSE = ("docs/", "tests/", "CHANGELOG.md", "README.md")


def main(words: list[str], root: Path) -> int:
    """The command; its exit status."""
    if words in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    try:
        if len(words) != 1:
            raise UserError("exactly one name is needed", "./scripts/rename-project --help")
        print(rename(root, words[0]))
    except Failure as failure:
        failure.show()
        return failure.status
    return 0


def rename(root: Path, name: str) -> str:
    """Rename everything; what was done. Raises UserError before anything is changed."""
    old = current(root)
    if name == old:
        return f"the project's name is {name} already"
    check(root, name)
    changed = 0
    # the Compose file last: it says which name the others have
    for path in sorted(tracked(root), key=lambda path: path == "docker-compose.yml"):
        file = root / path
        if file.is_symlink() or not file.is_file():
            continue
        changed += replace(file, old, name)
        moved = root / word(old).sub(name, path)
        if moved != file:
            moved.parent.mkdir(parents=True, exist_ok=True)
            file.rename(moved)
    return (
        f"{old} is {name} now, in {changed} files.\n"
        "next: git diff; .venv/bin/ruff format . (shorter lines may join); ./scripts/test unit static; ./scripts/up\n"
        "what an app has to bring, and what of the game to delete: docs/your-app.md"
    )


def current(root: Path) -> str:
    """The name, as the Compose file has it."""
    found = re.search(r"^name: ([a-z0-9]+)$", (root / "docker-compose.yml").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise UserError("docker-compose.yml has no line `name: NAME`", "git checkout docker-compose.yml")
    return found[1]


def word(name: str) -> re.Pattern[str]:
    """The name as a whole part of an identifier; also after the n of a newline in a string, "\\nNAME"."""
    return re.compile(rf"(?:(?<![a-z])|(?<=\\[nrt])){name}(?![a-z0-9])")


def check(root: Path, name: str) -> None:
    """Raises UserError for a name that can't be one, and for a checkout with changes that git could not bring back."""
    if not VALID.fullmatch(name):
        raise UserError(
            f"'{name}' can't name roles, databases, images and hosts",
            "3 to 12 lower-case letters and digits, a letter first: ./scripts/rename-project --help",
        )
    changes = git(root, "status", "--porcelain")
    if changes:
        raise UserError(
            "the checkout has uncommitted changes, so that a rename could not be undone",
            "git commit -a, or git stash --include-untracked; then the same command",
            changes.splitlines()[0].strip(),
        )
    for path in tracked(root):
        if not path.startswith(PROSE) and (word(name).search(path) or word(name).search(text_of(root / path))):
            raise UserError(
                f"'{name}' is a word of this project already ({path}), so that the two could not be told apart",
                "choose another name",
            )


def replace(file: Path, old: str, new: str) -> bool:
    """Replace the name in a text file; whether it was there."""
    text = text_of(file)
    replaced = word(old).sub(new, text)
    if replaced == text:
        return False
    with file.open("w", encoding="utf-8", newline="") as opened:
        opened.write(replaced)
    return True


def text_of(file: Path) -> str:
    """A file's text; "" for a picture or another binary."""
    if file.is_symlink() or not file.is_file():
        return ""
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return ""


def tracked(root: Path) -> list[str]:
    """The files that git knows."""
    return [path for path in git(root, "ls-files", "-z").split("\0") if path]


def git(root: Path, *words: str) -> str:
    """What git prints. Raises OperationError when it fails."""
    try:
        done = subprocess.run(["git", *words], cwd=root, text=True, encoding="utf-8", capture_output=True, check=False)
    except FileNotFoundError:
        raise OperationError("git is not installed", "install git") from None
    if done.returncode:
        raise OperationError(f"git {words[0]} failed", "run it in a checkout of git", done.stderr.strip())
    return done.stdout
