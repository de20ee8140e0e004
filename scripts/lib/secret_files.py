#!/usr/bin/env python3
"""The secrets of a deployment: their names, who reads them, how strong they are, and the format of their files.

    secret_files.py check FOLDER [NAME…]   report missing, unreadable, weak and reused secrets; without NAME: of all
    secret_files.py make FOLDER            create the secrets that FOLDER lacks
    secret_files.py generate NAME          print a new random value
    secret_files.py stage FILE             dual passwords: append the password on standard input
    secret_files.py commit FILE            dual passwords: keep only the password on standard input

Exit status: 0 done; 1 a problem was found, or the file could not be written; 2 wrong usage.

A password file holds one line, or, while a password is being changed, the old password and then the new one. A client
tries the lines in turn; the server is given the last. `stage` and `commit` write in place, because a running container
has the file itself mounted: a new file of the same name would not reach it. Both can be repeated, and at every moment,
also when they are killed, one line is whole and is the password that the server accepts.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import stat
import string
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# The service's user in its image.
UIDS = {
    "app": 8000,
    "backup": 5432,
    "migrate": 8000,
    "ops": 9000,
    "pgbackrest-server": 5432,  # on the backup host; on a database host it reads no secret
    "pgbouncer-exporter": 9090,
    "pgbouncer": 6432,
    "postgres": 5432,
    "postgres-exporter": 9090,
    "rehearsal": 8000,
    "repository": 5432,
    "restore": 5432,
    "roles": 5432,
    "sandbox": 5432,
}

MINIMUM_LENGTH = 32
MINIMUM_KEY_LENGTH = 50  # Django's own threshold (security.W009)
MINIMUM_DISTINCT = 12  # different characters: 32 random hexadecimal digits have 14 on average
# What the public development secrets of this repository, and values copied from a tutorial, have in common.
PLACEHOLDERS = (
    "dev_",
    "development",
    "change_me",
    "change-me",
    "changeme",
    "placeholder",
    "insecure",
    "example",
    "password",
)
ALPHABET = string.ascii_letters + string.digits  # needs no quoting in a URL, a shell or an ini file
NEW_FOLDER = "./scripts/secrets new makes a folder of random ones"


@dataclass(frozen=True)
class Secret:
    """One secret: what it is, the services that read it, the shortest value that production accepts."""

    kind: str  # password | key | cipher
    readers: tuple[str, ...]
    minimum: int = MINIMUM_LENGTH
    length: int = 40  # of a generated value
    copy_of: str = ""  # it holds the value of that one


REPOSITORY_READERS = ("postgres", "backup", "restore", "sandbox")
SECRETS = {
    "app_password": Secret("password", ("roles", "sandbox", "app", "ops", "rehearsal")),
    "migrator_password": Secret("password", ("roles", "sandbox", "migrate", "ops")),
    "readonly_password": Secret("password", ("roles", "sandbox", "ops")),
    "ops_password": Secret("password", ("roles", "sandbox", "ops")),
    "monitor_password": Secret("password", ("roles", "sandbox", "postgres-exporter", "pgbouncer-exporter")),
    "pgbouncer_password": Secret("password", ("roles", "sandbox", "pgbouncer")),
    "django_secret_key": Secret("key", ("migrate", "app", "rehearsal"), minimum=MINIMUM_KEY_LENGTH, length=64),
    # pgBackRest reads these two as files of settings.
    "backup_cipher": Secret("cipher", (*REPOSITORY_READERS, "repository"), length=48),
    "backup_cipher_offhost": Secret("cipher", (*REPOSITORY_READERS, "pgbackrest-server"), copy_of="backup_cipher"),
}
PASSWORDS = tuple(name for name, secret in SECRETS.items() if secret.kind == "password")
GENERATED = tuple(name for name, secret in SECRETS.items() if not secret.copy_of)
# Of the receivers of alerts (docker/monitoring/alertmanager-config), not generated. An empty file: no such receiver.
OPTIONAL = ("alert_email_password", "alert_webhook_url", "alert_deadman_url")


class SecretError(Exception):
    """A secret that can't be used: the reason, and what to do about it."""

    def __init__(self, reason: str, hint: str = NEW_FOLDER) -> None:
        super().__init__(reason)
        self.hint = hint


# ---------------------------------------------------------------- what a file holds


def candidates(text: str) -> list[str]:
    """The passwords of a password file, oldest first; more than one while it is being changed."""
    return [line for line in text.splitlines() if line]


def value(name: str, text: str) -> str:
    """The newest value in a secret's text, '' if there is none. A bare cipher passphrase is taken as it is."""
    if SECRETS[name].kind == "cipher":
        setting = re.search(r"^repo\d-cipher-pass\s*=[ \t]*(.*?)\s*$", text, re.MULTILINE)
        if setting:
            return setting[1]
    return (candidates(text) or [""])[-1]


def file_text(name: str, secret: str) -> str:
    """What a secret's file holds."""
    if SECRETS[name].kind != "cipher":
        return secret
    return f"[global]\nrepo{2 if SECRETS[name].copy_of else 1}-cipher-pass={secret}\n"


# ---------------------------------------------------------------- strength


def unusable(newest: str) -> str | None:
    """Why no deployment can use this value, or None."""
    if not newest:
        return "is empty"
    if not (newest.isascii() and newest.isprintable()):
        # SASLprep (RFC 4013) leaves printable ASCII as it is; other text may differ from what a client sends.
        return "has a character outside printable ASCII"
    return None


def weakness(name: str, text: str) -> str | None:
    """Why production refuses a secret with this text, or None. The reason continues 'the secret NAME …'."""
    newest, minimum = value(name, text), SECRETS[name].minimum
    if reason := unusable(newest):
        return reason
    found = next((word for word in PLACEHOLDERS if word in newest.lower()), None)
    if found:
        return f"is a placeholder or a public development password (it contains '{found}')"
    if len(newest) < minimum:
        return f"has {len(newest)} characters, fewer than {minimum}"
    if len(set(newest)) < MINIMUM_DISTINCT:
        return f"is not random ({len(set(newest))} different characters, fewer than {MINIMUM_DISTINCT})"
    return None


def problems(texts: Mapping[str, str]) -> list[str]:
    """Each reason why production refuses these secrets (name → text): weak, or one value used twice."""
    found = [f"the secret {name} {reason}" for name in texts if (reason := weakness(name, texts[name]))]
    names: dict[str, list[str]] = {}
    for name, text in texts.items():
        if value(name, text) and not SECRETS[name].copy_of:
            names.setdefault(value(name, text), []).append(name)
    return found + [f"the secrets {' and '.join(same)} have the same value" for same in names.values() if len(same) > 1]


def unreadable(path: Path) -> list[str]:
    """The services whose user can't read the secret's file. What protects it on the host is the folder's mode."""
    status = path.stat()
    if status.st_mode & stat.S_IROTH:
        return []
    uids = {status.st_uid} if status.st_mode & stat.S_IRUSR else set()
    return [f"{service} (uid {UIDS[service]})" for service in SECRETS[path.name].readers if UIDS[service] not in uids]


def check(folder: Path, names: tuple[str, ...] = GENERATED) -> list[str]:
    """What is wrong with the secrets of a folder."""
    texts, found = {}, []
    for name in names:
        try:
            texts[name] = (folder / name).read_text(encoding="utf-8")
            denied = unreadable(folder / name)
        except (OSError, UnicodeDecodeError) as error:
            found.append(f"the secret {name} can't be read: {error}")
            continue
        if denied:
            found.append(f"the secret {name} can't be read by {', '.join(denied)}: chmod 0444 {folder / name}")
    return found + problems(texts)


# ---------------------------------------------------------------- making and changing


def generate(name: str) -> str:
    """A random value of the secret's length."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SECRETS[name].length))


def make(folder: Path) -> list[str]:
    """Create the secrets that the folder lacks (the optional ones empty); the names of the generated ones. Each file is
    whole from the moment it has its name."""
    made = []
    for name in GENERATED:
        path = folder / name
        if path.is_file() and path.stat().st_size:
            continue
        unfinished = folder / f"{name}.new"
        unfinished.write_text(file_text(name, generate(name)), encoding="utf-8")
        unfinished.chmod(0o444)  # each service reads it as a user of its own
        unfinished.replace(path)
        made.append(name)
    for name in OPTIONAL:
        if not (folder / name).exists():
            (folder / name).touch()
            (folder / name).chmod(0o444)
    return made


def stage(path: Path, new: str) -> bool:
    """Append the new password to the file; False if it is the last line already."""
    if candidates(path.read_text(encoding="utf-8"))[-1:] == [new]:
        return False
    append(path, new)
    return True


def commit(path: Path, new: str) -> bool:
    """Leave only the new password in the file; False if it is so already."""
    if path.read_text(encoding="utf-8") == new:
        return False
    # Two copies at the end: while the beginning is overwritten, which may reach into the first, the last is whole.
    stage(path, new)
    append(path, new)
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, f"{new}\n".encode(), 0)
        os.ftruncate(descriptor, len(new.encode()))
    finally:
        os.close(descriptor)
    return True


def append(path: Path, line: str) -> None:
    """Append a line, in one write."""
    ended = path.read_text(encoding="utf-8")[-1:] in ("", "\n")
    with path.open("ab", buffering=0) as file:
        file.write(f"{'' if ended else chr(10)}{line}\n".encode())


# ---------------------------------------------------------------- command line


def main(arguments: list[str]) -> int:
    asked = parse(arguments)
    try:
        return {"check": print_problems, "make": print_made, "generate": print_generated}.get(asked.verb, change)(asked)
    except SecretError as error:
        print(f"ERROR: {error}\nHINT:  {error.hint}", file=sys.stderr)
        return 1


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    checking = verbs.add_parser("check", help="report missing, unreadable, weak and reused secrets")
    checking.add_argument("folder", type=Path)
    checking.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SECRETS))
    verbs.add_parser("make", help="create the secrets that a folder lacks").add_argument("folder", type=Path)
    verbs.add_parser("generate", help="print a new random value").add_argument("name", choices=GENERATED)
    verbs.add_parser("stage", help="append the password on standard input").add_argument("file", type=Path)
    verbs.add_parser("commit", help="keep only the password on standard input").add_argument("file", type=Path)
    asked = parser.parse_args(arguments)
    unknown = sorted(set(getattr(asked, "names", [])) - set(SECRETS))
    if unknown:
        parser.error(f"unknown secret: {', '.join(unknown)} (known: {', '.join(SECRETS)})")
    return asked


def print_problems(asked: argparse.Namespace) -> int:
    found = check(asked.folder, tuple(asked.names) or GENERATED)
    for problem in found:
        print(f"ERROR: {problem}", file=sys.stderr)
    if found:
        print(f"HINT:  {NEW_FOLDER}", file=sys.stderr)
    return 1 if found else 0


def print_made(asked: argparse.Namespace) -> int:
    try:
        made = make(asked.folder)
    except OSError as error:
        raise SecretError(f"secrets can't be created in {asked.folder}: {error}", f"ls -ld {asked.folder}") from None
    for name in made:
        print(f"secrets: created {name}")
    if "backup_cipher" in made:
        print("secrets: keep a copy of backup_cipher away from this machine; without it no backup can be read")
    return 0


def print_generated(asked: argparse.Namespace) -> int:
    print(generate(asked.name))
    return 0


def change(asked: argparse.Namespace) -> int:
    """`stage` and `commit`; prints 'changed' if the file did."""
    new = sys.stdin.readline().rstrip("\n")
    if reason := unusable(new):
        print(f"ERROR: the password on standard input {reason}", file=sys.stderr)
        print(f"HINT:  secret_files.py generate NAME | secret_files.py {asked.verb} FILE", file=sys.stderr)
        return 2
    try:
        changed = (stage if asked.verb == "stage" else commit)(asked.file, new)
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(
            f"the secret file {asked.file} can't be changed: {error}",
            f"ls -l {asked.file}; set SECRETS_DIR to the folder of the secrets, and run as root",
        ) from None
    if changed:
        print("changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
