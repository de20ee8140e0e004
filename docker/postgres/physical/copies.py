"""The second repository, on the backup host: backups of its own (made there: pgBackRest makes them where the repository
is), the write-ahead log, and the dumps of each night, which the database host sends through the same door.

A dump goes as one file, encrypted with the repository's passphrase; pgBackRest itself would encrypt it with a key that
its repo-get does not find again. What is too old is removed on the backup host, by its own clock and files: a database
host that is new, or somebody else's by now, has no say in that.
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from physical import pgbackrest, schedule
from physical.errors import Refused, note

NUMBER = "2"
SETTINGS = Path(os.environ.get("PGBACKREST_CONFIG_INCLUDE_PATH", "/etc/pgbackrest/conf.d"))
DUMPS = Path("/var/lib/pgbackrest/offhost/dumps")  # on the backup host
KEPT_ALWAYS = 7  # of each kind, whatever their age: a night that fails for a month costs nothing that is there
CHUNK = 1 << 20
# Its words on standard error: standard output is for what it gets.
STORE = ["pgbackrest", f"--stanza={pgbackrest.STANZA}", f"--repo={NUMBER}", "--raw"]
STORE += ["--log-level-console=off", "--log-level-stderr=warn"]


def facts() -> dict[str, Any] | None:
    """What is in it, seen from wherever this runs; None if there is no second repository."""
    try:
        found = pgbackrest.info(NUMBER)
        dumps = listed()
    except pgbackrest.NoRepository:
        return None
    except Refused as refused:
        return {"state": refused.what, "why": refused.why, "backups": [], "dumps": []}
    return {
        "state": found["state"],
        "backups": [one._asdict() for one in found["backups"]],
        "archive": found["archive"],
        "dumps": dumps,
    }


def listed() -> list[dict[str, Any]]:
    """The dumps in it, the oldest first."""
    said = pgbackrest.run("--output=json", "repo-ls", "dumps", repository=NUMBER, quiet=True).stdout
    files = {name: file for name, file in json.loads(said or "{}").items() if name.endswith(".tar")}
    return [
        {"name": name.removesuffix(".tar"), "bytes": file["size"], "at": datetime.fromtimestamp(file["time"], UTC)}
        for name, file in sorted(files.items(), key=lambda item: item[1]["time"])
    ]


# ------------------------------------------------------------ dumps, on the database host


def put(name: str) -> None:
    """A dump, from standard input: into the second repository, and read back."""
    file, sent = file_of(name), hashlib.sha256()
    with subprocess.Popen([*STORE, "repo-put", file], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as store:
        with openssl("-e", subprocess.PIPE, store.stdin) as cipher:
            assert store.stdin
            assert cipher.stdin
            store.stdin.close()
            with contextlib.suppress(BrokenPipeError):  # why is in what the program at the other end says
                while chunk := sys.stdin.buffer.read(CHUNK):
                    sent.update(chunk)
                    cipher.stdin.write(chunk)
                cipher.stdin.close()
        said = ((store.stderr and store.stderr.read()) or b"").decode(errors="replace")
    if store.returncode or cipher.returncode:
        raise pgbackrest.failed("repo-put", said)
    received = hashlib.sha256()
    for chunk in contents(name):
        received.update(chunk)
    if received.digest() != sent.digest():
        raise Refused(f"the copy of {name} is not what was sent.", "./scripts/ops backup nightly again; df -h there")
    note(f"{name} is on the backup host too")


def find(name: str) -> None:
    """Raises Refused with what there is, unless that dump is."""
    if name not in (names := [one["name"] for one in listed()]):
        raise Refused(f"the second repository has no dump '{name}'.", f"it has: {', '.join(names) or 'none'}")


def get(name: str) -> None:
    """A dump, to standard output."""
    find(name)
    for chunk in contents(name):
        sys.stdout.buffer.write(chunk)


def contents(name: str) -> Iterator[bytes]:
    """A dump's bytes, as they were sent."""
    with (
        subprocess.Popen([*STORE, "repo-get", file_of(name)], stdout=subprocess.PIPE) as store,
        openssl("-d", store.stdout, subprocess.PIPE) as cipher,
    ):
        assert cipher.stdout
        while chunk := cipher.stdout.read(CHUNK):
            yield chunk
    if store.returncode or cipher.returncode:
        raise Refused(f"the copy of {name} can't be read.", "an older one: ./scripts/ops backup info --json lists them")


def file_of(name: str) -> str:
    """Where it is in the repository."""
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise Refused(f"'{name}' is no dump's name.", "./scripts/ops backups list")
    return f"dumps/{name}.tar"


@contextlib.contextmanager
def openssl(direction: str, stdin: Any, stdout: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Encrypt (-e) or decrypt (-d). The passphrase is on no command line and in no environment."""
    reading, writing = os.pipe()
    os.write(writing, passphrase().encode() + b"\n")
    os.close(writing)
    command = ["openssl", "enc", direction, "-aes-256-cbc", "-pbkdf2", "-pass", f"fd:{reading}"]
    with subprocess.Popen(command, stdin=stdin, stdout=stdout, pass_fds=[reading]) as running:
        os.close(reading)
        yield running


def passphrase() -> str:
    """The second repository's."""
    for file in sorted(SETTINGS.glob("*.conf")):
        if found := re.search(rf"^repo{NUMBER}-cipher-pass\s*=\s*(\S+)\s*$", file.read_text(), re.MULTILINE):
            return found[1]
    raise Refused("there is no passphrase for the second repository.", "the secret backup_cipher_offhost holds it")


# ------------------------------------------------------------ the backup host


def serve() -> None:
    """The service `backup` of the backup host: a backup when one is due. Until SIGTERM."""
    at, full_days = schedule.settings()
    days = os.environ.get("DUMPS_KEPT_DAYS", "35")
    if not days.isdigit():
        raise Refused(f"DUMPS_KEPT_DAYS is '{days}'.", "write a number of days, like 35")
    note(f"backup: one a day at {at} UTC, a full one every {full_days} days" if at else "backup: no schedule")
    schedule.end_on_sigterm()
    while True:
        schedule.ALIVE.touch()
        try:
            found = pgbackrest.info()
            if not found["systems"]:
                pgbackrest.ensure_stanza()
            if at and (kind := schedule.due(found["backups"], datetime.now(UTC), at, full_days)):
                note(f"backup: a {kind} one is due")
                make(kind)
            prune(timedelta(days=int(days)))
        except Refused as refused:  # the database host is away, or not yet there: it is tried again
            refused.show()
        time.sleep(schedule.LOOK)


def make(kind: str) -> None:
    """Make a backup; the service is alive meanwhile, however long it takes."""
    command = ["pgbackrest", f"--stanza={pgbackrest.STANZA}", f"--repo={NUMBER}", f"--type={kind}", "backup"]
    with tempfile.TemporaryFile("w+") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
        while running.poll() is None:
            schedule.ALIVE.touch()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(schedule.BEAT)
        log.seek(0)
        if running.returncode:
            raise pgbackrest.failed("backup", log.read())
    made = pgbackrest.info()["backups"][-1]
    note(f"backup: {made.label} is made" + (", with damaged pages in it" if made.error else ""))


def prune(age: timedelta, folder: Path = DUMPS) -> list[str]:
    """Remove dumps that are older, but never the newest ones of a kind. The names of what was removed."""
    series: dict[str, list[Path]] = defaultdict(list)
    for file in folder.glob("*.tar"):
        series[file.name.rpartition("-")[0]].append(file)
    oldest = time.time() - age.total_seconds()
    doomed = []
    for files in series.values():
        files.sort(key=lambda file: file.stat().st_mtime)
        doomed += [file for file in files[:-KEPT_ALWAYS] if file.stat().st_mtime < oldest]
    for file in doomed:
        file.unlink()
        note(f"removed {file.name}")
    return [file.name for file in doomed]
